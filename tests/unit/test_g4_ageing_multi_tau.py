"""g4, ageing slices and lag bins against closed forms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.correlation import one_time, two_time
from gbx_beamline.correlation._ageing import age_slices
from gbx_beamline.correlation._g4 import g4
from gbx_beamline.correlation._multi_tau import lag_edges, multi_tau
from gbx_beamline.errors import InputError
from gbx_beamline.records import PixelGroups, TwoTime
from gbx_beamline.simulation import field_correlation

FRAMES = 120


def counted(frames: int = FRAMES, pixels: int = 50) -> TwoTime:
    counts = np.random.default_rng(0).poisson(1.5, size=(frames, pixels))
    return two_time(counts, np.ones(pixels, dtype=int), frame_time=0.5, bad_frames=[4, 30])


def carrying(tt: TwoTime, square: NDArray[Any]) -> TwoTime:
    """The same frames with another map, its diagonal included."""
    return replace(tt, g2=square[np.newaxis].astype(np.float32), diagonal=np.diagonal(square)[np.newaxis].copy())


def grouped(
    tt: TwoTime, maps: NDArray[Any], *, cell: int = 1, pairs: tuple[tuple[int, int], ...] | None = None
) -> TwoTime:
    count = len(maps)
    layout = PixelGroups(
        count=count,
        pixels=(100,) * count,
        frames_per_cell=cell,
        pairs=tuple((a, b) for a in range(count) for b in range(a + 1, count)) if pairs is None else pairs,
        speckle_size=1.0,
        status="ok",
    )
    return replace(tt, group_maps=maps[np.newaxis].astype(np.float32), groups=(layout,))


def modulated(values: NDArray[Any]) -> NDArray[np.float64]:
    """A map whose diagonal at any lag holds ``values`` of the earlier frame."""
    index = np.arange(len(values))
    return 1.0 + values[np.minimum(index[:, None], index[None, :])]


def noisy(square: NDArray[Any], size: float, seed: int) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).normal(0.0, size, square.shape)
    return square + np.triu(noise) + np.triu(noise, 1).T


# Lag bins.


def test_bins_cover_every_lag_once_and_double_their_width() -> None:
    for channels in (8, 16):
        edges = lag_edges(5000, channels)
        width = np.diff(edges)
        assert edges[0] == 1
        assert edges[-1] == 5000
        assert (edges[:channels] == np.arange(1, channels + 1)).all()
        assert set(width[:-1]) == {2**level for level in range(int(np.log2(width.max())) + 1)}
        assert (width <= np.maximum(1, 2 * edges[:-1] / channels)).all()


def test_short_series_have_the_lags_they_have() -> None:
    assert lag_edges(1).tolist() == [1]
    assert lag_edges(2).tolist() == [1, 2]
    assert lag_edges(9, channels=8).tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    empty = multi_tau(np.zeros(1), np.ones(1), np.ones(1))
    assert empty.tau.size == empty.g2.size == 0


def test_constant_and_straight_lines_stay_what_they_are() -> None:
    tau = np.arange(3000) * 0.25
    for line in (np.full(3000, 1.3), 2.0 - 1e-3 * tau):
        g2 = line.copy()
        g2[[17, 18, 400, 2999]] = np.nan
        found = multi_tau(tau, g2, np.full(3000, 0.01))
        assert found.g2 == pytest.approx(np.interp(found.tau, tau, line), rel=1e-12)
        assert found.error == pytest.approx(np.full(found.g2.size, 0.01))


def test_bins_are_exact_sums_over_their_pairs() -> None:
    tt = counted()
    tau, g2, error = one_time(tt, "pychx")
    known = np.isfinite(tt.g2[0])
    pairs = np.array([np.diagonal(known, offset=lag).sum() for lag in range(FRAMES)], dtype=float)
    found = multi_tau(tau, g2[0], error[0], pairs=pairs, channels=8)
    for index in (3, 9, 15, len(found.g2) - 1):
        lags = range(found.edges[index], found.edges[index + 1])
        values = np.concatenate([np.diagonal(tt.g2[0], offset=lag) for lag in lags]).astype(float)
        values = values[np.isfinite(values)]
        assert found.g2[index] == pytest.approx(values.mean(), rel=1e-9)
        assert found.pairs[index] == values.size
        assert found.tau[index] == pytest.approx(np.average(tau[list(lags)], weights=pairs[list(lags)]))


def test_unmeasured_lags_and_errors_are_passed_over() -> None:
    tau, g2, error = np.arange(40.0), np.full(40, 1.1), np.full(40, 0.02)
    g2[[16, 17]], error[[18, 20, 21]] = np.nan, np.nan
    found = multi_tau(tau, g2, error)
    at = {int(edge): index for index, edge in enumerate(found.edges[:-1])}
    assert np.isnan(found.g2[at[16]])
    assert found.tau[at[16]] == 16.5
    assert found.pairs[at[16]] == 0
    assert found.error[at[18]] == pytest.approx(0.02)
    assert found.g2[at[20]] == pytest.approx(1.1)
    assert np.isnan(found.error[at[20]])


def test_misuse_of_lag_bins_is_refused() -> None:
    with pytest.raises(InputError, match="5 channels"):
        lag_edges(10, 5)
    with pytest.raises(InputError, match="0 frames"):
        lag_edges(0)
    with pytest.raises(InputError, match=r"of shapes \(4,\), \(3,\)"):
        multi_tau(np.ones(4), np.ones(3), np.ones(4))
    with pytest.raises(InputError, match="non-finite pairs"):
        multi_tau(np.ones(4), np.ones(4), np.ones(4), pairs=np.array([1.0, np.nan, 1.0, 1.0]))


# Ageing slices.


def test_slices_of_an_ageing_map_follow_its_rate() -> None:
    rate = 0.3 / (1.0 + np.arange(FRAMES) / 20.0)
    square = 1.0 + 0.2 * field_correlation(rate) ** 2
    tt = replace(carrying(counted(), square), frame_means=np.ones((1, FRAMES)))
    found = age_slices(tt, [10.0, 40.0], 0.5)
    assert found.convention == "start"
    assert found.tau[:3] == pytest.approx([0.0, 0.5, 1.0])
    for index, start in enumerate((20, 80)):
        assert found.g2[0, index, : FRAMES - start] == pytest.approx(square[start, start:], rel=1e-6)
        assert np.isnan(found.g2[0, index, FRAMES - start :]).all()
        assert np.isnan(found.error[0, index]).all()
    # The older sample is the slower one.
    assert (found.g2[0, 1, 1:40] > found.g2[0, 0, 1:40]).all()


def test_slices_average_ratio_of_sums_over_their_width() -> None:
    tt = counted()
    found = age_slices(tt, [15.0], 6.0)
    means = tt.frame_means[0]
    for lag in (0, 1, 7, 60):
        # From 12 s to 18 s in steps of 0.5 s; frame 30 is bad.
        starts = [t for t in range(24, 36) if 30 not in (t, t + lag)]
        weights = np.array([means[t] * means[t + lag] for t in starts])
        values = np.array([tt.g2_clean[0, t, t + lag] for t in starts], dtype=float)
        mean = np.average(values, weights=weights)
        scatter = np.sqrt(len(starts) / (len(starts) - 1) * ((weights * (values - mean)) ** 2).sum()) / weights.sum()
        assert found.pairs[0, 0, lag] == len(starts)
        assert found.g2[0, 0, lag] == pytest.approx(mean, rel=1e-6)
        assert found.error[0, 0, lag] == pytest.approx(scatter, rel=1e-5)


def test_one_slice_over_everything_is_the_one_time_correlation() -> None:
    tt = counted()
    whole = age_slices(tt, [30.0], 60.0)
    tau, g2, error = one_time(tt)
    assert whole.tau == pytest.approx(tau)
    assert whole.g2[0, 0] == pytest.approx(g2[0], rel=1e-9, nan_ok=True)
    assert whole.error[0, 0] == pytest.approx(error[0], rel=1e-7, nan_ok=True)


def test_slice_of_a_bad_frame_is_nan() -> None:
    found = age_slices(counted(), [2.0, 59.9], 0.1)
    assert np.isnan(found.g2[0, 0]).all()
    assert (found.pairs[0, 0] == 0).all()
    # The last frame pairs with itself only.
    assert np.isfinite(found.g2[0, 1]).sum() == 1


@pytest.mark.parametrize(
    ("ages", "width", "message"),
    [([], 1.0, "ages"), ([60.0], 1.0, "60"), ([-1.0], 1.0, "-1"), ([np.nan], 1.0, "nan"), ([1.0], 0.0, "width of 0")],
)
def test_misuse_of_slices_is_refused(ages: list[float], width: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        age_slices(counted(), ages, width)


# g4.


def test_known_modulation_comes_back_at_every_lag() -> None:
    values = 0.05 * np.sin(np.arange(FRAMES) / 3.0)
    tt = replace(carrying(counted(), modulated(values)), group_maps=None, groups=())
    (found,) = g4(replace(tt, valid_frames=np.ones(FRAMES, dtype=bool), frame_means=np.ones((1, FRAMES))))
    for lag in (1, 10, FRAMES - 8):
        assert found.raw[lag] == pytest.approx(np.var(values[: FRAMES - lag], ddof=1), rel=1e-5)
        assert found.pairs[lag] == FRAMES - lag
    assert np.isnan(found.raw[0])
    assert np.isnan(found.raw[FRAMES - 7 :]).all()
    assert found.tau[:2].tolist() == [0.0, 0.5]
    assert found.status == "no pixel groups: raw holds the noise of photons and speckles"
    assert found.noise_free.size == found.tau_groups.size == 0


def test_noise_between_groups_cancels_and_what_they_share_stays() -> None:
    values = 0.05 * np.sin(np.arange(FRAMES) / 3.0)
    truth = modulated(values)
    tt = carrying(counted(), noisy(truth, 0.1, seed=99))
    (found,) = g4(grouped(tt, np.array([noisy(truth, 0.1, seed) for seed in range(8)])))
    assert found.status == "ok"
    expected = np.array([np.var(values[: FRAMES - lag], ddof=1) for lag in range(1, 60)])
    pulls = (found.noise_free[1:60] - expected) / found.error[1:60]
    # 59 lags with independent noise.
    assert np.sqrt(np.mean(pulls**2)) == pytest.approx(1.0, abs=0.3)
    assert abs(pulls.mean()) < 0.5
    # The raw variance counts the noise of 0.1 as fluctuation.
    assert found.raw[1:60] - expected == pytest.approx(np.full(59, 0.01), rel=0.7)


def test_groups_that_share_nothing_have_none() -> None:
    flat = np.full((FRAMES, FRAMES), 1.2)
    maps = np.array([noisy(flat, 0.1, seed) for seed in range(6)])
    (found,) = g4(grouped(carrying(counted(), flat), maps))
    pulls = found.noise_free[1:100] / found.error[1:100]
    assert np.sqrt(np.mean(pulls**2)) == pytest.approx(1.0, abs=0.3)


def test_only_independent_pairs_of_groups_count() -> None:
    flat = np.full((FRAMES, FRAMES), 1.2)
    shared = noisy(flat, 0.1, seed=0)
    maps = np.array([shared, shared, *(noisy(flat, 0.1, seed) for seed in (1, 2, 3))])
    apart = tuple((a, b) for a in range(5) for b in range(a + 1, 5) if (a, b) != (0, 1))
    (both,) = g4(grouped(carrying(counted(), flat), maps))
    (left,) = g4(grouped(carrying(counted(), flat), maps, pairs=apart))
    assert both.noise_free[1:60].mean() == pytest.approx(0.01 / 10, rel=0.3)
    assert abs(left.noise_free[1:60].mean()) < 1e-4


def test_groups_on_cells_have_their_own_lags() -> None:
    values = 0.05 * np.sin(np.arange(FRAMES) / 12.0)
    maps = np.array([modulated(values[::4])] * 4)
    # A cell with too few good frames, in one group only.
    maps[1, 5], maps[1, :, 5] = np.nan, np.nan
    (found,) = g4(grouped(carrying(counted(), modulated(values)), maps, cell=4))
    assert found.tau_groups[:3].tolist() == [0.0, 2.0, 4.0]
    kept = np.delete(values[::4], [3, 5])[: 30 - 2 - 2]
    assert found.noise_free[2] == pytest.approx(np.var(kept, ddof=1), rel=1e-5)
    assert np.isnan(found.noise_free[30 - 7 :]).all()


def test_short_or_empty_series_say_so() -> None:
    short = g4(counted(frames=40), min_pairs=60)[0]
    assert short.status == "no lag has 60 pairs of valid frames"
    assert np.isnan(short.raw).all()
    tt = counted()
    (empty,) = g4(grouped(tt, np.full((4, FRAMES, FRAMES), np.nan)))
    assert empty.status == "no lag has 8 cells that are valid in every group"
    (single,) = g4(grouped(tt, np.ones((1, FRAMES, FRAMES))))
    assert single.status.startswith("fewer than two independent pixel groups")
    with pytest.raises(InputError, match="min_pairs = 1"):
        g4(tt, min_pairs=1)


def test_two_groups_have_a_covariance_without_an_error() -> None:
    flat = np.full((FRAMES, FRAMES), 1.2)
    (found,) = g4(grouped(counted(), np.array([noisy(flat, 0.1, seed) for seed in (1, 2)])))
    assert np.isfinite(found.noise_free[1:100]).all()
    assert np.isnan(found.error).all()
