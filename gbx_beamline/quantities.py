"""Numbers with units as people and beamline archivers write them, as SI. What is not known here is not guessed."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

LENGTH = {
    "m": 1.0, "meter": 1.0, "metre": 1.0, "meters": 1.0, "metres": 1.0,
    "cm": 1e-2, "mm": 1e-3, "millimeter": 1e-3, "millimetre": 1e-3,
    "um": 1e-6, "\u00b5m": 1e-6, "\u03bcm": 1e-6, "micron": 1e-6, "microns": 1e-6, "micrometer": 1e-6,
    "nm": 1e-9, "nanometer": 1e-9, "pm": 1e-12,
}  # fmt: skip
TIME = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0,
    "ms": 1e-3, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ns": 1e-9,
}  # fmt: skip
_CURRENT = {"a": 1.0, "amp": 1.0, "ma": 1e-3, "ua": 1e-6, "\u00b5a": 1e-6, "\u03bca": 1e-6, "na": 1e-9}
_RATE = {"1/s": 1.0, "hz": 1.0, "cps": 1.0, "counts/s": 1.0, "photons/s": 1.0, "ph/s": 1.0}
_PURE = {"1": 1.0, "%": 1e-2, "percent": 1e-2, "counts": 1.0, "count": 1.0, "cts": 1.0, "photons": 1.0}
_KELVIN = ("k", "kelvin", "degk")
_CELSIUS = ("c", "degc", "deg c", "\u00b0c", "\u2103", "celsius", "degree celsius", "degrees celsius", "degree_celsius")

ICE_POINT = 273.15
"""0 Celsius in K."""

_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*")


class Unit(NamedTuple):
    """How a unit becomes SI: ``value * factor + zero``."""

    si: str
    """Name of the SI unit: "K", "A", "m", "s", "V", "rad", "1/s", or "1" for pure numbers."""
    factor: float
    zero: float = 0.0


def unit_of(text: str) -> Unit | None:
    """What a unit means, or None where it is not known. Case does not count: an archiver's "UM" is a micrometre."""
    name = " ".join(text.strip().lower().split())
    if name in _KELVIN:
        return Unit("K", 1.0)
    if name in _CELSIUS:
        return Unit("K", 1.0, ICE_POINT)
    tables = (("m", LENGTH), ("s", TIME), ("A", _CURRENT), ("1/s", _RATE), ("1", _PURE))
    for si, table in tables:
        if name in table:
            return Unit(si, table[name])
    return {
        "v": Unit("V", 1.0),
        "volt": Unit("V", 1.0),
        "mv": Unit("V", 1e-3),
        "rad": Unit("rad", 1.0),
        "deg": Unit("rad", math.pi / 180.0),
    }.get(name)


def number_and_unit(text: str) -> tuple[float, str] | None:
    """``"147.9 degC"`` as 147.9 and "degC", the unit empty where there is none; None where no number begins it."""
    found = _NUMBER.fullmatch(text)
    return None if found is None else (float(found[1]), found[2])
