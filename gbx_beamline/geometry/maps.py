"""Momentum transfer of every pixel, by exact rotation: no small-angle formula."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.geometry.settings import measured
from gbx_beamline.records import Geometry


@dataclass(frozen=True, kw_only=True)
class QMaps:
    """Momentum transfer ``q = k_f - k_i`` at the centre of each pixel. All are (y, x) float64."""

    q_par: NDArray[np.float64]
    """In the sample surface, 1/m. GISAXS: ``+-sqrt(q_x^2 + q_y^2)``, positive to the right of the plane of
    incidence as seen from the sample, and in that plane itself. Transmission: equal to ``q``."""
    q_z: NDArray[np.float64]
    """Along the surface normal, 1/m. 0 in transmission."""
    q: NDArray[np.float64]
    """Modulus, 1/m."""
    azimuth: NDArray[np.float64]
    """About the direct beam, rad in [-pi, pi], anticlockwise from the right as seen from the sample.
    Flips are undone, the tilt of the sample does not enter."""


def q_maps(geometry: Geometry) -> QMaps:
    """Momentum transfer of each pixel of a flat detector normal to the beam.

    In GISAXS the horizon is turned about the beam by ``tilt``, then the frame by ``incidence`` about the tilted
    horizon, so that z is the surface normal and x the beam's projection on the surface; then
    ``q_x = k (cos a_f cos 2t - cos a_i)``, ``q_y = k cos a_f sin 2t``, ``q_z = k (sin a_f + sin a_i)``
    (Renaud, Lazzari, Leroy, Surf. Sci. Rep. 64 (2009) 255). The angle between beam and surface is ``incidence``
    at any tilt. (pyFAI's ``tilt_angle`` turns about the surface instead, which changes that angle.)
    In transmission ``q = (4 pi / wavelength) sin(theta)``.

    Args:
        geometry: Image convention as in ``Geometry``: the beam centre is in stored image coordinates,
            pixel centres are at integers.

    Returns:
        Maps of the stored image, (y, x) float64, 1/m and rad.

    Raises:
        GeometryError: a value is absent (all are named) or impossible.
        UnitError: a length that only makes sense in another unit than m.
    """
    numbers = measured(geometry)
    rows, columns = geometry.shape
    right = (np.arange(columns) - numbers.beam_center_x) * (numbers.pixel_size_x * (-1 if geometry.flip_x else 1))
    up = (np.arange(rows) - numbers.beam_center_y) * (numbers.pixel_size_y * (-1 if geometry.flip_y else 1))
    right, up = right[np.newaxis, :], up[:, np.newaxis]
    azimuth = np.arctan2(up, right)
    k, distance = numbers.wavenumber, numbers.distance
    off_axis = right**2 + up**2
    path = np.sqrt(off_axis + distance**2)
    # 1 - cos(2 theta) without the cancellation that would cost eight digits at small angles.
    along_beam = off_axis / (path * (path + distance))
    q = k * np.sqrt(2.0 * along_beam)
    if geometry.mode == "transmission":
        return QMaps(q_par=q, q_z=np.zeros_like(q), q=q, azimuth=azimuth)

    cos_tilt, sin_tilt = math.cos(geometry.tilt), math.sin(geometry.tilt)
    cos_i, sin_i = math.cos(numbers.incidence), math.sin(numbers.incidence)
    lateral = (right * cos_tilt + up * sin_tilt) / path
    upward = (up * cos_tilt - right * sin_tilt) / path
    q_z = k * (cos_i * upward + sin_i * along_beam)
    forward = sin_i * upward - cos_i * along_beam
    # Adding 0 turns -0, which a flip leaves in the plane of incidence, into +0.
    q_par = k * np.copysign(np.sqrt(forward**2 + lateral**2), lateral + 0.0)
    return QMaps(q_par=q_par, q_z=q_z, q=q, azimuth=azimuth)
