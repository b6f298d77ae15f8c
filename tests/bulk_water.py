"""A movie of 1 um latex spheres in water as speckles: frames, wave vectors and rings for the tests that use it.

The squared modulus of each frame's Fourier transform is an optical stand-in for speckles at wave vector q. The
field decays as exp(-q^2 D tau). Particle tracking of the same movie gives D = 0.40 um^2/s, Stokes-Einstein 0.415.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft
from numpy.typing import NDArray

RINGS = np.linspace(2.0, 3.2, 7)
"""Edges of six rings, 1/um: above 2 the diffusivity is that of single spheres, at 3.5 the optics end."""

LOWEST, HIGHEST = 0.34, 0.48
"""um^2/s: where the diffusivity averaged over the rings must lie."""


@dataclass(frozen=True)
class BulkWater:
    """Half plane of spectra, as a detector beside the beam would see it."""

    counts: NDArray[np.uint32]
    """(N, y, x) rows from the most negative to the highest frequency, columns from the first positive one."""
    frame_time: float
    """s."""
    step: float
    """Wave vector from pixel to pixel, 1/um."""

    @property
    def beam(self) -> tuple[int, int]:
        """Column and row of the zero frequency, pixels: one column left of the first."""
        return -1, self.counts.shape[1] // 2

    @property
    def q(self) -> NDArray[np.float64]:
        """(y, x) 1/um."""
        column, row = self.beam
        rows, columns = self.counts.shape[1:]
        return self.step * np.hypot(np.arange(rows)[:, None] - row, np.arange(columns) - column)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(y, x) 1..6 in the rings, 0 outside."""
        return np.digitize(self.q, RINGS) % len(RINGS)


def bulk_water(shared_data: Path) -> BulkWater:
    """Speckles of the measured movie, 20 counts per pixel and frame on average."""
    with np.load(shared_data / "frames" / "bulk_water_cropA_u8.npz") as data:
        frames = data["frames"].astype(np.float32)
        fps, um_per_px = float(data["fps"]), float(data["um_per_px"])
    frames -= frames.mean(axis=(1, 2), keepdims=True)
    # The spectrum of a real image is centrosymmetric: rfft2 keeps one half, and without its first and last column
    # every speckle is there once.
    side = frames.shape[-1]
    spectrum = np.abs(scipy.fft.rfft2(frames))[:, :, 1 : side // 2] ** 2
    counts = np.rint(spectrum * (20.0 / spectrum.mean())).astype(np.uint32)
    return BulkWater(np.fft.fftshift(counts, axes=1), 1 / fps, 2 * np.pi / (side * um_per_px))
