"""The grain-boundary model of the paper (Eq. 4-9): a fluctuating boundary in a diffusing bulk, in SI.

Conventions, which are the ones to state beside any fitted number:

- ``gamma`` is the *friction* of a boundary, gamma = 1/M (the paper's Gamma), in J s m^-4; the line stiffness k is a
  setting of its own, so larger gamma is slower. The boundary obeys ``dz/dt = (k / gamma) d2z/dx2 + eta`` with
  ``<eta eta> = 2 k_B T / (gamma dx L_y)``.
- z is the height along the boundary's normal, x runs along it. N sites at distance ``spacing`` = dx = L_y make its
  length ``L = (N - 1) dx``; the first and the last are pinned at z = 0, where grains meet. A site's phase is ``q z``,
  with q the component along the normal: q_par for boundaries that stand upright in the film and face the scattering
  vector ("aligned"), ``q cos(phi)`` for any azimuth phi ("isotropic").
- The bulk's field decays at ``q^2 D``. "parallel", the paper's choice, takes q_par alone; "total" takes
  ``q_par^2 + q_z^2`` with the refracted q_z inside the sample. D differs by the ratio: it is an effective diffusivity.
- Waves of different boundaries, and of boundaries and bulk, have random phases: their squares add, lambda to
  ``1 - lambda``. ``g2 = 1 + beta |g1|^2`` (Eq. 4) is taken as printed unless ``normalised``: then |g1|^2 is divided by
  ``g1(t, t) g1(t', t')``, as XPCS does by dividing each frame by its own mean.

Equation numbers are those of "Probing Non-Equilibrium Grain Boundary Dynamics with XPCS and Domain-Adaptive Machine
Learning".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.simulation._domain import as_tuple, check_draw, check_settings, checked_times
from gbx_beamline.simulation._draw import Draw
from gbx_beamline.simulation._drawing import Method, check_stability, intervals_of, mean_g1, realise
from gbx_beamline.simulation._stability import stability_number
from gbx_beamline.simulation.resample import area_cells

__all__ = ["Draw", "GrainBoundary", "Method"]


@dataclass(frozen=True, kw_only=True)
class GrainBoundary:
    """Grain boundaries in a diffusing bulk, all in SI. See the module for the conventions.

    Raises:
        InputError: a setting outside its domain, named.
        UnitError: q or a length in another unit.

    >>> gb = GrainBoundary(gamma=3e18, diffusivity=1e-22, gb_fraction=0.2, temperature=400.0)
    >>> gb.two_time(seed=0, size=64).shape
    (64, 64)
    """

    gamma: float
    """GB friction 1/M (the paper's Gamma), J s m^-4; above 0."""
    diffusivity: float
    """D, m^2/s; 0 or more."""
    gb_fraction: float
    """lambda_GB, 0..1: share of the scatterers that sit on boundaries."""
    temperature: float
    """T, K."""
    stiffness: float = 0.25
    """k, J/m^2."""
    sites: int = 50
    """N, at least 3; the median where sizes are spread."""
    spacing: float = 1e-9
    """dx = L_y, m."""
    bow: float = 0.0
    """A, m: initially ``z = A x (L - x) / L^2`` (Eq. 9)."""
    q: float | tuple[float, ...] = 4.5e8
    """q_par, 1/m; several see the same boundaries at once."""
    q_z: float | tuple[float, ...] = 0.0
    """1/m, inside the sample; only counts in the bulk's rate under the convention "total"."""
    q_convention: Literal["parallel", "total"] = "parallel"
    """Which q the bulk's ``q^2 D`` takes."""
    contrast: float = 0.14
    """beta."""
    boundaries: int = 1
    """B, how many the beam sees, with equal weights."""
    size_spread: float = 0.0
    """Sigma of the lognormal distribution of the boundaries' numbers of sites, cut at three of it."""
    orientations: Literal["aligned", "isotropic"] = "aligned"
    """Whether every boundary faces q, or has an azimuth of its own and sees ``q cos(phi)``."""
    avalanche_rate: float = 0.0
    """Events that renew scatterers of boundaries and bulk alike, 1/s."""
    avalanche_share: float = 0.0
    """Mean share of the scatterers that one event renews, 0..0.99."""
    avalanche_tail: Literal["exponential", "pareto"] = "exponential"
    """Distribution of the events' sizes."""

    def __post_init__(self) -> None:
        for name in ("q", "q_z"):
            value = getattr(self, name)
            object.__setattr__(self, name, float(value) if np.ndim(value) == 0 else as_tuple(value))
        check_settings(self)

    def mean_g1_gb(self, t: ArrayLike, *, method: Method = "exact") -> NDArray[np.complex128]:
        """E[g1_GB(t, t')], the boundaries' field correlation averaged over trajectories, orientations and sizes.

        Closed form. It is the limit of very many boundaries. ``1 + beta |E g1|^2`` is the mean of g2 only there: for
        few boundaries E|g1|^2 is larger. Avalanches are no part of it. The cost grows with ``n^2 N^2``: 1,250 times
        and 50 sites take some ten seconds.

        Args:
            t: (n,) rising times since the initial shape, s.
            method: "euler" gives the mean that Euler-Maruyama with one step per interval has.

        Returns:
            (n, n), or (Q, n, n) where q is a tuple. The first index is t, whose waves are not conjugated.

        Raises:
            InputError: t is no time grid, or Euler-Maruyama is unstable on it.
        """
        times = checked_times(t)
        check_draw(0, method)
        intervals = intervals_of(times, method)
        check_stability([self], intervals, method)
        mean = mean_g1(self, intervals, method)
        return mean if isinstance(self.q, tuple) else mean[0]

    def draw(
        self, t: ArrayLike | None = None, seed: int = 0, *, method: Method = "exact", euler_step: float | None = None
    ) -> Draw:
        """One realisation of the boundaries and of the avalanches.

        Args:
            t: (n,) rising times since the initial shape, s; None = the paper's, 1,250 from 0 to 2,500 s.
            seed: same seed, same draw. It does not matter for it what else is drawn.
            method: "exact" samples the Ornstein-Uhlenbeck modes, exactly at any times. "euler" is the paper's
                reference path, Euler-Maruyama with noise at each site and one step per interval.
            euler_step: s that each Euler step takes, whatever the interval it is assigned to; the released code steps
                by 2 s on a time axis whose intervals are 2500/1249 s. None = the interval.

        Raises:
            InputError: t is no time grid, the seed is negative, or ``k dt / (gamma dx^2)`` of an Euler step exceeds
                0.5.

        Warns:
            StabilityWarning: an Euler step at 0.45 or more of it, with the excess variance that it causes.
        """
        times = checked_times(t)
        check_draw(seed, method)
        intervals = intervals_of(times, method, euler_step)
        check_stability([self], intervals, method)
        return realise(self, times, intervals, seed, method)

    def two_time(
        self,
        seed: int = 0,
        method: Method = "exact",
        size: int | None = 256,
        t: ArrayLike | None = None,
        normalised: bool = False,
    ) -> NDArray[np.float32]:
        """g2 of one realisation.

        Args:
            seed: as for ``draw``, like ``method`` and ``t``.
            method: see there.
            size: cells per side, each the mean over its area of the full map; None keeps every time step.
            t: see there.
            normalised: False is g2 as printed in Eq. 4, whose diagonal lies below ``1 + beta`` where boundaries are
                rough; True is what frames show that are divided by their own mean.

        Returns:
            (size, size), or (Q, size, size) where q is a tuple; baseline 1, no photon noise, raw diagonal.

        Raises:
            InputError: as ``draw``, or ``size`` is not 1..n.
        """
        times = checked_times(t)
        area_cells(len(times), len(times) if size is None else size)  # refuses a wrong size before any work
        draw = self.draw(times, seed, method=method)
        maps = draw.two_time(contrast=self.contrast, size=size, normalised=normalised)
        return maps if isinstance(self.q, tuple) else maps[0]

    def euler_number(self, step: float) -> float:
        """Stability number ``k dt / (gamma dx^2)`` of an Euler step of ``step`` s; 0.5 is the limit."""
        return stability_number(stiffness=self.stiffness, gamma=self.gamma, spacing=self.spacing, step=step)
