"""One-time curves of several scans on common lags, with errors by the scatter between pixel groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from gbx_beamline.correlation import curve_noise
from gbx_beamline.records import ScanResult

Values = NDArray[np.float64]

BINS_PER_DECADE = 6
SURE = 0.01
"""Probability of the largest difference by chance, with so many lags looked at, below which it is worth a word."""


@dataclass(frozen=True, kw_only=True)
class Curves:
    """What a comparison needs of one scan's curves."""

    tau: Values
    """(N,) lag, s; tau[0] = 0."""
    g2: Values
    """(Q, N)."""
    step: float
    """s between the values of ``apart``."""
    apart: tuple[Values | None, ...]
    """(Q,) of (K, n), see ``correlation.curve_noise``; None without groups."""


def curves_of(result: ScanResult) -> Curves:
    """The one-time curves of a result with the noise that its pixel groups know of."""
    tt = result.analysed_two_time
    apart = tuple(curve_noise(tt, roi, tt.g2.shape[-1]) for roi in range(len(result.rois)))
    return Curves(tau=result.one_time.tau, g2=result.one_time.g2, step=tt.frame_time, apart=apart)


def common_lags(scans: Sequence[Curves], rois: Sequence[int]) -> tuple[Values, Values, Values, NDArray[np.int64]]:
    """One q-ROI of several scans in common bins of lag.

    Args:
        scans: S of them.
        rois: index of the q-ROI in each.

    Returns:
        (B,) lag, s; (S, B) g2; (S, B) standard error, NaN without groups; (S,) degrees of freedom of it.
    """
    first = max(scan.tau[1] for scan in scans)
    last = min(scan.tau[-1] for scan in scans)
    count = max(2, int(np.ceil(BINS_PER_DECADE * np.log10(max(last / first, 1.0)))) + 1)
    edges = np.concatenate([[0.75 * first], np.sqrt(_steps(first, last, count)), [1.001 * last]])
    parts = [_binned(scan, roi, edges) for scan, roi in zip(scans, rois, strict=True)]
    tau = np.array([part[0] for part in parts])
    used = np.isfinite(tau).all(axis=0)
    freedom = [
        0 if (apart := scan.apart[roi]) is None else len(apart) - 1 for scan, roi in zip(scans, rois, strict=True)
    ]
    g2, error = (np.array([part[index] for part in parts])[:, used] for index in (1, 2))
    return tau[:, used].mean(axis=0), g2, error, np.array(freedom, dtype=np.int64)


def _steps(first: float, last: float, count: int) -> Values:
    grid = np.geomspace(first, last, count)
    return grid[1:] * grid[:-1]


def _binned(scan: Curves, roi: int, edges: Values) -> tuple[Values, Values, Values]:
    """(B,) mean lag, g2 and error in each bin; NaN where a bin holds no lag. Lags count by their pairs of frames."""
    known = np.isfinite(scan.g2[roi]) & (scan.tau > 0)
    pairs = np.where(known, np.arange(scan.tau.size, 0, -1.0), 0.0)
    bins = np.digitize(scan.tau, edges)
    count = len(edges) - 1

    def mean(values: Values) -> Values:
        total = np.bincount(bins, weights=pairs, minlength=count + 2)[1 : count + 1]
        summed = np.bincount(bins, weights=pairs * np.where(known, values, 0.0), minlength=count + 2)[1 : count + 1]
        return np.divide(summed, total, out=np.full(count, np.nan), where=total > 0)

    tau = mean(scan.tau)
    apart = scan.apart[roi]
    if apart is None:
        return tau, mean(scan.g2[roi]), np.full(count, np.nan)
    lags = np.arange(apart.shape[1]) * scan.step
    rows = np.array([mean(np.interp(scan.tau, lags, row)) for row in apart])
    error = np.sqrt(np.sum(rows**2, axis=0) * len(rows) / (len(rows) - 1))
    return tau, mean(scan.g2[roi]), error


def largest_difference(
    tau: Values, low: Values, high: Values, low_error: Values, high_error: Values, freedom: int
) -> str:
    """Where two curves differ most, in words; empty where chance explains it.

    Args:
        tau: (B,) s.
        low: (B,) (g2 - baseline) / contrast at the lowest dose rate.
        high: (B,) at the highest.
        low_error: (B,) standard errors of ``low``.
        high_error: (B,) of ``high``.
        freedom: degrees of freedom of the errors.
    """
    error = np.hypot(low_error, high_error)
    known = np.flatnonzero(np.isfinite(high - low) & (error > 0))
    if not known.size or freedom < 1:
        return ""
    score = np.abs(high - low)[known] / error[known]
    at = known[int(np.argmax(score))]
    chance = 2.0 * float(student.sf(score.max(), freedom)) * known.size
    if chance > SURE:
        return ""
    gap = float(high[at] - low[at])
    return (
        f"g2 differs most at {tau[at]:.3g} s: by {gap:+.2f} ± {error[at]:.2f} of the contrast at the higher dose rate"
    )
