"""The Eiger writer: what it writes is read back, and it never wraps, overwrites or shows half a file."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from eiger_files import numbered_frames
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gbx_beamline.errors import MissingFramesError, SeriesError
from gbx_beamline.frames import EigerHeader, EigerWriter, open_series, read_header

HEADER = EigerHeader(
    frame_time=0.005,
    count_time=0.00499,
    nimages=5,
    ntrigger=3,
    distance=10.08,
    wavelength=1.2848e-10,
    beam_center_x=3.5,
    beam_center_y=-20.0,
    pixel_size_x=75e-6,
    pixel_size_y=75e-6,
    metadata={"description": "Simulated Eiger", "photon_energy": 9650.0},
)


@st.composite
def reading(draw: st.DrawFn) -> tuple[Any, int, int, int, tuple[slice, slice]]:
    dtype = draw(st.sampled_from([np.uint8, np.uint16, np.uint32]))
    shape = draw(st.tuples(st.integers(1, 14), st.integers(1, 12), st.integers(1, 12)))
    largest = int(np.iinfo(dtype).max)
    frames = draw(arrays.arrays(dtype, shape, elements=st.integers(0, largest - 1)))
    start = draw(st.integers(0, shape[0]))
    stop = draw(st.integers(start, shape[0]))
    low = [draw(st.integers(0, size - 1)) for size in shape[1:]]
    rows, columns = (slice(a, draw(st.integers(a + 1, size))) for a, size in zip(low, shape[1:], strict=True))
    return frames, draw(st.integers(1, 6)), start, stop, (rows, columns)


@settings(max_examples=20, deadline=None)
@given(reading())
def test_round_trip(case: tuple[Any, int, int, int, tuple[slice, slice]]) -> None:
    frames, per_file, start, stop, region = case
    header = replace(HEADER, nimages=len(frames), ntrigger=1)
    with tempfile.TemporaryDirectory() as folder:
        with EigerWriter(folder, "scan", header=header, frames_per_file=per_file, dtype=frames.dtype) as writer:
            writer.append(frames)
        series = open_series(writer.master)
        assert series.dtype == frames.dtype
        np.testing.assert_array_equal(series.read(start, stop, region), frames[start:stop, region[0], region[1]])
        assert series.mask.all()


def test_header_round_trip(tmp_path: Path) -> None:
    mask = np.zeros((5, 7), np.uint32)
    mask[2, 3] = 1
    frames = numbered_frames(15)
    with EigerWriter(tmp_path / "new", "scan", header=HEADER, frames_per_file=4, pixel_mask=mask) as writer:
        for trigger in range(3):
            writer.append(frames[5 * trigger : 5 * trigger + 5])
    header = read_header(writer.master)
    for name in ("frame_time", "count_time", "nimages", "ntrigger", "distance", "beam_center_x", "beam_center_y"):
        assert getattr(header, name) == getattr(HEADER, name), name
    assert header.wavelength == pytest.approx(HEADER.wavelength, rel=1e-12)
    assert header.shape == (5, 7)
    assert header.bit_depth == 16
    assert header.metadata["description"] == "Simulated Eiger"
    assert header.notes == ()
    series = open_series(writer.master)
    assert series.excluded == {"pixel_mask": 1}
    read = series.read(0, 15)
    assert (read[:, 2, 3] == 65535).all()
    np.testing.assert_array_equal(read[:, series.mask], frames[:, series.mask])


def test_data_files_close_as_they_fill_and_the_master_comes_last(tmp_path: Path) -> None:
    frames = numbered_frames(15)
    writer = EigerWriter(tmp_path, "scan", header=HEADER, frames_per_file=6)
    writer.append(frames[:5])
    assert list(tmp_path.glob("scan_*.h5")) == []
    writer.append(frames[5:13])
    assert [path.name for path in writer.data_files] == ["scan_data_000001.h5", "scan_data_000002.h5"]
    with h5py.File(writer.data_files[1]) as file:
        data = file["/entry/data/data"]
        assert (data.attrs["image_nr_low"], data.attrs["image_nr_high"]) == (7, 12)
        assert data.chunks == (1, 5, 7)
        np.testing.assert_array_equal(data[()], frames[6:12])
    assert not writer.master.exists()
    writer.append(frames[13])
    writer.append(frames[14])
    assert writer.close() == writer.close() == writer.master
    np.testing.assert_array_equal(open_series(writer.master).read(0, 15), frames)
    assert list(tmp_path.glob("*.part")) == list(tmp_path.glob(".*.part")) == []


def test_aborted_acquisition_is_readable_as_such(tmp_path: Path) -> None:
    class BeamLostError(Exception):
        pass

    frames = numbered_frames(7)
    writer = EigerWriter(tmp_path, "scan", header=HEADER, frames_per_file=4)

    def acquire() -> None:
        with writer:
            writer.append(frames)
            raise BeamLostError

    with pytest.raises(BeamLostError):
        acquire()
    series = open_series(writer.master)
    assert len(series) == 15
    assert "scan_data_000003.h5" in series.missing
    with pytest.raises(MissingFramesError):
        series.read(0, 15)
    np.testing.assert_array_equal(open_series(writer.master, allow_incomplete=True).read(0, 7), frames)


def test_without_nimages_what_was_written_is_promised(tmp_path: Path) -> None:
    with EigerWriter(tmp_path, "scan", header=EigerHeader(frame_time=1.0), frames_per_file=4) as writer:
        writer.append(numbered_frames(6))
    assert read_header(writer.master).expected_frames == 6
    assert open_series(writer.master).present.all()


@pytest.mark.parametrize(
    "counts", [np.full((5, 7), 65535), np.full((5, 7), 70000), np.full((5, 7), -1), np.full((5, 7), 0.5)]
)
def test_counts_that_do_not_fit_are_refused(tmp_path: Path, counts: Any) -> None:
    writer = EigerWriter(tmp_path, "scan", header=HEADER)
    with pytest.raises(SeriesError, match="whole numbers from 0 to 65534"):
        writer.append(counts)
    assert writer.frames_written == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["scan_master.h5", "scan_data_000001.h5", ".scan_data_000001.h5.part"])
def test_existing_files_are_never_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"measured")
    with pytest.raises(SeriesError, match="exists already"):
        EigerWriter(tmp_path, "scan", header=HEADER)
    assert (tmp_path / name).read_bytes() == b"measured"


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (numbered_frames(16), "16 frames"),
        (numbered_frames(2, (7, 5)), r"\(2, 7, 5\)"),
        (np.ones((5, 7), complex), "complex128"),
    ],
)
def test_frames_that_do_not_belong(tmp_path: Path, frames: Any, message: str) -> None:
    writer = EigerWriter(tmp_path, "scan", header=replace(HEADER, shape=(5, 7)))
    with pytest.raises(SeriesError, match=message):
        writer.append(frames)
    writer.close()
    with pytest.raises(SeriesError, match="closed already"):
        writer.append(numbered_frames(1))


@pytest.mark.parametrize(
    "arguments",
    [{"dtype": np.int16}, {"dtype": np.float32}, {"frames_per_file": 0}, {"pixel_mask": np.zeros((7, 5), np.uint32)}],
)
def test_impossible_arguments(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(SeriesError):
        EigerWriter(tmp_path, "scan", header=replace(HEADER, shape=(5, 7)), **arguments)
