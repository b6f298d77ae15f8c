"""Scans of one sample: which of them share what, and the posteriors that follow.

All scans of a sample share lambda, and at one temperature D and gamma as well. With data x_i that are independent given
the shared parameters, Bayes' theorem makes of the single posteriors

    p(u | x_1 .. x_n) ~ p(u) prod_i [p(u | x_i) / p(u)]^w,    w = 1 / [1 + (n - 1) rho].

w = 1 is the exact product. But single posteriors integrate over nuisances that the scans share too (static fraction, q
offset, number and shape of the boundaries): their errors are alike, and a product that takes them for independent is
too sure. rho is that correlation, found on simulated groups: n scans count as ``n w``.

What several temperatures say of lambda is put together in the same way, each temperature as one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri

from gbx_beamline.learning._importance import Floats, Points, Student, importance
from gbx_beamline.learning.parameters import ParameterBox
from gbx_beamline.learning.posterior import Posterior, smoothed
from gbx_beamline.records import PARAMETERS

Grouping = Literal["temperature", "arrhenius"]

SAME_TEMPERATURE = 2.0
"""K within which scans share D and gamma: at 0.6 eV and 300 K they change by 15 % over it."""

BOLTZMANN_EV = 8.617333262e-5
"""eV/K (CODATA 2018, exact)."""

ENERGY = (0.0, 1.2)
"""eV, of either activation energy, uniform."""

EDGE = 1e-6
"""Of the box's width: nearer to an edge, z would go to infinity."""

STARTING = 500
"""Samples of each single posterior that a product begins with."""

CORRELATIONS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0)
"""That errors of scans of one sample may have."""

_LAMBDA = PARAMETERS.index("gb_fraction")


@dataclass(frozen=True, eq=False)
class SharedBy:
    """What a group says of one of its scans."""

    samples: Floats
    """(n, 3) SI, of the posterior given all scans of the group."""
    effective: float
    """Number of equal samples that they are worth."""
    log_evidence: float
    """Natural log of how much more probable the group's scans are with shared parameters than each with its own; far
    below 0 they contradict each other."""


@dataclass(frozen=True, eq=False)
class Weighted:
    """Samples of u that stand for a posterior by their weights."""

    u: Floats
    """(m, 3)."""
    points: Points
    """Their weights and the evidence."""

    @property
    def share(self) -> Floats:
        """(m,) weights, 1 in total."""
        return np.exp(self.points.log_weights)

    def reweighted(self, more: Floats) -> Weighted:
        """With ``more`` (m,) added to the logs of the weights."""
        total = self.points.log_weights + more
        norm = float(np.logaddexp.reduce(total))
        return Weighted(self.u, Points(self.points.z, total - norm, self.points.log_evidence + norm))

    def resampled(self, rng: np.random.Generator, count: int) -> Floats:
        """(count, 3) u of equal weight, by systematic resampling."""
        edges = np.cumsum(self.share)
        places = (rng.random() + np.arange(count)) / count * edges[-1]
        return rng.permutation(self.u[np.minimum(np.searchsorted(edges, places), len(edges) - 1)])


def combined(
    posteriors: Sequence[Posterior],
    temperatures: Sequence[float],
    *,
    shared: Grouping = "temperature",
    correlation: float = 0.0,
    samples: int = 2000,
    seed: int = 0,
) -> list[SharedBy]:
    """Posteriors of scans of one sample given each other.

    Args:
        posteriors: of the single scans, with their densities, in one box.
        temperatures: K, of each.
        shared: "temperature": D and gamma among scans within ``SAME_TEMPERATURE``, lambda among all. "arrhenius": D
            grows and gamma falls with temperature by Arrhenius' law, with energies that are uniform over ``ENERGY``.
        correlation: rho of the single posteriors' errors within a sample.
        samples: of each result.
        seed: same seed, same result.

    Returns:
        One for each scan, in their order.

    Raises:
        InputError: a posterior without density.
    """
    box = posteriors[0].box
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x60,)))
    members = by_temperature(temperatures)
    parts = [[posteriors[one] for one in group] for group in members]
    single = [product_of(part, rng, correlation=correlation) for part in parts]
    evidence = sum(group.points.log_evidence for group in single)
    if len(single) == 1:
        groups = single
    elif shared == "temperature":
        groups = share_lambda(single, box, correlation=correlation)
        evidence += groups[0].points.log_evidence - single[0].points.log_evidence
    else:
        means = [float(np.mean([temperatures[one] for one in group])) for group in members]
        groups = share_activation(parts, single, means, rng, correlation=correlation)
        evidence = groups[0].points.log_evidence
    of_group = {one: group for members_of, group in zip(members, groups, strict=True) for one in members_of}
    drawn = [box.to_physical(group.resampled(rng, samples)) for group in groups]
    by_group = {id(group): values for group, values in zip(groups, drawn, strict=True)}
    return [
        SharedBy(by_group[id(of_group[one])], of_group[one].points.effective, evidence)
        for one in range(len(posteriors))
    ]


