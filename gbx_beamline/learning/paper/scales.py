"""Units of the paper's networks: parameters and S_noneq on 0..1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.records import PARAMETERS
from gbx_beamline.simulation.paper import RANGES


@dataclass(frozen=True)
class TargetScale:
    """Parameters in SI on the unit cube of the ensemble's ranges, linear or logarithmic, in the order ``PARAMETERS``.

    Raises:
        InputError: a logarithm of a range that begins at 0, or no such parameter.
    """

    logarithmic: tuple[str, ...] = ("diffusivity",)

    def __post_init__(self) -> None:
        for name in self.logarithmic:
            if name not in PARAMETERS or RANGES[name][0] <= 0:
                raise InputError(
                    f"a logarithm of {name}",
                    needed="parameters whose range begins above 0: diffusivity, gamma",
                    action="correct logarithmic",
                )

    @property
    def _logs(self) -> NDArray[np.bool_]:
        return np.array([name in self.logarithmic for name in PARAMETERS])

    @property
    def _ends(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        low, high = np.array([RANGES[name] for name in PARAMETERS]).T
        return self._straight(low), self._straight(high)

    def _straight(self, physical: NDArray[np.float64]) -> NDArray[np.float64]:
        logs = self._logs
        return np.where(logs, np.log(np.where(logs, physical, 1.0)), physical)

    def to_unit(self, physical: ArrayLike) -> NDArray[np.float64]:
        """(..., 3) on 0..1 of (..., 3) in SI."""
        low, high = self._ends
        return (self._straight(np.asarray(physical, dtype=np.float64)) - low) / (high - low)

    def to_physical(self, unit: ArrayLike) -> NDArray[np.float64]:
        """(..., 3) in SI of (..., 3) on 0..1; what lies outside is continued, not cut."""
        low, high = self._ends
        straight = low + np.asarray(unit, dtype=np.float64) * (high - low)
        return np.where(self._logs, np.exp(np.where(self._logs, straight, 0.0)), straight)


@dataclass(frozen=True)
class SScale:
    """S_noneq, as a ratio of norms, on 0..1.

    The paper takes the smallest and the largest value of simulation and experiment *together*. So do we, in this family
    alone: a model's scale then depends on the experiments that it was adapted to, and a single scan cannot have one of
    its own. S_noneq in records is never normalised.
    """

    low: float
    high: float

    @classmethod
    def joint(cls, *values: ArrayLike) -> SScale:
        """Of all finite values together.

        Raises:
            InputError: fewer than two different ones.
        """
        known = np.concatenate([np.ravel(np.asarray(each, dtype=np.float64)) for each in values])
        known = known[np.isfinite(known)]
        if known.size == 0 or not known.min() < known.max():
            raise InputError(
                f"{known.size} values of S_noneq, none different from another",
                needed="at least two different values",
                action="check the maps: are they constant?",
            )
        return cls(float(known.min()), float(known.max()))

    def to_unit(self, s: ArrayLike) -> NDArray[np.float64]:
        """On 0..1; NaN stays."""
        return (np.asarray(s, dtype=np.float64) - self.low) / (self.high - self.low)

    def to_norm(self, unit: ArrayLike) -> NDArray[np.float64]:
        """The inverse of ``to_unit``."""
        return self.low + np.asarray(unit, dtype=np.float64) * (self.high - self.low)

    def to_json(self) -> dict[str, float]:
        """Both ends."""
        return {"low": self.low, "high": self.high}


def stacked(columns: Mapping[str, ArrayLike], names: Sequence[str] = PARAMETERS) -> NDArray[np.float64]:
    """(m, 3) of (m,) columns by name."""
    return np.stack([np.asarray(columns[name], dtype=np.float64) for name in names], axis=1)
