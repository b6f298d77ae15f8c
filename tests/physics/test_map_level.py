"""Fast maps against photons: mean, covariance and the distribution of S, through the real two_time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
from numpy.typing import NDArray

from gbx_beamline.correlation.diagonals import cell_means
from gbx_beamline.errors import InputError
from gbx_beamline.non_equilibrium import corrected_s, nonequilibrium
from gbx_beamline.simulation import GrainBoundary
from gbx_beamline.simulation.measurement._expected import expected_two_time
from gbx_beamline.simulation.measurement._map_draw import draw_at_cells
from gbx_beamline.simulation.measurement._map_speckles import sharing
from gbx_beamline.simulation.measurement._maps import Maps, measured_maps, measured_maps_batch
from gbx_beamline.simulation.measurement._photons import measured_two_time
from gbx_beamline.simulation.measurement._q_nodes import draw_seen
from gbx_beamline.simulation.measurement._settings import Measurement
from gbx_beamline.simulation.measurement._traces import traces_of

Residuals = NDArray[np.float64]

FRAMES, SIZE = 64, 32
"""Cells of two frames."""

BOUNDARY = GrainBoundary(gamma=1e18, diffusivity=8e-22, gb_fraction=0.4, temperature=420.0)

PLAIN = Measurement(frames=FRAMES, frame_time=2500.0 / FRAMES)

REGIMES = {
    "few photons": replace(PLAIN, pixels=(6000,), mean_counts=(0.3,)),
    "few pixels": replace(PLAIN, pixels=(800,), mean_counts=(5.0,)),
    "nuisances": replace(
        PLAIN,
        pixels=(2500,),
        mean_counts=(2.0,),
        contrast=(0.2,),
        speckle_size=2.0,
        background=(0.1,),
        unevenness=(0.1,),
        static_fraction=(0.2,),
        reference=(0.1,),
        flux_drift=0.2,
        flux_noise=0.03,
        contrast_drift=-0.1,
        beam_motion=0.3,
        monitor_error=0.005,
        bad_frames=0.04,
        beam_dump=0.08,
        q_offset=0.02,
        q_spread=0.06,
    ),
}


# ---- the expected map


@pytest.mark.parametrize("regime", REGIMES)
def test_without_noise_it_is_the_area_mean_of_the_expected_map(regime: str) -> None:
    # So many pixels that no noise is left.
    measurement = replace(REGIMES[regime], pixels=(10**16,))
    draw = draw_seen(BOUNDARY, measurement, seed=3)
    expected = expected_cells(draw, measurement, seed=3)
    found = measured_maps(draw, measurement, seed=3, size=SIZE).g2[0]
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    # Visibility and monitor are averaged over a cell apart from the speckles.
    tolerance = 1e-4 if measurement.monitor_error else 2e-6
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=tolerance)


@pytest.mark.parametrize("regime", ["few pixels", "nuisances"])
def test_one_moment_per_cell_is_nearly_the_area_mean(regime: str) -> None:
    measurement = replace(REGIMES[regime], pixels=(10**16,))
    inside = replace(measurement, bad_frames=0.0, beam_dump=0.0, beam_motion=0.0, contrast_drift=0.0)
    smooth = replace(BOUNDARY, gamma=1e21)
    expected = expected_cells(draw_seen(smooth, inside, seed=3), inside, seed=3)
    found = measured_maps(draw_at_cells(smooth, inside, 3, SIZE), inside, seed=3, size=SIZE).g2[0]
    # Hardly anything moves within a cell but the bulk, whose decay is averaged exactly.
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=3e-5)


def test_avalanches_many_boundaries_and_fast_bulk_have_the_expected_map() -> None:
    crowd = replace(
        BOUNDARY, diffusivity=3e-20, boundaries=5, bow=1e-8, avalanche_rate=2e-3, avalanche_share=0.3, q=(3e8, 6e8)
    )
    measurement = replace(PLAIN, pixels=(10**16, 10**16), contrast=(0.1, 0.3))
    draw = draw_seen(crowd, measurement, seed=4)
    found = measured_maps(draw, measurement, seed=4, size=SIZE)
    for roi in range(2):
        expected = expected_cells(draw, measurement, seed=4, roi=roi)
        np.testing.assert_allclose(found.g2[roi], expected, rtol=0.0, atol=2e-6)


# ---- noise against closed forms


def test_uncorrelated_cells_scatter_by_the_noise_of_photons_and_speckles() -> None:
    # The bulk forgets within a frame: (beta / k + 1 / mu) / sqrt(P), mu photons in a cell of k frames.
    measurement = replace(PLAIN, pixels=(3000,), mean_counts=(2.0,))
    gone = replace(BOUNDARY, gb_fraction=0.0, diffusivity=1e-17)
    draw = draw_seen(gone, measurement, seed=1)
    values = np.stack([upper(measured_maps(draw, measurement, seed, SIZE).g2[0]) for seed in range(40)])
    expected = (0.14 / 2 + 1 / 4.0) / np.sqrt(3000)
    assert values.std() == pytest.approx(expected, rel=0.02)
    assert abs(values.mean() - 1.0) < 4 * expected / np.sqrt(values.size)


@pytest.mark.parametrize("contrast", [0.25, 1.0])
def test_static_speckles_without_photon_noise_scatter_together(contrast: float) -> None:
    # C - 1 is the sample variance of M modes' sums, so Var = beta^2 (2 + 6 beta) / P less what the means take:
    # - 8 beta^3 + 4 beta^3, from the delta method with kappa_3 = 2 beta^2.
    still = replace(BOUNDARY, gb_fraction=0.0, diffusivity=0.0)
    measurement = replace(PLAIN, pixels=(2000,), contrast=(contrast,))
    draw = draw_seen(still, measurement, seed=1)
    maps = np.stack([upper(measured_maps(draw, measurement, seed, SIZE).g2[0]) for seed in range(500)])
    assert maps.std(axis=1).max() < 0.03 * maps.std(axis=0).mean()
    expected = contrast**2 * (2 + 2 * contrast) / 2000
    assert maps.var(axis=0).mean() == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("power", [2, 3, 4])
def test_pixels_that_share_a_speckle_are_counted_in_the_patch(power: int) -> None:
    rows, columns = 40, 28
    y, x = np.divmod(np.arange(rows * columns), columns)
    distance = np.hypot(y[:, None] - y, x[:, None] - x)
    for size in (1.3, 2.0, 3.0):
        argument = np.pi * 1.029 / size * np.maximum(distance, 1e-9)
        mu = 2.0 * scipy.special.j1(argument) / argument
        expected = (mu**power).sum() / (rows * columns)
        found = sharing(np.array(size), np.array(rows), np.array(columns))[power - 2]
        assert found == pytest.approx(expected, rel=0.03)
    np.testing.assert_array_equal(sharing(np.array(1.0), np.array(40.0), np.array(28.0)), 1.0)


def test_stationary_scans_have_no_corrected_s() -> None:
    still = replace(BOUNDARY, gb_fraction=0.0, diffusivity=4e-22)
    measurement = replace(PLAIN, pixels=(4000,), mean_counts=(2.0,))
    draw = draw_seen(still, measurement, seed=1)
    found = np.array([corrected(measured_maps(draw, measurement, seed, SIZE, groups=8)) for seed in range(60)])
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(len(found))
    bare = [bare_s(measured_maps(draw, measurement, seed, SIZE).g2[0]) for seed in range(5)]
    assert np.mean(bare) > 10 * abs(found.mean())


# ---- seeds, batches, engines, bad frames


def test_a_scan_does_not_depend_on_the_batch_it_is_in() -> None:
    boundaries = [BOUNDARY, replace(BOUNDARY, boundaries=3), replace(BOUNDARY, diffusivity=1e-22)]
    measurements = [REGIMES["few pixels"], replace(REGIMES["few pixels"], q_spread=0.05), REGIMES["nuisances"]]
    seeds = [5, 6, 7]
    together = measured_maps_batch(boundaries, measurements, seeds, size=SIZE, groups=4)
    for scan, (boundary, measurement, seed) in enumerate(zip(boundaries, measurements, seeds, strict=True)):
        draw = draw_at_cells(boundary, measurement, seed, SIZE)
        alone = measured_maps(draw, measurement, seed, SIZE, groups=4)
        np.testing.assert_allclose(alone.g2, together.g2[scan], rtol=0.0, atol=2e-6)
        assert alone.group_maps is not None
        assert together.group_maps is not None
        np.testing.assert_allclose(alone.group_maps, together.group_maps[scan], rtol=0.0, atol=1e-5)
    again = measured_maps_batch(boundaries, measurements, seeds, size=SIZE, groups=4)
    np.testing.assert_array_equal(together.g2, again.g2)


def test_torch_makes_maps_of_the_same_kind() -> None:
    pytest.importorskip("torch")
    # One draw for all, and no traces that differ between seeds.
    count = 300
    measurement = replace(
        REGIMES["nuisances"], flux_noise=0.0, beam_motion=0.0, monitor_error=0.0, bad_frames=0.0, beam_dump=0.0
    )
    made = measured_maps_batch(
        [BOUNDARY] * count, [measurement] * count, [1] * count, size=SIZE, groups=4, engine="torch"
    )
    assert made.group_maps is not None
    draw = draw_at_cells(BOUNDARY, measurement, 1, SIZE)
    expected = measured_maps(draw, replace(measurement, pixels=(10**16,)), 1, SIZE).g2[0]
    by_numpy = np.stack([measured_maps(draw, measurement, seed, SIZE).g2[0] for seed in range(count)])
    by_torch, groups = made.g2[:, 0], made.group_maps[:, 0].mean(axis=1)
    variance = [float(upper(((maps - expected) ** 2).mean(axis=0)).mean()) for maps in (by_numpy, by_torch, groups)]
    assert variance == pytest.approx([variance[0]] * 3, rel=0.1)
    z = upper((by_torch - by_numpy).mean(axis=0)) / np.sqrt(2 * variance[0] / count)
    assert np.sqrt(np.mean(z**2)) < 1.6
    refused(lambda: measured_maps_batch([BOUNDARY], [measurement], [1], size=SIZE, engine="torch", device="nil"), "nil")


def test_invalid_cells_are_those_of_the_analysis() -> None:
    measurement = replace(REGIMES["nuisances"], frames=96, frame_time=26.0, bad_frames=0.2)
    draw = draw_seen(BOUNDARY, measurement, seed=8)
    analysed = measured_two_time(draw, measurement, 8, groups=8, max_cells=SIZE, threads=1).two_time
    maps = measured_maps(draw, measurement, 8, SIZE, groups=8)
    photons = off_diagonal(cell_means(analysed.g2[0], 3))
    assert 0 < np.isnan(photons).all(axis=0).sum() < SIZE
    np.testing.assert_array_equal(np.isnan(maps.g2[0]), np.isnan(photons))
    assert analysed.group_maps is not None
    assert maps.group_maps is not None
    assert analysed.groups[0].frames_per_cell == maps.frames_per_cell
    np.testing.assert_array_equal(np.isnan(maps.group_maps[0]), np.isnan(analysed.group_maps[0]))
    assert maps.pixel_groups(0).pairs == analysed.groups[0].pairs
    assert maps.pixel_groups(0).pixels == analysed.groups[0].pixels


def refused(action: Callable[[], Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        action()


def test_what_does_not_fit_is_refused_before_any_work() -> None:
    measurement = REGIMES["few pixels"]
    draw = draw_seen(BOUNDARY, measurement, seed=1)
    refused(lambda: measured_maps(draw, measurement, 1, size=65), "size 65.*3 to 64 time cells")
    refused(lambda: measured_maps(draw, measurement, 1, SIZE, groups=3), "groups 3")
    refused(lambda: measured_maps(draw, replace(measurement, q_spread=0.05), 1, SIZE), "a draw at 1 q")
    refused(lambda: measured_maps(draw, replace(measurement, frame_time=1.0), 1, SIZE), "draw_seen or draw_at_cells")
    refused(lambda: measured_maps(draw, replace(measurement, mean_counts=(0.05,)), 1, SIZE), "photons in a time cell")
    refused(lambda: measured_maps_batch([BOUNDARY], [measurement], [1, 2], size=SIZE), "2 seeds")
    refused(lambda: measured_maps_batch([], [], [], size=SIZE), "0 boundaries")
    odd = [measurement, replace(measurement, frames=96)]
    refused(lambda: measured_maps_batch([BOUNDARY] * 2, odd, [1, 2], size=SIZE), "equally many frames")
    refused(lambda: measured_maps_batch([BOUNDARY], [measurement], [1], size=SIZE, engine="abacus"), "engine 'abacus'")  # type: ignore[arg-type]
    refused(lambda: draw_at_cells(replace(BOUNDARY, q=(4e8, 5e8)), measurement, 1, SIZE), "2 q and 1 q-ROIs")


# ---- both levels


@dataclass(frozen=True)
class Level:
    """Many scans of one draw at one level."""

    residuals: Residuals
    """(scans, n, n) maps minus what is expected of each."""
    bare: NDArray[np.float64]
    """(scans,) S."""
    corrected: NDArray[np.float64]
    """(scans,) S from group maps; NaN where undetermined."""


@cache
def levels(regime: str, scans: int, groups: int) -> tuple[Level, Level]:
    """Photons, then maps: as many scans of each, with the same traces."""
    measurement = REGIMES[regime]
    draw = draw_seen(BOUNDARY, measurement, seed=2)
    photons, maps = [], []
    for seed in range(scans):
        expected = expected_cells(draw, measurement, seed)
        scan = measured_two_time(draw, measurement, seed, groups=groups, max_cells=SIZE, threads=1).two_time
        g2 = off_diagonal(cell_means(scan.g2[0], FRAMES // SIZE))
        known = nonequilibrium(scan, max_cells=SIZE)[0]
        photons.append((g2 - expected, known.s_noneq, known.s_noneq_corrected if groups else np.nan))
        made = measured_maps(draw, measurement, seed, SIZE, groups)
        maps.append((made.g2[0] - expected, bare_s(made.g2[0]), corrected(made) if groups else np.nan))
    first, second = (
        Level(np.stack([one[0] for one in level]), *(np.array([one[k] for one in level], dtype=float) for k in (1, 2)))
        for level in (photons, maps)
    )
    return first, second


def second_moments(residuals: Residuals) -> dict[str, tuple[float, float]]:
    """Variances and covariances of kinds of entries, averaged over the map, each with its standard error."""
    r = residuals - mean_of(residuals, 0)
    row, column = np.triu_indices(SIZE - 1, 2)
    entry, along = r[:, row, column], [np.diagonal(r, lag, 1, 2) for lag in range(SIZE)]
    first, second = slice(0, SIZE // 4), slice(SIZE // 2, 3 * SIZE // 4)
    after, later = slice(SIZE // 4, SIZE // 2), slice(3 * SIZE // 4, SIZE)
    each: dict[str, Residuals] = {f"variance at lag {lag}": along[lag] ** 2 for lag in (1, 4, 12, 24)}
    each["neighbours in a row"] = entry * r[:, row, column + 1]
    each["neighbours at one lag"] = entry * r[:, row + 1, column + 1]
    # Means over many entries hold the covariances of those that are far apart.
    each["mean of a row"] = mean_of(r, 2) ** 2
    each["mean at a lag"] = mean_of(along[6], 1)[:, None] ** 2
    each["mean of the map"] = mean_of(r, (1, 2))[:, None] ** 2
    each["far apart"] = (mean_of(r[:, first, after], (1, 2)) * mean_of(r[:, second, later], (1, 2)))[:, None]
    found = {}
    for name, products in each.items():
        scans = mean_of(products, 1)
        scans = scans[np.isfinite(scans)]
        found[name] = float(scans.mean()), float(scans.std() / np.sqrt(len(scans)))
    return found


def mean_of(values: Residuals, axis: int | tuple[int, ...]) -> Residuals:
    """Mean over the finite values; NaN where there is none."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def assert_same_moments(photons: Level, maps: Level, tolerance: float) -> None:
    found, expected = second_moments(maps.residuals), second_moments(photons.residuals)
    for name, (value, error) in found.items():
        wanted, wanted_error = expected[name]
        # Entries that hardly covary have no ratio that can be told.
        allowed = max(tolerance * wanted, 4.0 * float(np.hypot(error, wanted_error)))
        assert abs(value - wanted) <= allowed, (name, value / wanted)


