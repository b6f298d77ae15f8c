"""A two-time map sorted by lag instead of by second time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 2**16
"""Numbers in one block of rows: half a MiB of float64, which also stays in cache."""


def row_blocks(count: int, columns: int) -> Iterator[tuple[int, int]]:
    """``start, stop`` of consecutive blocks of rows that hold at most ``BLOCK`` numbers, but at least one row."""
    step = max(1, BLOCK // max(1, columns))
    for start in range(0, count, step):
        yield start, min(start + step, count)


def by_lag(square: NDArray[np.floating[Any]], start: int = 0, stop: int | None = None) -> NDArray[np.float64]:
    """Put the diagonals of a square map into columns.

    Args:
        square: (N, N) map of (t1, t2).
        start: First t1 wanted.
        stop: t1 to end before; None = N.

    Returns:
        (stop - start, N - start) float64 ``out[t, lag] = square[start + t, start + t + lag]``; NaN where
        that lies beyond the map.

    >>> by_lag(np.array([[1.0, 2.0], [2.0, 3.0]]))
    array([[ 1.,  2.],
           [ 3., nan]])
    """
    part = square[start:stop, start:]
    rows, columns = part.shape
    # Rows of N numbers read again as rows of N + 1: each row starts one column later, so a diagonal becomes
    # a column. What wraps round comes from below the diagonal, which is NaN.
    padded = np.full(rows * (columns + 1), np.nan)
    upper = padded[: rows * columns].reshape(rows, columns)
    np.copyto(upper, part, where=np.arange(columns) >= np.arange(rows)[:, None])
    return padded.reshape(rows, columns + 1)[:, :columns]


def lag_means(sheared: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Mean of each column over its finite values, NaN where there is none, and how many there were.

    Args:
        sheared: (N, N) from ``by_lag``.

    Returns:
        (N,) means and (N,) numbers of pairs.
    """
    known = np.isfinite(sheared)
    pairs = known.sum(axis=0)
    total = np.where(known, sheared, 0.0).sum(axis=0)
    return np.divide(total, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0), pairs


def cell_means(g2: NDArray[Any], frames_per_cell: int, first_cell: int = 0) -> NDArray[np.float64]:
    """Average a map over square cells of time.

    Args:
        g2: (N, N) map; NaN where frames are bad.
        frames_per_cell: rows and columns per cell; rows left over at the end are dropped.
        first_cell: row of cells to begin with.

    Returns:
        (n - first_cell, n) float64, n = N // frames_per_cell: mean over the finite entries off the map's diagonal,
        NaN where a cell has none.
    """
    cells = len(g2) // frames_per_cell
    used = cells * frames_per_cell
    rows = max(0, cells - first_cell)
    means = np.empty((rows, cells))
    for start, stop in row_blocks(rows, frames_per_cell * used):
        first, last = ((first_cell + row) * frames_per_cell for row in (start, stop))
        values = g2[first:last, :used].astype(np.float64)
        values[np.arange(last - first), np.arange(first, last)] = np.nan
        known = np.isfinite(values)
        values[~known] = 0.0
        blocks = (stop - start, frames_per_cell, cells, frames_per_cell)
        total = values.reshape(blocks).sum(axis=(1, 3))
        entries = known.reshape(blocks).sum(axis=(1, 3))
        means[start:stop] = np.divide(total, entries, out=np.full(total.shape, np.nan), where=entries > 0)
    return means
