"""Scans at two attenuations on one page: the verdict, the curves, and what of them follows the beam."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from gbx_beamline.figures import style, words
from gbx_beamline.figures.style import LINE, Place
from gbx_beamline.records import Between, ComparedRoi, ComparedScan, Comparison

MOST_PANELS = 3
_SIDE, _LEFT, _GAP = 3.4, 0.95, 1.25
_WIDTH = _LEFT + 3 * _SIDE + 2 * _GAP + 0.6
_COLOURS = {"sample": "#00654c", "beam drives it": style.FITTED, "undetermined": style.NOTE}


def comparison_page(found: Comparison) -> Figure:
    """Draw a comparison: one-time g2 of each scan, then relaxation times over the dose rate, rate ratios and S_noneq.

    Of more than three q-ROIs the three whose ratio of rates is known best have their curves drawn; all are in the
    lower panels.

    Args:
        found: Of ``gbx.compare``.

    Returns:
        A matplotlib figure with an Agg canvas, to be kept with :func:`save`.
    """
    characters = int((_WIDTH - 0.7) / 0.086)
    head = _head(found, characters)
    top = 0.95 + LINE * sum(text.count("\n") + 1 for text, _ in head) + 0.65
    lower = top + _SIDE + 1.55
    notes = [words.wrapped(f"Note: {note}", characters) for note in found.notes]
    below = lower + _SIDE + 0.95
    figure = style.blank_page(_WIDTH, below + LINE * sum(text.count("\n") + 1 for text in notes) + 0.3)
    title = f"{words.shortened(found.sample or 'sample not named', 50)}:  {_VERDICTS[found.verdict]}"
    style.page_text(figure, 0.35, 0.3, title, fontsize=style.HEAD, fontweight="bold", color=_COLOURS[found.verdict])
    _lines(figure, 0.85, head)
    for place, roi in enumerate(_drawn(found.rois)):
        _curves(figure, _panel(place, top), found.scans, roi)
    _times(figure, _panel(0, lower), found)
    _ratios(figure, _panel(1, lower), found)
    _shares(figure, _panel(2, lower), found)
    _lines(figure, below, [(text, style.NOTE) for text in notes])
    return figure


_VERDICTS = {
    "sample": "the sample's own dynamics",
    "beam drives it": "the beam drives it",
    "undetermined": "beam or sample: undetermined",
}


def scan_label(scan: ComparedScan) -> str:
    """By which readers know a scan: its transmission, and the start of its uid."""
    known = math.isfinite(scan.transmission)
    return f"{scan.run_uid[:8]}, transmission {words.number(scan.transmission, 2)}" if known else scan.run_uid[:8]


def _panel(place: int, top: float) -> Place:
    return Place(_LEFT + place * (_SIDE + _GAP), top, _SIDE, _SIDE)


def _head(found: Comparison, characters: int) -> list[tuple[str, str]]:
    facts = [
        scan_label(scan) + ("" if scan.temperature is None else f", {scan.temperature:.1f} K") for scan in found.scans
    ]
    return [
        (words.wrapped(found.reason, characters), style.INK),
        (words.joined(facts, characters), style.QUIET),
    ]


def _lines(figure: Figure, top: float, lines: Sequence[tuple[str, str]]) -> None:
    for text, colour in lines:
        style.page_text(figure, 0.35, top, text, color=colour)
        top += LINE * (text.count("\n") + 1)


def _drawn(rois: Sequence[ComparedRoi]) -> list[ComparedRoi]:
    def width(roi: ComparedRoi) -> float:
        ratio = roi.rate_ratio
        known = ratio is not None and math.isfinite(ratio.value) and ratio.low > 0
        return math.log(ratio.high / ratio.low) if known and ratio is not None else math.inf

    best = sorted(range(len(rois)), key=lambda index: (width(rois[index]), index))[:MOST_PANELS]
    return [rois[index] for index in sorted(best)]


def _curves(figure: Figure, place: Place, scans: Sequence[ComparedScan], roi: ComparedRoi) -> None:
    axes = style.page_axes(figure, place)
    q = f"q = {words.number(roi.q_par * 1e-10)} 1/Å; " if math.isfinite(roi.q_par) else ""
    style.titled(axes, words.shortened(roi.name or "q-ROI", 30), f"{q}bars: standard errors")
    if not roi.tau.size or not np.isfinite(roi.f2).any():
        style.sentence(axes, "No contrast or no common lags, so there are no curves to lay over each other.")
        return
    for order, scan in enumerate(scans):
        axes.errorbar(
            roi.tau,
            roi.f2[order],
            yerr=np.nan_to_num(roi.f2_error[order]),
            color=style.series_colour(order),
            marker=style.marker(order),
            markersize=5.5,
            markeredgewidth=0,
            linewidth=1.3,
            label=scan_label(scan),
        )
    style.log_lags(axes, float(roi.tau[0]), float(roi.tau[-1]))
    for level in (0.0, 1.0):
        axes.axhline(level, color=style.QUIET, linewidth=0.9, linestyle=(0, (5, 4)), zorder=1)
    style.labelled(axes, "lag τ (s)", "(g2 − baseline) / mean contrast")
    axes.legend(loc="upper right", fontsize=style.SMALL - 1, frameon=True, framealpha=0.85, edgecolor="none")


def _times(figure: Figure, place: Place, found: Comparison) -> None:
    """Relaxation times over the dose rate, with what sample and beam would do."""
    axes = style.page_axes(figure, place)
    style.titled(axes, "Relaxation time", "flat: sample; falling line: the beam drives all of it")
    rates = np.array([scan.dose_rate for scan in found.scans])
    if not np.isfinite(rates).all() or not (rates > 0).all():
        style.sentence(axes, "The dose rate of a scan is not known, so nothing can be placed over it.")
        return
    drawn = False
    span = np.array([rates.min() / 1.4, rates.max() * 1.4])
    for order, roi in enumerate(found.rois):
        colour = style.series_colour(order)
        known = [(rate, one) for rate, one in zip(rates, roi.relaxation_time, strict=True) if math.isfinite(one.value)]
        if not known:
            continue
        drawn = True
        values = np.array([one.value for _, one in known])
        bars = [[one.value - one.low for _, one in known], [one.high - one.value for _, one in known]]
        at = [rate for rate, _ in known]
        axes.errorbar(
            at, values, yerr=bars, fmt=style.marker(order), color=colour, markersize=6, label=roi.name or "q-ROI"
        )
        for exponent in (0.0, -1.0):
            axes.plot(span, values[0] * (span / at[0]) ** exponent, color=colour, linewidth=0.9, linestyle=(0, (4, 3)))
    if not drawn:
        style.sentence(axes, "No relaxation time in any of the scans.")
        return
    axes.set_yscale("log")
    axes.set_xscale("log")
    axes.set_xlim(*span)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: words.power_of_ten(value)))
        axis.set_minor_formatter(NullFormatter())
    style.labelled(axes, "dose rate (full beam = 1)", "τ (s), 95 % intervals")
    _legend(axes, len(found.rois))


def _ratios(figure: Figure, place: Place, found: Comparison) -> None:
    """Ratio of rates of each q-ROI and of all together, beside 1 and the ratio of dose rates."""
    axes = style.page_axes(figure, place)
    style.titled(axes, "Ratio of relaxation rates", "highest over lowest dose rate, 95 % intervals")
    rows: list[tuple[str, Between | None, str]] = [
        (roi.name or "q-ROI", roi.rate_ratio, style.series_colour(order)) for order, roi in enumerate(found.rois)
    ]
    rows.append(("together", found.rate_ratio, style.INK))
    known = [(name, one, colour) for name, one, colour in rows if one is not None and math.isfinite(one.value)]
    if not known or not math.isfinite(found.dose_ratio):
        style.sentence(axes, "No ratio: a dose rate or a relaxation time is not known.")
        return
    for height, (_, one, colour) in enumerate(known):
        axes.errorbar(
            [one.value],
            [height],
            xerr=[[one.value - one.low], [one.high - one.value]],
            fmt="o",
            color=colour,
            markersize=6,
        )
    axes.axvline(1.0, color="#00654c", linewidth=1.6)
    axes.axvline(found.dose_ratio, color=style.FITTED, linewidth=1.6)
    lows, highs = [one.low for _, one, _ in known], [one.high for _, one, _ in known]
    axes.set_xscale("log")
    axes.set_xlim(min(0.75, *lows) / 1.15, 1.25 * max(found.dose_ratio, *highs))
    axes.set_ylim(len(known) - 0.2, -1.1)
    axes.annotate("sample", (1.0, -0.75), (4, 0), textcoords="offset points", color="#00654c", fontsize=style.SMALL)
    axes.annotate(
        "beam",
        (found.dose_ratio, -0.75),
        (-4, 0),
        textcoords="offset points",
        color=style.FITTED,
        ha="right",
        fontsize=style.SMALL,
    )
    axes.set_yticks(range(len(known)), [words.shortened(name, 12) for name, _, _ in known])
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: words.power_of_ten(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("Γ(high) / Γ(low)", fontsize=style.BODY, color=style.INK, labelpad=4)


def _shares(figure: Figure, place: Place, found: Comparison) -> None:
    """Corrected S_noneq of each q-ROI in every scan."""
    axes = style.page_axes(figure, place)
    style.titled(axes, "Corrected S_noneq", "95 % intervals")
    drawn = False
    for order, scan in enumerate(found.scans):
        offset = 0.16 * (order - 0.5 * (len(found.scans) - 1))
        known = [(index, roi.s_corrected[order]) for index, roi in enumerate(found.rois)]
        known = [(index, one) for index, one in known if math.isfinite(one.value)]
        if not known:
            continue
        drawn = True
        values = [one.value for _, one in known]
        bars = [[one.value - one.low for _, one in known], [one.high - one.value for _, one in known]]
        at = [index + offset for index, _ in known]
        axes.errorbar(
            at,
            values,
            yerr=bars,
            fmt=style.marker(order),
            color=style.series_colour(order),
            markersize=6,
            label=scan_label(scan),
        )
    if not drawn:
        style.sentence(axes, "No corrected S_noneq in any of the scans.")
        return
    axes.axhline(0.0, color=style.QUIET, linewidth=0.9, linestyle=(0, (5, 4)), zorder=1)
    axes.set_xlim(-0.6, len(found.rois) - 0.4)
    axes.set_xticks(range(len(found.rois)), [words.shortened(roi.name or "q-ROI", 10) for roi in found.rois])
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -0.02), max(high, 0.08) + 0.35 * (max(high, 0.08) - min(low, -0.02)))
    axes.legend(loc="upper right", fontsize=style.SMALL - 1, frameon=False)


def _legend(axes: Axes, count: int) -> None:
    if count > 1:
        axes.legend(loc="best", fontsize=style.SMALL - 1, frameon=True, framealpha=0.85, edgecolor="none")
