"""Which frames and which rectangle of the detector a caller asks for, and how much there can be at all."""

from __future__ import annotations

from gbx_beamline.errors import SeriesError
from gbx_beamline.records import Region

MOST_FRAMES = 2**26
"""Of a series: hours at the detector's highest rate. Lists of frames are made before any is read."""

MOST_PIXELS = 2**28
"""Of a frame: fifteen times the largest detector's."""

LARGEST_CHUNK = 2**30
"""Bytes that one chunk unpacks to: HDF5 unpacks it whole, whatever part is asked for."""


def check_frames(start: int, stop: int, frames: int, name: str) -> None:
    """Refuse a frame range that is not inside the series; clipping it would shift a time axis silently.

    Raises:
        SeriesError: not ``0 <= start <= stop <= frames``.
    """
    if not 0 <= start <= stop <= frames:
        raise SeriesError(
            f"{name or 'series'}: frames {start}:{stop} of a series of {frames}",
            needed=f"0 <= start <= stop <= {frames}",
            action="ask for frames that exist",
        )


def region_bounds(region: Region | None, shape: tuple[int, int]) -> Region:
    """Rows and columns with explicit ends.

    Args:
        region: Slices as numpy takes them, without a step; None = everything.
        shape: (y, x).

    Raises:
        SeriesError: a step other than 1.
    """
    if region is None:
        return slice(0, shape[0]), slice(0, shape[1])
    rows, columns = (_bounds(part, size) for part, size in zip(region, shape, strict=True))
    return rows, columns


def _bounds(part: slice, size: int) -> slice:
    start, stop, step = part.indices(size)
    if step != 1:
        raise SeriesError(
            f"a region with step {step}",
            needed="a rectangle of neighbouring pixels",
            action="read the rectangle and take every n-th pixel of the result",
        )
    return slice(start, max(start, stop))
