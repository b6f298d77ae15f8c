"""How relaxation times depend on q, and whether that is diffusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gbx_beamline.errors import InputError, UnitError
from gbx_beamline.records import ErrorSource, Floats, KineticsFit, Scaling

FEWEST_Q = 3
"""A line through two points fits whatever they are."""

NARROWEST_Q = 1.25
"""Largest over smallest q below which nothing is said about diffusion: errors of q itself would decide."""

TOLERANCE = 0.1
"""Departure of n from 2, and of the stretching from 1, that is no departure however small its error: the width of a
q-ROI and a spread of sizes do that to diffusion."""

_SMALLEST_Q = 1e3
"""1/m. Nobody reaches it with X-rays; below lies another unit."""


class _Usable(NamedTuple):
    """The fits that enter, one per q-ROI."""

    rois: list[int]
    q: NDArray[np.float64]
    log_time: NDArray[np.float64]
    log_error: NDArray[np.float64]
    exponent: NDArray[np.float64]
    exponent_error: NDArray[np.float64]
    source: ErrorSource
    quantile: float
    """Half-width of a 95 % interval in standard errors."""


class _Mean(NamedTuple):
    value: float
    error: float
    half: float
    """Half-width of the 95 % interval."""

    @property
    def interval(self) -> tuple[float, float]:
        return self.value - self.half, self.value + self.half

    def excludes(self, value: float, tolerance: float = 0.0) -> bool:
        return bool(abs(self.value - value) > max(self.half, tolerance))


_UNKNOWN = _Mean(np.nan, np.nan, np.nan)


def scaling(kinetics: Sequence[KineticsFit], q: Floats, *, q_convention: str) -> Scaling:
    """Fit ``log relaxation_time = log a - n log q`` to the whole-series fits of a scan's q-ROIs.

    Weighted least squares; the standard error grows with the root of a reduced chi-square above 1. Where all errors
    come from pixel groups, the 95 % interval is Student's for one group less than there are; where they are lower
    bounds, the scatter about the line has to speak instead, and it is Student's for two q-ROIs less than there are.

    Diffusive is

    - "no" when the interval of n excludes 2, or that of the decays' mean exponent excludes 1, by more than 0.1;
    - "yes" when neither does, the interval of n excludes 1 (ballistic) and 3, and that of the exponent lies
      within 0.5 to 1.5;
    - "unknown" otherwise, and with fewer than three usable q-ROIs or a largest q below 1.25 times the smallest.

    Args:
        kinetics: from ``fit_kinetics``; windows of age are passed over.
        q: (Q,) of each q-ROI, 1/m; the modulus is taken. NaN and 0 are left out.
        q_convention: which q that is, in words, e.g. "q_par" in GISAXS or "|q|" in transmission.

    Returns:
        Scaling; NaN where fewer than two q-ROIs are usable.

    Raises:
        InputError: no ``q_convention``, more q-ROIs in the fits than in q, or two whole-series fits of one q-ROI.
        UnitError: q that look like 1/Angstrom.
    """
    values = np.abs(np.atleast_1d(np.asarray(q, dtype=np.float64)))
    whole = [fit for fit in kinetics if fit.whole]
    _check(whole, values, q_convention)
    usable, left_out = _usable(whole, values)
    slope, stretching = _UNKNOWN, _UNKNOWN
    reference = time = np.nan
    if len(usable.rois) >= 2:
        slope, reference, time = _line(usable)
    if usable.rois and np.isfinite(usable.exponent_error).all():
        stretching = _mean(usable.exponent, usable.exponent_error, usable)
    diffusive, reason = _verdict(usable, slope, stretching)
    diffusivity = _UNKNOWN
    if diffusive == "yes":
        diffusivity = _mean(-usable.log_time - 2.0 * np.log(usable.q), usable.log_error, usable)
    return Scaling(
        exponent=slope.value,
        error=slope.error,
        interval=slope.interval,
        reference_q=reference,
        relaxation_time=time,
        stretching=stretching.value if usable.rois else np.nan,
        stretching_interval=stretching.interval,
        diffusive=diffusive,
        reason=reason,
        diffusivity=float(np.exp(diffusivity.value)),
        diffusivity_error=float(np.exp(diffusivity.value) * diffusivity.error),
        rois=tuple(usable.rois),
        left_out=tuple(left_out),
        q_convention=q_convention,
        error_source=usable.source,
    )


def _check(whole: list[KineticsFit], q: NDArray[np.float64], q_convention: str) -> None:
    if not q_convention:
        raise InputError("no q_convention", needed="which q this is, in words", action='say "q_par" or "|q|"')
    known = q[np.isfinite(q) & (q > 0)]
    if known.size and known.max() < _SMALLEST_Q:
        raise UnitError(
            f"q up to {known.max():.3g}",
            needed="1/m",
            action=f"if these are 1/Angstrom, multiply by 1e10: {known.max() * 1e10:.3g} 1/m",
        )
    rois = [fit.roi for fit in whole]
    if len(set(rois)) < len(rois) or max(rois, default=-1) >= q.size or q.ndim != 1:
        raise InputError(
            f"whole-series fits of the q-ROIs {rois} and {q.size} values of q",
            needed="one fit per q-ROI and one q for each",
            action="give the fits of one scan and its q",
        )


def _usable(whole: list[KineticsFit], q: NDArray[np.float64]) -> tuple[_Usable, list[str]]:
    taken: list[KineticsFit] = []
    left_out = []
    for fit in whole:
        if fit.status != "ok":
            left_out.append(f"{fit.name}: {fit.status}")
        elif not (np.isfinite(q[fit.roi]) and q[fit.roi] > 0):
            left_out.append(f"{fit.name}: q is {'0' if q[fit.roi] == 0 else 'not known'}")
        elif not (fit.errors["relaxation_time"] or 0.0) > 0:
            left_out.append(f"{fit.name}: no error of the relaxation time")
        else:
            taken.append(fit)
    times = np.array([fit.relaxation_time for fit in taken])
    errors = np.array([float(fit.errors["relaxation_time"] or np.nan) for fit in taken]) / times
    exponent_errors = np.array([np.nan if fit.errors["exponent"] is None else fit.errors["exponent"] for fit in taken])
    by_groups = all(fit.error_source == "groups" for fit in taken)
    freedom = min((fit.groups for fit in taken), default=2) - 1 if by_groups else len(taken) - 2
    return _Usable(
        rois=[fit.roi for fit in taken],
        q=q[[fit.roi for fit in taken]] if taken else np.empty(0),
        log_time=np.log(times),
        log_error=_floored(errors),
        exponent=np.array([fit.exponent for fit in taken]),
        exponent_error=_floored(exponent_errors),
        source="none" if not taken else "groups" if by_groups else "lower bound",
        quantile=float(stats.t.ppf(0.975, freedom)) if freedom > 0 else np.inf,
    ), left_out


def _floored(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Errors from few groups are small by chance at times, and would seize the mean."""
    return np.maximum(errors, 0.5 * np.median(errors)) if errors.size else errors


