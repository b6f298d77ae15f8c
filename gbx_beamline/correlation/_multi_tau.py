"""Lags in bins that widen with the lag: a long one-time correlation as a few tens of points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.records import Floats, MultiTau

CHANNELS = 16
"""Lags taken one by one before bins begin to widen; half as many bins in every doubling after that."""


def lag_edges(count: int, channels: int = CHANNELS) -> NDArray[np.int64]:
    """Edges of bins that cover the lags ``1 .. count - 1``.

    Lags below ``channels`` stand alone. Level j = 1, 2, ... covers ``channels * 2^(j - 1)`` to ``channels * 2^j`` with
    ``channels / 2`` bins of ``2^j`` lags: the scheme of multiple-tau correlators (Schätzel, Quantum Opt. 2, 287
    (1990)), so a bin is never wider than ``2 / channels`` of its lag. The last bin ends with the series.

    Args:
        count: N frames.
        channels: an even number, at least 4.

    Returns:
        (B + 1,) bin b holds the lags ``edges[b] .. edges[b + 1] - 1``; one edge and no bin for a single frame.

    Raises:
        InputError: an odd or too small number of channels, or no frame.

    >>> lag_edges(20, channels=4)
    array([ 1,  2,  3,  4,  6,  8, 12, 16, 20])
    """
    if count < 1 or channels < 4 or channels % 2:
        raise InputError(
            f"{count} frames and {channels} channels",
            needed="at least one frame, and an even number of at least 4 channels",
            action="correct the number, 8 or 16 channels are usual",
        )
    edges = [np.arange(1, channels)]
    start, width = channels, 2
    while start < count:
        edges.append(start + width * np.arange(channels // 2))
        start, width = 2 * start, 2 * width
    every = np.concatenate(edges)
    return np.append(every[every < count], count).astype(np.int64)


def multi_tau(
    tau: Floats, g2: Floats, error: Floats, *, pairs: Floats | None = None, channels: int = CHANNELS
) -> MultiTau:
    """Average a one-time correlation over bins of ``lag_edges``.

    Each bin is the sum over all its pairs divided by their number, so nothing is lost or counted twice; the counts
    themselves are not averaged first, which would smear lags over a triangle. The lag of a bin is the mean lag
    of its pairs: a straight line stays the same line. Neighbouring lags are averages over the same frames,
    so their errors are taken as fully correlated: the error of a bin is the mean error of its lags. In simulations
    of slow dynamics this came nearer to the truth than taking them as independent, and it is still a lower bound.

    Args:
        tau: (N,) lag, s; lag 0 is left out.
        g2: (N,) of one ROI; NaN where not measured.
        error: (N,) its standard error; NaN where not known.
        pairs: (N,) pairs of frames, or their weight, at each lag; None = N - lag, a series without a bad frame.
        channels: see ``lag_edges``.

    Returns:
        MultiTau; where no lag of a bin was measured, g2 and error are NaN and tau is the middle of the bin.

    Raises:
        InputError: arrays of different shapes, negative or non-finite pairs, or impossible channels.
    """
    tau, g2, error = (np.asarray(values, dtype=np.float64) for values in (tau, g2, error))
    numbers = np.arange(tau.size, 0, -1.0) if pairs is None else np.asarray(pairs, dtype=np.float64)
    if tau.ndim != 1 or len({values.shape for values in (tau, g2, error, numbers)}) > 1:
        raise InputError(
            f"tau, g2, error and pairs of shapes {tau.shape}, {g2.shape}, {error.shape} and {numbers.shape}",
            needed="arrays (N,) of one ROI",
            action="give one row of g2, of its error and of its pairs",
        )
    if not (np.isfinite(numbers) & (numbers >= 0)).all():
        raise InputError("negative or non-finite pairs", needed="numbers of 0 or more", action="correct pairs")
    edges = lag_edges(tau.size, channels)
    weight = np.where(np.isfinite(g2), numbers, 0.0)
    total = bin_sums(weight, edges)
    value = _means(np.where(weight > 0, g2, 0.0), weight, edges)
    trusted = np.where(np.isfinite(error), weight, 0.0)
    spread = _means(np.where(trusted > 0, error, 0.0), trusted, edges)
    middle = np.where(total > 0, _means(tau, weight, edges), _means(tau, np.ones(tau.size), edges))
    return MultiTau(tau=middle, g2=value, error=spread, pairs=total, edges=edges)


def bin_sums(values: NDArray[np.float64], edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """(B,) sum over the lags of each bin of values (N,)."""
    return np.add.reduceat(values[: edges[-1]], edges[:-1]) if edges.size > 1 else np.empty(0)


def _means(values: NDArray[np.float64], weight: NDArray[np.float64], edges: NDArray[np.int64]) -> NDArray[np.float64]:
    total = bin_sums(weight, edges)
    return np.divide(bin_sums(weight * values, edges), total, out=np.full(total.size, np.nan), where=total > 0)
