"""Counts as bytes, with those that do not fit a signed byte listed beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError

LIMIT = 127
"""Counts in ``rows`` are limited to this, so that they are exact int8."""


@dataclass(frozen=True)
class PickedBlock:
    """Chosen pixels of n consecutive frames."""

    start: int
    """First frame."""
    rows: NDArray[np.uint8] = field(repr=False)
    """(n, P) min(count, ``LIMIT``); 0 in frames that were left out. To be read: it may be the caller's own array."""
    excess_frame: NDArray[np.int64] = field(repr=False)
    """(E,) frame in the series of each count above ``LIMIT``, ascending."""
    excess_pixel: NDArray[np.int64] = field(repr=False)
    """(E,) its column of ``rows``, ascending within a frame."""
    excess_count: NDArray[np.int64] = field(repr=False)
    """(E,) the full count; the largest value of the stored dtype where the detector saturated (where that does not
    fit, the largest int64)."""


class Excess:
    """Collects counts above the limit, frame after frame."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []

    def add_stored(self, frame: int, columns: NDArray[np.int64], stored: NDArray[np.uint64]) -> None:
        """Counts of one frame as unsigned numbers of the dtype's width, in any order."""
        if columns.size == 0:
            return
        values = stored.astype(f"u{self._dtype.itemsize}").view(self._dtype.newbyteorder("="))
        _refuse_negative(values, frame)
        if np.any(columns[1:] < columns[:-1]):
            order = np.argsort(columns, kind="stable")
            columns, values = columns[order], values[order]
        self.add(np.full(columns.size, frame), columns.copy(), values)

    def add(self, frames: NDArray[np.int64], columns: NDArray[np.int64], counts: NDArray[Any]) -> None:
        """Counts in order of frames and columns."""
        if counts.dtype == np.uint64:
            counts = np.minimum(counts, np.uint64(np.iinfo(np.int64).max))
        self._parts.append((frames, columns, counts.astype(np.int64)))

    def block(self, start: int, rows: NDArray[np.uint8]) -> PickedBlock:
        """The finished block."""
        # Frames that were decoded come before frames that were read.
        self._parts.sort(key=lambda part: int(part[0][0]))
        empty = np.empty(0, dtype=np.int64)
        columns = list(zip(*self._parts, strict=True)) or [(empty,)] * 3
        frame, pixel, count = (np.concatenate(parts).astype(np.int64) for parts in columns)
        return PickedBlock(start, rows, frame, pixel, count)


def take_limited(picked: NDArray[Any], start: int, rows: NDArray[np.uint8], excess: Excess) -> None:
    """Sort counts into bytes and larger ones.

    Args:
        picked: (n, P) any integer dtype.
        start: Frame in the series of the first row.
        rows: (n, P) gets min(count, ``LIMIT``).
        excess: Gets the counts above.

    Raises:
        InputError: a negative count.
    """
    if picked.dtype.kind == "i" and picked.size and picked.min() < 0:
        frame = int(np.flatnonzero((picked < 0).any(axis=1))[0])
        _refuse_negative(picked[frame], start + frame)
    np.minimum(picked, LIMIT, out=rows, casting="unsafe")
    if not picked.size or picked.max() <= LIMIT:
        return
    frames, columns = np.nonzero(picked > LIMIT)
    if frames.size:
        excess.add(frames + start, columns, picked[frames, columns])


def _refuse_negative(values: NDArray[Any], frame: int) -> None:
    negative = values[values < 0] if values.dtype.kind == "i" else values[:0]
    if negative.size:
        raise InputError(
            f"{negative.size} negative count(s) in frame {frame}, the lowest {negative.min():g}",
            needed="counts of 0 or more",
            action="mask these pixels (detectors mark gaps and bad pixels so) or list the frame in bad_frames",
        )
