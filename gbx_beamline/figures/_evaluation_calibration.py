"""Whether a model means what it says: ranks, coverage at every level, and when it says "undetermined"."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gbx_beamline.figures import _evaluation_words as say
from gbx_beamline.figures import style
from gbx_beamline.figures.style import Place
from gbx_beamline.learning.evaluation import PRIOR_SD, EvaluationReport
from gbx_beamline.learning.evaluation.calibration import ABOVE, BELOW, LEVELS, RankHistogram
from gbx_beamline.learning.evaluation.report import ONE
from gbx_beamline.records import PARAMETERS

_WIDE, _HIGH, _LEFT, _GAP_X, _GAP_Y, _TOP = 3.9, 2.8, 1.05, 1.05, 1.1, 1.75
_EDGES = np.linspace(0.0, 1.0, 11)
_FEWEST = 8
_FOOT = (
    (
        "Ranks: share of posterior samples below the truth, over all shots of the truth suite with one q-ROI; "
        "flat is calibrated; between the dashes 9 of 10 bins would be by chance. Truths fill a smaller box than "
        "the prior, so that ranks of wide posteriors crowd a little towards the middle."
    ),
    (
        "Central intervals: share that holds the truth, as the posterior's samples have them, before intervals "
        "are corrected. Lowest row: share of answers that say so, over the Cramér-Rao bound with free nuisances "
        "relative to the prior; grey: where it should be said (right), and where not (left)."
    ),
)


def calibration_page(report: EvaluationReport) -> Figure:
    """Rank histograms, coverage at all levels, and "undetermined" over what can be known.

    Args:
        report: of a model, evaluated on the truth suite.

    Returns:
        A matplotlib figure with an Agg canvas.
    """
    width = _LEFT + len(PARAMETERS) * (_WIDE + _GAP_X)
    figure = say.page(f"Calibration of {report.family}", [report], width, _TOP + 3 * (_HIGH + _GAP_Y), _FOOT)
    ranks = report.ranks()
    for column, parameter in enumerate(PARAMETERS):
        places = [
            Place(_LEFT + column * (_WIDE + _GAP_X), _TOP + row * (_HIGH + _GAP_Y), _WIDE, _HIGH) for row in range(3)
        ]
        upper, middle, lower = (style.page_axes(figure, place) for place in places)
        style.titled(upper, say.SHORT[parameter])
        if parameter in ranks:
            _ranks(upper, ranks[parameter])
            _levels(middle, ranks[parameter])
        else:
            for axes in (upper, middle):
                style.sentence(axes, "This model gives no posterior samples.")
        _undetermined(lower, report, column)
    return figure


def _ranks(axes: Axes, histogram: RankHistogram) -> None:
    bins = len(histogram.counts)
    axes.bar((np.arange(bins) + 0.5) / bins, histogram.counts, width=0.92 / bins, color=style.MEASURED)
    for level in (histogram.uniform_low, histogram.uniform_high):
        axes.axhline(level, color=style.FITTED, linestyle=(0, (4, 2)), linewidth=1.2)
    axes.set(xlim=(0, 1), ylim=(0, 1.25 * max(*histogram.counts, histogram.uniform_high)))
    style.few_ticks(axes)
    style.labelled(axes, "rank of the truth", "shots")
    say.said(axes, f"uniform? p = {histogram.p_value:.2g}  (worth {histogram.independent:.0f} independent shots)")


def _levels(axes: Axes, histogram: RankHistogram) -> None:
    axes.plot([0, 1], [0, 1], color=style.QUIET, linewidth=1.0)
    axes.errorbar(
        LEVELS,
        histogram.observed,
        yerr=np.nan_to_num(histogram.observed_error),
        color=style.MEASURED,
        marker="o",
        markersize=5,
        linewidth=1.2,
    )
    axes.set(xlim=(0, 1), ylim=(0, 1))
    style.few_ticks(axes)
    style.labelled(axes, "level of the central interval", "holds the truth")


def _undetermined(axes: Axes, report: EvaluationReport, column: int) -> None:
    answers = report.views[ONE]
    judged = answers.where(answers.answered)
    relative = judged.bound[:, column] / PRIOR_SD[column]
    if not np.isfinite(relative).any():
        style.sentence(axes, "The bound was not computed.")
        return
    said = judged.undetermined[:, column]
    axes.axvspan(0.0, BELOW, ymax=0.2 / 1.1, color="#ececec", zorder=0)
    axes.axvspan(ABOVE, 1.0, ymin=0.95 / 1.1, ymax=1.0 / 1.1, color="#ececec", zorder=0)
    place = np.clip(np.digitize(relative, _EDGES) - 1, 0, len(_EDGES) - 2)
    counts = np.bincount(place, minlength=len(_EDGES) - 1)
    shares = np.bincount(place, weights=said, minlength=len(_EDGES) - 1) / np.maximum(counts, 1)
    enough = counts >= _FEWEST
    middles = 0.5 * (_EDGES[1:] + _EDGES[:-1])
    axes.plot(middles[enough], shares[enough], color=style.MEASURED, marker="o", markersize=6, linewidth=1.3)
    for x, y, count in zip(middles[enough], shares[enough], counts[enough], strict=True):
        axes.annotate(
            f"{count}", (x, y), (0, 6), textcoords="offset points", ha="center", fontsize=8, color=style.QUIET
        )
    axes.set(xlim=(0, 1), ylim=(0, 1.1))
    style.few_ticks(axes)
    style.labelled(axes, f"bound of {say.SHORT[PARAMETERS[column]]} over the prior's sd", "said: undetermined")
