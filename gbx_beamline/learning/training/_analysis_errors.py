"""What the analysis finds of a simulated scan's speckle size and uneven intensity, with its errors.

Fast maps have no pixels to find them from. Bias and scatter are those of 108 photon-level q-ROIs of the prior.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.learning._input_features import REFERENCE_CONTRAST

SIZE_UNKNOWN = 0.3
"""Share of scans without pixel groups, of which no speckle size is known."""

_SIZES = np.log([1.15, 1.65, 2.5, 3.0])
_SIZE_BIAS = [0.46, 0.06, -0.03, -0.07]
_SIZE_SPREAD = [0.34, 0.24, 0.11, 0.06]


def size_found(rng: np.random.Generator, size: NDArray[np.float64], unknown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(R,) what ``two_time`` finds for speckles of this size: lognormal about it, as 108 photon-level q-ROIs showed."""
    true = np.log(size)
    error = np.interp(true, _SIZES, _SIZE_BIAS) + np.interp(true, _SIZES, _SIZE_SPREAD) * rng.standard_normal(len(size))
    return np.where(unknown, np.nan, np.exp(true + error))


def baseline_found(
    rng: np.random.Generator,
    unevenness: NDArray[np.float64],
    level: NDArray[np.float64],
    speckle_size: NDArray[np.float64],
    pixels: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(R,) what ``static_baseline`` finds: a profile that its smoothing flattens, and some of the speckles.

    Both as ``correlation/_static.py`` says; factors and scatter as 108 photon-level q-ROIs showed.

    Args:
        rng: source of randomness.
        unevenness: (R,) relative standard deviation of the pixels' mean intensity.
        level: (R,) mean of g2 - 1.
        speckle_size: (R,) pixels.
        pixels: (R,).
    """
    seen = np.exp(-4.0 * np.pi**2 * 64.0 / pixels)
    speckles = 1.55 * np.maximum(level - unevenness**2, 0.0) * 1.13 * speckle_size**2 / 804.0
    scatter = np.exp(0.3 * rng.standard_normal(len(level)))
    found = 1.0 + unevenness**2 * seen + speckles * scatter + 5e-4 * rng.standard_normal(len(level))
    return np.maximum(found, 1.0 - 0.05 * REFERENCE_CONTRAST)
