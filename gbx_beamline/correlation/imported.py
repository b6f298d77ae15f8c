"""Two-time maps that somebody else computed: baseline told or detected, asymmetry mended and said."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import MapError
from gbx_beamline.frames.numpy_files import read_array
from gbx_beamline.records import TwoTime

_ASYMMETRY = 1e-5
"""Largest relative difference between C(t1, t2) and C(t2, t1) that counts as rounding."""

_LARGEST = 1e12
"""Of a correlation. The largest that two frames can have is the number of pixels over the photons in one."""

NO_COUNTS = "imported map: pixels and counts are not known"
"""Note of every such map."""

Baseline = Literal[0, 1]


def read_map(
    path: Path | str, *, baseline: Baseline | None = None, frame_time: float = 1.0
) -> tuple[TwoTime, list[str]]:
    """Read a two-time map from a file.

    Args:
        path: ``.npy``, or ``.npz`` with ``g12`` (or with one array only), of shape (N, N) or (N, N, Q).
        baseline: What the map tends to without correlation: 1 for g2, 0 for g2 - 1; None detects it.
        frame_time: s between rows.

    Returns:
        The maps with baseline 1, counts unknown (0 pixels, NaN counts), and what was done to them, in words.

    Raises:
        MapError: no such file, no square map, complex values, no pair of frames, a baseline that cannot be told.
    """
    return adopt_maps(
        read_array(path, key="g12", what="two-time map", error=MapError),
        name=str(path),
        baseline=baseline,
        frame_time=frame_time,
    )


def adopt_maps(
    array: NDArray[Any], *, name: str, baseline: Baseline | None = None, frame_time: float
) -> tuple[TwoTime, list[str]]:
    """Two-time maps from an array, mended where that is safe.

    Args:
        array: (N, N), or (N, N, Q), of real numbers.
        name: What messages call it.
        baseline: As for :func:`read_map`.
        frame_time: s between rows.

    Returns:
        As :func:`read_map`.

    Raises:
        MapError: as :func:`read_map`.
    """
    maps = _as_stack(array, name)
    notes: list[str] = []
    maps = _symmetric(_without_zero_rows(_filled(_finite(maps, notes), notes), notes), notes)
    if not _pairs(maps).any(axis=(1, 2)).all():
        raise MapError(
            f"{name} has a map without a finite value off its diagonal",
            needed="the correlation of at least one pair of frames",
            action="check how it was made",
        )
    if baseline is None:
        baseline = _detect_baseline(maps, name)
        notes.append(f"baseline {baseline} detected from the longest lags")
    else:
        notes.append(f"baseline {baseline} as told")
    notes.append(NO_COUNTS)
    maps = maps + (1 - baseline)
    largest = float(np.max(np.abs(maps), initial=0.0, where=np.isfinite(maps)))
    if largest > _LARGEST:
        raise MapError(
            f"{name} has values up to {largest:.3g}",
            needed=f"correlations, at most {_LARGEST:g}",
            action="check how it was made; it may hold counts or be damaged",
        )
    return _as_two_time(maps, frame_time), notes


def _as_stack(array: NDArray[Any], name: str) -> NDArray[np.float64]:
    square = array.ndim in (2, 3) and array.shape[0] == array.shape[1] and array.shape[0] >= 2
    if not square or array.dtype.kind not in "fiu":
        raise MapError(
            f"{name} holds {array.dtype} of shape {array.shape}",
            needed="real numbers of shape (N, N) or (N, N, Q) with N >= 2",
            action="export the two-time map itself, q as the last axis; for frames use `gbx analyze`",
        )
    stack = array[..., np.newaxis] if array.ndim == 2 else array
    return np.moveaxis(stack, -1, 0).astype(np.float64)


def _pairs(maps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(Q, N, N) True where two different frames have a correlation: diagonals are filled in by many programs."""
    return np.isfinite(maps) & ~np.eye(maps.shape[-1], dtype=bool)


def _without_zero_rows(maps: NDArray[np.float64], notes: list[str]) -> NDArray[np.float64]:
    """Frames that correlate with no other at all were bad ones, filled with zeros: they are unknown, not measured."""
    zero = ~((maps != 0.0) & ~np.eye(maps.shape[-1], dtype=bool)).any(axis=2)
    if not zero.any():
        return maps
    notes.append(f"{int(zero.any(axis=0).sum())} rows of zeros were taken as bad frames")
    return np.where(zero[:, :, np.newaxis] | zero[:, np.newaxis, :], np.nan, maps)


