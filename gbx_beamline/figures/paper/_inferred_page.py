"""The counterpart of Fig. 4, measured scans: where they lie on the simulated phase map, and their parameters."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from gbx_beamline.figures import style, words
from gbx_beamline.figures._simulation_axes import parameter_axis
from gbx_beamline.figures._simulation_bins import Edges
from gbx_beamline.figures._simulation_ensemble import EnsembleView
from gbx_beamline.figures._simulation_phase_page import PLANES, SCALE_FREE, binned_planes
from gbx_beamline.figures._simulation_words import LABELS
from gbx_beamline.figures.paper._scans import PaperScan
from gbx_beamline.figures.style import Place
from gbx_beamline.records import PARAMETERS

_PLANE, _LEFT, _GAP = 3.5, 1.0, 1.1
_TOP, _LOWER = 2.2, 2.7
_WORDS = 4.3
_WIDTH = _LEFT + 2 * (_PLANE + _GAP) + _WORDS + 0.3
_MEASURE = "s_noneq_norm"


def inferred_page(scans: Sequence[PaperScan], ensemble: EnsembleView) -> Figure:
    """Scans over median √S_noneq of an ensemble, what speaks against the answers, and D, γ and λ over temperature.

    Args:
        scans: coldest first, at least one of them with an answer.
        ensemble: whose S_noneq is behind them.
    """
    lower = _TOP + _PLANE + 1.0
    figure = style.blank_page(_WIDTH, lower + _LOWER + 0.75)
    sample = scans[0].result.scan.sample or "sample not named"
    style.page_text(figure, 0.35, 0.3, words.shortened(sample, 60), fontsize=style.HEAD, fontweight="bold")
    facts = "What the model says of each scan, with intervals of 90 %  ·  counterpart of Fig. 4"
    style.page_text(figure, 0.35, 0.8, facts, color=style.QUIET)
    answered = [scan for scan in scans if scan.answer is not None]
    colours = dict(zip((scan.key for scan in scans), _colours(len(scans)), strict=True))
    _planes(figure, answered, ensemble, colours)
    _doubts(figure, scans, colours)
    wide = (_WIDTH - _LEFT - 0.4 - 2 * 1.0) / 3
    for column, name in enumerate(PARAMETERS):
        axes = style.page_axes(figure, Place(_LEFT + column * (wide + 1.0), lower, wide, _LOWER))
        _over_temperature(axes, answered, name, colours)
    return figure


def _colours(count: int) -> list[tuple[float, ...]]:
    return [tuple(colour) for colour in mpl.colormaps["autumn_r"](np.linspace(0.25, 1.0, max(count, 1)))]


def undetermined(scan: PaperScan, name: str) -> bool:
    """Whether the model says that this scan does not say."""
    answer = scan.answer
    return answer is not None and any(flag.code == f"undetermined:{name}" for flag in answer.flags)


def _planes(
    figure: Figure, scans: Sequence[PaperScan], ensemble: EnsembleView, colours: dict[str, tuple[float, ...]]
) -> None:
    scale = Normalize(0.0, 1.0)
    for column, (plane, found) in enumerate(zip(PLANES, binned_planes(ensemble), strict=True)):
        axes = style.page_axes(figure, Place(_LEFT + column * (_PLANE + _GAP), _TOP, _PLANE, _PLANE))
        axes.set_facecolor(style.NEUTRAL)
        axes.pcolormesh(
            found.x.values,
            found.y.values,
            np.ma.masked_invalid(found.drawn_medians(_MEASURE)),
            cmap="Blues",
            norm=scale,
            edgecolors="white",
            linewidth=0.5,
        )
        parameter_axis(axes, "x", plane[0], _with_answers(found.x, plane[0], scans))
        parameter_axis(axes, "y", plane[1], _with_answers(found.y, plane[1], scans))
        for scan in scans:
            _cross(axes, scan, plane, colours[scan.key])
    bar = style.page_axes(figure, Place(_LEFT, _TOP - 0.42, 2 * _PLANE + _GAP, 0.13))
    figure.colorbar(ScalarMappable(scale, "Blues"), cax=bar, orientation="horizontal")
    bar.xaxis.set_ticks_position("top")
    bar.tick_params(labelsize=style.SMALL, colors=style.INK, length=3, pad=1)
    what = "median √S_noneq of simulated members (grey: none simulated)"
    style.page_text(figure, _LEFT, _TOP - 0.92, what, fontsize=style.SMALL)


def _with_answers(edges: Edges, name: str, scans: Sequence[PaperScan]) -> Edges:
    """Borders that also hold what the model says: an answer beyond the ensemble is no answer at its edge."""
    ends = [float(edges.values[0]), float(edges.values[-1])]
    for scan in scans:
        assert scan.answer is not None
        one, truth = scan.answer.parameters[name], scan.truth(name)
        ends += [one.median, one.low, one.high] + ([] if truth is None else [truth])
    low, high = min(ends), max(ends)
    if name in SCALE_FREE:
        return Edges(np.array([low / 1.3, high * 1.3]), logarithmic=True)
    room = 0.04 * (high - low)
    return Edges(np.array([low - room, high + room]), logarithmic=False)


def _cross(axes: Axes, scan: PaperScan, plane: tuple[str, str], colour: tuple[float, ...]) -> None:
    """Both intervals of a scan, dotted and open where a parameter is undetermined."""
    assert scan.answer is not None
    across, up = (scan.answer.parameters[name] for name in plane)
    unsure = [undetermined(scan, name) for name in plane]
    for draw, at, span, vague in ((axes.hlines, up, across, unsure[0]), (axes.vlines, across, up, unsure[1])):
        draw(at.median, span.low, span.high, color="white", linewidth=4.2)
        draw(at.median, span.low, span.high, color=colour, linewidth=2.2, linestyle=(0, (1, 1)) if vague else "-")
    axes.plot(
        across.median,
        up.median,
        style.marker(0),
        markersize=9,
        markerfacecolor="white" if any(unsure) else colour,
        markeredgecolor=style.INK,
        markeredgewidth=1.2,
        zorder=5,
    )
    truth = [scan.truth(name) for name in plane]
    if truth[0] is not None and truth[1] is not None:
        axes.plot(truth[0], truth[1], "x", color=colour, markersize=10, markeredgewidth=4.5, zorder=6)
        axes.plot(truth[0], truth[1], "x", color=style.INK, markersize=9, markeredgewidth=1.6, zorder=7)


def _doubts(figure: Figure, scans: Sequence[PaperScan], colours: dict[str, tuple[float, ...]]) -> None:
    """What the model prefers and what speaks against its answer, scan by scan."""
    left = _LEFT + 2 * (_PLANE + _GAP) - 0.25
    style.page_text(figure, left, _TOP - 0.92, "What speaks against it", fontsize=style.TITLE, fontweight="bold")
    top = _TOP - 0.5
    for scan in scans:
        lines = words.wrapped(_said(scan), 46)
        axes = style.page_axes(figure, Place(left, top + 0.02, 0.16, 0.16))
        axes.set(xticks=[], yticks=[], facecolor=colours[scan.key])
        head = f"{words.kelvin(scan.result.scan)}  ·  run {scan.result.scan.run_uid[:8]}"
        style.page_text(figure, left + 0.26, top, head, fontsize=style.SMALL)
        style.page_text(figure, left + 0.26, top + 0.21, lines, fontsize=style.SMALL, color=style.QUIET)
        top += 0.21 + 0.19 * (lines.count("\n") + 1) + 0.16
    note = "dotted, open: undetermined; ×: true (simulated)"
    style.page_text(figure, left, top + 0.05, note, fontsize=style.SMALL, color=style.NOTE)


def _said(scan: PaperScan) -> str:
    if scan.inference is None:
        return "no model was asked"
    if scan.answer is None:
        return "the model would not judge this scan"
    codes = [flag.code.replace("_", " ").replace(":", ": ") for flag in scan.answer.flags]
    kind = scan.answer.preferred
    prefers = "" if kind is None else f"prefers {kind.replace('_', ' ')} ({scan.answer.probabilities[kind]:.0%}); "
    return prefers + (", ".join(codes) if codes else "nothing")


def _over_temperature(axes: Axes, scans: Sequence[PaperScan], name: str, colours: dict[str, tuple[float, ...]]) -> None:
    label, unit = LABELS[name]
    for scan in scans:
        assert scan.answer is not None
        one, vague = scan.answer.parameters[name], undetermined(scan, name)
        at = scan.temperature
        axes.vlines(
            at, one.low, one.high, color=colours[scan.key], linewidth=2.6, linestyle=(0, (1, 1)) if vague else "-"
        )
        axes.plot(
            at,
            one.median,
            style.marker(0),
            markersize=9,
            markerfacecolor="white" if vague else colours[scan.key],
            markeredgecolor=style.INK,
            markeredgewidth=1.2,
        )
        if (truth := scan.truth(name)) is not None:
            axes.plot(at, truth, "x", color=style.INK, markersize=9, markeredgewidth=1.6, zorder=6)
    if name == "gb_fraction":
        axes.set_ylim(-0.02, 0.62)
    else:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: words.power_of_ten(value)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.margins(x=0.12)
    style.labelled(axes, "temperature (K)", f"{label} ({unit})" if unit else label)
