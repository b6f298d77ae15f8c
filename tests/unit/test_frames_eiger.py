"""Reading Eiger series: order, what is absent, what is damaged, masks, bounded blocks."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from eiger_files import FIELDS, SPECIFIC, numbered_frames, write_data, write_fields, write_filewriter1, write_nxmx

from gbx_beamline.errors import MissingFramesError, SeriesError
from gbx_beamline.frames import EigerFile, open_series
from gbx_beamline.records import FrameSource


def split(frames: Any, size: int) -> list[Any]:
    return [frames[start : start + size] for start in range(0, len(frames), size)]


@pytest.mark.parametrize("padded", [True, False])
def test_acquisition_order_over_many_files_and_triggers(tmp_path: Path, padded: bool) -> None:
    frames = numbered_frames(69)
    master = write_filewriter1(tmp_path, split(frames, 6), nimages=23, ntrigger=3, padded=padded)
    series = open_series(master)
    assert series.shape == (69, 5, 7)
    np.testing.assert_array_equal(series.read(0, 69), frames)
    np.testing.assert_array_equal(series.read(5, 61, (slice(1, 4), slice(2, 7))), frames[5:61, 1:4, 2:7])
    assert series.frame_time == 0.005
    assert series.missing == ()
    assert series.present.all()


@pytest.mark.parametrize("through_links", [True, False])
def test_virtual_data_set(tmp_path: Path, through_links: bool) -> None:
    frames = numbered_frames(50)
    master = write_nxmx(tmp_path, split(frames, 4), through_links=through_links)
    series = open_series(master)
    np.testing.assert_array_equal(series.read(0, 50), frames)
    np.testing.assert_array_equal(series.read(3, 9), frames[3:9])


def test_one_data_set_in_the_master(tmp_path: Path) -> None:
    frames = numbered_frames(9)
    path = write_data(tmp_path / "whole.h5", frames, compressed=False)
    with h5py.File(path, "a") as file:
        write_fields(file, FIELDS)
    np.testing.assert_array_equal(open_series(str(path)).read(2, 9), frames[2:])


def test_one_frame_opens(tmp_path: Path) -> None:
    series = open_series(write_filewriter1(tmp_path, [numbered_frames(1)], nimages=1))
    assert len(series) == 1


def test_link_with_the_path_of_another_machine(tmp_path: Path) -> None:
    frames = numbered_frames(4)
    write_data(tmp_path / "moved_data_000001.h5", frames)
    with h5py.File(tmp_path / "moved_master.h5", "w") as file:
        write_fields(file, FIELDS)
        file["/entry/data/data_000001"] = h5py.ExternalLink("/detector/moved_data_000001.h5", "/entry/data/data")
    np.testing.assert_array_equal(open_series(tmp_path / "moved_master.h5").read(0, 4), frames)


@pytest.mark.parametrize("image_numbers", [True, False])
def test_file_absent_in_the_middle(tmp_path: Path, image_numbers: bool) -> None:
    frames = numbered_frames(25)
    files = split(frames, 10)
    files[1] = None
    master = write_filewriter1(tmp_path, files, nimages=25, image_numbers=image_numbers)
    series = open_series(master)
    assert series.shape == (25, 5, 7)
    assert series.missing == ("scan_1_data_000002.h5",)
    assert np.flatnonzero(~series.present).tolist() == list(range(10, 20))
    np.testing.assert_array_equal(series.read(0, 10), frames[:10])
    for source in (series, series.source):
        with pytest.raises(MissingFramesError, match=r"scan_1_data_000002\.h5.*allow_incomplete=True"):
            source.read(9, 11)
    with pytest.raises(MissingFramesError):
        next(series.blocks())
    accepted = open_series(master, allow_incomplete=True)
    expected = frames.copy()
    expected[10:20] = 0
    np.testing.assert_array_equal(accepted.read(0, 25), expected)
    assert any("10 of 25 frames absent" in note for note in accepted.notes)
    said = EigerFile(master)
    assert [note for note in said.notes if note not in said.lasting_notes] == [
        "scan_1_data_000002.h5 absent: 10 frames taken as missing from frame 10 on"
    ]


def test_image_numbers_tell_how_much_the_absent_files_held(tmp_path: Path) -> None:
    frames = numbered_frames(30)
    master = write_filewriter1(tmp_path, [None, None, frames[17:24], frames[24:30]], nimages=30)
    for number, first in ((3, 18), (4, 25)):
        with h5py.File(tmp_path / f"scan_1_data_{number:06d}.h5", "a") as file:
            file["/entry/data/data"].attrs["image_nr_low"] = first
    series = open_series(master, allow_incomplete=True)
    assert np.flatnonzero(series.present).tolist() == list(range(17, 30))
    np.testing.assert_array_equal(series.read(17, 30), frames[17:])


def test_absent_tail_is_cut_off_when_accepted(tmp_path: Path) -> None:
    frames = numbered_frames(20)
    master = write_filewriter1(tmp_path, [frames[:10], frames[10:], None, None], nimages=35)
    series = open_series(master)
    assert len(series) == 35
    assert series.missing == ("scan_1_data_000003.h5", "scan_1_data_000004.h5")
    accepted = open_series(master, allow_incomplete=True)
    assert len(accepted) == 20
    assert accepted.present.all()
    assert accepted.missing == series.missing
    np.testing.assert_array_equal(accepted.read(0, 20), frames)


def test_fewer_frames_than_promised(tmp_path: Path) -> None:
    frames = numbered_frames(14)
    master = write_filewriter1(tmp_path, split(frames, 10), nimages=5, ntrigger=4)
    series = open_series(master)
    assert len(series) == 20
    assert np.flatnonzero(~series.present).tolist() == list(range(14, 20))
    assert len(open_series(master, allow_incomplete=True)) == 14


def test_nothing_exists(tmp_path: Path) -> None:
    master = write_filewriter1(tmp_path, [None, None], nimages=20)
    with h5py.File(master, "a") as file:
        write_fields(
            file,
            {
                f"{SPECIFIC}/x_pixels_in_detector": (7, None),
                f"{SPECIFIC}/y_pixels_in_detector": (5, None),
                "/entry/instrument/detector/bit_depth_image": (16, None),
            },
        )
    for allowed in (False, True):
        series = open_series(master, allow_incomplete=allowed)
        assert series.shape == (20, 5, 7)
        assert series.missing == ("scan_1_data_000001.h5", "scan_1_data_000002.h5")
        with pytest.raises(MissingFramesError, match="none of the 20 frames exists"):
            series.read(0, 1)
        with pytest.raises(MissingFramesError):
            next(series.blocks())


def test_virtual_source_absent_is_no_zero(tmp_path: Path) -> None:
    frames = numbered_frames(12)
    master = write_nxmx(tmp_path, split(frames, 4), absent=[2])
    with h5py.File(master) as file:
        # What HDF5 makes of it, and why sources are resolved first.
        assert not np.asarray(file["/entry/data/data"][4:8]).any()
    series = open_series(master)
    assert series.missing == ("scan_2_000002.h5",)
    with pytest.raises(MissingFramesError, match=r"scan_2_000002\.h5"):
        series.read(0, 12)
    accepted = open_series(master, allow_incomplete=True)
    assert accepted.present.tolist() == [True] * 4 + [False] * 4 + [True] * 4


def test_virtual_sources_of_different_types(tmp_path: Path) -> None:
    master = write_nxmx(tmp_path, [numbered_frames(4), numbered_frames(4, dtype=np.uint32)])
    with pytest.raises(SeriesError, match="uint16 and uint32"):
        open_series(master)


def test_virtual_source_shorter_than_mapped(tmp_path: Path) -> None:
    frames = numbered_frames(8)
    master = write_nxmx(tmp_path, split(frames, 4))
    write_data(tmp_path / "scan_2_000002.h5", frames[4:6], dataset="/data")
    series = open_series(master)
    assert series.present.tolist() == [True] * 6 + [False] * 2
    assert any("scan_2_000002.h5" in name for name in series.missing)
    np.testing.assert_array_equal(open_series(master, allow_incomplete=True).read(0, 6), frames[:6])


def test_virtual_data_set_over_modules_masks_what_no_source_covers(tmp_path: Path) -> None:
    upper, lower = numbered_frames(6, (3, 7)), numbered_frames(6, (3, 7)) + 1
    layout = h5py.VirtualLayout((6, 8, 7), np.uint16)
    for rows, name, data in ((slice(0, 3), "upper.h5", upper), (slice(5, 8), "lower.h5", lower)):
        write_data(tmp_path / name, data, dataset="/data")
        layout[:, rows, :] = h5py.VirtualSource(name, "/data", shape=data.shape)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        write_fields(file, FIELDS)
        file.create_virtual_dataset("/entry/data/data", layout)
    series = open_series(tmp_path / "m.h5")
    assert series.excluded == {"no_source": 14}
    with h5py.File(tmp_path / "m.h5", "a") as file:
        bits = np.zeros((8, 7), np.uint32)
        bits[2:4, 1] = 4
        file[f"{SPECIFIC}/pixel_mask"] = bits
    # One of the two dead pixels lies in the gap, and counts once.
    assert open_series(tmp_path / "m.h5").excluded == {"pixel_mask": 2, "no_source": 13}
    served = EigerFile(tmp_path / "m.h5").pixel_mask()
    np.testing.assert_array_equal(served, bits + np.uint32(2**30) * (np.isin(np.arange(8), (3, 4))[:, None]))
    np.testing.assert_array_equal(series.read(1, 5, (slice(5, 8), slice(None))), lower[1:5])
    (tmp_path / "lower.h5").unlink()
    with pytest.raises(MissingFramesError, match=r"lower\.h5"):
        open_series(tmp_path / "m.h5").read(0, 1)


def test_chunks_that_were_never_written_are_absent(tmp_path: Path) -> None:
    path = tmp_path / "aborted_master.h5"
    with h5py.File(path, "w") as file:
        write_fields(file, FIELDS)
        data = file.create_dataset("/entry/data/data", shape=(10, 5, 7), dtype=np.uint16, chunks=(1, 5, 7))
        data[:4] = 3
        data[6] = 3
    series = open_series(path)
    assert np.flatnonzero(series.present).tolist() == [0, 1, 2, 3, 6]
    with pytest.raises(MissingFramesError, match="never written"):
        series.read(0, 10)
    assert open_series(path, allow_incomplete=True).present.tolist() == [True] * 4 + [False, False, True]


def test_truncated_data_file_is_named(tmp_path: Path) -> None:
    master = write_filewriter1(tmp_path, split(numbered_frames(20), 10), nimages=20)
    victim = tmp_path / "scan_1_data_000002.h5"
    victim.write_bytes(victim.read_bytes()[:700])
    series = open_series(master)
    assert series.missing == (victim.name,)
    assert any("cannot be opened" in note for note in series.notes)
    assert len(open_series(master, allow_incomplete=True)) == 10


def _shapes_differ(folder: Path) -> Path:
    return write_filewriter1(folder, [numbered_frames(3), numbered_frames(3, (5, 8))])


def _types_differ(folder: Path) -> Path:
    return write_filewriter1(folder, [numbered_frames(3), numbered_frames(3, dtype=np.uint32)])


def _stack_of(data: Any) -> Any:
    def make(folder: Path) -> Path:
        with h5py.File(folder / "m_master.h5", "w") as file:
            write_fields(file, FIELDS)
            file["/entry/data/data"] = data
        return folder / "m_master.h5"

    return make


def _truncated(folder: Path) -> Path:
    master = write_filewriter1(folder, [numbered_frames(3)])
    master.write_bytes(master.read_bytes()[:600])
    return master


def _text(folder: Path) -> Path:
    (folder / "notes_master.h5").write_text("no frames here")
    return folder / "notes_master.h5"


def _no_frames_named(folder: Path) -> Path:
    with h5py.File(folder / "m_master.h5", "w") as file:
        write_fields(file, FIELDS)
    return folder / "m_master.h5"


def _circle(folder: Path) -> Path:
    with h5py.File(folder / "m_master.h5", "w") as file:
        write_fields(file, FIELDS)
        file["/entry/data/data_000001"] = h5py.SoftLink("/entry/data/data_000002")
        file["/entry/data/data_000002"] = h5py.SoftLink("/entry/data/data_000001")
    return folder / "m_master.h5"


def _no_time(folder: Path) -> Path:
    return write_filewriter1(folder, [numbered_frames(3)], fields={})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_shapes_differ, r"scan_1_data_000002\.h5 holds frames \(5, 8\)"),
        (_types_differ, "uint32"),
        (_stack_of(np.ones((5, 7))), r"shape \(5, 7\)"),
        (_stack_of(np.ones((2, 5, 7), complex)), "complex128"),
        (_stack_of(np.full((2, 5, 7), b"x")), r"\|S1"),
        (_stack_of(np.ones((0, 5, 7))), "no frames"),
        (_truncated, "truncated"),
        (_text, "is no HDF5 file"),
        (_no_frames_named, "names no frames"),
        (_circle, "none of its data files exists"),
        (_no_time, "pass frame_time="),
        (lambda folder: folder / "absent_master.h5", "no file"),
    ],
)
def test_what_cannot_be_opened_says_why(tmp_path: Path, make: Any, message: str) -> None:
    path = make(tmp_path)
    with pytest.raises(SeriesError, match=message) as caught:
        open_series(path)
    assert caught.value.needed
    assert caught.value.action
    assert "\n" not in str(caught.value)


def test_damaged_frame_is_an_error_and_no_crash(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).poisson(3, (6, 200, 211)).astype(np.uint16)
    master = write_filewriter1(tmp_path, [noise])
    data = tmp_path / "scan_1_data_000001.h5"
    series = open_series(master)
    with h5py.File(data) as file:
        chunks = [file["/entry/data/data"].id.get_chunk_info(index) for index in (2, 3)]
    content = bytearray(data.read_bytes())
    cut, flipped = chunks
    # A block length that points beyond the chunk, and another where the compressed bytes are nonsense.
    content[cut.byte_offset + 12 : cut.byte_offset + 16] = b"\x7f\xff\xff\xff"
    content[flipped.byte_offset + 16 : flipped.byte_offset + 400] = b"\xff" * 384
    data.write_bytes(content)
    np.testing.assert_array_equal(series.read(0, 2), noise[:2])
    for index in (2, 3):
        with pytest.raises(SeriesError, match=r"scan_1_data_000001\.h5"):
            series.read(index, index + 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
@pytest.mark.parametrize("shape", [(5, 7), (64, 64), (61, 83)])
def test_frames_equal_those_of_h5py(tmp_path: Path, dtype: Any, shape: tuple[int, int]) -> None:
    frames = np.random.default_rng(2).integers(0, 255, (3, *shape)).astype(dtype)
    master = write_filewriter1(tmp_path, [frames])
    with h5py.File(master) as file:
        np.testing.assert_array_equal(EigerFile(master).read(0, 3), file["/entry/data/data_000001"][()])


def test_masks_and_their_reasons(tmp_path: Path) -> None:
    frames = numbered_frames(9)
    bits = np.zeros((5, 7), np.uint32)
    bits[0, :5] = [1, 2, 4, 8, 16]
    bits[0, 5] = 2**31
    frames[:, 0, 0] = 65535
    frames[:, 1, 0] = 65535
    frames[4, 2, 2] = 65535  # one saturated frame is no gap
    mask = np.ones((5, 7), bool)
    mask[4] = False
    series = open_series(write_filewriter1(tmp_path, [frames], pixel_mask=bits), mask=mask)
    assert series.excluded == {"pixel_mask": 6, "dtype_maximum": 1, "user_mask": 7}
    assert series.mask[2, 2]
    assert not series.mask[1, 0]
    assert int((~series.mask).sum()) == sum(series.excluded.values())
    more = series.with_mask(np.eye(5, 7, dtype=np.uint8) == 0, reason="beamstop")
    assert more.excluded["beamstop"] == 3
    assert series.mask[1, 1]
    assert not more.mask[1, 1]


def test_gaps_of_a_widened_copy(tmp_path: Path) -> None:
    frames = numbered_frames(4, dtype=np.uint32)
    frames[:, 1] = 65535
    fields = {**FIELDS, "/entry/instrument/detector/bit_depth_image": (16, None)}
    assert open_series(write_filewriter1(tmp_path, [frames], fields=fields)).excluded == {"dtype_maximum": 7}


def test_markers_are_judged_on_existing_frames_only(tmp_path: Path) -> None:
    frames = numbered_frames(9)
    frames[:, 1] = 65535
    master = write_filewriter1(tmp_path, [frames[:3], None, frames[6:]], nimages=9)
    assert open_series(master).excluded == {"dtype_maximum": 7}


def test_pixel_mask_of_another_shape_is_said(tmp_path: Path) -> None:
    series = open_series(write_filewriter1(tmp_path, [numbered_frames(3)], pixel_mask=np.ones((7, 5), np.uint8)))
    assert any("does not fit" in note for note in series.notes)
    assert series.mask.all()


@pytest.mark.parametrize(
    ("mask", "message"),
    [(np.ones((7, 5), bool), "transposed"), (np.full((5, 7), 0.5), "float64"), (np.full((5, 7), 3), "beside 0 and 1")],
)
def test_mask_that_does_not_fit(tmp_path: Path, mask: Any, message: str) -> None:
    with pytest.raises(SeriesError, match=message):
        open_series(write_filewriter1(tmp_path, [numbered_frames(3)]), mask=mask)


def test_blocks_are_bounded_and_complete(tmp_path: Path) -> None:
    frames = numbered_frames(53)
    series = open_series(write_filewriter1(tmp_path, split(frames, 10), nimages=53))
    limit = 4 * 5 * 7 * 2
    blocks = list(series.blocks(max_bytes=limit))
    assert all(block.nbytes <= limit for _, block in blocks)
    assert [start for start, _ in blocks] == list(range(0, 53, 4))
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), frames)
    region = (slice(1, 3), slice(0, 4))
    narrow = list(series.blocks(region, max_bytes=1))
    assert len(narrow) == 53
    np.testing.assert_array_equal(np.concatenate([block for _, block in narrow]), frames[:, 1:3, :4])


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (0, 11), (5, 4)])
def test_frames_outside_the_series(tmp_path: Path, start: int, stop: int) -> None:
    series = open_series(write_filewriter1(tmp_path, [numbered_frames(10)]))
    with pytest.raises(SeriesError, match=f"{start}:{stop} of a series of 10"):
        series.read(start, stop)


def test_region_with_a_step(tmp_path: Path) -> None:
    series = open_series(write_filewriter1(tmp_path, [numbered_frames(2)]))
    with pytest.raises(SeriesError, match="step 2"):
        series.read(0, 1, (slice(0, 4, 2), slice(None)))


def test_source_is_a_frame_source_that_holds_no_file_open(tmp_path: Path) -> None:
    master = write_filewriter1(tmp_path, split(numbered_frames(6), 3))
    source = EigerFile(master)
    assert isinstance(source, FrameSource)
    source.read(0, 6)
    for path in tmp_path.glob("*.h5"):
        # HDF5 refuses to open for writing what is open for reading.
        with h5py.File(path, "r+"):
            pass
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy.read(2, 5), source.read(2, 5))


def test_given_frame_time_wins_and_is_said(tmp_path: Path) -> None:
    master = write_filewriter1(tmp_path, [numbered_frames(3)])
    series = open_series(master, frame_time=0.01)
    assert series.frame_time == 0.01
    assert "frame_time 0.01 s given, the file says 0.005 s" in series.notes
    with pytest.raises(SeriesError, match="positive"):
        open_series(master, frame_time=0.0)
