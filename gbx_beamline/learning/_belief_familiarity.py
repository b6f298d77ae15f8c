"""How unlike everything known a scan is: distances in the space of a network's context vector, as probabilities.

Two distances, because each is blind to something: Mahalanobis' from the middle of all simulations (Lee et al., NeurIPS
2018, here with one class and the covariance shrunk after Ledoit and Wolf, J. Multivar. Anal. 88, 365 (2004)) sees a
scan that is extreme; the mean distance to the nearest simulations (Sun et al., ICML 2022) sees one in a hole between
them. What a distance means follows from simulations that were not used as references: the p-value is the share of them
that is as far away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.errors import InputError

NEIGHBOURS = 10
"""How many of the nearest references a distance is the mean of."""

MOST_REFERENCES = 1500
"""Of simulations: they are stored with the model."""

FEWEST_HELD_OUT = 100
"""Simulations that a p-value can be the share of."""

FEWEST_ACCEPTED = 20
"""Experiments below which nothing is said about being like them: the smallest p-value is one in their number."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Familiarity:
    """What simulations look like to a network, d features each."""

    middle: NDArray[np.float32]
    """(d,) mean of the references."""
    scale: NDArray[np.float32]
    """(d,) their standard deviations; infinite where a feature never varies."""
    whitening: NDArray[np.float32]
    """(d, d) W of the scaled features: |W x|^2 is Mahalanobis' distance squared."""
    references: NDArray[np.float32]
    """(m, d) scaled."""
    held_out: NDArray[np.float32]
    """(2, h) the two distances of the simulations held out, each sorted."""
    worst: NDArray[np.float32]
    """(h,) the larger of a held-out simulation's two ranks, sorted."""

    @classmethod
    def fit(cls, references: ArrayLike, held_out: ArrayLike) -> Familiarity:
        """From the features of simulated scans.

        Args:
            references: (n, d) with the numbers of q-ROIs, counts and effects that scans may have; of more than
                ``MOST_REFERENCES`` the first are kept as neighbours.
            held_out: (h, d) of other simulations from the same prior.

        Raises:
            InputError: too few, of different lengths, or not finite.
        """
        known, others = _checked(references), _checked(held_out)
        if known.shape[1] != others.shape[1] or len(known) <= NEIGHBOURS or len(others) < FEWEST_HELD_OUT:
            raise InputError(
                f"features of shapes {known.shape} and {others.shape}",
                needed=f"more than {NEIGHBOURS} references and {FEWEST_HELD_OUT} held out, of the same length",
                action="simulate more scans",
            )
        middle, spread = known.mean(axis=0), known.std(axis=0)
        scale = np.where(spread > 1e-6 * max(float(spread.max()), 1e-30), spread, np.inf)
        scaled = (known - middle) / scale
        draft = cls(
            middle=middle.astype(np.float32),
            scale=scale.astype(np.float32),
            whitening=_inverse_root(_shrunk_covariance(scaled)).astype(np.float32),
            references=scaled[:MOST_REFERENCES].astype(np.float32),
            held_out=np.empty((2, 0), dtype=np.float32),
            worst=np.empty(0, dtype=np.float32),
        )
        distances = draft.distances(others)
        ordered = np.sort(distances, axis=0).T.astype(np.float32)
        ranks = _shares_below(ordered, distances).max(axis=1)
        return cls(**{**vars(draft), "held_out": ordered, "worst": np.sort(ranks).astype(np.float32)})

    def scaled(self, features: ArrayLike) -> NDArray[np.float64]:
        """(n, d) features in units of the references' spread.

        Raises:
            InputError: another number of features, or not finite.
        """
        values = _checked(features)
        if values.shape[1] != len(self.middle):
            raise InputError(
                f"{values.shape[1]} features",
                needed=f"{len(self.middle)}, those of the network that this belief was made for",
                action="use the belief that is stored with the model",
            )
        return np.asarray((values - self.middle) / self.scale, dtype=np.float64)

    def distances(self, features: ArrayLike) -> NDArray[np.float64]:
        """(n, 2) Mahalanobis' distance and the mean distance to the nearest references."""
        x = self.scaled(features)
        return np.stack([np.linalg.norm(x @ self.whitening.T, axis=1), nearest(x, self.references, NEIGHBOURS)], axis=1)

    def p_values(self, features: ArrayLike) -> NDArray[np.float64]:
        """(n,) share of simulations that are at least as strange; the smallest is 1 / (h + 1).

        Args:
            features: (n, d).
        """
        ranks = _shares_below(self.held_out, self.distances(features)).max(axis=1)
        stranger = len(self.worst) - np.searchsorted(self.worst, ranks.astype(np.float32), side="left")
        return np.asarray((1.0 + stranger) / (len(self.worst) + 1.0), dtype=np.float64)

    def to_state(self) -> dict[str, NDArray[np.float32]]:
        """Arrays for safetensors."""
        return dict(vars(self))

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[np.float32]]) -> Familiarity:
        """The inverse of ``to_state``."""
        return cls(**state)


