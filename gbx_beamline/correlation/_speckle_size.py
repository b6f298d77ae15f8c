"""How wide the speckles are, from the counts of a q-ROI."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._static import smoothed

LONGEST = 32
"""Pixels: widest half width looked for."""

SIGNIFICANCE = 4.0
"""Standard deviations that the covariance of nearest neighbours must exceed to be believed."""

FOLLOWING = 2.0
"""The same for wider distances, once the nearest neighbours are believed."""

SAMPLES = 2**18
"""Counts looked at first; all of them only where these do not tell."""

FEWEST_FRAMES = 8

ASSUMED = 2.0
"""Pixels, where nothing can be measured."""


def speckle_size(frames: NDArray[Any], y: NDArray[np.int64], x: NDArray[np.int64]) -> float:
    """Full width at half maximum of the speckle, along the axis on which it is wider.

    The intensity's spatial covariance ``<dI(p) dI(p + r)>`` is averaged over frames, dI being the deviation from
    the pixel's time average, relative to the frame's mean. The value at r = 0 holds shot noise and is not used: it
    is extrapolated from the nearest neighbours as that of a Gaussian, ``c(0) = c(1, 0) c(0, 1) / c(1, 1)``. The width
    is twice the distance at which c falls to half of it. A sample that does not move has no deviation from its time
    average; then the time average itself is taken, minus its smooth profile.

    Args:
        frames: (F, P) counts, of single frames or of sums of neighbouring frames; frames without a count are skipped.
        y: (P,) row of each pixel.
        x: (P,) column.

    Returns:
        Pixels, at most twice what the ROI spans or ``2 * LONGEST``; NaN where photon noise hides the speckles.
    """
    lit = np.flatnonzero(frames.any(axis=1))
    if lit.size < 1 or frames.shape[1] < 2:
        return float("nan")
    some = max(FEWEST_FRAMES, SAMPLES // frames.shape[1])
    grid = _Grid(y, x)
    for count in (some, 16 * some):
        chosen = lit[np.unique(np.linspace(0, lit.size - 1, min(count, lit.size)).round().astype(int))]
        last = count >= lit.size or count > some
        values = frames[chosen].astype(np.float32)
        values /= values.mean(axis=1, keepdims=True)
        mean = values.mean(axis=0)
        if lit.size > 1:
            width = _width(values - mean, grid, guess=last)
            if np.isfinite(width):
                return width
        still = mean.astype(np.float64)
        width = _width((still - smoothed(y, x, still)).astype(np.float32)[None], grid, guess=last)
        if np.isfinite(width) or last:
            return width
    return float("nan")


class _Grid:
    """Which pixels have a neighbour at a given distance."""

    def __init__(self, y: NDArray[np.int64], x: NDArray[np.int64]) -> None:
        self._y, self._x = y - y.min(), x - x.min()
        self.extent = int(self._y.max()), int(self._x.max())
        # One empty row and column on every side beyond the last: a neighbour outside reads -1.
        self._index = np.full((self.extent[0] + LONGEST + 1, self.extent[1] + 2 * LONGEST + 1), -1, dtype=np.int32)
        self._index[self._y, self._x + LONGEST] = np.arange(len(y), dtype=np.int32)

    def at(self, step: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Pixels, and their neighbours so many rows below and columns to the right (may be negative)."""
        down, across = step
        partner = self._index[self._y + down, self._x + LONGEST + across]
        here = np.flatnonzero(partner >= 0)
        return here, partner[here]


def _width(deviation: NDArray[np.float32], grid: _Grid, *, guess: bool) -> float:
    """Full width at half maximum, NaN where noise hides it.

    Args:
        deviation: (F, P) from the mean.
        grid: neighbours.
        guess: where noise hides all but the nearest neighbours, take the width that this alone suggests.
    """
    along = {0: (1, 0), 1: (0, 1)}

    def covariance(*steps: tuple[int, int]) -> float:
        """Mean over pairs of pixels at these distances; NaN where noise hides it."""
        each = [np.einsum("fp,fp->p", deviation[:, here], deviation[:, there]) for here, there in map(grid.at, steps)]
        values = np.concatenate(each).astype(np.float64)
        # The scatter between pairs of pixels, not between frames: speckles that last are not seen anew in each frame.
        noise = np.sqrt((values**2).sum())
        total = values.sum()
        least = SIGNIFICANCE if steps[0] in along.values() else FOLLOWING
        return float(total) / (values.size * len(deviation)) if total > least * noise else float("nan")

    axes = [axis for axis in along if grid.extent[axis] > 0]
    first = {axis: covariance(along[axis]) for axis in axes}
    if not any(np.isfinite(value) for value in first.values()):
        return float("nan")
    top = _top(first, covariance)
    if np.isnan(top):
        if not guess:
            return float("nan")
        # The next neighbours are hidden, so the nearest lie near the half: a speckle of about two pixels.
        top = 2.0 * max(value for value in first.values() if np.isfinite(value))
    widths: list[float] = []
    for axis in axes:
        before = (0.0, top)
        for lag in range(1, min(LONGEST, grid.extent[axis]) + 1):
            step = (lag, 0) if axis == 0 else (0, lag)
            value = first[axis] if lag == 1 else covariance(step)
            here = (float(lag), value if np.isfinite(value) else 0.0)
            if here[1] < 0.5 * top:
                widths.append(2.0 * _half(before, here, 0.5 * top))
                break
            before = here
        else:
            widths.append(2.0 * before[0])
    return max(widths)


def _top(first: dict[int, float], covariance: Any) -> float:
    """Covariance at distance 0 without shot noise; NaN where noise hides all but one neighbour."""
    known = [value for value in first.values() if np.isfinite(value)]
    if len(known) == 2:
        diagonal = covariance((1, 1), (1, -1))
        if np.isfinite(diagonal):
            return max(known[0] * known[1] / diagonal, *known)
    # Along one line only: ln c falls with the square of the distance, c(0) = c(1)^(4/3) / c(2)^(1/3).
    axis = max(first, key=lambda a: first[a] if np.isfinite(first[a]) else -1.0)
    second = covariance((2, 0) if axis == 0 else (0, 2))
    if np.isfinite(second):
        return max(first[axis] ** (4 / 3) / second ** (1 / 3), first[axis])
    return float("nan")


def _half(before: tuple[float, float], after: tuple[float, float], half: float) -> float:
    """Distance at which a covariance reaches half its top between two known distances: linear in r^2 and ln c."""
    (r1, c1), (r2, c2) = before, after
    if c2 <= 0.0:
        return r1 + (r2 - r1) * (c1 - half) / (c1 - c2)
    share = np.log(c1 / half) / np.log(c1 / c2)
    return float(np.sqrt(r1**2 + share * (r2**2 - r1**2)))
