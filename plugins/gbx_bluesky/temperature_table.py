"""A simulated sample at a few temperatures, and what it is between them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from gbx_beamline.errors import InputError
from gbx_bluesky.temperature import checked_temperature

Point = TypeVar("Point")
"""A dataclass of numbers: the sample at one temperature."""


@dataclass(frozen=True)
class TemperatureTable(Generic[Point]):
    """Between two points the logarithm of what is thermally activated is linear in 1/T (Arrhenius).

    Raises:
        InputError: no point, something activated that is not above 0, or points that differ in what all must share.
        UnitError: temperatures that cannot be in K.
    """

    points: Mapping[float, Point]
    """By temperature in K."""

    activated: ClassVar[tuple[str, ...]] = ()
    """Fields of a point that follow Arrhenius' law; above 0."""
    linear: ClassVar[tuple[str, ...]] = ()
    """Fields that are linear in T. All other fields are the same in every point."""

    def __post_init__(self) -> None:
        for temperature in self.points:
            checked_temperature(temperature)
        points: list[Any] = list(self.points.values())
        varying = (*self.activated, *self.linear)
        shared = [field.name for field in fields(points[0]) if field.name not in varying] if points else []
        if (
            not points
            or any(getattr(point, name) <= 0 for point in points for name in self.activated)
            or any(getattr(point, name) != getattr(points[0], name) for point in points for name in shared)
        ):
            raise InputError(
                f"a sample of {dict(self.points)}",
                needed=f"at least one point, {' and '.join(self.activated)} above 0, and one value of "
                f"{', '.join(shared) or 'everything else'} in all points",
                action="restate the points alike",
            )
        object.__setattr__(self, "points", MappingProxyType(dict(sorted(self.points.items()))))

    def at(self, temperature: float, *, margin: float = 1.0) -> Point:
        """The sample at ``temperature`` K; within ``margin`` K of the ends the ends' values hold.

        Raises:
            InputError: a temperature outside the table.
        """
        known = np.array(list(self.points))
        if not known[0] - margin <= temperature <= known[-1] + margin:
            raise InputError(
                f"dynamics at {temperature:g} K",
                needed=f"a temperature between {known[0]:g} and {known[-1]:g} K, which the table covers",
                action="add a point to the table, or choose another setpoint",
            )
        points: list[Any] = list(self.points.values())
        # In 1/T; whole numbers are the points themselves, whose values come out exactly.
        place = float(np.interp(-1.0 / temperature, -1.0 / known, np.arange(len(known))))
        low, high = points[math.floor(place)], points[math.ceil(place)]
        share = place - math.floor(place)
        values = {name: getattr(low, name) ** (1.0 - share) * getattr(high, name) ** share for name in self.activated}
        for name in self.linear:
            values[name] = float(np.interp(temperature, known, [getattr(point, name) for point in points]))
        return replace(points[0], **values)
