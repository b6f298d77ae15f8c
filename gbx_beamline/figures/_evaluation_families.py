"""Families side by side, as in the paper's Fig. 4a-c, with the truth below."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gbx_beamline.figures import _evaluation_words as say
from gbx_beamline.figures import style, words
from gbx_beamline.figures.style import Place
from gbx_beamline.learning.evaluation import Answers, EvaluationReport
from gbx_beamline.learning.evaluation.answers import to_u
from gbx_beamline.learning.evaluation.report import ONE
from gbx_beamline.records import PARAMETERS

_SIDE, _LEFT, _GAP_X, _GAP_Y, _TOP = 2.9, 1.0, 0.75, 0.85, 1.75

_ROWS = ("features", "S_noneq", "diffusivity", "gb_fraction")
_FOOT = (
    (
        "First row: features of simulated scans (grey) and of virtual experiments (blue), each family in its own "
        "plane; probe: accuracy of a logistic regression that tells the two apart (0.5: they overlap); shift: "
        "distance of their means over the spread of the simulated ones."
    ),
    (
        "Second row: √S_noneq of what was answered, simulated without noise, over that of the scan as printed, "
        "noise and all (blue), and without noise (orange). Agreement here is no agreement with the truth."
    ),
    "Lower rows: answers with their 90 % intervals over the truth, one q-ROI; line: equal.",
)


def families_page(reports: Sequence[EvaluationReport]) -> Figure:
    """One column for each family: domains, consistency of S, and D and lambda against the truth.

    Args:
        reports: of the families, evaluated on the truth suite; of one kind each, at most about five.

    Returns:
        A matplotlib figure with an Agg canvas.
    """
    width = _LEFT + len(reports) * (_SIDE + _GAP_X) + 0.1
    height = _TOP + len(_ROWS) * (_SIDE + _GAP_Y)
    figure = say.page("Families on the same virtual experiments", reports, max(width, 9.0), height, _FOOT)
    for column, report in enumerate(reports):
        left = _LEFT + column * (_SIDE + _GAP_X)
        for row, what in enumerate(_ROWS):
            axes = style.page_axes(figure, Place(left, _TOP + row * (_SIDE + _GAP_Y), _SIDE, _SIDE))
            _panel(what)(axes, report)
            if row == 0:
                style.titled(axes, words.shortened(report.family, 25))
    return figure


def _panel(what: str) -> Callable[[Axes, EvaluationReport], None]:
    if what == "features":
        return _features
    if what == "S_noneq":
        return _consistency
    return lambda axes, report: _against_truth(axes, report, what)


def _features(axes: Axes, report: EvaluationReport) -> None:
    features = report.features
    if features is None:
        probed = "" if report.probe is None else f" The probe's accuracy is {report.probe:.2f}."
        style.sentence(axes, f"No picture of this model's features was made.{probed}", characters=28)
        return
    axes.scatter(*features.simulated.T, s=9, color=style.NEUTRAL, linewidths=0, label="simulated")
    axes.scatter(*features.measured.T, s=9, color=style.MEASURED, linewidths=0, alpha=0.7, label="virtual experiments")
    axes.set(xticks=[], yticks=[])
    style.labelled(axes, f"{features.what} 1", f"{features.what} 2")
    if report.probe is not None:
        shift = "" if report.shift is None else f", shift {report.shift:.2g}"
        say.said(axes, f"probe {report.probe:.2f}{shift}")


def _consistency(axes: Axes, report: EvaluationReport) -> None:
    answers = report.views[ONE]
    consistency = report.s_consistency()
    for order, (name, measured) in enumerate(
        (("measured", answers.measured_s), ("corrected", answers.corrected_s)),
    ):
        axes.scatter(
            measured, answers.answer_s, s=8, color=style.series_colour(order), linewidths=0, alpha=0.6, label=name
        )
    axes.plot([0, 1], [0, 1], color=style.QUIET, linewidth=1.0)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    style.few_ticks(axes)
    style.labelled(axes, "√S_noneq of the scan", "√S_noneq of the answer")
    if consistency["measured"].shots:
        lines = [f"mean error {consistency['measured'].error:.2f}"]
        lines.append(f"without noise {words.number(consistency['corrected'].error, 2)}")
        say.said(axes, "\n".join(lines))


def _against_truth(axes: Axes, report: EvaluationReport, parameter: str) -> None:
    answers = report.views[ONE]
    column = PARAMETERS.index(parameter)
    judged = answers.where(answers.answered)
    if not len(judged):
        style.sentence(axes, "Every scan was refused.")
        return
    truth, median, low, high = (to_u(getattr(judged, name))[:, column] for name in ("truth", "median", "low", "high"))
    first, last = say.RANGES[parameter]
    # Answers outside the panel stand on its edge.
    shown = np.clip(median, first, last)
    axes.vlines(truth, np.clip(low, first, last), np.clip(high, first, last), color=style.SERIES[4], lw=0.5, alpha=0.45)
    axes.scatter(truth, shown, s=7, color=style.MEASURED, linewidths=0, zorder=3)
    axes.plot([first, last], [first, last], color=style.FITTED, linewidth=1.2, zorder=4)
    axes.set(xlim=(first, last), ylim=(first, last))
    style.few_ticks(axes)
    style.labelled(axes, f"true {say.SYMBOLS[parameter]}", f"inferred {say.SHORT[parameter]}")
    say.said(axes, _in_words(report, judged, parameter))


def _in_words(report: EvaluationReport, judged: Answers, parameter: str) -> str:
    row = report.row(ONE, "all")
    if row is None:
        return f"{len(judged)} scans"
    values = row.parameters[parameter]
    unit = f" {say.UNITS[parameter]}".rstrip()
    lines = [f"rmse {values.rmse:.2f}{unit}" if np.isfinite(values.rmse) else "too few scans"]
    if np.isfinite(values.coverage):
        lines.append(f"90 % intervals hold {100 * values.coverage:.0f} %")
    return "\n".join(lines)
