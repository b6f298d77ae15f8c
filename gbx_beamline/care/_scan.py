"""All care for one scan, between collecting its pixels and correlating them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.care._blocks import BlockAdder, BlockSums
from gbx_beamline.care._frames import judge_frames
from gbx_beamline.care._motion import check_motion
from gbx_beamline.care._pixels import judge_pixels
from gbx_beamline.care._segments import find_segments, in_segments
from gbx_beamline.care._timeline import NO_BEAM, lay_out, with_temperatures
from gbx_beamline.config import TEMPERATURE, CareConfig, TracesConfig
from gbx_beamline.correlation import Collected
from gbx_beamline.correlation._store import RoiRows
from gbx_beamline.records import Bools, Exclusions, MotionCheck
from gbx_beamline.traces import Placed

_FRAMES = 64
"""Frames looked at together."""


@dataclass(frozen=True, kw_only=True)
class Care:
    """What was found, and left out of the collected counts already."""

    exclusions: Exclusions
    motion: tuple[MotionCheck, ...]
    """(Q,) empty where the check is off or pixels have no positions."""
    dark: Bools
    """(N,) True in frames without beam."""


def care_for(
    collected: Collected,
    settings: CareConfig,
    *,
    placed: Placed | None = None,
    conditions: TracesConfig | None = None,
) -> Care:
    """Cut the series into segments, judge frames, then pixels, then motion; leave out what cannot be used.

    Args:
        collected: counts of a scan's ROIs; bad frames and pixels are taken out of it.
        settings: which rules apply, and how strictly.
        placed: side traces on the frames.
        conditions: what they decide.

    Raises:
        InputError: fewer than two frames are left.
    """
    layout, valid = collected.store.layout, collected.valid.copy()
    totals = np.sum([roi.totals for roi in collected.store.rois], axis=0)
    found = find_segments(totals, collected.frame_time, present=valid, settings=settings)
    placed = placed or Placed(frames=len(totals), frame_time=collected.frame_time)
    timeline = lay_out(in_segments(found, len(totals)), totals, valid, placed, conditions or TracesConfig())
    verdict = judge_frames(
        collected.roi_means,
        np.array([roi.pixels for roi in collected.store.rois]),
        present=valid,
        saturated=collected.saturation.per_frame,
        left_out=timeline.left_out,
        frame_time=collected.frame_time,
        settings=settings,
    )
    # Those that were absent or listed as bad were known before.
    bad = {reason: frames for reason, frames in verdict.bad.items() if reason != "absent"}
    known = tuple(int(frame) for frame in np.flatnonzero(~valid))
    collected.leave_out(sorted(frame for frames in bad.values() for frame in frames))
    collected.leave_out_saturated()
    exclusions = Exclusions(
        frames=({"absent or listed": known} if known else {}) | bad,
        segments=with_temperatures(timeline.segments, placed.get(TEMPERATURE), collected.valid),
        notes=(*timeline.notes, *verdict.notes),
    )
    motion: list[MotionCheck] = []
    for index, roi in enumerate(collected.store.rois):
        if layout.listed or roi.rows.dtype.kind == "f":
            continue
        y, x = layout.positions(index)
        kept = np.flatnonzero(roi.kept)
        judged = judge_pixels(
            y[kept],
            x[kept],
            roi.image[kept],
            int(collected.valid.sum()),
            largest=_largest(roi)[kept],
            settings=settings,
        )
        roi.drop(kept[~judged.keep])
        exclusions = exclusions.with_pixels(judged, layout.where[layout.part(index)][kept], layout.names[index])
        if settings.applies("motion"):
            left = np.flatnonzero(roi.kept)
            blocks = _block_sums(roi, left, collected.valid, settings.blocks)
            motion.append(check_motion(blocks, y[left], x[left], frame_time=collected.frame_time, settings=settings))
    return Care(exclusions=exclusions, motion=tuple(motion), dark=timeline.left_out[NO_BEAM])


def _largest(roi: RoiRows) -> NDArray[np.int64]:
    """(P_roi,) largest count of each pixel."""
    largest = np.zeros(roi.rows.shape[1], dtype=np.int64)
    for start in range(0, len(roi.rows), _FRAMES):
        np.maximum(largest, roi.rows[start : start + _FRAMES].max(axis=0), out=largest)
    if roi.bright.columns.size:
        largest[roi.bright.columns] = roi.bright.values.max(axis=0)
    return largest


def _block_sums(roi: RoiRows, left: NDArray[np.int64], valid: NDArray[np.bool_], blocks: int) -> BlockSums:
    """Counts of the pixels that are left, added over blocks of frames."""
    adder = BlockAdder(valid, roi.rows.shape[1], blocks)
    for start in range(0, len(roi.rows), _FRAMES):
        part = slice(start, start + _FRAMES)
        rows = np.asarray(roi.rows[part])
        if roi.bright.columns.size:
            rows = rows.astype(np.uint32)
            rows[:, roi.bright.columns] = roi.bright.values[part]
        adder.add(start, rows)
    found = adder.finish()
    return BlockSums(sums=found.sums[:, left], frames=found.frames, centres=found.centres)
