"""Fits and scaling of simulated photons: their errors cover the scatter between movies, and diffusion is recognised."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.correlation import two_time
from gbx_beamline.correlation._g4 import g4
from gbx_beamline.correlation._kinetics import fit_kinetics
from gbx_beamline.correlation._scaling import scaling
from gbx_beamline.records import PixelGroups, TwoTime
from gbx_beamline.simulation import SpeckleMovie, field_correlation, pixel_counts

GROUPS = 8
Q = np.array([2e7, 3e7, 4e7, 6e7])


def correlated(counts: NDArray[Any], labels: NDArray[Any], *, cell: int = 1, frame_time: float = 1.0) -> TwoTime:
    """Two-time correlation of counts (N, P) with maps of equal runs of each ROI's pixels as groups."""
    tt = two_time(counts, labels, frame_time=frame_time)
    cells = len(counts) // cell
    added = counts[: cells * cell].reshape(cells, cell, -1).sum(axis=1)
    rois = int(labels.max())
    maps = np.empty((rois, GROUPS, cells, cells), dtype=np.float32)
    layouts = []
    for roi in range(rois):
        parts = np.array_split(np.flatnonzero(labels == roi + 1), GROUPS)
        which = np.zeros_like(labels)
        for group, part in enumerate(parts):
            which[part] = group + 1
        maps[roi] = two_time(added, which).g2
        layouts.append(
            PixelGroups(
                count=GROUPS,
                pixels=tuple(len(part) for part in parts),
                frames_per_cell=cell,
                pairs=tuple((a, b) for a in range(GROUPS) for b in range(a + 1, GROUPS)),
                speckle_size=1.0,
                status="ok",
            )
        )
    return replace(tt, group_maps=maps, groups=tuple(layouts))


@pytest.mark.parametrize(
    ("frames", "cell", "rate"),
    [(128, 1, 0.2), (128, 1, 0.02), (160, 4, 0.06)],
    ids=["fast", "slow", "cells of 4 frames"],
)
def test_scatter_between_movies_is_what_the_error_says(frames: int, cell: int, rate: float) -> None:
    pixels, movies = 800, 40
    field = field_correlation(np.full(frames, rate))
    logs, errors, exponents, exponent_errors = [], [], [], []
    for seed in range(movies):
        counts = pixel_counts(field, pixels, modes=4, mean_counts=1.0, seed=seed)
        (fit,) = fit_kinetics(correlated(counts, np.ones(pixels, dtype=int), cell=cell), ages=1)
        assert fit.status == "ok"
        assert fit.error_source == "groups"
        assert fit.errors["relaxation_time"] is not None
        logs.append(np.log(fit.relaxation_time))
        errors.append(fit.errors["relaxation_time"] / fit.relaxation_time)
        exponents.append(fit.exponent)
        exponent_errors.append(fit.errors["exponent"])
    # 40 movies tell a standard deviation to 11 %.
    assert 0.7 < np.std(logs, ddof=1) / np.sqrt(np.mean(np.square(errors))) < 1.5
    assert 0.7 < np.std(exponents, ddof=1) / np.sqrt(np.mean(np.square(exponent_errors))) < 1.5
    assert abs(np.mean(logs) + np.log(rate)) < 4 * np.std(logs) / np.sqrt(movies)
    assert abs(np.mean(exponents) - 1) < 4 * np.std(exponents) / np.sqrt(movies)


def speckles(rates: NDArray[Any], *, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """(240, P) photons of a movie in which bands of rows have these rates, and their labels."""
    rows, columns = 24, 96
    per_pixel = np.repeat(rates, rows)[:, None] * np.ones(columns)
    movie = SpeckleMovie(
        (rows * len(rates), columns), 240, rate=per_pixel, modes=4, speckle_size=1.5, mean_counts=2.0, seed=seed
    )
    # Columns first: the groups, runs of pixels, are blocks of 12 columns.
    counts = movie.read(0, 240).transpose(0, 2, 1).reshape(240, -1)
    labels = np.tile(np.repeat(np.arange(1, len(rates) + 1), rows), columns)
    return counts, labels


def test_rates_proportional_to_q_squared_are_diffusion() -> None:
    diffusivity = 5e-17
    tt = correlated(*speckles(diffusivity * Q**2, seed=1))
    found = scaling(fit_kinetics(tt), Q, q_convention="|q|")
    assert found.error_source == "groups"
    assert found.diffusive == "yes"
    assert abs(found.exponent - 2.0) < 3 * found.error
    assert found.error < 0.15
    assert abs(found.diffusivity - diffusivity) < 3 * found.diffusivity_error
    assert found.diffusivity_error < 0.1 * diffusivity
    two = scaling([fit for fit in fit_kinetics(tt) if fit.roi < 2], Q, q_convention="|q|")
    assert two.diffusive == "unknown"


def test_rates_proportional_to_q_are_not() -> None:
    tt = correlated(*speckles(0.03 * Q / Q[0], seed=2))
    found = scaling(fit_kinetics(tt), Q, q_convention="|q|")
    assert found.diffusive == "no"
    assert abs(found.exponent - 1.0) < 3 * found.error
    assert np.isnan(found.diffusivity)


def test_compressed_decays_are_not_diffusion() -> None:
    # Gaussian decay of the field is positive definite: exponent 2, as of ballistic motion with a spread of speeds.
    lag = np.subtract.outer(np.arange(200), np.arange(200))
    parts = [
        pixel_counts(np.exp(-((0.03 * q / Q[0] * lag) ** 2)), 1600, modes=4, mean_counts=2.0, seed=seed)
        for seed, q in enumerate(Q)
    ]
    labels = np.repeat(np.arange(1, 5), 1600)
    found = scaling(fit_kinetics(correlated(np.hstack(parts), labels)), Q, q_convention="|q|")
    assert found.diffusive == "no"
    assert found.stretching == pytest.approx(2.0, abs=0.15)
    assert found.exponent == pytest.approx(1.0, abs=0.15)


def test_windows_of_an_ageing_movie_follow_its_slowing_down() -> None:
    rate = 0.4 / (1.0 + np.arange(240) / 40.0)
    counts = pixel_counts(field_correlation(rate), 3200, modes=2, mean_counts=2.0, seed=5)
    fits = fit_kinetics(correlated(counts, np.ones(3200, dtype=int)))[1:]
    assert all(fit.status == "ok" for fit in fits)
    for index, fit in enumerate(fits):
        within = 1.0 / rate[80 * index : 80 * (index + 1)]
        assert within.min() < fit.relaxation_time < within.max()


def test_even_dynamics_have_no_g4_beyond_noise_and_bursts_do() -> None:
    even = np.full(160, 0.05)
    bursts = np.where(np.arange(160) % 40 < 8, 0.25, 0.0)
    sizes = {}
    for name, rate in (("even", even), ("bursts", bursts)):
        counts = pixel_counts(field_correlation(rate), 3200, modes=1, mean_counts=2.0, seed=6)
        (found,) = g4(correlated(counts, np.ones(3200, dtype=int)))
        assert found.status == "ok"
        sizes[name] = found.noise_free[8] / found.error[8]
        assert found.raw[8] > 0
        if name == "bursts":
            # The same from the map without noise.
            truth = np.diagonal(field_correlation(rate) ** 2, offset=8).var(ddof=1)
            assert found.noise_free[8] == pytest.approx(truth, abs=4 * found.error[8])
    assert abs(sizes["even"]) < 4
    assert sizes["bursts"] > 8
