"""Which frames of a series cannot be used."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter, uniform_filter1d
from scipy.stats import nbinom

from gbx_beamline.care._segments import checked_trace, in_segments, step_notes
from gbx_beamline.config import CareConfig
from gbx_beamline.errors import InputError
from gbx_beamline.records import Bools, FrameVerdict, Segment

FEWEST = 8
"""Frames below which there is no typical intensity to compare with."""

FEW_COUNTS = 20.0
"""Photons per frame below which a median of counts is too coarse, and a clipped mean is taken."""


def judge_frames(
    roi_means: NDArray[np.floating],
    pixels: NDArray[np.integer],
    *,
    present: Bools | None = None,
    saturated: NDArray[np.integer] | None = None,
    segments: tuple[Segment, ...] = (),
    left_out: Mapping[str, Bools] | None = None,
    frame_time: float | None = None,
    settings: CareConfig | None = None,
) -> FrameVerdict:
    """Find frames that are absent, without beam, saturated, empty or far off in intensity.

    The photons of all ROIs together are compared with their running median. A frame is an outlier where it deviates
    by more than ``outlier_floor``, by more than ``outlier_sigmas`` robust standard deviations, and further than
    photon and speckle statistics explain: a negative binomial law (Mandel; Goodman, Speckle Phenomena in Optics,
    2007) whose modes follow from the measured scatter. So neither slow drift, oscillating flux, an empty frame at
    low counts nor a ROI of a few speckles is one. A frame of one reason is not named for another.

    One verdict holds for all ROIs: a frame that is off in one ROI alone is noted and kept, because there it may be
    the sample.

    Args:
        roi_means: (Q, N) photons per pixel; values of absent frames are ignored.
        pixels: (Q,) pixels of each ROI.
        present: (N,) False for absent frames; None = all are there.
        saturated: (N,) ROI pixels at the largest value of the frames' type; None = none.
        segments: from ``find_segments``: frames without beam.
        left_out: (N,) frames that are not to be used for other reasons, by reason.
        frame_time: s, for the words of the notes.
        settings: thresholds.

    Returns:
        FrameVerdict.

    Raises:
        InputError: shapes that do not fit or negative counts.
    """
    settings = settings or CareConfig()
    means, pixels = np.asarray(roi_means, dtype=np.float64), np.asarray(pixels)
    if means.ndim != 2 or pixels.shape != means.shape[:1] or pixels.size == 0:
        raise InputError(
            f"ROI means of shape {means.shape} for pixels of shape {pixels.shape}",
            needed="means (Q, N) and pixels (Q,)",
            action="give one row and one number of pixels per ROI",
        )
    photons = means * pixels[:, None]
    totals, there = checked_trace(photons.sum(axis=0), present)
    dark = in_segments(segments, len(totals)) & settings.applies("no beam")
    reasons = {"no beam": dark} | dict(left_out or {})
    bad = _known_bad(totals, there, pixels, saturated, reasons, settings)
    left = there.copy()
    for frames in bad.values():
        left[list(frames)] = False
    index = np.flatnonzero(left)
    found = index[_outliers(totals[index], settings)]
    empty = found[totals[found] == 0]
    bad["empty"] = empty.tolist() if settings.applies("empty") else []
    off = found[totals[found] > 0] if settings.applies("intensity outlier") else found[:0]
    bad["intensity outlier"] = off.tolist()
    kept = np.setdiff1d(index, found)
    notes = list(step_notes(totals, kept, frame_time, settings))
    if len(photons) > 1 and settings.applies("intensity outlier"):
        for roi, trace in enumerate(photons, start=1):
            alone = kept[_outliers(trace[kept], settings)]
            if alone.size:
                notes.append(f"ROI {roi} alone is off in intensity in {_listed(alone)}; kept")
    if len(off) > 0.1 * max(1, len(index)):
        notes.append(f"{len(off)} of {len(index)} frames are intensity outliers: check the beam")
    return FrameVerdict(
        bad={reason: tuple(int(frame) for frame in frames) for reason, frames in bad.items() if len(frames)},
        notes=tuple(notes),
    )


def _known_bad(
    totals: NDArray[np.float64],
    there: Bools,
    pixels: NDArray[np.integer],
    saturated: NDArray[np.integer] | None,
    reasons: Mapping[str, Bools],
    settings: CareConfig,
) -> dict[str, list[int]]:
    """Frames that need no comparison with others."""
    left = there.copy()
    masks: dict[str, Bools] = {"absent": ~there}
    for reason, frames in reasons.items():
        masks[reason] = frames & left
        left = left & ~frames
    full = np.zeros(len(totals), dtype=bool)
    if saturated is not None:
        saturated = np.asarray(saturated)
        if saturated.shape != totals.shape:
            raise InputError(
                f"saturated pixels of shape {saturated.shape} for {len(totals)} frames",
                needed="one number per frame",
                action="give (N,)",
            )
        full = (saturated > settings.saturated_share * pixels.sum()) & left
    masks["saturated"] = full & settings.applies("saturated")
    return {reason: np.flatnonzero(mask).tolist() for reason, mask in masks.items()}


def _outliers(values: NDArray[np.float64], settings: CareConfig) -> Bools:
    """(n,) True where a frame's photons are no chance."""
    if len(values) < FEWEST or not values.any():
        return np.zeros(len(values), dtype=bool)
    level = _level(values, min(settings.window, len(values) | 1))
    relative = values / level - 1.0
    spread = 1.4826 * float(np.median(np.abs(relative - np.median(relative))))
    # What the scatter holds beyond photon noise are speckles and flux: modes of a negative binomial law.
    modes = 1.0 / max(spread**2 - float(np.mean(1.0 / level)), 1e-4)
    rare = np.zeros(len(values), dtype=bool)
    far = np.abs(relative) > max(settings.outlier_floor, settings.outlier_sigmas * spread)
    # Nothing falls six of its standard deviations where one is a third: below the level the law alone decides.
    far |= (relative < -0.5) & (spread > 0.5 / settings.outlier_sigmas)
    chosen = np.flatnonzero(far)
    success = modes / (modes + level[chosen])
    high = nbinom.sf(np.ceil(values[chosen]) - 1, modes, success)
    low = nbinom.cdf(np.floor(values[chosen]), modes, success)
    rare[chosen] = np.minimum(high, low) < settings.chance
    return rare


def _level(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """(n,) running level, never 0."""
    level = median_filter(values, window, mode="reflect")
    clip = level + 3.0 * np.sqrt(level + 1.0)
    mean = uniform_filter1d(np.minimum(values, clip), window, mode="reflect")
    # The whole series lends a tenth, so that a level cannot vanish by chance.
    mean = 0.9 * mean + 0.1 * float(np.minimum(values, clip).mean())
    return np.maximum(np.where(level < FEW_COUNTS, mean, level), 1e-12)


def _listed(frames: NDArray[np.int64]) -> str:
    first = ", ".join(str(frame) for frame in frames[:5])
    more = f" and {len(frames) - 5} more" if len(frames) > 5 else ""
    return f"frame{'s' if len(frames) > 1 else ''} {first}{more}"
