"""What several scans of one sample say together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

AVERAGE_VERSION = 1
"""Of how averages are made and laid out. Changes when their numbers change or readers must."""

DIFFERENT = 0.01
"""Probability of the scatter under noise alone below which repeats are called different."""


@dataclass(frozen=True, kw_only=True)
class Combined:
    """One quantity measured in several scans."""

    value: float
    """Mean of the scans, weighted by what each is worth."""
    low: float
    high: float
    """``low..high``: 95 % confidence interval of ``value``."""
    error: float
    """Standard error of ``value``: noise of the single scans and what they differ by beyond it."""
    between: float
    """Standard deviation between scans beyond their noise; 0 where noise explains the scatter."""
    chi2: float
    """Squared deviations from the weighted mean over the scans' own variances; about ``count - 1`` where noise explains
    the scatter."""
    p_value: float
    """Probability of at least this scatter under noise alone (Welch's test); NaN for a single scan."""
    count: int
    """Scans."""

    @property
    def different(self) -> bool:
        """Whether the scans differ by more than their noise."""
        return self.p_value < DIFFERENT


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """One scan that entered an average."""

    record: str
    """Key of its correlation record; empty where it is in no catalog."""
    run_uid: str
    temperature: float | None
    """K."""
    started: float | None
    """Unix time, s."""
    frames_per_cell: int
    """Rows of its map that make one cell of the average's curves."""


@dataclass(frozen=True, kw_only=True)
class RepeatedFigure:
    """One figure of a q-ROI in every repeat, and what they say together."""

    values: tuple[float, ...]
    """(R,) NaN in repeats that did not measure it."""
    errors: tuple[float, ...]
    """(R,) standard errors of the noise within each repeat."""
    together: Combined | None
    """None where no repeat measured it, or where they measured different things."""
    status: str
    """"ok", or how many repeats lack it, and why."""


@dataclass(frozen=True, kw_only=True)
class RepeatedRoi:
    """What the repeats say of one q-ROI, and whether they agree."""

    name: str
    q_par: float
    """1/m."""
    q_z: float
    """1/m."""
    log_relaxation_time: RepeatedFigure
    """Natural logarithm of s, of the fit over the whole series."""
    s_noneq: RepeatedFigure
    """Corrected S_noneq."""
    curve: tuple[Combined, ...]
    """g2 averaged over a few ranges of lag, from the shortest on; empty without pixel groups, which know the noise."""
    p_value: float
    """Probability of scatter as large as in the worst of these figures under noise alone, with so many looked at
    (Bonferroni); NaN where nothing can be compared."""

    @property
    def different(self) -> bool:
        """Whether repeats differ by more than noise."""
        return self.p_value < DIFFERENT


@dataclass(frozen=True, kw_only=True)
class RepeatsAverage:
    """Scans of one sample under equal conditions, averaged at equal lags and equal ages.

    Age is the time since the first analysed frame of each scan. Every repeat counts the same.
    """

    repeats: tuple[Repeat, ...]
    sample: str | None
    temperature: float | None
    """K, mean of the repeats."""
    cell: float
    """s per step of ``tau``."""
    map_cell: float
    """s per cell of the maps."""
    tau: NDArray[np.float64]
    """(n,) lag, s."""
    g2: NDArray[np.float64]
    """(Q, n) mean of the repeats' one-time g2."""
    error: NDArray[np.float64]
    """(Q, n) its standard error from the scatter between repeats."""
    noise: NDArray[np.float64]
    """(Q, n) its standard error from the noise within repeats, by their pixel groups; NaN where one has none."""
    curves: NDArray[np.float64]
    """(R, Q, n) one-time g2 of each repeat."""
    two_time: NDArray[np.float32]
    """(Q, m, m) mean of the repeats' maps; NaN where no repeat knows a cell. Diagonal free of shot noise where cells
    are single frames, else off-diagonal entries only."""
    two_time_error: NDArray[np.float32]
    """(Q, m, m) standard error between repeats; NaN with fewer than two."""
    rois: tuple[RepeatedRoi, ...]
    common_window: bool
    """Whether longer scans were cut to the shortest."""
    notes: tuple[str, ...] = ()
    """What a reader must know, in words."""
    access_tags: tuple[str, ...] = ()
    """Those that all repeats share."""

    @property
    def different(self) -> bool:
        """Whether the repeats differ by more than noise in any q-ROI, with all q-ROIs looked at."""
        known = [roi.p_value for roi in self.rois if np.isfinite(roi.p_value)]
        return bool(known) and min(known) * len(known) < DIFFERENT
