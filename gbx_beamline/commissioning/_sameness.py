"""The same frames looked at in another way: half of the pixels, twice the exposure, an order of chance.

Answers may lose precision, and must not become others; an order of chance has no dynamics, and no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

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

_CHANCE = 6.0
"""Over the number of time cells: share of any noise along the diagonals that polynomials of degree 1 to 3 take up."""


def judge_same(parts: Mapping[str, Part], settings: CommissioningConfig) -> list[Finding]:
    """Parts come in pairs: a scan, and the same scan looked at in another way (``told["of"]`` is the scan's name)."""
    findings: list[Finding] = []
    for name, part in parts.items():
        if "of" not in part.told:
            continue
        before = parts[str(part.told["of"])]
        assert isinstance(part.outcome, ScanResult)
        assert isinstance(before.outcome, ScanResult)
        first, second = before.outcome, part.outcome
        findings.append(_numbers(f"{name}: relaxation times", first, second, times_of, settings, "s"))
        findings.append(_numbers(f"{name}: corrected S_noneq", first, second, shares_of, settings))
        findings += _answers(name, before, part, settings)
    return findings


def _numbers(
    what: str,
    before: ScanResult,
    after: ScanResult,
    read: Callable[[ScanResult, float], list[Interval | None]],
    settings: CommissioningConfig,
    unit: str = "",
) -> Finding:
    """One number of each q-ROI, where both analyses know it."""
    level = settings.expected.level
    rows = zip(names_of(after), read(before, level), read(after, level), strict=True)
    both = [(name, a, b) for name, a, b in rows if a is not None and b is not None]
    found = by_roi([(name, f"{interval_words(b, unit)}, was {interval_words(a, unit)}") for name, a, b in both])
    return Finding(
        what=what,
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
                found=f"{b.words(UNITS[one])}, was {a.words(UNITS[one])}",
                verdict=same(a.interval, b.interval) if a.determined and b.determined else "pass",
            )
        )
    return findings


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
    chance = max(_CHANCE * one.cell / one.window for one in result.nonequilibrium)
    verdicts: list[Verdict] = ["pass" if one is None or one.low <= 2.0 * chance else "fail" for one in found]
    return Finding(
        what=f"{name}: ageing (share of g2 that is smooth in age)",
        expected=f"no more than chance, {chance:.1%} or twice that: one order of the frames breaks time-translation "
        "invariance, and does not age",
        found=by_roi([(n, interval_words(one)) for n, one in zip(names_of(result), found, strict=True)]),
        verdict=together(verdicts),
    )
