"""Errors against the truth of virtual experiments, by decade of D, beside what could be known at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from gbx_beamline.learning.evaluation.answers import Answers, to_u
from gbx_beamline.records import PARAMETERS, Bools

FEWEST = 12
"""Shots: of fewer no number is given."""
FEWEST_SAMPLES = 3
"""Samples that they must come from."""

RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "D < 1e-23": (0.0, 1e-23),
        "1e-23..1e-22": (1e-23, 1e-22),
        "1e-22..1e-21": (1e-22, 1e-21),
        "D >= 1e-21": (1e-21, np.inf),
        "D >= 1e-22": (1e-22, np.inf),
        "all": (0.0, np.inf),
    }
)
"""m^2/s."""


@dataclass(frozen=True, kw_only=True)
class ParameterTruth:
    """How near the answers come to one parameter: log10 D, log10 gamma (dex) or lambda. NaN where it cannot be said.

    Standard errors take shots of one sample as one observation.
    """

    rmse: float
    """Root mean square of median minus truth."""
    rmse_error: float
    bias: float
    """Mean of median minus truth."""
    rank: float
    """Spearman's correlation of median and truth."""
    coverage: float
    """Share of intervals that hold the truth."""
    coverage_error: float
    width: float
    """Median width of the intervals."""
    undetermined: float
    """Share of answers that say so."""
    bound: float
    """Root mean square of the Cramér-Rao bound with free nuisances."""
    ratio: float
    """rmse over bound."""


@dataclass(frozen=True, kw_only=True)
class TruthRow:
    """One range of D."""

    name: str
    """Of ``RANGES``."""
    shots: int
    """That were judged."""
    groups: int
    """Samples."""
    refused: int
    parameters: Mapping[str, ParameterTruth]


def truth_rows(answers: Answers) -> list[TruthRow]:
    """A row for each of ``RANGES``; shots that are no grain boundaries are left aside."""
    known = np.isfinite(answers.truth).all(axis=1)
    d = answers.truth[:, 0]
    rows = []
    for name, (low, high) in RANGES.items():
        inside = known & (d >= low) & (d < high)
        rows.append(truth_row(answers.where(inside), name))
    return rows


def truth_row(answers: Answers, name: str) -> TruthRow:
    """All of these answers in one row.

    Args:
        answers: with truths.
        name: of the row.
    """
    judged = answers.where(answers.answered)
    return TruthRow(
        name=name,
        shots=len(judged),
        groups=len(np.unique(judged.group)),
        refused=len(answers) - len(judged),
        parameters={parameter: _parameter(judged, column) for column, parameter in enumerate(PARAMETERS)},
    )


def clustered(values: NDArray[np.float64], groups: NDArray[np.int64]) -> tuple[float, float]:
    """Mean and its standard error where values of one group are not independent (linearised, groups as observations).

    Args:
        values: (S,).
        groups: (S,).
    """
    mean = float(values.mean())
    _, index = np.unique(groups, return_inverse=True)
    sums = np.bincount(index, weights=values - mean)
    if len(sums) < 2:
        return mean, np.nan
    return mean, float(np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / len(values))


def covered(answers: Answers) -> Bools:
    """(S, 3) whether intervals hold the truth."""
    return (answers.truth >= answers.low) & (answers.truth <= answers.high)


def _parameter(answers: Answers, column: int) -> ParameterTruth:
    if len(answers) < FEWEST or len(np.unique(answers.group)) < FEWEST_SAMPLES:
        return ParameterTruth(**dict.fromkeys(ParameterTruth.__dataclass_fields__, np.nan))
    truth, median = to_u(answers.truth)[:, column], to_u(answers.median)[:, column]
    error = median - truth
    square, square_error = clustered(error**2, answers.group)
    rmse = float(np.sqrt(square))
    has_intervals = np.isfinite(answers.low[:, column]).all()
    coverage, coverage_error = (
        clustered(covered(answers)[:, column].astype(np.float64), answers.group) if has_intervals else (np.nan, np.nan)
    )
    width = to_u(answers.high)[:, column] - to_u(answers.low)[:, column]
    bound = float(np.sqrt(np.mean(answers.bound[:, column] ** 2)))
    return ParameterTruth(
        rmse=rmse,
        rmse_error=square_error / (2.0 * rmse) if rmse > 0 else np.nan,
        bias=float(error.mean()),
        rank=_rank(truth, median),
        coverage=coverage,
        coverage_error=coverage_error,
        width=float(np.median(width)),
        undetermined=float(answers.undetermined[:, column].mean()),
        bound=bound,
        ratio=rmse / bound,
    )


def _rank(truth: NDArray[np.float64], median: NDArray[np.float64]) -> float:
    if np.ptp(truth) == 0.0 or np.ptp(median) == 0.0:
        return np.nan
    return float(scipy.stats.spearmanr(truth, median).statistic)