def _line(usable: _Usable) -> tuple[_Mean, float, float]:
    """n with its error, the q where it is uncorrelated with the height of the line, and the time there."""
    weight = usable.log_error**-2.0
    log_q = np.log(usable.q)
    middle, height = (float(np.average(each, weights=weight)) for each in (log_q, usable.log_time))
    x, y = log_q - middle, usable.log_time - height
    spread = float((weight * x**2).sum())
    if spread <= 1e-12 * weight.sum():
        return _UNKNOWN, float(np.exp(middle)), float(np.exp(height))
    slope = float((weight * x * y).sum()) / spread
    chi_square = float((weight * (y - slope * x) ** 2).sum()) / max(len(x) - 2, 1)
    error = float(np.sqrt(max(1.0, chi_square) / spread))
    return _Mean(-slope, error, usable.quantile * error), float(np.exp(middle)), float(np.exp(height))


def _mean(values: NDArray[np.float64], errors: NDArray[np.float64], usable: _Usable) -> _Mean:
    weight = errors**-2.0
    mean = float(np.average(values, weights=weight))
    chi_square = float((weight * (values - mean) ** 2).sum()) / max(len(values) - 1, 1)
    error = float(np.sqrt(max(1.0, chi_square) / weight.sum()))
    return _Mean(mean, error, usable.quantile * error)


def _verdict(usable: _Usable, slope: _Mean, stretching: _Mean) -> tuple[Literal["yes", "no", "unknown"], str]:
    count = len(usable.rois)
    if count < FEWEST_Q:
        return "unknown", f"{count} q-ROI(s) with a usable fit; at least {FEWEST_Q} are needed"
    if usable.q.max() < NARROWEST_Q * usable.q.min():
        return "unknown", f"q spans a factor of only {usable.q.max() / usable.q.min():.3g}; {NARROWEST_Q} are needed"
    # Adding 0 keeps a minus away from 0.00.
    n = f"n = {round(slope.value, 2) + 0.0:.2f} (95 %: {slope.interval[0]:.2f} to {slope.interval[1]:.2f})"
    if slope.excludes(2.0, TOLERANCE):
        return "no", f"{n}, diffusion has 2"
    if not np.isfinite(stretching.value):
        return "unknown", f"{n}, but exponents of the decays were held: their shape is not known"
    shape = (
        f"exponent of the decays {stretching.value:.2f} "
        f"(95 %: {stretching.interval[0]:.2f} to {stretching.interval[1]:.2f})"
    )
    if stretching.excludes(1.0, TOLERANCE):
        return "no", f"{shape}, diffusion has 1; {n}"
    if not (slope.excludes(1.0) and slope.excludes(3.0)):
        return "unknown", f"{n}: the interval does not exclude 1 and 3"
    if stretching.interval[0] < 0.5 or stretching.interval[1] > 1.5:
        return "unknown", f"{shape}: the interval reaches beyond 0.5 to 1.5"
    return "yes", f"{n} and {shape}"
