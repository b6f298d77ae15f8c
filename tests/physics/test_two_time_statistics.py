"""Two-time and one-time correlation of simulated photons against their closed forms, within theoretical errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.correlation import fit_decay, one_time, two_time
from gbx_beamline.errors import InputError
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.simulation import field_correlation, pixel_counts

FRAMES, PIXELS, MODES, MEAN, RATE = 60, 4000, 4, 2.0, 0.1
CONTRAST = 1 / MODES


SIDE = 64


@pytest.fixture(scope="module")
def stationary() -> NDArray[Any]:
    """(60, 4000) photons with f = exp(-0.1 tau)."""
    return pixel_counts(field_correlation(np.full(FRAMES, RATE)), PIXELS, modes=MODES, mean_counts=MEAN, seed=7)


def standard_error(counts: NDArray[Any], lag: int, truth: float) -> float:
    """Standard error of a ratio of sums at one lag from the scatter between independent pixels (delta method)."""
    x = counts.astype(float) / MEAN
    first, second = x[: len(x) - lag], x[lag:]
    influence = (first * second - truth * (first + second)).mean(axis=0)
    return float(influence.std(ddof=1) / np.sqrt(influence.size))


def test_stationary_dynamics_decay_as_they_were_made(stationary: NDArray[Any]) -> None:
    tt = two_time(stationary, np.ones(PIXELS, dtype=int))
    g2 = one_time(tt).g2[0]
    for lag in (1, 2, 5, 10, 20, 40):
        truth = 1 + CONTRAST * np.exp(-2 * RATE * lag)
        assert abs(g2[lag] - truth) < 4 * standard_error(stationary, lag, truth)


def test_fit_of_stationary_dynamics_returns_rate_and_contrast(stationary: NDArray[Any]) -> None:
    result = one_time(two_time(stationary, np.ones(PIXELS, dtype=int)))
    fit = fit_decay(result.tau, result.g2[0], result.error[0])
    assert fit.status == "ok"
    assert fit.rate == pytest.approx(RATE, rel=0.1)
    assert fit.contrast == pytest.approx(CONTRAST, rel=0.06)


def test_uncorrelated_frames_scatter_by_the_noise_of_photons_and_speckles() -> None:
    # Var(I) / <I>^2 = 1/M + 1/<I>, so a ratio of P pixels scatters by (1/M + 1/<I>) / sqrt(P).
    counts = pixel_counts(np.eye(FRAMES), 1000, modes=MODES, mean_counts=MEAN, seed=3)
    g2 = two_time(counts, np.ones(1000, dtype=int)).g2[0].astype(float)
    apart = g2[np.triu_indices(FRAMES, 1)]
    expected = (CONTRAST + 1 / MEAN) / np.sqrt(1000)
    # 1,770 pairs tell a standard deviation to 1.7 %.
    assert apart.std() == pytest.approx(expected, rel=0.08)
    assert abs(apart.mean() - 1) < 4 * expected / np.sqrt(apart.size)


def test_raw_diagonal_holds_shot_noise_and_the_factorial_moment_does_not(stationary: NDArray[Any]) -> None:
    tt = two_time(stationary, np.ones(PIXELS, dtype=int))
    raw = np.diagonal(tt.g2[0]).astype(float)
    error = standard_error(stationary, 0, 1 + CONTRAST + 1 / MEAN)
    assert abs(raw.mean() - (1 + CONTRAST + 1 / MEAN)) < 4 * error
    assert abs(tt.diagonal[0].mean() - (1 + CONTRAST)) < 4 * error
    # A list of pixels has no neighbours, so nothing is known of its evenness.
    assert tt.static_baseline[0] == 1.0
    assert tt.contrast[0] == pytest.approx(tt.diagonal[0].mean() - 1)
    # The two differ by exactly the photons that would pair with themselves.
    assert raw - tt.diagonal[0] == pytest.approx(1 / tt.frame_means[0], rel=1e-5)


@pytest.mark.parametrize("rate", [0.1, 0.0], ids=["moving", "static"])
@pytest.mark.parametrize("slope", [0.0, 1.2])
def test_contrast_under_a_linear_intensity_profile(rate: float, slope: float) -> None:
    # Speckles of contrast b under s(x): C = <s^2> / <s>^2 (1 + b |f|^2). For s linear from 0.4 to 1.6,
    # <s^2> = 1 + 1.2^2 / 12 (1 - 1 / n^2) on n columns. A raised baseline is no contrast.
    modes, mean, frames = 8, 1.0, 60
    baseline = 1 + slope**2 / 12 * (SIDE + 1) / (SIDE - 1)
    profile = np.tile(np.linspace(1 - slope / 2, 1 + slope / 2, SIDE), SIDE)
    counts = _under_profile(rate, frames, profile, modes=modes, mean=mean)
    tt = two_time(counts.reshape(frames, SIDE, SIDE), np.ones((SIDE, SIDE), dtype=int))
    # Scatter of the estimate between groups of rows, which hold the same profile.
    rows = [two_time(part, np.ones(part.shape[1], dtype=int)) for part in np.split(counts, 16, axis=1)]
    error = float(np.std([one.contrast[0] for one in rows], ddof=1)) / 4
    assert error < 0.01
    assert tt.static_baseline[0] == pytest.approx(baseline, abs=max(error, 2e-3))
    assert abs(tt.contrast[0] - baseline / modes) < 3 * error


def _under_profile(rate: float, frames: int, profile: NDArray[Any], *, modes: int, mean: float) -> NDArray[Any]:
    """(N, P) photons of independent pixels thinned to a share of their counts, which leaves Poisson counts."""
    f = field_correlation(np.full(frames, rate))
    full = pixel_counts(f, profile.size, modes=modes, mean_counts=mean * profile.max(), seed=4)
    return np.random.default_rng(5).binomial(full, profile / profile.max()).astype(np.uint16)


def test_ratio_of_sums_tells_the_truth_where_four_frames_in_ten_are_empty() -> None:
    rois, pixels, frames, mean, modes = 60, 10, 400, 0.1, 8
    f = field_correlation(np.full(frames, 0.002))
    counts = pixel_counts(f, rois * pixels, modes=modes, mean_counts=mean, seed=11)
    labels = np.repeat(np.arange(1, rois + 1), pixels)
    tt = two_time(counts, labels)
    assert (tt.frame_means == 0).mean() == pytest.approx(0.39, abs=0.03)
    lags = slice(1, 51)
    share = f[0, lags] ** 2 / modes
    # The ROI's own mean fluctuates with its few pixels: <m m'> = <I>^2 (1 + |f|^2 / (M P)).
    truth = float(np.mean((1 + share) / (1 + share / pixels)))

    for convention in ("ratio_of_sums", "pychx"):
        by_roi = one_time(tt, convention).g2[:, lags].mean(axis=1)
        error = by_roi.std(ddof=1) / np.sqrt(rois)
        assert error < 0.01
        assert abs(by_roi.mean() - truth) < 3 * error
    # The habit to leave behind: empty frames as zeros.
    filled = np.nan_to_num(tt.g2)
    zero_filled = np.mean([np.diagonal(filled, lag, 1, 2).mean() for lag in range(1, 51)])
    assert zero_filled < 0.5


def test_bad_frames_do_not_reach_any_later_number(stationary: NDArray[Any]) -> None:
    labels = np.ones(PIXELS, dtype=int)
    spoilt = stationary.astype(np.uint16)
    spoilt[[13, 14, 40]] = 60_000
    good = two_time(stationary, labels, bad_frames=[13, 14, 40])
    tt = two_time(spoilt, labels, bad_frames=[13, 14, 40])
    assert np.array_equal(one_time(tt).g2, one_time(good).g2, equal_nan=True)
    (record,) = nonequilibrium(tt)
    assert np.isnan(record.drift[[13, 14, 40]]).all()
    assert np.isfinite(record.drift).sum() == 57 * 56
    assert record.s_noneq == nonequilibrium(good)[0].s_noneq


def test_ageing_photons_score_near_their_noise_free_map() -> None:
    rate = 0.3 * (1 + np.arange(80) / 5.0) ** -1.0
    f = field_correlation(rate)
    truth = nonequilibrium(1 + f**2)
    counts = pixel_counts(f, 6000, modes=1, mean_counts=20.0, seed=2)
    (measured,) = nonequilibrium(two_time(counts, np.ones(6000, dtype=int)))
    assert truth.s_noneq > 0.15
    # Noise adds (1 + 1/20)^2 / P to the variance of C at most where f is small.
    assert measured.s_noneq == pytest.approx(truth.s_noneq, abs=0.03)
    assert measured.drift_rms_over_contrast == pytest.approx(truth.drift_rms_over_contrast, rel=0.15)


def test_complex_field_correlations_enter_by_their_modulus() -> None:
    phase = np.exp(0.7j * np.arange(10) ** 1.5)
    f = field_correlation(np.full(10, 0.1)) * np.outer(phase, phase.conj())
    counts = pixel_counts(f, 20_000, modes=1, mean_counts=10.0, seed=5)
    g2 = two_time(counts, np.ones(20_000, dtype=int)).g2_clean[0]
    # Standard error of one entry: a few times 1 / sqrt(P) = 0.007 for contrast 1.
    assert g2 == pytest.approx(1 + np.abs(f) ** 2, abs=0.12)


def test_same_seed_same_photons_and_wide_counts_do_not_wrap() -> None:
    f = field_correlation(np.full(5, 0.1))
    counts = [pixel_counts(f, 50, modes=2, mean_counts=1e5, seed=seed) for seed in (1, 1, 2)]
    assert np.array_equal(counts[0], counts[1])
    assert not np.array_equal(counts[0], counts[2])
    assert counts[0].dtype == np.uint32
    assert counts[0].mean() == pytest.approx(1e5, rel=0.3)
    assert pixel_counts(f, 50, modes=2, mean_counts=10, seed=1).dtype == np.uint16


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "eigenvalue -1"),
        (np.array([[1.0, 0.2], [0.5, 1.0]]), "not Hermitian"),
        (2 * np.eye(3), "not 1 on the diagonal"),
        (np.ones((2, 3)), r"shape \(2, 3\)"),
    ],
)
def test_what_is_no_field_correlation_is_refused(f: NDArray[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pixel_counts(f, 10, modes=1, mean_counts=1.0, seed=0)
