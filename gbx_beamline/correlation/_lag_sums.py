"""Sums behind the one-time correlation at every lag."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class LagSums:
    """What ``_kernels.add_lags`` adds up over the pairs of each lag, weighted by frame means and plainly.

    Args:
        frames: N.
    """

    def __init__(self, frames: int) -> None:
        self.by_means = np.zeros((7, frames))
        self.plain = np.zeros((7, frames))


def mean_and_error(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) weighted mean at each lag and its standard error (Cochran, Sampling Techniques, Eq. 6.13, ratio estimator).

    Args:
        sums: (7, N) of ``_kernels.add_lags``.

    Returns:
        Means, NaN where a lag has no pair; errors, NaN with fewer than two pairs.
    """
    pairs, weight, first, squares, cross, second, origin = sums
    nan = np.full(pairs.size, np.nan)
    mean = np.divide(first, weight, out=nan.copy(), where=pairs > 0)
    spread = np.maximum(second - 2.0 * mean * cross + mean**2 * squares, 0.0)
    small_sample = np.sqrt(pairs / np.maximum(pairs - 1, 1))
    error = np.divide(small_sample * np.sqrt(spread), weight, out=nan, where=pairs > 1)
    return mean + origin, error


def add_lag_0(diagonal: NDArray[np.float64], weights: NDArray[np.float64], sums: NDArray[np.float64]) -> None:
    """Count lag 0, whose values are the diagonal without shot noise.

    Args:
        diagonal: (N,) NaN where not measured.
        weights: (N,) as in ``_kernels.add_lags``.
        sums: (7, N) of that function.
    """
    known = np.isfinite(diagonal) & (weights > 0)
    if not known.any():
        return
    origin, weight = diagonal[known][0], weights[known] ** 2
    value = diagonal[known] - origin
    squares = weight**2
    sums[:, 0] = (
        value.size,
        weight.sum(),
        weight @ value,
        squares.sum(),
        squares @ value,
        squares @ value**2,
        origin,
    )


def plain_weights(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) 1 for every valid frame, NaN for others: all pairs alike."""
    return np.where(np.isfinite(means), 1.0, np.nan)
