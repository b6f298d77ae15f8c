"""Grain boundaries whose D, friction and fraction are known, by simulation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gbx_beamline.commissioning.findings import Finding, Part, Verdict, by_roi, together
from gbx_beamline.commissioning.reading import SYMBOLS, UNITS, Claim, answer_words, claims_of, interval_words
from gbx_beamline.comparing import floor_beside
from gbx_beamline.config import CommissioningConfig, FloorConfig
from gbx_beamline.figures import words
from gbx_beamline.records import ScanResult, facts_of

_ROOM = 0.95
"""By which an interval may be narrower than another and still count as no narrower: posteriors are sampled."""


def true_values(truth: Mapping[str, Any]) -> dict[str, float]:
    """D, friction and fraction of a simulated run, SI."""
    return {
        "diffusivity": float(truth["diffusivity"]),
        "gamma": 1.0 / float(truth["mobility"]),
        "gb_fraction": float(truth["gb_fraction"]),
    }


def judge_boundaries(parts: Mapping[str, Part], settings: CommissioningConfig) -> list[Finding]:
    """The scan by itself, and beside the static reference where there is one."""
    scan = parts["the scan"]
    assert isinstance(scan.outcome, ScanResult)
    findings = _against_truth("", scan, settings)
    determined = [one for one, claim in claims_of(scan.inference, settings.expected.level).items() if claim.determined]
    findings.append(
        Finding(
            what="parameters that one scan determines",
            expected="one at least",
            found=", ".join(SYMBOLS[one] for one in determined) or answer_words(scan.inference),
            verdict="pass" if determined else "undetermined",
        )
    )
    reference = parts.get("static reference")
    if reference is not None and isinstance(reference.outcome, ScanResult):
        findings.append(_above_floor(reference.outcome, scan.outcome))
    return findings


def _against_truth(prefix: str, part: Part, settings: CommissioningConfig) -> list[Finding]:
    assert isinstance(part.outcome, ScanResult)
    truth = true_values(part.outcome.scan.truth or {})
    claims = claims_of(part.inference, settings.expected.level)
    return [_one(f"{prefix}{SYMBOLS[name]}", truth[name], claims.get(name), UNITS[name], part) for name in truth]


def _one(what: str, true: float, claim: Claim | None, unit: str, part: Part) -> Finding:
    wrong = claim is not None and claim.determined and not claim.interval.holds(true)
    off_limit = claim is not None and bool(claim.limit) and _breaks(claim, true)
    if claim is None:
        found, verdict = answer_words(part.inference), "undetermined"
    else:
        found = claim.words(unit)
        verdict = "fail" if wrong or off_limit else "pass"
    return Finding(
        what=what,
        expected=f"{words.number(true)} {unit}".rstrip() + " in its interval, or undetermined",
        found=found,
        verdict=verdict,  # type: ignore[arg-type]
        why="the truth lies outside" if wrong or off_limit else "",
    )


def _breaks(claim: Claim, true: float) -> bool:
    """Whether the truth lies beyond a limit, at the level of the suite."""
    return true > claim.interval.high if claim.limit == "below" else true < claim.interval.low


def _above_floor(reference: ScanResult, scan: ScanResult) -> Finding:
    floor = floor_beside(facts_of(reference), facts_of(scan), FloorConfig())
    verdicts: list[Verdict] = [
        "pass" if one.standing == "above" else "fail" if one.standing == "at the floor" else "undetermined"
        for one in floor.rois
    ]
    return Finding(
        what="drift beside the static reference",
        expected="above the instrument's floor",
        found=by_roi([(one.name, one.words) for one in floor.rois]),
        verdict=together(verdicts),
    )


def judge_background(parts: Mapping[str, Part], settings: CommissioningConfig) -> list[Finding]:
    """The same boundaries with and without light from what never moves."""
    without, behind = parts["the scan"], parts["with background"]
    findings = _against_truth("with background, ", behind, settings)
    level = settings.expected.level
    first = claims_of(without.inference, level).get("gb_fraction")
    second = claims_of(behind.inference, level).get("gb_fraction")
    if first is None or second is None:
        found, verdict, why = answer_words(behind.inference), "undetermined", "no answer to compare"
    else:
        widths = [one.interval.high - one.interval.low for one in (first, second)]
        found = f"{interval_words(second.interval)}, without {interval_words(first.interval)}"
        wider, meets = widths[1] >= _ROOM * widths[0], first.interval.meets(second.interval)
        verdict = "pass" if meets and (wider or not second.determined) else "fail"
        why = "" if verdict == "pass" else "narrower" if meets else "λ has moved"
    return [
        Finding(
            what="interval of λ",
            expected="wider, and about the same place",
            found=found,
            verdict=verdict,  # type: ignore[arg-type]
            why=why,
        ),
        *findings,
    ]
