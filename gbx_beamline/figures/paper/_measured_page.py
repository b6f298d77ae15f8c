"""The counterpart of Fig. 2: measured maps over temperature, their drift, cuts at several ages, and S_noneq."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gbx_beamline.figures import style, words
from gbx_beamline.figures.panels import time_map
from gbx_beamline.figures.paper._scans import PaperScan
from gbx_beamline.figures.reduction import (
    age_slices,
    cells,
    clean_map,
    correlation_limits,
    drift_limit,
    log_spaced,
    true_s_noneq,
)
from gbx_beamline.figures.style import Place
from gbx_beamline.records import NonEquilibrium

MOST_MAPS = 4
_SIDE, _LEFT, _GAP, _RIGHT = 2.75, 1.0, 0.5, 1.3
_TOP = 1.75
_CUTS, _LOWER = 2.3, 3.0
_CELLS = 300


def measured_page(scans: Sequence[PaperScan], roi: str) -> Figure:
    """A column for each temperature (of more than four, four evenly spread), and curves over all of them below.

    Args:
        scans: of one sample, coldest first.
        roi: name of the q-ROI, which at least one scan has.
    """
    known = [scan for scan in scans if place_of(scan, roi) is not None]
    mapped = _spread(known)
    columns = max(len(mapped), 3)
    width = _LEFT + columns * _SIDE + (columns - 1) * _GAP + _RIGHT
    rows = (_TOP, _TOP + _SIDE + 1.05, _TOP + 2 * (_SIDE + 1.05) + 0.1)
    lower = rows[2] + _CUTS + 1.65
    figure = style.blank_page(width, lower + _LOWER + 0.75)
    sample = known[0].result.scan.sample or "sample not named"
    simulated = all(scan.result.scan.truth is not None for scan in known)
    style.page_text(figure, 0.35, 0.3, words.shortened(sample, 60), fontsize=style.HEAD, fontweight="bold")
    facts = f"{_where(known[0], roi)}  ·  {'simulated scans' if simulated else 'measured'}  ·  counterpart of Fig. 2"
    style.page_text(figure, 0.35, 0.8, facts, color=style.QUIET)
    _maps(figure, mapped, roi, rows[0])
    _drifts(figure, mapped, roi, rows[1])
    _all_cuts(figure, mapped, roi, rows[2])
    wide = (width - _LEFT - 0.4 - 2 * 0.95) / 3
    places = [Place(_LEFT + column * (wide + 0.95), lower, wide, _LOWER) for column in range(3)]
    _s_over_temperature(style.page_axes(figure, places[0]), known, roi)
    _amplitude_over_temperature(style.page_axes(figure, places[1]), known, roi)
    _one_time(style.page_axes(figure, places[2]), mapped, roi)
    return figure


def place_of(scan: PaperScan, roi: str) -> int | None:
    """Index of a q-ROI by its name; None where a scan lacks it."""
    names = [words.roi_name(scan.result.rois, index) for index in range(len(scan.result.rois))]
    return names.index(roi) if roi in names else None


def _spread(scans: Sequence[PaperScan]) -> list[PaperScan]:
    if len(scans) <= MOST_MAPS:
        return list(scans)
    return [scans[index] for index in np.round(np.linspace(0, len(scans) - 1, MOST_MAPS)).astype(int)]


def _record(scan: PaperScan, roi: str) -> NonEquilibrium:
    return scan.result.nonequilibrium[_index(scan, roi)]


def _index(scan: PaperScan, roi: str) -> int:
    index = place_of(scan, roi)
    assert index is not None, "scans without the q-ROI are left out before"
    return index


def _where(scan: PaperScan, roi: str) -> str:
    return words.momentum(scan.result.rois, _index(scan, roi), scan.result.geometry.mode)


def _columns(count: int, top: float, height: float) -> list[Place]:
    return [Place(_LEFT + column * (_SIDE + _GAP), top, _SIDE, height) for column in range(count)]


def _maps(figure: Figure, scans: Sequence[PaperScan], roi: str, top: float) -> None:
    images = [cells(clean_map(scan.result, _index(scan, roi)), _CELLS) for scan in scans]
    contrasts = [_record(scan, roi).contrast for scan in scans if np.isfinite(_record(scan, roi).contrast)]
    limits = correlation_limits([image for image, _ in images], max(contrasts, default=np.nan))
    drawn = None
    places = _columns(len(scans), top, _SIDE)
    for order, (scan, place, (image, width)) in enumerate(zip(scans, places, images, strict=True)):
        axes = style.page_axes(figure, place)
        style.titled(axes, words.kelvin(scan.result.scan), "two-time g2" if order == 0 else " ")
        if limits is None or not np.isfinite(image).any():
            style.sentence(axes, "No correlation in this scan.", characters=20)
            continue
        window = len(image) * width * scan.result.two_time.frame_time
        drawn = time_map(figure, place, image, window, limits, axes=axes, began=scan.result.analysed_start)
        _inner(axes, order)
    if drawn is not None:
        style.colour_bar(figure, drawn, places[-1], "g2 (baseline 1)")


def _drifts(figure: Figure, scans: Sequence[PaperScan], roi: str, top: float) -> None:
    images = [cells(_record(scan, roi).drift, _CELLS) for scan in scans]
    limit = max(drift_limit(image, _record(scan, roi).contrast) for scan, (image, _) in zip(scans, images, strict=True))
    drawn = None
    places = _columns(len(scans), top, _SIDE)
    for order, (scan, place, (image, width)) in enumerate(zip(scans, places, images, strict=True)):
        axes = style.page_axes(figure, place)
        record = _record(scan, roi)
        said = "drift S(t1, t2) (Eq. 2)" if order == 0 else ""
        style.titled(axes, "", said)
        if not np.isfinite(image).any():
            style.sentence(axes, f"No drift: {record.status}", characters=20)
            continue
        drawn = time_map(
            figure,
            place,
            image,
            len(image) * width * record.cell,
            (-limit, limit),
            axes=axes,
            colours=style.drift_colours(),
            began=scan.result.analysed_start,
        )
        _inner(axes, order)
    if drawn is not None:
        style.colour_bar(figure, drawn, places[-1], "drift of g2")


def _inner(axes: Axes, order: int) -> None:
    style.few_ticks(axes, x=3, y=4)
    if order:
        axes.set_ylabel("")
        axes.tick_params(labelleft=False)


def _all_cuts(figure: Figure, scans: Sequence[PaperScan], roi: str, top: float) -> None:
    """g2(t1, t1 + tau) - 1 at five ages of each map, with the baseline of Eq. 1."""
    panels = []
    for order, (scan, place) in enumerate(zip(scans, _columns(len(scans), top, _CUTS), strict=True)):
        axes = style.page_axes(figure, place)
        style.titled(axes, "", "cuts at five ages; black: Eq. 1" if order == 0 else "")
        if not _cuts(axes, scan, roi):
            style.sentence(axes, "No correlation in this scan.", characters=20)
            continue
        style.labelled(axes, "lag τ (s)", "g2(t1, t1 + τ) − 1" if order == 0 else "")
        panels.append(axes)
    if not panels:
        return
    low, high = (extreme(axes.get_ylim()[end] for axes in panels) for end, extreme in ((0, min), (1, max)))
    for order, axes in enumerate(panels):
        axes.set_ylim(low, high)
        if order:
            axes.tick_params(labelleft=False)
    handles = panels[-1].get_legend_handles_labels()
    panels[-1].legend(
        *handles,
        title="age t1",
        loc="upper left",
        bbox_to_anchor=(1.02, 1.03),
        frameon=False,
        fontsize=style.SMALL,
        title_fontsize=style.SMALL,
        handlelength=1.2,
        labelcolor=style.INK,
    )


def _cuts(axes: Axes, scan: PaperScan, roi: str) -> bool:
    """Whether there was anything to draw."""
    result, index = scan.result, _index(scan, roi)
    slices = age_slices(clean_map(result, index), result.two_time.frame_time)
    record = _record(scan, roi)
    lag = np.arange(len(record.tti), dtype=np.float64) * record.cell
    shown = log_spaced(lag, np.isfinite(record.tti))
    if not slices or not shown.size:
        return False
    colours = mpl.colormaps["viridis"](np.linspace(0.0, 0.88, len(slices)))
    for one, colour in zip(slices, colours, strict=True):
        axes.plot(one.tau, one.excess, color=colour, linewidth=1.5, label=words.duration(round(one.age)))
    axes.plot(lag[shown], record.tti[shown] - 1.0, color=style.INK, linewidth=1.6, linestyle=(0, (5, 2)))
    style.log_lags(axes, float(slices[0].tau[0]), float(lag[shown][-1]))
    return True


def _s_over_temperature(axes: Axes, scans: Sequence[PaperScan], roi: str) -> None:
    style.titled(axes, "√S_noneq (ratio of norms)", "grey: as the paper's figures, noise counts")
    where = np.array([scan.temperature for scan in scans])
    records = [_record(scan, roi) for scan in scans]
    bare = np.array([record.s_noneq_norm for record in records])
    if not np.isfinite(bare).any():
        style.sentence(axes, "No scan with an S_noneq.")
        return
    axes.plot(where, bare, "s-", color=style.QUIET, markersize=6, linewidth=1.2, label="with noise (Eq. 3)")
    free = np.array([_roots(record) for record in records])
    axes.vlines(where, free[:, 1], free[:, 2], color=style.MEASURED, linewidth=1.6)
    axes.plot(where, free[:, 0], "o-", color=style.MEASURED, markersize=7, linewidth=1.4, label="noise removed, 95 %")
    truths = [true_s_noneq(scan.result) for scan in scans]
    known = [(t, truth[_index(s, roi)]) for t, truth, s in zip(where, truths, scans, strict=True) if truth is not None]
    if known:
        t, s = np.array(known).T
        _open_marks(axes, t, np.sqrt(np.clip(s, 0.0, None)), style.FITTED, "true (simulated)")
    axes.set_ylim(0.0, 1.05)
    _over_temperature(axes, "√S_noneq")
    axes.legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none", fontsize=style.SMALL, labelcolor=style.INK)


def _roots(record: NonEquilibrium) -> tuple[float, float, float]:
    """Root of the corrected S_noneq and of the ends of its interval, negative ones at 0; NaN where there is none."""
    if record.interval is None or record.s_noneq_corrected is None:
        return (np.nan, np.nan, np.nan)
    value, low, high = np.sqrt(np.clip((record.s_noneq_corrected, *record.interval), 0.0, None))
    return float(value), float(low), float(high)


def _amplitude_over_temperature(axes: Axes, scans: Sequence[PaperScan], roi: str) -> None:
    style.titled(axes, "Amplitude of the drift", "S_noneq has none: a still sample can score high")
    corrected = [_record(scan, roi).corrected for scan in scans]
    values = np.array(
        [np.nan if one is None or one.drift_status != "ok" else one.drift_rms_over_contrast for one in corrected]
    )
    if not np.isfinite(values).any():
        style.sentence(axes, "No scan with an amplitude freed of noise.")
        return
    where = [scan.temperature for scan in scans]
    axes.plot(where, values, "o-", color=style.MEASURED, markersize=7, linewidth=1.4)
    axes.set_ylim(0.0, 1.15 * float(np.nanmax(values)) or 1.0)
    _over_temperature(axes, "rms of the drift / contrast")


def _one_time(axes: Axes, scans: Sequence[PaperScan], roi: str) -> None:
    style.titled(axes, "One-time g2", "mean over all ages of a scan, over its contrast")
    colours = mpl.colormaps["plasma"](np.linspace(0.0, 0.85, max(len(scans), 2)))
    spans: list[NDArray[np.float64]] = []
    for scan, colour in zip(scans, colours, strict=False):
        index, one = _index(scan, roi), scan.result.one_time
        contrast = _record(scan, roi).contrast
        shown = log_spaced(one.tau, np.isfinite(one.g2[index]) & np.isfinite(one.error[index]))
        if not shown.size or not contrast > 0:
            continue
        base = float(scan.result.analysed_two_time.static_baseline[index])
        decay = (one.g2[index][shown] - base) / contrast
        axes.plot(one.tau[shown], decay, color=colour, linewidth=1.8, label=words.kelvin(scan.result.scan))
        spans.append(one.tau[shown])
    if not spans:
        style.sentence(axes, "No scan with a contrast.")
        return
    lags = np.concatenate(spans)
    style.log_lags(axes, float(lags.min()), float(lags.max()))
    axes.axhline(0.0, color=style.QUIET, linewidth=0.9, linestyle=(0, (5, 4)), zorder=1)
    style.labelled(axes, "lag τ (s)", "(g2 − baseline) / contrast")
    axes.legend(loc="best", frameon=True, framealpha=0.9, edgecolor="none", fontsize=style.SMALL, labelcolor=style.INK)


def _over_temperature(axes: Axes, ordinate: str) -> None:
    axes.grid(color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.margins(x=0.08)
    style.labelled(axes, "temperature (K)", ordinate)


def _open_marks(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], colour: str, label: str) -> None:
    axes.plot(
        x, y, "o", markersize=12, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=1.6, label=label
    )
