"""What came of a retraining, for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gbx_beamline.learning.promotion import Verdict
from gbx_beamline.retraining._drift import DriftCheck, DriftReport

PROMOTED, KEPT, WAITS, NOTHING = "promoted", "kept", "waits", "nothing to do"
"""A new default; the old one stays, because the gate says so; a candidate stands until a proposal that froze its model
has ended; no new model was wanted."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a retraining."""

    number: int
    """Of the retraining; 0 where it never began."""
    status: str
    """``PROMOTED``, ``KEPT``, ``WAITS`` or ``NOTHING``."""
    reason: str
    """Why, in a sentence or two."""
    default: str | None
    """Id of the default now."""
    candidate: str | None = None
    """Id of the model that was made."""
    dataset: str | None = None
    maps: int = 0
    """Accepted maps in the data set."""
    new: int = 0
    """Of these since the last model."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Accepted scans that could not be used, by run uid, each with the reason."""
    drift: DriftReport | None = None
    verdict: Verdict | None = None
    """Of the gate, where it was asked."""


def drift_rows(report: DriftReport) -> list[tuple[str, str, str, str, str]]:
    """(what, recent, known, p-value, alarm or a word) of each check."""
    return [
        (check.what, _number(check.recent), _number(check.reference), _p(check), _word(check))
        for check in report.checks
    ]


DRIFT_COLUMNS = ("watched", "recent", "known", "by chance", "")


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "–"


def _p(check: DriftCheck) -> str:
    return f"{check.p_value:.1g}" if math.isfinite(check.p_value) else "–"


def _word(check: DriftCheck) -> str:
    return ("ALARM" + (f": {check.said}" if check.said else "")) if check.alarm else check.said or "ok"


def in_markdown(outcome: Outcome) -> str:
    """The outcome for Prefect's pages: what, why, the gate's comparisons, drift."""
    lines = [f"# Retraining {outcome.number}: {outcome.status}" if outcome.number else f"# {outcome.status}", ""]
    lines += [outcome.reason, "", f"default: `{outcome.default or 'none'}`", ""]
    if outcome.candidate:
        lines += [f"candidate: `{outcome.candidate}`", ""]
    if outcome.dataset:
        lines += [f"data set: `{outcome.dataset}`, {outcome.maps} accepted maps, {outcome.new} new", ""]
    lines += [f"- left out: run `{uid}`: {why}" for uid, why in outcome.left_out.items()]
    if outcome.verdict is not None and outcome.verdict.comparisons:
        rows = [
            (
                one.what,
                _known(one.candidate),
                _known(one.reigning),
                f"{one.tolerance:g}",
                "ok" if one.passed else "worse",
            )
            for one in outcome.verdict.comparisons
        ]
        lines += ["", "## The gate", "", *_table(("measure", "candidate", "default", "may be worse by", ""), rows)]
    if outcome.drift is not None:
        said = f"{outcome.drift.recent} recent scans against {outcome.drift.against}"
        lines += ["", "## Drift", "", said, "", *_table(DRIFT_COLUMNS, drift_rows(outcome.drift))]
    return "\n".join(lines) + "\n"


def _known(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(columns)} |",
        "|" + " --- |" * len(columns),
        *(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows),
    ]
