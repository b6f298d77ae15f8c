"""Numbers with the units that a file writes beside them, as SI."""

from __future__ import annotations

from typing import Any

import numpy as np

from gbx_beamline.quantities import LENGTH, TIME

_LENGTH = LENGTH | {"angstrom": 1e-10, "angstroms": 1e-10, "\u00e5": 1e-10, "\u212b": 1e-10, "a": 1e-10}
_ENERGY = {"ev": 1.0, "kev": 1e3}
_PIXEL = {"pixel": 1.0, "pixels": 1.0, "px": 1.0}

SCALES = {"length": _LENGTH, "time": TIME, "energy": _ENERGY, "pixel": _PIXEL}
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
