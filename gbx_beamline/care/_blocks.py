"""Counts of one ROI added over blocks of frames: the images of the motion check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._kernels import count_rows
from gbx_beamline.errors import InputError
from gbx_beamline.records import Bools


@dataclass(frozen=True, kw_only=True)
class BlockSums:
    """Counts of one ROI added over blocks of consecutive frames."""

    sums: NDArray[np.float64]
    """(B, P) counts over the block's valid frames."""
    frames: NDArray[np.int64]
    """(B,) valid frames of each block; blocks without any are left out."""
    centres: NDArray[np.float64]
    """(B,) mean index of those frames."""


class BlockAdder:
    """Adds frames to blocks while they pass by, so that no series need be held.

    Args:
        valid: (N,) frames that count.
        pixels: P.
        blocks: at most so many.
    """

    def __init__(self, valid: Bools, pixels: int, blocks: int = 32) -> None:
        self._valid = np.asarray(valid, dtype=bool)
        count = len(self._valid)
        if count == 0 or blocks < 1:
            raise InputError(
                f"{count} frames in {blocks} blocks", needed="at least one of each", action="give the whole series"
            )
        self._block = np.arange(count) * min(blocks, count) // count
        self._sums = np.zeros((int(self._block[-1]) + 1, pixels))

    def add(self, start: int, rows: NDArray[Any]) -> None:
        """Take rows (n, P) of counts that begin with frame ``start``; rows of invalid frames are ignored.

        Raises:
            InputError: rows beyond the series or of another number of pixels.
        """
        stop = start + len(rows)
        if start < 0 or stop > len(self._valid) or rows.ndim != 2 or rows.shape[1] != self._sums.shape[1]:
            raise InputError(
                f"rows of shape {rows.shape} from frame {start} on",
                needed=f"frames below {len(self._valid)} and {self._sums.shape[1]} pixels",
                action="give the rows of the ROI",
            )
        block = self._block[start:stop]
        for index in np.unique(block):
            chosen = rows[(block == index) & self._valid[start:stop]]
            if rows.dtype == np.uint8:
                image = np.zeros(rows.shape[1], dtype=np.int64)
                count_rows(np.ascontiguousarray(chosen), np.empty(len(chosen), dtype=np.int64), image)
                self._sums[index] += image
            else:
                self._sums[index] += chosen.sum(axis=0, dtype=np.float64 if rows.dtype.kind == "f" else np.int64)

    def finish(self) -> BlockSums:
        """Blocks that hold frames."""
        frames = np.bincount(self._block, weights=self._valid, minlength=len(self._sums)).astype(np.int64)
        index = np.bincount(self._block, weights=self._valid * np.arange(len(self._valid)), minlength=len(frames))
        used = frames > 0
        return BlockSums(sums=self._sums[used], frames=frames[used], centres=index[used] / frames[used])


def block_sums(rows: NDArray[Any], *, valid: Bools | None = None, blocks: int = 32) -> BlockSums:
    """Counts of one ROI added over blocks of frames.

    Args:
        rows: (N, P) counts.
        valid: (N,) frames that count; None = all.
        blocks: at most so many, of nearly equal length.

    Raises:
        InputError: shapes that do not fit.
    """
    rows = np.asarray(rows)
    valid = np.ones(len(rows), dtype=bool) if valid is None else np.asarray(valid, dtype=bool)
    if rows.ndim != 2 or valid.shape != rows.shape[:1]:
        raise InputError(
            f"rows of shape {rows.shape} with validity of shape {valid.shape}",
            needed="(frames, pixels) and (frames,)",
            action="give the rows of one ROI",
        )
    adder = BlockAdder(valid, rows.shape[1], blocks)
    adder.add(0, rows)
    return adder.finish()
