"""Which q-ROIs are flagged as crossing the reflected beam or the Yoneda band."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import gbx_beamline as gbx
from gbx_beamline.records import Geometry

DEGREE = math.pi / 180
INCIDENCE, CRITICAL = 0.25 * DEGREE, 0.15 * DEGREE
K = 2 * math.pi / 1.285e-10
# Pixels of 0.002 degrees, beam in the middle below.
GISAXS = Geometry(
    shape=(400, 201),
    mode="gisaxs",
    beam_center_x=100.0,
    beam_center_y=10.0,
    distance=10.0,
    wavelength=1.285e-10,
    pixel_size_x=10 * 0.002 * DEGREE,
    pixel_size_y=10 * 0.002 * DEGREE,
    incidence=INCIDENCE,
    critical_angle=CRITICAL,
)


def flags(exit_angles: tuple[float, float], q_par: tuple[float, float], **changes: Any) -> tuple[str, ...]:
    """Of a box between two exit angles in degrees; q_par in degrees in plane."""
    q_z = [K * (math.sin(angle * DEGREE) + math.sin(INCIDENCE)) / 1e10 for angle in exit_angles]
    low, high = (K * math.sin(angle * DEGREE) / 1e10 for angle in q_par)
    return gbx.q_rois(GISAXS.with_changes(**changes), boxes=[((low, high), (q_z[0], q_z[1]))]).flags[0]


@pytest.mark.parametrize(
    ("exit_angles", "q_par", "expected"),
    [
        ((0.24, 0.26), (0.0, 0.01), ("specular",)),
        ((0.20, 0.235), (0.0, 0.05), ("specular",)),
        ((0.20, 0.225), (0.0, 0.05), ()),
        ((0.265, 0.30), (0.0, 0.05), ("specular",)),
        ((0.275, 0.30), (0.0, 0.05), ()),
        ((0.24, 0.26), (0.015, 0.05), ("specular",)),
        ((0.24, 0.26), (0.025, 0.05), ()),
        ((0.14, 0.16), (0.05, 0.1), ("yoneda",)),
        ((0.10, 0.13), (0.05, 0.1), ("yoneda",)),
        ((0.10, 0.125), (0.05, 0.1), ()),
        ((0.165, 0.20), (0.05, 0.1), ("yoneda",)),
        ((0.175, 0.20), (0.05, 0.1), ()),
        ((0.10, 0.30), (0.0, 0.1), ("specular", "yoneda")),
    ],
)
def test_boxes_are_flagged_within_the_windows(exit_angles, q_par, expected):
    assert flags(exit_angles, q_par) == expected


def test_the_plane_of_incidence_away_from_the_spot_is_not_specular():
    assert flags((0.30, 0.40), (0.0, 0.01)) == ()


def test_without_a_critical_angle_there_is_no_yoneda_flag():
    assert flags((0.14, 0.16), (0.05, 0.1), critical_angle=None) == ()


def test_a_tilt_moves_the_reflected_beam():
    # Turned by 30 degrees anticlockwise, the spot at 0.5 degrees above the beam goes 0.25 degrees to the left.
    row, column = 10 + round(250 * math.cos(math.pi / 6)), 100 - round(250 * math.sin(math.pi / 6))
    geometry = GISAXS.with_changes(shape=(400, 401), beam_center_x=200.0, tilt=math.pi / 6)
    labels = np.zeros(geometry.shape, np.int32)
    labels[row, column + 100] = 1
    labels[10 + 250, 200] = 2
    assert gbx.q_rois(geometry, labels=labels).flags == (("specular",), ())
    assert gbx.q_rois(geometry.with_changes(tilt=0.0), labels=labels).flags == ((), ("specular",))


def test_a_masked_reflection_flags_nothing():
    labels = np.zeros(GISAXS.shape, np.int32)
    labels[230:300, 90:111] = 1
    mask = np.ones(GISAXS.shape, bool)
    assert gbx.q_rois(GISAXS, labels=labels, mask=mask).flags == (("specular",),)
    mask[245:275, 85:116] = False
    assert gbx.q_rois(GISAXS, labels=labels, mask=mask).flags == ((),)


def test_transmission_knows_no_such_regions():
    geometry = GISAXS.with_changes(mode="transmission")
    assert gbx.q_rois(geometry, rings=[{"q": (0.0, 0.05)}]).flags == ((),)
