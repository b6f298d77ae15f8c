"""What is to be known of a sample, and how well."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from gbx_beamline.errors import InputError

Measurable = Literal["relaxation_time", "s_noneq"]
"""Measured in each q-ROI."""

Inferable = Literal["diffusivity", "gamma", "gb_fraction"]
"""Inferred by a model from all q-ROIs together."""

Figure = Literal["relaxation_time", "s_noneq", "diffusivity", "gamma", "gb_fraction"]

FIGURES: tuple[Figure, ...] = get_args(Figure)

WIDTHS: Mapping[Figure, str] = {
    "relaxation_time": "the 95 % interval from end to end, over the value (0.1 = -5 to +5 %)",
    "s_noneq": "the 95 % interval of the corrected S_noneq from end to end",
    "diffusivity": "the 90 % interval from end to end in decades (0.3 = a factor of 2)",
    "gamma": "the 90 % interval from end to end in decades (0.3 = a factor of 2)",
    "gb_fraction": "the 90 % interval of lambda_GB from end to end",
}
"""What the width of a figure is."""

FEWEST = 3
"""Scans before a target can be reached, unless told otherwise: two may agree by chance."""


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What is to be known, and how well.

    Raises:
        InputError: another figure, or an impossible number.
    """

    figure: Figure
    width: float
    """That is good enough; ``WIDTHS`` says of what."""
    roi: str = ""
    """Name of the q-ROI that counts; empty = all, and each must be good enough."""
    rule: str = ""
    """Only records that this selection rule made; empty = the newest of each run, whoever asked for it."""
    least_scans: int = FEWEST
    """Scans that must have measured the figure."""

    def __post_init__(self) -> None:
        if self.figure not in FIGURES:
            raise InputError(
                f"figure {self.figure!r}", needed=f"one of {', '.join(FIGURES)}", action="say what is to be known"
            )
        wide = self.width
        if isinstance(wide, bool) or not isinstance(wide, int | float) or not 0 < wide < math.inf:
            raise InputError(
                f"width is {wide!r}",
                needed=f"a number above 0 for {WIDTHS[self.figure]}",
                action="say how narrow it is to be",
            )
        if isinstance(self.least_scans, bool) or not isinstance(self.least_scans, int) or self.least_scans < 1:
            raise InputError(
                f"least_scans is {self.least_scans!r}", needed="an integer >= 1", action="correct least_scans"
            )
        if self.roi and self.figure in get_args(Inferable):
            raise InputError(
                f"{self.figure} of q-ROI {self.roi!r}",
                needed="no q-ROI: a model takes all of them together",
                action="leave roi out",
            )


@dataclass(frozen=True, kw_only=True)
class Said:
    """A figure as scans say it together, in its own unit (s, 1, m^2/s, J s m^-4)."""

    value: float
    low: float
    high: float
    width: float
    """As ``WIDTHS`` has it."""
    scans: int
    """That measured it."""
    notes: tuple[str, ...] = ()
    """What a reader must know of it."""
    doubt: str = ""
    """Why it does not count, however narrow it is."""

    def meets(self, aim: Aim) -> bool:
        """Whether this is what was to be known."""
        return not self.doubt and self.scans >= aim.least_scans and self.width <= aim.width
