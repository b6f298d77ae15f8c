"""Group maps of the ROIs of a scan, from the counts as they are held."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._cell_sums import CellSums
from gbx_beamline.correlation._group_maps import GroupAccumulator
from gbx_beamline.correlation._groups import GroupLayout, plan_groups
from gbx_beamline.correlation._layout import PixelLayout
from gbx_beamline.correlation._speckle_size import speckle_size
from gbx_beamline.correlation._store import RoiRows
from gbx_beamline.records import Bools, PixelGroups

_FRAMES = 256
"""Frames added up at once."""


class RoiGroups:
    """Pixel groups of one ROI; frames are taken in order and maps can be asked for at any time.

    The split follows the speckle size, measured when maps are first asked for, and stays.

    Args:
        roi: its counts.
        layout: pixels of all ROIs.
        index: which one.
        frames: N expected.
        count: groups asked for.
        max_cells: most time cells.
    """

    def __init__(
        self, roi: RoiRows, layout: PixelLayout, index: int, *, frames: int, count: int, max_cells: int
    ) -> None:
        self._roi = roi
        self._positions = None if layout.listed else layout.positions(index)
        self._count = count
        self._accumulator: GroupAccumulator | None = None
        self._taken = 0
        # Only counts of photons can be added up in integers.
        self._sums = CellSums(frames, roi.rows.shape[1], max_cells) if roi.rows.dtype == np.uint8 else None

    def take(self, stop: int, valid: Bools) -> None:
        """Add the frames up to ``stop`` that were not added yet."""
        if self._sums is None:
            return
        while self._taken < stop:
            part = slice(self._taken, min(self._taken + _FRAMES, stop))
            bright = self._roi.bright
            wide = (bright.columns, bright.values[part]) if bright.columns.size else None
            self._sums.feed(np.asarray(self._roi.rows[part]), valid[part], wide)
            self._taken = part.stop

    def maps(self) -> tuple[NDArray[np.float32], PixelGroups]:
        """(K, n, n) maps of the cells that are full, and how pixels and time were split."""
        if self._sums is None:
            return np.empty((0, 0, 0), dtype=np.float32), _none("values are no photon counts")
        if self._sums.full < 2:
            return np.empty((0, 0, 0), dtype=np.float32), _none("fewer than two time cells")
        if self._accumulator is None:
            self._accumulator = GroupAccumulator(self._plan(self._sums), self._sums, threads=1)
        return self._accumulator.maps()

    def _plan(self, sums: CellSums) -> GroupLayout:
        kept = np.flatnonzero(self._roi.kept)
        if self._positions is None:
            planned = plan_groups(None, None, kept.size, float("nan"), self._count)
        else:
            y, x = (axis[kept] for axis in self._positions)
            counts = sums.counts if kept.size == self._roi.kept.size else sums.counts[:, kept]
            planned = plan_groups(y, x, kept.size, speckle_size(counts, y, x), self._count)
        if kept.size == self._roi.kept.size:
            return planned
        return replace(planned, order=kept if planned.order is None else kept[planned.order])


def _none(why: str) -> PixelGroups:
    return PixelGroups(
        count=0, pixels=(), frames_per_cell=1, pairs=(), speckle_size=float("nan"), status=f"no pixel groups: {why}"
    )