def by_temperature(temperatures: Sequence[float]) -> list[list[int]]:
    """Numbers of the scans that share a temperature: sorted, each within ``SAME_TEMPERATURE`` of its group's first."""
    groups: list[list[int]] = []
    for index in np.argsort(temperatures, kind="stable").tolist():
        if groups and temperatures[index] - temperatures[groups[-1][0]] <= SAME_TEMPERATURE:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def shot_weight(count: int, correlation: float) -> float:
    """w of ``count`` scans whose errors have the correlation rho."""
    return 1.0 / (1.0 + (count - 1) * correlation)


def correlation_of(
    groups: Sequence[tuple[Sequence[Posterior], Floats]], *, seed: int = 0, choices: Sequence[float] = CORRELATIONS
) -> float:
    """The rho under which the truth is most probable on average.

    Args:
        groups: posteriors of the scans of each sample, all at one temperature, and (3,) its true parameters in SI.
        seed: of the sampling.
        choices: to choose from.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x61,)))
    scores = np.zeros(len(choices))
    for posteriors, truth in groups:
        box = posteriors[0].box
        ratios = _ratios(posteriors)
        middle = shot_weight(len(posteriors), 0.2)
        found = product_of(posteriors, rng, correlation=0.2).points
        at_points = ratios(found.z).sum(axis=0)
        at_truth = float(ratios(_to_z(box.to_u(truth)[None], box)).sum())
        for index, choice in enumerate(choices):
            weight = shot_weight(len(posteriors), choice)
            evidence = np.logaddexp.reduce(found.log_weights + (weight - middle) * at_points) + found.log_evidence
            scores[index] += weight * at_truth - evidence
    return float(choices[int(np.argmax(scores))])


def product_of(posteriors: Sequence[Posterior], rng: np.random.Generator, *, correlation: float = 0.0) -> Weighted:
    """The posterior of n scans that share all parameters.

    Args:
        posteriors: of each.
        rng: source of randomness.
        correlation: rho.
    """
    box = posteriors[0].box
    count = min(STARTING, *(len(one.samples) for one in posteriors))
    start = np.concatenate([_to_z(box.to_u(one.samples[:count]), box) for one in posteriors])
    if len(posteriors) == 1:
        start = _to_z(box.to_u(posteriors[0].samples), box)
        equal = np.full(len(start), -np.log(len(start)))
        return Weighted(_to_u(start, box), Points(start, equal, 0.0))
    weights = np.full(len(posteriors), shot_weight(len(posteriors), correlation))
    points = importance(_ratios(posteriors), weights, start, rng)
    return Weighted(_to_u(points.z, box), points)


def share_lambda(groups: Sequence[Weighted], box: ParameterBox, *, correlation: float = 0.0) -> list[Weighted]:
    """Let posteriors of one sample at different temperatures have one lambda.

    Each is weighed by what the others' smoothed marginals of lambda say over the prior's.

    Args:
        groups: at each temperature.
        box: of the prior.
        correlation: rho.
    """
    bounds = (float(box.low[_LAMBDA]), float(box.high[_LAMBDA]))
    grid = np.linspace(*bounds, 257)
    said = np.stack([smoothed(group.u[:, _LAMBDA], group.share, grid, bounds) for group in groups])
    messages = np.log(said * (bounds[1] - bounds[0]) + 1e-30)
    together = shot_weight(len(groups), correlation) * messages.sum(axis=0)
    # What a group's own samples hold already is taken out: all have the same marginal in the end.
    return [
        group.reweighted(np.interp(group.u[:, _LAMBDA], grid, together - own))
        for group, own in zip(groups, messages, strict=True)
    ]


def share_activation(
    posteriors: Sequence[Sequence[Posterior]],
    groups: Sequence[Weighted],
    temperatures: Sequence[float],
    rng: np.random.Generator,
    *,
    correlation: float = 0.0,
) -> list[Weighted]:
    """Let D and gamma of one sample follow Arrhenius' law over its temperatures, and lambda be one.

    ``log10 D = a - E (1/T - 1/T0) / (k ln 10)``, gamma with the opposite sign; a is uniform over the box, 1/T0 the mean
    of all 1/T.

    Args:
        posteriors: of the scans at each temperature.
        groups: what they say at each temperature alone.
        temperatures: K, of each group.
        rng: source of randomness.
        correlation: rho.
    """
    box = posteriors[0][0].box
    low, high = _activation_bounds(box)
    inverse = 1.0 / np.asarray(temperatures)
    cold = (inverse - inverse.mean()) / (BOLTZMANN_EV * np.log(10.0))
    ratios = [_ratios(part) for part in posteriors]
    inner = [shot_weight(len(part), correlation) for part in posteriors]

    def at(z: Floats, group: int) -> Floats:
        y = low + (high - low) * ndtr(z)
        return np.stack([y[:, 0] - y[:, 1] * cold[group], y[:, 2] + y[:, 3] * cold[group], y[:, 4]], axis=1)

    def together(z: Floats) -> Floats:
        found = np.full((len(ratios), len(z)), -np.inf)
        for group, ratio in enumerate(ratios):
            u = at(z, group)
            inside = box.contains(u)
            if inside.any():
                found[group, inside] = inner[group] * ratio(_to_z(u[inside], box)).sum(axis=0)
        return found

    start = _activation_start(groups, cold, low, high)
    weights = np.full(len(groups), shot_weight(len(groups), correlation))
    points = importance(together, weights, start, rng, rounds=3)
    return [Weighted(_inside(at(points.z, group), box), points) for group in range(len(groups))]


def _activation_bounds(box: ParameterBox) -> tuple[Floats, Floats]:
    """Of (log10 D and E at T0, log10 gamma and E at T0, lambda)."""
    low = np.array([box.low[0], ENERGY[0], box.low[1], ENERGY[0], box.low[2]])
    high = np.array([box.high[0], ENERGY[1], box.high[1], ENERGY[1], box.high[2]])
    return low, high


def _activation_start(groups: Sequence[Weighted], cold: Floats, low: Floats, high: Floats) -> Student:
    """Least squares over the groups' means and covariances, with the prior's, taken to z at the result."""
    width = high - low
    precision = np.diag(12.0 / width**2)
    pull = precision @ (0.5 * (low + high))
    for group, lever in zip(groups, cold, strict=True):
        design = np.zeros((3, 5))
        design[0, :2] = 1.0, -lever
        design[1, 2:4] = 1.0, lever
        design[2, 4] = 1.0
        mean = group.share @ group.u
        spread = (group.u - mean).T @ ((group.u - mean) * group.share[:, None]) + 1e-6 * np.eye(3)
        weighed = design.T @ np.linalg.inv(spread)
        precision += weighed @ design
        pull += weighed @ mean
    covariance = np.asarray(np.linalg.inv(precision), dtype=np.float64)
    middle = np.clip((covariance @ pull - low) / width, 0.02, 0.98)
    z = ndtri(middle)
    slope = np.sqrt(2.0 * np.pi) * np.exp(0.5 * z**2) / width
    return Student.of(z, covariance * np.outer(slope, slope))


def _ratios(posteriors: Sequence[Posterior]) -> Callable[[Floats], Floats]:
    """(m, 3) z to (n, m) logs of posterior over prior."""
    box = posteriors[0].box
    prior = -float(np.log(box.width).sum())

    def ratios(z: Floats) -> Floats:
        physical = box.to_physical(_to_u(z, box))
        return np.stack([one.log_prob(physical) for one in posteriors]) - prior

    return ratios


def _to_z(u: Floats, box: ParameterBox) -> Floats:
    return ndtri((_inside(u, box) - box.low) / box.width)


def _to_u(z: Floats, box: ParameterBox) -> Floats:
    return _inside(box.low + box.width * ndtr(z), box)


def _inside(u: Floats, box: ParameterBox) -> Floats:
    return np.clip(u, box.low + EDGE * box.width, box.high - EDGE * box.width)
