"""Runs and scans in words, short enough for a list, a headline or a tool tip."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from gbx_beamline.figures.words import CELSIUS_ZERO, number
from gbx_viewer.model.facts import RoiFacts
from gbx_viewer.model.runs import RunRow, Status

ANGSTROM2 = 1e20
"""Å² in 1 m²."""


def moment(unix: float) -> str:
    """When: the time of day, and the day where it is not today."""
    if not math.isfinite(unix):
        return ""
    local, now = (datetime.fromtimestamp(one) for one in (unix, time.time()))  # noqa: DTZ006
    return f"{local:%H:%M}" if local.date() == now.date() else f"{local:%d %b %H:%M}"


def kelvin(temperature: float) -> str:
    """In K, or nothing."""
    return f"{temperature:.0f} K" if math.isfinite(temperature) else ""


def warmth(temperature: float | None) -> str:
    """In K and °C."""
    if temperature is None or not math.isfinite(temperature):
        return "temperature not recorded"
    return f"{temperature:.1f} K  ({temperature - CELSIUS_ZERO:.1f} °C)"


def share(roi: RoiFacts | None) -> str:
    """S_noneq in a few letters."""
    if roi is None:
        return ""
    if math.isfinite(roi.value):
        half = max(roi.value - roi.low, roi.high - roi.value)
        return f"S {roi.value:.2f} ± {half:.2f}"
    return f"S undetermined (bare {roi.s_noneq:.2f})" if math.isfinite(roi.s_noneq) else "no S"


def amplitude(roi: RoiFacts | None) -> str:
    """Drift over contrast, which always stands beside S_noneq."""
    if roi is None or not math.isfinite(roi.drift):
        return "drift not measured"
    return f"drift {100 * roi.drift:.2g} % of contrast" + ("" if roi.drift_noise_free else " (noise counts)")


def second_line(row: RunRow) -> str:
    """What the list says of a run below its name."""
    if row.status in (Status.FAILED, Status.UNREADABLE, Status.STALE):
        return f"{row.status}: {row.why}"
    if row.status is Status.RUNNING:
        live = row.live
        if live is None:
            return "running"
        of = f" of {live.expected}" if live.expected else ""
        return "  ·  ".join(filter(None, (f"running, {live.frames}{of} frames", share(row.headline))))
    if row.status is Status.WAITING:
        return f"waiting for analysis{'; ' + row.why if row.why else ''}"
    drift = row.headline.drift if row.headline is not None else math.nan
    short = f"drift {100 * drift:.2g} %" if math.isfinite(drift) else "drift not measured"
    return f"{share(row.headline) or 'analysed'}  ·  {short}"


def line(row: RunRow) -> str:
    """A run in one line, for screen readers."""
    return ", ".join(filter(None, (row.sample, kelvin(row.temperature), moment(row.started), second_line(row))))


def tip(row: RunRow) -> str:
    """Everything that the list knows of a run."""
    lines = [f"{row.sample or 'unnamed sample'}  ·  {row.uid}", warmth(row.temperature), second_line(row)]
    if row.headline is not None:
        lines.append(f"{amplitude(row.headline)}; q-ROI {row.headline.name}")
    if row.records > 1:
        lines.append(f"{row.records} records: the newest result is shown")
    if row.inference is not None:
        lines.append(f"model: {diffusivity(row)}")
    return "\n".join([*lines, *row.flags[:4]])


def diffusivity(row: RunRow) -> str:
    """D of a run in Å²/s."""
    said = row.inference
    if said is None:
        return "no model asked"
    if said.refused:
        return "not judged by the model"
    if "diffusivity" in said.undetermined or "diffusivity" not in said.parameters:
        return "D undetermined"
    estimate = said.parameters["diffusivity"]
    median, low, high = (number(estimate[name] * ANGSTROM2, 2) for name in ("median", "low", "high"))
    return f"D {median} ({low} to {high}) Å²/s"


def counts(rows: Sequence[RunRow]) -> str:
    """How many runs stand where."""
    if not rows:
        return ""
    found = Counter(row.status for row in rows)
    shown = (Status.RUNNING, Status.WAITING, Status.FAILED, Status.STALE, Status.UNREADABLE)
    return "  ·  ".join([f"{len(rows)}", *(f"{found[status]} {status}" for status in shown if found[status])])
