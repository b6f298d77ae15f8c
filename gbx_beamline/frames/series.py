"""A frame series as the rest of GBX sees it, whatever it was read from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import MissingFramesError, SeriesError
from gbx_beamline.frames import masks
from gbx_beamline.frames.bounds import MOST_FRAMES, MOST_PIXELS, check_frames, region_bounds
from gbx_beamline.records import Bools, FrameSource, Geometry, Region

BLOCK_BYTES = 2**26
"""Default ceiling of one block in :meth:`Series.blocks`: small enough for many workers, large enough to be fast."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """Frames in acquisition order with what is needed to believe them. N frames of (y, x) pixels."""

    source: FrameSource
    """Where the pixels come from."""
    mask: Bools
    """(y, x) True = good."""
    frame_time: float
    """s between the starts of consecutive frames."""
    geometry: Geometry
    present: Bools
    """(N,) False = promised by the file but absent. The pixels of such a frame are never to be believed."""
    missing: tuple[str, ...] = ()
    """Names of the absent data files."""
    notes: tuple[str, ...] = ()
    """Facts that a reader must know, in plain words."""
    excluded: Mapping[str, int] = field(default_factory=dict)
    """Masked pixels by the first reason found: "pixel_mask", "dtype_maximum", "negative", "not_finite",
    "no_source" (uncovered in a virtual data set), "user_mask"; their sum is the number of masked pixels."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else the file or the run says."""
    run_uid: str | None = None
    name: str = ""
    allow_incomplete: bool = False
    """True when the reader accepted that frames are absent."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, y, x)."""
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Stored type of a pixel."""
        return self.source.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int, stop: int, region: Region | None = None) -> NDArray[Any]:
        """Frames ``start:stop``, whole or only ``region``.

        Returns:
            (stop - start, rows, columns), stored dtype, a fresh array. Absent frames are 0 where the series was
            opened with ``allow_incomplete=True``; see ``present``.

        Raises:
            MissingFramesError: the range touches absent frames and the series was opened without
                ``allow_incomplete``, or no frame exists at all.
            SeriesError: the range is outside the series.
        """
        check_frames(start, stop, len(self), self.name)
        present = self.present[start:stop]
        if not self.present.any() or (not self.allow_incomplete and not present.all()):
            raise absent_frames(self.name, self.present, self.missing)
        frames = self.source.read(start, stop, region)
        if not present.all():
            frames[~present] = 0
        return frames

    def blocks(self, region: Region | None = None, max_bytes: int = BLOCK_BYTES) -> Iterator[tuple[int, NDArray[Any]]]:
        """The whole series in consecutive blocks of bounded size.

        Args:
            region: Part of the detector, to read less.
            max_bytes: Ceiling of one block; a block holds at least one frame.

        Yields:
            First frame of the block, and the block (n, rows, columns).

        Raises:
            MissingFramesError: as :meth:`read`, before anything is yielded.
        """
        if len(self) == 0 or not self.present.any() or not (self.allow_incomplete or self.present.all()):
            raise absent_frames(self.name, self.present, self.missing)
        rows, columns = region_bounds(region, self.shape[1:])
        frame_bytes = max(1, (rows.stop - rows.start) * (columns.stop - columns.start) * self.dtype.itemsize)
        step = max(1, int(max_bytes) // frame_bytes)
        for start in range(0, len(self), step):
            yield start, self.read(start, min(start + step, len(self)), region)

    def with_mask(self, mask: NDArray[Any], reason: str = "user_mask") -> Series:
        """A copy with more pixels masked.

        Args:
            mask: (y, x) bool or 0/1 integers, True = good.
            reason: Key under which ``excluded`` counts the pixels that this mask adds.

        Raises:
            SeriesError: the mask does not fit the frames.
        """
        good = masks.user_mask(mask, self.shape[1:])
        new = int((self.mask & ~good).sum())
        excluded = dict(self.excluded)
        if new:
            excluded[reason] = excluded.get(reason, 0) + new
        return replace(self, mask=self.mask & good, excluded=excluded)


def build_series(
    source: FrameSource,
    *,
    name: str,
    geometry: Geometry,
    frame_time: float | None,
    present: Bools | None = None,
    missing: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    pixel_mask: NDArray[np.integer[Any]] | None = None,
    bit_depth: int | None = None,
    mask: NDArray[Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    run_uid: str | None = None,
    allow_incomplete: bool = False,
) -> Series:
    """Put a series together: check the frames' type, judge marker values, combine all masks.

    Args:
        source: Frames (N, y, x) of integers or floats.
        name: What error messages call the series.
        geometry: Its ``shape`` is replaced by that of the frames.
        frame_time: s; None is an error, because every time axis hangs on it.
        present: (N,) bool; None = all.
        missing: Names of absent data files.
        notes: Plain-word facts.
        pixel_mask: (y, x) the detector's bits, 0 = good, and :data:`gbx_beamline.frames.masks.NO_SOURCE`.
        bit_depth: Bits per pixel as the detector wrote them.
        mask: (y, x) a user's mask, True = good.
        metadata: Anything else.
        run_uid: Bluesky run.
        allow_incomplete: True accepts absent frames.

    Raises:
        SeriesError: no frames, pixels that are no numbers, a mask that does not fit, no usable frame time.
    """
    check_pixels(source.shape, source.dtype, name, promised=bool(missing))
    seconds = check_frame_time(frame_time, name)
    frames, rows, columns = source.shape
    exists = np.ones(frames, dtype=np.bool_) if present is None else np.asarray(present, dtype=np.bool_)
    fitting, misfit = masks.fitting(pixel_mask, (rows, columns))
    said = [*notes, *misfit]
    bad: dict[str, Bools] = {} if fitting is None else masks.masked_pixels(fitting)
    bad.update(masks.marked_pixels(source, exists, bit_depth))
    if mask is not None:
        bad["user_mask"] = ~masks.user_mask(mask, (rows, columns))
    good, excluded = masks.combine((rows, columns), bad)
    if not exists.all():
        said.append(f"series incomplete: {int((~exists).sum())} of {frames} frames absent ({', '.join(missing)})")
    return Series(
        source=source,
        mask=good,
        frame_time=seconds,
        geometry=geometry.with_changes(shape=(rows, columns)),
        present=exists,
        missing=missing,
        notes=tuple(said),
        excluded=excluded,
        metadata=dict(metadata or {}),
        run_uid=run_uid,
        name=name,
        allow_incomplete=allow_incomplete,
    )


def check_pixels(shape: tuple[int, ...], dtype: np.dtype[Any], name: str, *, promised: bool = False) -> None:
    """Refuse what is no series of frames.

    Args:
        shape: Must be (N, y, x) with N, y, x >= 1.
        dtype: Must be an integer or a float.
        name: For the message.
        promised: True accepts N = 0: a file that names absent data files has frames, only not here.

    Raises:
        SeriesError: otherwise.
    """
    if len(shape) != 3:
        raise SeriesError(
            f"{name}: an array of shape {tuple(shape)}",
            needed="a series of images, (frames, rows, columns)",
            action="stack the images along a first axis, for example with image[None] for a single one",
        )
    if dtype.kind not in "uif":
        raise SeriesError(
            f"{name}: pixels of dtype {dtype}",
            needed="integers or floating-point numbers",
            action="convert the frames to counts",
        )
    if shape[0] > MOST_FRAMES or shape[1] * shape[2] > MOST_PIXELS:
        raise SeriesError(
            f"{name}: {shape[0]:,} frames of {shape[1]:,} x {shape[2]:,} pixels",
            needed=f"at most {MOST_FRAMES:,} frames of {MOST_PIXELS:,} pixels",
            action="check what the file or its header declares",
        )
    if 0 in shape[1:] or (shape[0] == 0 and not promised):
        raise SeriesError(
            f"{name}: no frames (shape {tuple(shape)})",
            needed="at least one frame",
            action="check whether the acquisition was aborted before its first frame",
        )


def check_frame_time(frame_time: float | None, name: str) -> float:
    """The frame time in s, or an error that says how to give it."""
    if frame_time is None:
        raise SeriesError(
            f"{name}: no frame time in the data",
            needed="the time between frames in seconds",
            action="pass frame_time=",
        )
    if not (math.isfinite(frame_time) and frame_time > 0):
        raise SeriesError(
            f"{name}: a frame time of {frame_time!r}",
            needed="a positive number of seconds",
            action="pass the right frame_time=",
        )
    return float(frame_time)


def absent_frames(name: str, present: Bools, missing: tuple[str, ...]) -> MissingFramesError:
    """The error for reading frames that are not there."""
    absent = int((~present).sum())
    files = ", ".join(missing) or "data files that the master does not name"
    if not present.any():
        return MissingFramesError(
            f"{name}: none of the {present.size} frames exists; absent: {files}",
            needed="at least one data file",
            action="restore the data files beside the master",
        )
    return MissingFramesError(
        f"{name}: {absent} of {present.size} frames are absent; missing: {files}",
        needed="every frame that the master promises",
        action="restore the data files, or open with allow_incomplete=True to analyse what exists",
    )
