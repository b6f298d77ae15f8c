"""Intervals that hold the truth as often as they say: the posterior's own, stretched by what calibration asks for.

Split conformal prediction (Vovk et al., Algorithmic Learning in a Random World, 2005; Romano et al., NeurIPS 2019, for
scores from quantiles). The score of a scan is by how much its interval must be stretched about the median, side by
side, to reach the truth; the factor is a quantile of such scores, with the rank that makes the coverage hold for any
finite number of calibration scans. Shots of one sample are not independent: then the sample is what is exchangeable,
and each counts once however many shots it has (Lee, Barber and Willett, arXiv:2306.06342).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.learning.parameters import ParameterBox
from gbx_beamline.records import PARAMETERS

CLASSES = 3
"""Widths that may have factors of their own."""

FEWEST = 40
"""Groups (scans, where they are single) that a class of widths needs for a factor of its own at 90 %."""

NARROWEST = 1e-3
"""Of the box: half a width that scores are not divided by less than."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Conformal:
    """Factors by which intervals in u are stretched about their medians."""

    level: float
    """That the stretched intervals have."""
    edges: NDArray[np.float64]
    """(3, CLASSES - 1) widths over the box's that part the classes; infinite where there is one class."""
    factors: NDArray[np.float64]
    """(3, CLASSES) infinite where the calibration set is too small to promise anything but the whole box."""

    @classmethod
    def fit(
        cls,
        intervals: ArrayLike,
        truth: ArrayLike,
        box: ParameterBox,
        *,
        level: float = 0.9,
        groups: ArrayLike | None = None,
    ) -> Conformal:
        """From scans with known truth that no training saw.

        Args:
            intervals: (n, 3 parameters, 3) low, median and high of each posterior in u, at the nominal level.
            truth: (n, 3) in u.
            box: of the prior.
            level: to be reached.
            groups: (n,) sample that each scan belongs to; None: each is its own.

        Raises:
            InputError: arrays that do not fit together, or a level outside 0..1.
        """
        found, true, sample = _checked(intervals, truth, level, groups)
        edges = np.full((len(PARAMETERS), CLASSES - 1), np.inf)
        factors = np.empty((len(PARAMETERS), CLASSES))
        for column in range(len(PARAMETERS)):
            width = _width(found[:, column], box, column)
            score = _score(found[:, column], true[:, column], box.width[column])
            split = np.quantile(width, np.arange(1, CLASSES) / CLASSES)
            parts = np.searchsorted(split, width, side="right")
            counts = [len(np.unique(sample[parts == part])) for part in range(CLASSES)]
            if min(counts) >= FEWEST:
                edges[column] = split
            else:
                parts = np.zeros(len(width), dtype=np.int64)
            for part in range(CLASSES):
                inside = parts == (part if min(counts) >= FEWEST else 0)
                factors[column, part] = conformal_quantile(score[inside], sample[inside], level)
        return cls(level=level, edges=edges, factors=factors)

    def stretch(self, intervals: ArrayLike, box: ParameterBox) -> NDArray[np.float64]:
        """(..., 3, 3) intervals with the level's coverage, within the box.

        Args:
            intervals: (..., 3, 3) as for ``fit``.
            box: of the prior.
        """
        found = np.asarray(intervals, dtype=np.float64)
        out = found.copy()
        for column in range(len(PARAMETERS)):
            one = found[..., column, :]
            part = np.searchsorted(self.edges[column], _width(one, box, column), side="right")
            factor = self.factors[column][part]
            floor = NARROWEST * box.width[column]
            low, median, high = one[..., 0], one[..., 1], one[..., 2]
            out[..., column, 0] = median - factor * np.maximum(median - low, floor)
            out[..., column, 2] = median + factor * np.maximum(high - median, floor)
            out[..., column, :] = np.clip(out[..., column, :], box.low[column], box.high[column])
        return out

    def to_state(self) -> dict[str, NDArray[np.float64]]:
        """Arrays for safetensors."""
        return {"level": np.array([self.level]), "edges": self.edges, "factors": self.factors}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[np.float64]]) -> Conformal:
        """The inverse of ``to_state``."""
        return cls(level=float(state["level"][0]), edges=state["edges"], factors=state["factors"])


def conformal_quantile(scores: NDArray[np.float64], groups: NDArray[np.int64], level: float) -> float:
    """The score below which a scan of a new group lies with at least this probability; infinite with too few groups.

    Each of G groups has weight 1 / (G + 1), shared by its scans, and the new one has its own at infinity. With single
    scans it is the ceil((n + 1) level)-th smallest score.
    """
    if not scores.size:
        return np.inf
    _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(scores)
    reached = np.cumsum(1.0 / ((len(sizes) + 1.0) * sizes[index[order]]))
    place = int(np.searchsorted(reached, level - 1e-12))
    return float(scores[order[place]]) if place < len(scores) else np.inf


def _width(interval: NDArray[np.float64], box: ParameterBox, column: int) -> NDArray[np.float64]:
    return (interval[..., 2] - interval[..., 0]) / box.width[column]


def _score(interval: NDArray[np.float64], truth: NDArray[np.float64], box_width: float) -> NDArray[np.float64]:
    """(n,) distance of the truth from the median over the interval's own on that side."""
    low, median, high = interval.T
    side = np.where(truth < median, median - low, high - median)
    return np.abs(truth - median) / np.maximum(side, NARROWEST * box_width)


def _checked(
    intervals: ArrayLike, truth: ArrayLike, level: float, groups: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    found, true = np.asarray(intervals, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    sample = np.arange(len(true)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    count = len(PARAMETERS)
    fits = found.shape == (len(true), count, 3) and true.shape == (len(true), count) and sample.shape == (len(true),)
    if not fits or not len(true) or not (np.isfinite(found).all() and np.isfinite(true).all()) or not 0 < level < 1:
        raise InputError(
            f"intervals of shape {found.shape}, truth of shape {true.shape}, {sample.size} groups, level {level}",
            needed="finite (n, 3, 3), (n, 3) and (n,), and a level between 0 and 1",
            action="correct the calibration set",
        )
    return found, true, sample.astype(np.int64)
