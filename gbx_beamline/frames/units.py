"""Numbers with the units that a file writes beside them, as SI."""

from __future__ import annotations

from typing import Any

import numpy as np

_LENGTH = {
    "m": 1.0, "meter": 1.0, "metre": 1.0, "meters": 1.0, "metres": 1.0,
    "cm": 1e-2, "mm": 1e-3, "millimeter": 1e-3, "millimetre": 1e-3,
    "um": 1e-6, "\u00b5m": 1e-6, "\u03bcm": 1e-6, "micron": 1e-6, "microns": 1e-6, "micrometer": 1e-6,
    "nm": 1e-9, "nanometer": 1e-9, "pm": 1e-12,
    "angstrom": 1e-10, "angstroms": 1e-10, "\u00e5": 1e-10, "\u212b": 1e-10, "a": 1e-10,
}  # fmt: skip
_TIME = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0,
    "ms": 1e-3, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ns": 1e-9,
}  # fmt: skip
_ENERGY = {"ev": 1.0, "kev": 1e3}
_PIXEL = {"pixel": 1.0, "pixels": 1.0, "px": 1.0}

SCALES = {"length": _LENGTH, "time": _TIME, "energy": _ENERGY, "pixel": _PIXEL}
"""Kind of quantity -> unit in lower case -> factor to m, s, eV or pixels."""


def unit_name(attribute: Any) -> str | None:
    """A ``units`` attribute as lower-case text (files hold bytes, text, or arrays of one of them)."""
    if attribute is None:
        return None
    value = np.asarray(attribute)
    if value.size != 1:
        return None
    item = value.ravel()[0]
    text = item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
    return text.strip().strip("\x00").lower() or None


def scale(unit: str, kind: str) -> float | None:
    """Factor from a unit to SI (energies: eV), or None for a unit that is none of this kind."""
    return SCALES[kind].get(unit)
