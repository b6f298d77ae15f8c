"""One-time correlation from the two-time map."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._kernels import add_lags
from gbx_beamline.correlation._lag_sums import add_lag_0, plain_weights
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
    if tt.fine is not None:
        values = tt.fine.ratio_of_sums if convention == "ratio_of_sums" else tt.fine.pychx
        return OneTime(tau=tt.fine.tau, g2=values[:, 0], error=values[:, 1], convention=convention)
    rois, frames, _ = tt.g2.shape
    g2 = np.empty((rois, frames))
    error = np.empty((rois, frames))
    for roi in range(rois):
        found = lag_means_between(tt, roi, 0, frames, by_means=convention == "ratio_of_sums")
        g2[roi], error[roi] = np.where(found.pairs > 0, found.mean, np.nan), found.error
    return OneTime(tau=np.arange(frames) * tt.frame_time, g2=g2, error=error, convention=convention)


class LagMeans(NamedTuple):
    """What the pairs of frames at each lag say; all (n,), n frames in the window."""

    pairs: NDArray[np.int64]
    """Pairs at each lag."""
    weight: NDArray[np.float64]
    """Their added weights."""
    mean: NDArray[np.float64]
    """Weighted mean; 0 without a pair."""
    spread: NDArray[np.float64]
    """Added squares of weight times deviation from the mean."""

    @property
    def error(self) -> NDArray[np.float64]:
        """(n,) standard error of ``mean``, pairs taken as independent; NaN with fewer than two."""
        small_sample = np.sqrt(self.pairs / np.maximum(self.pairs - 1, 1))
        unknown = np.full(len(self.pairs), np.nan)
        return np.divide(small_sample * np.sqrt(self.spread), self.weight, out=unknown, where=self.pairs > 1)


def lag_means_between(tt: TwoTime, roi: int, start: int, stop: int, *, by_means: bool) -> LagMeans:
    """Weighted mean along the diagonals of the part of a map between two times.

    The error is that of a ratio estimator: Cochran, Sampling Techniques, Eq. 6.13.

    Args:
        tt: two-time correlation.
        roi: which.
        start: first frame.
        stop: frame to end before; both frames of a pair lie in between.
        by_means: weigh pairs by the product of their frames' mean counts; False weighs all the same.
    """
    part = slice(start, stop)
    means = tt.frame_means[roi, part].astype(np.float64)
    weights = means if by_means else plain_weights(means)
    sums = np.zeros((7, stop - start))
    add_lags(tt.g2[roi, part, part], weights, 0, sums)
    add_lag_0(tt.diagonal[roi, part], weights, sums)
    pairs, weight, first, squares, cross, second, origin = sums
    mean = np.divide(first, weight, out=np.zeros(pairs.size), where=pairs > 0)
    spread = np.maximum(second - 2.0 * mean * cross + mean**2 * squares, 0.0)
    return LagMeans(pairs.astype(np.int64), weight, np.where(pairs > 0, mean + origin, 0.0), spread)
