"""Diffusion of 1 um latex spheres in water, from a real bright-field movie through the whole correlation chain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bulk_water import HIGHEST, LOWEST, bulk_water
from numpy.typing import NDArray

from gbx_beamline.correlation import fit_decay, one_time, two_time
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.records import TwoTime


@pytest.fixture(scope="module")
def water(shared_data: Path) -> tuple[TwoTime, NDArray[np.float64]]:
    """Two-time correlation in six rings, and the mean q^2 of each in 1/um^2."""
    movie = bulk_water(shared_data)
    labels = movie.labels
    square = np.array([(movie.q[labels == ring] ** 2).mean() for ring in range(1, labels.max() + 1)])
    return two_time(movie.counts, labels, frame_time=movie.frame_time), square


def test_diffusivity_agrees_with_particle_tracking(water: tuple[TwoTime, NDArray[np.float64]]) -> None:
    tt, square = water
    tau, g2, error = one_time(tt)
    fits = [fit_decay(tau, g2[k], error[k]) for k in range(len(square))]
    assert [fit.status for fit in fits] == ["ok"] * len(square)
    diffusivity = np.array([fit.rate for fit in fits]) / square
    assert LOWEST < diffusivity.mean() < HIGHEST
    assert diffusivity.std() < 0.1 * diffusivity.mean()
    contrast = np.array([fit.contrast for fit in fits])
    assert contrast == pytest.approx(np.ones(len(square)), abs=0.12)


def test_decay_is_that_of_diffusion(water: tuple[TwoTime, NDArray[np.float64]]) -> None:
    tt, square = water
    tau, g2, error = one_time(tt)
    exponents = [fit_decay(tau, g2[k], error[k], exponent=None).exponent for k in range(len(square))]
    assert np.mean(exponents) == pytest.approx(1.0, abs=0.1)


def test_drift_of_an_equilibrium_sample_is_small_against_its_contrast(
    water: tuple[TwoTime, NDArray[np.float64]],
) -> None:
    for record in nonequilibrium(water[0]):
        assert record.status == "ok"
        assert (record.frames_per_cell, len(record.tti)) == (2, 150)
        assert record.drift_rms_over_contrast < 0.1
        # Uncorrected, the share counts speckle-sampling noise: far from 0 though nothing ages here.
        assert 0.0 < record.s_noneq < 0.5
