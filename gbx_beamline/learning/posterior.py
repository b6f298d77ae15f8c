"""The posterior of one scan: samples, intervals, and the density where the network gives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.learning.parameters import ParameterBox
from gbx_beamline.records import PARAMETERS

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Posterior:
    """Of one scan: samples, and the density where the network gives it."""

    samples: Floats
    """(n, 3) SI, columns as ``PARAMETERS``."""
    box: ParameterBox
    log_density: Callable[[Floats], Floats] | None = None
    """(m, 3) u to (m,) natural log of the density per unit of u; None where there are only samples."""

    def intervals(self, level: float = 0.9) -> Floats:
        """(3, 3) low, median and high of each parameter, SI, equal tails.

        Raises:
            InputError: a level outside 0..1.
        """
        if not 0.0 < level < 1.0:
            raise InputError(f"level {level}", needed="between 0 and 1", action="correct level")
        tail = 0.5 * (1.0 - level)
        return np.quantile(self.samples, [tail, 0.5, 1.0 - tail], axis=0).T

    def log_prob(self, parameters: ArrayLike) -> Floats:
        """(...,) natural log of the density per unit of u = (log10 D, log10 gamma, lambda); -inf outside the box.

        Args:
            parameters: (..., 3) SI, e.g. on a grid.

        Raises:
            InputError: the posterior has no density.
        """
        if self.log_density is None:
            raise InputError(
                "a posterior of samples alone has no density",
                needed="the posterior of a single scan",
                action="use marginal, which smooths samples",
            )
        u = self.box.to_u(parameters)
        flat = u.reshape(-1, len(PARAMETERS))
        inside = self.box.contains(flat)
        found = np.full(len(flat), -np.inf)
        if inside.any():
            found[inside] = self.log_density(flat[inside])
        return found.reshape(u.shape[:-1])

    def marginal(self, name: str, grid: ArrayLike) -> Floats:
        """Density of one parameter from smoothed samples, per unit of its u, on a grid of u inside the box.

        Args:
            name: of ``PARAMETERS``.
            grid: (m,) of u: log10 D in m^2/s, log10 gamma, or lambda.
        """
        column = PARAMETERS.index(name)
        values = self.box.to_u(self.samples)[:, column]
        return smoothed(values, np.ones(len(values)), np.asarray(grid, dtype=np.float64), self._bounds(column))

    def _bounds(self, column: int) -> tuple[float, float]:
        return float(self.box.low[column]), float(self.box.high[column])


def smoothed(values: Floats, weights: Floats, grid: Floats, bounds: tuple[float, float]) -> Floats:
    """Density of weighted samples on a grid: Gaussian kernels of Silverman's width, mirrored at the bounds.

    Args:
        values: (n,) samples.
        weights: (n,) 0 or more.
        grid: (m,) within the bounds.
        bounds: beyond which there is nothing.

    Returns:
        (m,) of integral 1 over the bounds.
    """
    share = weights / weights.sum()
    mean = float(share @ values)
    effective = 1.0 / float(share @ share)
    spread = max(float(np.sqrt(share @ (values - mean) ** 2)), 1e-4 * (bounds[1] - bounds[0]))
    width = 1.06 * spread * effective**-0.2
    density = np.zeros(len(grid))
    for mirrored in (values, 2.0 * bounds[0] - values, 2.0 * bounds[1] - values):
        density += np.exp(-0.5 * ((grid[:, None] - mirrored) / width) ** 2) @ share
    return density / (width * np.sqrt(2.0 * np.pi))
