"""Relaxation times as logarithms with intervals, and what pairs of them say of the beam.

With two contributions, one of the sample and one proportional to the dose rate D, the relaxation rate is
``G = G_0 + k D``. Two dose rates tell both: the share of the beam at the higher one is
``(1 - G_low / G_high) / (1 - D_low / D_high)``, 0 where the rate stays and 1 where it follows the dose rate. It rises
with ``ln(G_high / G_low)``, so that the ends of an interval are carried over exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import t as student

from gbx_beamline.records import Between, KineticsFit, RoiFacts

LEVEL = 0.975
"""One side of a 95 % interval."""

LOWER_BOUND = 2.0
"""Factor on errors that take the bins of a curve as independent: in simulations they were up to 1.8 times too small."""

REACH = 0.65
"""Of the window: a decay that is not over at the longest lag has a relaxation time beyond this. With half the contrast
left it is at least 1.7, with a tenth 0.75 of the longest lag, which is 0.88 of the window or more."""

_BEYOND = "decay beyond the window"
_TOO_FAST = "too fast"


@dataclass(frozen=True, kw_only=True)
class LogTime:
    """Natural logarithm of a relaxation time in s."""

    value: float
    """NaN where only a bound is known."""
    error: float
    """Standard error; NaN where only a bound is known."""
    low: float
    high: float
    freedom: float
    """Degrees of freedom of ``error``."""

    @property
    def known(self) -> bool:
        """Whether there is a number, not a bound alone."""
        return math.isfinite(self.value) and math.isfinite(self.error)


def log_time(fit: KineticsFit | None, frame_time: float) -> LogTime | None:
    """The relaxation time of a fit, a bound where the decay is not over or over too soon, None where nothing is known.

    Args:
        fit: over the whole analysed segment.
        frame_time: s.
    """
    if fit is None:
        return None
    span = fit.window[1] - fit.window[0]
    if fit.status.startswith(_BEYOND):
        return LogTime(value=math.nan, error=math.nan, low=math.log(REACH * span), high=math.inf, freedom=math.inf)
    if fit.status.startswith(_TOO_FAST):
        return LogTime(value=math.nan, error=math.nan, low=-math.inf, high=math.log(frame_time), freedom=math.inf)
    error = fit.errors.get("relaxation_time")
    if fit.status != "ok" or error is None:
        return None
    value, spread = math.log(fit.relaxation_time), _honest(fit, error / fit.relaxation_time)
    freedom = float(max(1, fit.groups - 1)) if fit.error_source == "groups" else math.inf
    half = spread * _quantile(freedom)
    return LogTime(value=value, error=spread, low=value - half, high=value + half, freedom=freedom)


def of_level(times: Sequence[LogTime | None]) -> LogTime | None:
    """What several scans of one dose rate say of one q-ROI: their mean where there are numbers, else the bound."""
    known = [one for one in times if one is not None and one.known]
    if not known:
        bounds = [one for one in times if one is not None]
        # Bounds of one kind: the loosest holds for all.
        return min(bounds, key=lambda one: (one.low, -one.high), default=None)
    weights = np.array([one.error**-2 for one in known])
    values = np.array([one.value for one in known])
    mean = float(weights @ values / weights.sum())
    error = float(weights.sum() ** -0.5)
    if len(known) > 1:
        error = max(error, float(values.std(ddof=1) / math.sqrt(len(known))))
    freedom = sum(one.freedom for one in known)
    half = error * _quantile(freedom)
    return LogTime(value=mean, error=error, low=mean - half, high=mean + half, freedom=freedom)


def at_ends(times: Sequence[LogTime | None], level: Sequence[int]) -> list[LogTime | None]:
    """Relaxation time of one q-ROI at the lowest and at the highest level of dose rate.

    Args:
        times: (S,) of the scans.
        level: (S,) of each, from 0.
    """
    return [of_level([time for time, one in zip(times, level, strict=True) if one == end]) for end in (0, max(level))]


def ratio(slow: LogTime | None, fast: LogTime | None) -> Between | None:
    """``ln(G_high / G_low)`` from the relaxation times at the lowest and at the highest dose rate.

    Args:
        slow: at the lowest dose rate.
        fast: at the highest.
    """
    if slow is None or fast is None:
        return None
    if not (slow.known or fast.known):
        return None
    if slow.known and fast.known:
        value = slow.value - fast.value
        half = math.hypot(slow.error, fast.error) * _quantile(slow.freedom + fast.freedom)
        return Between(value=value, low=value - half, high=value + half)
    return Between(value=math.nan, low=slow.low - fast.high, high=slow.high - fast.low)


def together(ratios: Sequence[Between | None]) -> Between | None:
    """One logarithm of the ratio of rates for all q-ROIs: their mean weighted by what each is worth.

    Where they scatter by more than their errors the interval is widened by that (Birge, Phys. Rev. 40, 207 (1932)).
    Bounds count only where there is no number.
    """
    known = [one for one in ratios if one is not None and math.isfinite(one.value)]
    if not known:
        bounds = [one for one in ratios if one is not None]
        return max(bounds, key=lambda one: (math.isfinite(one.low), one.low), default=None)
    halves = np.array([0.5 * (one.high - one.low) for one in known])
    values = np.array([one.value for one in known])
    weights = halves**-2.0
    mean = float(weights @ values / weights.sum())
    half = float(weights.sum() ** -0.5)
    if len(known) > 1:
        freedom = len(known) - 1
        # Halves are about two standard errors: chi-squared in units of a standard error.
        chi2 = float(np.sum(((values - mean) / (halves / _quantile(math.inf))) ** 2))
        half *= max(1.0, math.sqrt(chi2 / freedom))
    return Between(value=mean, low=mean - half, high=mean + half)


def ageing(rois: Sequence[RoiFacts]) -> float:
    """By how much the logarithm of the relaxation time changes within a scan, as far as its windows of age tell.

    Returns:
        Largest significant change of any q-ROI from the first to the last window; 0 where none is.
    """
    largest = 0.0
    for roi in rois:
        parts = [fit for fit in roi.fits if not fit.whole and fit.status == "ok" and fit.errors["relaxation_time"]]
        if len(parts) < 2:
            continue
        first, last = parts[0], parts[-1]
        change = math.log(last.relaxation_time / first.relaxation_time)
        spread = math.hypot(
            *(_honest(fit, (fit.errors["relaxation_time"] or 0.0) / fit.relaxation_time) for fit in (first, last))
        )
        if abs(change) > _quantile(math.inf) * spread:
            largest = max(largest, abs(change))
    return largest


def widened(found: Between, by: float) -> Between:
    """An interval with both ends further out."""
    return Between(value=found.value, low=found.low - by, high=found.high + by)


def share_of_beam(log_ratio: Between, dose_ratio: float) -> Between:
    """Share of the relaxation rate at the highest dose rate that is proportional to the dose rate.

    Args:
        log_ratio: ``ln(G_high / G_low)``.
        dose_ratio: highest over lowest dose rate, above 1.
    """
    whole = 1.0 - 1.0 / dose_ratio

    def share(value: float) -> float:
        return -math.inf if value < -_LARGEST else -math.expm1(-value) / whole

    return Between(value=share(log_ratio.value), low=share(log_ratio.low), high=share(log_ratio.high))


_LARGEST = 50.0
"""Of a logarithm of a ratio: beyond, its exponential is infinite for every purpose."""


def exponential(found: Between) -> Between:
    """A number from its logarithm."""

    def raised(value: float) -> float:
        return math.inf if value > _LARGEST else math.exp(value)

    return Between(value=raised(found.value), low=raised(found.low), high=raised(found.high))


def difference(first: Between, second: Between) -> Between:
    """Second less first, with the interval by the method of variance estimates recovery (Zou and Donner,
    Stat. Med. 27, 1693 (2008)), which needs no symmetric ends."""
    value = second.value - first.value
    low = value - math.hypot(second.value - second.low, first.high - first.value)
    high = value + math.hypot(second.high - second.value, first.value - first.low)
    return Between(value=value, low=low, high=high)


def with_error(value: float, error: float | None, fit: KineticsFit) -> Between:
    """A number of a fit with its 95 % interval; without ends where the fit has no error."""
    if error is None or not math.isfinite(value):
        return Between(value=value, low=math.nan, high=math.nan)
    freedom = float(max(1, fit.groups - 1)) if fit.error_source == "groups" else math.inf
    half = _honest(fit, error) * _quantile(freedom)
    return Between(value=value, low=value - half, high=value + half)


def _honest(fit: KineticsFit, error: float) -> float:
    return error if fit.error_source == "groups" else LOWER_BOUND * error


@lru_cache(maxsize=64)
def _quantile(freedom: float) -> float:
    return float(student.ppf(LEVEL, min(freedom, 1e6)))
