"""Coherence modes of any contrast, and how uneven illumination is laid over pixels."""

from __future__ import annotations

import math

import numpy as np
import scipy.special
from numpy.typing import NDArray
from scipy.optimize import brentq


def mode_weights(contrast: float) -> NDArray[np.float64]:
    """Shares of the intensity in each coherence mode: ``sum w = 1``, ``sum w^2 = contrast``.

    As many equal ones as fit, and one smaller, so that any contrast can be had (Goodman, Speckle Phenomena in Optics,
    sec. 4.3, for the contrast of a sum of independent speckle patterns).

    Args:
        contrast: above 0, at most 1.

    >>> mode_weights(0.5).tolist()
    [0.5, 0.5]
    """
    equal = math.floor(1.0 / contrast * (1.0 + 1e-12))
    # equal w^2 + (1 - equal w)^2 = contrast
    root = math.sqrt(max(0.0, equal * ((equal + 1) * contrast - 1.0)))
    weight = (equal + root) / (equal * (equal + 1))
    rest = 1.0 - equal * weight
    return np.array([weight] * equal + ([rest] if rest > 1e-9 else []))


def uneven_profile(columns: int, unevenness: float) -> NDArray[np.float64]:
    """(columns,) static factors of mean 1 and relative standard deviation ``unevenness``.

    One smooth period along the columns, mirrored about the middle: every group of rows holds the same profile, and
    the two sides of a q-ROI are equally bright. ``exp(kappa cos)`` stays positive at any unevenness; with fewer than
    about 10 columns it is only approximate.
    """
    if unevenness == 0.0:
        return np.ones(columns)

    def excess(kappa: float) -> float:
        # <f^2> / <f>^2 = I0(2 kappa) / I0(kappa)^2, written with scaled Bessel functions.
        return float(scipy.special.i0e(2.0 * kappa) / scipy.special.i0e(kappa) ** 2) - 1.0 - unevenness**2

    kappa = float(brentq(excess, 0.0, 10.0))
    profile = np.exp(kappa * np.cos(2.0 * np.pi * (np.arange(columns) + 0.5) / columns))
    return profile / profile.mean()
