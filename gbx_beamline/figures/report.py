"""One page per scan: what was measured, how it moved, and what to know before believing it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from gbx_beamline.errors import RoiError
from gbx_beamline.figures import style, words
from gbx_beamline.figures.beside import floor_line
from gbx_beamline.figures.detector import detector_image, detector_panel
from gbx_beamline.figures.panels import (
    drift_panel,
    one_time_panel,
    slices_panel,
    two_time_panel,
)
from gbx_beamline.figures.reduction import information, true_s_noneq
from gbx_beamline.figures.style import LINE, Place
from gbx_beamline.figures.traces import segment_lines, strip_height, traces_strip
from gbx_beamline.records import FloorRoi, InstrumentFloor, ScanInference, ScanResult

MOST_ROWS = 4
_PANELS = (two_time_panel, drift_panel, one_time_panel, slices_panel)
_BARE = (
    "S_noneq: Eq. 3 freed of noise, with its 95 % interval. Bare: photon and speckle noise count as non-stationary, "
    "so compare it only between q-ROIs of equal pixels, counts, cell and window."
)


@dataclass(frozen=True)
class _Layout:
    """Inches. ``panels`` are the upper left corners of the four panels, from the top of a q-ROI's block."""

    width: float
    side: float
    panels: tuple[tuple[float, float], ...]
    block: float
    """Height of one q-ROI's panels with titles and axis labels."""
    strip: tuple[float, float]
    """Upper left corner of the traces, under the two-time map."""

    @property
    def characters(self) -> int:
        """Body characters in a line across the page."""
        return int((self.width - 0.8) / 0.086)


@dataclass(frozen=True)
class _Block:
    """One q-ROI on the page."""

    index: int
    lines: list[tuple[str, str]]
    strip: float
    """Height of the traces under its map; 0 for none."""
    floor: FloorRoi | None = None


def _wide() -> _Layout:
    side = 2.75
    lefts = [0.9]
    for gap in (1.7, 1.9, 0.9):
        lefts.append(lefts[-1] + side + gap)
    panels = tuple((left, 0.62) for left in lefts)
    return _Layout(lefts[-1] + side + 1.3, side, panels, side + 1.45, (lefts[0], side + 1.75))


def _square(strip: float) -> _Layout:
    """The traces lie between the map and what is below it, on its time axis."""
    side, below = 4.0, 5.35 + strip
    left, right = 0.95, 0.95 + 4.0 + 2.05
    corners = ((left, 0.62), (left, 0.62 + below), (right, 0.62), (right, 0.62 + below))
    return _Layout(right + side + 1.35, side, corners, side + below + 1.45, (left, side + 1.75))


