"""Least squares of ``baseline + contrast * exp(-2 (tau / relaxation_time)^exponent)`` on a few tens of lags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import lmfit

EXPONENTS = (0.2, 3.0)
"""Range of a free exponent."""

_TRIED_TIMES, _TRIED_EXPONENTS = 40, (0.4, 0.7, 1.0, 1.4, 2.0)
"""Where the search begins: contrast and baseline are linear, so a grid over the other two is a few products."""

NAMES = ("contrast", "log_time", "exponent", "baseline")


class Curve(NamedTuple):
    """What is fitted."""

    tau: NDArray[np.float64]
    """(B,) s, positive."""
    g2: NDArray[np.float64]
    """(B,)."""
    error: NDArray[np.float64]
    """(B,) positive: the weights, and the errors where nothing better is known."""


class Solution(NamedTuple):
    """Where the sum of squares is smallest."""

    values: NDArray[np.float64]
    """(4,) in the order of ``NAMES``."""
    response: NDArray[np.float64]
    """(4, B) by how much each value moves when one point of the curve does; 0 for what was held."""
    covariance: NDArray[np.float64]
    """(4, 4) from the errors of the curve taken as independent, never shrunk by a small chi-square."""
    at_edge: bool
    """True when contrast, relaxation time or exponent ended at the edge of its range."""
    determined: bool
    """False when the fit failed, or the lags leave some combination of the values open."""


def solve(curve: Curve, exponent: float | None) -> Solution:
    """Fit with lmfit, from the best point of a grid.

    Args:
        curve: at least five points.
        exponent: held at this value; None fits it.
    """
    # Here, not above: lmfit takes a second to import, and most users of this package only correlate.
    import lmfit

    start = _best_of_grid(curve, exponent)
    parameters = lmfit.Parameters()
    # Beyond these the lags show next to nothing of a decay, and a contrast without bound overflows.
    tallest = max(100.0 * float(np.ptp(curve.g2)), 1e-3)
    low, high = np.log(curve.tau[0]) - 1.5, np.log(curve.tau[-1]) + 4.0
    parameters.add("contrast", value=float(np.clip(start[0], 1e-6, 0.9 * tallest)), min=0.0, max=tallest)
    parameters.add("log_time", value=start[1], min=low, max=high)
    if exponent is None:
        parameters.add("exponent", value=start[2], min=EXPONENTS[0], max=EXPONENTS[1])
    else:
        parameters.add("exponent", value=exponent, vary=False)
    parameters.add("baseline", value=start[3])
    result: Any = lmfit.minimize(
        _residual, parameters, args=(curve,), Dfun=_slopes, max_nfev=500, scale_covar=False, calc_covar=False
    )
    values = np.array([float(result.params[name].value) for name in NAMES])
    free = np.array([bool(result.params[name].vary) for name in NAMES])
    at_edge = min(values[1] - low, high - values[1]) < 0.01 or values[0] > 0.99 * tallest
    if exponent is None:
        at_edge |= min(values[2] - EXPONENTS[0], EXPONENTS[1] - values[2]) < 0.01
    return _with_errors(values, free, curve, bool(at_edge), bool(result.success))


def model(values: NDArray[np.float64], tau: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B,) g2 at tau of values in the order of ``NAMES``."""
    contrast, log_time, exponent, baseline = values
    return baseline + contrast * np.exp(-2.0 * (tau / np.exp(log_time)) ** exponent)


def _with_errors(
    values: NDArray[np.float64], free: NDArray[np.bool_], curve: Curve, at_edge: bool, success: bool
) -> Solution:
    slopes = (gradient(values, curve.tau) / curve.error)[free]
    # Values of different size: scaled to length 1, what the lags leave open shows as a singular matrix.
    length = np.linalg.norm(slopes, axis=1)
    determined = success and bool((length > 0).all())
    inverse = np.zeros((free.sum(), free.sum()))
    if determined:
        scaled = slopes / length[:, None]
        curvature = scaled @ scaled.T
        determined = bool(np.linalg.eigvalsh(curvature)[0] > 1e-10)
        if determined:
            inverse = np.linalg.inv(curvature) / np.outer(length, length)
    chi_square = float((((model(values, curve.tau) - curve.g2) / curve.error) ** 2).sum())
    reduced = chi_square / max(curve.tau.size - int(free.sum()), 1)
    response = np.zeros((4, curve.tau.size))
    response[free] = inverse @ slopes / curve.error
    covariance = np.zeros((4, 4))
    covariance[np.ix_(free, free)] = inverse * max(1.0, reduced)
    return Solution(values, response, covariance, at_edge, determined)


def _best_of_grid(curve: Curve, exponent: float | None) -> tuple[float, float, float, float]:
    """Contrast, logarithm of the time, exponent and baseline with the smallest sum of squares on a grid."""
    times = np.geomspace(0.7 * curve.tau[0], 2.0 * curve.tau[-1], _TRIED_TIMES)
    exponents = np.array(_TRIED_EXPONENTS if exponent is None else [exponent])
    decay = np.exp(-2.0 * (curve.tau / times[:, None, None]) ** exponents[:, None])
    weight = curve.error**-2.0
    weight /= weight.sum()
    # Regression of g2 on the decay: contrast is the slope, baseline the intercept.
    mean = decay @ weight
    level = float(weight @ curve.g2)
    apart = decay - mean[..., None]
    variance = np.maximum((apart**2) @ weight, 1e-12)
    shared = apart @ (weight * (curve.g2 - level))
    contrast = np.maximum(shared / variance, 0.0)
    gain = contrast * (2.0 * shared - contrast * variance)
    time, power = np.unravel_index(int(np.argmax(gain)), gain.shape)
    slope = float(contrast[time, power])
    return slope, float(np.log(times[time])), float(exponents[power]), level - slope * float(mean[time, power])


def gradient(values: NDArray[np.float64], tau: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4, B) derivative of the model by each value."""
    contrast, log_time, exponent, _ = values
    ratio = np.log(tau) - log_time
    power = np.exp(exponent * ratio)
    decay = np.exp(-2.0 * power)
    steep = 2.0 * contrast * power * decay
    return np.array([decay, exponent * steep, -ratio * steep, np.ones(tau.size)])


def _values(parameters: lmfit.Parameters) -> NDArray[np.float64]:
    return np.array([parameters[name].value for name in NAMES])


def _residual(parameters: lmfit.Parameters, curve: Curve) -> NDArray[np.float64]:
    return (model(_values(parameters), curve.tau) - curve.g2) / curve.error


def _slopes(parameters: lmfit.Parameters, curve: Curve) -> NDArray[np.float64]:
    """(B, free) derivative of the residual."""
    free = [parameters[name].vary for name in NAMES]
    return (gradient(_values(parameters), curve.tau)[free] / curve.error).T
