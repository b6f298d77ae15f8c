"""Which of beam, sample and detector moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Mover = Literal[
    "none seen",
    "beam",
    "sample",
    "detector",
    "beam or detector",
    "sample or beam",
    "beam, sample or detector",
    "not known",
]
"""What moved. "not known": there is nothing to tell it from, which is not "none seen"."""


@dataclass(frozen=True, kw_only=True)
class BeamCheck:
    """Where the reflected (or direct) beam lies on the detector, in B blocks of frames."""

    times: NDArray[np.float64]
    """(B,) mean time of each block, s."""
    intensity: NDArray[np.float64]
    """(B,) counts per frame in the box, background left in."""
    centroid: NDArray[np.float64]
    """(B, 2) row and column of the spot, detector pixels, background subtracted; NaN where not measured."""
    centroid_error: NDArray[np.float64]
    """(B,) standard error of a row or a column, pixels."""
    status: str
    """"ok", or why it is not measured."""


@dataclass(frozen=True, kw_only=True)
class Movement:
    """What moved during a scan, from speckles, reflected beam and traces of the beam position."""

    what: Mover
    words: str
    """The verdict in one sentence."""
    evidence: tuple[str, ...]
    """What it rests on, with 95 % intervals."""
    beam: BeamCheck | None = None
    """None where no box for the beam is configured."""
