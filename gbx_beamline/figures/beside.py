"""What stands beside a record's own numbers: the instrument's floor, and whether the beam drives the dynamics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gbx_beamline.figures import words
from gbx_beamline.records import Comparison, FloorRoi, InstrumentFloor

COLUMNS = ("floor_drift/contrast", "floor_s_low", "floor_s_high", "floor", "floor_run", "beam_or_sample")
"""Keys of a row."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """By key of the record."""

    floors: Mapping[str, InstrumentFloor] = field(default_factory=dict)
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)

    def row(self, record: str, roi: int) -> dict[str, Any]:
        """Cells of one q-ROI; None = there is nothing beside it."""
        found: dict[str, Any] = dict.fromkeys(COLUMNS)
        if (floor := self.floors.get(record)) is not None:
            one = floor.rois[roi]
            found |= {
                "floor_drift/contrast": _known(one.drift_high),
                "floor_s_low": _known(one.low),
                "floor_s_high": _known(one.high),
                "floor": one.standing,
                "floor_run": floor.run_uid,
            }
        if (compared := self.comparisons.get(record)) is not None:
            found["beam_or_sample"] = compared.verdict
        return found

    def remarks(self, record: str) -> list[str]:
        """What a reader of the record must know, in words."""
        said = []
        if (compared := self.comparisons.get(record)) is not None and compared.verdict == "beam drives it":
            runs = " ".join(scan.run_uid[:8] for scan in compared.scans)
            said.append(f"the beam drives the dynamics: {compared.reason} (gbx compare {runs})")
        if (floor := self.floors.get(record)) is not None:
            said += [f"{reference_words(floor)}: {_by_standing(floor)}", *floor.notes]
        return said


def reference_words(floor: InstrumentFloor) -> str:
    """Which reference it is, and how old."""
    return f"instrument's floor by static reference {floor.run_uid[:8]} ({age_words(floor.age)})"


def age_words(seconds: float) -> str:
    """How long before or after the scan a reference was measured."""
    if not math.isfinite(seconds):
        return "age unknown"
    unit, name = next(
        (unit, name)
        for unit, name in ((86400.0, "days"), (3600.0, "h"), (60.0, "min"))
        if abs(seconds) >= unit or unit == 60.0
    )
    return f"{abs(seconds) / unit:.2g} {name} {'before' if seconds >= 0 else 'after'}"


def floor_line(floor: InstrumentFloor, roi: int) -> str:
    """One q-ROI's floor in one sentence, with the reference's own numbers."""
    one = floor.rois[roi]
    facts = [f"run {floor.run_uid[:8]}, {age_words(floor.age)}"]
    if math.isfinite(one.s_corrected):
        facts.append(f"S_noneq {one.s_corrected:.3f} ({one.low:.3f} to {one.high:.3f})")
    elif one.status == "ok":
        facts.append("S_noneq undetermined")
    if math.isfinite(one.decay):
        lost = f"{100 * one.decay:.1f} ± {100 * one.decay_error:.1f} %"
        facts.append(f"g2 loses {lost} in {words.duration(float(f'{one.decay_lag:.2g}'))}")
    return f"{one.words} ({'; '.join(facts)})"


def _by_standing(floor: InstrumentFloor) -> str:
    said: dict[str, list[FloorRoi]] = {}
    for one in floor.rois:
        said.setdefault(one.standing, []).append(one)
    parts = []
    for standing, members in said.items():
        known = [one.drift_high for one in members if math.isfinite(one.drift_high)]
        who = ", ".join(one.name or "q-ROI" for one in members)
        limit = f" (drift up to {100 * max(known):.2g} % of the contrast)" if known else ""
        parts.append(f"{who} {standing}{limit}")
    return "; ".join(parts)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
