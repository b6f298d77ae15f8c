"""How the modes get from one time to the next: exactly, or by the paper's Euler-Maruyama steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Steps:
    """``c(t_k) = decay c(t_(k-1)) + spread N(0, 1)`` for every mode; the first step leads from t = 0 to t_0.

    Times of equal distance share a row of the tables.
    """

    decay: NDArray[np.float64]
    """(kinds, modes)."""
    spread: NDArray[np.float64]
    """(kinds, modes) m."""
    kind: NDArray[np.int64]
    """(n,) row of the tables for each step."""

    def variances(self) -> NDArray[np.float64]:
        """(n, modes) variance of each mode at each time, starting from none; m^2."""
        out = np.empty((len(self.kind), self.decay.shape[1]))
        now = np.zeros(self.decay.shape[1])
        for k, kind in enumerate(self.kind):
            now = self.decay[kind] ** 2 * now + self.spread[kind] ** 2
            out[k] = now
        return out

    def decays_from(self, start: int) -> NDArray[np.float64]:
        """(n - start, modes) what is left of an amplitude at time ``start`` at this and all later times."""
        factors = self.decay[self.kind[start:]]
        factors[0] = 1.0
        return np.cumprod(factors, axis=0, out=factors)

    def means(self, start: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, modes) mean amplitudes for these (modes,) amplitudes at t = 0; m."""
        return np.cumprod(self.decay[self.kind], axis=0) * start


def exact_steps(intervals: NDArray[np.float64], rates: NDArray[np.float64], variances: NDArray[np.float64]) -> Steps:
    """Ornstein-Uhlenbeck steps, exact for intervals of any length.

    Args:
        intervals: (n,) s.
        rates: (modes,) kappa_n, 1/s.
        variances: (modes,) in equilibrium, m^2.
    """
    lengths, kind = np.unique(intervals, return_inverse=True)
    exponent = np.outer(lengths, rates)
    return Steps(np.exp(-exponent), np.sqrt(variances * -np.expm1(-2.0 * exponent)), kind)


def euler_steps(intervals: NDArray[np.float64], rates: NDArray[np.float64], variances: NDArray[np.float64]) -> Steps:
    """Euler-Maruyama steps ``z += (k / gamma) z'' dt + sqrt(2 k_B T dt / (gamma dx L_y)) N(0, 1)`` in the same basis.

    The sine basis diagonalises them too: the decay is ``1 - kappa_n dt`` and the noise the same in every mode, for
    ``kappa_n v_n = k_B T / (gamma dx L_y)``. Arguments as of :func:`exact_steps`.
    """
    lengths, kind = np.unique(intervals, return_inverse=True)
    exponent = np.outer(lengths, rates)
    return Steps(1.0 - exponent, np.sqrt(2.0 * variances * exponent), kind)
