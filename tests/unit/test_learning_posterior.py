"""Posteriors of single scans, and their products, where the answer is known: Gaussians well inside the box."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.learning.group import BOLTZMANN_EV, by_temperature, combined, shot_weight
from gbx_beamline.learning.parameters import ParameterBox
from gbx_beamline.learning.posterior import Posterior, smoothed

BOX = ParameterBox()
TRUTH = np.array([-22.0, 18.4, 0.25])
SPREAD = np.array([0.15, 0.3, 0.05])


def gaussian(mean: NDArray[np.float64], covariance: NDArray[np.float64], seed: int, count: int = 2000) -> Posterior:
    """A posterior that is a normal distribution of u."""
    normal = scipy.stats.multivariate_normal(mean, covariance)
    u = np.clip(normal.rvs(count, random_state=seed), BOX.low + 1e-6, BOX.high - 1e-6)
    return Posterior(BOX.to_physical(u), BOX, lambda at: np.asarray(normal.logpdf(at)).reshape(len(at)))


def moments(samples: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    u = BOX.to_u(samples)
    return u.mean(axis=0), u.std(axis=0)


def covariance_of(spread: NDArray[np.float64], correlation: float = 0.0) -> NDArray[np.float64]:
    """D and lambda covary, as they do."""
    found = np.diag(spread**2)
    found[0, 2] = found[2, 0] = correlation * spread[0] * spread[2]
    return found


def test_intervals_are_quantiles_in_si() -> None:
    posterior = gaussian(TRUTH, covariance_of(SPREAD), seed=1, count=20_000)
    low, median, high = BOX.to_u(posterior.intervals(0.9).T)
    np.testing.assert_allclose(median, TRUTH, atol=0.02 * SPREAD.max())
    np.testing.assert_allclose(high - low, 2 * 1.645 * SPREAD, rtol=0.03)
    with pytest.raises(InputError, match="between 0 and 1"):
        posterior.intervals(90)


def test_density_on_a_grid_is_per_unit_of_u_and_nothing_outside_the_box() -> None:
    posterior = gaussian(TRUTH, covariance_of(SPREAD), seed=1)
    axes = [np.linspace(low, high, 60) for low, high in zip(TRUTH - 5 * SPREAD, TRUTH + 5 * SPREAD, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    assert np.exp(posterior.log_prob(BOX.to_physical(grid))).sum() * cell == pytest.approx(1.0, rel=1e-3)
    assert posterior.log_prob([1e-30, 1e18, 0.2]) == -np.inf
    with pytest.raises(InputError, match="samples alone"):
        Posterior(posterior.samples, BOX).log_prob([1e-22, 1e18, 0.2])


def test_marginals_smooth_samples_up_to_the_edges() -> None:
    grid = np.linspace(0.0, 0.5, 101)
    uniform = Posterior(BOX.to_physical(BOX.sample(np.random.default_rng(1), 20_000)), BOX)
    np.testing.assert_allclose(uniform.marginal("gb_fraction", grid), 2.0, rtol=0.1)
    normal = smoothed(0.25 + 0.05 * np.random.default_rng(2).standard_normal(50_000), np.ones(50_000), grid, (0.0, 0.5))
    np.testing.assert_allclose(normal, scipy.stats.norm.pdf(grid, 0.25, 0.05), atol=0.15)


def test_shots_at_one_temperature_are_the_product_over_the_prior() -> None:
    rng = np.random.default_rng(3)
    covariance = covariance_of(SPREAD, 0.8)
    means = rng.multivariate_normal(TRUTH, covariance, size=5)
    shots = [gaussian(mean, covariance, seed) for seed, mean in enumerate(means)]
    found = combined(shots, [300.0] * 5, seed=1)
    assert len(found) == 5
    # The prior is uniform: means average, the covariance is that of the mean.
    mean, spread = moments(found[0].samples)
    np.testing.assert_allclose(mean, means.mean(axis=0), atol=0.1 * SPREAD.max() / np.sqrt(5))
    np.testing.assert_allclose(spread, SPREAD / np.sqrt(5), rtol=0.08)
    assert np.corrcoef(BOX.to_u(found[0].samples)[:, [0, 2]].T)[0, 1] == pytest.approx(0.8, abs=0.05)
    assert found[0].effective > 500
    np.testing.assert_array_equal(found[0].samples, found[4].samples)


def test_correlated_errors_count_as_fewer_shots() -> None:
    shots = [gaussian(TRUTH, covariance_of(SPREAD), seed) for seed in range(9)]
    spread = moments(combined(shots, [300.0] * 9, correlation=0.25)[0].samples)[1]
    # w = 1 / (1 + 8 / 4): nine shots as three.
    assert shot_weight(9, 0.25) == pytest.approx(1 / 3)
    np.testing.assert_allclose(spread, SPREAD / np.sqrt(3), rtol=0.08)


def test_shots_at_other_temperatures_share_lambda_alone() -> None:
    spread = np.array([0.15, 0.3, 0.06])
    lambdas = np.array([0.2, 0.24, 0.28])
    shots = [
        gaussian(np.array([-22.5 + 0.5 * index, 18.5, value]), covariance_of(spread, 0.8), index, 8000)
        for index, value in enumerate(lambdas)
    ]
    found = combined(shots, [300.0, 350.0, 400.0], samples=8000)
    for index, one in enumerate(found):
        mean, width = moments(one.samples)
        assert mean[2] == pytest.approx(0.24, abs=0.006)
        assert width[2] == pytest.approx(0.06 / np.sqrt(3), rel=0.1)
        # D follows lambda along its own regression line; what lambda does not say of it stays.
        expected = -22.5 + 0.5 * index + 0.8 * 0.15 / 0.06 * (0.24 - lambdas[index])
        assert mean[0] == pytest.approx(expected, abs=0.02)
        assert width[0] == pytest.approx(0.15 * np.sqrt(1 - 0.8**2 * (1 - 1 / 3)), rel=0.1)
        assert width[1] == pytest.approx(0.3, rel=0.1)


def test_arrhenius_draws_a_straight_line_through_all_temperatures() -> None:
    temperatures = np.array([300.0, 350.0, 400.0, 450.0])
    inverse = 1 / temperatures
    cold = (inverse - inverse.mean()) / (BOLTZMANN_EV * np.log(10))
    truth = np.stack([-22.0 - 0.4 * cold, 18.5 + 0.3 * cold, np.full(4, 0.25)], axis=1)
    covariance = covariance_of(SPREAD)
    shots = [gaussian(mean, covariance, seed) for seed, mean in enumerate(truth)]
    found = combined(shots, temperatures.tolist(), shared="arrhenius", samples=4000)
    # Weighted straight line: Var at lever c is sd^2 (1 / n + c^2 / sum c^2).
    shrink = np.sqrt(0.25 + cold**2 / (cold**2).sum())
    for index, one in enumerate(found):
        mean, spread = moments(one.samples)
        np.testing.assert_allclose(mean, truth[index], atol=0.25 * SPREAD.max() * shrink[index])
        assert spread[0] == pytest.approx(SPREAD[0] * shrink[index], rel=0.12)
        assert spread[2] == pytest.approx(SPREAD[2] / 2, rel=0.12)


def test_shots_that_contradict_each_other_have_no_evidence_together() -> None:
    covariance = covariance_of(SPREAD)
    alike = [gaussian(TRUTH, covariance, seed) for seed in range(2)]
    apart = [gaussian(TRUTH + sign * 3.5 * SPREAD * [1, 0, 0], covariance, seed) for seed, sign in enumerate((-1, 1))]
    assert combined(alike, [300.0] * 2)[0].log_evidence > 0
    # Product of two normals: log of volume / (2 sqrt(pi) sd)^3 minus (7 sd)^2 / (4 sd^2).
    expected = np.log(BOX.width / (2 * np.sqrt(np.pi) * SPREAD)).sum() - 49 / 4
    assert combined(apart, [300.0] * 2)[0].log_evidence == pytest.approx(expected, abs=0.3)


def test_a_single_scan_stays_what_it_is() -> None:
    posterior = gaussian(TRUTH, covariance_of(SPREAD), seed=1)
    mean, spread = moments(combined([posterior], [300.0])[0].samples)
    np.testing.assert_allclose(mean, BOX.to_u(posterior.samples).mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(spread, SPREAD, rtol=0.05)


def test_temperatures_within_two_kelvin_are_one() -> None:
    assert by_temperature([400.0, 300.0, 301.5, 400.5, 303.0]) == [[1, 2], [4], [0, 3]]
