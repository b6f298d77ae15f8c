"""The few numbers that are read from two metres."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gbx_beamline.figures.words import number
from gbx_viewer.model import saying
from gbx_viewer.model.facts import RoiFacts
from gbx_viewer.model.runs import RunRow, Status
from gbx_viewer.model.scan import ScanView


@dataclass(frozen=True)
class Figure:
    """One number with its name above and what belongs to it below."""

    name: str
    value: str
    below: str
    explained: str = ""
    """For who asks."""


def figures(row: RunRow | None, roi: RoiFacts | None) -> tuple[Figure, ...]:
    """S_noneq, the drift's amplitude beside it, the paper's figure value and D; always these four."""
    return share(roi), _amplitude(roi), _norm(roi), _diffusivity(row)


def title(row: RunRow, view: ScanView | None) -> tuple[str, str]:
    """Name of the scan, and a line about it."""
    parts = [saying.warmth(row.temperature), f"started {saying.moment(row.started)}", f"uid {row.uid[:8]}"]
    if view is not None and math.isfinite(view.window):
        of = f" of {view.expected}" if view.expected > view.frames else ""
        parts.append(f"{view.frames}{of} frames of {number(view.frame_time)} s")
    return row.sample or "unnamed sample", "   ·   ".join(parts)


def state(row: RunRow, view: ScanView | None) -> str:
    """How final it is."""
    if view is None or view.state == "final":
        return str(row.status)
    if view.state == "running":
        done = f"{view.frames / view.expected:.0%}" if view.expected else f"{view.frames} frames"
        return f"running, {done}".replace("%", " %")
    return {"ended": "ended, final record to come", "stale": "stale", "failed": "no live analysis"}[view.state]


def share(roi: RoiFacts | None) -> Figure:
    """S_noneq without noise, and its interval."""
    name = "S_noneq, noise removed"
    explained = (
        "Share of g2's variance that breaks time-translation invariance (Eq. 3) in this realisation, freed of photon "
        "and speckle noise. The interval is statistical."
    )
    if roi is None:
        return Figure(name, "–", "not measured yet", explained)
    if not math.isfinite(roi.value):
        return Figure(name, "?", roi.status, explained)
    return Figure(name, f"{roi.value:.2f}", f"95 %: {roi.low:.2f} to {roi.high:.2f}", explained)


def _amplitude(roi: RoiFacts | None) -> Figure:
    explained = "rms of the drift over the contrast. A nearly static map may have a large S at an amplitude of nothing."
    if roi is None or not math.isfinite(roi.drift):
        return Figure("drift / contrast", "–", "not measured", explained)
    below = "rms, noise removed" if roi.drift_noise_free else "rms, noise counts as drift"
    return Figure("drift / contrast", f"{100 * roi.drift:.2g} %", below, explained)


def _norm(roi: RoiFacts | None) -> Figure:
    explained = (
        "Square root of Eq. 3 as printed, which the paper's figures show. Noise counts: it depends on the q-ROI."
    )
    if roi is None or not math.isfinite(roi.s_noneq_norm):
        return Figure("norm ratio (paper)", "–", "not measured", explained)
    return Figure("norm ratio (paper)", f"{roi.s_noneq_norm:.2f}", "noise counts", explained)


def _diffusivity(row: RunRow | None) -> Figure:
    name, explained = "D, bulk diffusivity", "Median of the posterior with its 90 % interval, as calibrated."
    said = None if row is None or row.status is not Status.ANALYSED else row.inference
    if said is None:
        return Figure(name, "–", "no model asked", explained)
    if said.refused:
        return Figure(name, "–", "not judged by the model", said.refused)
    if "diffusivity" in said.undetermined or "diffusivity" not in said.parameters:
        return Figure(name, "?", "undetermined by this scan", explained)
    estimate = said.parameters["diffusivity"]
    median, low, high = (number(estimate[end] * saying.ANGSTROM2, 2) for end in ("median", "low", "high"))
    return Figure(name, f"{median} Å²/s", f"90 %: {low} to {high}", explained)
