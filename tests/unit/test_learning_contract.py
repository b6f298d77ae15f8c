"""What networks see of a scan, and which scans they do not see."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.errors import ContractError, InputError, UnitError
from gbx_beamline.learning.contract import (
    CHANNELS,
    SCALARS,
    InputContract,
    cell_maps,
    cells_input,
    lag_bins,
    maps_input,
    scan_input,
)
from gbx_beamline.records import TwoTime
from gbx_beamline.simulation.measurement import Maps, Measurement

CELLS = 64
Q = (4.2e8, 4.8e8)


def noisy_cells(seed: int = 1, rois: int = 2) -> NDArray[np.float32]:
    """Symmetric maps with a decay, noise, and a diagonal that nobody is to look at."""
    rng = np.random.default_rng(seed)
    lag = np.abs(np.subtract.outer(np.arange(CELLS), np.arange(CELLS)))
    noise = rng.normal(0.0, 0.004, (rois, CELLS, CELLS))
    return (1.0 + 0.14 * np.exp(-lag / 30.0) + (noise + noise.swapaxes(1, 2)) / 2).astype(np.float32)


def record(
    cells: NDArray[np.floating], frames_per_cell: int = 4, frame_time: float = 2500 / 256, **more: Any
) -> TwoTime:
    """A record whose maps are the same in all frames of a cell, so that the mean of a cell is known."""
    g2 = np.kron(cells, np.ones((frames_per_cell, frames_per_cell))).astype(np.float32)
    rois, frames = g2.shape[:2]
    index = np.arange(frames)
    g2[:, index, index] = 3.0
    facts: dict[str, Any] = {
        "g2": g2,
        "diagonal": np.full((rois, frames), 1.15),
        "frame_time": frame_time,
        "pixels": np.full(rois, 8000),
        "mean_counts": np.full(rois, 1.5),
        "frame_means": np.full((rois, frames), 1.5),
        "valid_frames": np.ones(frames, dtype=bool),
        "static_baseline": np.ones(rois),
        "saturated": np.zeros(rois, dtype=np.int64),
        "q_par": np.array(Q[:rois]),
    }
    return TwoTime(**{**facts, **more})


def test_training_and_inference_see_the_same_of_the_same_maps() -> None:
    cells = noisy_cells()
    cells[:, 10] = cells[:, :, 10] = np.nan
    measurement = Measurement(pixels=(8000, 8000), mean_counts=(1.5,), unevenness=(0.06, 0.0))
    maps = Maps(g2=cells, group_maps=None, frames_per_cell=4, measurements=(measurement,))
    measured = scan_input(record(cells, static_baseline=np.array([1.0036, 1.0])), temperature=421.0)
    simulated = maps_input(maps, temperature=421.0, q=Q, speckle_size=np.nan)
    for name in ("maps", "curves", "scalars"):
        found, expected = getattr(measured, name), getattr(simulated, name)
        assert found.dtype == expected.dtype == np.float32
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found, expected, rtol=0.0, atol=3e-4)
    assert measured.maps.shape == (2, len(CHANNELS), CELLS, CELLS)
    assert measured.curves.shape == (2, 4, 24)
    assert measured.scalars.shape == (2, len(SCALARS))


def test_a_map_that_is_the_same_at_all_ages_has_no_residual() -> None:
    lag = np.abs(np.subtract.outer(np.arange(CELLS), np.arange(CELLS)))
    decay = 1.0 + 0.14 * np.exp(-lag / 20.0)
    seen = scan_input(record(decay[None]), temperature=400.0)
    correlation, residual, known = seen.maps[0]
    np.testing.assert_allclose(residual, 0.0, atol=1e-3)
    off = ~np.eye(CELLS, dtype=bool)
    np.testing.assert_allclose(correlation[off], np.exp(-lag / 20.0)[off], atol=1e-5)
    np.testing.assert_array_equal(known, off)
    assert (np.diagonal(correlation) == 0).all()
    edges = lag_bins(CELLS)
    first = np.array([np.exp(-edge / 20.0) for edge in edges[:10]])
    baseline, _, decay, noise = seen.curves[0, :, :10]
    np.testing.assert_allclose(baseline, first, atol=1e-5)
    top = first[:2].mean()
    np.testing.assert_allclose(decay[4:], np.log10(1 - first[4:] / top), atol=0.01)
    assert (noise < decay[4:].min()).all()


def test_noise_of_photons_is_one_in_units_of_sigma() -> None:
    # No speckle contrast: only photons scatter, by 1 / (mu sqrt(P)) a cell.
    rng = np.random.default_rng(5)
    pixels, mu = 8000, 6.0
    noise = np.triu(rng.standard_normal((CELLS, CELLS)), 1) / (mu * np.sqrt(pixels))
    seen = scan_input(record((1.0 + noise + noise.T)[None]), temperature=400.0)
    beta = 0.14
    expected = np.log10(np.sqrt((1 / mu**2 + 2 * beta / mu) / pixels) / beta)
    assert column(seen.scalars, "log10_sigma") == pytest.approx(expected, abs=1e-5)
    assert column(seen.scalars, "log10_white_noise") == pytest.approx(-0.5 * np.log10(1 + 2 * beta * mu), abs=0.02)
    assert column(seen.scalars, "log10_smooth_residual") == pytest.approx(0.0, abs=0.02)


def test_static_profile_is_taken_out() -> None:
    even = noisy_cells(rois=1)
    uneven = scan_input(record(even * 1.02, static_baseline=np.array([1.02])), temperature=400.0)
    plain = scan_input(record(even), temperature=400.0)
    np.testing.assert_allclose(uneven.maps, plain.maps, atol=2e-4)
    assert column(uneven.scalars, "static_baseline") == pytest.approx(2.0, abs=1e-4)


def test_each_roi_is_seen_by_itself() -> None:
    cells = noisy_cells(rois=2)
    both = scan_input(record(cells), temperature=400.0)
    turned = scan_input(record(cells[::-1], q_par=np.array(Q[::-1])), temperature=400.0)
    alone = scan_input(record(cells[1:], q_par=np.array(Q[1:])), temperature=400.0)
    for first, second, third in zip(both[:3], turned[:3], alone[:3], strict=True):
        np.testing.assert_array_equal(first, second[::-1])
        np.testing.assert_array_equal(first[1:], third)


@pytest.mark.parametrize(
    ("frame_time", "frames", "per_cell", "note"),
    [
        (2500 / 256, 256, 4, ""),
        (2.0, 1250, 19, ""),
        (1.0, 2500, 39, ""),
        (4.0, 625, 9, ""),
        (10.0, 400, 4, "only the first 2,560 s of 4,000 s were used"),
        (2000 / 64, 64, 1, ""),
    ],
)
def test_time_cells_are_whole_frames_of_the_beginning(frame_time: float, frames: int, per_cell: int, note: str) -> None:
    g2 = np.full((1, frames, frames), 1.05, dtype=np.float32)
    used = per_cell * CELLS
    rising = np.arange(frames) / used
    g2 += (rising[:, None] + rising[None, :])[None].astype(np.float32)
    tt = record(np.ones((1, 1, 1)), 1)
    tt = replace(tt, g2=g2, frame_time=frame_time, frame_means=np.full((1, frames), 1.5), q_par=np.array([4.5e8]))
    contract = InputContract(counts=(0.5, 100.0))
    cells = cell_maps(tt, temperature=400.0, contract=contract)
    middles = (np.arange(CELLS) + 0.5 - 0.5 / per_cell) / CELLS
    expected = 1.05 + middles[:, None] + middles[None, :]
    off = ~np.eye(CELLS, dtype=bool)
    np.testing.assert_allclose(cells.g2[0][off], expected[off], atol=1e-5)
    assert cells.facts.counts[0] == pytest.approx(1.5 * per_cell)
    assert cells.facts.window[0] == pytest.approx(used * frame_time)
    assert cells.notes == ((note,) if note else ())


def test_bad_frames_are_left_out_and_counted() -> None:
    tt = record(noisy_cells(), 4)
    g2 = tt.g2.copy()
    g2[:, 40:43] = g2[:, :, 40:43] = np.nan  # three of the four frames of cell 10
    g2[:, 80:84] = g2[:, :, 80:84] = np.nan  # all of cell 20
    seen = scan_input(replace(tt, g2=g2), temperature=400.0)
    known = seen.maps[0, 2]
    assert not known[20].any()
    assert known[10].sum() == CELLS - 2
    assert column(seen.scalars, "known") == pytest.approx((63 * 62) / (64 * 63), abs=1e-6)


def test_lag_bins_hold_every_lag_once() -> None:
    edges = lag_bins(CELLS)
    assert edges[0] == 1
    assert edges[-1] == CELLS
    assert (np.diff(edges) >= 1).all()
    assert len(edges) == 25


def test_contract_survives_json_and_refuses_other_versions() -> None:
    contract = InputContract(window=(1000.0, 1300.0), normalisations=("none",))
    assert InputContract.from_json(json.loads(json.dumps(contract.to_json()))) == contract
    with pytest.raises(ContractError, match=r"version 99.*needed: version 2"):
        InputContract.from_json({**contract.to_json(), "version": 99})
    with pytest.raises(ContractError, match="cannot be read"):
        InputContract.from_json({**contract.to_json(), "colour": "red"})


def with_q(values: object) -> Callable[[TwoTime], TwoTime]:
    return lambda tt: replace(tt, q_par=None if values is None else np.asarray(values))


def spoilt(value: float, rows: slice) -> Callable[[TwoTime], TwoTime]:
    def spoil(tt: TwoTime) -> TwoTime:
        g2 = tt.g2.copy()
        g2[:, rows] = g2[:, :, rows] = value
        return replace(tt, g2=g2)

    return spoil


REFUSED = {
    "short": (lambda tt: replace(tt, frame_time=1200 / 256), ContractError, "window too short: 1,200 s of 2,000 s"),
    "few frames": (
        lambda tt: record(noisy_cells()[:, :50, :50], 1, 45.0),
        ContractError,
        "50 frames of 45 s make 64 time cells of 0 whole frames",
    ),
    "between": (
        lambda tt: record(noisy_cells(), 2, 25.0),
        ContractError,
        "128 frames of 25 s make 64 time cells of 1 whole frames, which span 1,600 s",
    ),
    "no frame time": (lambda tt: replace(tt, frame_time=np.nan), ContractError, "frame time of nan"),
    "no q": (with_q(None), ContractError, "q of the q-ROIs is not known"),
    "unknown q": (with_q([4.5e8, np.nan]), ContractError, "q of the q-ROIs is not known"),
    "Angstrom": (with_q([0.042, 0.048]), UnitError, "0.042, 0.048, which looks like 1/Angstrom.*multiply by 1e10"),
    "other q": (with_q([4.5e8, 9e8]), ContractError, "9e\\+08 1/m; needed: 3.5e\\+08 to 5.5e\\+08"),
    "one q": (with_q([4.5e8]), ContractError, "for 2 q-ROIs"),
    "imported": (
        lambda tt: replace(tt, pixels=np.zeros(2, dtype=np.int64), mean_counts=np.full(2, np.nan)),
        ContractError,
        "numbers of pixels or photons are not known",
    ),
    "dark": (
        lambda tt: replace(tt, frame_means=np.full((2, 256), 0.01)),
        ContractError,
        "q-ROI 0: 0.04 photons per pixel and time cell; needed: 0.5 to 50",
    ),
    "small": (lambda tt: replace(tt, pixels=np.array([8000, 90])), ContractError, "q-ROI 1: 90 pixels"),
    "levelled": (lambda tt: replace(tt, normalisation="time_average"), ContractError, "normalised by 'time_average'"),
    "constant": (lambda tt: replace(tt, g2=np.ones_like(tt.g2)), ContractError, "q-ROI 0: a constant map"),
    "unknown": (spoilt(np.nan, slice(0, 120)), ContractError, "q-ROI 0: 2[0-9]% of the map is known"),
    "infinite": (spoilt(np.inf, slice(3, 4)), InputError, "infinite values"),
    "no maps": (lambda tt: replace(tt, g2=tt.g2[0]), InputError, "maps of shape"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_breaks_the_contract_is_refused_in_words(case: str) -> None:
    change, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        scan_input(change(record(noisy_cells())), temperature=400.0)


@pytest.mark.parametrize(("temperature", "words"), [(148.0, "148 K; it looks like degrees Celsius"), (700.0, "700 K")])
def test_other_temperatures_are_refused(temperature: float, words: str) -> None:
    with pytest.raises(ContractError, match=words):
        scan_input(record(noisy_cells()), temperature=temperature)


def test_too_many_rois_are_refused() -> None:
    many = record(np.repeat(noisy_cells(rois=1), 13, axis=0), q_par=np.full(13, 4.5e8))
    with pytest.raises(ContractError, match="13 q-ROIs; needed: 1 to 12"):
        scan_input(many, temperature=400.0)


def test_halves_are_the_whole() -> None:
    tt = record(noisy_cells())
    whole = scan_input(tt, temperature=400.0, q=Q)
    halves = cells_input(cell_maps(tt, temperature=400.0, q=Q))
    for first, second in zip(whole[:3], halves[:3], strict=True):
        np.testing.assert_array_equal(first, second)


def column(scalars: NDArray[np.float32], name: str) -> float:
    return float(scalars[0, SCALARS.index(name)])
