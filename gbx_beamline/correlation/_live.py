"""Two-time correlation while frames arrive: the same sums in the same order of rows, so the same bits at the end."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._correlator import RoiCorrelator
from gbx_beamline.correlation._frames import ArrayFrames, FrameBlocks, as_frames, valid_frames
from gbx_beamline.correlation._layout import as_labels, lay_out
from gbx_beamline.correlation._memory import MemoryPlan, needed_bytes
from gbx_beamline.correlation._normalise import Normalisation
from gbx_beamline.correlation._products import engines
from gbx_beamline.correlation._result import Maps, assemble
from gbx_beamline.correlation._roi_groups import RoiGroups
from gbx_beamline.correlation._saturation import Saturation
from gbx_beamline.correlation._store import RoiStore
from gbx_beamline.correlation._target import FullMap
from gbx_beamline.correlation._two_time import (
    Collected,
    add_groups,
    check_normalisation,
    checked_frame_time,
    correlate,
    frame_means,
    refuse_dark,
)
from gbx_beamline.errors import InputError, SeriesError
from gbx_beamline.frames.picking import LIMIT, pick
from gbx_beamline.records import Bools, RoiSet, TwoTime

LIVE_NORMALISATIONS: tuple[Normalisation, ...] = ("none",)
"""Those that a frame needs no later frame for."""


class LiveTwoTime:
    """Correlates frames as they come.

    Feed it from one thread with ``append``; any other thread may call ``so_far`` at any moment. After the last frame
    ``finish`` gives what ``two_time`` gives for the same frames, mask and settings, bit for bit. What can only be
    known at the end makes it correlate once more from the counts it holds, and ``notes`` of the result says so:
    pixels that saturated in a late frame, frames found bad, a normalisation by averages over the series.

    Args:
        rois_or_labels: as in ``two_time``.
        frames: most frames that will come.
        shape: (y, x) of a frame; (P,) for lists of pixels.
        dtype: unsigned or signed integer type of the frames.
        frame_time: s between frames.
        mask: (y, x) True = good.
        groups: pixel groups per ROI; 0 makes none.
        max_cells: most time cells of their maps.
        normalisation: as in ``two_time``; until the end maps are those of "none".
        saturates: True where the largest value of an unsigned type means "could not count", as an Eiger writes it.
        max_bytes: ceiling; a live map is neither kept in files nor averaged.

    Raises:
        InputError: more memory needed than the ceiling, an impossible setting, or frames that are no counts.
        RoiError: labels that do not fit the frames.
    """

    def __init__(
        self,
        rois_or_labels: RoiSet | NDArray[Any],
        *,
        frames: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any] | type[np.generic] = np.uint32,
        frame_time: float = 1.0,
        mask: Bools | None = None,
        groups: int = 8,
        max_cells: int = 256,
        normalisation: Normalisation = "none",
        saturates: bool = True,
        max_bytes: int = 4 * 2**30,
    ) -> None:
        self._dtype = np.dtype(dtype)
        if self._dtype.kind not in "ui" or frames < 2:
            raise InputError(
                f"{frames} frames of dtype {self._dtype}",
                needed="at least two frames of integer counts",
                action="give the number of frames of the scan; for real values use two_time",
            )
        grid = (1, shape[0]) if len(shape) == 1 else (shape[0], shape[1])
        labels, names = as_labels(rois_or_labels, grid)
        good = np.ones(grid, dtype=bool) if mask is None else mask
        self._layout = lay_out(labels, good, names, listed=len(shape) == 1)
        self._grid = grid
        least = needed_bytes(frames, self._layout.pixels, labels.size, self._dtype, groups=groups)
        if least > max_bytes:
            raise InputError(
                f"{frames} frames of {self._layout.where.size} ROI pixels in {len(names)} ROIs take "
                f"{least / 2**30:.3g} GiB",
                needed=f"at most {max_bytes / 2**30:.3g} GiB: a live map is neither kept in files nor averaged",
                action="raise the memory ceiling, take fewer ROIs, or correlate the scan when it has ended",
            )
        is_set = isinstance(rois_or_labels, RoiSet)
        self._store = RoiStore(self._layout, frames, self._dtype)
        check_normalisation(normalisation, self._store)
        self._saturation = Saturation(frames, self._layout.edges)
        self._marker = int(np.iinfo(self._dtype).max) if saturates and self._dtype.kind == "u" else None
        self._normalisation: Normalisation = normalisation
        self._memory = MemoryPlan(spill=False, frames_per_cell=1, needed=least)
        self._frame_time = checked_frame_time(frame_time)
        self._groups, self._max_cells = groups, max_cells
        self._q = (rois_or_labels.q_par, rois_or_labels.q_z) if is_set else (None, None)
        self._g2 = np.full((len(names), frames, frames), np.nan, dtype=np.float32)
        self._diagonals = np.full((len(names), frames, 2), np.nan)
        self._correlators = [
            RoiCorrelator(roi, "none", self._layout.positions(index)) for index, roi in enumerate(self._store.rois)
        ]
        self._parts = [self._parts_of(index) for index in range(len(names))] if groups else []
        self._lock = threading.Lock()

    def _parts_of(self, index: int) -> RoiGroups:
        return RoiGroups(
            self._store.rois[index],
            self._layout,
            index,
            frames=self._store.frames,
            count=self._groups,
            max_cells=self._max_cells,
        )

    @property
    def reached(self) -> int:
        """Frames taken so far."""
        return self._store.reached

    def append(self, frames: NDArray[Any] | FrameBlocks) -> None:
        """Take the next frames and correlate them with all before.

        Args:
            frames: (m, y, x), or (m, P) for lists of pixels; or a series of the next frames, such as one data file,
                of which only the ROIs' pixels are decoded. Micro-batches of 16 to 64 are much cheaper a frame than
                single frames.

        Raises:
            SeriesError: frames of another shape or type, more than announced, or damaged ones.
            InputError: negative counts.
        """
        counts = ArrayFrames(frames, self._frame_time) if isinstance(frames, np.ndarray) else frames
        if counts.shape[1:] != self._grid or counts.dtype != self._dtype:
            raise SeriesError(
                f"frames of {counts.dtype} and shape {counts.shape[1:]}",
                needed=f"{self._dtype} frames of shape {self._grid}, as announced",
                action="feed frames of one detector and region",
            )
        if self.reached + counts.shape[0] > self._store.frames:
            raise SeriesError(
                f"frame {self.reached + counts.shape[0]} of {self._store.frames}",
                needed="no more frames than were announced",
                action="announce the number of frames of the whole scan",
            )
        for block in pick(counts, self._layout.where, threads=1):
            start = self.reached
            excess = block.excess_frame - block.start + start, block.excess_pixel, block.excess_count
            if self._marker is not None and self._marker > LIMIT and block.excess_count.size:
                full = block.excess_count == self._marker
                self._saturation.note(excess[0][full], block.excess_pixel[full])
                excess = tuple(part[~full] for part in excess)
            with self._lock:
                self._store.put(start, block.rows, *excess)
                self._extend(start, self.reached)

    def _extend(self, first: int, last: int) -> None:
        valid = np.arange(self._store.frames) < last
        everything = np.empty(0)
        for index, correlator in enumerate(self._correlators):
            inverse = correlator.prepare(valid, everything)
            self._diagonals[index, first:last] = correlator.write(first, last, inverse, FullMap(self._g2[index]))
        for part in self._parts:
            part.take(last, valid)

    def so_far(self, *, with_groups: bool = True) -> TwoTime | None:
        """The maps of the frames taken so far, without stopping the stream; None before there are two.

        The maps are views of what later frames do not change. They hold pixels that saturated since.

        Args:
            with_groups: False leaves the maps of the pixel groups out, which cost more than the rest.

        Raises:
            InputError: a ROI without a photon so far.
        """
        with self._lock:
            if self.reached < 2:
                return None
            collected = self._collected(np.arange(self.reached) < self.reached)
            maps = self._maps(collected)
            for index, part in enumerate(self._parts if with_groups else []):
                maps.take_groups(index, *part.maps(), wanted=self._groups)
            return assemble(collected, maps, "none")

    def finish(self, bad_frames: Iterable[int] = ()) -> TwoTime:
        """The result, as ``two_time`` gives it for the frames that came.

        Args:
            bad_frames: frames to leave out.

        Raises:
            InputError: fewer than two valid frames, an impossible bad frame, or a ROI without a photon.
        """
        with self._lock:
            frames = ArrayFrames(np.empty((self.reached, 1, 0), dtype=self._dtype), self._frame_time)
            valid = valid_frames(as_frames(frames, self._frame_time), bad_frames)
            self._saturation.head(self.reached).refuse(self._layout.names, valid)
            late = self._late(valid)
            collected = self._collected(valid)
            if not late:
                maps = self._maps(collected)
                # Groups follow the speckle size, which all frames together tell best.
                add_groups(collected, maps)
                return assemble(collected, maps, "none")
            collected.leave_out(np.flatnonzero(~valid))
            collected.leave_out_saturated()
            done = correlate(collected, normalisation=self._normalisation)
        return replace(done, notes=(*done.notes, f"correlated once more at the end of the scan: {', '.join(late)}"))

    def _late(self, valid: Bools) -> list[str]:
        """What only the end of the scan tells, in words."""
        late: list[str] = []
        if not self._saturation.kept.all():
            late.append(f"{int((~self._saturation.kept).sum())} pixels saturated at times")
        if not valid.all():
            late.append(f"{int((~valid).sum())} bad frames")
        if self._normalisation not in LIVE_NORMALISATIONS:
            late.append(f"normalisation {self._normalisation}")
        return late

    def _collected(self, valid: Bools) -> Collected:
        return Collected(
            store=self._store.head(self.reached),
            valid=valid,
            frame_time=self._frame_time,
            saturation=self._saturation.head(self.reached),
            plan=self._memory,
            groups=self._groups,
            max_cells=self._max_cells,
            threads=None,
            q_par=self._q[0],
            q_z=self._q[1],
        )

    def _maps(self, collected: Collected) -> Maps:
        """What was computed as frames came."""
        refuse_dark(collected)
        frames = collected.store.frames
        return Maps(
            width=1,
            g2=self._g2[:, :frames, :frames],
            diagonals=self._diagonals[:, :frames],
            means=np.stack([frame_means(roi, collected.valid) for roi in collected.store.rois]),
            kernels=[f"{engines()[0]}: rows as frames came"] * len(self._layout),
        )
