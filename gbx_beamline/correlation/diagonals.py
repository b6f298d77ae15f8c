"""A two-time map sorted by lag instead of by second time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def by_lag(square: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Put the diagonals of a square map into columns.

    Args:
        square: (N, N) map of (t1, t2).

    Returns:
        (N, N) float64 ``out[t, lag] = square[t, t + lag]``; NaN where ``t + lag`` lies beyond the map.

    >>> by_lag(np.array([[1.0, 2.0], [2.0, 3.0]]))
    array([[ 1.,  2.],
           [ 3., nan]])
    """
    count = len(square)
    # Rows of N numbers read again as rows of N + 1: each row starts one column later, so a diagonal becomes
    # a column. What wraps round comes from below the diagonal, which is NaN.
    padded = np.full(count * (count + 1), np.nan)
    upper = padded[: count * count].reshape(count, count)
    np.copyto(upper, square, where=np.tri(count, dtype=bool).T)
    return padded.reshape(count, count + 1)[:, :count]


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
