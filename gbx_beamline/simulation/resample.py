"""Maps at fewer time cells than frames: the area mean, and the paper's bilinear picking."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from gbx_beamline.errors import InputError, MapError


@dataclass(frozen=True, eq=False)
class Cells:
    """Which frames a time cell takes, and with which weights. Cells follow each other; neighbours may share a frame."""

    first: NDArray[np.int64]
    """(size,) first frame of each cell."""
    last: NDArray[np.int64]
    """(size,) its last frame."""
    offset: NDArray[np.int64]
    """(size,) where its weights begin."""
    weights: NDArray[np.float64]
    """Weights of the frames of all cells, cell after cell; 1 in total for each."""
    frames: int
    """N."""

    def __len__(self) -> int:
        return len(self.first)

    def matrix(self) -> scipy.sparse.csr_array:
        """(size, N) W: ``W @ map @ W.T`` is the map on cells."""
        lengths = self.last - self.first + 1
        columns = np.arange(len(self.weights)) - np.repeat(self.offset - self.first, lengths)
        bounds = np.append(self.offset, len(self.weights))
        return scipy.sparse.csr_array((self.weights, columns, bounds), shape=(len(self), self.frames))


@lru_cache(maxsize=32)
def area_cells(frames: int, size: int) -> Cells:
    """``size`` cells of equal length, ``frames / size`` frames, which need not be whole: a frame that two cells share
    counts in each by its overlap.

    Raises:
        InputError: ``size`` is not 1..``frames``.
    """
    _check(frames, size)
    cell = np.arange(size)
    # In units of 1 / size of a frame every border is a whole number, so that no rounding makes an overlap.
    first = cell * frames // size
    last = ((cell + 1) * frames - 1) // size
    return _cells(
        first,
        last,
        [
            np.minimum((k + 1) * size, (i + 1) * frames) - np.maximum(k * size, i * frames)
            for i, k in ((i, np.arange(first[i], last[i] + 1)) for i in range(size))
        ],
        frames,
    )


@lru_cache(maxsize=32)
def bilinear_cells(frames: int, size: int) -> Cells:
    """``size`` points between two frames each, as the paper's code resizes its maps.

    Point i lies at ``(i + 1/2) frames / size - 1/2``, between whole frames the map is taken as linear, and what lies
    between the points is skipped: no mean is taken, so fast fluctuations are aliased (``torch.nn.functional.
    interpolate(mode="bilinear", align_corners=False)``).

    Raises:
        InputError: ``size`` is not 1..``frames``.
    """
    _check(frames, size)
    place = np.maximum((np.arange(size) + 0.5) * (frames / size) - 0.5, 0.0)
    first = place.astype(np.int64)
    last = np.minimum(first + 1, frames - 1)
    right = place - first
    return _cells(
        first,
        last,
        [np.array([1.0 - w, w]) if b > a else np.ones(1) for w, a, b in zip(right, first, last, strict=True)],
        frames,
    )


def area_mean(square: NDArray[Any], size: int) -> NDArray[Any]:
    """Average maps over ``size`` x ``size`` cells of equal area.

    Every entry counts by the part of it that lies in the cell, those of the diagonal too; a NaN makes its cells NaN.

    Args:
        square: (..., N, N).
        size: cells per side, at most N.

    Returns:
        (..., size, size) in the precision of ``square``, at least float32.

    Raises:
        MapError: not square.
        InputError: ``size`` is not 1..N.

    >>> area_mean(np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 0.0]]), 1).round(3)
    array([[0.889]])
    """
    if square.ndim < 2 or square.shape[-1] != square.shape[-2] or square.size == 0:
        raise MapError(
            f"an array of shape {square.shape}", needed="square maps (..., N, N)", action="give two-time maps"
        )
    weights = area_cells(square.shape[-1], size).matrix()
    dtype = np.result_type(square.dtype, np.float32)
    out = np.empty((*square.shape[:-2], size, size), dtype=dtype)
    for index in np.ndindex(square.shape[:-2]):
        out[index] = weights @ (weights @ square[index]).T
    return np.swapaxes(out, -1, -2)


def _check(frames: int, size: int) -> None:
    if not 1 <= size <= frames:
        raise InputError(
            f"size = {size} cells of {frames} time steps",
            needed=f"1 to {frames}",
            action="ask for fewer cells, or give a finer time grid; size=None keeps every time step",
        )


def _cells(first: NDArray[np.int64], last: NDArray[np.int64], parts: list[NDArray[Any]], frames: int) -> Cells:
    weights = np.concatenate([part / part.sum() for part in parts])
    offset = np.concatenate([[0], np.cumsum(last - first + 1)[:-1]])
    for array in (first, last, offset, weights):
        array.flags.writeable = False
    return Cells(first, last, offset, weights, frames)