def scan_report(
    result: ScanResult,
    *,
    roi: int | None = None,
    inference: ScanInference | None = None,
    floor: InstrumentFloor | None = None,
) -> Figure:
    """Draw a scan: two-time map, drift, one-time g2 with its fit, and slices at several ages.

    Up to four q-ROIs get a row each. Of more, the four that hold the most information (contrast x counts x
    sqrt(pixels)) are drawn and the page says so. A single q-ROI, or the one asked for, fills the page.

    Args:
        result: What the catalog stores; maps imported without frames or q are fine.
        roi: Index of one q-ROI, 0-based as in ``two_time.g2[roi]``.
        inference: What a model says of the scan; it stands in the head of the page.
        floor: What the instrument shows of a sample that does not move; it stands beside each q-ROI's numbers.

    Returns:
        A matplotlib figure with an Agg canvas, to be kept with :func:`save`.

    Raises:
        RoiError: no such q-ROI.
    """
    shown = _shown(result, roi)
    strip = strip_height(result)
    single = len(shown) == 1
    layout = _square(strip) if single else _wide()
    image = detector_image(result)
    head = _head_lines(result, shown, inference, layout.characters - (18 if image else 0))
    head_height = max(0.98 + _height(head), 1.65 if image else 0.0)
    blocks = [
        _Block(
            index,
            _roi_lines(result, index, layout.characters, floor),
            0.0 if order else strip,
            None if floor is None else floor.rois[index],
        )
        for order, index in enumerate(shown)
    ]
    heights = [0.42 + _height(one.lines) + layout.block + (0.0 if single else one.strip) for one in blocks]
    figure = style.blank_page(layout.width, head_height + sum(heights) + 0.45)
    temperature = words.temperature(result.scan)
    room = int((layout.width - 2.3) / 0.17) - len(temperature) - 5
    title = f"{words.shortened(result.scan.sample or 'sample not named', room)}  ·  {temperature}"
    style.page_text(figure, 0.35, 0.3, title, fontsize=style.HEAD, fontweight="bold")
    _draw_lines(figure, 0.82, head)
    if image:
        detector_panel(figure, Place(layout.width - 1.65, 0.2, 1.3, 1.3), result, image, shown)
    top = head_height
    for block, height in zip(blocks, heights, strict=True):
        _draw_roi(figure, result, block, top, layout, image is not None)
        top += height
    if any(result.nonequilibrium[index].status == "ok" for index in shown):
        caution = words.wrapped(_BARE, layout.characters)
        style.page_text(figure, 0.35, top, caution, fontsize=style.SMALL, color=style.QUIET)
    return figure


def _shown(result: ScanResult, roi: int | None) -> list[int]:
    count = len(result.rois)
    if roi is None:
        best = np.argsort(-information(result), kind="stable")[:MOST_ROWS]
        return sorted(int(index) for index in best)
    if not 0 <= roi < count:
        raise RoiError(
            f"q-ROI index {roi}",
            needed=f"an index from 0 to {count - 1}",
            action=f"choose one of {', '.join(words.roi_name(result.rois, index) for index in range(count))}",
        )
    return [roi]


def _head_lines(
    result: ScanResult, shown: list[int], inference: ScanInference | None, characters: int
) -> list[tuple[str, str]]:
    """Lines under the title, with their colours."""
    count = len(result.rois)
    choice = f"{len(shown)} of {count} q-ROIs drawn" if len(shown) < count else ""
    if 1 < len(shown) < count:
        choice += ": those with the largest contrast × counts × √pixels"
    scan, two_time = result.scan, result.two_time
    frames = two_time.g2.shape[-1]
    bad = int(frames - np.count_nonzero(two_time.valid_frames))
    facts = [
        f"run {scan.run_uid[:8]}",
        f"{frames:,} frames" + (f" ({bad} bad)" if bad else ""),
        f"{words.duration(two_time.frame_time)} per frame",
        f"window {words.duration(frames * two_time.frame_time)}",
    ]
    if result.analysed is not None:
        rows = np.array(result.analysed) * two_time.frame_time
        facts.append(f"numbers are of {words.span(*rows.tolist())}")
    if words.started(scan):
        facts.insert(1, words.started(scan))
    if result.exposure is not None:
        facts.append(words.dose(result.exposure))
    if scan.truth is not None:
        facts.append("simulated run")
    if scan.source:
        facts.append(scan.source)
    lines = [(words.joined(facts, characters), style.INK)]
    if choice:
        lines.append((words.wrapped(choice, characters), style.QUIET))
    if inference is not None:
        said, limits = words.inferred(inference)
        lines.append((words.wrapped(said, characters), style.INK))
        lines += [(words.wrapped(f"Model: {text}", characters), style.NOTE) for text in limits]
    lines += [(words.wrapped(f"Note: {note}", characters), style.NOTE) for note in words.notes(result)]
    return lines


