"""Correlation of each pixel group on integer-binned counts: what the noise-corrected S_noneq is made from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._cell_sums import CellSums, Wide, exact_products
from gbx_beamline.correlation._groups import GroupLayout, halved, pairs_apart, plan_groups
from gbx_beamline.correlation._speckle_size import speckle_size
from gbx_beamline.records import Bools, PixelGroups

MOST_CELLS = 512
"""Time cells: beyond, the group maps cost more than the correlation itself."""

FEWEST_CELLS = 24
"""Down to which time is rebinned to have a photon in every cell of every group."""

DARK = 0.05
"""Of the median: a cell with less is none (beam away), and does not count as one in which photons are few."""

WAITING = 64
"""Cells that wait for their products, so that a live scan multiplies in few large steps."""


def build_group_maps(
    rows: NDArray[Any],
    *,
    y: NDArray[np.int64] | None = None,
    x: NDArray[np.int64] | None = None,
    valid: Bools | None = None,
    wide: Wide | None = None,
    count: int = 8,
    max_cells: int = MOST_CELLS,
    size: float | None = None,
    threads: int | None = None,
) -> tuple[NDArray[np.float32], PixelGroups]:
    """C of each pixel group of one ROI.

    Counts are added over cells of a whole number of frames; frames left over at the end are dropped. In each group
    ``C(c, c') = P <I I'> / (<I> <I'>)`` with the group's own sums: the ROI's in their place would leave in what the
    groups' intensities fluctuate. A cell with more than half of its frames bad, or a dark one, is NaN. Where some
    group has a cell without a photon, cells are made longer (down to ``FEWEST_CELLS`` of them), then groups joined.

    Args:
        rows: (N, P) whole counts of the ROI's pixels.
        y: (P,) row of each pixel on the detector; None where pixels have no positions.
        x: (P,) column.
        valid: (N,) False for frames to leave out; None = all valid.
        wide: columns of ``rows`` to be replaced, with their counts (N, columns).
        count: groups asked for.
        max_cells: most cells.
        size: full width at half maximum of the speckle, pixels, where it is known; None measures it.
        threads: of the products, as in ``dense_products``.

    Returns:
        (K, n, n) float32 with NaN on the diagonal, and how the pixels were split; K = 0 where no groups fit.

    Raises:
        InputError: impossible settings.
        SeriesError: rows that are no whole counts.
    """
    frames, pixels = rows.shape
    sums = CellSums(frames, pixels, max_cells)
    sums.feed(rows, np.ones(frames, dtype=bool) if valid is None else valid, wide)
    width = float("nan") if size is None else size
    if size is None and y is not None and x is not None:
        width = speckle_size(sums.counts, y, x)
    return GroupAccumulator(plan_groups(y, x, pixels, width, count), sums, threads).maps()


class GroupAccumulator:
    """Group maps of a ROI from blocks of frames in order.

    For the same layout the maps are those of ``build_group_maps`` bit for bit, however the frames are cut. They can
    be asked for at any time.

    Args:
        layout: the pixel groups, fixed before the first frame (``plan_groups``).
        sums: where the frames are added up; may hold frames already.
        threads: of the products, as in ``dense_products``.
    """

    def __init__(self, layout: GroupLayout, sums: CellSums, threads: int | None = None) -> None:
        self.layout = layout
        self._threads = threads
        self._sums = sums
        shape = layout.count, sums.cells
        self._products = np.zeros((*shape, sums.cells))
        self._totals = np.zeros(shape)
        self._done = 0

    def feed(self, rows: NDArray[Any], valid: Bools, wide: Wide | None = None) -> None:
        """Take the next frames.

        Args:
            rows: (m, P) whole counts.
            valid: (m,) False for bad frames.
            wide: columns of ``rows`` to be replaced, with their counts (m, columns).
        """
        if self.layout.count:
            self._sums.feed(rows, valid, wide)
            if self._sums.full - self._done >= WAITING:
                self._multiply()

    def maps(self) -> tuple[NDArray[np.float32], PixelGroups]:
        """(K, n, n) maps of the cells that are full by now, and how pixels and time were split."""
        self._multiply()
        layout: GroupLayout | None = self.layout
        products, totals = self._products[:, : self._done, : self._done], self._totals[:, : self._done]
        while layout is not None and layout.count:
            for joined in range(1, max(1, self._done // FEWEST_CELLS) + 1):
                coarse = _joined(totals, joined)
                measured = self._measured(coarse.sum(axis=0), joined)
                if coarse[:, measured].all():
                    maps = _normalised(layout, _joined(_joined(products, joined), joined, 1), coarse, measured)
                    return maps, self._groups(layout, joined, layout.notes)
            layout = halved(layout)
            if layout is not None:
                products, totals = products[::2] + products[1::2], totals[::2] + totals[1::2]
        notes = self.layout.notes
        if self.layout.count:
            notes = (*notes, "no pixel groups: some held no photon at times, even in the longest cells")
        return np.empty((0, self._done, self._done), dtype=np.float32), self._groups(None, 1, notes)

    def _multiply(self) -> None:
        """Products of the cells that became full since the last time with all full ones."""
        start, stop = self._done, self._sums.full
        if start == stop:
            return
        for group in range(self.layout.count):
            first, last = self.layout.edges[group : group + 2]
            counts = self._sums.counts[:stop]
            order = self.layout.order
            counts = counts[:, first:last] if order is None else counts.take(order[first:last], axis=1)
            found = exact_products(counts[start:], counts, self._threads)
            self._products[group, start:stop, :stop] = found
            self._products[group, :stop, start:stop] = found.T
            self._totals[group, start:stop] = counts[start:].sum(axis=1, dtype=np.uint64)
        self._done = stop

    def _measured(self, total: NDArray[np.float64], joined: int) -> Bools:
        """(n,) cells with enough good frames and with light."""
        good = _joined(self._sums.good[: self._done], joined)
        enough = (2 * good >= joined * self._sums.step) & (total > 0)
        if enough.any():
            per_frame = total / np.maximum(good, 1)
            enough &= per_frame >= DARK * np.median(per_frame[enough])
        return enough

    def _groups(self, layout: GroupLayout | None, joined: int, notes: tuple[str, ...]) -> PixelGroups:
        if joined > 1:
            notes = (*notes, f"cells of {joined * self._sums.step} frames: groups held no photon in shorter ones")
        return PixelGroups(
            count=0 if layout is None else layout.count,
            pixels=() if layout is None else tuple(int(n) for n in np.diff(layout.edges)),
            frames_per_cell=joined * self._sums.step,
            pairs=() if layout is None else pairs_apart(layout.count),
            speckle_size=self.layout.speckle_size,
            status="; ".join(notes) or "ok",
        )


def _normalised(
    layout: GroupLayout, products: NDArray[np.float64], totals: NDArray[np.float64], measured: Bools
) -> NDArray[np.float32]:
    """(K, n, n) C of each group."""
    maps = np.empty(products.shape, dtype=np.float32)
    for group, pixels in enumerate(np.diff(layout.edges)):
        total = np.where(measured, totals[group], np.nan)
        # One product of totals, not two divisions: the map stays exactly symmetric.
        scale = total[:, None] * total[None, :]
        scale /= pixels
        np.divide(products[group], scale, out=maps[group], casting="same_kind")
        np.fill_diagonal(maps[group], np.nan)
    return maps


def _joined(values: NDArray[Any], count: int, axis: int = -1) -> NDArray[Any]:
    """Sums of ``count`` neighbours along an axis; what is left over at the end is dropped."""
    if count == 1:
        return values
    values = np.moveaxis(values, axis, -1)
    cells = values.shape[-1] // count
    parts = values[..., : cells * count].reshape(*values.shape[:-1], cells, count)
    return np.moveaxis(parts.sum(axis=-1), -1, axis)
