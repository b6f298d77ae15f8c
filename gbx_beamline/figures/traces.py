"""What stood around the frames, under the two-time map on its time axis, and the segments on both."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from gbx_beamline.figures import style, words
from gbx_beamline.figures.style import Place
from gbx_beamline.records import ScanResult, Segment, SegmentKind, Trace

ROW, GAP = 0.62, 0.14
"""Inches: height of one trace, and what lies between two."""

MOST_TRACES = 5

_FIRST = ("temperature", "ring_current", "i0", "shutter", "feedback")
"""Traces that are looked at first; the others follow in the order of the configuration."""

_SHADES: dict[SegmentKind, str] = {
    "beam": "#dcebf5",
    "hold": "#dcebf5",
    "ramp": "#fbe3d0",
    "settling": "#fdf3d6",
    "no beam": "#d4d4d4",
    "gated": "#e7dff0",
}

_SHOWN = {"A": (1e3, "mA"), "m": (1e6, "µm"), "1": (1.0, "")}
"""SI unit -> factor and unit that people read."""


@dataclass(frozen=True)
class _Row:
    """One curve of the strip."""

    label: str
    time: NDArray[np.float64]
    values: NDArray[np.float64]


def worth_drawing(result: ScanResult) -> bool:
    """Whether anything stood around the frames, or cut them."""
    return bool(result.traces and result.traces.traces) or len(result.exclusions.segments) > 1


def strip_height(result: ScanResult) -> float:
    """Inches that ``traces_strip`` takes, with its title and time axis; 0 where there is nothing to draw."""
    return 0.0 if not worth_drawing(result) else 1.0 + _count(result) * (ROW + GAP)


def traces_strip(figure: Figure, place: Place, result: ScanResult, index: int) -> None:
    """Counts of one q-ROI and the traces, one above the other, on the time axis of the two-time map above.

    Args:
        figure: The page.
        place: Upper left corner and width; the height is ``strip_height``.
        result: The scan.
        index: Of the q-ROI whose counts are drawn.
    """
    tt = result.two_time
    window = tt.g2.shape[-1] * tt.frame_time
    unit, name = words.time_unit(window)
    rows = _rows(result, index)
    left_over = [] if result.traces is None else [one.name for one in _ordered(result)[MOST_TRACES:]]
    axes = style.page_axes(figure, Place(place.left, place.top, place.width, ROW))
    style.titled(axes, "Around the frames", _key(result.exclusions.segments))
    for order, row in enumerate(rows):
        if order:
            below = Place(place.left, place.top + order * (ROW + GAP), place.width, ROW)
            axes = style.page_axes(figure, below)
        _shade(axes, result, unit)
        axes.plot(row.time / unit, row.values, color=style.INK, linewidth=1.0)
        axes.set_xlim(0.0, window / unit)
        axes.set_ylim(*_limits(row.values))
        axes.yaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.annotate(
            row.label,
            (1, 0.5),
            (7, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center",
            fontsize=style.SMALL,
            color=style.INK,
            annotation_clip=False,
            parse_math=False,
        )
        if order < len(rows) - 1:
            axes.tick_params(labelbottom=False)
    also = f"; also kept: {', '.join(left_over)}" if left_over else ""
    axes.set_xlabel(f"t ({name}){also}", fontsize=style.BODY, color=style.INK, labelpad=4, parse_math=False)


def mark_segments(axes: Axes, result: ScanResult) -> None:
    """On a two-time map in true time: veil what lies between segments, and frame the one that the numbers are of."""
    segments = result.exclusions.segments
    if len(segments) < 2:
        return
    tt = result.two_time
    window = tt.g2.shape[-1] * tt.frame_time
    unit, _ = words.time_unit(window)
    own = [part for part in segments if part.together] or [part for part in segments if part.kind == "ramp"]
    for part in own:
        for other in own:
            if other is not part:
                axes.add_patch(_box(part, other, unit, facecolor="white", edgecolor="none", alpha=0.6, zorder=2))
    first, last = result.analysed or (0, tt.g2.shape[-1])
    start, stop = first * tt.frame_time / unit, last * tt.frame_time / unit
    axes.add_patch(
        Rectangle(
            (start, start),
            stop - start,
            stop - start,
            facecolor="none",
            edgecolor=style.FITTED,
            linewidth=1.6,
            zorder=3,
            clip_on=False,
        )
    )


def segment_lines(result: ScanResult, index: int) -> list[tuple[str, str]]:
    """One line for each segment: when, at what temperature, and what it says; with colours."""
    measured = {one.segment: one for one in result.segments}
    lines: list[tuple[str, str]] = []
    for order, part in enumerate(result.exclusions.segments):
        where = words.span(part.start_time, part.stop_time)
        warmth = _warmth(part)
        if order not in measured:
            lines.append((f"{where}{warmth}: {part.reason or part.kind}", style.QUIET))
            continue
        found = measured[order].rois[index]
        share = f"S_noneq {found.s_corrected:.3f} ({found.low:.3f} to {found.high:.3f})"
        if not math.isfinite(found.s_corrected):
            share = f"bare S_noneq {words.number(found.s_noneq)}" if found.status == "ok" else "no S_noneq"
        unit, name = words.time_unit(found.relaxation_time) if found.kinetics_status == "ok" else (1.0, "")
        decay = f", τ\u00a0{words.number(found.relaxation_time / unit)}\u00a0{name}" if name else ""
        chosen = measured[order].chosen
        here = " (the numbers above)" if chosen else ""
        lines.append((f"{where}{warmth}: {share}{decay}{here}", style.FITTED if chosen else style.INK))
    return lines


def _warmth(part: Segment) -> str:
    low, high = part.temperature_range
    if not math.isfinite(part.temperature):
        return ""
    if part.kind == "ramp":
        return f", {low:.0f} to {high:.0f} K"
    return f", {part.temperature:.1f} K"


def _box(part: Segment, other: Segment, unit: float, **looks: object) -> Rectangle:
    return Rectangle(
        (part.start_time / unit, other.start_time / unit),
        (part.stop_time - part.start_time) / unit,
        (other.stop_time - other.start_time) / unit,
        **looks,  # pyright: ignore[reportArgumentType]
    )


def _count(result: ScanResult) -> int:
    return 1 + min(MOST_TRACES, 0 if result.traces is None else len(result.traces.traces))


def _ordered(result: ScanResult) -> list[Trace]:
    traces = () if result.traces is None else result.traces.traces
    return sorted(traces, key=lambda one: _FIRST.index(one.name) if one.name in _FIRST else len(_FIRST))


def _rows(result: ScanResult, index: int) -> list[_Row]:
    tt = result.two_time
    rows = []
    means = tt.frame_means[index]
    if np.isfinite(means).any():
        rows.append(_Row("counts per pixel", (np.arange(len(means), dtype=np.float64) + 0.5) * tt.frame_time, means))
    if result.traces is not None:
        for trace in _ordered(result)[:MOST_TRACES]:
            factor, unit = _SHOWN.get(trace.unit, (1.0, trace.unit))
            label = f"{trace.name.replace('_', ' ')}{f' ({unit})' if unit else ''}"
            rows.append(_Row(label, result.traces.time, trace.values.astype(np.float64) * factor))
    return rows or [_Row("no counts", np.array([0.0]), np.array([np.nan]))]


def _shade(axes: Axes, result: ScanResult, unit: float) -> None:
    for part in result.exclusions.segments:
        shade = _SHADES[part.kind]
        axes.axvspan(part.start_time / unit, part.stop_time / unit, facecolor=shade, edgecolor="none", zorder=0)
        if part.start:
            axes.axvline(part.start_time / unit, color="#9a9a9a", linewidth=0.6, zorder=1)


def _key(segments: tuple[Segment, ...]) -> str:
    kinds = list(dict.fromkeys(part.kind for part in segments))
    names = {"beam": "blue: with beam", "hold": "blue: holds", "ramp": "orange: ramps", "settling": "yellow: settles"}
    names |= {"no beam": "grey: no beam", "gated": "violet: conditions not met"}
    return "; ".join(names[kind] for kind in kinds)


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    room = max(0.12 * (high - low), 1e-2 * abs(high) if high == low else 0.0, 1e-9)
    return low - room, high + room
