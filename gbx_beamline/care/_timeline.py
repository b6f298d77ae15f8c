"""The segments of a series: which frames belong together by beam, temperature and the configured conditions.

Frames are analysed together where there is beam, the temperature holds and no condition that matters was broken in
between. Two holds at one temperature with a ramp between them stay two segments, and so do the stretches before and
after a beam dump: optics that cooled meanwhile light the sample anew, and what decorrelates then is not the sample.
Nothing is moved: rows of the maps stay where they are in true time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.care._gates import after, apply_gate, checked_beam, stretches
from gbx_beamline.care._holds import find_holds
from gbx_beamline.config import TEMPERATURE, GateConfig, TracesConfig
from gbx_beamline.records import Bools, Segment, SegmentKind
from gbx_beamline.traces import Placed

RAMP, SETTLING, NO_BEAM = "temperature ramp", "settling", "no beam"

FEWEST = 8
"""Frames that a segment needs."""

_HALF = 0.5


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """A series cut into segments."""

    segments: tuple[Segment, ...]
    left_out: Mapping[str, Bools]
    """(N,) frames by reason, those without beam first; a frame may have several."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Part:
    """What can be said of one frame of a segment."""

    kind: SegmentKind
    reason: str = ""
    number: int = 0
    """Tells a hold from the next."""


def lay_out(
    dark: Bools, totals: NDArray[np.float64], present: Bools, placed: Placed, settings: TracesConfig
) -> Timeline:
    """Cut a series where beam, temperature or a condition says so.

    Args:
        dark: (N,) True where the frames hold no beam.
        totals: (N,) photons.
        present: (N,) False for absent frames.
        placed: traces on the frames.
        settings: conditions.
    """
    gates = {gate.reason: (gate, apply_gate(gate, placed)) for gate in settings.gates}
    notes = [note for _, shut in gates.values() for note in shut.notes]
    shut = {reason: found.frames.copy() for reason, (_, found) in gates.items()}
    dark, explained = _explained(dark, shut)
    settling = np.zeros(len(dark), dtype=bool)
    for _, found in gates.values():
        settling |= found.settling
    if settings.beam is not None:
        low = apply_gate(settings.beam, placed)
        kept, said = checked_beam(low.frames, dark | explained, totals, present, settings.beam.trace, placed.frame_time)
        dark = dark | kept
        settling |= after(dark, settings.beam.settle_s, placed.frame_time)
        notes += [*low.notes, *said]
    parts = _temperature_parts(placed, settings)
    ramp = np.array([part.kind == "ramp" for part in parts])
    settling |= _settling(parts, settings, placed.frame_time)
    broken = dark | np.any([settling, *shut.values()], axis=0)
    if not (~broken & ~ramp & present).sum() >= FEWEST and ramp.any():
        notes.append(
            "the temperature holds nowhere: frames of a ramp are analysed, and S_noneq holds what the ramp does"
        )
        ramp[:] = False
    left_out = {NO_BEAM: dark, **shut, RAMP: ramp, SETTLING: settling & ~ramp}
    parts = _marked(parts, settling, {reason: gate for reason, (gate, _) in gates.items()}, shut)
    if settings.dump_cuts:
        for start, stop in stretches(dark):
            parts[start:stop] = [_Part("no beam", NO_BEAM)] * (stop - start)
    elif dark.any():
        notes.append("frames before and after a stretch without beam are correlated, as configured")
    return Timeline(segments=_segments(parts, placed), left_out=left_out, notes=tuple(notes))


def with_temperatures(
    segments: tuple[Segment, ...], temperature: NDArray[np.float64] | None, valid: Bools
) -> tuple[Segment, ...]:
    """The segments with mean, smallest and largest temperature of their good frames; of all frames where none is."""
    if temperature is None:
        return segments
    found = []
    for part in segments:
        frames = slice(part.start, part.stop)
        known = np.isfinite(temperature[frames])
        good = known & valid[frames] if (known & valid[frames]).any() else known
        if good.any():
            values = temperature[frames][good]
            span = (float(values.min()), float(values.max()))
            part = replace(part, temperature=float(values.mean()), temperature_range=span)
        found.append(part)
    return tuple(found)


def _explained(dark: Bools, shut: dict[str, Bools]) -> tuple[Bools, Bools]:
    """What is dark for no reason that a gate gives, and what is for one. The gate takes the whole stretch over."""
    left, explained = dark.copy(), np.zeros(len(dark), dtype=bool)
    for start, stop in stretches(dark):
        shares = {reason: float(frames[start:stop].mean()) for reason, frames in shut.items()}
        best = max(shares, key=lambda reason: shares[reason], default=None)
        if best is not None and shares[best] > _HALF:
            shut[best][start:stop] = True
            left[start:stop] = False
            explained[start:stop] = True
    return left, explained


def _temperature_parts(placed: Placed, settings: TracesConfig) -> list[_Part]:
    """(N,) hold or ramp of each frame; "beam" where the temperature is not known or of no matter."""
    temperature = placed.get(TEMPERATURE)
    if settings.hold is None or temperature is None or not np.isfinite(temperature).any():
        return [_Part("beam")] * placed.frames
    parts: list[_Part] = []
    for number, one in enumerate(find_holds(temperature, placed.frame_time, settings.hold)):
        part = _Part("hold", number=number) if one.hold else _Part("ramp", RAMP, number)
        parts += [part] * (one.stop - one.start)
    return parts


def _settling(parts: list[_Part], settings: TracesConfig, frame_time: float) -> Bools:
    """(N,) True in the first frames of each hold that comes after something else."""
    settling = np.zeros(len(parts), dtype=bool)
    count = 0 if settings.hold is None else int(np.ceil(settings.hold.settle_s / frame_time - 1e-9))
    for index in range(1, len(parts)):
        if parts[index].kind == "hold" and parts[index] != parts[index - 1]:
            end = index
            while end < min(index + count, len(parts)) and parts[end] == parts[index]:
                end += 1
            settling[index:end] = True
    return settling


def _marked(
    parts: list[_Part], settling: Bools, gates: Mapping[str, GateConfig], shut: Mapping[str, Bools]
) -> list[_Part]:
    """With settling, and the gates that cut."""
    found = [_Part("settling", SETTLING) if calm else part for part, calm in zip(parts, settling, strict=True)]
    for reason, gate in gates.items():
        if gate.cuts:
            found = [_Part("gated", reason) if no else part for part, no in zip(found, shut[reason], strict=True)]
    return found


def _segments(parts: list[_Part], placed: Placed) -> tuple[Segment, ...]:
    cuts = [index for index in range(1, len(parts)) if parts[index] != parts[index - 1]]
    starts = sorted({0, *cuts, *placed.breaks})
    return tuple(
        Segment(
            start=start,
            stop=stop,
            start_time=start * placed.frame_time,
            stop_time=stop * placed.frame_time,
            kind=parts[start].kind,
            reason=parts[start].reason,
        )
        for start, stop in zip(starts, [*starts[1:], len(parts)], strict=True)
    )
