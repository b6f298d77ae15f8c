"""Scans of one sample under different beam, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["sample", "beam drives it", "undetermined"]


@dataclass(frozen=True, kw_only=True)
class Between:
    """A number with its 95 % confidence interval; an end may be infinite, where there is only a bound."""

    value: float
    """NaN where only a bound is known."""
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class ComparedScan:
    """One scan of a comparison."""

    record: str
    """Key of its correlation record; empty where it is in no catalog."""
    run_uid: str
    started: float | None
    """Unix time, s."""
    temperature: float | None
    """K."""
    transmission: float
    """NaN = unknown."""
    dose_rate: float
    """s of the full beam per s with beam; NaN = unknown."""
    level: int
    """Scans of one level have one dose rate; 0 is the lowest."""


@dataclass(frozen=True, kw_only=True)
class ComparedRoi:
    """One q-ROI in S scans, the lowest dose rate first. NaN where there is no number."""

    name: str
    q_par: float
    """1/m."""
    q_z: float
    """1/m."""
    contrast: tuple[float, ...]
    """(S,)."""
    relaxation_time: tuple[Between, ...]
    """(S,) s."""
    exponent: tuple[Between, ...]
    """(S,) of the stretched or compressed exponential."""
    fit_status: tuple[str, ...]
    """(S,) "ok", or why there is no fit."""
    s_corrected: tuple[Between, ...]
    """(S,)."""
    s_difference: Between | None
    """Highest level less lowest; None where the numbers are not of one cell and window, or one is missing."""
    rate_ratio: Between | None
    """Relaxation rate at the highest dose rate over that at the lowest; None where neither has one."""
    tau: NDArray[np.float64]
    """(B,) common lags, s."""
    f2: NDArray[np.float64]
    """(S, B) (g2 - baseline) / contrast; NaN where not measured."""
    f2_error: NDArray[np.float64]
    """(S, B) its standard error by the scatter between pixel groups; NaN without them."""
    largest_difference: str
    """Where the curves of the highest and the lowest level differ most, in words; empty where they agree."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Whether the dynamics of a sample follow the beam."""

    sample: str | None
    scans: tuple[ComparedScan, ...]
    """The lowest dose rate first."""
    rois: tuple[ComparedRoi, ...]
    dose_ratio: float
    """Highest dose rate over the lowest; NaN = unknown."""
    rate_ratio: Between | None
    """Relaxation rate at the highest dose rate over that at the lowest, all q-ROIs together; 1 where the beam does
    nothing, ``dose_ratio`` where it drives all of it."""
    beam_share: Between | None
    """Of the relaxation rate at the highest dose rate: what is proportional to the dose rate."""
    verdict: Verdict
    reason: str
    """Why, in words."""
    notes: tuple[str, ...] = ()
    """What a reader must know before believing it."""
