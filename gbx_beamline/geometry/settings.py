"""Which geometry applies: values of the configuration laid over those of the file, complete and possible."""

from __future__ import annotations

import math
from typing import NamedTuple

from gbx_beamline.config import GeometryConfig
from gbx_beamline.errors import GeometryError, UnitError
from gbx_beamline.records import Geometry

_CONFIG_KEYS = {
    "beam_center_x": "beam_center_x",
    "beam_center_y": "beam_center_y",
    "distance": "distance_m",
    "wavelength": "wavelength_angstrom",
    "pixel_size_x": "pixel_size_um",
    "pixel_size_y": "pixel_size_um",
    "incidence": "incidence_deg",
}

# From here on a length in metres is one written in another unit: limit, that unit, its size in metres.
_OTHER_UNITS = {
    "distance": (1e3, "mm", 1e-3),
    "wavelength": (1e-8, "Angstrom", 1e-10),
    "pixel_size_x": (1e-2, "um", 1e-6),
    "pixel_size_y": (1e-2, "um", 1e-6),
}


class Measured(NamedTuple):
    """The numbers of a complete geometry, none of them absent or impossible."""

    beam_center_x: float
    """Column, pixels."""
    beam_center_y: float
    """Row, pixels."""
    distance: float
    """m."""
    wavelength: float
    """m."""
    pixel_size_x: float
    """m."""
    pixel_size_y: float
    """m."""
    incidence: float
    """rad; 0 in transmission."""

    @property
    def wavenumber(self) -> float:
        """``k = 2 pi / wavelength``, 1/m."""
        return 2.0 * math.pi / self.wavelength


def overlay(geometry: Geometry, config: GeometryConfig) -> Geometry:
    """The geometry with every value that the configuration gives put in place of the file's, in SI.

    Args:
        geometry: What the detector file says.
        config: Degrees, Angstrom, um and m as the configuration's keys say; None leaves the file's value.

    Returns:
        A new geometry: m and rad. ``pixel_size_um`` sets both sides of a pixel.
    """
    given = {
        "mode": config.mode,
        "beam_center_x": config.beam_center_x,
        "beam_center_y": config.beam_center_y,
        "distance": config.distance_m,
        "wavelength": _scaled(config.wavelength_angstrom, 1e-10),
        "pixel_size_x": _scaled(config.pixel_size_um, 1e-6),
        "pixel_size_y": _scaled(config.pixel_size_um, 1e-6),
        "incidence": _scaled(config.incidence_deg, math.pi / 180.0),
        "critical_angle": _scaled(config.critical_angle_deg, math.pi / 180.0),
        "tilt": _scaled(config.tilt_deg, math.pi / 180.0),
        "flip_x": config.flip_x,
        "flip_y": config.flip_y,
    }
    return geometry.with_changes(**{name: value for name, value in given.items() if value is not None})


def missing_values(geometry: Geometry) -> tuple[str, ...]:
    """Names of the values without which no q can be told; the incidence counts in GISAXS only."""
    return tuple(
        name
        for name in _CONFIG_KEYS
        if getattr(geometry, name) is None and (name != "incidence" or geometry.mode == "gisaxs")
    )


def measured(geometry: Geometry) -> Measured:
    """The numbers of a complete geometry.

    Raises:
        GeometryError: values are absent (all are named, with the configuration keys that supply them),
            not finite, not positive, or the incidence is not between 0 and 90 degrees.
        UnitError: a length that only makes sense in another unit than m.
    """
    absent = missing_values(geometry)
    if absent:
        keys = dict.fromkeys(f"analysis.geometry.{_CONFIG_KEYS[name]}" for name in absent)
        raise GeometryError(
            f"the geometry lacks {', '.join(absent)}",
            needed=f"all of them to turn pixels into q ({geometry.mode})",
            action=f"set {', '.join(keys)} in the configuration",
        )
    check_possible(geometry)
    values = {name: float(getattr(geometry, name)) for name in _CONFIG_KEYS if name != "incidence"}
    return Measured(**values, incidence=float(geometry.incidence or 0.0) if geometry.mode == "gisaxs" else 0.0)


def check_possible(geometry: Geometry) -> None:
    """Refuse values that no experiment has; absent ones pass.

    Raises:
        GeometryError: a value that is not finite, not positive where it must be, or a frame without pixels.
        UnitError: a length that only makes sense in another unit than m.
    """
    if len(geometry.shape) != 2 or min(geometry.shape) < 1:
        raise GeometryError(
            f"a frame of shape {tuple(geometry.shape)}",
            needed="(rows, columns), both at least 1",
            action="open the series the frames belong to",
        )
    for name in (*_CONFIG_KEYS, "critical_angle", "tilt"):
        value = getattr(geometry, name)
        if value is not None:
            _check_value(name, float(value))


def _check_value(name: str, value: float) -> None:
    if not math.isfinite(value):
        _refuse(name, value, "a finite number")
    if name in _OTHER_UNITS:
        if value <= 0:
            _refuse(name, value, "a positive length in m")
        limit, unit, size = _OTHER_UNITS[name]
        if value >= limit:
            raise UnitError(
                f"{name} = {value:g} m cannot be; it looks like {unit}",
                needed=f"m, below {limit:g}",
                action=f"write {value * size:g} if it is in {unit}",
            )
    if name == "incidence" and not 0.0 <= value < math.pi / 2:
        _refuse(name, value, "an angle from 0 up to pi/2 rad (90 degrees)")
    if name == "critical_angle" and not 0.0 < value < math.pi / 2:
        _refuse(name, value, "an angle between 0 and pi/2 rad (90 degrees)")


def _refuse(name: str, value: float, needed: str) -> None:
    key = {"critical_angle": "critical_angle_deg", "tilt": "tilt_deg", **_CONFIG_KEYS}[name]
    raise GeometryError(
        f"{name} = {value:g} is impossible",
        needed=needed,
        action=f"correct analysis.geometry.{key} in the configuration",
    )


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value * unit
