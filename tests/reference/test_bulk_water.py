"""Diffusion of 1 um latex spheres in water, from a real bright-field movie through the whole correlation chain.

The squared modulus of each frame's Fourier transform is an optical stand-in for speckles at wave vector q. The
field decays as exp(-q^2 D tau). Particle tracking of the same movie gives D = 0.40 um^2/s, Stokes-Einstein 0.415.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.fft
from numpy.typing import NDArray

from gbx_beamline.correlation import fit_decay, one_time, two_time
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.records import TwoTime

RINGS = np.linspace(2.0, 3.2, 7)
"""1/um."""


@pytest.fixture(scope="module")
def water(shared_data: Path) -> tuple[TwoTime, NDArray[np.float64]]:
    """Two-time correlation in six rings, and the mean q^2 of each in 1/um^2."""
    with np.load(shared_data / "frames" / "bulk_water_cropA_u8.npz") as data:
        frames = data["frames"].astype(np.float32)
        fps, um_per_px = float(data["fps"]), float(data["um_per_px"])
    frames -= frames.mean(axis=(1, 2), keepdims=True)
    # The spectrum of a real image is centrosymmetric: rfft2 keeps one half, and without its first and last column
    # every speckle is there once.
    side = frames.shape[-1]
    spectrum = np.abs(scipy.fft.rfft2(frames))[:, :, 1 : side // 2] ** 2
    counts = np.rint(spectrum * (20.0 / spectrum.mean())).astype(np.uint32)
    qy = 2 * np.pi * np.fft.fftfreq(side) / um_per_px
    qx = 2 * np.pi * np.fft.rfftfreq(side)[1 : side // 2] / um_per_px
    square = qy[:, None] ** 2 + qx[None, :] ** 2
    labels = np.digitize(np.sqrt(square), RINGS) % len(RINGS)
    rings = range(1, len(RINGS))
    return two_time(counts, labels, frame_time=1 / fps), np.array([square[labels == k].mean() for k in rings])


def test_diffusivity_agrees_with_particle_tracking(water: tuple[TwoTime, NDArray[np.float64]]) -> None:
    tt, square = water
    tau, g2, error = one_time(tt)
    fits = [fit_decay(tau, g2[k], error[k]) for k in range(len(square))]
    assert [fit.status for fit in fits] == ["ok"] * len(square)
    diffusivity = np.array([fit.rate for fit in fits]) / square
    assert 0.34 < diffusivity.mean() < 0.48
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
