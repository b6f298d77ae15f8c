"""The counts of ROI pixels of a whole series: one byte a pixel, and what does not fit into it beside.

Most photon counts are small. They stand as bytes up to 127, which integer matrix units multiply exactly; a pixel that
ever counts more is "bright" and has a column of wide integers of its own.
"""

from __future__ import annotations

import tempfile
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._kernels import count_rows
from gbx_beamline.correlation._layout import PixelLayout
from gbx_beamline.errors import InputError
from gbx_beamline.records import Bools


class BrightPixels:
    """Pixels of one ROI that counted more than a byte of the rows holds, as wide integers.

    Args:
        frames: N.
    """

    def __init__(self, frames: int) -> None:
        self.columns: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        """(B,) columns of the ROI."""
        self.values: NDArray[np.uint32] = np.zeros((frames, 0), dtype=np.uint32)
        """(N, B) full counts."""

    def head(self, frames: int) -> BrightPixels:
        """The first frames, without a copy."""
        part = copy(self)
        part.values = self.values[:frames]
        return part

    def take(
        self,
        rows: NDArray[np.uint8],
        span: slice,
        frame: NDArray[np.int64],
        column: NDArray[np.int64],
        count: NDArray[np.int64],
    ) -> None:
        """Move bright columns out of the rows.

        Args:
            rows: (N, P_roi) all rows; those of bright columns become 0.
            span: frames that were written just now.
            frame: (E,) frame of each count that does not fit.
            column: (E,) its column.
            count: (E,) the count.
        """
        fresh = np.setdiff1d(column, self.columns)
        if fresh.size:
            self.columns = np.concatenate([self.columns, fresh])
            self.values = np.hstack([self.values, np.zeros((len(rows), fresh.size), dtype=np.uint32)])
            self.values[: span.start, -fresh.size :] = rows[: span.start, fresh]
            rows[: span.start, fresh] = 0
        if self.columns.size:
            self.values[span] = rows[span, self.columns]
            rows[span, self.columns] = 0
        if column.size:
            order = np.argsort(self.columns)
            self.values[frame, order[np.searchsorted(self.columns, column, sorter=order)]] = count


