"""How the one-time correlation looks at one age of the sample and at another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation.diagonals import by_lag
from gbx_beamline.errors import InputError
from gbx_beamline.records import AgeSlices, TwoTime


def age_slices(tt: TwoTime, ages: Sequence[float] | NDArray[np.floating], width: float) -> AgeSlices:
    """g2(tau; age) of every q-ROI, averaged over a range of ages.

    The age of a pair of frames is that of the sample when the pair begins, t1: at an age, the curve tells how long
    the configuration of that moment survives. (Slices across the map at constant mean time ``(t1 + t2) / 2`` are the
    other custom; they mix younger and older beginnings at long lags.) A pair belongs to the slice when
    ``age - width / 2 <= t1 < age + width / 2``; pairs are weighed by the product of their frames' mean
    counts, as in ``one_time``. Lag 0 is the diagonal without shot noise.

    Args:
        tt: two-time correlation.
        ages: (A,) middle of each slice, s since the first frame.
        width: s of age to average over; below one frame time it takes the one frame nearest to the age.

    Returns:
        AgeSlices; NaN where no valid pair has this age and lag.

    Raises:
        InputError: no age, an age outside the series, or a width that is not positive.
    """
    middles = np.atleast_1d(np.asarray(ages, dtype=np.float64))
    rois, frames, _ = tt.g2.shape
    span = frames * tt.frame_time
    if middles.ndim != 1 or not middles.size or not ((middles >= 0) & (middles < span)).all():
        raise InputError(
            f"ages {middles.tolist()} s of a series of {span:g} s",
            needed=f"at least one age of 0 or more and below {span:g} s",
            action="choose ages inside the series",
        )
    if not (np.isfinite(width) and width > 0):
        raise InputError(f"a width of {width} s", needed="a positive number of s", action="correct the width")
    g2, error = np.full((2, rois, middles.size, frames), np.nan)
    pairs = np.zeros((rois, middles.size, frames), dtype=np.int64)
    for index, age in enumerate(middles):
        start, stop = _frames_at(float(age), width, tt.frame_time, frames)
        for roi in range(rois):
            lags = slice(0, frames - start)
            g2[roi, index, lags], error[roi, index, lags], pairs[roi, index, lags] = _slice(tt, roi, start, stop)
    return AgeSlices(
        tau=np.arange(frames) * tt.frame_time, ages=middles, width=float(width), g2=g2, error=error, pairs=pairs
    )


def _frames_at(age: float, width: float, frame_time: float, frames: int) -> tuple[int, int]:
    """First frame of a slice, and the one it ends before; at least one frame."""
    # An edge that is a whole number of frames must not move by rounding.
    edges = np.array([age - width / 2, age + width / 2]) / frame_time
    start, stop = np.ceil(edges - 1e-9).astype(int)
    if width < frame_time or start >= stop:
        start = round(age / frame_time)
        stop = start + 1
    start = int(np.clip(start, 0, frames - 1))
    return start, int(np.clip(stop, start + 1, frames))


def _slice(
    tt: TwoTime, roi: int, start: int, stop: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """(N - start,) weighted mean, standard error (Cochran, Sampling Techniques, Eq. 6.13) and pairs at each lag."""
    values = by_lag(tt.g2[roi], start, stop)
    values[:, 0] = tt.diagonal[roi, start:stop]
    means = np.concatenate([tt.frame_means[roi, start:], np.full(stop - start, np.nan)])
    weights = means[: stop - start, None] * np.lib.stride_tricks.sliding_window_view(means, values.shape[1])[:-1]
    known = np.isfinite(values) & np.isfinite(weights)
    weights = np.where(known, weights, 0.0)
    values[~known] = 0.0
    pairs = (weights > 0).sum(axis=0)
    unknown = np.full(pairs.size, np.nan)
    total = weights.sum(axis=0)
    mean = np.divide((weights * values).sum(axis=0), total, out=unknown.copy(), where=pairs > 0)
    spread = ((weights * (values - mean)) ** 2).sum(axis=0)
    small_sample = np.sqrt(pairs / np.maximum(pairs - 1, 1))
    return mean, np.divide(small_sample * np.sqrt(spread), total, out=unknown, where=pairs > 1), pairs
