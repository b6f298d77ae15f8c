"""What a trial expected, what came out, and what is to be thought of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from scipy.stats import norm

from gbx_beamline.records import ScanFailure, ScanInference, ScanResult

Verdict = Literal["pass", "fail", "undetermined"]

_Z95 = 1.959964


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was expected of a trial."""

    what: str
    expected: str
    found: str
    verdict: Verdict
    why: str = ""
    """In words, where it is no pass."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One run of a trial, as the catalog has it."""

    trial: str
    name: str
    """Of the run within the trial."""
    run_uid: str
    outcome: ScanResult | ScanFailure
    inference: ScanInference | None
    told: Mapping[str, Any] = field(default_factory=dict)
    """What the plan says is to be expected, SI."""


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """One trial."""

    name: str
    title: str
    capability: str
    findings: tuple[Finding, ...]
    runs: tuple[str, ...]
    """uids."""

    @property
    def verdict(self) -> Verdict:
        """Fail if anything fails; undetermined if anything is, or if nothing was found."""
        return together(one.verdict for one in self.findings)


def together(verdicts: Iterable[Verdict]) -> Verdict:
    """One verdict over several: the worst of them; undetermined where there is none."""
    all_of_them = set(verdicts)
    if "fail" in all_of_them:
        return "fail"
    return "pass" if all_of_them == {"pass"} else "undetermined"


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A number and its confidence interval."""

    value: float
    low: float
    high: float

    @classmethod
    def around(cls, value: float, error: float, *, level: float, comparisons: int = 1) -> Interval:
        """Of a number with a standard error; see ``widened``."""
        half = quantile(level, comparisons) * error
        return cls(value=value, low=value - half, high=value + half)

    @property
    def known(self) -> bool:
        """Whether there is a number at all."""
        return all(math.isfinite(one) for one in (self.value, self.low, self.high))

    def widened(self, level: float, comparisons: int = 1, of: float = 0.95) -> Interval:
        """The interval of another level.

        Args:
            level: with which all intervals together hold the truth.
            comparisons: how many intervals are looked at together (Bonferroni).
            of: level that this one has by itself.
        """
        factor = quantile(level, comparisons) / float(norm.ppf(0.5 + 0.5 * of))
        return Interval(
            value=self.value,
            low=self.value - factor * (self.value - self.low),
            high=self.value + factor * (self.high - self.value),
        )

    def holds(self, value: float) -> bool:
        """Whether a value lies in it."""
        return self.low <= value <= self.high

    def meets(self, other: Interval) -> bool:
        """Whether two intervals have something in common."""
        return self.low <= other.high and other.low <= self.high


def quantile(level: float, comparisons: int = 1) -> float:
    """Standard errors to either side of a number, for so many numbers at once."""
    return float(norm.ppf(1.0 - 0.5 * (1.0 - level) / max(1, comparisons)))


def within(found: Interval, low: float, high: float) -> Verdict:
    """Whether a number is surely between two limits, surely not, or neither is sure."""
    if not found.known:
        return "undetermined"
    if low <= found.low and found.high <= high:
        return "pass"
    return "fail" if found.high < low or high < found.low else "undetermined"


def same(one: Interval, other: Interval) -> Verdict:
    """Whether two numbers may be the same."""
    if not one.known or not other.known:
        return "undetermined"
    return "pass" if one.meets(other) else "fail"


def by_roi(values: Sequence[tuple[str, str]]) -> str:
    """One entry for each q-ROI, told once where all are alike."""
    texts = [text for _, text in values]
    if len(set(texts)) == 1:
        return f"{texts[0]} (all {len(texts)} q-ROIs)" if len(texts) > 1 else texts[0]
    return "; ".join(f"{name}: {text}" for name, text in values)
