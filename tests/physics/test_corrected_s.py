"""S_noneq without noise: closed forms, the interval's own model, and simulated scans on frozen seeds.

The slow test is the acceptance with 200 seeds per case; ``benchmarks/s_noneq.py`` prints its table.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from s_noneq_cases import (
    FRAMES,
    MODES,
    acceptance,
    ageing_profile,
    measure,
    movie,
    outcome,
    pieces,
    thinned,
    true_s,
)

from gbx_beamline.correlation import two_time
from gbx_beamline.correlation._group_maps import build_group_maps
from gbx_beamline.errors import InputError, MapError
from gbx_beamline.non_equilibrium import corrected_s, nonequilibrium
from gbx_beamline.non_equilibrium._interval import PairGraph, mean_interval, ratio_interval
from gbx_beamline.records import CorrectedS, PixelGroups
from gbx_beamline.simulation import field_correlation, pixel_counts

Maps = NDArray[np.float64]


def groups_of(count: int = 8, frames_per_cell: int = 1) -> PixelGroups:
    pairs = tuple((a, b) for a in range(count) for b in range(a + 2, count))
    return PixelGroups(
        count=count,
        pixels=(200,) * count,
        frames_per_cell=frames_per_cell,
        pairs=pairs,
        speckle_size=2.0,
        status="ok" if count else "no pixel groups: too small",
    )


def corrected(maps: NDArray[Any], groups: PixelGroups | None = None, **settings: Any) -> CorrectedS:
    values: dict[str, Any] = {"frame_time": 2.0, "contrast": 0.2, "mean_counts": 1.0} | settings
    return corrected_s(maps, groups or groups_of(len(maps)), **values)


def test_noise_that_happens_to_be_negative_is_no_upper_limit_of_zero() -> None:
    """A sample at rest: what its drift may be at most is never nothing, and rarely less than usual."""
    highest = []
    for seed in range(40):
        noise = np.random.default_rng(seed).normal(0.0, 0.02, (8, 24, 24))
        found = corrected(1.0 + (noise + noise.swapaxes(1, 2)) / np.sqrt(2.0))
        assert found.drift_status == "ok"
        highest.append(found.drift_rms_over_contrast_high)
    assert min(highest) > 0.3 * np.median(highest)


def clean_map(rate: NDArray[np.float64]) -> Maps:
    """g2 without noise, NaN on the diagonal."""
    g2 = 1.0 + 0.2 * field_correlation(rate) ** 2
    np.fill_diagonal(g2, np.nan)
    return g2


def noisy(g2: Maps, noise: float, seed: int, count: int = 8) -> Maps:
    """Maps of groups with independent, symmetric noise."""
    white = np.random.default_rng(seed).standard_normal((count, *g2.shape)) * noise
    return g2 + white + white.transpose(0, 2, 1)


AGEING = clean_map(0.2 * ageing_profile())


# ---- without noise


@pytest.mark.parametrize("min_pairs", [1, 20])
def test_without_noise_it_is_equation_3(min_pairs: int) -> None:
    bare = nonequilibrium(AGEING, min_pairs=min_pairs)
    found = corrected(np.repeat(AGEING[None], 8, axis=0), min_pairs=min_pairs)
    assert found.status == "ok"
    assert found.value == pytest.approx(bare.s_noneq, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((found.value, found.value), rel=1e-6)
    assert found.ageing.value + found.intermittent.value == pytest.approx(found.value, rel=1e-9)
    assert found.drift_rms_over_contrast == pytest.approx(bare.drift_rms_over_contrast * bare.contrast / 0.2, rel=1e-9)
    assert (found.cell, found.window, found.min_pairs) == (2.0, 256.0, min_pairs)


def test_joined_cells_are_equation_3_of_the_joined_map() -> None:
    for joined in (2, 4):
        expected = nonequilibrium(AGEING, max_cells=FRAMES // joined)
        found = corrected(np.repeat(AGEING[None], 8, axis=0), cells_joined=joined)
        assert found.value == pytest.approx(expected.s_noneq, rel=1e-9)
        assert (found.cell, found.frames_per_cell) == (2.0 * joined, joined)


def test_bad_cells_take_no_part() -> None:
    with_gap = AGEING.copy()
    with_gap[40:50] = with_gap[:, 40:50] = np.nan
    found = corrected(np.repeat(with_gap[None], 8, axis=0))
    assert found.value == pytest.approx(nonequilibrium(with_gap).s_noneq, rel=1e-9)
    # A cell that is bad in one group is bad in all.
    maps = np.repeat(AGEING[None], 8, axis=0)
    maps[3] = with_gap
    assert corrected(maps).value == pytest.approx(found.value, rel=1e-12)


def test_what_is_smooth_in_age_is_ageing() -> None:
    # Along the diagonal of lag k the drift is a polynomial of degree 3 in t, so nothing is left over but on diagonals
    # that are too short for it.
    t = np.linspace(-1.0, 1.0, 60)
    g2 = 1.2 + 0.05 * np.add.outer(t**3 - 0.3 * t, t**3 - 0.3 * t) - 0.01 * np.abs(np.subtract.outer(t, t))
    np.fill_diagonal(g2, np.nan)
    found = corrected(np.repeat(g2[None], 8, axis=0), min_pairs=6)
    assert found.value > 0.5
    assert found.ageing.value == pytest.approx(found.value, rel=1e-9)
    assert abs(found.intermittent.value) < 1e-9


def test_avalanches_are_mostly_intermittent_and_slowing_down_is_mostly_ageing() -> None:
    rate = np.full(FRAMES, 2e-3)
    rate[[20, 50, 51, 90]] = 0.5
    avalanches = corrected(np.repeat(clean_map(rate)[None], 8, axis=0))
    assert avalanches.intermittent.value > 3 * avalanches.ageing.value > 0
    ageing = corrected(np.repeat(AGEING[None], 8, axis=0))
    assert ageing.ageing.value > 3 * ageing.intermittent.value > 0


def test_windows_of_age_are_scans_of_their_own() -> None:
    found = corrected(np.repeat(AGEING[None], 8, axis=0))
    assert [(w.start, w.stop) for w in found.by_age] == [(0.0, 128.0), (64.0, 192.0), (128.0, 256.0)]
    for window, start in zip(found.by_age, (0, 32, 64), strict=True):
        part = AGEING[start : start + 64, start : start + 64]
        assert window.status == "ok"
        assert window.value == pytest.approx(nonequilibrium(part).s_noneq, rel=1e-9)
    assert corrected(np.repeat(AGEING[None, :20, :20], 8, axis=0)).by_age == ()


# ---- the interval's own model


@pytest.mark.parametrize(
    ("count", "linear"), [(8, 0.0), (8, 3.0), (8, 0.3), (6, 0.0), (5, 0.0), (5, 1.0), (4, 0.0), (4, 2.0)]
)
def test_interval_covers_the_mean_of_a_dyadic_model(count: int, linear: float) -> None:
    # h_ab = mu + L_a + L_b + e_ab, the spread of L relative to that of e. The truth is far from 0 in units of e, so
    # that the bound by Cauchy and Schwarz leaves room for L.
    rng = np.random.default_rng(count)
    graph = PairGraph(count, groups_of(count).pairs)
    inside, widths, values = 0, [], []
    for _ in range(400):
        effect = linear * rng.standard_normal(count)
        rest = rng.standard_normal((count, count))
        h = 20.0 + effect[:, None] + effect + np.triu(rest) + np.triu(rest, 1).T
        value, low, high = mean_interval(graph, h)
        inside += low <= 20.0 <= high
        widths.append(high - low)
        values.append(value)
    # 95 % of 400 scatters by 4.4; truncating a variance at 0 makes some intervals too wide, never too narrow.
    assert inside >= 366
    if count == 8:
        assert np.median(widths) / 2 < 3.5 * np.std(values)


def test_ratio_interval_is_unbounded_where_the_denominator_is_noise() -> None:
    rng = np.random.default_rng(5)
    graph = PairGraph(8, groups_of().pairs)
    unknown = sum(ratio_interval(graph, *rng.standard_normal((2, 8, 8))) is None for _ in range(400))
    # One side of a 95 % test.
    assert 380 <= unknown <= 400


def test_ratio_interval_has_no_scale_of_its_own() -> None:
    rng = np.random.default_rng(6)
    graph = PairGraph(8, groups_of().pairs)
    above, below = rng.standard_normal((8, 8)), 5.0 + rng.standard_normal((8, 8))
    one, other = ratio_interval(graph, above, below), ratio_interval(graph, 1e-9 * above, 1e-3 * below)
    assert one is not None
    assert other is not None
    assert np.array(other) == pytest.approx(1e-6 * np.array(one), rel=1e-5)


# ---- noise


def test_noise_cancels_between_groups() -> None:
    found = corrected(noisy(AGEING, 0.05, seed=1))
    truth = nonequilibrium(AGEING).s_noneq
    assert nonequilibrium(noisy(AGEING, 0.05, seed=1)[0]).s_noneq > truth + 0.3
    assert found.low < truth < found.high
    assert found.high - found.low < 0.1


def test_maps_of_noise_are_undetermined_but_their_drift_is_bounded() -> None:
    flat = np.ones((60, 60))
    np.fill_diagonal(flat, np.nan)
    found = corrected(noisy(flat, 0.02, seed=2))
    assert found.status.startswith("undetermined: ")
    assert np.isnan([found.value, found.low, found.high, found.ageing.value, found.intermittent.high]).all()
    assert found.drift_status == "ok"
    # The noise itself is 0.028 / 0.2; between groups it cancels to a tenth.
    assert 0.0 <= found.drift_rms_over_contrast <= found.drift_rms_over_contrast_high < 0.05
    assert {window.status for window in found.by_age} == {found.status}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_maps_are_undetermined(dtype: type[np.floating[Any]]) -> None:
    maps = np.full((8, 40, 40), 1.1, dtype=dtype)
    found = corrected(maps)
    assert found.status.startswith("undetermined: ")
    assert np.isnan(found.value)


def test_what_cannot_be_measured_says_why() -> None:
    none = corrected(np.empty((0, 20, 20)), groups_of(0))
    assert none.status == "undetermined: no pixel groups: too small"
    assert none.drift_status == none.status
    empty = corrected(np.full((8, 20, 20), np.nan))
    assert "too few valid cells" in empty.status
    without_contrast = corrected(noisy(AGEING, 0.01, seed=3), contrast=float("nan"))
    assert without_contrast.status == "ok"
    assert without_contrast.drift_status == "no contrast"
    assert np.isnan(without_contrast.drift_rms_over_contrast)


def test_impossible_input_is_refused() -> None:
    with pytest.raises(MapError, match=r"\(3, 20, 20\) for 8 groups"):
        corrected(np.ones((3, 20, 20)), groups_of(8))
    with pytest.raises(InputError, match="cells_joined = 0"):
        corrected(np.ones((8, 20, 20)), cells_joined=0)


# ---- in the record


def test_a_bare_map_has_no_corrected_number() -> None:
    found = nonequilibrium(AGEING)
    assert (found.s_noneq_corrected, found.interval, found.corrected) == (None, None, None)
    assert "bare map" in found.corrected_status


def test_two_time_with_group_maps_carries_it_into_the_record() -> None:
    counts = pixel_counts(field_correlation(0.2 * ageing_profile()), 900, modes=4, mean_counts=5.0, seed=1)
    tt = two_time(counts, np.ones(900, dtype=int), frame_time=2.0)
    assert nonequilibrium(replace(tt, group_maps=None, groups=()))[0].corrected_status == "no maps of pixel groups"
    maps, groups = build_group_maps(counts)
    padded = np.full((1, 9, 140, 140), np.nan, dtype=np.float32)
    padded[0, :8, :FRAMES, :FRAMES] = maps
    with_maps = replace(tt, group_maps=padded, groups=(groups,))
    for max_cells, joined in ((128, 1), (64, 2)):
        (record,) = nonequilibrium(with_maps, max_cells=max_cells)
        assert record.corrected_status == "ok"
        assert record.corrected is not None
        expected = corrected(
            maps, groups, contrast=record.contrast, mean_counts=float(tt.mean_counts[0]), cells_joined=joined
        )
        assert record.corrected == expected
        assert record.s_noneq_corrected == expected.value
        assert record.interval == (expected.low, expected.high)
        assert record.corrected.cell == record.cell
        assert record.corrected.pixels == 900


# ---- simulated scans


@pytest.fixture(scope="module")
def stationary() -> NDArray[Any]:
    """40 pieces of 1,600 pixels at 10 counts."""
    return movie("stationary", (230, 365), 11).read(0, FRAMES)


@pytest.fixture(scope="module")
def ageing() -> NDArray[Any]:
    """40 pieces of 1,600 pixels at 1 count."""
    return movie("ageing", (230, 365), 12).read(0, FRAMES)


@pytest.mark.parametrize("mean", [1.0, 10.0])
def test_stationary_speckles_score_zero(stationary: NDArray[Any], mean: float) -> None:
    frames = thinned(stationary, mean / 10.0, seed=1)
    found = outcome([measure(piece) for piece in pieces(frames, 1600)], truth=0.0)
    assert len(found.value) == 40
    assert found.undetermined == 0.0
    # 95 % of 40 scatters by 1.4.
    assert found.coverage >= 0.85
    assert 1.6 < found.width_over_scatter <= 3.5
    assert abs(found.value.mean()) < 4 * found.value.std() / np.sqrt(len(found.value))
    if mean == 1.0:
        assert np.median(found.bare) > 0.25


def test_ageing_is_found_where_the_bare_ratio_is_mostly_noise(ageing: NDArray[Any]) -> None:
    found = outcome([measure(piece) for piece in pieces(ageing, 1600)], true_s("ageing"))
    assert found.undetermined == 0.0
    assert found.coverage >= 0.85
    assert abs(found.value.mean() - found.truth) < 4 * found.value.std() / np.sqrt(len(found.value))
    assert np.median(found.bare) > found.truth + 0.15


def test_a_roi_of_a_hundred_pixels_in_the_dark_is_undetermined(ageing: NDArray[Any]) -> None:
    frames = thinned(ageing, 0.1, seed=2)[:, :100]
    found = outcome([measure(piece, bare=False) for piece in pieces(frames, 100)], true_s("ageing"))
    assert found.undetermined >= 0.95
    # Also where nothing is known of the pixels' places, so that they make groups.
    f = field_correlation(0.2 * ageing_profile())
    counts = pixel_counts(f, 100 * 40, modes=MODES, mean_counts=0.1, seed=3)
    status = [
        corrected(*build_group_maps(np.ascontiguousarray(counts[:, k : k + 100]))).status for k in range(0, 4000, 100)
    ]
    assert sum(each.startswith("undetermined") for each in status) >= 38


def test_half_the_roi_gives_the_same_answer(ageing: NDArray[Any]) -> None:
    for piece in list(pieces(ageing, 1600))[:12]:
        whole, half = measure(piece, bare=False).corrected, measure(piece[:, :, :20], bare=False).corrected
        assert half.groups == 8
        assert whole.low < half.high
        assert half.low < whole.high
        assert half.high - half.low > 0.8 * (whole.high - whole.low)


def test_binned_counts_follow_the_noiseless_value_of_their_own_cell(ageing: NDArray[Any]) -> None:
    values: dict[int, list[float]] = {}
    for piece in list(pieces(ageing, 1600))[:16]:
        for per_cell in (1, 2, 4):
            found = measure(piece, max_cells=FRAMES // per_cell, bare=False).corrected
            assert found.frames_per_cell == per_cell
            values.setdefault(per_cell, []).append(found.value)
    for per_cell, each in values.items():
        assert abs(np.mean(each) - true_s("ageing", per_cell)) < 4 * np.std(each) / np.sqrt(len(each))


def test_noise_stays_where_every_speckle_lies_in_two_groups() -> None:
    # What must not be done, as in the spectrum of a real image: users are told to give half the plane.
    doubled, apart = [], []
    for seed in range(6):
        rows = pixel_counts(field_correlation(np.full(60, 0.02)), 400, modes=4, mean_counts=10.0, seed=seed)
        doubled.append(corrected(*build_group_maps(np.concatenate([rows, rows], axis=1))).value)
        apart.append(corrected(*build_group_maps(rows)).value)
    assert np.mean(doubled) > 0.03
    assert abs(np.mean(apart)) < 0.015


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_acceptance_with_two_hundred_seeds() -> None:
    found = acceptance(200)
    for (kind, pixels, mean), each in found.items():
        assert len(each.value) == 200
        if pixels == 100:
            assert each.undetermined >= 0.95
            continue
        assert each.undetermined <= 0.05
        if kind == "stationary":
            assert 0.93 <= each.coverage <= 0.99, (pixels, mean)
            assert each.width_over_scatter <= 3.5
        else:
            assert each.coverage >= 0.90, (pixels, mean)
    off = [np.median(found[case].bare) - true_s("ageing") for case in (("ageing", 1600, 1.0), ("ageing", 12800, 0.1))]
    assert 0.17 <= off[0] < off[1] <= 0.52


@pytest.mark.slow
def test_closed_form_agrees_with_sixty_thousand_noiseless_pixels() -> None:
    f = field_correlation(0.2 * ageing_profile())
    counts = pixel_counts(f, 60_000, modes=MODES, mean_counts=5000.0, seed=7)
    for per_cell in (1, 2, 4):
        maps, groups = build_group_maps(counts, max_cells=FRAMES // per_cell)
        found = corrected(maps, groups)
        assert found.high - found.low < 0.03
        assert found.low <= true_s("ageing", per_cell) <= found.high
        total = counts[: FRAMES // per_cell * per_cell].reshape(-1, per_cell, 60_000).sum(axis=1).astype(np.float64)
        mean = total.mean(axis=1)
        bare = nonequilibrium(total @ total.T / 60_000 / np.outer(mean, mean), max_cells=FRAMES).s_noneq
        assert bare == pytest.approx(true_s("ageing", per_cell), abs=0.03)
