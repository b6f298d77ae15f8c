"""A series over temperature on one page: maps in a row, S_noneq and the drift amplitude below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.figures import style, words
from gbx_beamline.figures.panels import time_map
from gbx_beamline.figures.reduction import (
    at_one_temperature,
    best_roi,
    cells,
    clean_map,
    correlation_limits,
    true_s_noneq,
)
from gbx_beamline.figures.style import Place
from gbx_beamline.records import NonEquilibrium, ScanResult

MOST_MAPS = 6
_PAGE = 13.6


@dataclass(frozen=True)
class _Point:
    """One q-ROI of one scan."""

    roi: str
    label: str
    temperature: float
    measured: float
    interval: tuple[float, float]
    amplitude: float
    truth: float | None


@dataclass(frozen=True)
class _Map:
    """One small two-time map."""

    image: NDArray[np.float64]
    window: float
    contrast: float
    value: str


def temperature_overview(results: Sequence[ScanResult]) -> Figure:
    """Draw scans over temperature: two-time maps of one q-ROI in a row, then S_noneq and the drift amplitude.

    Simulated runs whose ``scan.truth["s_noneq"]`` holds one number per q-ROI show it as an open marker. The maps
    share one colour scale and belong to the q-ROI that holds the most information (contrast x counts x
    sqrt(pixels)) over all scans; of more than six scans, six evenly spread over temperature are drawn.

    Args:
        results: Scans in any order. One without a temperature cannot be placed and is named on the page.

    Returns:
        A matplotlib figure with an Agg canvas, to be kept with :func:`save`.

    Raises:
        InputError: no scan at all.
    """
    if not results:
        raise InputError("no analysed scan", needed="at least one", action="analyse a run first")
    placed = sorted(
        (one for one in results if one.scan.temperature is not None), key=lambda one: one.scan.temperature or 0.0
    )
    unplaced = [one for one in results if one.scan.temperature is None]
    mapped = _spread(placed or unplaced)
    name = best_roi(mapped)
    rois = mapped[0].rois
    named = next((_label(mapped[0], i) for i in range(len(rois)) if words.roi_name(rois, i) == name), name)
    simulated = "  ·  simulated" if all(one.scan.truth is not None for one in results) else ""
    asides = _asides(results, unplaced, mapped)

    gap, left, right = 0.28, 0.95, 1.15
    side = min(2.9, (_PAGE - left - right - gap * (len(mapped) - 1)) / len(mapped))
    top, curves = 1.65, 3.3
    lower = top + side + 1.45
    figure = style.blank_page(_PAGE, lower + curves + 0.95 + style.LINE * len(asides))
    samples = sorted({one.scan.sample or "sample not named" for one in results})
    title = words.shortened(", ".join(samples), 70)
    style.page_text(figure, 0.35, 0.3, title, fontsize=style.HEAD, fontweight="bold")
    style.page_text(figure, 0.35, 0.8, f"Two-time correlation of {named}{simulated}", color=style.QUIET)
    _draw_maps(figure, mapped, name, Place(left, top, side, side), gap)
    points = _points(placed)
    half = (_PAGE - 2 * 0.95 - 0.35) / 2
    _draw_measure(figure, Place(0.95, lower, half, curves), points)
    _draw_amplitude(figure, Place(0.95 + half + 0.95, lower, half, curves), points)
    style.page_text(figure, 0.35, lower + curves + 0.7, "\n".join(asides), fontsize=style.SMALL, color=style.QUIET)
    return figure


def _spread(scans: Sequence[ScanResult]) -> list[ScanResult]:
    if len(scans) <= MOST_MAPS:
        return list(scans)
    return [scans[index] for index in np.round(np.linspace(0, len(scans) - 1, MOST_MAPS)).astype(int)]


def _asides(results: Sequence[ScanResult], unplaced: Sequence[ScanResult], mapped: Sequence[ScanResult]) -> list[str]:
    asides = ["S_noneq is Eq. 3 freed of photon and speckle noise, with 95 % intervals."]
    bare = [one.scan.run_uid[:8] for one in results if any(_bare(record) for record in one.nonequilibrium)]
    if bare:
        asides.append(f"Bare ratio, in which noise counts, where nothing better is known: {', '.join(bare)}.")
    if len(mapped) < len(results):
        asides.append(f"{len(mapped)} of {len(results)} scans drawn as maps.")
    if unplaced:
        runs = ", ".join(one.scan.run_uid[:8] for one in unplaced)
        asides.append(f"Without a recorded temperature, so not placed on the axis: {runs}.")
    odd = [
        one.scan.run_uid[:8]
        for one in results
        if true_s_noneq(one) is None and (one.scan.truth or {}).get("s_noneq") is not None
    ]
    if odd:
        asides.append(f"True S_noneq not drawn, because it does not hold one number per q-ROI: {', '.join(odd)}.")
    silent = [
        f"{one.scan.run_uid[:8]} {words.roi_name(one.rois, index)} ({record.status})"
        for one in results
        for index, record in enumerate(one.nonequilibrium)
        if record.status != "ok"
    ]
    if silent:
        asides.append(words.shortened(f"No S_noneq: {'; '.join(silent)}.", 150))
    return asides


def _bare(record: NonEquilibrium) -> bool:
    return record.status == "ok" and record.corrected is None


def _measured(record: NonEquilibrium) -> tuple[float, float, float]:
    """Value, low and high; NaN where there is none. A bare value has no interval."""
    if record.interval is not None and record.s_noneq_corrected is not None:
        return record.s_noneq_corrected, *record.interval
    value = record.s_noneq if _bare(record) else np.nan
    return value, value, value


def _amplitude(record: NonEquilibrium) -> float:
    if record.corrected is not None and record.corrected.drift_status == "ok":
        return record.corrected.drift_rms_over_contrast
    return record.drift_rms_over_contrast if _bare(record) else np.nan


def _label(scan: ScanResult, index: int) -> str:
    """Name of a q-ROI with its in-plane q, where that is known; names made from q say it already."""
    q = float(scan.rois.q_par[index]) * 1e-10
    name = words.shortened(words.roi_name(scan.rois, index), 28)
    if not np.isfinite(q):
        return name
    return f"q∥ = {words.number(q)} 1/Å" if name.startswith("q=") else f"{name} ({words.number(q)} 1/Å)"


def _points(scans: Sequence[ScanResult]) -> list[_Point]:
    points: list[_Point] = []
    for scan in scans:
        truth = true_s_noneq(scan)
        for index, record in enumerate(scan.nonequilibrium):
            points.append(
                _Point(
                    roi=words.roi_name(scan.rois, index),
                    label=_label(scan, index),
                    temperature=float(scan.scan.temperature or 0.0),
                    measured=_measured(record)[0],
                    interval=_measured(record)[1:],
                    amplitude=_amplitude(record),
                    truth=None if truth is None else truth[index],
                )
            )
    return points


def _draw_maps(figure: Figure, scans: Sequence[ScanResult], name: str, first: Place, gap: float) -> None:
    """One map per scan on a common colour scale."""
    maps = [_map_of(scan, name) for scan in scans]
    contrasts = [one.contrast for one in maps if one is not None and np.isfinite(one.contrast)]
    limits = correlation_limits([one.image for one in maps if one is not None], max(contrasts, default=np.nan))
    place, drawn = first, None
    for order, (scan, one) in enumerate(zip(scans, maps, strict=True)):
        if order:
            place = place.right_of(gap, place.width)
        axes = style.page_axes(figure, place)
        style.titled(axes, words.kelvin(scan.scan), "" if one is None else one.value)
        if one is None or limits is None or not np.isfinite(one.image).any():
            style.sentence(axes, f"No map of {name} in this scan.", characters=20)
            continue
        drawn = time_map(figure, place, one.image, one.window, limits, axes=axes)
        style.few_ticks(axes, x=3, y=4)
        if order:
            axes.set_ylabel("")
            axes.tick_params(labelleft=False)
    if drawn is not None:
        style.colour_bar(figure, drawn, place, "g2 (baseline 1)")


def _map_of(scan: ScanResult, name: str) -> _Map | None:
    for index, record in enumerate(scan.nonequilibrium):
        if words.roi_name(scan.rois, index) == name:
            image, width = cells(clean_map(scan, index), 300)
            measured = _measured(record)[0]
            value = f"S_noneq {round(measured, 2) + 0.0:.2f}" if np.isfinite(measured) else "no S_noneq"
            return _Map(image, len(image) * width * scan.two_time.frame_time, record.contrast, value)
    return None


def _draw_measure(figure: Figure, place: Place, points: Sequence[_Point]) -> None:
    axes = style.page_axes(figure, place)
    style.titled(axes, "S_noneq (Eq. 3, noise removed)", "share of the variance of g2 that is not stationary, 0 to 1")
    if not any(np.isfinite(point.measured) for point in points):
        style.sentence(axes, "No scan with both a temperature and an S_noneq.", characters=40)
        return
    for order, roi in enumerate(dict.fromkeys(point.roi for point in points)):
        own = [point for point in points if point.roi == roi]
        _intervals(axes, own, order)
        _series(axes, own, order, "measured")
        known = [(point.temperature, point.truth) for point in points if point.roi == roi and point.truth is not None]
        if known:
            axes.plot(
                *zip(*known, strict=True),
                linestyle="none",
                marker=style.marker(order),
                markersize=11,
                markerfacecolor="none",
                markeredgecolor=style.series_colour(order),
                markeredgewidth=1.8,
            )
    shown = [point for point in points if np.isfinite(point.measured)]
    highest = max(max(point.interval[1], point.truth or 0.0) for point in shown)
    lowest = min(0.0, *(point.interval[0] for point in shown))
    top = min(1.15 * max(highest, 0.2), 1.5)
    axes.set_ylim(max(lowest, -0.5) - 0.05 * top, top)
    _finish(axes, "S_noneq")
    if any(point.truth is not None for point in points):
        axes.plot(
            [],
            [],
            "o",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor=style.INK,
            label="true value (simulated)",
        )
    _legend(axes)


def _draw_amplitude(figure: Figure, place: Place, points: Sequence[_Point]) -> None:
    axes = style.page_axes(figure, place)
    style.titled(axes, "Amplitude of the drift (Eq. 2)", "S_noneq has none: a nearly static map can score high")
    if not any(np.isfinite(point.amplitude) for point in points):
        style.sentence(axes, "No scan with both a temperature and a drift amplitude.", characters=40)
        return
    for order, roi in enumerate(dict.fromkeys(point.roi for point in points)):
        _series(axes, [point for point in points if point.roi == roi], order, "amplitude")
    axes.set_ylim(bottom=0.0)
    axes.margins(y=0.12)
    _finish(axes, "rms of the drift / contrast")


def _series(axes: Axes, points: Sequence[_Point], order: int, what: str) -> None:
    """Filled markers per scan, and a line through the mean at each temperature."""
    colour = style.series_colour(order)
    where = np.array([point.temperature for point in points])
    value = np.array([getattr(point, what) for point in points])
    known = np.isfinite(value)
    steps = at_one_temperature(where[known])
    means = [(where[known][step].mean(), value[known][step].mean()) for step in steps]
    axes.plot(*zip(*means, strict=True), color=colour, linewidth=1.4, alpha=0.7)
    axes.plot(
        where[known],
        value[known],
        linestyle="none",
        marker=style.marker(order),
        markersize=7,
        color=colour,
        label=points[0].label,
    )


def _intervals(axes: Axes, points: Sequence[_Point], order: int) -> None:
    known = [point for point in points if np.isfinite(point.measured)]
    if not known:
        return
    low, high = np.array([point.interval for point in known]).T
    where = [point.temperature for point in known]
    axes.vlines(where, low, high, color=style.series_colour(order), linewidth=1.4, alpha=0.8)


def _finish(axes: Axes, ordinate: str) -> None:
    axes.grid(color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.margins(x=0.07)
    style.labelled(axes, "temperature (K)", ordinate)


def _legend(axes: Axes) -> None:
    columns = 1 if len(axes.get_legend_handles_labels()[1]) <= 5 else 2
    axes.legend(
        loc="best",
        ncols=columns,
        frameon=True,
        framealpha=0.9,
        edgecolor="none",
        fontsize=style.SMALL,
        labelcolor=style.INK,
    )
