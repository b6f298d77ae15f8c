"""The paper's own measures of a model: R^2, overlap of domains, consistency of S. They judge no truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from gbx_beamline.errors import InputError
from gbx_beamline.learning.evaluation.answers import CELLS, Answers
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.records import Bools
from gbx_beamline.simulation import GrainBoundary

FOLDS = 5
WINDOW = 2500.0
"""s of the maps that an answer's S is simulated on."""
DRAWS = 4
"""Realisations that it is averaged over."""


def r_squared(truth: ArrayLike, predicted: ArrayLike) -> NDArray[np.float64]:
    """(P,) coefficient of determination of each column of (n, P) values: 1 - residual over total sum of squares.

    Logarithmic parameters are to be given as logarithms, as networks see them. NaN where the truth does not vary.

    Raises:
        InputError: arrays of different shapes.
    """
    true, found = np.atleast_2d(np.asarray(truth, float).T).T, np.atleast_2d(np.asarray(predicted, float).T).T
    if true.shape != found.shape:
        raise InputError(
            f"truth of shape {true.shape}, predictions of shape {found.shape}",
            needed="equal shapes",
            action="correct them",
        )
    total = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    residual = ((true - found) ** 2).sum(axis=0)
    return 1.0 - np.divide(residual, total, out=np.full(len(total), np.nan), where=total > 0)


def domain_shift(simulated: ArrayLike, measured: ArrayLike) -> float:
    """Distance of the mean (m, F) features of a domain from those of the simulated (n, F), in units of the latter's
    spread: what the first term of Eq. 12 makes small, without a scale. A probe may still tell the domains apart."""
    ours, theirs = (np.asarray(one, dtype=np.float64) for one in (simulated, measured))
    spread = float(np.sqrt(ours.var(axis=0).sum()))
    shift = float(np.linalg.norm(theirs.mean(axis=0) - ours.mean(axis=0)))
    return shift / spread if spread > 0 else np.nan


def domain_probe(
    simulated: ArrayLike,
    measured: ArrayLike,
    *,
    simulated_groups: Sequence[int] | None = None,
    measured_groups: Sequence[int] | None = None,
    strength: float = 1.0,
) -> float:
    """Accuracy with which a logistic regression tells two domains apart: 0.5 where they overlap, 1 where they part.

    Features are standardised, the domains weigh the same however many members they have, and the accuracy (mean of
    both domains') is cross-validated in five parts that cut through no group.

    Args:
        simulated: (n, F) features.
        measured: (m, F) features of the other domain.
        simulated_groups: (n,) members that are near-duplicates, such as shots of a sample; None: each is its own.
        measured_groups: (m,) the same.
        strength: inverse of the ridge penalty on standardised weights.

    Raises:
        InputError: features of different lengths, not finite, or fewer groups than parts.
    """
    domains = [np.asarray(one, dtype=np.float64) for one in (simulated, measured)]
    groups = [
        np.arange(len(domain)) if given is None else np.unique(np.asarray(given), return_inverse=True)[1]
        for domain, given in zip(domains, (simulated_groups, measured_groups), strict=True)
    ]
    fits = all(domain.ndim == 2 and np.isfinite(domain).all() for domain in domains)
    fits = fits and domains[0].shape[1] == domains[1].shape[1]
    if not fits or min(len(np.unique(each)) for each in groups) < FOLDS:
        raise InputError(
            f"features of shapes {domains[0].shape} and {domains[1].shape}",
            needed=f"finite (n, F) and (m, F), each of at least {FOLDS} groups",
            action="give more scans, or leave the probe out",
        )
    features = np.concatenate(domains)
    label = np.repeat([0.0, 1.0], [len(domain) for domain in domains])
    rng = np.random.default_rng(0)
    parts = [rng.permutation(int(each.max()) + 1)[each] % FOLDS for each in groups]
    fold = np.concatenate(parts)
    right = np.empty(len(label), dtype=np.bool_)
    for part in range(FOLDS):
        held = fold == part
        right[held] = (_logistic(features[~held], label[~held], features[held], strength) > 0) == (label[held] > 0)
    return float(0.5 * (right[label == 0].mean() + right[label == 1].mean()))


@dataclass(frozen=True, kw_only=True)
class SConsistency:
    """S_noneq that the answers imply against the measured one, both as ratios of norms."""

    error: float
    """Mean absolute difference."""
    r_squared: float
    bias: float
    """Mean of implied minus measured."""
    shots: int


def s_consistency(answer_s: ArrayLike, measured_s: ArrayLike) -> SConsistency:
    """Compare (n,) and (n,); pairs with a NaN are left out."""
    implied, measured = np.asarray(answer_s, dtype=np.float64), np.asarray(measured_s, dtype=np.float64)
    known = np.isfinite(implied) & np.isfinite(measured)
    if not known.any():
        return SConsistency(error=np.nan, r_squared=np.nan, bias=np.nan, shots=0)
    off = implied[known] - measured[known]
    return SConsistency(
        error=float(np.abs(off).mean()),
        r_squared=float(r_squared(measured[known], implied[known])[0]),
        bias=float(off.mean()),
        shots=int(known.sum()),
    )


def answer_s(answers: Answers, seed: int = 0) -> NDArray[np.float64]:
    """(S,) S_noneq of what was answered: the paper's model (one straight boundary, no noise) at the medians.

    Root of the mean of Eq. 3 over ``DRAWS`` realisations on 64 cells, the same noise for every answer. NaN where there
    is no answer.
    """
    t = np.linspace(0.0, WINDOW, CELLS)
    found = np.full(len(answers), np.nan)
    for place in np.flatnonzero(_usable(answers)):
        diffusivity, gamma, share = answers.median[place].tolist()
        boundary = GrainBoundary(
            diffusivity=diffusivity,
            gamma=gamma,
            gb_fraction=min(max(share, 0.0), 1.0),
            temperature=float(answers.temperature[place]),
        )
        values = [
            nonequilibrium(boundary.two_time(seed + draw, size=CELLS, t=t, normalised=True), frame_time=t[1]).s_noneq
            for draw in range(DRAWS)
        ]
        found[place] = np.sqrt(np.mean(values))
    return found


def _usable(answers: Answers) -> Bools:
    return np.isfinite(answers.median).all(axis=1) & (answers.median[:, 0] >= 0) & (answers.median[:, 1] > 0)


def _logistic(
    features: NDArray[np.float64], label: NDArray[np.float64], asked: NDArray[np.float64], strength: float
) -> NDArray[np.float64]:
    """(k,) log odds of (k, F) ``asked`` by a ridge-penalised logistic regression with both labels of equal weight."""
    mean, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    x = np.column_stack([(features - mean) / spread, np.ones(len(features))])
    weight = np.where(label > 0, 0.5 / label.sum(), 0.5 / (1.0 - label).sum()) * len(label)

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = x @ w
        value = float((weight * (np.logaddexp(0.0, odds) - label * odds)).sum())
        slope = x.T @ (weight * (expit(odds) - label))
        slope[:-1] += w[:-1] / strength
        return value + 0.5 * float(w[:-1] @ w[:-1]) / strength, slope

    found = scipy.optimize.minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 300})
    return np.column_stack([(asked - mean) / spread, np.ones(len(asked))]) @ found.x
