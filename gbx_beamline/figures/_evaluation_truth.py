"""Errors against the truth by range of D, beside the Cramér-Rao bound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gbx_beamline.figures import _evaluation_words as say
from gbx_beamline.figures import style
from gbx_beamline.figures.style import Place
from gbx_beamline.learning.evaluation import EvaluationReport
from gbx_beamline.learning.evaluation.report import ALL, ONE
from gbx_beamline.learning.evaluation.truth import RANGES, TruthRow
from gbx_beamline.records import PARAMETERS

DECADES = tuple(RANGES)[:4]
"""Ranges of D that do not overlap."""
_LABELS = ("< 10⁻²³", "10⁻²³…⁻²²", "10⁻²²…⁻²¹", "≥ 10⁻²¹")

_WIDE, _HIGH, _LEFT, _GAP_X, _GAP_Y, _TOP = 4.2, 2.7, 1.05, 1.0, 1.2, 2.35
_FOOT = (
    (
        "Error: root mean square of median minus truth, with its standard error (shots of one sample count as "
        "one). Black dashes: Cramér-Rao bound with free nuisances and unknown boundaries. Grey line: what the "
        "prior's mean would do."
    ),
    "Coverage: share of 90 % intervals that hold the truth; band: 86 to 94 %.",
)


def truth_page(reports: Sequence[EvaluationReport]) -> Figure:
    """Errors and coverage of every parameter, with one and with three q-ROIs.

    Args:
        reports: evaluated on the truth suite.

    Returns:
        A matplotlib figure with an Agg canvas.
    """
    views = [view for view in (ONE, ALL) if any(view in report.views for report in reports)]
    rows = 2 * len(views)
    width = _LEFT + len(PARAMETERS) * (_WIDE + _GAP_X)
    height = _TOP + rows * (_HIGH + _GAP_Y)
    figure = say.page("Truth, by decade of D", reports, width, height, _FOOT)
    say.legend(figure, _LEFT, 1.3, reports)
    for block, view in enumerate(views):
        for column, parameter in enumerate(PARAMETERS):
            left = _LEFT + column * (_WIDE + _GAP_X)
            for line, draw in enumerate((_errors, _coverage)):
                top = _TOP + (2 * block + line) * (_HIGH + _GAP_Y)
                axes = style.page_axes(figure, Place(left, top, _WIDE, _HIGH))
                draw(axes, reports, view, parameter)
                if line == 0:
                    style.titled(axes, say.SHORT[parameter], view.removeprefix("truth, "))
    return figure


def _errors(axes: Axes, reports: Sequence[EvaluationReport], view: str, parameter: str) -> None:
    drawn = []
    for order, report in enumerate(reports):
        rows = _rows(report, view)
        if not rows:
            continue
        values = [row.parameters[parameter] for row in rows]
        rmse = np.array([value.rmse for value in values])
        errors = np.nan_to_num([value.rmse_error for value in values])
        _series(axes, order, len(reports), rmse, errors)
        drawn.append(rmse)
    bound = _bound(reports, view, parameter)
    for place, level in enumerate(bound):
        if np.isfinite(level):
            axes.plot([place - 0.4, place + 0.4], [level, level], color=style.INK, linestyle=(0, (4, 2)), linewidth=1.6)
    axes.axhline(say.GUESS[parameter], color=style.NEUTRAL, linewidth=1.5, zorder=0)
    top = max([np.nanmax(one, initial=0.0) for one in drawn] + [say.GUESS[parameter]])
    axes.set_ylim(0.0, 1.12 * top)
    unit = say.UNITS[parameter]
    _ranges(axes, f"error ({unit})" if unit else "error")


def _coverage(axes: Axes, reports: Sequence[EvaluationReport], view: str, parameter: str) -> None:
    axes.axhspan(0.86, 0.94, color="#e2efe9", zorder=0)
    some = False
    for order, report in enumerate(reports):
        values = [row.parameters[parameter] for row in _rows(report, view)]
        coverage = np.array([value.coverage for value in values])
        if np.isfinite(coverage).any():
            some = True
            _series(axes, order, len(reports), coverage, np.nan_to_num([value.coverage_error for value in values]))
    if not some:
        style.sentence(axes, "No family gives intervals.")
        return
    axes.set_ylim(0.0, 1.03)
    _ranges(axes, "coverage of 90 %")


def _series(axes: Axes, order: int, count: int, values: np.ndarray, errors: np.ndarray) -> None:
    shift = 0.5 * (order - 0.5 * (count - 1)) / max(count, 2)
    axes.errorbar(
        np.arange(len(values)) + shift,
        values,
        yerr=errors,
        color=style.series_colour(order),
        marker=style.marker(order),
        markersize=6,
        linewidth=1.3,
        elinewidth=1.0,
        clip_on=True,
        zorder=3,
    )


def _bound(reports: Sequence[EvaluationReport], view: str, parameter: str) -> list[float]:
    """Of the first report that has it: all families see the same shots."""
    for report in reports:
        bounds = [row.parameters[parameter].bound for row in _rows(report, view)]
        if np.isfinite(bounds).any():
            return bounds
    return []


def _rows(report: EvaluationReport, view: str) -> list[TruthRow]:
    return [row for row in report.truth(view) if row.name in DECADES]


def _ranges(axes: Axes, label: str) -> None:
    axes.set_xlim(-0.5, len(DECADES) - 0.5)
    axes.set_xticks(range(len(DECADES)), _LABELS)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    style.labelled(axes, "D (m²/s)", label)
