"""Fields of single pixels from one frame to the next, compiled: memory is read once for each step."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def advance(
    field: NDArray[np.complex64], noise: NDArray[np.complex64], keep: NDArray[np.float32], fresh: NDArray[np.float32]
) -> None:  # pragma: no cover - compiled
    """``field <- keep field + fresh noise`` in every pixel.

    Args:
        field: (J, n), changed in place.
        noise: (J, n).
        keep: (n,).
        fresh: (n,).
    """
    for term in range(field.shape[0]):
        for pixel in range(field.shape[1]):
            field[term, pixel] = field[term, pixel] * keep[pixel] + noise[term, pixel] * fresh[pixel]


@numba.njit(cache=True, nogil=True)
def add_terms(
    total: NDArray[np.complex64], factors: NDArray[np.complex64], field: NDArray[np.complex64]
) -> None:  # pragma: no cover - compiled
    """``total += sum_j factors_j field_j`` in every pixel.

    Args:
        total: (n,), changed in place.
        factors: (J, n).
        field: (J, n).
    """
    for term in range(field.shape[0]):
        for pixel in range(field.shape[1]):
            total[pixel] += factors[term, pixel] * field[term, pixel]


@numba.njit(cache=True, nogil=True)
def add_intensity(
    intensity: NDArray[np.float32], field: NDArray[np.complex64], weight: Any
) -> None:  # pragma: no cover - compiled
    """``intensity += weight |field|^2`` in every pixel.

    Args:
        intensity: (n,), changed in place.
        field: (n,).
        weight: float32.
    """
    for pixel in range(field.size):
        value = field[pixel]
        intensity[pixel] += weight * (value.real * value.real + value.imag * value.imag)


@numba.njit(cache=True, nogil=True)
def interpolate(
    table: NDArray[np.complex64], below: NDArray[np.int32], share: NDArray[np.float32], out: NDArray[np.complex64]
) -> None:  # pragma: no cover - compiled
    """Linear interpolation of J functions at every pixel.

    Args:
        table: (G, J) at G points.
        below: (n,) the point below each pixel, at most G - 2.
        share: (n,) of the point above, 0..1.
        out: (J, n).
    """
    for term in range(out.shape[0]):
        for pixel in range(below.size):
            low = table[below[pixel], term]
            out[term, pixel] = low + (table[below[pixel] + 1, term] - low) * share[pixel]
