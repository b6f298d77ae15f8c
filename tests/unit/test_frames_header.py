"""Units and quirks of Eiger headers, on rebuilt real layouts and one trap at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from eiger_files import DETECTOR, FIELDS, SPECIFIC, WAVELENGTH, numbered_frames, rebuild_layout, write_fields

from gbx_beamline.frames import EigerHeader, open_series, read_header


def header_of(folder: Path, **changes: tuple[Any, str | None] | None) -> EigerHeader:
    """Header of a master with some fields replaced (None: left out); names are relative to the detector group."""
    fields = dict(FIELDS)
    for name, value in changes.items():
        path = WAVELENGTH if name == "wavelength" else f"{DETECTOR}/{name.replace('__', '/')}"
        fields.pop(path, None)
        if value is not None:
            fields[path] = value
    path = folder / "m_master.h5"
    with h5py.File(path, "w") as file:
        write_fields(file, fields)
    return read_header(path)


def test_filewriter1_layout(shared_data: Path, tmp_path: Path) -> None:
    frames = numbered_frames(8)
    master = rebuild_layout(shared_data / "eiger/eiger9m_filewriter_v1_layout.json", tmp_path, frames)
    header = read_header(master)
    # Auto-summation of four: frame_period is 1.25 ms and must not become the time axis.
    assert header.frame_time == pytest.approx(5.00e-3, rel=1e-6)
    assert header.count_time == pytest.approx(4.99e-3, rel=1e-6)
    assert header.distance == pytest.approx(0.134255, rel=1e-6)
    assert header.wavelength == pytest.approx(0.9801122e-10, rel=1e-6)
    assert header.pixel_size_x == header.pixel_size_y == pytest.approx(75e-6, rel=1e-6)
    assert (header.beam_center_x, header.beam_center_y) == pytest.approx((1607.4150, 1586.4314))
    assert header.shape == (3269, 3110)
    assert header.expected_frames == 1
    assert header.metadata["description"] == "Dectris Eiger 9M"
    assert header.metadata["threshold_energy"] == 6325.0
    assert not any("wavelength" in note for note in header.notes)
    series = open_series(master)
    # nimages says 1; the data files are believed, and the contradiction is said.
    np.testing.assert_array_equal(series.read(0, 8), frames)
    assert any("promises 1 frames" in note for note in series.notes)


def test_nxmx_layout(shared_data: Path, tmp_path: Path) -> None:
    frames = numbered_frames(488, (4, 6))
    master = rebuild_layout(shared_data / "eiger/dls_i04_eiger16m_nxmx_layout.json", tmp_path, frames)
    header = read_header(master)
    assert header.frame_time is None
    assert header.count_time == 0.008
    assert header.distance == pytest.approx(0.2139589697850523)
    assert header.wavelength == pytest.approx(0.9802735610373182e-10)
    assert header.shape == (4362, 4148)
    series = open_series(master)
    assert series.frame_time == 0.008
    assert "frame_time absent in the file; count_time 0.008 s used" in series.notes
    assert any("no pixel_mask" in note for note in series.notes)
    # The virtual data set is declared int64, its source is not: gaps must keep the source's marker value.
    assert series.dtype == np.uint16
    np.testing.assert_array_equal(series.read(480, 488), frames[480:])


def test_arina_layout(shared_data: Path, tmp_path: Path) -> None:
    frames = numbered_frames(16, (6, 6), np.uint32)
    master = rebuild_layout(shared_data / "eiger/arina_2024_filewriter_layout.json", tmp_path, frames)
    header = read_header(master)
    assert header.frame_time == pytest.approx(9.96e-5)
    assert header.expected_frames == 16
    assert header.distance is None
    assert header.beam_center_x is None
    assert header.beam_center_y is None
    assert any("not measured" in note for note in header.notes)
    assert header.wavelength == pytest.approx(12398.4198 / 300e3 * 1e-10)
    assert any("photon_energy" in note for note in header.notes)
    series = open_series(master)
    assert series.present.all()
    assert len(series) == 16


@pytest.mark.parametrize(
    ("changes", "metres"),
    [
        ({}, 10.08),
        ({"detector_distance": (10080.0, "mm")}, 10.08),
        ({"detector_distance": ([10080.0], "mm")}, 10.08),
        ({"detector_distance": (10.08, None)}, 10.08),
        ({"detector_distance": None, "distance": (391.0, "millimeter")}, 0.391),
        ({"detector_distance": (0.0, "m"), "distance": (0.391, "m")}, 0.391),
        ({"detector_distance": (391.0, None), "transformations__det_z": ([391.0], "mm")}, 0.391),
        ({"detector_distance": (4.0, None), "transformations__det_z": ([4000.0], "mm")}, 4.0),
        ({"detector_distance": (10080.0, None)}, None),
        ({"detector_distance": (10080.0, "furlong")}, None),
        ({"detector_distance": (np.nan, "m")}, None),
        ({"detector_distance": (-1.0, "m")}, None),
        ({"detector_distance": None, "transformations__det_z": ([391.0], "mm")}, None),
    ],
)
def test_distance(tmp_path: Path, changes: dict[str, Any], metres: float | None) -> None:
    header = header_of(tmp_path, **changes)
    assert header.distance == (metres if metres is None else pytest.approx(metres))


def test_distances_that_differ_are_said(tmp_path: Path) -> None:
    header = header_of(tmp_path, distance=(9.0, "m"))
    assert header.distance == 10.08
    assert any("differ" in note for note in header.notes)


@pytest.mark.parametrize(
    ("changes", "metres"),
    [
        ({"wavelength": (1.2848, "angstrom")}, 1.2848e-10),
        ({"wavelength": ([1.2848], "Angstrom")}, 1.2848e-10),
        ({"wavelength": (1.2848, "\u00c5".encode())}, 1.2848e-10),
        ({"wavelength": (0.12848, "nm")}, 1.2848e-10),
        ({"wavelength": (1.2848e-10, "m")}, 1.2848e-10),
        ({"wavelength": (1.2848, None)}, 1.2848e-10),
        ({"wavelength": (1.2848e-10, None)}, 1.2848e-10),
        ({"wavelength": None, "detectorSpecific__photon_energy": (9650.0, "eV")}, 1.284810e-10),
        ({"wavelength": None, "photon_energy": (9.65, "keV")}, 1.284810e-10),
        ({"wavelength": None}, None),
    ],
)
def test_wavelength(tmp_path: Path, changes: dict[str, Any], metres: float | None) -> None:
    header = header_of(tmp_path, **changes)
    assert header.wavelength == (metres if metres is None else pytest.approx(metres, rel=1e-5))


def test_wavelength_against_photon_energy_is_said(tmp_path: Path) -> None:
    header = header_of(tmp_path, detectorSpecific__photon_energy=(12650.0, "eV"))
    assert header.wavelength == pytest.approx(1.2848e-10)
    assert any("does not fit photon_energy" in note for note in header.notes)


@pytest.mark.parametrize(("value", "unit"), [(5.0, "ms"), (5000.0, "us"), ([0.005], "s"), (0.005, None)])
def test_frame_time_units(tmp_path: Path, value: Any, unit: str | None) -> None:
    assert header_of(tmp_path, frame_time=(value, unit)).frame_time == pytest.approx(0.005)


def test_frame_period_is_never_the_frame_time(tmp_path: Path) -> None:
    header = header_of(tmp_path, frame_time=None, detectorSpecific__frame_period=(0.00125, "s"))
    assert header.frame_time is None


def test_beam_center_in_metres(tmp_path: Path) -> None:
    header = header_of(tmp_path, beam_center_x=(0.075, "m"), beam_center_y=(75.0, "mm"))
    assert (header.beam_center_x, header.beam_center_y) == pytest.approx((1000.0, 1000.0))


def test_beam_center_at_the_corner_with_a_distance_is_kept(tmp_path: Path) -> None:
    header = header_of(tmp_path, beam_center_x=(0.0, "pixel"), beam_center_y=(0.0, "pixel"))
    assert (header.beam_center_x, header.beam_center_y) == (0.0, 0.0)


def test_soft_link_and_dangling_external_link(tmp_path: Path) -> None:
    path = tmp_path / "m_master.h5"
    with h5py.File(path, "w") as file:
        write_fields(file, FIELDS)
        file[f"{DETECTOR}/distance"] = h5py.SoftLink(f"{DETECTOR}/detector_distance")
        file[f"{DETECTOR}/bit_depth_image"] = h5py.ExternalLink("gone_meta.h5", "bit_depth_image")
        file[f"{SPECIFIC}/pixel_mask"] = h5py.ExternalLink("gone_meta.h5", "mask")
    header = read_header(path)
    assert header.distance == 10.08
    assert header.bit_depth is None
    assert header.pixel_mask is None


def test_geometry_has_row_zero_at_the_top(tmp_path: Path) -> None:
    geometry = header_of(tmp_path).geometry((5, 7))
    assert geometry.flip_y
    assert not geometry.flip_x
    assert geometry.mode == "transmission"
    assert geometry.shape == (5, 7)
