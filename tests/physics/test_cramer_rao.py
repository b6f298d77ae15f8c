"""The Cramér-Rao bound: against dense Gaussian information, against simulated noise, against the physics' own table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.learning.evaluation import PRIOR_SD, cramer_rao
from gbx_beamline.learning.evaluation._map_metric import MapMetric, shared_pixels
from gbx_beamline.learning.evaluation._varied_maps import prior_variance
from gbx_beamline.learning.evaluation.cramer_rao import with_rois
from gbx_beamline.simulation import GrainBoundary
from gbx_beamline.simulation.measurement import Measurement, VirtualScan, draw_seen, measured_maps

# 2,000 pixels of 0.4 photons in each of 1,250 frames of 2 s, as in the table of the physics.
PHOTON_LIMITED = Measurement(frames=1250, frame_time=2.0, pixels=(2000,), mean_counts=(0.4,))


def scan(diffusivity: float, q: tuple[float, ...] = (4.5e8,), **measured: object) -> VirtualScan:
    boundary = GrainBoundary(gamma=3e18, diffusivity=diffusivity, gb_fraction=0.3, temperature=400.0, q=q)
    pixels = tuple(PHOTON_LIMITED.pixels[0] // len(q) for _ in q)
    return VirtualScan(boundary=boundary, measurement=replace(PHOTON_LIMITED, pixels=pixels, **measured))  # type: ignore[arg-type]


def covariance(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A speckle covariance and the photons' part."""
    t = np.arange(n)
    return 0.14 * np.exp(-0.2 * np.abs(t[:, None] - t)), np.random.default_rng(seed).uniform(0.1, 0.5, n)


def symmetric(n: int, count: int) -> NDArray[np.float64]:
    changes = np.random.default_rng(5).normal(size=(count, n, n))
    return changes + changes.transpose(0, 2, 1)


def test_information_is_that_of_the_dense_covariance_of_off_diagonal_elements() -> None:
    n, pixels = 6, 500.0
    speckle, shot = covariance(n, 0)
    v = speckle + np.diag(shot)
    rows, columns = np.triu_indices(n, 1)
    dense = (
        v[np.ix_(rows, rows)] * v[np.ix_(columns, columns)] + v[np.ix_(rows, columns)] * v[np.ix_(columns, rows)]
    ) / pixels
    changes = symmetric(n, 3)
    seen = changes[:, rows, columns]
    expected = seen @ np.linalg.solve(dense, seen.T)
    duals = MapMetric(speckle, shot, pixels=pixels).duals(changes)
    found = np.einsum("aij,bij->ab", changes, duals)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_photons_alone_make_every_pair_of_cells_an_observation_of_its_own() -> None:
    n, pixels = 8, 1000.0
    _, shot = covariance(n, 1)
    change = symmetric(n, 1)
    # Variance of one element: 1 / (P mu mu').
    rows, columns = np.triu_indices(n, 1)
    expected = (change[0, rows, columns] ** 2 * pixels / (shot[rows] * shot[columns])).sum()
    duals = MapMetric(np.zeros((n, n)), shot, pixels=pixels).duals(change)
    assert (change * duals).sum() == pytest.approx(expected, rel=1e-9)


def test_cells_without_frames_say_nothing() -> None:
    n = 7
    speckle, shot = covariance(n, 2)
    known = np.array([True, True, False, True, True, True, False])
    changes = symmetric(n, 2)
    whole = MapMetric(speckle, shot, pixels=100.0, known=known).duals(changes)
    part = np.ix_(known, known)
    small = MapMetric(speckle[part], shot[known], pixels=100.0).duals(changes[:, known][:, :, known])
    np.testing.assert_allclose(whole[:, known][:, :, known], small, rtol=1e-9)
    assert not whole[:, ~known].any()


