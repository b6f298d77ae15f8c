"""Data files are followed as they close: in order, each once, and only where they may lie."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from eiger_files import numbered_frames, write_data

from gbx_beamline.errors import MissingFramesError, SeriesError
from gbx_beamline.frames import EigerHeader, EigerWriter
from gbx_beamline.frames.following import PATIENCE_SECONDS, SETTLE_SECONDS, DataFiles, find_series
from gbx_beamline.untrusted import confined


class Clock:
    """Moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def name(number: int, series: str = "scan_1") -> str:
    return f"{series}_data_{number:06d}.h5"


def whole(folder: Path, number: int, frames: int = 4) -> Path:
    """A data file that counts its images, as a detector closes it."""
    return write_data(folder / name(number), numbered_frames(frames), first_image=1 + 4 * (number - 1))


def test_files_come_in_order_and_each_once(tmp_path: Path, clock: Clock) -> None:
    followed = DataFiles(tmp_path, "scan_1", roots=[tmp_path], clock=clock)
    assert followed.next() is None
    header = EigerHeader(frame_time=0.1, nimages=10)
    writer = EigerWriter(tmp_path, "scan_1", header=header, frames_per_file=4)
    frames, seen = numbered_frames(10), list[np.ndarray]()
    for frame in frames:
        writer.append(frame)
        while (file := followed.next()) is not None:
            seen.append(file.read(0, file.shape[0]))
    assert [len(part) for part in seen] == [4, 4]
    writer.close()
    last = followed.next()
    assert last is not None
    assert followed.next() is None
    assert followed.taken == 3
    assert np.array_equal(np.concatenate([*seen, last.read(0, 2)]), frames)


