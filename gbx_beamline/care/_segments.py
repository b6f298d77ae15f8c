"""Stretches without beam, and steps of intensity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter, uniform_filter1d

from gbx_beamline.config import CareConfig
from gbx_beamline.errors import InputError
from gbx_beamline.records import Bools, Segment

SHORTEST = 5
"""Frames of the running median: a stretch of three and more survives it, single bad frames do not."""

ENOUGH_COUNTS = 50.0
"""Photons to average over before a level can be told from a tenth of it: Poisson gives that less than 1e-13."""

ABRUPT = 3.0
"""Ratio of the levels on the two sides of a dump's edge. A sample that fades does so slowly."""

STEP_FRAMES = 10
"""Frames on each side of a step."""


def find_segments(
    totals: NDArray[np.floating],
    frame_time: float,
    *,
    present: Bools | None = None,
    settings: CareConfig | None = None,
) -> tuple[Segment, ...]:
    """Cut a series where the beam goes and comes back.

    There is no beam where the running level falls below ``dark_share`` of the typical one for three frames and more
    and at least one edge of that stretch is abrupt. Where frames hold few photons the level is a mean over so many
    frames that chance cannot do it, and edges are known to a third of that. No frame is moved: rows stay where they
    are in true time.

    Args:
        totals: (N,) photons in all ROIs, per frame; absent frames are ignored.
        frame_time: s.
        present: (N,) False for absent frames; None = all are there.
        settings: thresholds.

    Returns:
        Segments that cover the series, alternating in kind.

    Raises:
        InputError: an array that is not (N,), no frame at all or an impossible frame time.
    """
    settings = settings or CareConfig()
    totals, present = checked_trace(totals, present)
    if not (np.isfinite(frame_time) and frame_time > 0):
        raise InputError(f"frame_time {frame_time}", needed="a positive number of s", action="correct frame_time")
    index = np.flatnonzero(present)
    dark = np.zeros(len(index), dtype=bool)
    if settings.applies("no beam") and len(index) >= 2 * SHORTEST:
        dark = _dark(totals[index], settings.dark_share)
    cuts = np.flatnonzero(np.diff(dark)) + 1
    starts = [0, *index[cuts].tolist()]
    kinds = [bool(dark[cut]) for cut in (0, *cuts)] if len(index) else [False]
    return tuple(
        Segment(
            start=start,
            stop=stop,
            start_time=start * frame_time,
            stop_time=stop * frame_time,
            kind="no beam" if kind else "beam",
            reason="no beam" if kind else "",
        )
        for start, stop, kind in zip(starts, [*starts[1:], len(totals)], kinds, strict=True)
    )


def checked_trace(totals: NDArray[np.floating], present: Bools | None) -> tuple[NDArray[np.float64], Bools]:
    """A trace of counts and which of its frames can be judged.

    Raises:
        InputError: shapes that do not fit, or negative counts.
    """
    totals = np.asarray(totals, dtype=np.float64)
    there = np.ones(totals.shape, dtype=bool) if present is None else np.asarray(present, dtype=bool)
    if totals.ndim != 1 or totals.size == 0 or there.shape != totals.shape:
        raise InputError(
            f"a trace of shape {totals.shape} with presence of shape {there.shape}",
            needed="one number per frame in both",
            action="give (N,) arrays",
        )
    there = there & np.isfinite(totals)
    if (totals[there] < 0).any():
        raise InputError(
            f"negative counts in frame {np.flatnonzero(there & (totals < 0))[0]}",
            needed="counts of 0 or more",
            action="mask the pixels that mark gaps by negative values",
        )
    return totals, there


def in_segments(segments: tuple[Segment, ...], count: int) -> Bools:
    """(N,) True where there is no beam."""
    dark = np.zeros(count, dtype=bool)
    for part in segments:
        if part.kind == "no beam":
            dark[part.start : part.stop] = True
    return dark


def step_notes(
    totals: NDArray[np.float64], beam: NDArray[np.int64], frame_time: float | None, settings: CareConfig
) -> tuple[str, ...]:
    """Lasting steps of intensity in words; nothing is left out for them.

    Args:
        totals: (N,) photons per frame.
        beam: frames with beam, in order.
        frame_time: s; None = unknown, and frames are named instead of times.
        settings: ``step``.
    """
    values = totals[beam]
    if len(values) < 4 * STEP_FRAMES or np.median(values) < ENOUGH_COUNTS:
        return ()
    centre = np.arange(STEP_FRAMES, len(values) - STEP_FRAMES + 1)
    windows = np.lib.stride_tricks.sliding_window_view(values, STEP_FRAMES)
    level = np.log(np.maximum(np.median(windows, axis=1), 1.0))
    change = level[STEP_FRAMES:] - level[: len(level) - STEP_FRAMES]
    means = windows.mean(axis=1)
    rise = means[STEP_FRAMES:] - means[: len(means) - STEP_FRAMES]
    spread = 1.4826 * float(np.median(np.abs(change - np.median(change))))
    size = np.abs(change)
    notes: list[str] = []
    while (best := int(np.argmax(size))) is not None and size[best] > max(np.log1p(settings.step), 8.0 * spread):
        if len(notes) == 5:
            notes.append("more steps of intensity")
            break
        # Medians stay on a plateau around a step; means peak at it.
        near = np.arange(max(0, best - 3), min(len(rise), best + 4))
        share = np.expm1(change[best])
        best = int(near[np.argmax(np.abs(rise[near]))])
        frame = int(beam[centre[best]])
        when = f"frame {frame}" if frame_time is None else f"{frame * frame_time:.4g} s (frame {frame})"
        notes.append(
            f"intensity {'rises' if share > 0 else 'falls'} by {abs(share):.0%} at {when}: attenuator, refill or "
            "sample; kept"
        )
        size[max(0, best - 2 * STEP_FRAMES) : best + 2 * STEP_FRAMES] = 0.0
    return tuple(notes)


def _dark(values: NDArray[np.float64], share: float) -> Bools:
    """Frames without beam among those that are present."""
    rough = float(values[values >= np.median(values)].mean())
    if rough <= 0:
        return np.zeros(len(values), dtype=bool)
    width = SHORTEST if rough >= ENOUGH_COUNTS else int(np.ceil(ENOUGH_COUNTS / rough)) | 1
    if width > len(values) // 4 and width > SHORTEST:
        return np.zeros(len(values), dtype=bool)
    smooth = median_filter(values, width) if width == SHORTEST else uniform_filter1d(values, width)
    top = float(np.percentile(smooth, 90))
    typical = float(np.median(smooth[smooth > 0.3 * top])) if top > 0 else 0.0
    dark = smooth < share * typical
    # A moving mean falls below the share only when the window is nearly inside: give back what it lost.
    grow = 0 if width == SHORTEST else round((0.5 - share) * width)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], dark, [False]]).astype(np.int8)))
    dark[:] = False
    for start, stop in edges.reshape(-1, 2):
        if _abrupt(smooth, start, stop, width):
            dark[max(0, start - grow) if start else 0 : stop + grow] = True
    return dark


def _abrupt(smooth: NDArray[np.float64], start: int, stop: int, width: int) -> bool:
    inside = max(float(np.median(smooth[start:stop])), 1e-9)
    before = smooth[max(0, start - 2 * width) : max(0, start - width // 2)]
    after = smooth[stop + width // 2 : stop + 2 * width]
    near = [smooth[start : start + width], smooth[max(start, stop - width) : stop]]
    return any(
        outside.size > 0 and float(np.median(outside)) > ABRUPT * max(inside, float(np.median(edge)))
        for outside, edge in zip((before, after), near, strict=True)
    )
