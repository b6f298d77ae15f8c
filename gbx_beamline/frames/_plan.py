"""Which pixels of which block of a chunk go to which columns."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BlockPlan:
    """The wanted pixels, cut at the borders of blocks of one size."""

    block: int
    """Pixels of a block, a multiple of 8."""
    firsts: NDArray[np.int64]
    """(blocks + 2,) first run of each block, of the rest stored raw, and the end."""
    runs: NDArray[np.int64]
    """(R, 3) first pixel within the block, first column, number of pixels; in order of pixels."""


class Plan:
    """The wanted pixels of a frame as runs of neighbours that go to neighbouring columns.

    Args:
        where: (P,) flat pixel of each column.
        pixels: Of a frame.
    """

    def __init__(self, where: NDArray[np.int64], pixels: int) -> None:
        self.where = where
        self.pixels = pixels
        mask = np.zeros(pixels, dtype=np.bool_)
        mask[where] = True
        self.wanted: NDArray[np.uint8] = np.packbits(mask, bitorder="little")
        """(ceil(pixels / 8),) bit k of byte j: pixel 8 j + k is wanted."""
        ascending = bool(np.all(where[1:] > where[:-1]))
        self._columns = np.arange(where.size) if ascending else np.argsort(where, kind="stable")
        self._sorted = where if ascending else where[self._columns]
        self._blocks: dict[int, BlockPlan] = {}
        self._lock = threading.Lock()

    def of_block(self, block: int) -> BlockPlan:
        """The plan for chunks of this block size (pixels); detectors use one size for a series."""
        with self._lock:
            plan = self._blocks.get(block)
            if plan is None:
                # A damaged header must not fill the memory with plans that nobody needs.
                if len(self._blocks) > 4:
                    self._blocks.clear()
                plan = self._blocks[block] = self._build(block)
            return plan

    def _build(self, block: int) -> BlockPlan:
        full, rest = divmod(self.pixels, block)
        sizes = [block] * full + ([rest - rest % 8] if rest >= 8 else []) + [rest % 8]
        edges = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        cut = np.ones(self._sorted.size, dtype=np.bool_)
        cut[1:] = (np.diff(self._sorted) != 1) | (np.diff(self._columns) != 1)
        at_edge = np.searchsorted(self._sorted, edges)
        cut[at_edge[at_edge < cut.size]] = True
        begins = np.flatnonzero(cut)
        pixel = self._sorted[begins]
        in_block = np.searchsorted(edges, pixel, side="right") - 1
        lengths = np.diff(np.concatenate([begins, [cut.size]]))
        runs = np.stack([pixel - edges[in_block], self._columns[begins], lengths], axis=1).astype(np.int64)
        return BlockPlan(block, np.searchsorted(pixel, edges).astype(np.int64), runs)