def test_noise_of_simulated_maps_is_what_the_metric_says() -> None:
    boundary = GrainBoundary(gamma=3e18, diffusivity=1e-21, gb_fraction=0.3, temperature=400.0, q=(4.5e8,))
    measurement = Measurement(pixels=(4000,), mean_counts=(1.0,))
    draw = draw_seen(boundary, measurement, seed=1)
    maps = np.stack([measured_maps(draw, measurement, seed, size=64).g2[0] for seed in range(300)]).astype(float)
    speckle = draw.two_time(contrast=0.14, normalised=True, size=64)[0].astype(float) - 1.0
    np.fill_diagonal(speckle, 0.14)
    t = np.arange(64) * 2500.0 / 64
    lag = np.abs(t[:, None] - t)
    # What a change of D, of the contrast, and of D with age look like.
    changes = np.stack([lag * np.exp(-4e-4 * lag), speckle, lag * (t[:, None] + t)])
    duals = MapMetric(speckle, np.full(64, 0.25), pixels=4000).duals(changes)
    information = (changes * duals).sum((1, 2))
    seen = np.tensordot(np.nan_to_num(maps - 1.0), duals, axes=((1, 2), (1, 2)))
    # A sum of noise weighed by the dual has the information for its variance; 300 draws know it to 8 %. Intensities of
    # speckles are no Gaussians: the contrast itself fluctuates more.
    ratio = seen.var(axis=0, ddof=1) / information
    assert ratio[[0, 2]] == pytest.approx(1.0, abs=0.3)
    assert 0.9 < ratio[1] < 2.0


@pytest.mark.parametrize(
    ("diffusivity", "sd_d", "sd_lambda"), [(1e-23, 0.167, 0.143), (1e-22, 0.095, 0.143), (3e-22, 0.093, 0.141)]
)
def test_the_table_of_the_physics_with_fixed_nuisances(diffusivity: float, sd_d: float, sd_lambda: float) -> None:
    sd = cramer_rao(scan(diffusivity), 0, trajectory="known", nuisances=False).sd
    assert sd[0] == pytest.approx(sd_d, rel=0.1)
    assert sd[2] == pytest.approx(sd_lambda, rel=0.02)


def test_faster_diffusion_and_more_q_tell_lambda() -> None:
    fast, several = scan(1e-21), scan(1e-21, q=(3e8, 4.5e8, 9e8, 1.8e9))
    one, four = (cramer_rao(each, 0, trajectory="known").sd[2] for each in (fast, several))
    slow = cramer_rao(scan(1e-23), 0, trajectory="known").sd[2]
    assert four < 0.6 * one
    assert one < 0.9 * slow
    assert slow > 0.97 * PRIOR_SD[2]


def test_free_nuisances_and_unknown_boundaries_only_widen() -> None:
    measured = scan(3e-22, static_fraction=(0.1,), background=(0.1,))
    fixed = cramer_rao(measured, 0, nuisances=False, draws=24).sd
    free = cramer_rao(measured, 0, draws=24).sd
    assert (free >= fixed * (1 - 1e-9)).all()
    assert free[0] > 1.1 * fixed[0]
    assert (free <= PRIOR_SD * (1 + 1e-9)).all()
    slow = scan(1e-23)
    known, unknown = (cramer_rao(slow, 0, trajectory=what, draws=24).sd[0] for what in ("known", "unknown"))
    assert unknown > known


def test_one_roi_of_three_is_the_scan_with_that_roi() -> None:
    measured = scan(3e-22, q=(3.9e8, 4.5e8, 5.1e8), contrast=(0.1, 0.14, 0.2))
    alone = with_rois(measured, [1])
    assert alone.boundary.q == (4.5e8,)
    assert alone.measurement.contrast == (0.14,)
    chosen = cramer_rao(measured, 3, rois=[1], trajectory="known").sd
    np.testing.assert_allclose(chosen, cramer_rao(alone, 3, trajectory="known").sd, rtol=1e-6)


def test_priors_count_scans_without_the_effect() -> None:
    # Uniform over 0..0.4 in half of the scans, else 0: E[x^2] = 0.5 * 0.16 / 3, E[x] = 0.1.
    assert prior_variance("static_fraction") == pytest.approx(0.08 / 3 - 0.01)
    assert prior_variance("contrast") == pytest.approx(0.25**2 / 12)


def test_speckles_share_pixels_by_their_area() -> None:
    assert shared_pixels(1.0) == 1.0
    assert shared_pixels(6.0) / shared_pixels(3.0) == pytest.approx(4.0, rel=0.01)
