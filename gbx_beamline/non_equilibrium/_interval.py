"""Confidence interval of a ratio of means over pairs of pixel groups.

The product ``h_ab`` of groups a and b is modelled as ``mu + L_a + L_b + e_ab``: what a group's own noise does to all
its pairs, and what is left (the Hoeffding decomposition of a U-statistic of order two). For a stationary sample L is
nothing, and the jackknife over groups, which takes all scatter for L, is 1.4 to 1.5 times too wide; for an ageing
sample L dominates. Both variances are estimated by analysis of variance on the graph of pairs, for drift and structure
together, and the interval is the set of all shares s for which ``<h_R> - s <h_d>`` is compatible with 0 (Fieller,
J. R. Stat. Soc. B 16, 175 (1954)), with the degrees of freedom of Satterthwaite (Biometrics Bull. 2, 110 (1946)).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import stdtrit

Interval = tuple[float, float, float]
"""Value, low, high."""

CONFIDENCE = 0.95

FEWEST_FREEDOMS = 3.0
"""Of a variance estimate that is used for itself. Four and five groups leave fewer: L and e are then not separated."""

FARTHEST = 1e6
"""Standard deviations from the value at which the search for an end is given up."""


class PairGraph:
    """What the pairs of groups tell apart: means, groups, and the rest.

    Args:
        count: K groups.
        pairs: pairs (a, b) whose products are known; at least two.
    """

    def __init__(self, count: int, pairs: tuple[tuple[int, int], ...]) -> None:
        self.index = tuple(np.array(pairs).T)
        """Selects the pairs from a (K, K) matrix."""
        self.pairs = number = len(pairs)
        member = np.zeros((number, count))
        for row, pair in enumerate(pairs):
            member[row, list(pair)] = 1.0
        mean = np.full((number, number), 1.0 / number)
        left, size, _ = np.linalg.svd(np.column_stack([np.ones(number), member]), full_matrices=False)
        span = left[:, size > 1e-9]
        self._between = span @ span.T - mean
        self._within = np.eye(number) - span @ span.T
        self.groups_freedom = round(float(np.trace(self._between)))
        self.rest_freedom = round(float(np.trace(self._within)))
        self._spread = float(np.trace(member.T @ (np.eye(number) - mean) @ member))
        """What a unit variance of L adds to the sum of squares about the mean."""
        self._lift = float(np.trace(member.T @ self._between @ member)) / max(1, self.groups_freedom)
        """What a unit variance of L adds to the mean square between groups."""
        self._leverage = float(((member.sum(axis=0) / number) ** 2).sum())
        """What a unit variance of L adds to the variance of the mean."""

    def variance(self, products: NDArray[np.float64], scale: float) -> Variance:
        """Variance model of the means of two rows of products (2, pairs); ``scale`` is the mean of the second."""
        return Variance(self, products, scale)


class Variance:
    """Variance of ``<h_R> - s <h_d>`` for any s, and its degrees of freedom."""

    def __init__(self, graph: PairGraph, products: NDArray[np.float64], scale: float) -> None:
        self._graph, self._scale = graph, scale
        self._total = products @ (graph._between + graph._within) @ products.T
        self._freedom = graph.groups_freedom + graph.rest_freedom
        self._few = graph.rest_freedom < FEWEST_FREEDOMS
        if self._few:
            return
        self._within = products @ graph._within @ products.T / graph.rest_freedom
        self._between = products @ graph._between @ products.T / graph.groups_freedom
        values, vectors = np.linalg.eigh((self._between - self._within) / graph._lift)
        self._linear = (vectors * np.maximum(values, 0.0)) @ vectors.T
        self._rest = (self._total - graph.groups_freedom * graph._lift * self._linear) / self._freedom

    def at(self, share: float) -> tuple[float, float]:
        """Variance, degrees of freedom."""
        graph, contrast = self._graph, np.array([1.0, -share])
        if self._few:
            # L and e cannot be told apart well enough: whichever makes the mean more uncertain.
            worst = max(graph._leverage / graph._spread, 1.0 / (graph.pairs * self._freedom))
            return float(worst * (contrast @ self._total @ contrast)), float(self._freedom)
        linear = float(contrast @ self._bounded(share) @ contrast)
        rest = max(0.0, float(contrast @ self._rest @ contrast))
        variance = graph._leverage * linear + rest / graph.pairs
        # The same variance as a sum of the two mean squares, whose degrees of freedom are known.
        within = float(contrast @ self._within @ contrast)
        between = min(float(contrast @ self._between @ contrast), within + graph._lift * linear)
        if between <= within or variance <= 0.0:
            return variance, float(self._freedom)
        weight = graph._leverage / graph._lift
        spread = (weight * between) ** 2 / graph.groups_freedom
        spread += ((1.0 / graph.pairs - weight) * within) ** 2 / graph.rest_freedom
        return variance, min(max(variance**2 / spread, FEWEST_FREEDOMS), float(self._freedom))

    def _bounded(self, share: float) -> NDArray[np.float64]:
        """Covariance of L, for a drift of this share.

        ``L_a = <R n_a>``, R the true drift and n_a the noise of group a, while ``e_ab = <n_a n_b>``. By Cauchy and
        Schwarz Var(L) is at most ``<R^2>`` times the standard deviation of e: a share near 0 leaves no room for L.
        """
        error = np.sqrt(max(0.0, float(self._rest[0, 0])))
        most = max(share, 0.0) * self._scale * error
        bounded = self._linear.copy()
        if bounded[0, 0] > most:
            shrink = np.sqrt(most / bounded[0, 0])
            bounded[0, :] *= shrink
            bounded[:, 0] *= shrink
        return bounded


def ratio_interval(graph: PairGraph, above: NDArray[np.float64], below: NDArray[np.float64]) -> Interval | None:
    """Ratio of the means of two sets of products, with its 95 % interval.

    Args:
        graph: of the pairs.
        above: (K, K) products whose mean is the numerator.
        below: (K, K) products whose mean is the denominator.

    Returns:
        Value, low, high; None where the denominator is not significantly above 0, so that no share is excluded.
    """
    products = np.array([above[graph.index], below[graph.index]])
    # Products of drifts are 1e-6 and less: in units of their own size the search below has one scale.
    size = np.sqrt((products**2).mean(axis=1))
    if size[1] <= 0.0:
        return None
    size[0] = size[0] or size[1]
    products /= size[:, None]
    top, bottom = (float(mean) for mean in products.mean(axis=1))
    variance = graph.variance(products, bottom)
    if bottom <= 0.0 or bottom <= _margin(*_of_below(variance)):
        return None
    share = top / bottom

    def outside(s: float) -> float:
        return abs(top - s * bottom) - _margin(*variance.at(s))

    step = max(np.sqrt(variance.at(share)[0]) / bottom, 1e-12)
    low, high = _end(outside, share, -step), _end(outside, share, step)
    if low is None or high is None:
        return None
    unit = float(size[0] / size[1])
    return share * unit, low * unit, high * unit


def mean_interval(graph: PairGraph, products: NDArray[np.float64]) -> Interval:
    """Mean of products (K, K) over the pairs, with its 95 % interval."""
    return ratio_interval(graph, products, np.ones_like(products)) or (np.nan, np.nan, np.nan)


def _of_below(variance: Variance) -> tuple[float, float]:
    """Variance and degrees of freedom of the denominator alone: the limit of large shares."""
    large = 1e8
    value, freedom = variance.at(large)
    return value / large**2, freedom


def _margin(variance: float, freedom: float) -> float:
    return float(stdtrit(freedom, 0.5 + 0.5 * CONFIDENCE) * np.sqrt(variance))


def _end(outside: Callable[[float], float], share: float, step: float) -> float | None:
    """Where ``outside`` turns positive on one side of the share; None where it does not."""
    inner = share
    reach = step
    while abs(reach) <= FARTHEST * abs(step):
        outer = share + reach
        if outside(outer) > 0.0:
            if outside(inner) >= 0.0:
                return inner
            return float(brentq(outside, inner, outer, xtol=1e-6 * abs(step)))
        inner = outer
        reach *= 1.5
    return None
