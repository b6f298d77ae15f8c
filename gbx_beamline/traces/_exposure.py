"""The dose of one scan: transmission x flux x time, as far as each is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.config import DoseConfig
from gbx_beamline.errors import InputError
from gbx_beamline.records import Bools, Exposure
from gbx_beamline.traces._placing import Placed
from gbx_beamline.traces._values import limit_of

OPEN = 0.5
"""Above it a shutter is open."""


def exposure_of(placed: Placed, settings: DoseConfig, start: Mapping[str, Any], *, dark: Bools) -> Exposure:
    """Add up the dose over the frames.

    A frame counts with its transmission and with the monitor's reading over the reference; without a monitor it
    counts fully. Frames without beam and those behind a closed shutter count nothing.

    Args:
        placed: traces on the frames.
        settings: what the dose is reckoned from.
        start: the run's start document.
        dark: (N,) True in frames without beam.
    """
    unknown: list[str] = []
    lit = ~dark
    if (shutter := placed.get(settings.shutter)) is not None:
        # Where the shutter is not known the sample may have had beam: a dose that is too high does no harm.
        lit = lit & ~(shutter <= OPEN)
    elif settings.shutter is not None:
        unknown.append(f"shutter: no trace {settings.shutter!r}; taken as open")
    seconds = float(lit.sum()) * placed.frame_time
    transmission = _transmission(placed, settings, start, unknown)
    intensity, followed = _intensity(placed, settings, unknown)
    share = intensity if settings.monitor_after_attenuators and settings.monitor else transmission * intensity
    # Nothing known of a lit frame leaves the whole sum unknown: a sum over the others would be too small.
    full = float(np.sum(share[lit])) * placed.frame_time
    flux = np.nan if settings.flux is None else settings.flux
    if settings.flux is None:
        unknown.append("flux: not stated (analysis.dose.flux)")
    positions, travel = _positions(placed, settings, unknown)
    return Exposure(
        seconds=seconds,
        transmission=float(np.mean(transmission[lit])) if lit.any() else np.nan,
        full_beam=full,
        flux=flux,
        photons=flux * full,
        monitor=followed,
        positions=positions,
        travel=travel,
        unknown=tuple(unknown),
    )


def _transmission(
    placed: Placed, settings: DoseConfig, start: Mapping[str, Any], unknown: list[str]
) -> NDArray[np.float64]:
    """(N,) NaN where not known."""
    nothing = np.full(placed.frames, np.nan)
    in_monitor = settings.monitor_after_attenuators and settings.monitor is not None
    if settings.transmission is not None:
        found = placed.get(settings.transmission)
        if found is None or not np.isfinite(found).all():
            if not in_monitor:
                unknown.append(f"transmission: trace {settings.transmission!r} is not known in all frames")
            return nothing if found is None else found
        values, what = found, f"trace {settings.transmission}"
    else:
        stated = start.get("transmission")
        number = stated if isinstance(stated, int | float) and not isinstance(stated, bool) else None
        if number is None:
            if not in_monitor:
                said = "not in the start document" if stated is None else f"{stated!r} in the start document"
                unknown.append(f"transmission: {said}")
            return nothing
        values, what = np.full(placed.frames, float(number)), "start document"
    if not ((values >= 0) & (values <= 1)).all():
        unknown.append(f"transmission: {values.max():.4g} by the {what} is no fraction between 0 and 1")
        return nothing
    return values


def _intensity(placed: Placed, settings: DoseConfig, unknown: list[str]) -> tuple[NDArray[np.float64], str]:
    """(N,) intensity over that of the stated flux, and what it follows."""
    if settings.monitor is None or settings.reference is None:
        return np.ones(placed.frames), "none: constant while there is beam"
    channel = placed.channels.get(settings.monitor)
    if channel is None or not np.isfinite(channel.values).all():
        unknown.append(f"intensity: trace {settings.monitor!r} is not known in all frames")
        return np.full(placed.frames, np.nan), settings.monitor
    try:
        reference = limit_of(settings.reference, channel.unit, "dose.reference")
    except InputError as error:
        unknown.append(f"intensity: {error}")
        return np.full(placed.frames, np.nan), settings.monitor
    if reference <= 0:
        unknown.append(f"intensity: a reference of {settings.reference!r}")
        return np.full(placed.frames, np.nan), settings.monitor
    return np.maximum(channel.values, 0.0) / reference, f"{settings.monitor} ({channel.source})"


def _positions(placed: Placed, settings: DoseConfig, unknown: list[str]) -> tuple[dict[str, float], dict[str, float]]:
    positions: dict[str, float] = {}
    travel: dict[str, float] = {}
    for name in settings.position:
        channel = placed.channels.get(name)
        known = np.empty(0) if channel is None else channel.values[np.isfinite(channel.values)]
        if channel is None or not known.size or channel.unit != "m":
            unknown.append(f"position: trace {name!r} is not there, or has no unit of length")
            continue
        positions[name], travel[name] = float(known.mean()), float(np.ptp(known))
    if not settings.position:
        unknown.append("position: no channels stated (analysis.dose.position)")
    return positions, travel
