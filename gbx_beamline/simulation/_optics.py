"""Speckle fields on a detector: complex Gaussian noise as a beam of finite size makes it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Complex = NDArray[np.complex64]


class Optics(Protocol):
    """Linear and the same at all times: fields may evolve as coefficients and become images only to be seen."""

    shape: tuple[int, int]
    """(y, x) of an image."""
    carrier: Complex
    """(y, x) or (): the phase ramp that images carry; a wave along the middle of the source has it too."""

    def noise(self, rng: np.random.Generator, count: int) -> Complex:
        """(count, coefficients) independent fields; the image of one is of unit mean intensity."""
        ...

    def images(self, coefficients: Complex) -> Complex:
        """(count, y, x) fields on the detector."""
        ...


class Pupil:
    """Speckles through a circular pupil.

    The autocorrelation of their intensity is ``[2 J1(x) / x]^2``, x = pi r 1.029 / speckle_size, which falls to 1/2
    at half of ``speckle_size`` (Goodman, Speckle Phenomena in Optics, ch. 5). It is periodic over the image.

    Args:
        shape: (y, x).
        speckle_size: full width at half maximum of the intensity's autocorrelation, pixels, >= 1.
    """

    def __init__(self, shape: tuple[int, int], speckle_size: float) -> None:
        self.shape = shape
        self._inside = _disc(shape, speckle_size)
        self._count = int(self._inside.sum())
        # The pupil sits in the corner of the Fourier plane instead of its middle, which lets the transform pad with
        # zeros where the pupil is not. That multiplies a field by this phase ramp, a whole number of periods long.
        y, x = (
            np.exp(2j * np.pi * ((side - 1) // 2) / length * np.arange(length))
            for side, length in zip(self._inside.shape, shape, strict=True)
        )
        self.carrier: Complex = np.outer(y, x).astype(np.complex64)

    def noise(self, rng: np.random.Generator, count: int) -> Complex:
        """(count, coefficients) independent fields; the image of one is of unit mean intensity."""
        return rng.standard_normal((count, 2 * self._count), dtype=np.float32).view(np.complex64)

    def images(self, coefficients: Complex) -> Complex:
        """(count, y, x) fields on the detector."""
        spectrum = np.zeros((len(coefficients), *self._inside.shape), dtype=np.complex64)
        spectrum[:, self._inside] = coefficients
        rows = scipy.fft.ifft(spectrum, n=self.shape[1], axis=2, norm="forward")
        fields: Any = scipy.fft.ifft(rows, n=self.shape[0], axis=1, norm="forward", overwrite_x=True)
        fields *= np.float32(1.0 / np.sqrt(2.0 * self._count))
        return fields


class IndependentPixels:
    """Every pixel a speckle of its own.

    Args:
        shape: (y, x).
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.carrier: Complex = np.ones((), dtype=np.complex64)

    def noise(self, rng: np.random.Generator, count: int) -> Complex:
        """(count, y x) independent fields of unit mean intensity."""
        values = rng.standard_normal((count, 2 * self.shape[0] * self.shape[1]), dtype=np.float32)
        values *= np.float32(np.sqrt(0.5))
        return values.view(np.complex64)

    def images(self, coefficients: Complex) -> Complex:
        """(count, y, x) the same fields as images."""
        return coefficients.reshape(len(coefficients), *self.shape)


def optics_of(shape: tuple[int, int], speckle_size: float) -> Optics:
    """Speckles of this size; of 1 pixel: independent pixels."""
    return Pupil(shape, speckle_size) if speckle_size > 1.0 else IndependentPixels(shape)


def _disc(shape: tuple[int, int], speckle_size: float) -> NDArray[np.bool_]:
    """Circle of diameter ``1.029 / speckle_size`` cycles per pixel, as a corner of the Fourier plane."""
    radius = [0.5 * 1.029 / speckle_size * length for length in shape]
    sides = [np.arange(min(int(2 * r) + 1, length)) for r, length in zip(radius, shape, strict=True)]
    y, x = (((side - (len(side) - 1) / 2) / max(r, 0.5)) ** 2 for side, r in zip(sides, radius, strict=True))
    return y[:, None] + x[None, :] <= 1.0
