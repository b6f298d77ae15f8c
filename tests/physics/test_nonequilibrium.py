"""Baseline, drift and S_noneq (Eq. 1-3) against closed forms and a plain double loop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.correlation import two_time
from gbx_beamline.errors import InputError, MapError
from gbx_beamline.non_equilibrium import cell_means, nonequilibrium
from gbx_beamline.simulation import field_correlation, pixel_counts


def rank_one(frames: int = 40) -> NDArray[np.float64]:
    """C = 1 + a(t1) a(t2): translation invariant only for constant a."""
    a = 0.3 + 0.2 * np.sin(np.arange(frames) / 7.0)
    return 1.0 + np.outer(a, a)


def plain(g2: NDArray[np.float64]) -> tuple[float, float, dict[int, float]]:
    """Eq. 1-3 read aloud: S_noneq, rms drift and baseline of the finite entries off the diagonal."""
    frames = len(g2)
    pairs = [(i, j) for i in range(frames) for j in range(frames) if i != j and not math.isnan(g2[i, j])]
    lags: dict[int, list[float]] = {}
    for i, j in pairs:
        lags.setdefault(abs(i - j), []).append(g2[i, j])
    baseline = {lag: sum(values) / len(values) for lag, values in lags.items()}
    mean = sum(g2[i, j] for i, j in pairs) / len(pairs)
    drift = sum((g2[i, j] - baseline[abs(i - j)]) ** 2 for i, j in pairs) / len(pairs)
    spread = sum((g2[i, j] - mean) ** 2 for i, j in pairs) / len(pairs)
    return drift / spread, math.sqrt(drift), baseline


@pytest.mark.parametrize("bad", [(), (5, 17)])
def test_equals_the_equations_read_aloud(bad: tuple[int, ...]) -> None:
    g2 = rank_one()
    g2[list(bad)] = g2[:, list(bad)] = np.nan
    share, rms, baseline = plain(g2)
    found = nonequilibrium(g2)
    assert found.status == "ok"
    assert 0.1 < share < 0.9
    assert found.s_noneq == pytest.approx(share, rel=1e-12)
    assert found.s_noneq_norm == pytest.approx(math.sqrt(share), rel=1e-12)
    contrast = np.nanmean(np.diagonal(g2, offset=1)) - 1
    assert found.contrast == pytest.approx(contrast)
    assert found.drift_rms_over_contrast == pytest.approx(rms / contrast, rel=1e-12)
    assert found.tti == pytest.approx([baseline.get(lag, math.nan) for lag in range(40)], nan_ok=True)
    assert np.nanmean(found.drift.astype(float) ** 2) == pytest.approx(rms**2, rel=1e-5)
    expected_nan = np.isnan(g2) | np.eye(40, dtype=bool)
    assert np.array_equal(np.isnan(found.drift), expected_nan)


def test_linear_growth_has_its_closed_form() -> None:
    # C = 1 + e (t1 + t2): along lag k drift = e (2 t - (N - 1 - k)), t = 0..N-1-k, so the mean squares are
    # e^2 (m^2 - 1) / 3 for the m = N - k pairs of a lag. Averages over pairs give <drift^2> = e^2 (N+1)(N-2)/6;
    # the lag means are all 1 + e (N - 1), the overall mean, so all variance is drift.
    frames, slope = 30, 1e-3
    t = np.arange(frames)
    found = nonequilibrium(1.5 + slope * (t[:, None] + t[None, :]))
    assert found.s_noneq == pytest.approx(1.0, rel=1e-9)
    rms = slope * math.sqrt((frames + 1) * (frames - 2) / 6)
    assert found.drift_rms_over_contrast == pytest.approx(rms / (0.5 + slope * (frames - 1)), rel=1e-9)


@pytest.mark.parametrize("frames", [50, 600])
def test_translation_invariant_maps_score_zero(frames: int) -> None:
    lag = np.abs(np.arange(frames)[:, None] - np.arange(frames)[None, :])
    for dtype, small in ((np.float64, 1e-20), (np.float32, 1e-9)):
        found = nonequilibrium((1 + 0.14 * np.exp(-lag / 40)).astype(dtype))
        assert found.status == "ok"
        assert 0.0 <= found.s_noneq < small


def test_the_diagonal_counts_for_nothing() -> None:
    g2 = rank_one(600)
    noisy = g2.copy()
    np.fill_diagonal(noisy, 11.0 + np.arange(600))
    clean, shot = nonequilibrium(g2), nonequilibrium(noisy)
    assert clean.frames_per_cell == 3
    assert shot.s_noneq == clean.s_noneq
    assert np.array_equal(shot.drift, clean.drift, equal_nan=True)


@pytest.mark.parametrize(
    ("frames", "max_cells", "per_cell", "cells"),
    [
        (256, 256, 1, 256),
        (257, 256, 2, 128),
        (513, 256, 2, 256),
        (625, 256, 3, 208),
        (2500, 256, 10, 250),
        (50, 8, 6, 8),
    ],
)
def test_cells_are_the_smallest_whole_number_of_frames_that_fits(
    frames: int, max_cells: int, per_cell: int, cells: int
) -> None:
    found = nonequilibrium(rank_one(frames), max_cells=max_cells, frame_time=0.5)
    assert (found.frames_per_cell, len(found.tti), found.drift.shape) == (per_cell, cells, (cells, cells))
    assert (found.cell, found.window) == (0.5 * per_cell, 0.5 * per_cell * cells)


def test_cell_is_the_mean_of_its_valid_entries_off_the_diagonal() -> None:
    g2 = rank_one(23)
    g2[7] = g2[:, 7] = np.nan
    g2[12:16] = g2[:, 12:16] = np.nan
    cells = cell_means(g2, 4)
    assert cells.shape == (5, 5)
    for i in range(5):
        for j in range(5):
            entries = [
                g2[a, b]
                for a in range(4 * i, 4 * i + 4)
                for b in range(4 * j, 4 * j + 4)
                if a != b and not math.isnan(g2[a, b])
            ]
            assert cells[i, j] == pytest.approx(np.mean(entries) if entries else math.nan, nan_ok=True)
    assert np.isnan(cells[3]).all()


def test_binned_measure_is_the_measure_of_the_binned_map() -> None:
    g2 = rank_one(100)
    np.fill_diagonal(g2, np.nan)
    found = nonequilibrium(g2, max_cells=25)
    blocks = np.empty((25, 25))
    for i in range(25):
        for j in range(25):
            blocks[i, j] = np.nanmean(g2[4 * i : 4 * i + 4, 4 * j : 4 * j + 4])
    assert found.s_noneq == pytest.approx(plain(blocks)[0], rel=1e-12)


def test_short_diagonals_are_left_out_on_request() -> None:
    g2 = rank_one()
    lag = np.abs(np.arange(40)[:, None] - np.arange(40)[None, :])
    shortened = g2.copy()
    shortened[lag > 30] = np.nan
    expected = plain(shortened)[0]
    found = nonequilibrium(g2, min_pairs=10)
    assert found.s_noneq == pytest.approx(expected, rel=1e-12)
    assert np.isnan(found.tti[31:]).all()
    assert found.min_pairs == 10


@pytest.mark.parametrize(
    ("g2", "reason"),
    [
        (np.full((20, 20), 1.1, dtype=np.float32), "constant map"),
        (np.full((300, 300), 1.1), "constant map"),
        (np.full((20, 20), np.nan), "no valid cell"),
        (np.eye(2) + 1, r"only 1 valid cell\(s\)"),
    ],
)
def test_maps_without_a_number_say_why(g2: NDArray[Any], reason: str) -> None:
    found = nonequilibrium(g2)
    assert found.status.startswith(reason.replace("\\", ""))
    assert np.isnan([found.s_noneq, found.s_noneq_norm, found.drift_rms_over_contrast]).all()


def test_a_bare_map_without_contrast_has_no_relative_drift() -> None:
    found = nonequilibrium(2.0 - rank_one())
    assert found.status == "ok"
    assert found.s_noneq == pytest.approx(nonequilibrium(rank_one()).s_noneq)
    assert np.isnan(found.drift_rms_over_contrast)


@pytest.mark.parametrize(
    ("g2", "message"),
    [
        (np.ones((4, 5)), r"an array of shape \(4, 5\)"),
        (np.ones((2, 4, 4)), r"an array of shape \(2, 4, 4\)"),
        (np.ones((4, 4), dtype=complex), "complex128"),
        (np.triu(rank_one()), "not symmetric"),
        (np.where(np.eye(4) > 0, np.inf, 1.0), "4 infinite values"),
    ],
)
def test_what_is_no_map_is_refused(g2: NDArray[Any], message: str) -> None:
    with pytest.raises(MapError, match=message):
        nonequilibrium(g2)


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(InputError, match="max_cells = 2"):
        nonequilibrium(rank_one(), max_cells=2)
    with pytest.raises(InputError, match="min_pairs = 0"):
        nonequilibrium(rank_one(), min_pairs=0)


def test_two_time_gives_one_record_per_roi_with_its_own_contrast() -> None:
    counts = pixel_counts(field_correlation(np.full(60, 0.05)), 900, modes=4, mean_counts=5.0, seed=1)
    labels = np.repeat([1, 2, 2], 300)
    tt = two_time(counts, labels, frame_time=2.0, bad_frames=[10])
    records = nonequilibrium(tt)
    assert len(records) == 2
    for roi, record in enumerate(records):
        bare = nonequilibrium(tt.g2[roi], frame_time=2.0)
        assert record.s_noneq == bare.s_noneq
        assert record.contrast == pytest.approx(np.nanmean(tt.diagonal[roi]) - 1)
        rms = float(np.sqrt(np.nanmean(record.drift.astype(float) ** 2)))
        assert record.drift_rms_over_contrast == pytest.approx(rms / record.contrast, rel=1e-5)
        assert (record.cell, record.window) == (2.0, 120.0)
