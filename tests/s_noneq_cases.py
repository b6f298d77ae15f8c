"""Simulated scans on frozen seeds, for the acceptance of the noise-corrected S_noneq and for its fast relatives.

A scan is a piece of a large movie, ``GUARD`` pixels from the next: one movie holds tens of independent ones. Lower
counts are thinned from higher ones, which is exact for Poisson counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._group_maps import build_group_maps
from gbx_beamline.non_equilibrium import corrected_s, nonequilibrium
from gbx_beamline.records import CorrectedS
from gbx_beamline.simulation import SpeckleMovie

FRAMES = 128
MODES = 7
"""Contrast 1/7."""
SPECKLE = 2.0
"""Pixels."""
GUARD = 5
"""Pixels between pieces: 2.5 speckles."""
SHAPES = {100: (10, 10), 800: (20, 40), 1600: (40, 40), 12800: (80, 160)}
"""Pixels of a piece to its rows and columns."""

Counts = NDArray[Any]


def ageing_profile() -> NDArray[np.float64]:
    """Factor on the rate in each frame: dynamics that slow down."""
    return (1.0 + np.arange(FRAMES) / 20.0) ** -2.0


KINDS: dict[str, dict[str, Any]] = {
    "stationary": {"rate": 0.02, "mean_counts": 10.0},
    "ageing": {"rate": 0.2, "profile": ageing_profile(), "mean_counts": 1.0},
}
"""Dynamics, and the highest counts, of the movies."""


def movie(kind: str, shape: tuple[int, int], seed: int) -> SpeckleMovie:
    """A movie of one kind of dynamics."""
    return SpeckleMovie(shape, FRAMES, modes=MODES, speckle_size=SPECKLE, seed=seed, **KINDS[kind])


def true_s(kind: str, frames_per_cell: int = 1) -> float:
    """Eq. 3 of the map without noise, from the closed form of g2."""
    made = movie(kind, (1, 1), 0)
    return nonequilibrium(made.true_two_time(made.rate), max_cells=FRAMES // frames_per_cell).s_noneq


def pieces(frames: Counts, pixels: int) -> Iterator[Counts]:
    """(N, y, x) parts that share no speckle, of a movie (N, y, x) that wraps round at its edges."""
    height, width = SHAPES[pixels]
    for top in range(0, frames.shape[1] - height - GUARD + 1, height + GUARD):
        for left in range(0, frames.shape[2] - width - GUARD + 1, width + GUARD):
            yield frames[:, top : top + height, left : left + width]


def thinned(frames: Counts, share: float, seed: int) -> Counts:
    """Every photon kept with this probability."""
    return np.random.default_rng(seed).binomial(frames, share).astype(frames.dtype) if share < 1.0 else frames


@dataclass(frozen=True)
class Measured:
    """One scan's results."""

    corrected: CorrectedS
    bare: float


def measure(piece: Counts, *, contrast: float = 1.0 / MODES, max_cells: int = FRAMES, bare: bool = True) -> Measured:
    """Corrected and bare S of all pixels of a piece."""
    frames, height, width = piece.shape
    rows = np.ascontiguousarray(piece.reshape(frames, -1))
    y, x = np.divmod(np.arange(height * width), width)
    maps, groups = build_group_maps(rows, y=y, x=x, max_cells=max_cells, threads=1)
    found = corrected_s(maps, groups, frame_time=1.0, contrast=contrast, mean_counts=float(rows.mean()))
    return Measured(found, bare_s(rows) if bare else float("nan"))


def bare_s(rows: Counts) -> float:
    """Eq. 3 of the map of all pixels (N, P)."""
    values = rows.astype(np.float32)
    totals = values.sum(axis=1, dtype=np.float64)
    totals[totals == 0] = np.nan
    g2 = (values @ values.T) * rows.shape[1] / (totals[:, None] * totals[None, :])
    return nonequilibrium(g2, max_cells=FRAMES).s_noneq


@dataclass(frozen=True)
class Outcome:
    """Many scans of one case."""

    truth: float
    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    bare: NDArray[np.float64]

    @property
    def undetermined(self) -> float:
        """Share of scans without a number."""
        return float(np.mean(np.isnan(self.value)))

    @property
    def coverage(self) -> float:
        """Share of the determined scans whose interval holds the truth."""
        known = np.isfinite(self.value)
        return float(np.mean((self.low <= self.truth) & (self.truth <= self.high), where=known))

    @property
    def width_over_scatter(self) -> float:
        """Median half-width of the intervals over the standard deviation of the values."""
        return float(np.nanmedian(self.high - self.low) / 2 / np.nanstd(self.value))


def outcome(found: list[Measured], truth: float) -> Outcome:
    """Results of one case as arrays."""
    rows = np.array([[one.corrected.value, one.corrected.low, one.corrected.high, one.bare] for one in found])
    return Outcome(truth, *rows.T)


SHAPE = (510, 495)
"""Of a movie: holds 6 x 3 pieces of 12,800 pixels, 11 x 11 of 1,600 and 34 x 33 of 100."""

CASES: dict[str, tuple[tuple[int, float], ...]] = {
    "stationary": ((1600, 1.0), (1600, 10.0), (12800, 1.0), (12800, 10.0)),
    "ageing": ((1600, 1.0), (12800, 0.1), (800, 1.0), (100, 0.1)),
}
"""Dynamics to pixels and mean counts."""

FIRST_SEED = {"stationary": 1000, "ageing": 2000}

Case = tuple[str, int, float]


def acceptance(seeds: int) -> dict[Case, Outcome]:
    """All cases, this many scans each."""
    found: dict[Case, list[Measured]] = {(k, p, m): [] for k, cases in CASES.items() for p, m in cases}
    for kind in CASES:
        mine = [case for case in found if case[0] == kind]
        seed = FIRST_SEED[kind]
        while any(len(found[case]) < seeds for case in mine):
            made = movie(kind, SHAPE, seed)
            frames = made.read(0, len(made))
            highest = float(frames.mean())
            for case in mine:
                _, pixels, mean = case
                share = 1.0 if mean > 0.7 * highest else mean / round(highest)
                for piece in pieces(thinned(frames, share, seed), pixels):
                    if len(found[case]) < seeds:
                        found[case].append(measure(piece))
            seed += 1
    return {case: outcome(each, true_s(case[0])) for case, each in found.items()}
