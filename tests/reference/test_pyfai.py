"""q-maps against pyFAI, which has its own rotations, detector orientations and pixel positions."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.geometry import q_maps
from gbx_beamline.records import Geometry

pytest.importorskip("pyFAI", reason="the oracle of the q-maps is not installed")

from pyFAI.detectors import Detector
from pyFAI.integrator.fiber import FiberIntegrator
from pyFAI.units import get_unit_fiber

AGREEMENT = 1e-12
"""Of the map's maximum."""

CHX = Geometry(
    shape=(167, 150),
    mode="gisaxs",
    beam_center_x=71.3,
    beam_center_y=30.6,
    distance=10.08,
    wavelength=1.285e-10,
    pixel_size_x=75e-6,
    pixel_size_y=75e-6,
    incidence=math.radians(0.25),
)

CASES = {
    "plain": {},
    "beam centre off the detector": {"beam_center_x": -412.7, "beam_center_y": -1903.2},
    "no incidence": {"incidence": 0.0},
    "steep": {"incidence": 0.3, "distance": 0.02},
    "oblong pixels": {"pixel_size_x": 55e-6, "pixel_size_y": 172e-6},
    "tilt": {"tilt": 0.031},
    "negative tilt": {"tilt": -0.4},
    "flip_x": {"flip_x": True},
    "flip_y": {"flip_y": True},
    "everything": {
        "beam_center_x": 17.1,
        "beam_center_y": 803.4,
        "distance": 0.35,
        "pixel_size_y": 100e-6,
        "incidence": math.radians(1.2),
        "tilt": 0.27,
        "flip_x": True,
        "flip_y": True,
    },
}


class Oracle(NamedTuple):
    """pyFAI's maps, 1/m and rad."""

    q_par: NDArray[np.float64]
    q_z: NDArray[np.float64]
    q: NDArray[np.float64]
    azimuth: NDArray[np.float64]


def oracle(geometry: Geometry, *, rot3: float = 0.0, incident_angle: float = 0.0, tilt_angle: float = 0.0) -> Oracle:
    """pyFAI's maps; ``rot3`` turns the detector about the beam, ``tilt_angle`` the sample about its surface."""
    assert geometry.beam_center_x is not None
    assert geometry.beam_center_y is not None
    assert geometry.pixel_size_x is not None
    assert geometry.pixel_size_y is not None
    rows, columns = geometry.shape
    # pyFAI keeps the poni in physical space: a flip of the image moves the beam's pixel, not the poni.
    column = columns - 1 - geometry.beam_center_x if geometry.flip_x else geometry.beam_center_x
    row = rows - 1 - geometry.beam_center_y if geometry.flip_y else geometry.beam_center_y
    orientation = {(False, False): 3, (True, False): 4, (False, True): 2, (True, True): 1}
    integrator = FiberIntegrator(
        dist=geometry.distance,
        # Pixel centres are at half integers in pyFAI, at integers in GBX.
        poni1=(row + 0.5) * geometry.pixel_size_y,
        poni2=(column + 0.5) * geometry.pixel_size_x,
        rot3=rot3,
        wavelength=geometry.wavelength,
        detector=Detector(
            geometry.pixel_size_y,
            geometry.pixel_size_x,
            max_shape=geometry.shape,
            orientation=orientation[geometry.flip_x, geometry.flip_y],
        ),
    )
    maps: list[NDArray[np.float64]] = []
    for name in ("qip_nm^-1", "qoop_nm^-1"):
        integrator.reset()  # arrays are cached by the unit's name, whatever its angles
        unit: Any = get_unit_fiber(name, incident_angle=incident_angle, tilt_angle=tilt_angle)
        maps.append(integrator.center_array(unit=unit) * 1e9)
    return Oracle(
        *maps, q=integrator.center_array(unit="q_nm^-1") * 1e9, azimuth=integrator.center_array(unit="chi_rad")
    )


def assert_agrees(found: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= AGREEMENT * np.abs(expected).max()


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES.keys())
def test_gisaxs_maps_agree(changes):
    geometry = CHX.with_changes(**changes)
    maps = q_maps(geometry)
    expected = oracle(geometry, rot3=geometry.tilt, incident_angle=geometry.incidence or 0.0)
    assert_agrees(maps.q_par, expected.q_par)
    assert_agrees(maps.q_z, expected.q_z)
    assert_agrees(maps.q, expected.q)


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES.keys())
def test_agrees_with_the_sample_tilt_of_pyfai_at_equal_surface_normals(changes):
    # pyFAI tilts about the surface after the incidence, so that its beam meets the surface at another angle:
    # these two angles of its own describe the same surface.
    geometry = CHX.with_changes(**changes)
    incidence = geometry.incidence or 0.0
    expected = oracle(
        geometry,
        incident_angle=math.atan2(math.tan(incidence), math.cos(geometry.tilt)),
        tilt_angle=math.asin(math.cos(incidence) * math.sin(geometry.tilt)),
    )
    maps = q_maps(geometry)
    # The sign is told by a side that pyFAI turns within the surface.
    assert_agrees(np.abs(maps.q_par), np.abs(expected.q_par))
    assert_agrees(maps.q_z, expected.q_z)


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES.keys())
def test_transmission_maps_agree(changes):
    geometry = CHX.with_changes(**changes, mode="transmission")
    maps = q_maps(geometry)
    expected = oracle(geometry)
    assert_agrees(maps.q, expected.q)
    assert_agrees(maps.azimuth, expected.azimuth)
    np.testing.assert_array_equal(maps.q_par, maps.q)
    np.testing.assert_array_equal(maps.q_z, 0.0)


def test_sides_and_plane_of_incidence_agree_at_a_whole_beam_centre():
    geometry = CHX.with_changes(beam_center_x=70.0)
    maps = q_maps(geometry)
    expected = oracle(geometry, incident_angle=geometry.incidence or 0.0)
    assert_agrees(np.abs(maps.q_par), np.abs(expected.q_par))
    # In the plane itself rounding alone decides pyFAI's side; ours is the right.
    sides = np.sign(expected.q_par)
    sides[:, 70] = 1.0
    np.testing.assert_array_equal(np.sign(maps.q_par), sides)