@dataclass(frozen=True, kw_only=True, eq=False)
class Accepted:
    """Experiments that people accepted, in the scaled features of ``Familiarity``."""

    references: NDArray[np.float32]
    """(m, d)."""
    own: NDArray[np.float32]
    """(m,) distance of each from its nearest neighbours among the others, sorted."""

    @classmethod
    def fit(cls, familiarity: Familiarity, features: ArrayLike) -> Accepted:
        """From the features of accepted experiments.

        Args:
            familiarity: of the same network.
            features: (m, d).

        Raises:
            InputError: fewer than ``FEWEST_ACCEPTED``.
        """
        scaled = familiarity.scaled(features)
        if len(scaled) < FEWEST_ACCEPTED:
            raise InputError(
                f"{len(scaled)} accepted experiments",
                needed=f"at least {FEWEST_ACCEPTED}",
                action="accept more scans, and leave this comparison out until then",
            )
        own = nearest(scaled, scaled, cls._neighbours(len(scaled)), skip_self=True)
        return cls(references=scaled.astype(np.float32), own=np.sort(own).astype(np.float32))

    @staticmethod
    def _neighbours(count: int) -> int:
        """Fewer among few: the nearest of twenty experiments is near, the tenth is not."""
        return max(1, min(NEIGHBOURS, count // 10))

    def p_values(self, scaled: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) share of the accepted experiments that are as far from the others.

        Args:
            scaled: (n, d) from ``Familiarity.scaled``.
        """
        distance = nearest(scaled, self.references, self._neighbours(len(self.references)))
        further = len(self.own) - np.searchsorted(self.own, distance.astype(np.float32), side="left")
        return np.asarray((1.0 + further) / (len(self.own) + 1.0), dtype=np.float64)

    def to_state(self) -> dict[str, NDArray[np.float32]]:
        """Arrays for safetensors."""
        return dict(vars(self))

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[np.float32]]) -> Accepted:
        """The inverse of ``to_state``."""
        return cls(**state)


def nearest(
    x: NDArray[np.floating], references: NDArray[np.floating], count: int, *, skip_self: bool = False
) -> NDArray[np.float64]:
    """(n,) mean Euclidean distance of (n, d) to the ``count`` nearest of (m, d) references."""
    wide, known = np.asarray(x, dtype=np.float64), np.asarray(references, dtype=np.float64)
    squares = (wide**2).sum(axis=1)[:, None] + (known**2).sum(axis=1) - 2.0 * wide @ known.T
    if skip_self:
        np.fill_diagonal(squares, np.inf)
    near = np.partition(squares, count - 1, axis=1)[:, :count]
    return np.asarray(np.sqrt(np.maximum(near, 0.0)).mean(axis=1), dtype=np.float64)


def _checked(features: ArrayLike) -> NDArray[np.float64]:
    values = np.atleast_2d(np.asarray(features, dtype=np.float64))
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise InputError(
            f"features of shape {values.shape}" + ("" if np.isfinite(values).all() else " that are not finite"),
            needed="(n, d) finite numbers",
            action="give the context vectors of the network",
        )
    return values


def _shares_below(ordered: NDArray[np.float32], distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) share of the sorted distances (2, h) that each (n, 2) exceeds. Beyond the last it goes on growing."""
    count = ordered.shape[1]
    shares = np.empty(distances.shape)
    for column, known in enumerate(ordered):
        below = np.searchsorted(known, distances[:, column].astype(np.float32), side="left") / count
        # Without it, two scans that are both stranger than everything would be equally strange.
        beyond = np.maximum(distances[:, column] / max(float(known[-1]), 1e-30) - 1.0, 0.0)
        shares[:, column] = below + beyond
    return shares


def _shrunk_covariance(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(d, d) covariance drawn towards a multiple of the unit matrix, as far as its own noise asks for (Ledoit and Wolf
    2004, sec. 3.3)."""
    n, d = x.shape
    centred = x - x.mean(axis=0)
    sample = centred.T @ centred / n
    level = np.trace(sample) / d
    apart = float(((sample - level * np.eye(d)) ** 2).sum()) / d
    # sum over scans of |x x^T - S|^2, without the n matrices.
    lengths = (centred**2).sum(axis=1)
    noise = float((lengths**2).sum() - n * (sample**2).sum()) / n**2 / d
    share = min(1.0, noise / apart) if apart > 0 else 1.0
    return share * level * np.eye(d) + (1.0 - share) * sample


def _inverse_root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(covariance)
    floor = 1e-6 * max(float(values[-1]), 1e-30)
    return (vectors / np.sqrt(np.maximum(values, floor))).T
