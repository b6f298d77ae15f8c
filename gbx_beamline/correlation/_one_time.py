"""One-time correlation from the two-time map."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation.diagonals import by_lag
from gbx_beamline.errors import InputError
from gbx_beamline.records import OneTime, TwoTime


def one_time(tt: TwoTime, convention: Literal["ratio_of_sums", "pychx"] = "ratio_of_sums") -> OneTime:
    """One-time g2(tau): the two-time map averaged along its diagonals.

    ``"ratio_of_sums"`` divides the summed ``<I(t) I(t + tau)>`` by the summed ``<I(t)> <I(t + tau)>``, which stays
    unbiased at low counts: frames without a photon add nothing to either sum. ``"pychx"`` is the plain mean of
    the ratios C, as pyCHX does it; frames without a photon have no ratio and are left out, never filled.
    Lag 0 is the diagonal without shot noise.

    The error is the standard error over the pairs of a lag, taken as independent. Pairs that share a frame or a
    relaxation time are not, so it is a lower bound.

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
        c = by_lag(tt.g2[roi])
        c[:, 0] = tt.diagonal[roi]
        if convention == "pychx":
            weights = np.isfinite(c).astype(np.float64)
        else:
            means = tt.frame_means[roi]
            weights = by_lag(means[:, None] * means[None, :])
            weights[~(np.isfinite(c) & np.isfinite(weights))] = 0.0
        g2[roi], error[roi] = _weighted_mean(c, weights)
    return OneTime(tau=np.arange(frames) * tt.frame_time, g2=g2, error=error, convention=convention)


def _weighted_mean(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) mean of each column and its standard error: Cochran, Sampling Techniques, Eq. 6.13 (ratio estimator)."""
    count = values.shape[1]
    pairs = (weights > 0).sum(axis=0)
    total = weights.sum(axis=0)
    filled = np.where(weights > 0, values, 0.0)
    mean = np.divide((weights * filled).sum(axis=0), total, out=np.full(count, np.nan), where=pairs > 0)
    filled -= mean
    filled *= weights
    filled *= filled
    spread = np.sqrt(filled.sum(axis=0, where=weights > 0))
    small_sample = np.sqrt(pairs / np.maximum(pairs - 1, 1))
    return mean, np.divide(small_sample * spread, total, out=np.full(count, np.nan), where=pairs > 1)
