"""Traces on the frames of a series, and their small form for the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.config import TEMPERATURE, TracesConfig
from gbx_beamline.records import Trace, Traces
from gbx_beamline.traces._clock import FirstFrame, first_frame
from gbx_beamline.traces._reading import Reading, Readings
from gbx_beamline.traces._values import Numbers, looks_like_celsius, numbers_of

Floats = NDArray[np.float64]

_ROUNDING = 1e-6
"""Of a frame: a row stamped with the start of its frame must not fall into the one before."""

FEW = 2
"""Readings of a temperature that say little of a whole series."""

_REACH = 2.0
"""Times the typical spacing of readings, beyond the first or the last, over which they still hold."""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One trace on the frames."""

    values: Floats
    """(N,) mean over each frame; NaN where nothing is known."""
    unit: str
    source: str
    readings: int


@dataclass(frozen=True, kw_only=True)
class Placed:
    """All traces of a run on its N frames."""

    frames: int
    frame_time: float
    channels: Mapping[str, Channel] = field(default_factory=dict)
    clock: str = ""
    breaks: tuple[int, ...] = ()
    """Frames that do not follow the one before in true time."""
    notes: tuple[str, ...] = ()

    def get(self, name: str | None) -> Floats | None:
        """(N,) values of a channel; None where there is none."""
        found = None if name is None else self.channels.get(name)
        return None if found is None else found.values


def place(
    readings: Readings,
    settings: TracesConfig,
    *,
    frames: int,
    frame_time: float,
    collected: str | None = None,
    set_temperature: float | None = None,
) -> Placed:
    """Put every channel onto the frames.

    Readings inside a frame are averaged. Where a frame has none, numbers lie on the line between their neighbours and
    switches hold; a single reading holds throughout. Beyond the first and the last reading a trace is known for twice
    its typical spacing, and a switch until the end.

    Args:
        readings: what the run holds.
        settings: units, states, clock.
        frames: N.
        frame_time: s.
        collected: the detector's date, ISO 8601.
        set_temperature: K, what the run says of itself.
    """
    clock = first_frame(readings.clock, frames, frame_time, collected=collected)
    notes = [*readings.notes, *clock.notes]
    channels: dict[str, Channel] = {}
    stamped = False
    for name, reading in readings.channels.items():
        kelvin = name == TEMPERATURE
        numbers = numbers_of(reading, settings.channels[name], kelvin=kelvin)
        if isinstance(numbers, str):
            notes.append(f"trace {name} not used: {numbers}")
            continue
        notes += [f"trace {name}: {note}" for note in numbers.notes]
        stamped |= reading.elapsed is None and len(reading.values) > 1
        times = _times(reading, clock, settings.clock.offset_s, frame_time)
        values = _on_frames(times, numbers, frames, frame_time)
        wrong = _unusable(values, times, reading, frames * frame_time)
        if not wrong and kelvin and looks_like_celsius(float(np.nanmean(values)), set_temperature):
            wrong = (
                f"it is {np.nanmean(values):.4g} K, 273 K below the {set_temperature:.4g} K of the start document: "
                "Celsius under the name of Kelvin"
            )
        if wrong:
            notes.append(f"trace {name} not used: {wrong}")
            continue
        if kelvin and len(reading.values) <= FEW:
            notes.append(f"trace {name}: {len(reading.values)} reading(s) only; what it did between is not known")
        known = int(np.isfinite(values).sum())
        if known < frames:
            notes.append(f"trace {name}: known in {known} of {frames} frames")
        channels[name] = Channel(values=values, unit=numbers.unit, source=reading.source, readings=len(reading.values))
    if not stamped:
        # Nobody's time stamps were needed: what clocks say of each other is of no matter.
        notes = [note for note in notes if note not in clock.notes or clock.breaks]
    words = clock.words if stamped else "as the stream tells it"
    return Placed(
        frames=frames,
        frame_time=frame_time,
        channels=channels,
        clock=words if channels else "",
        breaks=clock.breaks,
        notes=tuple(notes),
    )


def record_of(placed: Placed, most_cells: int) -> Traces:
    """The traces as a record keeps them: means over cells of a whole number of frames, float32."""
    width = max(1, -(-placed.frames // most_cells))
    return Traces(
        frames_per_cell=width,
        cell=width * placed.frame_time,
        clock=placed.clock,
        traces=tuple(
            Trace(
                name=name,
                unit=channel.unit,
                source=channel.source,
                readings=channel.readings,
                values=_cell_means(channel.values, width),
            )
            for name, channel in placed.channels.items()
        ),
        notes=placed.notes,
    )


def _times(reading: Reading, clock: FirstFrame, offset: float, frame_time: float) -> Floats:
    if reading.elapsed is not None:
        return reading.elapsed + offset
    return clock.detector_time(reading.stamps + offset, frame_time)


def _on_frames(times: Floats, numbers: Numbers, frames: int, frame_time: float) -> Floats:
    values = numbers.values
    used = np.isfinite(values)
    if used.sum() == 1:
        return np.full(frames, values[used][0])
    used &= np.isfinite(times)
    if not used.any():
        return np.full(frames, np.nan)
    order = np.argsort(times[used], kind="stable")
    t, v = times[used][order], values[used][order]
    middle = (np.arange(frames) + 0.5) * frame_time
    if numbers.holds:
        before = np.searchsorted(t, middle, side="right") - 1
        return np.where(before >= 0, v[np.maximum(before, 0)], np.nan)
    reach = max(_REACH * float(np.median(np.diff(t))), frame_time)
    found = np.interp(middle, t, v)
    found[(middle < t[0] - reach) | (middle > t[-1] + reach)] = np.nan
    place_of = np.floor(t / frame_time + _ROUNDING)
    inside = (place_of >= 0) & (place_of < frames)
    rows = place_of[inside].astype(np.int64)
    count = np.bincount(rows, minlength=frames)
    total = np.bincount(rows, weights=v[inside], minlength=frames)
    return np.divide(total, count, out=found, where=count > 0)


def _unusable(values: Floats, times: Floats, reading: Reading, length: float) -> str:
    if np.isfinite(values).any():
        return ""
    known = times[np.isfinite(times)]
    if not known.size:
        return f"{reading.source} has no time stamps, or the time of the first frame is not known"
    return (
        f"clocks disagree: the readings of {reading.source} lie from {known.min():.5g} to {known.max():.5g} s, the "
        f"frames from 0 to {length:.5g} s; correct it with traces.clock.offset_s"
    )


def _cell_means(values: Floats, width: int) -> NDArray[np.float32]:
    cells = -(-len(values) // width)
    padded = np.full(cells * width, np.nan)
    padded[: len(values)] = values
    parts = padded.reshape(cells, width)
    known = np.isfinite(parts)
    count = known.sum(axis=1)
    total = np.where(known, parts, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(cells, np.nan), where=count > 0).astype(np.float32)
