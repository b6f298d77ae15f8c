"""Members that show what values of S_noneq look like: their maps, and cuts through them at several ages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.figures._simulation_ensemble import EnsembleView
from gbx_beamline.non_equilibrium import nonequilibrium

SHARES_BELOW = (0.1, 0.5, 0.75, 0.95)
"""Quantiles of S_noneq over the ensemble that the examples stand for, from nearly stationary to far from it."""

_AGES = 5


@dataclass(frozen=True, eq=False)
class Cut:
    """g2(t1, t1 + tau) at one age t1, averaged over a twentieth of the window."""

    age: float
    """s, middle of the rows averaged."""
    tau: NDArray[np.float64]
    """(k,) s, from the first cell on."""
    g2: NDArray[np.float64]
    """(k,) baseline 1; NaN where the map has nothing."""


@dataclass(frozen=True, eq=False)
class Example:
    """One member of an ensemble."""

    member: int
    share_below: float
    """Share of the ensemble's members whose S_noneq is smaller."""
    values: Mapping[str, float]
    """Parameters in SI and measures."""
    g2: NDArray[np.float32]
    """(n, n)."""
    drift_over_contrast: float
    """rms of the drift (Eq. 2) over the map's own contrast; NaN where that is not positive."""
    cuts: tuple[Cut, ...]
    baseline: Cut
    """Eq. 1: the mean over all ages, whose own ``age`` is NaN."""


def examples_of(ensemble: EnsembleView) -> list[Example]:
    """One member at each of ``SHARES_BELOW``; fewer where the ensemble holds fewer members."""
    order = np.argsort(ensemble.values["s_noneq_norm"], kind="stable")
    ranks = sorted({round(share * (len(order) - 1)) for share in SHARES_BELOW})
    return [_example(ensemble, int(order[rank]), rank / len(order)) for rank in ranks]


def age_cuts(g2: NDArray[np.floating], cell: float) -> tuple[Cut, ...]:
    """Cuts at five ages, evenly spread from the start to four fifths of the window.

    Args:
        g2: (n, n) indexed [t1, t2], may hold NaN.
        cell: s.
    """
    cells = len(g2)
    band = max(1, cells // 20)
    cuts: list[Cut] = []
    for start in np.unique(np.linspace(0, 0.8 * cells, _AGES).astype(int)):
        stop = min(start + band, cells)
        # Lags that only the first rows of the band reach would mix ages at the end of a cut.
        lags = np.arange(1, cells - stop + 1)
        if lags.size:
            rows = np.arange(start, stop)[:, None]
            found = _mean_over_rows(g2[rows, rows + lags].astype(np.float64))
            cuts.append(Cut(age=0.5 * (start + stop) * cell, tau=lags * cell, g2=found))
    return tuple(cuts)


def _example(ensemble: EnsembleView, place: int, share_below: float) -> Example:
    member = int(ensemble.members[place])
    g2 = ensemble.g2(member)
    record = nonequilibrium(g2, max_cells=len(g2), frame_time=ensemble.cell)
    return Example(
        member=member,
        share_below=share_below,
        values={name: float(column[place]) for name, column in ensemble.values.items()},
        g2=g2,
        drift_over_contrast=record.drift_rms_over_contrast,
        cuts=age_cuts(g2, ensemble.cell),
        baseline=Cut(age=np.nan, tau=ensemble.cell * np.arange(1.0, len(record.tti)), g2=record.tti[1:]),
    )


def _mean_over_rows(values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(values)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)
