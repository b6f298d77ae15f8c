"""Decay of a one-time correlation: contrast, rate, stretching and baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.records import DecayFit, Floats

if TYPE_CHECKING:
    import lmfit

FEWEST_LAGS = 6
"""Two more than there are parameters."""


def fit_decay(tau: Floats, g2: Floats, error: Floats, *, exponent: float | None = 1.0) -> DecayFit:
    """Fit ``g2 = baseline + contrast * exp(-2 (rate tau)^exponent)`` by weighted least squares.

    Lag 0 and lags without a positive error are left out. Errors below half their median are raised to it: the
    standard error of a lag with two or three pairs can be tiny by chance and would seize the fit. The baseline
    floats, because a static intensity profile inside a ROI raises it and a long drift moves it; where the decay
    does not end within the window, baseline, contrast and rate cannot be told apart and the status says so.
    Standard errors grow with the root of a reduced chi-square above 1, but they are lower bounds: they take the lags
    as independent, and neighbouring lags are averages over the same frames, which a relaxation time ties together.
    In simulations of 40 movies the fitted rate scattered 1.2 to 3.9 times as much as its error says, the more the
    slower the dynamics.

    Args:
        tau: (N,) lag, s.
        g2: (N,) NaN where not measured.
        error: (N,) standard error of g2.
        exponent: held at this value; None fits it (0.2 to 3).

    Returns:
        DecayFit. Where the data allow no fit, ``status`` says why and the numbers are NaN.

    Raises:
        InputError: arrays of different lengths, or an exponent that is not positive.
    """
    # Here, not above: lmfit takes a second to import, and most users of this package only correlate.
    import lmfit

    tau, g2, error = (np.asarray(values, dtype=np.float64) for values in (tau, g2, error))
    if not tau.ndim == g2.ndim == error.ndim == 1 or not tau.size == g2.size == error.size:
        raise InputError(
            f"tau, g2 and error of shapes {tau.shape}, {g2.shape} and {error.shape}",
            needed="three arrays (N,) of one ROI",
            action="give one row of g2 and of its error",
        )
    if exponent is not None and not (np.isfinite(exponent) and exponent > 0):
        raise InputError(f"exponent {exponent}", needed="a positive number, or None to fit it", action="correct it")
    use = (tau > 0) & np.isfinite(g2) & np.isfinite(error) & (error > 0)
    if use.sum() < FEWEST_LAGS:
        return _failed(f"only {use.sum()} lags with a known error; at least {FEWEST_LAGS} are needed")
    tau, g2, error = tau[use], g2[use], error[use]
    error = np.maximum(error, 0.5 * np.median(error))
    parameters = lmfit.Parameters()
    _add_starts(parameters, tau, g2, exponent)
    result = lmfit.minimize(_residual, parameters, args=(tau, g2, error), max_nfev=2000, scale_covar=False)
    return _judged(result, exponent is None)


def _add_starts(
    parameters: lmfit.Parameters, tau: NDArray[np.float64], g2: NDArray[np.float64], exponent: float | None
) -> None:
    edge = max(2, len(g2) // 10)
    top, bottom = float(g2[: max(1, edge // 4)].mean()), float(np.median(g2[-edge:]))
    # Where the curve has fallen half-way, exp(-2 rate tau) = 1/2.
    half = np.flatnonzero((g2 - bottom) * np.sign(top - bottom) <= 0.5 * abs(top - bottom))
    rate = 0.5 * np.log(2.0) / tau[half[0] if half.size else -1]
    parameters.add("contrast", value=max(top - bottom, 1e-3), min=0.0)
    # Fitted as a logarithm: rates span decades and are positive. Beyond a decade outside the lags nothing is seen.
    low, high = np.log(0.01 / tau[-1]), np.log(10.0 / tau[0])
    parameters.add("log_rate", value=float(np.clip(np.log(rate), low + 0.1, high - 0.1)), min=low, max=high)
    if exponent is None:
        parameters.add("exponent", value=1.0, min=0.2, max=3.0)
    else:
        parameters.add("exponent", value=exponent, vary=False)
    parameters.add("baseline", value=bottom)


def _residual(
    parameters: lmfit.Parameters, tau: NDArray[np.float64], g2: NDArray[np.float64], error: NDArray[np.float64]
) -> NDArray[np.float64]:
    value = parameters.valuesdict()
    decay = np.exp(-2.0 * (np.exp(value["log_rate"]) * tau) ** value["exponent"])
    return (value["baseline"] + value["contrast"] * decay - g2) / error


def _judged(result: Any, free_exponent: bool) -> DecayFit:
    """The fit as a record, or the reason why its numbers are not to be used."""
    if not result.success:
        return _failed(f"the fit did not converge ({' '.join(str(result.message).split())})")
    found = result.params
    contrast, log_rate = found["contrast"], found["log_rate"]
    if not result.errorbars or log_rate.stderr is None or contrast.stderr is None:
        return _failed("the lags do not determine contrast and rate (no decay seen within the window)")
    # Neighbouring lags share pairs, so a curve can be smoother than its errors: never shrink them for that.
    widen = float(np.sqrt(max(1.0, result.redchi)))
    if contrast.value <= 2.0 * widen * contrast.stderr:
        return _failed(f"no decay: contrast {contrast.value:.2g}, its error at least {widen * contrast.stderr:.2g}")
    spread = widen * float(log_rate.stderr)
    at_edge = min(log_rate.value - log_rate.min, log_rate.max - log_rate.value) < 0.01
    if spread > 0.5 or at_edge:
        return _failed(f"rate {np.exp(log_rate.value):.2g}/s is not determined: the decay is too slow or too fast")
    rate = float(np.exp(log_rate.value))
    return DecayFit(
        contrast=float(contrast.value),
        rate=rate,
        exponent=float(found["exponent"].value),
        baseline=float(found["baseline"].value),
        errors={
            "contrast": widen * float(contrast.stderr),
            "rate": rate * spread,
            "exponent": widen * float(found["exponent"].stderr) if free_exponent else None,
            "baseline": widen * float(found["baseline"].stderr),
        },
        status="ok",
    )


def _failed(reason: str) -> DecayFit:
    nan = float("nan")
    errors: dict[str, float | None] = dict.fromkeys(("contrast", "rate", "exponent", "baseline"))
    return DecayFit(contrast=nan, rate=nan, exponent=nan, baseline=nan, errors=errors, status=reason)
