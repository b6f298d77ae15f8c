"""Time axes on which scans can be averaged: cells of whole frames of each, and one window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from gbx_beamline.errors import InputError

MOST_MAP_CELLS = 512
"""Cells of an averaged map, per side."""

FEWEST_CELLS = 8

_LARGEST_RATIO = 64
"""Of frame times: further apart, hardly a lag is left in common."""

_ROUNDING = 1e-6
"""Relative difference of frame times that is rounding."""


@dataclass(frozen=True)
class Timing:
    """What a scan's map is on."""

    name: str
    """Of the scan, for messages."""
    frame_time: float
    """s per row."""
    frames: int
    """Rows."""


@dataclass(frozen=True)
class Axis:
    """What all scans are brought to."""

    cell: float
    """s per step of the curves."""
    cells: int
    """Steps of the curves."""
    frames_per_cell: tuple[int, ...]
    """Of each scan, rows of its map in a cell."""
    cells_per_map_cell: int

    @property
    def map_cell(self) -> float:
        """s per cell of the maps."""
        return self.cell * self.cells_per_map_cell


def common_axis(timings: Sequence[Timing], *, common_window: bool = False) -> Axis:
    """The finest cells that are whole frames of every scan.

    Args:
        timings: Of at least one scan.
        common_window: True cuts longer scans to the shortest; False refuses scans of different length.

    Raises:
        InputError: frame times without a common multiple nearby, different windows, or too few cells.
    """
    finest = min(timings, key=lambda one: one.frame_time)
    ratios = [_ratio(one, finest) for one in timings]
    multiple = math.lcm(*(ratio.numerator for ratio in ratios))
    # Numerators share no factor with their denominators, but those of different scans may.
    common = Fraction(multiple, math.gcd(*(ratio.denominator for ratio in ratios)))
    frames_per_cell = tuple(int(common / ratio) for ratio in ratios)
    lengths = [one.frames // frames for one, frames in zip(timings, frames_per_cell, strict=True)]
    cell = finest.frame_time * float(common)
    shortest = min(range(len(timings)), key=lambda index: lengths[index])
    longest = max(range(len(timings)), key=lambda index: lengths[index])
    if lengths[longest] - lengths[shortest] > 1 and not common_window:
        short, long = timings[shortest], timings[longest]
        raise InputError(
            f"{long.name} spans {long.frames * long.frame_time:g} s, "
            f"{short.name} {short.frames * short.frame_time:g} s",
            needed="scans over one window: averages over different windows are different quantities",
            action="leave one of them out, or have all cut to the shortest (common_window, --common-window)",
        )
    cells = lengths[shortest]
    if cells < FEWEST_CELLS:
        raise InputError(
            f"{cells} common cells of {cell:g} s",
            needed=f"at least {FEWEST_CELLS}",
            action=f"leave out the scan that is shortest or coarsest ({timings[shortest].name})",
        )
    return Axis(cell, cells, frames_per_cell, -(-cells // MOST_MAP_CELLS))


def _ratio(one: Timing, finest: Timing) -> Fraction:
    exact = one.frame_time / finest.frame_time
    ratio = Fraction(exact).limit_denominator(_LARGEST_RATIO)
    if exact > _LARGEST_RATIO or abs(float(ratio) - exact) > _ROUNDING * exact:
        raise InputError(
            f"frames every {one.frame_time:g} s in {one.name} and every {finest.frame_time:g} s in {finest.name}",
            needed="frame times of which a few frames each make one common cell",
            action="average scans of one frame time, or of frame times in the ratio of small whole numbers",
        )
    return ratio