def assert_same_mean(photons: Level, maps: Level) -> None:
    averages, errors = [], []
    for level in (photons, maps):
        average = mean_of(level.residuals, 0)
        count = np.isfinite(level.residuals).sum(axis=0)
        averages.append(average)
        errors.append(mean_of((level.residuals - average) ** 2, 0) / np.maximum(count, 1))
    z = upper((averages[1] - averages[0]) / np.sqrt(errors[0] + errors[1]))
    assert np.isfinite(z).all()
    assert np.sqrt(np.mean(z**2)) < 1.6
    assert np.abs(z).max() < 5.5


def assert_same_distribution(first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
    assert scipy.stats.ks_2samp(first, second).pvalue > 1e-3


@pytest.mark.parametrize("regime", REGIMES)
def test_maps_scatter_like_photons(regime: str) -> None:
    photons, maps = levels(regime, 30, 0)
    assert_same_mean(photons, maps)
    assert_same_moments(photons, maps, 0.3)
    assert_same_distribution(photons.bare, maps.bare)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("regime", REGIMES)
def test_mean_covariance_and_s_match_those_of_many_photon_scans(regime: str) -> None:
    photons, maps = levels(regime, 1000, 8)
    assert_same_mean(photons, maps)
    assert_same_moments(photons, maps, 0.15)
    variance, error = second_moments(photons.residuals)["variance at lag 4"]
    assert error < 0.03 * variance
    assert_same_distribution(photons.bare, maps.bare)
    known = np.isfinite(photons.corrected), np.isfinite(maps.corrected)
    assert known[0].mean() == pytest.approx(known[1].mean(), abs=0.06)
    assert_same_distribution(photons.corrected[known[0]], maps.corrected[known[1]])


# ---- shared


def expected_cells(draw: Any, measurement: Measurement, seed: int, roi: int = 0) -> NDArray[np.float64]:
    """(n, n) area mean of the expected map."""
    frames = expected_two_time(draw, measurement, traces_of(measurement, seed), roi)
    return off_diagonal(cell_means(frames, measurement.frames // SIZE))


def off_diagonal(square: NDArray[Any]) -> NDArray[Any]:
    """NaN on the diagonal."""
    np.fill_diagonal(square, np.nan)
    return square


def upper(square: NDArray[Any]) -> NDArray[Any]:
    """Entries above the diagonal."""
    return square[np.triu_indices(len(square), 1)]


def bare_s(square: NDArray[Any]) -> float:
    """Eq. 3."""
    return nonequilibrium(square, max_cells=SIZE).s_noneq


def corrected(maps: Maps) -> float:
    """S from the group maps."""
    assert maps.group_maps is not None
    measurement = maps.measurements[0]
    return corrected_s(
        maps.group_maps[0],
        maps.pixel_groups(0),
        frame_time=measurement.frame_time,
        contrast=measurement.of("contrast", 0),
        mean_counts=measurement.of("mean_counts", 0),
    ).value
