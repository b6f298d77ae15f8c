"""The reflected beam on the detector: where its spot lies, block by block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.care._blocks import BlockAdder, BlockSums
from gbx_beamline.config import BeamBoxConfig
from gbx_beamline.frames import Series
from gbx_beamline.frames.picking import pick
from gbx_beamline.records import BeamCheck, Bools

FEWEST_COUNTS = 100.0
"""In a block, above the background: fewer leave the centre of the spot to chance."""

SPOT_SIGMAS = 6.0
"""Standard deviations by which the box must be brighter than its edge: without a spot its centre means nothing."""


def follow_beam(series: Series, box: BeamBoxConfig, valid: Bools, *, blocks: int) -> BeamCheck:
    """Centre of intensity of the spot in a small box, block by block.

    The background is the median of the pixels along the box's edge. Errors are those of counting, or the scatter from
    block to block where that is larger: jitter is no motion of the set-up.

    Args:
        series: frames, with the detector's own mask; the analysis' mask usually covers the beam.
        box: rows and columns.
        valid: (N,) frames that count.
        blocks: at most so many, as in the motion check.

    Returns:
        BeamCheck; where the spot cannot be followed, ``status`` says why.

    Raises:
        GbxError: as reading the frames.
    """
    rows, columns = slice(*box.rows), slice(*box.columns)
    height, width = series.shape[1:]
    if rows.stop > height or columns.stop > width:
        return _unmeasured(
            f"the box for the beam ends at ({rows.stop}, {columns.stop}), the detector has {height} x {width}"
        )
    if series.dtype.kind == "f":
        return _unmeasured("frames without photon counts")
    inside = np.zeros((height, width), dtype=bool)
    inside[rows, columns] = True
    good = np.flatnonzero(inside & series.mask)
    if good.size < 0.5 * inside.sum():
        return _unmeasured(f"{inside.sum() - good.size} of {inside.sum()} pixels of the box for the beam are masked")
    sums = _collect(series, good, valid, blocks)
    if isinstance(sums, str):
        return _unmeasured(sums)
    y, x = np.divmod(good, width)
    edge = (y == rows.start) | (y == rows.stop - 1) | (x == columns.start) | (x == columns.stop - 1)
    return _followed(sums, y, x, edge, series.frame_time)


def _collect(series: Series, where: NDArray[np.int64], valid: Bools, blocks: int) -> BlockSums | str:
    """Counts of the box by blocks; words where it saturates."""
    adder = BlockAdder(valid, where.size, blocks)
    full = np.iinfo(series.dtype).max if series.dtype.kind == "u" else None
    for block in pick(series, where, skip=~valid):
        counts = block.rows.astype(np.int64)
        if block.excess_count.size:
            if full is not None and (block.excess_count == full).any():
                return "the beam saturates the detector in the box"
            counts[block.excess_frame - block.start, block.excess_pixel] = block.excess_count
        adder.add(block.start, counts)
    return adder.finish()


def _followed(
    blocks: BlockSums, y: NDArray[np.int64], x: NDArray[np.int64], edge: Bools, frame_time: float
) -> BeamCheck:
    per_frame = blocks.sums / np.maximum(blocks.frames, 1)[:, None]
    background = np.median(per_frame[:, edge], axis=1, keepdims=True) if edge.any() else np.zeros((len(per_frame), 1))
    above = per_frame - background
    total = above.sum(axis=1)
    counted = blocks.sums.sum(axis=1)
    noise = np.sqrt(np.maximum(counted, 1.0)) / np.maximum(blocks.frames, 1)
    times = blocks.centres * frame_time
    intensity = per_frame.sum(axis=1)
    if not len(total) or (total * blocks.frames < FEWEST_COUNTS).any() or (total < SPOT_SIGMAS * noise).any():
        return _unmeasured("no spot in the box for the beam, or too few counts", times, intensity)
    place = np.column_stack([y, x]).astype(np.float64)
    centroid = above @ place / total[:, None]
    off = place[None] - centroid[:, None]
    variance = np.einsum("bp,bpk->bk", blocks.sums, off**2) / (total * blocks.frames)[:, None] ** 2
    counting = np.sqrt(variance.max(axis=1))
    scatter = 0.0
    if len(centroid) > 3:
        steps = np.abs(np.diff(centroid, axis=0))
        scatter = float(1.4826 * np.median(steps, axis=0).max() / np.sqrt(2.0))
    return BeamCheck(
        times=times,
        intensity=intensity,
        centroid=centroid,
        centroid_error=np.maximum(counting, scatter),
        status="ok",
    )


def _unmeasured(
    why: str, times: NDArray[np.float64] | None = None, intensity: NDArray[np.float64] | None = None
) -> BeamCheck:
    nothing = np.empty(0)
    times, intensity = (nothing if one is None else one for one in (times, intensity))
    return BeamCheck(
        times=times,
        intensity=intensity,
        centroid=np.full((len(times), 2), np.nan),
        centroid_error=np.full(len(times), np.nan),
        status=why,
    )