def _finite(maps: NDArray[np.float64], notes: list[str]) -> NDArray[np.float64]:
    """Infinite values, as a division by an empty frame leaves them, are as unknown as NaN."""
    infinite = np.isinf(maps)
    if infinite.any():
        notes.append(f"{int(infinite.sum())} infinite values were taken as not measured")
    return np.where(infinite, np.nan, maps)


def _filled(maps: NDArray[np.float64], notes: list[str]) -> NDArray[np.float64]:
    """Maps of which only one half was stored, the other being zeros or NaN, made whole.

    Averaging the halves would halve such a map. A half that is partly there is another matter: bad frames.
    """
    upper = np.triu(np.ones(maps.shape[1:], dtype=bool), k=1)
    maps, empty = maps.copy(), 0
    for each in maps:
        stored = np.isfinite(each) & (each != 0)
        in_upper = stored[upper].any()
        if in_upper != stored.T[upper].any():
            half = each if in_upper else each.T
            each[...] = np.triu(half) + np.triu(half, k=1).T
            empty += 1
    if empty:
        notes.append(f"one half of {empty} of {len(maps)} maps was empty: taken from the other half")
    return maps


def _symmetric(maps: NDArray[np.float64], notes: list[str]) -> NDArray[np.float64]:
    """The mean of both halves. A frame that is unknown in one half is a bad frame, and unknown in both."""
    other = maps.transpose(0, 2, 1)
    difference = np.abs(maps - other)
    if (np.isnan(maps) != np.isnan(other)).any():
        notes.append("map had values in one half that the other lacks: they were left out")
    worst = float(np.max(difference, initial=0.0, where=np.isfinite(difference)))
    if worst > _ASYMMETRY * float(np.max(np.abs(maps), initial=0.0, where=np.isfinite(maps))):
        notes.append(f"map was not symmetric (largest difference {worst:.3g}): the two halves were averaged")
    return (maps + other) / 2.0


def _detect_baseline(maps: NDArray[np.float64], name: str) -> Baseline:
    """The baseline is what the longest third of the lags scatters around, unless correlations last beyond it."""
    row, column = np.triu_indices(maps.shape[-1], k=1)
    values, lag = maps[:, row, column], column - row
    longest = lag[np.isfinite(values).any(axis=0)].max()
    level = float(np.nanmedian(values[:, 3 * lag > 2 * longest]))
    # g2 does not fall below 1, and a contrast does not exceed 1; in between either could be meant.
    if 0.9 < level < 2.0:
        return 1
    if -0.25 < level < 0.5:
        return 0
    raise MapError(
        f"{name} scatters around {level:.3g} at its longest lags",
        needed="a map that tends to 0 (g2 - 1) or to 1 (g2)",
        action="say which it is with --baseline 0 or --baseline 1",
    )


def _as_two_time(maps: NDArray[np.float64], frame_time: float) -> TwoTime:
    q = maps.shape[0]
    valid = np.asarray(_pairs(maps).any(axis=(0, 2)))
    # Equal weights: the frame means that would weigh the pairs are not known.
    return TwoTime(
        g2=maps.astype(np.float32),
        diagonal=_diagonal_from_neighbours(maps),
        frame_time=frame_time,
        pixels=np.zeros(q, dtype=np.int64),
        mean_counts=np.full(q, np.nan),
        frame_means=np.where(valid, 1.0, np.nan) * np.ones((q, 1)),
        valid_frames=valid,
        static_baseline=np.ones(q),
        saturated=np.zeros(q, dtype=np.int64),
        names=tuple(f"map {i + 1}" for i in range(q)),
        q_par=np.full(q, np.nan),
        q_z=np.full(q, np.nan),
    )


def _diagonal_from_neighbours(maps: NDArray[np.float64]) -> NDArray[np.float64]:
    """(Q, N) mean of the finite off-diagonal neighbours: without counts there is no factorial moment."""
    beside = np.diagonal(maps, offset=1, axis1=1, axis2=2)
    pad = np.full((maps.shape[0], 1), np.nan)
    pair = np.stack([np.hstack([pad, beside]), np.hstack([beside, pad])])
    finite = np.isfinite(pair)
    count = finite.sum(axis=0)
    return np.where(finite, pair, 0.0).sum(axis=0) / np.where(count, count, np.nan)