def test_a_half_written_file_is_left_alone_until_it_is_whole(tmp_path: Path, clock: Clock) -> None:
    content = whole(tmp_path, 1).read_bytes()
    path = tmp_path / name(1)
    path.write_bytes(content[: len(content) // 2])
    followed = DataFiles(tmp_path, "scan_1", roots=[tmp_path], clock=clock)
    for _ in range(3):
        assert followed.next() is None
        clock.now += 10 * SETTLE_SECONDS
    path.write_bytes(content)
    assert followed.next() is not None


def test_a_file_that_grows_is_not_closed(tmp_path: Path, clock: Clock) -> None:
    followed = DataFiles(tmp_path, "scan_1", roots=[tmp_path], clock=clock)
    with h5py.File(tmp_path / name(1), "w") as file:
        data = file.create_dataset("/entry/data/data", (0, 5, 7), np.uint16, maxshape=(None, 5, 7), chunks=(1, 5, 7))
        for count in range(1, 4):
            data.resize(count, axis=0)
            data[count - 1] = count
            file.flush()
            assert followed.next() is None
            clock.now += 0.9 * SETTLE_SECONDS
            assert followed.next() is None
    assert followed.next() is None, "closing it changed it"
    clock.now += SETTLE_SECONDS
    closed = followed.next()
    assert closed is not None
    assert closed.shape == (3, 5, 7)


def test_a_file_that_counts_more_images_than_it_has_is_waited_for(tmp_path: Path, clock: Clock) -> None:
    with h5py.File(whole(tmp_path, 1), "r+") as file:
        file["/entry/data/data"].attrs["image_nr_high"] = 9
    followed = DataFiles(tmp_path, "scan_1", roots=[tmp_path], clock=clock)
    assert followed.next() is None
    clock.now += 10 * SETTLE_SECONDS
    assert followed.next() is None


def test_a_missing_file_is_waited_for_but_not_for_ever(tmp_path: Path, clock: Clock) -> None:
    followed = DataFiles(tmp_path, "scan_1", roots=[tmp_path], clock=clock)
    whole(tmp_path, 1)
    whole(tmp_path, 3)
    assert followed.next() is not None
    assert followed.next() is None
    clock.now += 0.9 * PATIENCE_SECONDS
    assert followed.next() is None
    clock.now += 0.2 * PATIENCE_SECONDS
    with pytest.raises(MissingFramesError, match=r"scan_1_data_000002\.h5 does not close, though a later data file"):
        followed.next()
    whole(tmp_path, 2)
    assert followed.next() is not None
    assert followed.next() is not None


def test_links_out_of_the_folders_are_refused(tmp_path: Path, clock: Clock) -> None:
    allowed, elsewhere = tmp_path / "allowed", tmp_path / "elsewhere"
    allowed.mkdir()
    elsewhere.mkdir()
    secret = whole(elsewhere, 1)
    (allowed / name(1)).symlink_to(secret)
    with pytest.raises(SeriesError, match=r"'.*scan_1_data_000001\.h5' leads out of the folders for data files"):
        DataFiles(allowed, "scan_1", roots=[allowed], clock=clock).next()
    (allowed / "inside").symlink_to(elsewhere, target_is_directory=True)
    with pytest.raises(SeriesError, match="leads out of the folders"):
        DataFiles(allowed / "inside", "scan_1", roots=[allowed], clock=clock)
    for path in (allowed / ".." / "elsewhere", Path("allowed"), Path("/nul\0")):
        with pytest.raises(SeriesError, match=r"needed: a place below .*allowed"):
            confined(path, [allowed])
    with pytest.raises(SeriesError, match="a folder that is allowed; none is"):
        confined(allowed, [])
    for series in ("../elsewhere/scan_1", "", ".hidden"):
        with pytest.raises(SeriesError, match="a series of the name"):
            DataFiles(allowed, series, roots=[allowed], clock=clock)


def test_links_that_stay_inside_are_followed(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "disk").mkdir()
    real = whole(tmp_path / "disk", 1)
    (tmp_path / name(1)).symlink_to(real)
    file = DataFiles(tmp_path, "scan_1", roots=[tmp_path], clock=clock).next()
    assert file is not None
    assert file.path == real


@pytest.mark.parametrize("kind", ["external link", "soft link", "virtual", "raw"])
def test_frames_that_lie_in_other_files_are_refused(tmp_path: Path, clock: Clock, kind: str) -> None:
    other = write_data(tmp_path / "other.h5", numbered_frames(3))
    with h5py.File(tmp_path / name(1), "w") as file:
        group = file.create_group("/entry/data")
        if kind == "external link":
            group["data"] = h5py.ExternalLink(str(other), "/entry/data/data")
        elif kind == "soft link":
            group["data"] = h5py.SoftLink("/elsewhere")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((3, 5, 7), np.uint16)
            layout[:] = h5py.VirtualSource(str(other), "/entry/data/data", shape=(3, 5, 7))
            group.create_virtual_dataset("data", layout)
        else:
            group.create_dataset("data", (3, 5, 7), np.uint16, external=[(str(other), 0, h5py.h5f.UNLIMITED)])
    with pytest.raises(SeriesError, match=r"needed: a detector's data file, with its frames in it"):
        DataFiles(tmp_path, "scan_1", roots=[tmp_path], clock=clock).next()


def test_the_series_that_began_first_after_the_run_did_is_found(tmp_path: Path) -> None:
    assert find_series(tmp_path / "absent", since=0.0) is None
    for series, changed in (("old_7", 10.0), ("run_8", 30.0), ("next_9", 50.0)):
        write_data(tmp_path / name(1, series), numbered_frames(2))
        os.utime(tmp_path / name(1, series), (changed, changed))
    write_data(tmp_path / name(2, "later_10"), numbered_frames(2))
    assert find_series(tmp_path, since=20.0) == "run_8"
    assert find_series(tmp_path, since=20.0, sequence="9") == "next_9"
    assert find_series(tmp_path, since=20.0, sequence="7") is None
    assert find_series(tmp_path, since=60.0) is None
