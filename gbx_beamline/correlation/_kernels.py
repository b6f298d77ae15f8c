"""Loops over counts and maps that numpy would make in several passes, compiled by numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_CHUNK = 4096
"""Pixels added up together: their sums stay in the first cache."""

_TILE = 64
"""Rows and columns of a map written together: both triangles of a tile stay in cache."""


@njit(cache=True, nogil=True)
def count_rows(rows: NDArray[np.uint8], totals: NDArray[np.int64], image: NDArray[np.int64]) -> None:
    """Add up a block of frames.

    Args:
        rows: (n, P) counts; at most 2^24 frames.
        totals: (n,) set to the counts of each frame.
        image: (P,) increased by the counts of each pixel.
    """
    frames, pixels = rows.shape
    totals[:] = 0
    # Sums of so few bytes fit into 32 bits, of which a processor adds sixteen at once.
    part = np.empty(_CHUNK, dtype=np.uint32)
    for left in range(0, pixels, _CHUNK):
        width = min(_CHUNK, pixels - left)
        part[:width] = 0
        for frame in range(frames):
            row = rows[frame, left : left + width]
            total = np.uint32(0)
            for pixel in range(width):
                total += np.uint32(row[pixel])
            for pixel in range(width):
                part[pixel] += np.uint32(row[pixel])
            totals[frame] += np.int64(total)
        for pixel in range(width):
            image[left + pixel] += np.int64(part[pixel])


@njit(cache=True, nogil=True)
def write_scaled(
    products: NDArray[Any], inverse: NDArray[np.float64], scale: float, first: int, g2: NDArray[np.float32]
) -> None:
    """Write ``scale * products[i, j] * inverse[first + i] * inverse[j]`` for j <= first + i, and its mirror image.

    Args:
        products: (m, n) sums of I(t1) I(t2); only columns up to the diagonal are read.
        inverse: (N,) factor of each frame; NaN makes its row and column NaN.
        scale: one factor for all.
        first: frame of the first row.
        g2: (N, N) written in place. Each pair is computed once, so the map is exactly symmetric.
    """
    rows = products.shape[0]
    for top in range(0, rows, _TILE):
        bottom = min(top + _TILE, rows)
        for left in range(0, first + bottom, _TILE):
            for i in range(top, bottom):
                row = first + i
                factor = inverse[row]
                for j in range(left, min(left + _TILE, row + 1)):
                    g2[row, j] = np.float32(products[i, j] * (scale * (factor * inverse[j])))
            for j in range(left, min(left + _TILE, first + bottom)):
                for i in range(max(top, j - first), bottom):
                    g2[j, first + i] = g2[first + i, j]


@njit(cache=True, nogil=True)
def scale_rows(products: NDArray[Any], inverse: NDArray[np.float64], scale: float, first: int) -> NDArray[np.float32]:
    """(m, n) values that ``write_scaled`` writes, up to the diagonal; beyond it they mean nothing."""
    rows = products.shape[0]
    columns = first + rows
    out = np.empty((rows, columns), dtype=np.float32)
    for i in range(rows):
        factor = inverse[first + i]
        for j in range(columns):
            out[i, j] = np.float32(products[i, j] * (scale * (factor * inverse[j])))
    return out


@njit(cache=True, nogil=True)
def write_rows(block: NDArray[np.float32], first: int, g2: NDArray[np.float32]) -> None:
    """Write rows ``first:first + m`` of the lower triangle (m, n) into a map (N, N), and their mirror image."""
    rows = block.shape[0]
    for left in range(0, first + rows, _TILE):
        for i in range(rows):
            for j in range(left, min(left + _TILE, first + i + 1)):
                g2[first + i, j] = block[i, j]
        for j in range(left, min(left + _TILE, first + rows)):
            for i in range(max(0, j - first), rows):
                g2[j, first + i] = block[i, j]


@njit(cache=True, nogil=True)
def add_scaled(
    products: NDArray[Any],
    inverse: NDArray[np.float64],
    scale: float,
    first: int,
    total: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> None:
    """Add one static bin's share to a block of rows; a frame in which the bin is dark adds nothing.

    Args:
        products: (m, n) sums of I(t1) I(t2) over the bin's pixels.
        inverse: (N,) 1 / counts of the bin in each frame; 0 where it is dark.
        scale: pixels of the bin.
        first: frame of the first row.
        total: (m, n) increased by ``scale^2 * products * inverse * inverse``.
        weight: (m, n) increased by ``scale`` where both frames have counts.
    """
    rows, columns = products.shape
    for i in range(rows):
        factor = inverse[first + i]
        for j in range(columns):
            product = factor * inverse[j]
            if product > 0.0:
                total[i, j] += products[i, j] * (scale * scale * product)
                weight[i, j] += scale


@njit(cache=True, nogil=True)
def add_cells(
    block: NDArray[np.float32], first: int, width: int, total: NDArray[np.float64], entries: NDArray[np.uint16]
) -> None:
    """Add a block of rows to the area sums of square cells, off the diagonal and without NaN.

    Args:
        block: (m, n) values of frames ``first:first + m`` against frames ``0:n``.
        first: frame of the first row.
        width: frames per cell; frames beyond the last whole cell are left out.
        total: (c, c) sums, lower triangle of cells.
        entries: (c, c) how many values they hold.
    """
    rows, columns = block.shape
    cells = total.shape[0]
    for i in range(rows):
        row = first + i
        cell = row // width
        if cell >= cells:
            break
        for j in range(min(columns, row)):
            value = block[i, j]
            if not np.isnan(value):
                total[cell, j // width] += value
                entries[cell, j // width] += 1


@njit(cache=True, nogil=True)
def add_lags(block: NDArray[np.float32], weights: NDArray[np.float64], first: int, sums: NDArray[np.float64]) -> None:
    """Add a block of rows to the sums behind the one-time g2 of every lag (lag 0 excluded).

    Args:
        block: (m, n) values of frames ``first:first + m`` against frames ``0:n``; columns before the diagonal count.
        weights: (N,) a pair weighs the product of its frames' weights; where that is NaN or 0 it takes no part.
        first: frame of the first row.
        sums: (7, N) pairs, w, w v, w^2, w^2 v, w^2 v^2, v counted from the last row, the first value of the lag.
    """
    rows, columns = block.shape
    for i in range(rows):
        row = first + i
        for j in range(min(columns, row)):
            value = np.float64(block[i, j])
            weight = weights[row] * weights[j]
            if np.isnan(value) or not weight > 0.0:
                continue
            lag = row - j
            if sums[0, lag] == 0.0:
                sums[6, lag] = value
            # Counted from the first value of the lag, the sums keep the digits of the variance.
            value -= sums[6, lag]
            sums[0, lag] += 1.0
            sums[1, lag] += weight
            sums[2, lag] += weight * value
            sums[3, lag] += weight * weight
            sums[4, lag] += weight * weight * value
            sums[5, lag] += weight * weight * value * value
