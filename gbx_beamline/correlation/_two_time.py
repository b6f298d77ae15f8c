"""Two-time correlation in float64: the clear form that every faster kernel is tested against."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._frames import FrameBlocks, as_frames, valid_frames
from gbx_beamline.correlation._gather import RoiCounts, as_labels, gather
from gbx_beamline.correlation._memory import block_pixels
from gbx_beamline.correlation._static import static_baseline
from gbx_beamline.errors import InputError
from gbx_beamline.records import Bools, RoiSet, TwoTime


def two_time(
    series_or_counts: FrameBlocks | NDArray[Any],
    rois_or_labels: RoiSet | NDArray[Any],
    *,
    frame_time: float | None = None,
    bad_frames: Iterable[int] = (),
    max_bytes: int = 4 * 2**30,
) -> TwoTime:
    """Two-time correlation of every q-ROI.

    ``C(t1, t2) = <I(t1) I(t2)> / (<I(t1)> <I(t2)>)`` with averages over the ROI's unmasked pixels, each frame's
    own ROI mean in the denominator (Madsen et al., New J. Phys. 12, 055001 (2010); the convention that pyCHX,
    scikit-beam, boost_corr and xpcs-correlator share). Baseline 1, ``C - 1 = contrast |f|^2``. Nothing is divided
    out per pixel, so a static intensity profile inside a ROI raises the baseline, to ``static_baseline``.

    Bad frames and frames in which a ROI holds no photon are NaN rows and columns. The diagonal of ``g2`` is raw
    and holds shot noise; ``diagonal`` is the factorial moment ``(<I^2> - <I>) / <I>^2``, which photon counts free
    of it. Where a value is no whole number there are no photons to count: ``diagonal`` is then the mean of the
    neighbours at lag 1. Sums of whole numbers are exact (below 2^53), whatever the order of pixels.

    Args:
        series_or_counts: an opened series, or counts (N, y, x) or (N, P).
        rois_or_labels: a RoiSet, or labels (y, x) or (P,): 0 = outside, 1..Q; a boolean image is one ROI.
        frame_time: s between frames. A series that knows its own keeps it; 1 s for bare counts when None.
        bad_frames: indices of frames to leave out. Frames that the series lacks are left out anyway.
        max_bytes: ceiling for the ROI pixels, the maps and the work space, also of the later steps of an analysis.

    Returns:
        TwoTime with g2 (Q, N, N) float32.

    Raises:
        SeriesError: fewer than two frames, no counts by shape or dtype, or frames missing at the end.
        RoiError: labels that do not fit the frames, or a ROI that is empty or fully masked.
        InputError: an impossible frame time or bad frame, fewer than two valid frames, negative or non-finite
            counts, a ROI without a photon or with more than a tenth of its pixels saturated, or more memory
            needed than ``max_bytes``.
    """
    frames = as_frames(series_or_counts, 1.0 if frame_time is None else frame_time)
    spacing = _checked_frame_time(frames.frame_time)
    labels, names = as_labels(rois_or_labels, frames.shape[1:])
    valid = valid_frames(frames, bad_frames)
    picked = gather(frames, labels, names, valid, max_bytes)

    g2, diagonal, means = _maps(picked, names, valid)
    # A list of pixels has no neighbours to smooth over.
    listed = isinstance(series_or_counts, np.ndarray) and series_or_counts.ndim == 2
    return TwoTime(
        g2=g2,
        diagonal=diagonal,
        frame_time=spacing,
        pixels=np.diff(picked.edges),
        mean_counts=means[:, valid].mean(axis=1),
        frame_means=means,
        valid_frames=valid,
        static_baseline=np.ones(len(names)) if listed else _static_baselines(picked, frames.shape[2]),
        saturated=picked.saturated,
        q_par=rois_or_labels.q_par if isinstance(rois_or_labels, RoiSet) else None,
        q_z=rois_or_labels.q_z if isinstance(rois_or_labels, RoiSet) else None,
        names=names,
    )


def _maps(
    picked: RoiCounts, names: tuple[str, ...], valid: Bools
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """(Q, N, N) maps, (Q, N) diagonals without shot noise, (Q, N) counts per pixel."""
    count = len(valid)
    g2 = np.empty((len(names), count, count), dtype=np.float32)
    diagonal = np.empty((len(names), count))
    means = np.full((len(names), count), np.nan)
    for roi, name in enumerate(names):
        means[roi, valid] = _frame_totals(picked.of(roi))[valid] / picked.of(roi).shape[1]
        if not means[roi, valid].any():
            raise InputError(
                f"no photon in any of {valid.sum()} frames of {name!r}",
                needed="signal in every ROI",
                action="move the ROI to where the sample scatters, or check shutter and mask",
            )
        g2[roi], diagonal[roi] = _correlate(picked, roi)
    return g2, diagonal, means


def _static_baselines(picked: RoiCounts, width: int) -> NDArray[np.float64]:
    """(Q,) baseline of each ROI, for frames of this many columns."""
    totals = picked.counts.sum(axis=0, dtype=np.float64)
    parts = [slice(start, stop) for start, stop in pairwise(picked.edges)]
    return np.array([static_baseline(*np.divmod(picked.where[part], width), totals[part]) for part in parts])


def _checked_frame_time(value: float) -> float:
    if not (np.isfinite(value) and value > 0):
        raise InputError(f"frame_time {value}", needed="a positive number of s", action="correct frame_time")
    return float(value)


def _frame_totals(counts: NDArray[Any]) -> NDArray[np.float64]:
    # Integers are added as 64-bit integers: a sum in the stored type would wrap.
    return counts.sum(axis=1, dtype=np.float64 if counts.dtype.kind == "f" else np.int64).astype(np.float64)


def _correlate(picked: RoiCounts, roi: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, N) map with raw diagonal, and (N,) diagonal without shot noise, of one ROI."""
    counts = picked.of(roi)
    frames, pixels = counts.shape
    products = np.zeros((frames, frames))
    step = block_pixels(frames)
    for start in range(0, pixels, step):
        block = counts[:, start : start + step].astype(np.float64)
        products += block @ block.T

    totals = _frame_totals(counts)
    dark = totals == 0
    totals[dark] = np.nan
    squares = np.diagonal(products).copy()
    # One product of totals, not two divisions: the map stays exactly symmetric.
    products *= pixels
    products /= totals[:, None] * totals[None, :]
    if picked.whole:
        return products, pixels * (squares - totals) / totals**2
    return products, _mean_of_neighbours(products)


def _mean_of_neighbours(c: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) mean of the valid values at lag 1 on either side; NaN where there is none or the frame is bad."""
    beside = np.full((2, len(c)), np.nan)
    beside[0, 1:] = beside[1, :-1] = np.diagonal(c, offset=1)
    known = np.isfinite(beside)
    total = np.where(known, beside, 0.0).sum(axis=0)
    found = known.sum(axis=0)
    return np.divide(total, found, out=np.full(len(c), np.nan), where=found > 0)
