"""What the analysis of one scan holds at once, decided before it begins: in memory, in files, or in cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation import diagonals
from gbx_beamline.correlation._static import TILE_PIXELS
from gbx_beamline.errors import InputError

LARGEST_CELLS = 512
"""Most time cells that S_noneq is measured on (config.NonEquilibriumConfig)."""

FRAME_BLOCK_BYTES = 2**23
"""Most bytes of ROI pixels in one block while frames are read (frames.picking)."""

READ_BYTES = 2**25
"""Most bytes of frames in one read, where whole rectangles have to be read."""

BLOCKS = 4
"""Blocks of ROI pixels that live while frames are read, and reads at once."""

BLOCK_FRAMES = 64
"""Most frames in a block."""

SMALL_THINGS = 2**18
"""Bytes: what does not grow with the scan."""

FRAME_COST = 48
"""Bytes per pixel of a frame: label image, mask, and the images made while ROIs are laid out and averages drawn."""

PIXEL_COST = 64
"""Bytes per ROI pixel beside its counts: where it is, its order, its time average."""

SPILL_COST = 2**22
"""Bytes of rows in memory at once while they are kept in files."""

ROW_BLOCK = 256
"""Rows of the map computed at once."""

FEWEST_CELLS = 128
"""Cells that an averaged map keeps at least."""

WIDEST_CELL = 64
"""Frames per cell beyond which a series is refused instead of averaged."""


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """How a scan stays below its ceiling."""

    spill: bool
    """True keeps the ROI pixels in a file."""
    frames_per_cell: int
    """1 keeps every pair of frames; more averages the map over square cells as it is computed."""
    needed: int
    """Bytes that this takes."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the result must know of it, in words."""
        said: list[str] = []
        if self.spill:
            said.append("ROI pixels are kept in a temporary file, because of the memory ceiling")
        if self.frames_per_cell > 1:
            said.append(
                f"two-time maps are area means over cells of {self.frames_per_cell} frames, because of the memory "
                "ceiling; g2 over the lag is from single frames"
            )
        return tuple(said)


def plan(
    frames: int, pixels: NDArray[np.int64], frame_pixels: int, dtype: np.dtype[Any], *, groups: int, max_bytes: int
) -> MemoryPlan:
    """The least that has to be given up for a scan to fit.

    Args:
        frames: N.
        pixels: (Q,) pixels per ROI.
        frame_pixels: of a whole frame.
        dtype: stored type of a pixel.
        groups: pixel groups per ROI whose maps are made beside.
        max_bytes: the ceiling.

    Raises:
        InputError: no way fits; with the number of bytes that would be enough.
    """
    least: MemoryPlan | None = None
    for width in (2**power for power in range(WIDEST_CELL.bit_length())):
        if width > 1 and frames // width < FEWEST_CELLS:
            break
        for spill in (False, True):
            needed = needed_bytes(frames, pixels, frame_pixels, dtype, groups=groups, width=width, spill=spill)
            way = MemoryPlan(spill=spill, frames_per_cell=width, needed=needed)
            if needed <= max_bytes:
                return way
            least = way if least is None or needed < least.needed else least
    assert least is not None
    raise InputError(
        f"{frames} frames of {int(pixels.sum())} ROI pixels in {len(pixels)} ROIs take {least.needed / 2**30:.3g} GiB",
        needed=f"at most {max_bytes / 2**30:.3g} GiB",
        action="raise the memory ceiling, or take fewer ROIs or frames",
    )


def needed_bytes(
    frames: int,
    pixels: NDArray[np.int64],
    frame_pixels: int,
    dtype: np.dtype[Any],
    *,
    groups: int,
    width: int = 1,
    spill: bool = False,
) -> int:
    """Bytes from the first frame read to the finished result; arguments as in ``plan``."""
    total, largest, rois = int(pixels.sum()), int(pixels.max()), len(pixels)
    cells = frames // width
    binned = min(frames, LARGEST_CELLS)
    itemsize = dtype.itemsize if dtype.kind == "f" else 1
    rows = total * frames * itemsize
    maps = rois * (4 * cells**2 + 4 * groups * binned**2 + 200 * frames)
    held = SMALL_THINGS + FRAME_COST * frame_pixels + PIXEL_COST * total + maps
    held += min(SPILL_COST, rows) if spill else rows
    block = min(BLOCK_FRAMES, frames)
    reading = BLOCKS * (
        min(FRAME_BLOCK_BYTES, block * total * itemsize) + min(READ_BYTES, block * frame_pixels * dtype.itemsize)
    )
    # Products of a block of rows, as integers and as floats; cells add their float64 sums.
    multiplying = 24 * min(ROW_BLOCK, frames) * frames + (16 * cells**2 if width > 1 else 0)
    # Counts of one ROI summed over time bins, and the products of one group.
    grouping = 6 * binned * largest + 24 * binned**2 if groups else 0
    smoothing = 40 * 8 * min(TILE_PIXELS, frame_pixels)
    return held + max(multiplying, grouping, smoothing, reading, _afterwards(cells, rois))


def _afterwards(count: int, rois: int) -> int:
    """Bytes beside the maps once they exist: g2 of one lag and S_noneq, whose drifts are kept."""
    cells = min(count, LARGEST_CELLS)
    drifts = 4 * rois * cells**2
    rows = max(min(diagonals.BLOCK, count**2), count * (count // cells + 1))
    return drifts + max(8 * 8 * rows, 8 * 8 * cells**2)
