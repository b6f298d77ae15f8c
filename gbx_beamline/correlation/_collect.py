"""From frames to the counts of the ROI pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._frames import ArrayFrames, FrameBlocks
from gbx_beamline.correlation._layout import PixelLayout
from gbx_beamline.correlation._memory import READ_BYTES
from gbx_beamline.correlation._saturation import Saturation
from gbx_beamline.correlation._store import RoiStore
from gbx_beamline.errors import InputError, SeriesError
from gbx_beamline.frames.picking import pick
from gbx_beamline.records import Bools, Region


def collect(
    frames: FrameBlocks, layout: PixelLayout, valid: Bools, *, spill: bool, threads: int | None
) -> tuple[RoiStore, Saturation]:
    """Take the pixels of every ROI from all frames.

    An Eiger stores the largest value of an unsigned type where it could not count. A pixel that reads so in any
    valid frame of a series is left out of the whole series; a bare array is taken as given.

    Args:
        frames: the series.
        layout: pixels of each ROI.
        valid: (N,) False for frames to leave out; their values are neither used nor checked.
        spill: True keeps the counts in a file.
        threads: that decode frames; None = as many as there are cores.

    Raises:
        SeriesError: frames missing at the end, or a dtype that holds no counts.
        InputError: values that are negative or not finite.
    """
    count = frames.shape[0]
    dtype = _dtype_of(frames)
    store = RoiStore(layout, count, dtype, spill=spill)
    saturation = Saturation(count, layout.edges)
    if dtype.kind == "f":
        _collect_values(frames, store, valid)
    else:
        marker = np.iinfo(dtype).max if dtype.kind == "u" and not isinstance(frames, ArrayFrames) else None
        for block in pick(frames, layout.where, threads=threads, skip=~valid):
            excess = block.excess_frame, block.excess_pixel, block.excess_count
            if marker is not None and block.excess_count.size:
                full = block.excess_count == marker
                saturation.note(block.excess_frame[full], block.excess_pixel[full])
                excess = tuple(part[~full] for part in excess)
            store.put(block.start, block.rows, *excess)
    if store.reached != count:
        raise SeriesError(
            f"frames end after {store.reached} of {count}", needed="all frames", action="open the complete series"
        )
    return store, saturation


def _dtype_of(frames: FrameBlocks) -> np.dtype[Any]:
    dtype = frames.dtype
    if dtype.kind not in "uif":
        raise SeriesError(
            f"frames of dtype {dtype}",
            needed="integer or real counts",
            action="convert them, e.g. with astype(np.uint8)",
        )
    return dtype


def _collect_values(frames: FrameBlocks, store: RoiStore, valid: Bools) -> None:
    """Real values, which may be anything but negative or not finite."""
    layout = store.layout
    region = _bounding_box(layout.where, layout.width)
    y, x = np.divmod(layout.where, layout.width)
    index = (y - region[0].start) * (region[1].stop - region[1].start) + x - region[1].start
    for start, block in frames.blocks(region, max_bytes=READ_BYTES):
        picked = block.reshape(len(block), -1)[:, index]
        picked[~valid[start : start + len(block)]] = 0
        _refuse_values(picked, start)
        store.put(start, picked)


def _bounding_box(where: NDArray[np.int64], width: int) -> Region:
    y, x = np.divmod(where, width)
    return slice(int(y.min()), int(y.max()) + 1), slice(int(x.min()), int(x.max()) + 1)


def _refuse_values(picked: NDArray[Any], start: int) -> None:
    frames = np.flatnonzero(~np.isfinite(picked).all(axis=1)) + start
    if frames.size:
        first = ", ".join(str(frame) for frame in frames[:5])
        raise InputError(
            f"values that are not finite in frame {first}{' and more' if frames.size > 5 else ''}",
            needed="finite counts in every frame that is not listed as bad",
            action="mask the pixels or list the frames in bad_frames",
        )
    if picked.min() < 0:
        frame = int(np.flatnonzero((picked < 0).any(axis=1))[0])
        values = picked[frame][picked[frame] < 0]
        raise InputError(
            f"{values.size} negative count(s) in frame {start + frame}, the lowest {values.min():g}",
            needed="counts of 0 or more",
            action="mask these pixels (detectors mark gaps and bad pixels so) or list the frame in bad_frames",
        )
