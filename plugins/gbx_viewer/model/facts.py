"""What is known of a q-ROI, of a model's answer and of a running scan, in the form that lists and panels share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gbx_beamline.catalog import LiveSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class RoiFacts:
    """What a list knows of one q-ROI. NaN = not measured."""

    name: str
    q_par: float
    """1/m."""
    q_z: float
    """1/m."""
    pixels: int
    mean_counts: float
    contrast: float
    s_noneq: float
    """Bare, noise counts."""
    s_noneq_norm: float
    """Its root: the paper's figure value."""
    value: float
    """S_noneq without noise."""
    low: float
    high: float
    """``low..high``: 95 %."""
    drift: float
    """rms of the drift over the contrast, without noise where that is known."""
    drift_noise_free: bool
    status: str
    """"ok", or why there is no number without noise."""
    by_age: tuple[tuple[float, float, float, float], ...] = ()
    """(age in s, S without noise, low, high) of sliding windows."""

    @property
    def information(self) -> float:
        """How much signal over noise it holds, as in ``gbx_beamline.figures``; 0 where not known."""
        signal = self.contrast * self.mean_counts * math.sqrt(max(self.pixels, 0))
        return signal if math.isfinite(signal) and signal > 0 and math.isfinite(self.s_noneq) else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceFacts:
    """What a model says of a run, as a list shows it."""

    key: str
    model: str
    refused: str
    """Why the model would not judge; empty where it did."""
    parameters: Mapping[str, Mapping[str, float]]
    """Median, low and high by name, SI."""
    undetermined: frozenset[str]
    preferred: str
    flags: tuple[str, ...]
    place: Mapping[str, float] | None = None
    """x, y and remoteness in the picture of what the model knows; None where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFacts:
    """How far a running scan is."""

    rule: str
    state: str
    revision: int
    frames: int
    expected: int
    changed: float
    """Unix time, s."""


def roi_facts(facts: Mapping[str, Any]) -> RoiFacts:
    """A q-ROI of an entry of ``Listing.RECORDS``."""
    known = facts.get("corrected_status") == "ok"
    noise_free = facts.get("drift")
    return RoiFacts(
        name=str(facts.get("name") or ""),
        q_par=number(facts.get("q_par")),
        q_z=number(facts.get("q_z")),
        pixels=int(facts.get("pixels") or 0),
        mean_counts=number(facts.get("mean_counts")),
        contrast=number(facts.get("contrast")),
        s_noneq=number(facts.get("s_noneq")),
        s_noneq_norm=number(facts.get("s_noneq_norm")),
        value=number(facts.get("value")) if known else math.nan,
        low=number(facts.get("low")) if known else math.nan,
        high=number(facts.get("high")) if known else math.nan,
        drift=number(facts.get("bare_drift") if noise_free is None else noise_free),
        drift_noise_free=noise_free is not None,
        status=str(facts.get("corrected_status") or facts.get("status") or "not measured"),
        by_age=tuple(
            (
                0.5 * (part["start"] + part["stop"]),
                number(part["value"]),
                number(part.get("low")),
                number(part.get("high")),
            )
            for part in facts.get("by_age") or ()
        ),
    )


def live_rois(live: LiveSummary) -> tuple[RoiFacts, ...]:
    """The q-ROIs of a running scan; none before S_noneq was measured for the first time."""
    facts = live.metadata
    shares = facts.get("shares") or ()
    return tuple(
        roi_facts(
            {
                "name": name,
                "q_par": facts["q_par"][i],
                "q_z": facts["q_z"][i],
                "pixels": facts["pixels"][i],
                "mean_counts": facts["mean_counts"][i],
                "contrast": facts["contrast"][i],
                "s_noneq": share["s_noneq"],
                "s_noneq_norm": share["s_noneq_norm"],
                "bare_drift": share["drift_rms_over_contrast"],
                "drift": share["drift_rms_over_contrast_corrected"],
                "corrected_status": share["corrected_status"],
                "value": share["s_noneq_corrected"],
                "low": share["low"],
                "high": share["high"],
            }
        )
        for i, (name, share) in enumerate(zip(facts["names"], shares, strict=False))
    )


def inference_facts(key: str, facts: Mapping[str, Any]) -> InferenceFacts:
    """What an entry of ``Listing.INFERENCES`` says."""
    flags = facts.get("flags") or ()
    probabilities = facts.get("probabilities") or {}
    return InferenceFacts(
        key=key,
        model=facts["model"],
        refused=str(facts.get("reason") or "no reason given") if facts["status"] == "refused" else "",
        parameters=facts.get("parameters") or {},
        undetermined=frozenset(
            flag["code"].partition(":")[2] for flag in flags if flag["code"].startswith("undetermined:")
        ),
        preferred=max(probabilities, key=lambda kind: probabilities[kind], default=""),
        flags=tuple(flag["text"] for flag in flags),
        place=place if (place := facts.get("place")) and None not in place.values() else None,
    )


def live_facts(live: LiveSummary) -> LiveFacts:
    """How far the scan of a live record is."""
    facts = live.metadata
    return LiveFacts(
        rule=live.rule,
        state=live.state,
        revision=int(facts["revision"]),
        frames=int(facts.get("frames") or 0),
        expected=int(facts.get("expected") or 0),
        changed=live.changed,
    )


def number(value: Any) -> float:
    """The number of a fact; NaN where it is none."""
    return float(value) if isinstance(value, int | float) else math.nan
