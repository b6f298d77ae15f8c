"""One thread's decoder of bitshuffle-LZ4 chunks, with its scratch memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.frames._bitshuffle import HEADER, decode
from gbx_beamline.frames._lz4 import lz4_address
from gbx_beamline.frames._plan import BlockPlan, Plan


class Decoder:
    """Takes the wanted pixels out of chunks. Not to be shared between threads.

    Args:
        plan: The wanted pixels.
        itemsize: Bytes of a pixel.
    """

    def __init__(self, plan: Plan, itemsize: int) -> None:
        address = lz4_address()
        assert address is not None
        self._lz4 = address
        self._plan = plan
        self._itemsize = itemsize
        self._block: BlockPlan | None = None
        self._work = np.empty(0, dtype=np.uint8)
        self._low = np.empty(0, dtype=np.uint64)
        self._high = np.empty(0, dtype=np.uint8)
        self._columns = np.empty(256, dtype=np.int64)
        self._counts = np.empty(256, dtype=np.uint64)

    @property
    def largest(self) -> int:
        """Bytes beyond which a chunk cannot be right: nothing that LZ4 writes is much longer than its input."""
        return 2 * self._plan.pixels * self._itemsize + 4096

    def decode(
        self, chunk: NDArray[np.uint8], row: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]] | None:
        """Wanted pixels of a chunk.

        Args:
            chunk: (size,) bytes as stored.
            row: (P,) zeros; gets min(count, 127).

        Returns:
            Columns with larger counts and these counts as unsigned numbers, valid until the next call, or None for
            a damaged chunk.
        """
        plan = self._prepared(chunk)
        if plan is None:
            return None
        while True:
            found = decode(
                self._lz4,
                chunk,
                self._itemsize,
                self._plan.pixels,
                plan.block,
                plan.firsts,
                plan.runs,
                self._plan.wanted,
                row,
                self._work,
                self._low,
                self._high,
                self._columns,
                self._counts,
            )
            if found < 0:
                return None
            if found <= self._columns.size:
                return self._columns[:found], self._counts[:found]
            # Rare, so decoding the frame once more costs less than counting first in every frame.
            self._columns = np.empty(2 * found, dtype=np.int64)
            self._counts = np.empty(2 * found, dtype=np.uint64)

    def _prepared(self, chunk: NDArray[np.uint8]) -> BlockPlan | None:
        """The plan for the chunk's block size, or None where its header is wrong."""
        head = chunk[:HEADER].tobytes()
        block = int.from_bytes(head[8:], "big") // self._itemsize
        whole = int.from_bytes(head[:8], "big") == self._plan.pixels * self._itemsize
        if len(head) < HEADER or not whole or block <= 0 or block % 8:
            return None
        if self._block is None or self._block.block != block:
            pixels = min(block, self._plan.pixels)
            self._block = self._plan.of_block(block)
            self._work = np.empty(pixels * self._itemsize, dtype=np.uint8)
            self._low = np.empty(-(-pixels // 8), dtype=np.uint64)
            self._high = np.empty(-(-pixels // 8), dtype=np.uint8)
        return self._block
