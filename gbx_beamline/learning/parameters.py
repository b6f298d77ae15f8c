"""The parameters that are inferred, and the box of the prior they live in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict

from gbx_beamline.errors import InputError
from gbx_beamline.learning._store_parts import KNOWN_ONLY, part_of
from gbx_beamline.records import PARAMETERS

LOGARITHMIC = (True, True, False)
"""Which of ``PARAMETERS`` networks see by their decadic logarithm."""


@dataclass(frozen=True)
class ParameterBox:
    """Bounds of ``u = (log10 D, log10 gamma, lambda)``, D in m^2/s and gamma in J s m^-4.

    Inside it the training's prior is uniform in u. It is wider in D than what is asked of a model, 3e-24..3e-21, so
    that no answer leans on an edge that the truth does not have.

    Raises:
        InputError: bounds that do not rise.
    """

    __pydantic_config__: ClassVar[ConfigDict] = KNOWN_ONLY

    log10_diffusivity: tuple[float, float] = (-23.7, -20.3)
    log10_gamma: tuple[float, float] = (17.0, 20.0)
    gb_fraction: tuple[float, float] = (0.0, 0.5)

    def __post_init__(self) -> None:
        for name, (low, high) in self.to_json().items():
            object.__setattr__(self, name, (float(low), float(high)))
            if not (np.isfinite([low, high]).all() and low < high):
                raise InputError(f"{name} {low:g}..{high:g}", needed="a finite range that rises", action="correct it")

    @property
    def low(self) -> NDArray[np.float64]:
        """(3,) of u."""
        return np.array([low for low, _ in self.to_json().values()])

    @property
    def high(self) -> NDArray[np.float64]:
        """(3,) of u."""
        return np.array([high for _, high in self.to_json().values()])

    @property
    def width(self) -> NDArray[np.float64]:
        """(3,) of u."""
        return self.high - self.low

    def to_u(self, physical: ArrayLike) -> NDArray[np.float64]:
        """(..., 3) u of (..., 3) parameters in SI."""
        values = np.asarray(physical, dtype=np.float64)
        with np.errstate(divide="ignore"):
            return np.where(LOGARITHMIC, np.log10(np.where(LOGARITHMIC, values, 1.0)), values)

    def to_physical(self, u: ArrayLike) -> NDArray[np.float64]:
        """(..., 3) parameters in SI of (..., 3) u."""
        values = np.asarray(u, dtype=np.float64)
        return np.where(LOGARITHMIC, 10.0 ** np.where(LOGARITHMIC, values, 0.0), values)

    def contains(self, u: ArrayLike) -> NDArray[np.bool_]:
        """(...,) whether (..., 3) u lies inside, bounds included."""
        values = np.asarray(u, dtype=np.float64)
        return np.asarray(((values >= self.low) & (values <= self.high)).all(axis=-1))

    def sample(self, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        """(count, 3) u of the prior."""
        return rng.uniform(self.low, self.high, (count, len(PARAMETERS)))

    def to_json(self) -> dict[str, tuple[float, float]]:
        """Bounds by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ParameterBox:
        """The inverse of ``to_json``.

        Raises:
            InputError: bounds that are none.
        """
        return part_of(cls, values, "a box of parameters")
