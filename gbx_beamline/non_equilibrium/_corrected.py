"""S_noneq of one q-ROI without the noise that is independent between its pixel groups."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation.diagonals import cell_means
from gbx_beamline.errors import InputError, MapError
from gbx_beamline.non_equilibrium._cross_groups import CrossProducts, cross_products
from gbx_beamline.non_equilibrium._interval import Interval, PairGraph, mean_interval, ratio_interval
from gbx_beamline.records import AgeWindow, CorrectedS, PixelGroups, Share

WINDOWS = 2, 4
"""A window of age is the scan's length over the first, the next begins its length over the second later."""

SHORTEST_WINDOW = 12
"""Cells."""

NAN = float("nan")


def corrected_s(
    maps: NDArray[np.floating[Any]],
    groups: PixelGroups,
    *,
    frame_time: float,
    contrast: float,
    mean_counts: float,
    min_pairs: int = 1,
    cells_joined: int = 1,
) -> CorrectedS:
    """Eq. 3 from products between pixel groups, with its interval, its parts and its course in age.

    ``S = mean_ab <R_a R_b> / mean_ab <d_a d_b>`` over pairs of groups that share no speckle, with R = C - TTI and
    d = C - <C> of each group, off the diagonal. Photon and speckle-sampling noise is independent between such groups
    and averages to nothing; what all groups see stays: ageing, intermittent rearrangements, but also motion of beam
    or sample. Where noise is negligible it agrees with Eq. 3 of the same cell and window.

    Args:
        maps: (K, n, n) C of each group, baseline 1, NaN where there is no value; maps beyond ``groups.count`` and
            cells beyond the groups' own are left aside.
        groups: how the pixels were split.
        frame_time: s between frames.
        contrast: by how much g2 rises above its baseline; not positive or NaN leaves the amplitude out.
        mean_counts: per pixel and frame, for the record.
        min_pairs: diagonals with fewer valid cells than this are left out.
        cells_joined: averages the maps over squares of this many cells first.

    Returns:
        CorrectedS; where there is no number its ``status`` says why and the numbers are NaN.

    Raises:
        MapError: not (K, n, n) with K at least ``groups.count``.
        InputError: ``min_pairs`` or ``cells_joined`` below 1.
    """
    if maps.ndim != 3 or maps.shape[1] != maps.shape[2] or len(maps) < groups.count:
        raise MapError(
            f"group maps of shape {maps.shape} for {groups.count} groups",
            needed="one square map per group",
            action="give the maps of one ROI, as two_time made them",
        )
    if min_pairs < 1 or cells_joined < 1:
        raise InputError(
            f"min_pairs = {min_pairs}, cells_joined = {cells_joined}", needed="at least 1", action="correct the setting"
        )
    per_cell = groups.frames_per_cell * cells_joined
    used = maps[: groups.count]
    if cells_joined > 1 and groups.count:
        used = np.array([cell_means(square, cells_joined) for square in used])
        index = np.arange(used.shape[-1])
        used[:, index, index] = NAN
    share, parts, amplitude, status = _measured(used, groups, min_pairs)
    known = status == "ok" or bool(np.isfinite(amplitude[0]))
    drift_status = "ok" if known and contrast > 0 else ("no contrast" if known else status)
    drift = np.sqrt(np.maximum(amplitude, 0.0)) / contrast if drift_status == "ok" else np.full(3, NAN)
    return CorrectedS(
        value=share[0],
        low=share[1],
        high=share[2],
        status=status,
        ageing=Share(value=parts[0][0], low=parts[0][1], high=parts[0][2]),
        intermittent=Share(value=parts[1][0], low=parts[1][1], high=parts[1][2]),
        drift_rms_over_contrast=float(drift[0]),
        drift_rms_over_contrast_high=float(drift[2]),
        drift_status=drift_status,
        by_age=_by_age(used, groups, min_pairs, per_cell * frame_time) if groups.count else (),
        cell=per_cell * frame_time,
        window=used.shape[-1] * per_cell * frame_time,
        frames_per_cell=per_cell,
        min_pairs=min_pairs,
        groups=groups.count,
        speckle_size=groups.speckle_size,
        pixels=sum(groups.pixels),
        mean_counts=mean_counts,
    )


def _measured(
    maps: NDArray[np.floating[Any]], groups: PixelGroups, min_pairs: int
) -> tuple[Interval, tuple[Interval, Interval], NDArray[np.float64], str]:
    """Share, its two parts, mean square drift (value, low, high), and "ok" or why there is no share."""
    nothing = (NAN, NAN, NAN)
    unknown = np.full(3, NAN)
    if not groups.count:
        return nothing, (nothing, nothing), unknown, f"undetermined: {groups.status}"
    found = cross_products(maps, min_pairs)
    if not found.cells:
        return nothing, (nothing, nothing), unknown, "undetermined: too few valid cells off the diagonal"
    graph = PairGraph(groups.count, groups.pairs)
    amplitude = _with_power(*mean_interval(graph, found.drift))
    share = ratio_interval(graph, found.drift, found.structure)
    if share is None or _is_rounding(found, maps.dtype):
        return nothing, (nothing, nothing), amplitude, "undetermined: the structure of g2 is not above its noise"
    ageing = ratio_interval(graph, found.ageing, found.structure) or nothing
    intermittent = ratio_interval(graph, found.drift - found.ageing, found.structure) or nothing
    return share, (ageing, intermittent), amplitude, "ok"


def _with_power(value: float, low: float, high: float) -> NDArray[np.float64]:
    """Value, low and high of a mean square, the high end no lower than that of a still sample on average.

    Noise that happens to be negative would else give "at most 0", which no measurement says (a power constraint, as of
    Cowan et al., arXiv:1105.3166).
    """
    return np.array([value, low, max(high, high - value)])


def _is_rounding(found: CrossProducts, dtype: np.dtype[Any]) -> bool:
    """True where the maps vary by no more than the stored type's rounding: maps have baseline 1."""
    return float(np.sqrt(np.diagonal(found.structure).max())) <= 4 * float(np.finfo(dtype).eps)


def _by_age(maps: NDArray[np.floating[Any]], groups: PixelGroups, min_pairs: int, cell: float) -> tuple[AgeWindow, ...]:
    """The same in sliding windows; empty where they would be too short."""
    size = maps.shape[-1]
    length, step = size // WINDOWS[0], size // WINDOWS[1]
    if length < SHORTEST_WINDOW:
        return ()
    windows: list[AgeWindow] = []
    for start in range(0, size - length + 1, step):
        part = slice(start, start + length)
        share, _, _, status = _measured(maps[:, part, part], groups, min_pairs)
        windows.append(
            AgeWindow(
                start=start * cell,
                stop=(start + length) * cell,
                value=share[0],
                low=share[1],
                high=share[2],
                status=status,
            )
        )
    return tuple(windows)
