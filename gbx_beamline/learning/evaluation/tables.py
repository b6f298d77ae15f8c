"""Evaluations as tables for a terminal, families side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table

from gbx_beamline.learning.evaluation.report import ALL, GROUPED_ALL, GROUPED_ONE, ONE, EvaluationReport
from gbx_beamline.learning.evaluation.truth import ParameterTruth, TruthRow
from gbx_beamline.records import PARAMETERS

NAMES = {"diffusivity": "log10 D", "gamma": "log10 gamma", "gb_fraction": "lambda"}


def evaluation_tables(reports: Sequence[EvaluationReport]) -> list[Table]:
    """Truth by decade for every view, then belief, then the paper's own measures."""
    views = [view for view in (ONE, ALL, GROUPED_ONE, GROUPED_ALL) if any(view in report.views for report in reports)]
    tables = [truth_table(reports, view) for view in views]
    if any(report.by_severity() or report.by_effect() for report in reports):
        tables.append(effects_table(reports))
    return [*tables, belief_table(reports), paper_table(reports)]


def truth_table(reports: Sequence[EvaluationReport], view: str) -> Table:
    """Errors of medians, by range of D: rmse (standard error), rank correlation, coverage, ratio to the bound."""
    table = Table(title=f"Truth: {view}", caption="rmse (its standard error) · rank · coverage · over Cramér-Rao bound")
    table.add_column("model")
    table.add_column("D, m²/s")
    table.add_column("shots", justify="right")
    for name in PARAMETERS:
        table.add_column(NAMES[name])
    for report in reports:
        for number, row in enumerate(report.truth(view)):
            table.add_row(
                report.family if number == 0 else "",
                row.name,
                _shots(row),
                *(_truth(row.parameters[name]) for name in PARAMETERS),
            )
        table.add_section()
    return table


def effects_table(reports: Sequence[EvaluationReport]) -> Table:
    """Errors where nuisances are stronger, and with effects that no prior holds."""
    table = Table(title="Truth: stronger nuisances, and effects that no prior holds (all D, three q-ROIs)")
    for column in ("model", "what", "shots", *(NAMES[name] for name in PARAMETERS)):
        table.add_column(column)
    for report in reports:
        rows = [row for _, row in report.by_severity()] + report.by_effect()
        for number, row in enumerate(rows):
            table.add_row(
                report.family if number == 0 else "",
                row.name.replace("_", " "),
                _shots(row),
                *(_truth(row.parameters[name]) for name in PARAMETERS),
            )
        table.add_section()
    return table


def belief_table(reports: Sequence[EvaluationReport]) -> Table:
    """Undetermined, refused and doubted, in per cent."""
    table = Table(title="Belief")
    for column in ("model", "what", "wanted", "found"):
        table.add_column(column)
    for report in reports:
        first = report.family
        for name, rates in report.undetermined().items():
            for what, wanted, share, shots in (
                ("bound above 0.8 of the prior", "at least 95 %", rates.above, rates.shots_above),
                ("bound below 0.3 of the prior", "at most 20 %", rates.below, rates.shots_below),
            ):
                said = f"{_percent(share)} of {shots}"
                table.add_row(first, f"undetermined said of {NAMES[name]}, {what}", wanted, said)
                first = ""
        for kind, rates in report.doubts().items():
            wanted = "at least 95 %" if kind in ("static", "ballistic", "colloid") else "few"
            said = f"{_percent(rates.doubted)} of {rates.shots} ({_percent(rates.refused)} refused)"
            table.add_row(first, f"refused or doubted: {kind.replace('_', ' ')}", wanted, said)
            first = ""
        table.add_section()
    return table


def paper_table(reports: Sequence[EvaluationReport]) -> Table:
    """The paper's measures; they judge no truth."""
    table = Table(title="The paper's measures (they judge no truth)")
    for column in (
        "model",
        "R² on simulations: D, gamma, lambda",
        "probe",
        "shift",
        "S error",
        "S error, no noise",
        "s/scan",
    ):
        table.add_column(column)
    for report in reports:
        consistency = report.s_consistency()
        table.add_row(
            report.family,
            ", ".join(number(report.simulation_r2.get(name, math.nan)) for name in PARAMETERS),
            "" if report.probe is None else f"{report.probe:.2f}",
            "" if report.shift is None else f"{report.shift:.2g}",
            *(number(consistency[name].error) if consistency else "" for name in ("measured", "corrected")),
            f"{report.seconds_per_scan():.3f}",
        )
    return table


def number(value: float) -> str:
    """Three decimals, or a dash where it is not known."""
    return f"{value:.3f}" if math.isfinite(value) else "–"


def _shots(row: TruthRow) -> str:
    return f"{row.shots}" + (f" ({row.refused} refused)" if row.refused else "")


def _truth(values: ParameterTruth) -> str:
    if not math.isfinite(values.rmse):
        return "–"
    error = f" ({values.rmse_error:.3f})" if math.isfinite(values.rmse_error) else ""
    parts = [f"{values.rmse:.3f}{error}", _short(values.rank), _short(values.coverage), f"×{values.ratio:.1f}"]
    return " · ".join(part if part != "×nan" else "–" for part in parts)


def _short(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"


def _percent(share: float) -> str:
    return f"{100.0 * share:.0f} %" if math.isfinite(share) else "–"
