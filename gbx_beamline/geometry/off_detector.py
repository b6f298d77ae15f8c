"""What to tell somebody whose q-ROI holds no pixel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import numpy as np

from gbx_beamline.config import QBox, QRing
from gbx_beamline.errors import RoiError
from gbx_beamline.geometry.maps import QMaps
from gbx_beamline.geometry.regions import INVERSE_ANGSTROM, Interval, inside
from gbx_beamline.geometry.settings import measured
from gbx_beamline.records import Floats, Geometry


def refuse_empty(geometry: Geometry, maps: QMaps, region: QBox | QRing, name: str) -> NoReturn:
    """Say why the region is empty: another unit, off the detector, or narrower than a pixel.

    Raises:
        RoiError: always.
    """
    if isinstance(region, QRing):
        covered = {"q": (maps.q, region.q)}
    else:
        covered = {"q_par": (maps.q_par, region.q_par), "q_z": (maps.q_z, region.q_z)}
    ranges = ", ".join(f"{key} from {_range(values)}" for key, (values, _) in covered.items())
    asked = _said({key: interval for key, (_, interval) in covered.items()})
    if isinstance(region, QBox):
        ranges += " 1/Angstrom (q_par < 0 is on the left)"
        asked += "" if region.side == "both" else f" on the {region.side}"
    else:
        ranges += " 1/Angstrom"
        asked += "" if region.azimuth is None else f", azimuth {region.azimuth[0]:g}..{region.azimuth[1]:g} degrees"
    found = f"the q-ROI {name!r} ({asked}) lies off the detector"
    action = "move the q-ROI, or correct the geometry"
    step = _pixel_step(geometry)
    narrow = [key for key, (_, (low, high)) in covered.items() if high - low < step]
    if not all(_reaches(np.abs(v) if key == "q_par" else v, i) for key, (v, i) in covered.items()):
        if inside(region, maps, scale=0.1).any():
            tenth = {key: (low / 10, high / 10) for key, (_, (low, high)) in covered.items()}
            action = f"the values look like 1/nm: write {_said(tenth)}"
    elif narrow:
        found = f"the q-ROI {name!r} ({asked}) holds no pixel centre"
        action = f"widen {' and '.join(narrow)} to a pixel or more, about {step:.2g} 1/Angstrom"
    raise RoiError(found, needed=f"what the detector covers, {ranges}", action=action)


def _said(intervals: Mapping[str, Interval]) -> str:
    return ", ".join(f"{key} {low:g}..{high:g}" for key, (low, high) in intervals.items()) + " 1/Angstrom"


def _range(values: Floats) -> str:
    return f"{values.min() / INVERSE_ANGSTROM:.4g} to {values.max() / INVERSE_ANGSTROM:.4g}"


def _reaches(values: Floats, interval: Interval) -> bool:
    low, high = (edge * INVERSE_ANGSTROM for edge in interval)
    return bool(values.max() >= low and values.min() < high)


def _pixel_step(geometry: Geometry) -> float:
    """q between neighbouring pixels near the beam, 1/Angstrom."""
    numbers = measured(geometry)
    size = max(numbers.pixel_size_x, numbers.pixel_size_y)
    return numbers.wavenumber * size / numbers.distance / INVERSE_ANGSTROM
