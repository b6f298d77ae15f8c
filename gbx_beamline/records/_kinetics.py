"""What is taken from two-time maps along their diagonals: fits, scaling, g4, ageing slices, bins of lags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ErrorSource = Literal["groups", "lower bound", "none"]
"""Where standard errors come from: the scatter between independent pixel groups, or pairs of frames taken as
independent, which they are not; "none" where there is no number."""


@dataclass(frozen=True, kw_only=True)
class DecayFit:
    """``g2 = baseline + contrast * exp(-2 (rate tau)^exponent)`` fitted to a one-time g2."""

    contrast: float
    rate: float
    """1/s."""
    exponent: float
    baseline: float
    errors: Mapping[str, float | None]
    """Lower bound of the standard error of each of the four, because neighbouring lags share pairs of frames and
    relaxation times; None where it was held or could not be estimated."""
    status: str
    """"ok", or why the numbers are not to be used (they are NaN then)."""


@dataclass(frozen=True, kw_only=True)
class MultiTau:
    """A one-time correlation averaged over bins of lags that widen with the lag."""

    tau: NDArray[np.float64]
    """(B,) mean lag of the pairs in each bin, s."""
    g2: NDArray[np.float64]
    """(B,) mean over the pairs in each bin; NaN where it has none."""
    error: NDArray[np.float64]
    """(B,) standard error with the lags of a bin taken as fully correlated; NaN where no lag has one."""
    pairs: NDArray[np.float64]
    """(B,) pairs (or their weight) in each bin."""
    edges: NDArray[np.int64]
    """(B + 1,) bin b holds the lags ``edges[b]`` to ``edges[b + 1] - 1``, in steps of the series."""


@dataclass(frozen=True, kw_only=True)
class AgeSlices:
    """One-time correlation of each q-ROI at chosen ages of the sample."""

    tau: NDArray[np.float64]
    """(N,) lag, s; tau[0] = 0."""
    ages: NDArray[np.float64]
    """(A,) middle of each slice, s since the first frame."""
    width: float
    """s of age averaged over."""
    g2: NDArray[np.float64]
    """(Q, A, N) baseline 1; NaN where no valid pair of frames has this age and lag."""
    error: NDArray[np.float64]
    """(Q, A, N) standard error over the pairs, taken as independent: a lower bound. NaN with fewer than two pairs."""
    pairs: NDArray[np.int64]
    """(Q, A, N) pairs averaged."""
    convention: Literal["start"] = "start"
    """Age of a pair of frames: that of the sample when the pair begins, t1 (not the mean time of the pair)."""


@dataclass(frozen=True, kw_only=True)
class KineticsFit:
    """``g2 = baseline + contrast * exp(-2 (tau / relaxation_time)^exponent)`` in one q-ROI and one window of age."""

    roi: int
    """Index of the q-ROI, from 0."""
    name: str
    window: tuple[float, float]
    """s since the first frame; both frames of a pair lie in here."""
    whole: bool
    """True when the window is the whole series."""
    contrast: float
    relaxation_time: float
    """s; the field correlation is ``exp(-(tau / relaxation_time)^exponent)``."""
    exponent: float
    """Below 1 stretched, above 1 compressed."""
    baseline: float
    errors: Mapping[str, float | None]
    """Standard error of each of the four; None where it was held or there is none."""
    error_source: ErrorSource
    groups: int
    """Pixel groups behind the errors; 0 = none."""
    lags: int
    """Bins of lags that were fitted."""
    status: str
    """"ok", or why the numbers are not to be used (they are NaN then)."""


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """``relaxation_time = tau(reference_q) * (q / reference_q)^-exponent`` over the q-ROIs of one scan."""

    exponent: float
    """n; 2 for diffusion, 1 for ballistic motion. NaN with fewer than two usable q-ROIs."""
    error: float
    """Standard error of n."""
    interval: tuple[float, float]
    """95 % confidence interval of n."""
    reference_q: float
    """1/m, where n and the relaxation time are uncorrelated."""
    relaxation_time: float
    """s at ``reference_q``, on the fitted line."""
    stretching: float
    """Mean exponent of the decays; 1 for simple exponentials."""
    stretching_interval: tuple[float, float]
    """95 % confidence interval of it; NaN where exponents were held."""
    diffusive: Literal["yes", "no", "unknown"]
    reason: str
    """Why, in words."""
    diffusivity: float
    """``1 / (relaxation_time q^2)`` averaged over the q-ROIs, m^2/s; NaN unless ``diffusive`` is "yes"."""
    diffusivity_error: float
    """Standard error of it, m^2/s."""
    rois: tuple[int, ...]
    """q-ROIs that entered."""
    left_out: tuple[str, ...]
    """The others, and why."""
    q_convention: str
    """Which q entered, in words."""
    error_source: ErrorSource


@dataclass(frozen=True, kw_only=True)
class G4:
    """Variance over time of the two-time correlation at fixed lag, of one q-ROI."""

    roi: int
    """Index of the q-ROI, from 0."""
    name: str
    tau: NDArray[np.float64]
    """(N,) lag of ``raw``, s."""
    raw: NDArray[np.float64]
    """(N,) variance over t of C(t, t + tau), noise of photons and speckles included; NaN at lag 0 and where fewer
    than ``min_pairs`` pairs have this lag."""
    pairs: NDArray[np.int64]
    """(N,) pairs behind ``raw``."""
    tau_groups: NDArray[np.float64]
    """(n,) lag of ``noise_free``, s; empty without group maps."""
    noise_free: NDArray[np.float64]
    """(n,) mean covariance over t of C(t, t + tau) between independent pixel groups; may be negative by chance."""
    error: NDArray[np.float64]
    """(n,) standard error of ``noise_free`` by the jackknife over groups; NaN where groups are too few."""
    contrast: float
    """Contrast of the q-ROI: dividing by its square makes q-ROIs comparable."""
    min_pairs: int
    status: str
    """"ok", or why there is no noise-free value."""
