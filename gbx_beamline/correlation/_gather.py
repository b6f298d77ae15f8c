"""From frames to the counts of the ROI pixels, within a ceiling of memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._frames import ArrayFrames, FrameBlocks
from gbx_beamline.correlation._memory import reading_block, refuse_size
from gbx_beamline.correlation._saturation import Saturation
from gbx_beamline.errors import InputError, RoiError, SeriesError
from gbx_beamline.records import Bools, Labels, Region, RoiSet


@dataclass(frozen=True, kw_only=True)
class RoiCounts:
    """Counts of all ROI pixels, ROI after ROI."""

    counts: NDArray[Any]
    """(N, P) stored dtype; bad frames are 0."""
    edges: NDArray[np.int64]
    """(Q + 1,) ROI k holds the columns ``edges[k]:edges[k + 1]``."""
    where: NDArray[np.int64]
    """(P,) index of each pixel in the flat frame."""
    saturated: NDArray[np.int64]
    """(Q,) pixels left out because they saturated in some frame."""
    whole: bool
    """True when every value is a whole number, so that factorial moments exist."""

    def of(self, roi: int) -> NDArray[Any]:
        """(N, P_roi) counts of one ROI."""
        return self.counts[:, self.edges[roi] : self.edges[roi + 1]]


def as_labels(rois: RoiSet | NDArray[Any], grid: tuple[int, int]) -> tuple[Labels, tuple[str, ...]]:
    """Label image on the frame's pixel grid, and the names of its ROIs.

    Args:
        rois: a RoiSet, or labels (y, x) or (P,), integer (0 = outside, 1..Q) or boolean (one ROI).
        grid: (y, x) of a frame; (1, P) for a list of pixels.

    Raises:
        RoiError: shape, dtype or values that no label image has.
    """
    labels = np.asarray(rois.labels if isinstance(rois, RoiSet) else rois)
    if labels.dtype.kind not in "biu":
        raise RoiError(
            f"labels of dtype {labels.dtype}",
            needed="integers, 0 = outside and 1..Q = the ROI",
            action="convert the labels with astype(np.int32)",
        )
    if labels.ndim == 1:
        labels = labels[None, :]
    if labels.shape != grid:
        raise RoiError(
            f"labels of shape {labels.shape} on frames of shape {grid}",
            needed="one label per pixel",
            action="make the labels on the same detector region as the frames",
        )
    if labels.size == 0 or labels.min() < 0 or labels.max() < 1:
        raise RoiError(
            f"labels from {labels.min()} to {labels.max()}" if labels.size else "labels without a pixel",
            needed="0 = outside and 1..Q = the ROI, with at least one ROI",
            action="renumber the labels",
        )
    names = rois.names if isinstance(rois, RoiSet) else tuple(f"ROI {k}" for k in range(1, int(labels.max()) + 1))
    return labels.astype(np.int32), names


def gather(frames: FrameBlocks, labels: Labels, names: tuple[str, ...], valid: Bools, max_bytes: int) -> RoiCounts:
    """Take the unmasked pixels of every ROI from all frames, block by block.

    An Eiger stores the largest value of an unsigned type where it could not count. A pixel that reads so in any
    valid frame of a series is left out of the whole series; a bare array is taken as given.

    Args:
        frames: the series.
        labels: (y, x) 0 = outside, 1..Q.
        names: (Q,) for the messages.
        valid: (N,) False for frames to leave out; their values are neither used nor checked.
        max_bytes: ceiling for all that the analysis of the scan holds at once.

    Raises:
        RoiError: a ROI without a usable pixel.
        SeriesError: frames missing at the end, or a dtype that holds no counts.
        InputError: too large for ``max_bytes``; values that are negative or not finite; a ROI of which more than a
            tenth of the pixels saturate.
    """
    pixels = _pixels_of(labels, frames.mask, names)
    edges = np.concatenate([[0], np.cumsum(pixels)])
    usable = np.where(frames.mask, labels, np.int32(0))
    region = _bounding_box(usable)
    inside = usable[region].ravel()
    index = np.flatnonzero(inside)
    index = index[np.argsort(inside[index], kind="stable")]

    count = frames.shape[0]
    saturation = Saturation(count, edges)
    counts: NDArray[Any] | None = None
    whole = True
    reached = 0
    for start, block in frames.blocks(region, max_bytes=reading_block(max_bytes)):
        if counts is None:
            _refuse_dtype(block.dtype)
            refuse_size(count, pixels, labels.size, block, max_bytes)
            counts = np.zeros((count, index.size), dtype=block.dtype)
        reached = start + len(block)
        picked = block.reshape(len(block), -1)[:, index]
        picked[~valid[start:reached]] = 0
        _refuse_values(picked, start)
        if picked.dtype.kind == "u" and not isinstance(frames, ArrayFrames):
            saturation.look(picked, start)
        whole = whole and (picked.dtype.kind != "f" or bool(np.all(picked == np.rint(picked))))
        counts[start:reached] = picked
    if counts is None or reached != count:
        raise SeriesError(
            f"frames end after {reached} of {count}", needed="all frames", action="open the complete series"
        )
    saturation.refuse(names)
    kept = saturation.kept
    return RoiCounts(
        counts=_compacted(counts, kept),
        edges=edges - np.concatenate([[0], np.cumsum(saturation.pixels)]),
        where=_in_frame(index[kept], region, labels.shape[1]),
        saturated=saturation.pixels,
        whole=whole,
    )


def _compacted(counts: NDArray[Any], kept: Bools) -> NDArray[Any]:
    """The kept columns, moved to the left in place: a copy of the counts would double what is held."""
    if kept.all():
        return counts
    columns = int(kept.sum())
    for row in counts:
        row[:columns] = row[kept]
    return counts[:, :columns]


def _in_frame(index: NDArray[np.int64], region: Region, width: int) -> NDArray[np.int64]:
    """Index into the flat frame from that into the flat region."""
    rows, columns = region
    y, x = np.divmod(index, columns.stop - columns.start)
    return (y + rows.start) * width + x + columns.start


def _pixels_of(labels: Labels, mask: Bools, names: tuple[str, ...]) -> NDArray[np.int64]:
    before = np.bincount(labels.ravel(), minlength=len(names) + 1)[1:]
    after = np.bincount(labels[mask], minlength=len(names) + 1)[1:]
    if len(before) != len(names):
        raise RoiError(
            f"labels up to {len(before)} for {len(names)} named ROIs",
            needed="one name per label",
            action="rebuild the ROI set from its labels",
        )
    for name, all_pixels, good in zip(names, before, after, strict=True):
        if good == 0:
            found = f"all {all_pixels} pixels of {name!r} are masked" if all_pixels else f"{name!r} has no pixel"
            raise RoiError(found, needed="at least one usable pixel", action="move or enlarge the ROI, or drop it")
    return after.astype(np.int64)


def _bounding_box(usable: Labels) -> Region:
    rows = np.flatnonzero(usable.any(axis=1))
    columns = np.flatnonzero(usable.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _refuse_dtype(dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "uif":
        raise SeriesError(
            f"frames of dtype {dtype}",
            needed="integer or real counts",
            action="convert them, e.g. with astype(np.uint8)",
        )


def _refuse_values(picked: NDArray[Any], start: int) -> None:
    if picked.dtype.kind == "f":
        frames = np.flatnonzero(~np.isfinite(picked).all(axis=1)) + start
        if frames.size:
            first = ", ".join(str(frame) for frame in frames[:5])
            raise InputError(
                f"values that are not finite in frame {first}{' and more' if frames.size > 5 else ''}",
                needed="finite counts in every frame that is not listed as bad",
                action="mask the pixels or list the frames in bad_frames",
            )
    if picked.dtype.kind != "u" and picked.min() < 0:
        frame = int(np.flatnonzero((picked < 0).any(axis=1))[0])
        values = picked[frame][picked[frame] < 0]
        raise InputError(
            f"{values.size} negative count(s) in frame {start + frame}, the lowest {values.min():g}",
            needed="counts of 0 or more",
            action="mask these pixels (detectors mark gaps and bad pixels so) or list the frame in bad_frames",
        )
