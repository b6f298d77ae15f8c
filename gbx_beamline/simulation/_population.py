"""Which boundaries the beam sees: their sizes, their orientations, and the avalanches that renew them."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import scipy.special
from numpy.typing import NDArray
from scipy.optimize import brentq

from gbx_beamline.simulation._streams import Draws, stream

Tail = Literal["exponential", "pareto"]

FEWEST_SITES = 3
"""Two pinned sites and one that moves."""

CUT = 3.0
"""Standard deviations at which the distribution of sizes ends."""


@lru_cache(maxsize=64)
def size_distribution(sites: int, spread: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers of sites and their probabilities.

    Args:
        sites: the median.
        spread: sigma of the lognormal distribution, which is cut at three of them and rounded to whole sites.

    Returns:
        (s,) rising numbers, at least 3, and (s,) probabilities.
    """
    if spread == 0.0:
        return np.array([sites]), np.ones(1)
    smallest, largest = (max(FEWEST_SITES, round(sites * np.exp(end * spread))) for end in (-CUT, CUT))
    numbers = np.arange(smallest, largest + 1)
    edges = np.log((numbers[1:] - 0.5) / sites) / spread
    shares = np.diff(scipy.special.ndtr(np.concatenate([[-CUT], np.clip(edges, -CUT, CUT), [CUT]])))
    return numbers, shares / shares.sum()


def draw_sizes(seed: int, boundaries: int, sites: int, spread: float) -> NDArray[np.int64]:
    """(boundaries,) numbers of sites."""
    numbers, shares = size_distribution(sites, spread)
    return stream(seed, Draws.SIZES).choice(numbers, size=boundaries, p=shares)


def draw_orientations(seed: int, boundaries: int) -> NDArray[np.float64]:
    """(boundaries,) cos(phi), phi uniform."""
    return np.cos(stream(seed, Draws.ORIENTATIONS).uniform(0.0, 2.0 * np.pi, boundaries))


def orientation_nodes(phase: float) -> NDArray[np.float64]:
    """cos(phi) at angles whose plain mean is the mean over a uniform phi.

    Args:
        phase: largest q z in the field; more of it needs more angles.
    """
    # The midpoint rule of a periodic function converges faster than any power once it resolves the phase.
    count = 12 + int(phase)
    return np.cos((np.arange(count) + 0.5) * (np.pi / (2 * count)))


def renewals(seed: int, t: NDArray[np.float64], *, rate: float, share: float, tail: Tail) -> NDArray[np.float64]:
    """H(t), minus the logarithm of the share of scatterers that no avalanche has renewed since t_0.

    Avalanches come at random times. Each one renews ``1 - exp(-h)`` of the scatterers, ``h = h_0 X`` with X of unit
    exponential distribution or of ``P(X > x) = 1 / (1 + x)``, whose mean is infinite: many small events and a few that
    renew everything. h_0 is chosen so that the mean of the renewed share is ``share``.

    Args:
        seed: of the draw.
        t: (n,) rising, s.
        rate: events per s.
        share: 0..0.99.
        tail: of the events' sizes.

    Returns:
        (n,) from 0, never falling.
    """
    if rate == 0.0 or share == 0.0:
        return np.zeros(len(t))
    rng = stream(seed, Draws.AVALANCHES)
    events = rng.poisson(rate * (t[-1] - t[0]))
    times = np.sort(rng.uniform(t[0], t[-1], events))
    uniform = rng.random(events)
    if tail == "exponential":
        strengths = share / (1.0 - share) * -np.log1p(-uniform)
    else:
        strengths = _pareto_scale(share) * uniform / (1.0 - uniform)
    total = np.concatenate([[0.0], np.cumsum(strengths)])
    return total[np.searchsorted(times, t, side="right")]


def _pareto_scale(share: float) -> float:
    """h_0 with ``E[1 - exp(-h_0 X)] = share``; the expectation is ``1 - exp(h_0) E_2(h_0)``."""
    return float(brentq(lambda h: 1.0 - np.exp(h) * scipy.special.expn(2, h) - share, 0.0, 500.0))
