"""A map made ready for the screen: area means of what is in view, as indices into 256 colours; and cuts through it.

Means are made here, in a thread, and not by the screen: a reduced image of 600 cells draws in a millisecond, and noise
is averaged instead of picked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.figures.reduction import LAGS_PER_DECADE, cells, correlation_limits, drift_limit
from gbx_beamline.records import Floats
from gbx_viewer.model.scan import TimeMap

MOST_CELLS = 640
"""Along a side of what is drawn."""

NO_VALUE = 255
"""Index of the colour of cells without a value; values take 0 to 254."""

Limits = tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Tile:
    """Part of a map as it is drawn."""

    image: NDArray[np.uint8]
    """(n1, n2) indexed [t1, t2]: indices of colours."""
    start: tuple[float, float]
    """s of its first edges along t1 and t2."""
    span: tuple[float, float]
    """s along t1 and t2."""
    limits: Limits
    """Values of the colours 0 and 254."""
    frames_per_cell: int
    empty: bool
    """True where nothing in view has a value."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """Values along a line through a map."""

    along: Floats
    """s: lag, or age."""
    values: Floats
    """g2 (or drift); finite."""


def auto_limits(shown: TimeMap) -> Limits:
    """Colour limits by percentiles off the diagonal, as the reports have them; gaps and hot cells do not count."""
    small, _ = cells(shown.values, 256)
    if shown.kind == "drift":
        limit = drift_limit(small, shown.contrast)
        return -limit, limit
    return correlation_limits([small], shown.contrast) or (1.0, 1.1)


def tile(
    shown: TimeMap,
    limits: Limits | None = None,
    *,
    t1: tuple[float, float] | None = None,
    t2: tuple[float, float] | None = None,
    most: int = MOST_CELLS,
) -> Tile:
    """What is drawn of a map.

    Args:
        shown: The map.
        limits: Values of the first and the last colour; None = ``auto_limits``.
        t1, t2: s, from and to; None = all.
        most: Cells along a side.
    """
    first, last = _range(shown, t1)
    low, high = _range(shown, t2)
    reduced, width = cells(shown.values[first:last, low:high], most)
    bottom, top = limits or auto_limits(shown)
    known = np.isfinite(reduced)
    scaled = np.where(known, (reduced - bottom) * (254.0 / max(top - bottom, 1e-30)), 0.0)
    image = np.clip(scaled, 0.0, 254.0).astype(np.uint8)
    image[~known] = NO_VALUE
    return Tile(
        image=image,
        start=(first * shown.cell, low * shown.cell),
        span=(len(image) * width * shown.cell, image.shape[1] * width * shown.cell),
        limits=(bottom, top),
        frames_per_cell=width * shown.frames_per_cell,
        empty=not known.any(),
    )


def value_at(shown: TimeMap, t1: float, t2: float) -> float:
    """The map's value at two times in s; NaN outside."""
    i, j = (math.floor(t / shown.cell) for t in (t1, t2))
    inside = 0 <= i < len(shown.values) and 0 <= j < len(shown.values)
    return float(shown.values[i, j]) if inside else math.nan


def lag_cut(shown: TimeMap, age: float, *, band: float = 0.02) -> Cut:
    """Values over the lag for pairs that begin at an age (t1), averaged over ages near it and over log-spaced lags.

    Args:
        shown: The map.
        age: t1 in s from the first frame.
        band: Share of the window that is averaged over in age.
    """
    size = len(shown.values)
    start, stop = _band(age / shown.cell, band * size, size)
    rows = shown.values[start:stop].astype(np.float64)
    lag = np.arange(size)[None, :] - np.arange(start, stop)[:, None]
    # Lags that only the first rows reach would mix ages.
    used = np.isfinite(rows) & (lag >= 1) & (lag <= size - stop)
    count = max(2, math.ceil(LAGS_PER_DECADE * math.log10(max(size, 2))) + 1)
    edges = np.unique(np.round(np.geomspace(1, size, count))) - 0.5
    return _means(lag[used] * shown.cell, rows[used], np.digitize(lag[used], edges))


def age_cut(shown: TimeMap, lag: float, *, most: int = 200) -> Cut:
    """Values over the age (t1) of pairs that are a lag apart.

    Args:
        shown: The map.
        lag: t2 - t1 in s, of either sign: the map is symmetric.
        most: Points; neighbours are averaged.
    """
    offset = min(max(1, round(abs(lag) / shown.cell)), len(shown.values) - 1)
    values = np.diagonal(shown.values, offset).astype(np.float64)
    age = np.arange(len(values)) * shown.cell
    known = np.isfinite(values)
    width = max(1, math.ceil(len(values) / most))
    return _means(age[known], values[known], np.arange(len(values))[known] // width)


def _means(along: Floats, values: Floats, bins: NDArray[np.intp]) -> Cut:
    if not values.size:
        return Cut(along=np.empty(0), values=np.empty(0))
    count = np.bincount(bins)
    filled = count > 0
    return Cut(
        along=np.bincount(bins, weights=along)[filled] / count[filled],
        values=np.bincount(bins, weights=values)[filled] / count[filled],
    )


def _band(middle: float, width: float, size: int) -> tuple[int, int]:
    half = max(0.5, width / 2)
    start = min(max(0, math.floor(middle - half + 0.5)), size - 1)
    return start, min(max(start + 1, math.ceil(middle + half - 0.5) + 1), size)


def _range(shown: TimeMap, wanted: tuple[float, float] | None) -> tuple[int, int]:
    """Cells that are in view, at least one."""
    size = len(shown.values)
    if wanted is None:
        return 0, size
    first = min(max(0, math.floor(wanted[0] / shown.cell)), size - 1)
    return first, min(max(first + 1, math.ceil(wanted[1] / shown.cell)), size)
