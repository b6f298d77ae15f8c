"""The maps of a ROI's pixel groups, as far as a two-time correlation carries any."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._kernels import add_lags
from gbx_beamline.records import TwoTime


class GroupMaps(NamedTuple):
    """Two-time maps of one ROI's pixel groups."""

    maps: NDArray[np.float32]
    """(K, n, n) on cells of time."""
    share: NDArray[np.float64]
    """(K,) each group's share of their pixels."""
    frames_per_cell: int
    pairs: tuple[tuple[int, int], ...]
    """Groups (a, b), a < b, far enough apart to be independent."""
    status: str
    """"ok", or why there are fewer groups than asked for, or none."""


def groups_of(tt: TwoTime, roi: int) -> GroupMaps:
    """The group maps of one ROI; none (K = 0) where it has none, and ``status`` says why."""
    if tt.group_maps is None or not tt.groups:
        nothing = np.empty((0, 0, 0), dtype=np.float32)
        return GroupMaps(nothing, np.empty(0), 1, (), "no pixel groups")
    kept = tt.groups[roi]
    cells = tt.g2.shape[-1] // kept.frames_per_cell
    pixels = np.array(kept.pixels[: kept.count], dtype=np.float64)
    maps = tt.group_maps[roi, : kept.count, :cells, :cells]
    return GroupMaps(maps, pixels / max(pixels.sum(), 1.0), kept.frames_per_cell, kept.pairs, kept.status)


def deviations(found: GroupMaps, start: int, stop: int) -> NDArray[np.float64] | None:
    """By how much each group's one-time curve differs from the mean of all, at every lag in frames.

    Between whole numbers of cells it is interpolated, below one cell that of one cell is taken: what speckles a
    group happens to hold lasts for a relaxation time.

    Args:
        found: group maps.
        start: first frame of the window.
        stop: frame to end before; cells that straddle an edge take no part.

    Returns:
        (K, stop - start), or None where too few cells lie inside.
    """
    cell = found.frames_per_cell
    first, last = -(-start // cell), min(stop // cell, found.maps.shape[-1])
    if last - first < 3:
        return None
    sums = np.zeros((len(found.maps), 7, last - first))
    for each, added in zip(found.maps, sums, strict=True):
        add_lags(each[first:last, first:last], np.ones(last - first), 0, added)
    known = np.flatnonzero((sums[:, 0] > 0).all(axis=0))
    if not known.size:
        return None
    curves: NDArray[np.float64] = sums[:, 2, known] / sums[:, 1, known] + sums[:, 6, known]
    apart = curves - found.share @ curves
    lags = np.arange(stop - start)
    return np.array([np.interp(lags, known * cell, row) for row in apart])


def curve_noise(tt: TwoTime, roi: int, frames: int) -> NDArray[np.float64] | None:
    """What the noise of each pixel group does to the one-time curve of a ROI, at every lag.

    The groups see the same dynamics through different speckles and photons: the root of the added squares of a column,
    times ``sqrt(K / (K - 1))``, is the standard error of the ROI's curve at that lag.

    Args:
        tt: two-time correlation.
        roi: which.
        frames: of the scan's beginning.

    Returns:
        (K, frames) each group's deviation from the mean of all, times its share of the pixels; None with fewer than
        two groups or too few cells.
    """
    found = groups_of(tt, roi)
    apart = deviations(found, 0, frames) if len(found.maps) > 1 else None
    return None if apart is None else apart * found.share[:, None]
