"""The gate before a model becomes the default: no worse on fixed truth and calibration suites.

Both models have been judged on the same virtual experiments, shot by shot, so that most of the chance in a suite is
the same for both; the tolerances below are what is left of it, and a gain in one measure buys nothing in another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from gbx_beamline.learning.store import Judge, StoredModel

Better = Literal["lower", "higher", "near"]


@dataclass(frozen=True)
class Measure:
    """One number that must not become worse."""

    name: str
    """Key of the number in an evaluation's measures."""
    what: str
    """For people."""
    better: Better
    """near: the closer to ``target``."""
    tolerance: float
    """By how much it may look worse, in its own unit: chance between two equally good models."""
    target: float = 0.0
    required: bool = True
    """False: suites may hold no shot that it could be measured on. It is passed over where neither model has it."""

    def worsening(self, candidate: float, reigning: float) -> float:
        """By how much the candidate is worse, in the measure's unit; negative where it is better."""
        if self.better == "higher":
            return reigning - candidate
        if self.better == "near":
            return abs(candidate - self.target) - abs(reigning - self.target)
        return candidate - reigning


_SYMBOLS = {"diffusivity": "D", "gamma": "gamma", "gb_fraction": "lambda"}


def _coverage(suite: str, words: str) -> tuple[Measure, ...]:
    return tuple(
        Measure(f"{suite}.coverage.{name}", f"coverage of 90 % intervals of {symbol}, {words}", "near", 0.02, 0.9)
        for name, symbol in _SYMBOLS.items()
    )


def _undetermined(which: str, words: str, better: Better) -> tuple[Measure, ...]:
    return tuple(
        Measure(f"undetermined.{which}.{name}", f"{symbol} called undetermined {words}", better, 0.03, required=False)
        for name, symbol in _SYMBOLS.items()
    )


MEASURES = (
    Measure("one.rmse.diffusivity", "error of log10 D from one q-ROI, D >= 1e-22 m^2/s, dex", "lower", 0.01),
    Measure("three.rmse.diffusivity", "error of log10 D from three q-ROIs, D >= 1e-22 m^2/s, dex", "lower", 0.01),
    Measure("all.rmse.diffusivity", "error of log10 D from one q-ROI, all D, dex", "lower", 0.02),
    Measure("all.rmse.gamma", "error of log10 gamma, dex", "lower", 0.02),
    Measure("all.rmse.gb_fraction", "error of lambda", "lower", 0.004),
    Measure("one.rank.diffusivity", "rank correlation of D from one q-ROI, D >= 1e-22 m^2/s", "higher", 0.01),
    *_coverage("all", "one q-ROI"),
    *_coverage("calibration", "calibration suite"),
    *_undetermined("above", "where it is", "higher"),
    *_undetermined("below", "where it is not", "lower"),
    Measure("foreign.doubted", "scans of other dynamics that are refused or flagged", "higher", 0.02),
    Measure("grain_boundary.doubted", "grain boundaries that are refused or flagged", "lower", 0.02),
)
"""What a default must not become worse in: ``EvaluationReport.measures``. Both models judge the same 648 shots, so that
much of the chance is the same for both; tolerances are about one standard error of what is left."""


@dataclass(frozen=True)
class Comparison:
    """One measure of both models."""

    name: str
    what: str
    candidate: float | None
    reigning: float | None
    """None where there is no default yet."""
    tolerance: float
    passed: bool
    reason: str
    """Why it did not pass; empty where it did."""


@dataclass(frozen=True)
class Verdict:
    """What the gate says."""

    passed: bool
    reasons: tuple[str, ...]
    """Why not, a sentence each; empty where it passed."""
    comparisons: tuple[Comparison, ...]

    def in_json(self) -> dict[str, Any]:
        """For the lineage."""
        return asdict(self)


def judged_by_evaluations(evaluation: Callable[[StoredModel], Mapping[str, Any] | None]) -> Judge:
    """The gate on what was found of both models before.

    Args:
        evaluation: what `gbx evaluate` found of a model; None where it was not run.
    """

    def judge(candidate: StoredModel, default: StoredModel | None) -> Verdict:
        found = {model.id: evaluation(model) for model in (candidate, default) if model is not None}
        missing = [identity for identity, report in found.items() if report is None]
        if missing:
            said = tuple(f"{identity} was not evaluated: run `gbx evaluate {identity}`" for identity in missing)
            return Verdict(passed=False, reasons=said, comparisons=())
        reports = [report for report in found.values() if report is not None]
        if any(report["suites"] != reports[0]["suites"] for report in reports):
            said = f"{' and '.join(found)} were evaluated on different suites: evaluate both with this release"
            return Verdict(passed=False, reasons=(said,), comparisons=())
        measures = [report["measures"] for report in reports]
        return gate(measures[0], measures[1] if len(measures) > 1 else None, MEASURES)

    return judge


def gate(
    candidate: Mapping[str, float | None],
    reigning: Mapping[str, float | None] | None,
    measures: Sequence[Measure],
) -> Verdict:
    """Decide whether a model may take the place of another.

    Args:
        candidate: measures of the model that would be default.
        reigning: measures of the default; None where there is none. The candidate must then still have been measured.
        measures: what counts.

    Returns:
        Passed where no measure is worse by more than its tolerance. A required one that is absent never passes.
    """
    comparisons = tuple(_compare(measure, candidate, reigning) for measure in measures)
    reasons = tuple(one.reason for one in comparisons if not one.passed)
    return Verdict(passed=not reasons, reasons=reasons, comparisons=comparisons)


def _compare(
    measure: Measure, candidates: Mapping[str, float | None], reigns: Mapping[str, float | None] | None
) -> Comparison:
    candidate = _known(candidates.get(measure.name))
    reigning = None if reigns is None else _known(reigns.get(measure.name))
    reason = ""
    if candidate is None and (measure.required or reigning is not None):
        reason = f"{measure.what}: not measured on the candidate"
    elif candidate is not None and reigns is not None and reigning is None:
        reason = f"{measure.what}: not measured on the default, which must be evaluated anew"
    elif candidate is not None and reigning is not None and measure.worsening(candidate, reigning) > measure.tolerance:
        reason = (
            f"{measure.what}: {candidate:.4g} against {reigning:.4g} of the default, {_wanted(measure)}, "
            f"worse by more than {measure.tolerance:g}"
        )
    return Comparison(measure.name, measure.what, candidate, reigning, measure.tolerance, not reason, reason)


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _wanted(measure: Measure) -> str:
    return f"best at {measure.target:g}" if measure.better == "near" else f"{measure.better} is better"
