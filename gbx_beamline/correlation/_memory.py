"""What the analysis of one scan holds at once, known before it begins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation import diagonals
from gbx_beamline.correlation._frames import FRAME_BLOCK_BYTES
from gbx_beamline.correlation._static import TILE_PIXELS
from gbx_beamline.errors import InputError

LARGEST_CELLS = 512
"""Most time cells that S_noneq is measured on (config.NonEquilibriumConfig)."""

READING_SHARE = 8
"""Reading frames may take this part of the ceiling."""

READING_COPIES = 4
"""Blocks of frames that live while frames are read: the block, the one before, its ROI pixels, their checks."""

SMALL_THINGS = 2**16
"""Bytes: what does not grow with the scan."""

FRAME_COST = 48
"""Bytes per pixel of a frame: label image, mask, and the images made while ROIs are laid out and averages drawn."""

PIXEL_COST = 40
"""Bytes per ROI pixel beside its counts: where it is, its order, its time average."""


def block_pixels(count: int) -> int:
    """Pixels per float64 block of the matrix product, so that a block stays near 32 MiB."""
    return max(256, 2**25 // (8 * count))


def reading_block(max_bytes: int) -> int:
    """Largest block of frames to ask for."""
    return min(FRAME_BLOCK_BYTES, max_bytes // (READING_SHARE * READING_COPIES))


def refuse_size(count: int, pixels: NDArray[np.int64], frame_pixels: int, block: NDArray[Any], max_bytes: int) -> None:
    """Refuse a scan that needs more than it may hold.

    Args:
        count: N frames.
        pixels: (Q,) pixels per ROI.
        frame_pixels: of a whole frame.
        block: a block of frames (n, y, x) of their bounding box, as long as ``reading_block`` allows.
        max_bytes: the ceiling.

    Raises:
        InputError: with the number of bytes that would be enough.
    """
    needed = needed_bytes(count, pixels, frame_pixels, block[0].nbytes, block.dtype.itemsize)
    if needed > max_bytes:
        raise InputError(
            f"{count} frames of {int(pixels.sum())} ROI pixels in {len(pixels)} ROIs take {needed / 2**30:.3g} GiB",
            needed=f"at most {max_bytes / 2**30:.3g} GiB",
            action="raise the memory ceiling, or take fewer ROIs or frames",
        )


def needed_bytes(count: int, pixels: NDArray[np.int64], frame_pixels: int, box_bytes: int, itemsize: int) -> int:
    """Smallest ceiling that a scan keeps, from the first frame read to the finished result.

    Args:
        count: N frames.
        pixels: (Q,) pixels per ROI.
        frame_pixels: of a whole frame.
        box_bytes: of one frame's bounding box of all ROIs.
        itemsize: bytes of a stored pixel.
    """
    total = int(pixels.sum())
    maps = len(pixels) * (4 * count**2 + 80 * count)
    common = maps + FRAME_COST * frame_pixels
    stored = common + total * (count * itemsize + PIXEL_COST)
    # Reading asks for blocks of a share of the ceiling itself, but of one frame at least.
    reading = READING_COPIES * max(box_bytes, min(stored // (READING_SHARE - 1) // READING_COPIES, FRAME_BLOCK_BYTES))
    # Two float64 maps and one float64 block of pixels live while a ROI is multiplied.
    multiplying = 16 * count**2 + 8 * count * min(block_pixels(count), int(pixels.max()))
    smoothing = 40 * 8 * min(TILE_PIXELS, frame_pixels)
    return SMALL_THINGS + max(stored + max(reading, multiplying, smoothing), common + _afterwards(count, len(pixels)))


def _afterwards(count: int, rois: int) -> int:
    """Bytes beside the maps once they exist: g2 of one lag and S_noneq, whose drifts are kept."""
    cells = min(count, LARGEST_CELLS)
    drifts = 4 * rois * cells**2
    # Both go through a map in blocks of rows; S_noneq takes no less than the frames of one cell.
    rows = max(min(diagonals.BLOCK, count**2), count * (count // cells + 1))
    return drifts + max(8 * 8 * rows, 8 * 8 * cells**2)
