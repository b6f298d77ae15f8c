"""Adaptive importance sampling in a few dimensions where the prior is the standard normal distribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

Floats = NDArray[np.float64]

Ratios = Callable[[Floats], Floats]
"""(m, d) points to (n, m) natural logs: how much more probable each of n observations makes a point than the prior."""

WIDER = 1.2
"""By which a proposal is wider than what it was fitted to: tails that a proposal lacks are never found."""

FREEDOM = 5.0
"""Of the t distributions that points are proposed from."""


@dataclass(frozen=True, eq=False)
class Points:
    """Points that stand for a distribution by their weights."""

    z: Floats
    """(m, d)."""
    log_weights: Floats
    """(m,) natural logs, normalised."""
    log_evidence: float
    """Natural log of the mean likelihood ratio under the prior."""

    @property
    def effective(self) -> float:
        """Number of equal points that would be worth as much."""
        return float(np.exp(-logsumexp(2.0 * self.log_weights)))


@dataclass(frozen=True, eq=False)
class Student:
    """Multivariate t distribution."""

    mean: Floats
    root: Floats
    """(d, d) lower triangular, of the scale matrix."""

    @classmethod
    def of(cls, mean: Floats, covariance: Floats) -> Student:
        """As wide as ``WIDER`` says about a Gaussian."""
        root = np.linalg.cholesky(covariance + 1e-8 * np.eye(len(mean)))
        return cls(mean, np.asarray(WIDER * root, dtype=np.float64))

    @classmethod
    def fitted(cls, points: Points) -> Student:
        """About weighted points; where few of them count, wider still."""
        share = np.exp(points.log_weights)
        mean = share @ points.z
        spread = (points.z - mean).T @ ((points.z - mean) * share[:, None])
        # Few effective points do not span all directions.
        missing = np.diag(np.maximum(np.diag(spread), 1e-6)) / max(points.effective, 2.0)
        return cls.of(mean, spread + missing)

    def sample(self, rng: np.random.Generator, count: int) -> Floats:
        """(count, d)."""
        normal = rng.standard_normal((count, len(self.mean))) @ self.root.T
        return self.mean + normal * np.sqrt(FREEDOM / rng.chisquare(FREEDOM, count))[:, None]

    def log_prob(self, z: Floats) -> Floats:
        """(m,) natural log."""
        d = len(self.mean)
        scaled = np.linalg.solve(self.root, (z - self.mean).T)
        return (
            gammaln(0.5 * (FREEDOM + d))
            - gammaln(0.5 * FREEDOM)
            - 0.5 * d * np.log(FREEDOM * np.pi)
            - np.log(np.diag(self.root)).sum()
            - 0.5 * (FREEDOM + d) * np.log1p((scaled**2).sum(axis=0) / FREEDOM)
        )


def normal_log_prob(z: Floats) -> Floats:
    """(m,) natural log of the standard normal density of (m, d) points."""
    return -0.5 * (z**2).sum(axis=1) - 0.5 * z.shape[1] * np.log(2.0 * np.pi)


def importance(
    ratios: Ratios,
    weights: Floats,
    start: Floats | Student,
    rng: np.random.Generator,
    *,
    rounds: int = 2,
    count: int = 4000,
) -> Points:
    """Points of the density ``normal(z) exp(sum_i w_i r_i(z))``.

    All points of all rounds are kept, each weighed against the mixture of everything that was sampled from (the balance
    heuristic: Veach and Guibas, SIGGRAPH 1995).

    Args:
        ratios: r; -inf where a point is impossible.
        weights: (n,) w.
        start: (m, d) points that the n single posteriors ``normal(z) exp(r_i(z))`` gave, equally many of each; or a
            distribution to sample from.
        rng: source of randomness.
        rounds: of adaptation.
        count: points of each round.
    """
    students = [start] if isinstance(start, Student) else []
    z = start.sample(rng, count) if isinstance(start, Student) else start
    counts = [len(z)]
    each = ratios(z)
    while True:
        normal = normal_log_prob(z)
        densities = [student.log_prob(z) for student in students]
        if not isinstance(start, Student):
            densities.insert(0, logsumexp(each, axis=0) - np.log(len(each)) + normal)
        mixture = logsumexp(np.stack(densities), axis=0, b=np.array(counts)[:, None] / len(z))
        logs = normal + weights @ each - mixture - np.log(len(z))
        norm = float(logsumexp(logs))
        found = Points(z, logs - norm, norm)
        if len(counts) > rounds:
            return found
        students.append(Student.fitted(found))
        counts.append(count)
        new = students[-1].sample(rng, count)
        z, each = np.concatenate([z, new]), np.concatenate([each, ratios(new)], axis=1)
