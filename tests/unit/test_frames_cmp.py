"""Compressed series of pyCHX: files written by the published layout, read to equal numbers, and what is refused."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline import one_time, open_series, two_time
from gbx_beamline.errors import SeriesError

ROWS, COLUMNS = 12, 20


def counts(frames: int = 7, rate: float = 0.4) -> NDArray[np.int64]:
    return np.random.default_rng(3).poisson(rate, (frames, ROWS, COLUMNS))


def packed(images: NDArray[Any], code: str = "h", **changes: Any) -> bytes:
    """The bytes that pyCHX writes (``init_compress_eigerdata``): width before height, empty frames as a bare 0."""
    head = {
        "beam_center_x": 3.0,
        "beam_center_y": 4.0,
        "count_time": 0.049,
        "detector_distance": 10.08,
        "frame_time": 0.05,
        "incident_wavelength": 1.285,
        "x_pixel_size": 75e-6,
        "y_pixel_size": 75e-6,
        "bytes": {"h": 2, "i": 4, "d": 8}[code],
        "nrows": images.shape[2],
        "ncols": images.shape[1],
        "rows_begin": 0,
        "rows_end": images.shape[2],
        "cols_begin": 0,
        "cols_end": images.shape[1],
    } | changes
    parts = [struct.pack("@16s8d7I916x", b"Version-COMP0001", *head.values())]
    for image in images:
        flat = image.ravel()
        where = np.flatnonzero(flat > 0)
        values = flat[where].astype({"h": np.int16, "i": np.int32, "d": np.float64}[code])
        parts.append(struct.pack("@I", where.size))
        parts.append(struct.pack(f"@{where.size}i", *where))
        parts.append(struct.pack(f"@{where.size}{code}", *values))
    return b"".join(parts)


def written(folder: Path, content: bytes) -> Path:
    path = folder / "uid_1.cmp"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("code", ["h", "i"])
def test_every_frame_comes_back_also_the_last_one_and_an_empty_one(tmp_path: Path, code: str) -> None:
    images = counts()
    images[3] = 0
    series = open_series(written(tmp_path, packed(images, code)))
    assert series.shape == images.shape
    assert series.dtype.kind == "u"
    np.testing.assert_array_equal(series.read(0, len(series)), images)
    np.testing.assert_array_equal(series.read(6, 7)[0], images[6])


def test_only_the_rectangle_asked_for(tmp_path: Path) -> None:
    images = counts()
    series = open_series(written(tmp_path, packed(images)))
    region = (slice(2, 9), slice(5, 6))
    np.testing.assert_array_equal(series.read(1, 4, region), images[1:4, 2:9, 5:6])


def test_counts_above_the_signed_range_are_read_as_pychx_does_and_the_loss_beyond_it_is_said(tmp_path: Path) -> None:
    images = counts()
    images[2, 5, 5] = 40_000
    series = open_series(written(tmp_path, packed(images)))
    assert series.read(2, 3)[0, 5, 5] == 40_000
    assert any("16 bits" in note for note in series.notes)
    assert not any("16 bits" in note for note in open_series(written(tmp_path, packed(images, "i"))).notes)


def test_what_the_header_tells_becomes_geometry_with_the_unit_said_but_not_the_centre(tmp_path: Path) -> None:
    series = open_series(written(tmp_path, packed(counts(), detector_distance=10080.0, x_pixel_size=75.0)))
    geometry = series.geometry
    assert series.frame_time == 0.05
    assert geometry.distance == pytest.approx(10.08)
    assert geometry.wavelength == pytest.approx(1.285e-10)
    assert (geometry.pixel_size_x, geometry.pixel_size_y) == (pytest.approx(75e-6), pytest.approx(75e-6))
    assert geometry.beam_center_x is None
    assert geometry.beam_center_y is None
    assert any("column 3, row 4" in note for note in series.notes)
    assert any("10080 without a unit: taken as 10.08 m" in note for note in series.notes)


def test_a_length_that_fits_no_unit_is_not_used(tmp_path: Path) -> None:
    series = open_series(written(tmp_path, packed(counts(), detector_distance=75.0, incident_wavelength=0.0)))
    assert series.geometry.distance is None
    assert series.geometry.wavelength is None
    assert any("75 without a unit fits none" in note for note in series.notes)
    assert not any(note.startswith("wavelength") for note in series.notes)


def test_correlations_are_those_of_the_counts(tmp_path: Path) -> None:
    images = counts(40, rate=2.0).astype(np.uint16)
    labels = np.ones((ROWS, COLUMNS), dtype=np.int32)
    labels[: ROWS // 2] = 2
    compressed = two_time(open_series(written(tmp_path, packed(images))), labels, groups=0)
    plain = two_time(images, labels, frame_time=0.05, groups=0)
    np.testing.assert_array_equal(compressed.g2, plain.g2)
    np.testing.assert_array_equal(one_time(compressed).g2, one_time(plain).g2)


def test_averages_of_frames_want_to_be_told_their_time_and_are_called_no_counts(tmp_path: Path) -> None:
    images = counts() / 4
    path = written(tmp_path, packed(images, "d"))
    with pytest.raises(SeriesError, match=r"frame time in it is that of one; needed: the time between averages"):
        open_series(path)
    series = open_series(path, frame_time=0.2)
    np.testing.assert_array_equal(series.read(0, len(series)), images)
    assert series.frame_time == 0.2
    assert any("no photon counts" in note for note in series.notes)


def test_a_header_without_frame_time_asks_for_it(tmp_path: Path) -> None:
    path = written(tmp_path, packed(counts(), frame_time=0.0))
    with pytest.raises(SeriesError, match="no frame time"):
        open_series(path)
    assert open_series(path, frame_time=0.1).frame_time == 0.1


@pytest.mark.parametrize("lost", [1, 2, 30])
def test_a_truncated_file_is_refused_or_cut_to_whole_frames(tmp_path: Path, lost: int) -> None:
    images = counts()
    path = written(tmp_path, packed(images)[:-lost])
    with pytest.raises(SeriesError, match=r"ends within frame 6: .* of .* bytes.*allow_incomplete=True to use the 6"):
        open_series(path)
    series = open_series(path, allow_incomplete=True)
    np.testing.assert_array_equal(series.read(0, len(series)), images[:6])
    assert any("left out" in note for note in series.notes)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (packed(counts())[:500], "begins with b'Version-COMP0001' and has 500 bytes"),
        (b"", "has 0 bytes"),
        (b"Version-COMP0002" + packed(counts())[16:], "begins with b'Version-COMP0002'"),
        (packed(counts(), bytes=3), "a value has 3 bytes; needed: 2, 4 or 8"),
        (packed(counts(), nrows=2**32 - 1, ncols=2**32 - 1), "4294967295 x 4294967295 pixels"),
        (packed(counts(), nrows=0), f"{ROWS} x 0 pixels"),
        (packed(counts(), rows_begin=4), r"holds the part \(4, 20, 0, 12\)"),
        (packed(counts()[:0]), "no frames"),
        (packed(counts()[:0]) + struct.pack("@I", 2**31), "2147483648 of 240 pixels counted"),
    ],
)
def test_what_is_no_series_is_refused_in_words(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(SeriesError, match=said):
        open_series(written(tmp_path, content))


@pytest.mark.parametrize("positions", [(5, 5), (7, 3), (-1, 4), (4, ROWS * COLUMNS)])
def test_positions_that_cannot_be_are_refused_as_they_are_read(tmp_path: Path, positions: tuple[int, int]) -> None:
    frame = struct.pack("@I2i2h", 2, *positions, 1, 1)
    path = written(tmp_path, packed(np.ones((3, ROWS, COLUMNS), dtype=int)) + frame)
    with pytest.raises(SeriesError, match="positions of frame 3 are out of order or off the image"):
        open_series(path).read(3, 4)


def test_a_file_of_zeros_is_not_counted_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gbx_beamline.frames.cmp.MOST_FRAMES", 50)
    with pytest.raises(SeriesError, match="at most 50 frames"):
        open_series(written(tmp_path, packed(counts()[:0]) + bytes(4 * 60)))


def test_a_file_that_changes_meanwhile_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, packed(counts()))
    series = open_series(path)
    path.write_bytes(packed(counts()[::-1]))
    with pytest.raises(SeriesError, match="changed while it was being read"):
        series.read(0, len(series))
