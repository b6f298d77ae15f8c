"""The same frames looked at in another way: half of the pixels, twice the exposure, an order of chance.

Answers may lose precision, and must not become others; an order of chance has no dynamics, and no answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from gbx_beamline.commissioning._stillness import nothing_claimed, zero_share
from gbx_beamline.commissioning.findings import Finding, Interval, Part, Verdict, by_roi, same, together
from gbx_beamline.commissioning.reading import (
    SYMBOLS,
    UNITS,
    ageing_of,
    claims_of,
    interval_words,
    names_of,
    shares_of,
    times_of,
)
from gbx_beamline.config import CommissioningConfig
from gbx_beamline.records import ScanResult

_AGEING = 0.05
"""Share of the variance of g2 that frames in an order of chance may show as smooth in age."""


def judge_same(parts: Mapping[str, Part], settings: CommissioningConfig) -> list[Finding]:
    """Parts come in pairs: a scan, and the same scan looked at in another way (``told["of"]`` is the scan's name)."""
    findings: list[Finding] = []
    for name, part in parts.items():
        if "of" not in part.told:
            continue
        before = parts[str(part.told["of"])]
        assert isinstance(part.outcome, ScanResult)
        assert isinstance(before.outcome, ScanResult)
        findings.append(_times(name, before.outcome, part.outcome, settings))
        findings.append(_shares(name, before.outcome, part.outcome, settings))
        findings += _answers(name, before, part, settings)
    return findings


def _times(name: str, one: ScanResult, other: ScanResult, settings: CommissioningConfig) -> Finding:
    level = settings.expected.level
    rows = list(zip(names_of(one), times_of(one, level), times_of(other, level), strict=True))
    both = [(n, a, b) for n, a, b in rows if a is not None and b is not None]
    found = by_roi([(n, f"{interval_words(b, 's')}, was {interval_words(a, 's')}") for n, a, b in both])
    return Finding(
        what=f"{name}: relaxation times",
        expected="the same, or undetermined",
        found=found if both else "undetermined",
        verdict=together(same(a, b) for _, a, b in both) if both else "pass",
    )


def _shares(name: str, one: ScanResult, other: ScanResult, settings: CommissioningConfig) -> Finding:
    level = settings.expected.level
    rows = list(zip(names_of(one), shares_of(one, level), shares_of(other, level), strict=True))
    both = [(n, a, b) for n, a, b in rows if a is not None and b is not None]
    found = by_roi([(n, f"{interval_words(b)}, was {interval_words(a)}") for n, a, b in both])
    return Finding(
        what=f"{name}: corrected S_noneq",
        expected="the same, or undetermined",
        found=found if both else "undetermined",
        verdict=together(same(a, b) for _, a, b in both) if both else "pass",
    )


def _answers(name: str, before: Part, after: Part, settings: CommissioningConfig) -> list[Finding]:
    first = claims_of(before.inference, settings.expected.level)
    second = claims_of(after.inference, settings.expected.level)
    findings = []
    for one in SYMBOLS:
        if one not in first or one not in second:
            continue
        a, b = first[one], second[one]
        findings.append(
            Finding(
                what=f"{name}: {SYMBOLS[one]}",
                expected="the same, or undetermined",
                found=f"{_said(b.interval, b.determined, b.limit, UNITS[one])}, "
                f"was {_said(a.interval, a.determined, a.limit, UNITS[one])}",
                verdict=same(a.interval, b.interval) if a.determined and b.determined else "pass",
            )
        )
    return findings


def _said(interval: Interval, determined: bool, limit: str, unit: str) -> str:
    return interval_words(interval, unit) if determined else limit or "undetermined"


def judge_permuted(parts: Mapping[str, Part], settings: CommissioningConfig) -> list[Finding]:
    """An order of chance leaves no dynamics, and orders of their own for each tile no common structure."""
    findings: list[Finding] = []
    for name, part in parts.items():
        assert isinstance(part.outcome, ScanResult)
        if part.told.get("each_tile"):
            findings.append(zero_share(name, part.outcome, settings))
        else:
            findings += [_no_times(name, part.outcome), _no_ageing(name, part.outcome, settings)]
        findings.append(nothing_claimed(name, part, settings))
    return findings


def _no_times(name: str, result: ScanResult) -> Finding:
    fits = [fit for fit in result.kinetics if fit.whole and fit.status == "ok"]
    reasons = [(fit.name, fit.status.partition(":")[0]) for fit in result.kinetics if fit.whole]
    return Finding(
        what=f"{name}: relaxation times",
        expected="undetermined",
        found=by_roi([(fit.name, f"{fit.relaxation_time:.3g} s") for fit in fits] or reasons),
        verdict="fail" if fits else "pass",
        why="a decay was fitted where there is none" if fits else "",
    )


def _no_ageing(name: str, result: ScanResult, settings: CommissioningConfig) -> Finding:
    found = ageing_of(result, settings.expected.level)
    verdicts: list[Verdict] = ["pass" if one is None or one.low <= _AGEING else "fail" for one in found]
    return Finding(
        what=f"{name}: ageing (share of g2 that is smooth in age)",
        expected=f"at most {_AGEING:.0%}: one order of the frames breaks time-translation invariance, and is no ageing",
        found=by_roi([(n, interval_words(one)) for n, one in zip(names_of(result), found, strict=True)]),
        verdict=together(verdicts),
    )
