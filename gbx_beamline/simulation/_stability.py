"""Where Euler-Maruyama stops being a solution of Eq. 5: the limit of its step, and what it costs near the limit."""

from __future__ import annotations

import warnings

import numpy as np

from gbx_beamline.errors import InputError
from gbx_beamline.simulation._modes import sine_modes

LIMIT = 0.5
"""Largest stability number ``k dt / (gamma dx^2)``."""

NEAR = 0.45
"""Stability number from which on a warning says what the limit costs."""

_ROUNDING = 1e-9


class StabilityWarning(UserWarning):
    """An Euler-Maruyama step so long that the boundary's fluctuations come out much too large."""


def stability_number(*, stiffness: float, gamma: float, spacing: float, step: float) -> float:
    """``k dt / (gamma dx^2)`` of an Euler step of ``step`` s."""
    return stiffness * step / (gamma * spacing**2)


def excess_variance(sites: int, number: float) -> float:
    """Stationary variance of Euler-Maruyama, summed over the sites, over the true one.

    A mode with ``c <- (1 - kappa dt) c + sqrt(2 kappa dt v) N(0, 1)`` settles at ``v / (1 - kappa dt / 2)``, and
    ``kappa_n dt = number * mu_n dx^2``.
    """
    curvature = sine_modes(sites).curvature
    return float(np.sum(1.0 / (curvature * (1.0 - 0.5 * number * curvature))) / np.sum(1.0 / curvature))


def check_euler(numbers: list[float], sites: list[int], stacklevel: int = 3) -> None:
    """Refuse unstable Euler steps, and warn of those near the limit; one warning for all.

    Args:
        numbers: stability number of each boundary.
        sites: of each boundary.
        stacklevel: 1 would show this function as the warning's origin.

    Raises:
        InputError: a number above 0.5.
    """
    worst = max(numbers, default=0.0)
    if not worst <= LIMIT * (1.0 + _ROUNDING):
        raise InputError(
            f"an Euler step with k dt / (gamma dx^2) = {worst:.4g}",
            needed=f"at most {LIMIT}: beyond it the shortest waves grow without bound",
            action="use method='exact', which takes steps of any length, or a shorter step, or a larger gamma",
        )
    near = [place for place, number in enumerate(numbers) if number >= NEAR]
    if near:
        place = max(near, key=lambda at: numbers[at])
        excess = excess_variance(sites[place], min(numbers[place], LIMIT))
        who = f"{len(near)} of {len(numbers)} boundaries step" if len(numbers) > 1 else "the boundary steps"
        warnings.warn(
            f"{who} close to the Euler limit: at k dt / (gamma dx^2) = {numbers[place]:.3f} the stationary variance "
            f"is {excess:.2f} times the true one; method='exact' has no such error",
            StabilityWarning,
            stacklevel=stacklevel,
        )
