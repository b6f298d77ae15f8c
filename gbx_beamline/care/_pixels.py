"""Which pixels of a ROI cannot be used: too bright, bursting, dead, or behind a beam stop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label
from scipy.spatial import cKDTree
from scipy.stats import poisson

from gbx_beamline.config import CareConfig
from gbx_beamline.correlation._static import smoothed
from gbx_beamline.errors import InputError
from gbx_beamline.records import Bools, PixelVerdict

FEWEST = 25
"""Pixels below which there is no local level to compare with."""

DARK = 0.02
"""Of the ROI's typical counts: what a beam stop lets through at most."""

BORDER = 2
"""Pixels around a dark region that tell what it should read."""

BORDER_RATIO = 10.0
"""How many times a region's counts its border must have: a profile that fades out has no such edge."""

LARGEST_DEFECT = 4
"""Connected pixels that a defect of the sensor may have; what is larger is light."""

_EIGHT = np.ones((3, 3), dtype=bool)


def judge_pixels(
    y: NDArray[np.integer],
    x: NDArray[np.integer],
    totals: NDArray[np.integer] | NDArray[np.floating],
    frames: int,
    *,
    largest: NDArray[np.integer] | None = None,
    peak: float = 1.0,
    settings: CareConfig | None = None,
) -> PixelVerdict:
    """Find pixels that read what neither speckles nor photon noise can.

    The time average of a static sample is itself a speckle pattern, so a pixel several times brighter than its
    surroundings is normal. With v the measured variance of the average over its squared local level, the brightest
    tail that speckles of this variance can have is ``1 - sqrt(v) + sqrt(v) Exp(1)`` (one mode that stays under many
    that move; fully developed static speckle at v = 1). "hot" is what exceeds its quantile and the Poisson noise on
    top so that ``false_pixels`` good pixels per ROI do. "burst" is the same for the largest count in any one frame,
    v then being 1 at most. "dead" is a pixel without any photon where a gamma law of variance v makes that as
    unlikely, "beam stop" a connected region of dark pixels within bright ones. Hot pixels that are too many are
    structure of the image; they are noted and kept.

    Args:
        y: (P,) row of each pixel.
        x: (P,) column.
        totals: (P,) counts added over the valid frames.
        frames: how many those were.
        largest: (P,) largest count of each pixel in any valid frame; None = bursts are not looked for.
        peak: largest over mean intensity of the valid frames, for the bursts.
        settings: thresholds.

    Returns:
        PixelVerdict.

    Raises:
        InputError: shapes that do not fit, negative counts, or no frame.
    """
    settings = settings or CareConfig()
    y, x, totals = np.asarray(y, np.int64), np.asarray(x, np.int64), np.asarray(totals, np.float64)
    _refuse(y, x, totals, frames, largest)
    count = len(totals)
    bad: dict[str, NDArray[np.int64]] = {}
    if count < FEWEST or totals.sum() <= 0:
        note = f"{count} pixels" if count < FEWEST else "no photon"
        return PixelVerdict(
            keep=np.ones(count, dtype=bool), bad={}, contrast=np.nan, notes=(f"pixels not judged: {note}",)
        )
    left = np.ones(count, dtype=bool)
    if settings.applies("beam stop"):
        bad["beam stop"] = _beam_stops(y, x, totals, settings)
        left[bad["beam stop"]] = False
    level, variance, hot, notes = _hot(y, x, totals, left, settings)
    if settings.applies("burst") and largest is not None:
        burst = _bursts(np.asarray(largest), level / frames * max(1.0, peak), left, frames, settings)
        burst &= ~_in_spots(y, x, burst)
        # A hot pixel is bright in other frames too.
        burst &= totals - largest <= _brightest(level, variance, settings.false_pixels / count)
        bad["burst"] = np.flatnonzero(burst)
        left[burst] = False
    bad["hot"] = hot[left[hot]] if settings.applies("hot") else hot[:0]
    left[bad["hot"]] = False
    if settings.applies("dead"):
        modes = 1.0 / max(variance, 1e-6)
        with np.errstate(under="ignore"):
            nothing = (1.0 + np.maximum(level, 0.0) / modes) ** -modes
        bad["dead"] = np.flatnonzero(
            left & (totals == 0) & (level >= settings.dead_counts) & (nothing < settings.false_pixels / count)
        )
    keep = np.ones(count, dtype=bool)
    for pixels in bad.values():
        keep[pixels] = False
    return PixelVerdict(
        keep=keep, bad={reason: p for reason, p in bad.items() if p.size}, contrast=variance, notes=notes
    )


def _refuse(
    y: NDArray[np.int64],
    x: NDArray[np.int64],
    totals: NDArray[np.float64],
    frames: int,
    largest: NDArray[np.integer] | None,
) -> None:
    shapes = {y.shape, x.shape, totals.shape, totals.shape if largest is None else np.shape(largest)}
    if len(shapes) != 1 or totals.ndim != 1:
        raise InputError(
            f"positions and counts of shapes {', '.join(str(shape) for shape in sorted(shapes))}",
            needed="one row, column and count per pixel",
            action="give (P,) arrays of one ROI",
        )
    if frames < 1 or not np.isfinite(totals).all() or (totals < 0).any():
        raise InputError(
            f"{frames} frames and totals from {totals.min(initial=0.0):g} to {totals.max(initial=0.0):g}",
            needed="at least one frame and finite counts of 0 or more",
            action="leave out bad frames and mask the pixels that mark gaps",
        )


