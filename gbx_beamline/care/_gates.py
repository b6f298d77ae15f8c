"""Conditions on side traces: which frames do not meet them, and whether the frames themselves say otherwise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.config import GateConfig
from gbx_beamline.errors import InputError
from gbx_beamline.records import Bools
from gbx_beamline.traces import Placed, limit_of

AS_EVER = 0.5
"""Of the typical counts: frames that hold more have beam, whatever a trace says."""

ALIKE = 0.8
"""Overlap of two sets of frames, over their union, from which on one is the other shifted."""


_HALF = 0.5
"""Of a frame: rounding of a correlation of whole numbers."""


class Shut(NamedTuple):
    """One gate on the frames."""

    frames: Bools
    """(N,) True where its condition is not met."""
    settling: Bools
    """(N,) True where it has only just been met again."""
    notes: tuple[str, ...] = ()


def apply_gate(gate: GateConfig, placed: Placed) -> Shut:
    """Which frames do not meet a condition. Where its trace is not known, it is taken as met, and that is said."""
    nothing = np.zeros(placed.frames, dtype=bool)
    channel = placed.channels.get(gate.trace)
    if channel is None:
        return Shut(nothing, nothing, (f"gate {gate.reason!r} not applied: no trace {gate.trace!r}",))
    try:
        limits = [
            None if limit is None else limit_of(limit, channel.unit, f"{gate.reason}: {side}")
            for side, limit in (("above", gate.above), ("below", gate.below))
        ]
    except InputError as error:
        return Shut(nothing, nothing, (f"gate {gate.reason!r} not applied: {error}",))
    low, high = limits
    with np.errstate(invalid="ignore"):
        shut = np.zeros(placed.frames, dtype=bool)
        if low is not None:
            shut |= channel.values < low
        if high is not None:
            shut |= channel.values > high
    unknown = int((~np.isfinite(channel.values)).sum())
    notes = (f"gate {gate.reason!r} not applied to {unknown} frames: {gate.trace} is not known there",)
    return Shut(shut, after(shut, gate.settle_s, placed.frame_time), notes if unknown else ())


def after(shut: Bools, seconds: float, frame_time: float) -> Bools:
    """(N,) True in the frames that follow each stretch of True within ``seconds``."""
    settling = np.zeros(len(shut), dtype=bool)
    count = int(np.ceil(seconds / frame_time - 1e-9))
    for _, stop in stretches(shut):
        settling[stop : stop + count] = True
    return settling & ~shut


def stretches(mask: Bools) -> list[tuple[int, int]]:
    """First frame of each stretch of True, and the one it ends before."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def checked_beam(
    low: Bools, dark: Bools, totals: NDArray[np.float64], present: Bools, name: str, frame_time: float
) -> tuple[Bools, tuple[str, ...]]:
    """Where a trace says that there is no beam, unless the frames say that there is.

    Args:
        low: (N,) True where the trace says so.
        dark: (N,) True where the frames do.
        totals: (N,) photons.
        present: (N,) False for absent frames.
        name: of the trace.
        frame_time: s.

    Returns:
        The frames that the trace may leave out, and what is contradictory, in words.
    """
    bright = present & ~low & ~dark
    typical = float(np.median(totals[bright])) if bright.any() else 0.0
    kept, notes = low.copy(), []
    for start, stop in stretches(low & ~dark):
        part = totals[start:stop][present[start:stop]]
        if part.size and typical > 0 and np.median(part) > AS_EVER * typical:
            kept[start:stop] = False
            span = f"from {start * frame_time:.5g} to {stop * frame_time:.5g} s"
            notes.append(f"contradiction: by {name} no beam {span}, frames there hold counts as ever; kept")
    if notes and (shift := _shift(low, dark)) is not None:
        late = f"{abs(shift) * frame_time:.5g} s {'after' if shift > 0 else 'before'} the frames do"
        notes.append(
            f"clocks disagree: {name} loses the beam {late}; if all traces are off by that, add "
            f"{-shift * frame_time:.5g} to traces.clock.offset_s"
        )
    return kept, tuple(notes)


def _shift(low: Bools, dark: Bools) -> int | None:
    """Frames by which ``low`` comes after ``dark``, where it is the same but for that."""
    if not low.any() or not dark.any():
        return None
    size = 2 * len(low)
    spectrum = np.fft.rfft(low, size) * np.conj(np.fft.rfft(dark, size))
    overlap = np.fft.irfft(spectrum, size)
    # A trace that is read more rarely than frames are taken fits at several shifts: the middle one.
    alike = np.flatnonzero(overlap > overlap.max() - _HALF)
    best = int(alike[len(alike) // 2])
    shift = best if best < len(low) else best - size
    union = low.sum() + dark.sum() - overlap[best]
    return shift if shift and overlap[best] > ALIKE * union else None
