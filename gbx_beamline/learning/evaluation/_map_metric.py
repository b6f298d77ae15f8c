"""How well two expected maps can be told apart by photons: the Fisher information of a two-time map.

The relative intensities of P independent pixels at n times, ``x = I / <I> - 1``, have the covariance

    V_ij = kappa^(1/2) b_ij + delta_ij / mu_i,

b the expected speckle covariance ``g2 - 1`` and mu the photons of a pixel in time cell i. A map is the pixels' sample
covariance: for intensities that are Gaussian its elements have Wishart's covariance ``(V_ik V_jl + V_il V_jk) / P``
(photons, photons with speckles and speckles are its three parts), and two changes a, b of the expected map have the
inner product ``<a, b> = P/2 tr(V^-1 a V^-1 b)``, which is Fisher's information (Anderson, An Introduction to
Multivariate Statistical Analysis, ch. 7). The full covariance is used, no diagonal approximation.

Approximations: intensities of partially coherent light are not Gaussian (fluctuations of contrast are larger by about
the contrast; they look like a change of contrast, which is free); pixels that share speckles count as kappa pixels each
(``shared_pixels``) by scaling b, which is exact where speckles or photons alone make the noise.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.linalg
import scipy.special
from numpy.typing import NDArray

from gbx_beamline.records import Bools

_DIAMETER = 1.029
"""Of a circular pupil, over wavelength times distance and speckle size: the intensity's autocorrelation has its full
width at half maximum there."""


class MapMetric:
    """Inner product of changes of one q-ROI's expected map.

    The map's diagonal holds shot noise and is not used: it is left out exactly, by taking its n elements as free.

    Args:
        speckle: (n, n) expected ``g2 - 1``, positive semi-definite.
        shot: (n,) 1 / mu, variance of a pixel's relative counts by photons alone.
        pixels: P.
        shared: kappa, pixels that share one speckle.
        known: (n,) False for time cells without a valid frame, which are left out.
    """

    def __init__(
        self,
        speckle: NDArray[np.float64],
        shot: NDArray[np.float64],
        *,
        pixels: float,
        shared: float = 1.0,
        known: Bools | None = None,
    ) -> None:
        n = len(shot)
        cells = np.flatnonzero(np.ones(n, dtype=np.bool_) if known is None else known)
        covariance = np.sqrt(shared) * speckle[np.ix_(cells, cells)] + np.diag(shot[cells])
        factor = scipy.linalg.cho_factor(covariance, lower=True)
        self._inverse = np.zeros((n, n))
        self._inverse[np.ix_(cells, cells)] = scipy.linalg.cho_solve(factor, np.eye(len(cells)))
        self._half = 0.5 * pixels
        self._cells = cells
        # Information on the elements of the diagonal.
        self._own = scipy.linalg.cho_factor(self._inverse[np.ix_(cells, cells)] ** 2, lower=True)

    def duals(self, changes: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m, n, n) such that ``<a, b>`` is the sum of a times the dual of b, for (m, n, n) changes."""
        weighed = self._inverse @ changes @ self._inverse
        diagonal = np.diagonal(weighed, axis1=1, axis2=2)[:, self._cells]
        free = scipy.linalg.cho_solve(self._own, diagonal.T).T
        part = self._inverse[:, self._cells]
        weighed -= (part * free[:, None, :]) @ part.T
        return self._half * weighed


@lru_cache(maxsize=256)
def shared_pixels(speckle_size: float) -> float:
    """Pixels that share one speckle: ``sum mu^4`` over the pixels of an endless detector.

    mu is the field's autocorrelation behind a circular pupil, ``2 J1(x) / x`` with ``x = pi 1.029 r / speckle_size``
    (Goodman, Speckle Phenomena in Optics, sec. 4.4); fourth powers hold for products of two independent modes.

    Args:
        speckle_size: full width at half maximum, pixels; at most 1: independent pixels.
    """
    if speckle_size <= 1.0:
        return 1.0
    side = np.arange(-np.ceil(12 * speckle_size), np.ceil(12 * speckle_size) + 1)
    x = np.pi * _DIAMETER / speckle_size * np.maximum(np.hypot(side[:, None], side), 1e-9)
    return float(((2.0 * scipy.special.j1(x) / x) ** 4).sum())