def _roi_lines(result: ScanResult, index: int, characters: int, floor: InstrumentFloor | None) -> list[tuple[str, str]]:
    """The facts that a value of S_noneq needs to be believed, with their colours."""
    two_time, record = result.analysed_two_time, result.nonequilibrium[index]
    pixels, counts = int(two_time.pixels[index]), float(two_time.mean_counts[index])
    facts = [f"{pixels:,} pixels" if pixels > 0 else "pixels not known"]
    facts.append(f"{words.number(counts)} counts per pixel and frame" if np.isfinite(counts) else "counts not known")
    if np.isfinite(record.contrast):
        facts.append(f"contrast {words.number(record.contrast)}")
    if record.status == "ok":
        span = f"{record.frames_per_cell} frame{'s' if record.frames_per_cell > 1 else ''}"
        facts.append(f"bare S_noneq on cells of {words.duration(record.cell)} ({span})")
    if record.corrected is not None:
        facts.append(f"{record.corrected.groups} pixel groups")
    truth = true_s_noneq(result)
    if truth is not None:
        facts.append(f"true S_noneq of the simulation {words.number(truth[index])}")
    facts += words.kinetics(result, index)
    empty = np.isnan(two_time.g2[index]).all(axis=1) & two_time.valid_frames
    if empty.any():
        facts.append(f"{int(empty.sum())} frames without a photon here")
    lines = [(words.joined(facts, characters), style.QUIET)]
    if floor is not None:
        at_floor = floor.rois[index].standing == "at the floor"
        said = floor_line(floor, index)
        lines.append((words.wrapped(said[0].upper() + said[1:], characters), style.NOTE if at_floor else style.QUIET))
    lines += [(words.wrapped(f"Note: {note}", characters), style.NOTE) for note in words.notes(result, index)]
    return lines


def _draw_lines(figure: Figure, top: float, lines: list[tuple[str, str]], *, left: float = 0.35) -> None:
    for text, colour in lines:
        style.page_text(figure, left, top, text, color=colour)
        top += LINE * (text.count("\n") + 1)


def _height(lines: list[tuple[str, str]]) -> float:
    return LINE * sum(text.count("\n") + 1 for text, _ in lines)


def _draw_roi(figure: Figure, result: ScanResult, block: _Block, top: float, layout: _Layout, outlined: bool) -> None:
    index, record = block.index, result.nonequilibrium[block.index]
    rule = style.page_axes(figure, Place(0.35, top - 0.1, layout.width - 0.7, 0.001))
    rule.set_axis_off()
    rule.axhline(0.5, color="#bdbdbd", linewidth=1.0, clip_on=False)
    left = 0.35
    if outlined:
        key = style.page_axes(figure, Place(left, top + 0.045, 0.17, 0.17))
        key.set(xticks=[], yticks=[], facecolor=style.series_colour(index))
        left += 0.27
    heading = {"fontsize": style.TITLE + 1, "fontweight": "bold"}
    value = words.non_equilibrium(record)
    style.page_text(figure, layout.width - 0.35, top, value, ha="right", **heading)
    momentum = words.momentum(result.rois, index, result.geometry.mode)
    room = min(int((layout.width - 1.2) / 0.14) - len(value) - len(momentum), 40)
    name = f"{words.shortened(words.roi_name(result.rois, index), max(room, 8))}:  {momentum}"
    style.page_text(figure, left, top, name, **heading)
    _draw_lines(figure, top + 0.36, block.lines)
    below = top + 0.42 + _height(block.lines)
    for panel, (across, down) in zip(_PANELS, layout.panels, strict=True):
        draw = partial(panel, floor=block.floor) if panel is one_time_panel else panel
        draw(figure, Place(across, below + down, layout.side, layout.side), result, index)
    if block.strip:
        across, down = layout.strip
        traces_strip(figure, Place(across, below + down, layout.side, block.strip), result, index)
        beside = across + layout.side + 1.75
        style.page_text(figure, beside, below + down - 0.4, "Segments", fontsize=style.TITLE, fontweight="bold")
        room = int((layout.width - beside - 0.3) / 0.086)
        said = [(words.wrapped(text, room), colour) for text, colour in segment_lines(result, index)]
        _draw_lines(figure, below + down, said, left=beside)
