"""Which geometry applies, and what is refused."""

from __future__ import annotations

import math

import pytest

from gbx_beamline.config import GeometryConfig
from gbx_beamline.errors import GeometryError, UnitError
from gbx_beamline.geometry import overlay, q_maps
from gbx_beamline.records import Geometry

FILE = Geometry(
    shape=(8, 6),
    beam_center_x=1.5,
    beam_center_y=2.5,
    distance=4.0,
    wavelength=1e-10,
    pixel_size_x=55e-6,
    pixel_size_y=55e-6,
    flip_y=True,
)


def test_an_empty_configuration_changes_nothing():
    assert overlay(FILE, GeometryConfig()) == FILE


def test_configured_values_win_and_come_out_in_si():
    result = overlay(
        FILE,
        GeometryConfig(
            mode="gisaxs",
            beam_center_x=-3.0,
            distance_m=10.08,
            wavelength_angstrom=1.285,
            pixel_size_um=75,
            incidence_deg=0.25,
            critical_angle_deg=0.18,
            tilt_deg=-90,
            flip_x=True,
            flip_y=False,
        ),
    )
    assert (result.mode, result.shape, result.flip_x, result.flip_y) == ("gisaxs", (8, 6), True, False)
    assert (result.beam_center_x, result.beam_center_y, result.distance) == (-3.0, 2.5, 10.08)
    assert result.wavelength == pytest.approx(1.285e-10, rel=1e-15)
    assert result.pixel_size_x == result.pixel_size_y == pytest.approx(75e-6, rel=1e-15)
    assert result.incidence == pytest.approx(math.pi / 720, rel=1e-15)
    assert result.critical_angle == pytest.approx(math.pi / 1000, rel=1e-15)
    assert result.tilt == pytest.approx(-math.pi / 2, rel=1e-15)


def test_a_configured_zero_is_a_value():
    result = overlay(FILE.with_changes(tilt=0.1), GeometryConfig(beam_center_x=0.0, incidence_deg=0.0, tilt_deg=0.0))
    assert (result.beam_center_x, result.incidence, result.tilt) == (0.0, 0.0, 0.0)


def test_all_absent_values_are_named_with_their_keys():
    with pytest.raises(GeometryError) as caught:
        q_maps(Geometry(shape=(4, 4), mode="gisaxs", beam_center_x=1.0))
    assert str(caught.value) == (
        "the geometry lacks beam_center_y, distance, wavelength, pixel_size_x, pixel_size_y, incidence; "
        "needed: all of them to turn pixels into q (gisaxs); set analysis.geometry.beam_center_y, "
        "analysis.geometry.distance_m, analysis.geometry.wavelength_angstrom, analysis.geometry.pixel_size_um, "
        "analysis.geometry.incidence_deg in the configuration."
    )


def test_transmission_needs_no_incidence():
    assert FILE.incidence is None
    assert q_maps(FILE).q.shape == (8, 6)
    with pytest.raises(GeometryError, match="lacks incidence;"):
        q_maps(FILE.with_changes(mode="gisaxs"))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"distance": 0.0}, "distance = 0 is impossible; needed: a positive length in m; correct analysis.geometry.di"),
        ({"distance": -10.08}, "distance = -10.08 is impossible; needed: a positive length"),
        ({"wavelength": 0.0}, "wavelength = 0 is impossible; needed: a positive length.*wavelength_angstrom"),
        ({"pixel_size_y": -75e-6}, "pixel_size_y = -7.5e-05 is impossible.*pixel_size_um"),
        ({"beam_center_x": math.nan}, "beam_center_x = nan is impossible; needed: a finite number"),
        ({"distance": math.inf}, "distance = inf is impossible; needed: a finite number"),
        ({"tilt": math.nan}, "tilt = nan is impossible.*tilt_deg"),
        ({"incidence": -0.01}, "incidence = -0.01 is impossible; needed: an angle from 0 up to pi/2"),
        ({"incidence": math.pi / 2}, "incidence = 1.5708 is impossible.*incidence_deg"),
        ({"critical_angle": 0.0}, "critical_angle = 0 is impossible.*critical_angle_deg"),
        ({"shape": (0, 5)}, "a frame of shape \\(0, 5\\)"),
    ],
)
def test_impossible_values_are_refused(changes, text):
    with pytest.raises(GeometryError, match=text):
        q_maps(FILE.with_changes(**changes))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"distance": 10080.0}, "distance = 10080 m cannot be; it looks like mm; .* write 10.08 if it is in mm"),
        ({"wavelength": 1.285}, "wavelength = 1.285 m cannot be; it looks like Angstrom; .* write 1.285e-10 if"),
        ({"pixel_size_x": 75.0}, "pixel_size_x = 75 m cannot be; it looks like um; .* write 7.5e-05 if"),
    ],
)
def test_lengths_in_other_units_are_refused_with_the_fix(changes, text):
    with pytest.raises(UnitError, match=text):
        q_maps(FILE.with_changes(**changes))