class RoiRows:
    """Counts of one ROI in every frame.

    Args:
        frames: N.
        pixels: P_roi.
        dtype: uint8 for photon counts; a float type for values that are none.
        spill: True keeps the rows in a file without a name instead of in memory.
    """

    def __init__(self, frames: int, pixels: int, dtype: np.dtype[Any], *, spill: bool = False) -> None:
        self.rows: NDArray[Any] = _spilled((frames, pixels), dtype) if spill else np.zeros((frames, pixels), dtype)
        """(N, P_roi) counts up to 127, or real values; 0 in frames and pixels that are left out."""
        self.bright = BrightPixels(frames)
        self.kept: Bools = np.ones(pixels, dtype=bool)
        """(P_roi,) False for pixels left out of the whole series."""
        self.totals = np.zeros(frames)
        """(N,) counts of each frame, whole numbers where the counts are."""
        self.image = np.zeros(pixels)
        """(P_roi,) counts of each pixel over all frames."""
        self.whole = True
        """True while every value is a whole number, so that factorial moments exist."""

    @property
    def pixels(self) -> int:
        """Pixels in use."""
        return int(self.kept.sum())

    def head(self, frames: int) -> RoiRows:
        """The first frames, without a copy."""
        part = copy(self)
        part.rows, part.totals = self.rows[:frames], self.totals[:frames]
        part.bright = self.bright.head(frames)
        return part

    def put(
        self,
        start: int,
        counts: NDArray[Any],
        frame: NDArray[np.int64],
        column: NDArray[np.int64],
        count: NDArray[np.int64],
    ) -> None:
        """Write consecutive frames.

        Args:
            start: first frame.
            counts: (n, P_roi) counts, limited to a byte of 127, or real values.
            frame: (E,) frames of counts above that limit.
            column: (E,) their columns.
            count: (E,) the full counts.
        """
        span = slice(start, start + len(counts))
        self.rows[span] = counts
        if not self.kept.all():
            self.rows[span, ~self.kept] = 0
            known = self.kept[column]
            frame, column, count = frame[known], column[known], count[known]
        if self.rows.dtype.kind == "f":
            self.whole = self.whole and bool(np.all(counts == np.rint(counts)))
        else:
            self.bright.take(self.rows, span, frame, column, count)
        self._add_up(span)

    def drop(self, columns: NDArray[np.int64]) -> None:
        """Leave pixels out of the whole series: all their counts become 0."""
        if not columns.size:
            return
        self.kept[columns] = False
        self.rows[:, columns] = 0
        gone = np.isin(self.bright.columns, columns)
        self.bright.columns, self.bright.values = self.bright.columns[~gone], self.bright.values[:, ~gone]
        self._recount()

    def blank(self, frames: NDArray[np.int64]) -> None:
        """Leave frames out: all their counts become 0."""
        if not frames.size:
            return
        self.rows[frames] = 0
        self.bright.values[frames] = 0
        self._recount()

    def _recount(self) -> None:
        self.image[:] = 0
        step = max(1, 2**26 // max(1, self.rows.shape[1]))
        for start in range(0, len(self.rows), step):
            self._add_up(slice(start, min(start + step, len(self.rows))))

    def _add_up(self, span: slice) -> None:
        counts = self.rows[span]
        if counts.dtype.kind == "f":
            self.totals[span] = counts.sum(axis=1, dtype=np.float64)
            self.image += counts.sum(axis=0, dtype=np.float64)
            return
        totals = np.empty(len(counts), dtype=np.int64)
        image = np.zeros(counts.shape[1], dtype=np.int64)
        count_rows(np.asarray(counts), totals, image)
        wide = self.bright.values[span]
        if wide.size:
            totals += wide.sum(axis=1, dtype=np.int64)
            image[self.bright.columns] += wide.sum(axis=0, dtype=np.int64)
        self.totals[span] = totals
        self.image += image


class RoiStore:
    """Counts of all ROIs of a series, filled in order of frames.

    Args:
        layout: pixels of each ROI.
        frames: N.
        dtype: stored type of the series; integers are held as bytes, real values as they are.
        spill: True keeps the rows in files.
    """

    def __init__(self, layout: PixelLayout, frames: int, dtype: np.dtype[Any], *, spill: bool = False) -> None:
        held = np.dtype(np.uint8) if dtype.kind in "ui" else dtype
        self.layout = layout
        self.frames = frames
        self.spilled = spill
        self.rois = [RoiRows(frames, int(pixels), held, spill=spill) for pixels in layout.pixels]
        self.reached = 0
        """Frames written."""

    def put(
        self,
        start: int,
        counts: NDArray[Any],
        frame: NDArray[np.int64] | None = None,
        pixel: NDArray[np.int64] | None = None,
        count: NDArray[np.int64] | None = None,
    ) -> None:
        """Write consecutive frames (n, P) of all ROIs, with the counts (E,) that do not fit into them.

        Raises:
            InputError: a count beyond 32 bits.
        """
        nothing = np.empty(0, dtype=np.int64)
        frame, pixel, count = (nothing if part is None else part for part in (frame, pixel, count))
        if count.size and count.max() > np.iinfo(np.uint32).max:
            raise InputError(
                f"a count of {count.max()} in frame {frame[np.argmax(count)]}",
                needed="counts below 2^32, for which sums are exact",
                action="mask the pixel, or check the type of the frames",
            )
        for roi, rows in enumerate(self.rois):
            part = self.layout.part(roi)
            own = (pixel >= part.start) & (pixel < part.stop)
            rows.put(start, counts[:, part], frame[own], pixel[own] - part.start, count[own])
        self.reached = start + len(counts)

    def head(self, frames: int) -> RoiStore:
        """The first frames, without a copy."""
        part = copy(self)
        part.frames = part.reached = frames
        part.rois = [roi.head(frames) for roi in self.rois]
        return part


def _spilled(shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Zeros in a file that vanishes with the array."""
    with tempfile.TemporaryFile(prefix="gbx-rows-") as file:
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)  # the mapping outlives the file object
