"""Whether a model means what it says: ranks, coverage, "undetermined", and what is to be refused or doubted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.learning._belief_conformal import Conformal
from gbx_beamline.learning.belief import DOUBTS
from gbx_beamline.learning.evaluation.answers import UNDETERMINED, Answers, to_u
from gbx_beamline.learning.evaluation.cramer_rao import PRIOR_SD
from gbx_beamline.learning.evaluation.truth import clustered
from gbx_beamline.learning.parameters import ParameterBox
from gbx_beamline.records import PARAMETERS, Bools

ABOVE, BELOW = 0.8, 0.3
"""Of the bound over the prior's standard deviation: beyond the first nothing can be known, below the second much."""

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def sbc_ranks(samples: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Share of posterior samples below the truth: uniform where posteriors are calibrated and truths come from their
    prior (Talts et al., arXiv:1804.06788).

    Args:
        samples: (S, n, P).
        truth: (S, P).

    Returns:
        (S, P) 0..1.

    Raises:
        InputError: shapes that do not fit.
    """
    found, true = np.asarray(samples, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if found.ndim != 3 or true.shape != (found.shape[0], found.shape[2]) or not found.shape[1]:
        raise InputError(
            f"samples of shape {found.shape} and truth of shape {true.shape}",
            needed="(S, n, P) and (S, P)",
            action="correct them",
        )
    return (found < true[:, None]).mean(axis=1)


@dataclass(frozen=True, kw_only=True)
class RankHistogram:
    """Ranks of one parameter in equal bins, and the interval central coverage has at several levels."""

    counts: tuple[int, ...]
    uniform_low: float
    uniform_high: float
    """Counts between which 90 % of the bins of uniform ranks would be, with so many independent ranks."""
    independent: float
    """Ranks that the shots are worth: those of one sample are alike."""
    observed: tuple[float, ...]
    """Share of truths in central intervals of ``LEVELS``."""
    observed_error: tuple[float, ...]
    """Standard errors, shots of one sample as one."""
    p_value: float
    """Of a Kolmogorov-Smirnov test against uniform ranks, with so many independent ones."""


def rank_histogram(ranks: ArrayLike, groups: ArrayLike, bins: int = 10) -> RankHistogram:
    """Histogram of one parameter's ranks.

    Args:
        ranks: (S,) NaN where there is none.
        groups: (S,) sample of each shot.
        bins: of the histogram.

    Raises:
        InputError: no rank at all.
    """
    values, sample = np.asarray(ranks, dtype=np.float64), np.asarray(groups)
    known = np.isfinite(values)
    if not known.any():
        raise InputError("no ranks", needed="posterior samples and truths", action="leave this model out")
    values, sample = values[known], sample[known]
    independent = len(values) / (1.0 + _alike(values, sample))
    spread = scipy.stats.binom(round(independent), 1.0 / bins).ppf([0.05, 0.95]) * len(values) / independent
    distance = float(scipy.stats.kstest(values, "uniform").statistic)
    inside = [clustered((np.abs(values - 0.5) <= 0.5 * level).astype(np.float64), sample) for level in LEVELS]
    return RankHistogram(
        counts=tuple(np.histogram(values, bins=bins, range=(0.0, 1.0))[0].tolist()),
        uniform_low=float(spread[0]),
        uniform_high=float(spread[1]),
        observed=tuple(share for share, _ in inside),
        observed_error=tuple(error for _, error in inside),
        independent=independent,
        p_value=float(scipy.stats.kstwobign.sf(distance * np.sqrt(independent))),
    )


def _alike(values: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """Intraclass correlation of values times the size of groups less one: by how much it inflates variances of means
    (Kish, Survey Sampling, sec. 5.4). At least 0."""
    _, index = np.unique(groups, return_inverse=True)
    sizes = np.bincount(index)
    size = len(values) / len(sizes)
    if len(sizes) < 2 or size <= 1.0:
        return 0.0
    means = np.bincount(index, weights=values) / sizes
    within = ((values - means[index]) ** 2).sum() / max(len(values) - len(sizes), 1)
    between = (sizes * (means - values.mean()) ** 2).sum() / (len(sizes) - 1)
    correlation = (between - within) / (between + (size - 1.0) * within) if between + within > 0 else 0.0
    return max(float(correlation), 0.0) * (size - 1.0)


@dataclass(frozen=True, kw_only=True)
class UndeterminedRates:
    """How often "undetermined" is said of a parameter where it should be, and where it should not."""

    above: float
    """Share said where the bound exceeds ``ABOVE`` of the prior's standard deviation; NaN without such a shot."""
    shots_above: int
    below: float
    """Share where it is below ``BELOW``."""
    shots_below: int


def undetermined_rates(answers: Answers) -> dict[str, UndeterminedRates]:
    """For each parameter, over the judged shots with a bound."""
    judged = answers.where(answers.answered)
    relative = judged.bound / PRIOR_SD
    said = judged.undetermined
    rates = {}
    for column, name in enumerate(PARAMETERS):
        above, below = relative[:, column] > ABOVE, relative[:, column] < BELOW
        rates[name] = UndeterminedRates(
            above=_share(said[above, column]),
            shots_above=int(above.sum()),
            below=_share(said[below, column]),
            shots_below=int(below.sum()),
        )
    return rates


@dataclass(frozen=True, kw_only=True)
class DoubtRates:
    """How scans of one kind were received."""

    shots: int
    refused: float
    """Share that the model would not judge."""
    doubted: float
    """Share refused, or with a flag that says the scan may be none of grain boundaries or none that the model can
    judge."""
    flagged: float
    """Share refused or with any flag, "undetermined" included."""


def doubt_rates(answers: Answers) -> dict[str, DoubtRates]:
    """By the kind of sample: high is good for foreign ones, low for grain boundaries."""
    refused = ~answers.answered
    doubted = refused | doubts(answers.flags)
    flagged = refused | np.array([bool(codes) for codes in answers.flags])
    rates = {}
    for kind in dict.fromkeys(answers.kind):
        of = np.array([one == kind for one in answers.kind])
        rates[kind] = DoubtRates(
            shots=int(of.sum()),
            refused=_share(refused[of]),
            doubted=_share(doubted[of]),
            flagged=_share(flagged[of]),
        )
    return rates


def doubts(flags: Sequence[Sequence[str]]) -> Bools:
    """(S,) whether codes of flags say that an answer may be none at all."""
    return np.array([any(code.split(":")[0] in DOUBTS for code in codes) for codes in flags], dtype=np.bool_)


def conformal_from(answers: Answers, box: ParameterBox) -> Conformal:
    """Factors that the intervals must be stretched by, from a calibration suite.

    Args:
        answers: of an uncorrected model about shots with truths.
        box: of the model's prior.

    Raises:
        InputError: a model without intervals.
    """
    judged = answers.where(answers.answered & np.isfinite(answers.truth).all(axis=1))
    intervals = np.stack([to_u(judged.low), to_u(judged.median), to_u(judged.high)], axis=-1)
    return Conformal.fit(intervals, to_u(judged.truth), box, level=answers.level, groups=judged.group)


def said_of(answers: Answers) -> Mapping[str, int]:
    """How often each flag was raised, by its code; "undetermined" of any parameter together."""
    counts: dict[str, int] = {}
    for codes in answers.flags:
        for code in {UNDETERMINED if one.startswith(UNDETERMINED) else one for one in codes}:
            counts[code] = counts.get(code, 0) + 1
    return dict(sorted(counts.items()))


def _share(said: Bools) -> float:
    return float(said.mean()) if said.size else np.nan
