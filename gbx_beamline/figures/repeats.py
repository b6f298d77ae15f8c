"""One page for an average over repeats: the mean, every repeat behind it, and whether they differ."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gbx_beamline.figures import style, words
from gbx_beamline.figures.panels import time_map
from gbx_beamline.figures.reduction import cells, correlation_limits, log_spaced
from gbx_beamline.figures.style import Place
from gbx_beamline.records import RepeatedFigure, RepeatsAverage

MOST_ROIS = 4
"""Rows of the page; of more q-ROIs the first are drawn, and the page says so."""

_SIDE = 2.75
_BLOCK = _SIDE + 1.65
_LEFTS = (0.95, 5.45, 9.75, 13.7)
_WIDTH = 17.0
_CHARACTERS = 165


def repeats_report(average: RepeatsAverage) -> Figure:
    """Draw an average: mean two-time map, one-time curves, relaxation time and S_noneq of every repeat.

    Args:
        average: Of ``repeats.average`` or from the catalog.

    Returns:
        A matplotlib figure with an Agg canvas, to be kept with ``figures.save``.
    """
    shown = range(min(len(average.rois), MOST_ROIS))
    head = _head(average)
    top = 0.95 + style.LINE * sum(line.count("\n") + 1 for line, _ in head)
    figure = style.blank_page(_WIDTH, top + _BLOCK * len(shown) + 0.2)
    kelvin = "T not recorded" if average.temperature is None else f"{average.temperature:.1f} K"
    title = f"{words.shortened(average.sample or 'sample not named', 60)}  ·  {kelvin}"
    style.page_text(
        figure, 0.35, 0.3, f"{title}  ·  {len(average.repeats)} repeats", fontsize=style.HEAD, fontweight="bold"
    )
    place = 0.82
    for line, colour in head:
        style.page_text(figure, 0.35, place, line, color=colour)
        place += style.LINE * (line.count("\n") + 1)
    for roi in shown:
        _draw_roi(figure, average, roi, top + _BLOCK * roi)
    return figure


def _head(average: RepeatsAverage) -> list[tuple[str, str]]:
    uids = ", ".join(one.run_uid[:8] for one in average.repeats)
    window = words.duration(average.cell * len(average.tau))
    axes = (
        f"equal weights; {len(average.tau)} lags of {average.cell:g} s, window {window}; "
        "bars: scatter between repeats, band: noise within them (pixel groups)"
    )
    lines = [(f"runs {uids}", style.QUIET), (axes, style.QUIET)]
    if average.different:
        apart = ", ".join(roi.name for roi in average.rois if roi.different)
        caution = (
            f"Repeats differ by more than their noise ({apart}): one of them does not stand for the sample, and the "
            "error of a mean is that of the scatter."
        )
        lines.append((caution, style.NOTE))
    elif any(math.isfinite(roi.p_value) for roi in average.rois):
        lines.append(("Repeats agree within their noise.", style.INK))
    lines += [(note, style.NOTE) for note in average.notes]
    if len(average.rois) > MOST_ROIS:
        lines.append((f"the first {MOST_ROIS} of {len(average.rois)} q-ROIs are drawn", style.QUIET))
    return [(words.wrapped(line, _CHARACTERS), colour) for line, colour in lines]


def _draw_roi(figure: Figure, average: RepeatsAverage, roi: int, top: float) -> None:
    found = average.rois[roi]
    q = "" if not math.isfinite(found.q_par) else f"  ·  q∥ = {words.number(found.q_par * 1e-10)} 1/Å"
    chance = (
        ""
        if not math.isfinite(found.p_value)
        else f"  ·  chance of such a scatter by noise: {words.number(found.p_value, 2)}"
    )
    style.page_text(figure, 0.35, top, f"{found.name}{q}{chance}", fontsize=style.TITLE, fontweight="bold")
    places = [Place(left, top + 0.85, _SIDE, _SIDE) for left in _LEFTS]
    _map_panel(figure, places[0], average, roi)
    _curve_panel(figure, places[1], average, roi)
    _figure_panel(figure, places[2], found.log_relaxation_time, "Relaxation time", "τ (s)", logarithmic=True)
    _figure_panel(figure, places[3], found.s_noneq, "Corrected S_noneq", "S_noneq", logarithmic=False)


def _map_panel(figure: Figure, place: Place, average: RepeatsAverage, roi: int) -> None:
    axes = style.page_axes(figure, place)
    style.titled(axes, "Mean two-time map", "over age since each first frame")
    image, width = cells(average.two_time[roi])
    limits = correlation_limits([image], math.nan)
    if limits is None:
        style.sentence(axes, "No repeat knows a pair of frames here.")
        return
    drawn = time_map(figure, place, image, len(image) * width * average.map_cell, limits, axes=axes)
    style.colour_bar(figure, drawn, place, "g2 (baseline 1)")


def _curve_panel(figure: Figure, place: Place, average: RepeatsAverage, roi: int) -> None:
    axes = style.page_axes(figure, place)
    style.titled(axes, "One-time g2(τ)", "thin: each repeat; bars: scatter")
    mean = average.g2[roi]
    lags = log_spaced(average.tau, np.isfinite(mean))
    if not lags.size:
        style.sentence(axes, "No repeat knows a lag here.")
        return
    tau = average.tau[lags]
    for curve in average.curves[:, roi]:
        axes.plot(tau, curve[lags], color=style.NEUTRAL, linewidth=1.0, zorder=1)
    noise, error = average.noise[roi][lags], average.error[roi][lags]
    if np.isfinite(noise).any():
        axes.fill_between(
            tau, mean[lags] - 2 * noise, mean[lags] + 2 * noise, color=style.MEASURED, alpha=0.25, linewidth=0, zorder=2
        )
    axes.errorbar(
        tau,
        mean[lags],
        yerr=2 * np.where(np.isfinite(error), error, 0.0),
        fmt="o",
        markersize=4,
        color=style.MEASURED,
        elinewidth=1.2,
        zorder=3,
    )
    style.log_lags(axes, average.tau[1], average.tau[-1])
    axes.ticklabel_format(axis="y", useOffset=False)
    style.labelled(axes, "lag τ (s)", "g2(τ), ± 2 errors")


def _figure_panel(
    figure: Figure, place: Place, found: RepeatedFigure, title: str, label: str, *, logarithmic: bool
) -> None:
    axes = style.page_axes(figure, place)
    together = found.together
    if together is None and not np.isfinite(found.values).any():
        style.titled(axes, title)
        style.sentence(axes, found.status, characters=30)
        return
    to_unit = np.exp if logarithmic else np.asarray
    values, errors = np.array(found.values), np.array(found.errors)
    number = np.arange(1, len(values) + 1)
    middle = to_unit(values)
    axes.errorbar(
        number,
        middle,
        yerr=np.abs([middle - to_unit(values - 1.96 * errors), to_unit(values + 1.96 * errors) - middle]),
        fmt="o",
        markersize=6,
        color=style.MEASURED,
        elinewidth=1.4,
    )
    if together is None:
        style.titled(axes, title, words.shortened(found.status, 44))
    else:
        value, low, high = (float(to_unit(one)) for one in (together.value, together.low, together.high))
        axes.axhspan(low, high, color=style.FITTED, alpha=0.22, linewidth=0)
        axes.axhline(value, color=style.FITTED, linewidth=1.6)
        said = [words.number(one) if logarithmic else f"{one + 0.0:.3f}" for one in (value, low, high)]
        style.titled(axes, title, f"{said[0]} ({said[1]} to {said[2]}), 95 %")
    if not logarithmic:
        axes.axhline(0.0, color=style.QUIET, linewidth=0.9, linestyle=(0, (5, 4)), zorder=1)
    _repeats_axis(axes, len(values))
    style.labelled(axes, "repeat, oldest first", label)


def _repeats_axis(axes: Axes, count: int) -> None:
    axes.set_xlim(0.4, count + 0.6)
    style.few_ticks(axes, x=8, y=5)
    axes.set_xticks(range(1, count + 1, -(-count // 10)))
    axes.ticklabel_format(axis="y", useOffset=False)
