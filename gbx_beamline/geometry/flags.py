"""Where scattering is not what a q-ROI is usually read as: the reflected beam and the Yoneda band.

``specular``: a pixel within 0.02 degrees of the reflected beam, both in exit angle (``|a_f - a_i|``) and in plane
(``|q_par| <= k * 0.02 degrees``). At fixed incidence only this spot is specular; elsewhere in the plane of
incidence the scattering is diffuse, so that a box from q_par = 0 upwards is flagged for the spot alone.

``yoneda``: a pixel whose exit angle is within 15 % of the critical angle, where the surface transmits most and
the wave inside the sample is not the one outside (Vineyard, Phys. Rev. B 26 (1982) 4146). Needs the critical angle.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.geometry.maps import QMaps
from gbx_beamline.geometry.settings import measured
from gbx_beamline.records import Bools, Geometry

SPECULAR_WINDOW = math.radians(0.02)
"""rad, to either side of the reflected beam, in and out of plane."""
YONEDA_WINDOW = 0.15
"""Share of the critical angle, to either side of it."""


def flags_of(geometry: Geometry, maps: QMaps, pixels: Bools) -> tuple[str, ...]:
    """Warnings of one ROI.

    Args:
        geometry: A complete one; transmission knows no such regions.
        maps: Its q-maps.
        pixels: (y, x) True for the pixels of the ROI that are used.

    Returns:
        ``"specular"`` and ``"yoneda"``, as far as they apply.
    """
    if geometry.mode != "gisaxs":
        return ()
    numbers = measured(geometry)
    exit_angle = _exit_angle(maps.q_z[pixels], numbers.wavenumber, numbers.incidence)
    found: list[str] = []
    near_plane = np.abs(maps.q_par[pixels]) <= numbers.wavenumber * SPECULAR_WINDOW
    if (near_plane & (np.abs(exit_angle - numbers.incidence) <= SPECULAR_WINDOW)).any():
        found.append("specular")
    critical = geometry.critical_angle
    if critical is not None and (np.abs(exit_angle - critical) <= YONEDA_WINDOW * critical).any():
        found.append("yoneda")
    return tuple(found)


def _exit_angle(q_z: NDArray[np.float64], wavenumber: float, incidence: float) -> NDArray[np.float64]:
    """Angle above the surface, rad: ``sin a_f = q_z / k - sin a_i``."""
    # Rounding alone can carry the sine past 1.
    return np.arcsin(np.clip(q_z / wavenumber - math.sin(incidence), -1.0, 1.0))
