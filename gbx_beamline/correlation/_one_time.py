"""One-time correlation from the two-time map."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation.diagonals import by_lag, row_blocks
from gbx_beamline.errors import InputError
from gbx_beamline.records import OneTime, TwoTime


def one_time(tt: TwoTime, convention: Literal["ratio_of_sums", "pychx"] = "ratio_of_sums") -> OneTime:
    """One-time g2(tau): the two-time map averaged along its diagonals.

    ``"ratio_of_sums"`` divides the summed ``<I(t) I(t + tau)>`` by the summed ``<I(t)> <I(t + tau)>``, which stays
    unbiased at low counts: frames without a photon add nothing to either sum. ``"pychx"`` is the plain mean of
    the ratios C, as pyCHX does it; frames without a photon have no ratio and are left out, never filled.
    Lag 0 is the diagonal without shot noise.

    The error is the standard error over the pairs of a lag, taken as independent. Pairs that share a frame or a
    relaxation time are not, so it is a lower bound: with slow dynamics the true error is several times larger.

    Args:
        tt: two-time correlation.
        convention: "ratio_of_sums" or "pychx".

    Returns:
        OneTime: tau (N,) s, g2 (Q, N), error (Q, N); NaN where no valid pair of frames has a lag.

    Raises:
        InputError: an unknown convention.
    """
    if convention not in ("ratio_of_sums", "pychx"):
        raise InputError(
            f"convention {convention!r}", needed='"ratio_of_sums" or "pychx"', action="choose one of the two"
        )
    rois, frames, _ = tt.g2.shape
    g2 = np.empty((rois, frames))
    error = np.empty((rois, frames))
    for roi in range(rois):
        g2[roi], error[roi] = _weighted_mean(tt, roi, by_means=convention == "ratio_of_sums")
    return OneTime(tau=np.arange(frames) * tt.frame_time, g2=g2, error=error, convention=convention)


def _weighted_mean(tt: TwoTime, roi: int, *, by_means: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) mean at each lag and its standard error: Cochran, Sampling Techniques, Eq. 6.13 (ratio estimator)."""
    count = tt.g2.shape[-1]
    pairs = np.zeros(count, dtype=np.int64)
    total, mean, spread = np.zeros((3, count))
    for values, weights in _by_lag_in_blocks(tt, roi, by_means):
        lags = values.shape[1]
        pairs[:lags] += (weights > 0).sum(axis=0)
        total[:lags] += weights.sum(axis=0)
        mean[:lags] += (weights * values).sum(axis=0)
    np.divide(mean, total, out=mean, where=pairs > 0)
    for values, weights in _by_lag_in_blocks(tt, roi, by_means):
        lags = values.shape[1]
        values -= mean[:lags]
        values *= weights
        values *= values
        spread[:lags] += values.sum(axis=0)
    small_sample = np.sqrt(pairs / np.maximum(pairs - 1, 1))
    error = np.divide(small_sample * np.sqrt(spread), total, out=np.full(count, np.nan), where=pairs > 1)
    return np.where(pairs > 0, mean, np.nan), error


def _by_lag_in_blocks(
    tt: TwoTime, roi: int, by_means: bool
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Blocks of (t, lag): values, 0 where there is none, and their weights, 0 there too."""
    count = tt.g2.shape[-1]
    # Beyond the last frame there is none: its mean is NaN, like that of a bad one.
    means = np.concatenate([tt.frame_means[roi], np.full(count, np.nan)])
    later = np.lib.stride_tricks.sliding_window_view(means, count)
    for start, stop in row_blocks(count, count):
        values = by_lag(tt.g2[roi], start, stop)
        values[:, 0] = tt.diagonal[roi, start:stop]
        known = np.isfinite(values)
        if by_means:
            weights = means[start:stop, None] * later[start:stop, : count - start]
            known &= np.isfinite(weights)
            weights[~known] = 0.0
        else:
            weights = known.astype(np.float64)
        values[~known] = 0.0
        yield values, weights
