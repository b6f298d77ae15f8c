"""Normal modes of a pinned grain boundary: what diagonalises the discrete Eq. 5 with its boundary condition.

N sites at x = i dx, i = 0 .. N-1, of which the first and the last are pinned (z = 0). The N-2 moving ones have the
orthonormal sine basis ``S[n, i] = sqrt(2 / (N-1)) sin(pi n i / (N-1))``, n = 1 .. N-2, in which minus the discrete
second derivative is ``mu_n = (4 / dx^2) sin^2(pi n / (2 (N-1)))``. Each mode relaxes at ``kappa_n = k mu_n / gamma``
and its variance goes to ``k_B T / (dx^2 k mu_n)`` (dx^2 = dx L_y).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

K_B = 1.380649e-23
"""J/K."""


@dataclass(frozen=True)
class Modes:
    """The basis of a boundary of N sites."""

    basis: NDArray[np.float64]
    """(N-2, N-2) S, modes by moving sites; symmetric and its own inverse."""
    curvature: NDArray[np.float64]
    """(N-2,) mu_n dx^2, 0..4."""

    def rates(self, *, stiffness: float, gamma: float, spacing: float) -> NDArray[np.float64]:
        """(N-2,) kappa_n, 1/s."""
        return self.curvature * (stiffness / (gamma * spacing**2))

    def stationary_variances(self, *, stiffness: float, temperature: float) -> NDArray[np.float64]:
        """(N-2,) variance of each mode's amplitude in equilibrium, m^2."""
        return K_B * temperature / (stiffness * self.curvature)

    def of_bow(self, bow: float) -> NDArray[np.float64]:
        """(N-2,) amplitudes of the initial bow z = A x (L - x) / L^2 (Eq. 9), m; ``bow`` is A."""
        x = np.arange(1, len(self.basis) + 1) / (len(self.basis) + 1)
        return self.basis @ (bow * x * (1.0 - x))


LARGEST_KEPT = 300
"""Sites up to which modes are kept: as many bases as there are such sizes fit into 100 MB."""


def sine_modes(sites: int) -> Modes:
    """The modes of a boundary of ``sites`` sites, 3 or more."""
    return _kept_modes(sites) if sites <= LARGEST_KEPT else _modes(sites)


@lru_cache(maxsize=LARGEST_KEPT)
def _kept_modes(sites: int) -> Modes:
    # A beam sees boundaries of many sizes, and the basis takes longer than what is drawn in it.
    return _modes(sites)


def _modes(sites: int) -> Modes:
    n = np.arange(1, sites - 1)
    basis = np.sqrt(2.0 / (sites - 1)) * np.sin(np.pi * np.outer(n, n) / (sites - 1))
    curvature = 4.0 * np.sin(np.pi * n / (2 * (sites - 1))) ** 2
    basis.flags.writeable = curvature.flags.writeable = False
    return Modes(basis, curvature)
