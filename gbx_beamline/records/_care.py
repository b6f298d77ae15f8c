"""What the automatic care for real frames found."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.records._arrays import Bools


@dataclass(frozen=True, kw_only=True)
class FrameVerdict:
    """Which frames cannot be used."""

    bad: Mapping[str, tuple[int, ...]]
    """Frame indices by reason: "absent", "no beam", those of the gates, "temperature ramp", "settling", "saturated",
    "empty", "intensity outlier". A frame has one reason, the first of these that applies; reasons without frames are
    left out."""
    notes: tuple[str, ...] = ()
    """What was seen and kept, in words."""

    @property
    def frames(self) -> tuple[int, ...]:
        """All bad frames in order."""
        return tuple(sorted(frame for frames in self.bad.values() for frame in frames))


SegmentKind = Literal["beam", "hold", "ramp", "settling", "no beam", "gated"]
"""What the frames of a segment have in common. "beam" where the temperature is not known, else "hold": those two are
analysed. "gated": a condition of the configuration is not met."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Consecutive frames of one kind. Times are those of the detector: a dump does not stop its clock."""

    start: int
    """First frame."""
    stop: int
    """Frame after the last."""
    start_time: float
    """s from the start of the series."""
    stop_time: float
    """s."""
    kind: SegmentKind
    reason: str = ""
    """Why its frames are left out, or why a segment that could be analysed was not."""
    temperature: float = math.nan
    """Mean over its good frames, K; NaN = not known."""
    temperature_range: tuple[float, float] = (math.nan, math.nan)
    """Smallest and largest, K."""

    @property
    def together(self) -> bool:
        """Whether its good frames may be correlated with each other for dynamics."""
        return self.kind in ("beam", "hold")


@dataclass(frozen=True, kw_only=True)
class PixelVerdict:
    """Which pixels of one ROI cannot be used."""

    keep: Bools
    """(P,) True = good."""
    bad: Mapping[str, NDArray[np.int64]]
    """Indices into the ROI's list of pixels by reason: "beam stop", "dead", "hot", "burst". A pixel has one reason."""
    contrast: float
    """Variance of the time-averaged image over its squared local level, photon noise removed; NaN = not measured."""
    notes: tuple[str, ...] = ()
    """What was seen and kept, in words."""


@dataclass(frozen=True, kw_only=True)
class MotionCheck:
    """Whether the speckles or the intensity of one ROI moved. B blocks of frames."""

    times: NDArray[np.float64]
    """(B,) mean time of each block, s."""
    intensity: NDArray[np.float64]
    """(B,) counts per pixel and frame."""
    intensity_error: NDArray[np.float64]
    """(B,) its photon noise."""
    centroid: NDArray[np.float64]
    """(B, 2) row and column of the centre of intensity, detector pixels; NaN without counts."""
    centroid_error: tuple[float, float]
    """Standard deviation by photon and speckle noise of one block, pixels (upper bound for speckles that stay)."""
    shift_from_first: NDArray[np.float64]
    """(B, 2) rows and columns by which the speckles lie off those of the first block, pixels; NaN where the patterns
    have nothing in common any more or counts are too few."""
    shift_from_previous: NDArray[np.float64]
    """(B, 2) the same from block to block."""
    shift_error: NDArray[np.float64]
    """(B, 2) standard error of ``shift_from_first``, of ``shift_from_previous``: one for rows and columns, pixels."""
    moved: bool
    status: str
    """"none seen", "motion: ..." or "not measurable: ...", in words."""
    notes: tuple[str, ...] = ()
    """What was seen and is no motion."""


@dataclass(frozen=True, kw_only=True)
class Jump:
    """One abrupt decorrelation."""

    frame: int
    """First frame after it."""
    time: float
    """s from the start of the series."""
    time_error: float
    """Half the time cell that the map was averaged over, s."""
    amplitude: float
    """Share of the correlation lost, in units of the contrast."""
    error: float
    """Standard error of ``amplitude``."""
    significance: float
    """``amplitude`` over its error, the scatter of the other times included."""

    @property
    def words(self) -> str:
        """For a flag."""
        return (
            f"decorrelation jump of {100 * self.amplitude:.2g} % of the contrast at {self.time:.4g} s: "
            "sample motion or instrument, not ageing"
        )


@dataclass(frozen=True, kw_only=True)
class JumpCheck:
    """Abrupt decorrelations of one map."""

    jumps: tuple[Jump, ...]
    """In the order of time."""
    detectable: float
    """Smallest jump in the middle of the series that would be seen, in units of the contrast; NaN = none."""
    status: str
    """"ok", or why nothing could be looked for."""


@dataclass(frozen=True, kw_only=True)
class Exclusions:
    """Everything that was left out of an analysis, and what was seen and kept."""

    frames: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Frame indices by reason."""
    pixels: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    """Indices into the flat frame, by reason."""
    segments: tuple[Segment, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Frames and pixels left out, by reason."""
        found = {f"frames: {reason}": len(frames) for reason, frames in self.frames.items()}
        return found | {f"pixels: {reason}": len(pixels) for reason, pixels in self.pixels.items()}

    def with_pixels(self, verdict: PixelVerdict, where: NDArray[np.int64], roi: str) -> Exclusions:
        """Add the pixels of one ROI.

        Args:
            verdict: of the ROI.
            where: (P,) index of each of its pixels in the flat frame.
            roi: its name, for the notes.
        """
        pixels = dict(self.pixels)
        for reason, index in verdict.bad.items():
            pixels[reason] = np.union1d(pixels.get(reason, np.zeros(0, dtype=np.int64)), where[index])
        notes = tuple(f"q-ROI {roi}: {note}" for note in verdict.notes)
        return replace(self, pixels=pixels, notes=self.notes + notes)

    def words(self) -> tuple[str, ...]:
        """Plain words for the flags of a record."""
        lines = []
        for reason, frames in self.frames.items():
            spans = [_span(part) for part in self.segments if part.reason == reason and not part.together]
            where = f" ({_listed(spans)})" if spans else ""
            lines.append(f"{_number(frames, 'frame')} left out: {reason}{where}")
        lines += [f"{_number(pixels, 'pixel')} left out: {reason}" for reason, pixels in self.pixels.items()]
        lines += [
            f"{part.reason} from {_span(part)}"
            for part in self.segments
            if part.reason and not part.together and part.reason not in self.frames
        ]
        return (*lines, *self.notes)


def _number(items: Iterable[object], what: str) -> str:
    count = len(tuple(items))
    return f"{count} {what}{'' if count == 1 else 's'}"


def _span(part: Segment) -> str:
    return f"{part.start_time:.5g} to {part.stop_time:.5g} s"


def _listed(spans: list[str]) -> str:
    more = f" and {len(spans) - 4} more" if len(spans) > 4 else ""
    return ", ".join(spans[:4]) + more
