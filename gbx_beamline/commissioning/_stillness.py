"""A sample that does not move: nothing may be seen to move, whatever the transmission."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from gbx_beamline.commissioning.findings import Finding, Interval, Part, Verdict, by_roi, together, within
from gbx_beamline.commissioning.reading import (
    answer_words,
    claims_of,
    drifts_of,
    interval_words,
    names_of,
    per_cent,
    seen_in,
    shares_of,
)
from gbx_beamline.comparing import loss_of_contrast
from gbx_beamline.config import CommissioningConfig
from gbx_beamline.records import ScanResult


def judge_static(parts: Mapping[str, Part], settings: CommissioningConfig) -> list[Finding]:
    """Every transmission by itself, then the contrast of the first beside that of the others."""
    findings: list[Finding] = []
    results: list[tuple[str, ScanResult]] = []
    for name, part in parts.items():
        assert isinstance(part.outcome, ScanResult)
        results.append((name, part.outcome))
        findings += _of_one(name, part, part.outcome, settings, brightest=len(results) == 1)
    findings += [_contrast(results[0], other, settings) for other in results[1:]]
    if len(results) < 2:
        findings.append(
            Finding(
                what="contrast at two transmissions",
                expected="the same",
                found="one transmission only",
                verdict="undetermined",
                why="measure the reference at a second transmission",
            )
        )
    return findings


def _of_one(
    name: str, part: Part, result: ScanResult, settings: CommissioningConfig, *, brightest: bool
) -> list[Finding]:
    seen = seen_in(result)
    # How still it is, the brightest scan tells best; the others are there for what counts do to the numbers.
    still = [_drift(name, result, settings), _loss(name, result, settings)] if brightest else []
    return [
        _share(name, result, settings),
        *still,
        Finding(
            what=f"{name}: faults",
            expected="none named",
            found="; ".join(seen.values()) or "none",
            verdict="fail" if seen else "pass",
            why="the reference moved, or the beam did: measure it again" if seen else "",
        ),
        nothing_claimed(name, part, settings),
    ]


def nothing_claimed(name: str, part: Part, settings: CommissioningConfig) -> Finding:
    """A model may refuse, doubt or be undetermined, and must not give a number that is to be believed."""
    claims = claims_of(part.inference, settings.expected.level)
    sure = [one for one, claim in claims.items() if claim.determined]
    return Finding(
        what=f"{name}: grain-boundary answer",
        expected="refused, doubted or undetermined",
        found=answer_words(part.inference),
        verdict="fail" if sure else "pass",
        why=f"{', '.join(sure)} believed to be determined" if sure else "",
    )


def zero_share(name: str, result: ScanResult, settings: CommissioningConfig) -> Finding:
    """Corrected S_noneq must be 0 within its interval in every q-ROI, or not claimed."""
    shares = shares_of(result, settings.expected.level)
    verdicts: list[Verdict] = ["pass" if one is None or one.holds(0.0) else "fail" for one in shares]
    texts = [interval_words(one) for one in shares]
    return Finding(
        what=f"{name}: corrected S_noneq",
        expected="0 within its interval, or undetermined",
        found=by_roi(list(zip(names_of(result), texts, strict=True))),
        verdict=together(verdicts),
        why="noise, or common motion, is taken for ageing" if "fail" in verdicts else "",
    )


def _share(name: str, result: ScanResult, settings: CommissioningConfig) -> Finding:
    found = zero_share(name, result, settings)
    drifts = drifts_of(result)
    if found.verdict == "fail" and max(drifts, default=math.nan) <= settings.expected.still_drift:
        # It has no amplitude: a reference that creeps by a thousandth scores high, which is the instrument's floor.
        return Finding(
            what=found.what,
            expected=found.expected,
            found=found.found,
            verdict="pass",
            why=f"above 0 at a drift of {per_cent(max(drifts))} of the contrast: the instrument's floor",
        )
    return found


def _drift(name: str, result: ScanResult, settings: CommissioningConfig) -> Finding:
    most = settings.expected.still_drift
    drifts = drifts_of(result)
    verdicts: list[Verdict] = [
        "undetermined" if not math.isfinite(one) else "pass" if one <= most else "undetermined" for one in drifts
    ]
    for index, share in enumerate(shares_of(result, settings.expected.level)):
        corrected = result.nonequilibrium[index].corrected
        if share is None or corrected is None or share.low <= 0:
            continue
        if corrected.drift_rms_over_contrast > most:
            verdicts[index] = "fail"
    verdict = together(verdicts)
    return Finding(
        what=f"{name}: drift over contrast",
        expected=f"at most {per_cent(most)}",
        found=by_roi([(n, f"at most {per_cent(d)}") for n, d in zip(names_of(result), drifts, strict=True)]),
        verdict=verdict,
        why={
            "pass": "",
            "fail": "the reference creeps, or the instrument drifts",
            "undetermined": "too few photons to say so",
        }[verdict],
    )


def _loss(name: str, result: ScanResult, settings: CommissioningConfig) -> Finding:
    most, level = settings.expected.still_drift, settings.expected.level
    one, count = result.one_time, len(result.rois)
    losses = []
    for index in range(count):
        contrast = float(result.nonequilibrium[index].contrast)
        loss = loss_of_contrast(one.tau, one.g2[index], one.error[index], contrast=contrast)
        losses.append(Interval.around(loss.value, loss.error, level=level, comparisons=count))
    verdict = together(within(loss, -most, most) for loss in losses)
    return Finding(
        what=f"{name}: decay of g2 over half the scan",
        expected=f"less than {per_cent(most)} of the contrast",
        found=by_roi([(n, per_cent(loss.value)) for n, loss in zip(names_of(result), losses, strict=True)]),
        verdict=verdict,
        why={"pass": "", "fail": "the reference loses contrast", "undetermined": "too few photons to say so"}[verdict],
    )


def _contrast(first: tuple[str, ScanResult], other: tuple[str, ScanResult], settings: CommissioningConfig) -> Finding:
    most = settings.expected.contrast_within
    ratios = np.asarray(other[1].two_time.contrast) / np.asarray(first[1].two_time.contrast)
    off = float(np.abs(ratios - 1.0).max()) if np.isfinite(ratios).all() else math.nan
    verdict: Verdict = "undetermined" if not math.isfinite(off) else "pass" if off <= most else "fail"
    return Finding(
        what=f"contrast at {other[0]} over that at {first[0]}",
        expected=f"1 within {per_cent(most)}",
        found=by_roi([(n, f"{r:.3f}") for n, r in zip(names_of(first[1]), ratios, strict=True)]),
        verdict=verdict,
        why="" if verdict == "pass" else "counts change the contrast: dead time, background or photon noise",
    )
