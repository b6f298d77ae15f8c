"""What an instrument shows of a sample that does not move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class FloorRoi:
    """One q-ROI of a static reference. NaN where it was not measured."""

    name: str
    """Of the q-ROI of the scan that the floor is shown beside."""
    s_corrected: float
    low: float
    high: float
    """``low..high``: 95 % confidence interval of the reference's corrected S_noneq."""
    drift: float
    """rms of its drift over its contrast."""
    drift_high: float
    """Upper end of the 95 % confidence interval of ``drift``: the floor that a scan must exceed."""
    decay: float
    """Share of the contrast that g2 loses over the reference."""
    decay_error: float
    """Standard error of it, at least."""
    decay_lag: float
    """s over which it is lost."""
    status: str
    """"ok", or what the reference did not measure."""
    standing: Literal["above", "at the floor", "not known"]
    """Where the scan's own drift lies."""
    words: str
    """The same in words, for beside the scan's numbers."""


@dataclass(frozen=True, kw_only=True)
class InstrumentFloor:
    """A static reference of the same instrument, for one scan. Nothing is subtracted."""

    record: str
    """Key of the reference's correlation record."""
    run_uid: str
    sample: str | None
    age: float
    """s from the start of the reference to that of the scan; negative where the reference was measured later; NaN =
    unknown."""
    rois: tuple[FloorRoi, ...]
    """(Q,) in the order of the scan's q-ROIs."""
    notes: tuple[str, ...] = ()
    """What differs between the two within the tolerances, and what a reader must know."""


@dataclass(frozen=True, kw_only=True)
class NoFloor:
    """Why no static reference stands beside a scan."""

    reason: str
    refused: tuple[str, ...] = ()
    """Each static reference there is, and what of it differs."""
