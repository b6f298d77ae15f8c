"""One-time correlation: averages along diagonals, and their errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.correlation import one_time, two_time
from gbx_beamline.correlation.diagonals import by_lag, lag_means
from gbx_beamline.errors import InputError
from gbx_beamline.records import TwoTime


def measured(bad: tuple[int, ...] = (4,)) -> tuple[NDArray[np.uint8], TwoTime]:
    counts = np.random.default_rng(0).poisson(0.7, size=(14, 6)).astype(np.uint8)
    counts[9] = 0
    return counts, two_time(counts, np.ones(6, dtype=int), frame_time=0.5, bad_frames=bad)


def test_by_lag_moves_diagonals_into_columns() -> None:
    square = np.random.default_rng(1).normal(size=(17, 17))
    sheared = by_lag(square)
    for lag in range(17):
        assert np.array_equal(sheared[: 17 - lag, lag], np.diagonal(square, offset=lag))
        assert np.isnan(sheared[17 - lag :, lag]).all()


def test_lag_means_count_finite_pairs_only() -> None:
    square = np.array([[1.0, 2.0, np.nan], [2.0, 3.0, 8.0], [np.nan, 8.0, 5.0]])
    mean, pairs = lag_means(by_lag(square))
    assert mean == pytest.approx([3.0, 5.0, np.nan], nan_ok=True)
    assert pairs.tolist() == [3, 2, 0]


def test_ratio_of_sums_equals_summed_numerators_over_summed_denominators() -> None:
    counts, tt = measured()
    pixels = counts.astype(float)
    tau, g2, _ = one_time(tt)
    assert tau == pytest.approx(np.arange(14) * 0.5)
    for lag in range(14):
        pairs = [(t, t + lag) for t in range(14 - lag) if 4 not in (t, t + lag)]
        # Counting photon pairs: at lag 0 a photon makes no pair with itself.
        own = pixels if lag == 0 else np.zeros_like(pixels)
        numerator = sum(float(np.mean(pixels[a] * pixels[b] - own[a])) for a, b in pairs)
        denominator = sum(pixels[a].mean() * pixels[b].mean() for a, b in pairs)
        expected = numerator / denominator if denominator else np.nan
        assert g2[0, lag] == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_pychx_convention_is_the_mean_of_ratios() -> None:
    _, tt = measured()
    g2 = one_time(tt, "pychx").g2[0]
    clean = tt.g2_clean[0].astype(float)
    for lag in range(14):
        ratios = np.diagonal(clean, offset=lag)
        ratios = ratios[~np.isnan(ratios)]
        assert g2[lag] == pytest.approx(ratios.mean() if ratios.size else np.nan, rel=1e-6, nan_ok=True)


def test_pychx_error_is_the_standard_error_of_the_mean() -> None:
    _, tt = measured()
    result = one_time(tt, "pychx")
    ratios = np.diagonal(tt.g2[0].astype(float), offset=3)
    ratios = ratios[~np.isnan(ratios)]
    assert result.error[0, 3] == pytest.approx(ratios.std(ddof=1) / np.sqrt(ratios.size), rel=1e-6)


def test_ratio_of_sums_equals_mean_of_ratios_for_equal_frame_means() -> None:
    # Every frame is a rearrangement of the same photons, so every pair weighs the same.
    rng = np.random.default_rng(2)
    counts = np.array([rng.permutation([0, 1, 1, 2, 5]) for _ in range(20)])
    tt = two_time(counts, np.ones(5, dtype=int))
    ours, theirs = one_time(tt), one_time(tt, "pychx")
    assert ours.g2 == pytest.approx(theirs.g2, rel=1e-12)
    assert ours.error == pytest.approx(theirs.error, rel=1e-9, nan_ok=True)
    assert ours.convention == "ratio_of_sums"
    assert theirs.convention == "pychx"


def test_error_covers_the_scatter_between_independent_movies() -> None:
    rng = np.random.default_rng(3)
    results = [one_time(two_time(rng.poisson(1.0, size=(60, 40)), np.ones(40, dtype=int))) for _ in range(200)]
    lag = 7
    scatter = np.std([result.g2[0, lag] for result in results], ddof=1)
    quoted = np.sqrt(np.mean([result.error[0, lag] ** 2 for result in results]))
    # 200 movies tell a standard deviation to 5 %.
    assert quoted == pytest.approx(scatter, rel=0.2)


def test_lags_without_a_pair_are_nan_and_single_pairs_have_no_error() -> None:
    _, tt = measured(bad=(0, 4))
    result = one_time(tt)
    assert np.isnan(result.g2[0, 13])
    assert np.isfinite(result.g2[0, 12])
    assert np.isnan(result.error[0, 12:]).all()
    assert np.isfinite(result.error[0, :11]).all()


def test_unknown_convention_is_refused() -> None:
    _, tt = measured()
    wrong: Any = "symmetric"
    with pytest.raises(InputError, match=r'\'symmetric\'; needed: "ratio_of_sums" or "pychx"'):
        one_time(tt, wrong)
