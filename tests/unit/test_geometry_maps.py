"""q-maps against closed forms. The comparison with pyFAI is in tests/reference."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gbx_beamline.geometry import q_maps
from gbx_beamline.records import Geometry

CHX = Geometry(
    shape=(2167, 3),
    mode="gisaxs",
    beam_center_x=1.0,
    beam_center_y=100.0,
    distance=10.08,
    wavelength=1.285e-10,
    pixel_size_x=75e-6,
    pixel_size_y=75e-6,
    incidence=math.radians(0.25),
)
K = 2 * math.pi / 1.285e-10
ROW, COLUMN = 7, 4


def seen_at_one_pixel(exit_angle: float, two_theta: float, **changes: Any) -> Geometry:
    """A geometry in which pixel (ROW, COLUMN) looks into this direction, two_theta positive to the right."""
    geometry = CHX.with_changes(shape=(20, 10), **changes)
    assert geometry.incidence is not None
    assert geometry.distance is not None
    # Right-handed axes: beam, left, up. Seen from the sample, anticlockwise is a negative turn about the beam.
    to_lab = Rotation.from_rotvec([-geometry.tilt, 0, 0]) * Rotation.from_rotvec([0, -geometry.incidence, 0])
    cos_f = math.cos(exit_angle)
    beam, left, up = to_lab.apply(
        [cos_f * math.cos(two_theta), -cos_f * math.sin(two_theta), math.sin(exit_angle)]
    ).tolist()
    columns = -left / beam * geometry.distance / 75e-6 * (-1 if geometry.flip_x else 1)
    rows = up / beam * geometry.distance / 75e-6 * (-1 if geometry.flip_y else 1)
    return geometry.with_changes(beam_center_x=COLUMN - columns, beam_center_y=ROW - rows)


ORIENTATIONS = [
    {},
    {"tilt": 0.02},
    {"tilt": -1.1},
    {"flip_x": True},
    {"flip_y": True},
    {"tilt": 0.4, "flip_x": True, "flip_y": True, "incidence": math.radians(3.0)},
]


@pytest.mark.parametrize("changes", ORIENTATIONS)
@pytest.mark.parametrize(("exit_angle", "two_theta"), [(0.004, 0.01), (0.05, -0.03), (-0.002, 0.007), (0.3, 0.5)])
def test_a_direction_has_the_textbook_momentum_transfer(changes, exit_angle, two_theta):
    geometry = seen_at_one_pixel(exit_angle, two_theta, **changes)
    maps = q_maps(geometry)
    a_i = geometry.incidence or 0.0
    q_x = K * (math.cos(exit_angle) * math.cos(two_theta) - math.cos(a_i))
    q_y = K * math.cos(exit_angle) * math.sin(two_theta)
    q_z = K * (math.sin(exit_angle) + math.sin(a_i))
    q_par = math.copysign(math.hypot(q_x, q_y), two_theta)
    assert maps.q_par[ROW, COLUMN] == pytest.approx(q_par, rel=1e-10)
    assert maps.q_z[ROW, COLUMN] == pytest.approx(q_z, rel=1e-10)
    assert maps.q[ROW, COLUMN] == pytest.approx(math.hypot(q_par, q_z), rel=1e-10)


@pytest.mark.parametrize("changes", ORIENTATIONS)
def test_the_reflected_beam_is_along_the_surface_normal(changes):
    a_i = changes.get("incidence", CHX.incidence)
    maps = q_maps(seen_at_one_pixel(a_i, 0.0, **changes))
    assert maps.q_z[ROW, COLUMN] == pytest.approx(2 * K * math.sin(a_i), rel=1e-12)
    assert abs(maps.q_par[ROW, COLUMN]) < 1e-14 * K


def test_a_quarter_turn_anticlockwise_reflects_to_the_left():
    maps = q_maps(CHX.with_changes(shape=(3, 4000), beam_center_x=2000.0, beam_center_y=1.0, tilt=math.pi / 2))
    reflected = int(np.argmin(np.abs(maps.q_par[1]) + np.abs(maps.q_z[1] - 2 * K * math.sin(math.radians(0.25)))))
    assert reflected == round(2000 - 10.08 * math.tan(math.radians(0.5)) / 75e-6)


def test_the_direct_beam_transfers_nothing():
    for mode in ("gisaxs", "transmission"):
        maps = q_maps(CHX.with_changes(mode=mode))
        assert (maps.q[100, 1], maps.q_par[100, 1], maps.q_z[100, 1]) == (0.0, 0.0, 0.0)


def test_components_make_up_the_modulus():
    maps = q_maps(CHX.with_changes(shape=(60, 50), distance=0.01, tilt=0.3, incidence=0.2))
    np.testing.assert_allclose(np.hypot(maps.q_par, maps.q_z), maps.q, rtol=1e-10, atol=1e-12 * maps.q.max())
    assert {getattr(maps, item.name).dtype for item in dataclasses.fields(maps)} == {np.dtype(np.float64)}


def test_small_angles_in_transmission_approach_k_theta_with_the_next_order():
    maps = q_maps(CHX.with_changes(mode="transmission", shape=(1, 900), beam_center_x=0.0, beam_center_y=0.0))
    theta = np.arange(1, 900) * 75e-6 / 10.08
    ratio = maps.q[0, 1:] / (K * theta)
    # 2 sin(atan(x) / 2) = x (1 - 3/8 x^2 + ...)
    np.testing.assert_allclose(ratio, 1 - 0.375 * theta**2, rtol=0, atol=theta.max() ** 4)


@pytest.mark.parametrize("flip", ["flip_x", "flip_y"])
def test_a_flip_mirrors_the_stored_image(flip):
    geometry = CHX.with_changes(shape=(40, 31), beam_center_x=11.2, beam_center_y=-5.4, tilt=0.2)
    expected = q_maps(geometry)
    if flip == "flip_x":
        stored, mirrored = q_maps(geometry.with_changes(flip_x=True, beam_center_x=30 - 11.2)), np.s_[:, ::-1]
    else:
        stored, mirrored = q_maps(geometry.with_changes(flip_y=True, beam_center_y=39 + 5.4)), np.s_[::-1, :]
    for item in dataclasses.fields(expected):
        here, there = getattr(stored, item.name)[mirrored], getattr(expected, item.name)
        np.testing.assert_allclose(here, there, rtol=0, atol=1e-13 * np.abs(there).max())


def test_left_is_minus_right():
    maps = q_maps(CHX.with_changes(shape=(50, 41), beam_center_x=20.0))
    np.testing.assert_array_equal(maps.q_par[:, :20], -maps.q_par[:, :20:-1])
    assert (maps.q_par[:, 20:] > 0).all()
    np.testing.assert_array_equal(maps.q_z, maps.q_z[:, ::-1])


def test_the_plane_of_incidence_counts_to_the_right_under_any_flip():
    for flip_x, flip_y in itertools.product((False, True), repeat=2):
        maps = q_maps(CHX.with_changes(beam_center_y=-50.0, flip_x=flip_x, flip_y=flip_y))
        assert (maps.q_par[:, 1] > 0).all()


@pytest.mark.parametrize(
    ("changes", "degrees"),
    [({}, (0, 90, 180, -90)), ({"flip_x": True}, (180, 90, 0, -90)), ({"flip_y": True}, (0, -90, 180, 90))],
)
def test_azimuth_turns_anticlockwise_from_the_right(changes, degrees):
    maps = q_maps(CHX.with_changes(shape=(3, 3), beam_center_x=1.0, beam_center_y=1.0, tilt=0.3, **changes))
    seen = [maps.azimuth[1, 2], maps.azimuth[2, 1], maps.azimuth[1, 0], maps.azimuth[0, 1]]
    np.testing.assert_allclose(np.cos(seen), np.cos(np.radians(degrees)), atol=1e-15)
    np.testing.assert_allclose(np.sin(seen), np.sin(np.radians(degrees)), atol=1e-15)


def test_the_printed_q_z_lies_half_a_metre_above_the_beam():
    # 0.275 1/Angstrom at 10.08 m is 57 cm above the beam and 52 cm above the horizon, far off the detector.
    tall = q_maps(CHX.with_changes(shape=(9000, 1), beam_center_x=0.0, beam_center_y=0.0))
    height = float(np.interp(0.275e10, tall.q_z[:, 0], np.arange(9000) * 75e-6))
    assert height == pytest.approx(0.5677, abs=1e-4)
    assert height - 10.08 * math.tan(math.radians(0.25)) == pytest.approx(0.5238, abs=1e-4)
    eiger = q_maps(CHX)
    assert np.ptp(eiger.q_z) / 1e10 == pytest.approx(0.079, abs=5e-4)