def _hot(
    y: NDArray[np.int64], x: NDArray[np.int64], totals: NDArray[np.float64], left: Bools, settings: CareConfig
) -> tuple[NDArray[np.float64], float, NDArray[np.int64], tuple[str, ...]]:
    """(P,) local level, variance of the average, hot pixels, and what to say of them."""
    count = len(totals)
    chance = settings.false_pixels / count
    level = np.full(count, float(totals[left].mean()) if left.any() else 0.0)
    hot = np.zeros(count, dtype=bool)
    variance = 1.0
    for _ in range(6):
        use = left & ~hot
        # Pixels not yet found lift the level around them: none counts for more than speckles of full contrast may.
        usual = float(np.mean(np.minimum(totals[use], np.percentile(totals[use], 99))))
        cap = max(1.0, (1.0 + np.log(1.0 / chance)) * usual)
        level[use] = smoothed(y[use], x[use], np.minimum(totals[use], cap))
        if not use.all():
            # A pixel left out takes the mean of its surroundings.
            level[~use] = _beside(y, x, level, use)
        level = np.maximum(level, max(1e-12, 1e-3 * float(level[use].mean())))
        ratio = totals[use] / level[use]
        variance = float(np.clip(np.mean((ratio - 1.0) ** 2) - np.mean(1.0 / level[use]), 0.0, 1.0))
        found = left & (totals > _brightest(level, variance, chance))
        if (found == hot).all():
            break
        hot = found
    spots = _in_spots(y, x, hot)
    index = np.flatnonzero(hot & ~spots)
    notes: list[str] = []
    if spots.any():
        notes.append(f"{spots.sum()} pixels in spots brighter than speckles: Bragg or parasitic light; kept")
    if index.size > max(1.0, settings.most_hot * left.sum()):
        notes.append(f"{index.size} pixels brighter than speckles: structure of the image; kept")
        index = index[:0]
    return level, variance, index, tuple(notes)


def _in_spots(y: NDArray[np.int64], x: NDArray[np.int64], chosen: Bools) -> Bools:
    """(P,) True for chosen pixels that hang together in regions larger than a defect of the sensor."""
    out = np.zeros(len(y), dtype=bool)
    if chosen.sum() > LARGEST_DEFECT:
        image = np.zeros((int(np.ptp(y)) + 1, int(np.ptp(x)) + 1), dtype=bool)
        row, column = y[chosen] - y.min(), x[chosen] - x.min()
        image[row, column] = True
        regions = np.asarray(label(image, structure=_EIGHT)[0])[row, column]
        out[chosen] = np.bincount(regions)[regions] > LARGEST_DEFECT
    return out


def _brightest(level: NDArray[np.float64], variance: float, chance: float) -> NDArray[np.float64]:
    """(P,) counts that speckles and photons exceed with probability ``chance``."""
    spread = np.sqrt(variance)
    highest = 1.0 + spread * max(0.0, np.log(2.0 / chance) - 1.0)
    # Levels within a percent share one quantile, that of the highest: it is dear to compute and rises with the level.
    step = np.ceil(100.0 * np.log(np.maximum(highest * level, 1e-6)))
    steps, place = np.unique(step, return_inverse=True)
    return np.asarray(poisson.isf(0.5 * chance, np.exp(steps / 100.0)), dtype=np.float64)[place]


def _bursts(
    largest: NDArray[np.integer], level: NDArray[np.float64], left: Bools, frames: int, settings: CareConfig
) -> Bools:
    """(P,) True where one frame read more than fully developed speckles and photons can."""
    found = left & (largest > _brightest(level, 1.0, settings.false_pixels / (len(level) * frames)))
    return found if found.sum() <= max(1.0, settings.most_hot * len(level)) else np.zeros_like(found)


def _beside(y: NDArray[np.int64], x: NDArray[np.int64], level: NDArray[np.float64], use: Bools) -> NDArray[np.float64]:
    """Level of the nearest pixel in use, for those that are not."""
    _, nearest = cKDTree(np.column_stack([y[use], x[use]])).query(np.column_stack([y[~use], x[~use]]))
    return level[use][nearest]


def _beam_stops(
    y: NDArray[np.int64], x: NDArray[np.int64], totals: NDArray[np.float64], settings: CareConfig
) -> NDArray[np.int64]:
    """Pixels in connected dark regions whose border is bright."""
    # A stop that hides half of a ROI is no stop in a ROI: without light in most pixels nothing can be said.
    typical = float(np.median(totals))
    dark = totals <= DARK * typical
    if typical <= 0 or dark.sum() < settings.dark_region:
        return np.zeros(0, dtype=np.int64)
    row, column = y - y.min() + BORDER, x - x.min() + BORDER
    shape = (int(row.max()) + 1 + BORDER, int(column.max()) + 1 + BORDER)
    image = np.zeros(shape, dtype=bool)
    image[row[dark], column[dark]] = True
    regions = np.asarray(label(image, structure=_EIGHT)[0])
    values = np.full(shape, np.nan)
    values[row, column] = totals
    of_pixel = np.where(dark, regions[row, column], 0)
    sizes = np.bincount(of_pixel)
    found = np.zeros(len(totals), dtype=bool)
    for region in np.flatnonzero(sizes[1:] >= settings.dark_region) + 1:
        inside = of_pixel == region
        low = [max(0, int(part[inside].min()) - BORDER) for part in (row, column)]
        high = [int(part[inside].max()) + BORDER + 1 for part in (row, column)]
        box = (slice(low[0], high[0]), slice(low[1], high[1]))
        here = regions[box] == region
        ring = binary_dilation(here, _EIGHT, iterations=BORDER) & ~here
        border = values[box][ring]
        border = border[np.isfinite(border)]
        if border.size < BORDER:
            continue
        predicted = float(np.mean(border))
        if predicted >= settings.dead_counts and predicted > BORDER_RATIO * float(totals[inside].mean()):
            found |= inside
    return np.flatnonzero(found)
