"""When the first frame was taken on the clock of the traces, and whether the clocks agree."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.traces._reading import ClockFacts, Reading

SLACK = 2.0
"""s by which a series may reach beyond its run's documents: arming, reading out, clocks of two computers."""

UNEVEN = 0.5
"""Of the frame time: a frame that comes later than this is one after a gap."""

_FRACTION = re.compile(r"(\.\d{6})\d+")


class FirstFrame(NamedTuple):
    """How Unix time becomes time since the first frame."""

    time: float | None
    """Unix s; None = not known."""
    words: str
    """Where it comes from."""
    notes: tuple[str, ...] = ()
    stamps: NDArray[np.float64] | None = None
    """(N,) Unix s of each frame, where they are known."""
    breaks: tuple[int, ...] = ()
    """Frames that do not follow the one before within the frame time."""

    def detector_time(self, stamps: NDArray[np.float64], frame_time: float) -> NDArray[np.float64]:
        """Time since the first frame on the axis of the maps, where frame i begins at ``i * frame_time``."""
        if self.stamps is None:
            return stamps - (np.nan if self.time is None else self.time)
        rows = np.arange(len(self.stamps)) * frame_time
        inside = np.interp(stamps, self.stamps, rows)
        beyond = np.where(stamps < self.stamps[0], stamps - self.stamps[0], stamps - self.stamps[-1] + rows[-1])
        return np.where((stamps < self.stamps[0]) | (stamps > self.stamps[-1]), beyond, inside)


def first_frame(facts: ClockFacts, frames: int, frame_time: float, *, collected: str | None = None) -> FirstFrame:
    """The time of the first frame, from the best witness there is.

    In this order: time stamps of the frames, a configured reading, the detector's time of collection, the end of the
    series less its length. A witness that lies outside of the run by its documents is not believed, and named.

    Args:
        facts: what the run tells.
        frames: N.
        frame_time: s.
        collected: the detector's own date, ISO 8601.
    """
    notes: list[str] = []
    length = frames * frame_time
    if facts.frames is not None:
        found = _stamped(facts.frames, frames, frame_time)
        if isinstance(found, FirstFrame):
            return found._replace(notes=(*found.notes, *_outside(found.time, length, facts, "the frames' time stamps")))
        notes.append(found)
    if facts.first_frame is not None:
        value = _single(facts.first_frame)
        if value is not None:
            words = f"first frame by {facts.first_frame.source}"
            return FirstFrame(value, words, (*notes, *_outside(value, length, facts, facts.first_frame.source)))
        notes.append(f"clock: {facts.first_frame.source} holds no Unix time")
    if (own := _date(collected)) is not None:
        wrong = _outside(own, length, facts, "the detector's date")
        if not wrong:
            return FirstFrame(own, "first frame by the detector's time of collection", tuple(notes))
        notes += wrong
    return _by_documents(facts, length, notes)


def _by_documents(facts: ClockFacts, length: float, notes: list[str]) -> FirstFrame:
    """From the end of the series, which is known to the time of reading out."""
    end = facts.series_end or facts.run_stop
    if end is None:
        return FirstFrame(None, "not known", tuple(notes))
    began = end - length
    if facts.run_start is not None and began < facts.run_start - SLACK:
        notes.append(
            f"clocks disagree: the frames last {length:.5g} s, the run {end - facts.run_start:.5g} s by its documents; "
            "traces with time stamps are placed from the run's start"
        )
        return FirstFrame(facts.run_start, "first frame at the run's start", tuple(notes))
    words = "first frame by the end of the series less its length (to the time of reading out)"
    return FirstFrame(began, words, tuple(notes))


def _stamped(reading: Reading, frames: int, frame_time: float) -> FirstFrame | str:
    try:
        stamps = np.asarray(reading.values, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        return f"clock: {reading.source} holds {reading.values.ravel()[:1]!s}, no time stamps; not used"
    if len(stamps) < frames or not np.isfinite(stamps[:frames]).all() or (np.diff(stamps[:frames]) <= 0).any():
        return (
            f"clock: {reading.source} holds {len(stamps)} time stamps for {frames} frames, or some that do not rise; "
            "not used"
        )
    stamps = stamps[:frames]
    steps = np.diff(stamps)
    typical = float(np.median(steps)) if len(steps) else frame_time
    notes = []
    if abs(typical - frame_time) > 0.01 * frame_time:
        notes.append(
            f"clocks disagree: {reading.source} are {typical:.5g} s apart, the frame time is {frame_time:.5g} s"
        )
    breaks = np.flatnonzero(steps > typical + UNEVEN * frame_time) + 1
    notes += [
        f"frames {index - 1} and {index} are {steps[index - 1]:.5g} s apart by {reading.source}: a gap, in which rows "
        "of the map do not follow true time"
        for index in breaks[:5].tolist()
    ]
    return FirstFrame(
        float(stamps[0]), f"frames by {reading.source}", tuple(notes), stamps, tuple(int(index) for index in breaks)
    )


def _outside(began: float | None, length: float, facts: ClockFacts, what: str) -> tuple[str, ...]:
    """Why a time cannot be that of the first frame, by the run's documents."""
    if began is None:
        return ()
    early = (facts.run_start or began) - began
    late = began + length - (facts.series_end or facts.run_stop or began + length)
    if max(early, late) <= SLACK:
        return ()
    by = f"{early:.4g} s before the run starts" if early > late else f"{late:.4g} s after the run's last event"
    return (f"clocks disagree: by {what} the series {'begins' if early > late else 'ends'} {by}",)


def _single(reading: Reading) -> float | None:
    try:
        value = float(np.asarray(reading.values).ravel()[0])
    except (TypeError, ValueError, IndexError):
        return None
    return value if np.isfinite(value) and value > 0 else None


def _date(text: str | None) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        # Detectors write nanoseconds, which are no ISO 8601 that Python reads.
        found = datetime.fromisoformat(_FRACTION.sub(r"\1", text.strip()))
    except ValueError:
        return None
    return None if found.tzinfo is None else found.timestamp()
