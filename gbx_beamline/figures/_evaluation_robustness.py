"""What stronger nuisances and effects that no prior holds do to the errors, and what is refused or doubted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gbx_beamline.figures import _evaluation_words as say
from gbx_beamline.figures import style
from gbx_beamline.figures.style import Place
from gbx_beamline.learning.evaluation import EvaluationReport
from gbx_beamline.learning.virtual import FOREIGN

_KINDS = {
    "stretched_bulk": "bulk decays with exponent 0.7",
    "ramp": "D rises in the beam",
    "pareto": "heavy-tailed avalanches",
    "grain_boundary": "grain boundaries",
    "static": "static sample",
    "ballistic": "ballistic motion",
    "colloid": "colloids in transmission",
}
_WIDE, _HIGH, _TOP = 4.6, 3.4, 2.35
_FOOT = (
    (
        "Left: root mean square error of log₁₀ D of the same samples, three q-ROIs, with nuisances so many times "
        "as strong as the prior draws them (1: as in training). Middle: with effects that no training prior "
        "holds. Right: share of scans that the model refuses, or answers with a flag that says it may be no grain "
        "boundary or nothing it can judge; wanted: 95 % of the lower three, few of the others."
    ),
)


def robustness_page(reports: Sequence[EvaluationReport]) -> Figure:
    """Errors over severity and over effects, and the share of scans of every kind that is refused or doubted.

    Args:
        reports: evaluated on "severities", "outside" and "foreign"; what is absent is said so.

    Returns:
        A matplotlib figure with an Agg canvas.
    """
    figure = say.page("Beyond the training prior", reports, 19.6, _TOP + _HIGH + 0.95, _FOOT)
    say.legend(figure, 1.0, 1.3, reports)
    severity = style.page_axes(figure, Place(1.0, _TOP, _WIDE, _HIGH))
    style.titled(severity, "Stronger nuisances", "error of log₁₀ D")
    _severities(severity, reports)
    effects = style.page_axes(figure, Place(8.1, _TOP, 3.6, _HIGH))
    style.titled(effects, "Effects that no prior holds", "error of log₁₀ D")
    _effects(effects, reports)
    doubts = style.page_axes(figure, Place(14.2, _TOP, _WIDE, _HIGH))
    style.titled(doubts, "Refused or doubted", "share of scans")
    _doubts(doubts, reports)
    return figure


def _severities(axes: Axes, reports: Sequence[EvaluationReport]) -> None:
    some = False
    for order, report in enumerate(reports):
        rows = report.by_severity()
        if rows:
            some = True
            values = [row.parameters["diffusivity"] for _, row in rows]
            axes.errorbar(
                [severity for severity, _ in rows],
                [value.rmse for value in values],
                yerr=np.nan_to_num([value.rmse_error for value in values]),
                color=style.series_colour(order),
                marker=style.marker(order),
                markersize=7,
                linewidth=1.3,
            )
    if not some:
        style.sentence(axes, "No model was evaluated on stronger nuisances.")
        return
    axes.set_ylim(bottom=0.0)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    style.few_ticks(axes)
    style.labelled(axes, "strength of the nuisances", "error (dex)")


def _effects(axes: Axes, reports: Sequence[EvaluationReport]) -> None:
    kinds = [kind for kind in _KINDS if any(kind == row.name for report in reports for row in report.by_effect())]
    if not kinds:
        style.sentence(axes, "No model was evaluated on effects outside its prior.", characters=28)
        return
    for order, report in enumerate(reports):
        rows = {row.name: row.parameters["diffusivity"] for row in report.by_effect()}
        for place, kind in enumerate(kinds):
            if kind in rows:
                _mark(axes, order, len(reports), place, rows[kind].rmse, rows[kind].rmse_error)
    _kinds(axes, kinds)
    axes.set_xlim(left=0.0)
    style.labelled(axes, "error (dex)", "")


def _doubts(axes: Axes, reports: Sequence[EvaluationReport]) -> None:
    found = [report.doubts() for report in reports]
    kinds = [kind for kind in ("grain_boundary", *_KINDS) if any(kind in one for one in found)]
    kinds = [kind for kind in dict.fromkeys(kinds) if kind not in FOREIGN] + [k for k in FOREIGN if k in kinds]
    if not kinds:
        style.sentence(axes, "No suite was evaluated.")
        return
    for order, rates in enumerate(found):
        for place, kind in enumerate(kinds):
            if kind in rates:
                _mark(axes, order, len(reports), place, rates[kind].doubted, 0.0)
    foreign = [place for place, kind in enumerate(kinds) if kind in FOREIGN]
    if foreign:
        axes.fill_betweenx([foreign[0] - 0.5, foreign[-1] + 0.5], 0.95, 1.0, color="#e2efe9", zorder=0)
    _kinds(axes, kinds)
    axes.set_xlim(-0.03, 1.03)
    style.labelled(axes, "share", "")


def _mark(axes: Axes, order: int, count: int, place: int, value: float, error: float) -> None:
    shift = 0.6 * (order - 0.5 * (count - 1)) / max(count, 2)
    axes.errorbar(
        [value],
        [place + shift],
        xerr=[0.0 if np.isnan(error) else error],
        color=style.series_colour(order),
        marker=style.marker(order),
        markersize=7,
        linestyle="none",
        clip_on=False,
    )


def _kinds(axes: Axes, kinds: Sequence[str]) -> None:
    axes.set_yticks(range(len(kinds)), [_KINDS[kind] for kind in kinds])
    axes.set_ylim(len(kinds) - 0.5, -0.5)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
