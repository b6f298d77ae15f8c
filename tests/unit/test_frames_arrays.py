"""Frames in memory, in .npy and in .npz."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eiger_files import numbered_frames

from gbx_beamline.errors import SeriesError
from gbx_beamline.frames import open_series
from gbx_beamline.frames.arrays import ArraySource
from gbx_beamline.frames.masks import MOST_SAMPLES, marked_pixels
from gbx_beamline.records import Region


def test_array_in_memory() -> None:
    frames = numbered_frames(6)
    series = open_series(frames, frame_time=0.5)
    assert series.frame_time == 0.5
    assert not series.geometry.flip_y
    assert series.geometry.distance is None
    part = series.read(1, 4, (slice(1, 3), slice(None)))
    np.testing.assert_array_equal(part, frames[1:4, 1:3])
    part[:] = 0
    assert frames[1:4].any()


def test_npy_is_not_held_open(tmp_path: Path) -> None:
    frames = numbered_frames(6)
    path = tmp_path / "frames.npy"
    np.save(path, frames)
    series = open_series(path, frame_time=0.5)
    np.testing.assert_array_equal(np.concatenate([block for _, block in series.blocks(max_bytes=200)]), frames)
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert os.fspath(path) not in maps.read_text()
    np.save(path, frames[:3])
    with pytest.raises(SeriesError, match="changed while"):
        series.read(0, 2)


def test_npz_with_time_and_mask(tmp_path: Path) -> None:
    frames = numbered_frames(6)
    mask = np.ones((5, 7), bool)
    mask[0] = False
    np.savez(tmp_path / "a.npz", frames=frames, frame_time=0.25, mask=mask, other=np.ones((2, 2, 2)))
    series = open_series(tmp_path / "a.npz")
    assert series.frame_time == 0.25
    np.testing.assert_array_equal(series.mask, mask)
    more = open_series(tmp_path / "a.npz", mask=mask[:, ::-1] & (np.arange(7) > 0), frame_time=0.5)
    assert more.frame_time == 0.5
    assert more.excluded == {"user_mask": 11}


@pytest.mark.parametrize("key", ["arr_0", "images"])
def test_npz_keys(tmp_path: Path, key: str) -> None:
    arrays: dict[str, Any] = {key: numbered_frames(3), "angles": np.ones(3)}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    np.testing.assert_array_equal(open_series(tmp_path / "a.npz", frame_time=1.0).read(0, 3), numbered_frames(3))


def test_constant_negatives_are_markers_and_fluctuating_ones_are_not() -> None:
    frames = numbered_frames(7, dtype=np.int32)
    frames[:, 0, :3] = -1
    frames[:, 1, :2] = -2
    frames[:, 2, 0] = -np.arange(1, 8)
    series = open_series(frames, frame_time=1.0)
    assert series.excluded == {"negative": 5}
    noise = np.random.default_rng(3).normal(0, 1, (7, 30, 30))
    assert open_series(noise, frame_time=1.0).excluded == {}
    noise[:, 4, 4] = np.nan
    assert open_series(noise, frame_time=1.0).excluded == {"not_finite": 1}


@pytest.mark.parametrize("lost", [[0], [5], [10], [0, 5, 10]])
def test_a_frame_of_nan_is_a_bad_frame_and_no_bad_detector(lost: list[int]) -> None:
    frames = np.random.default_rng(3).poisson(2, (11, 6, 8)).astype(np.float32)
    frames[:, 2, 3] = np.nan
    frames[lost] = np.nan
    assert open_series(frames, frame_time=1.0).excluded == {"not_finite": 1}


@pytest.mark.parametrize("blank", [[0], [5], [10], [0, 5, 10], [0, 1, 2, 3, 4, 5, 6, 9, 10]])
def test_zero_filled_frames_do_not_hide_gaps(blank: list[int]) -> None:
    frames = np.random.default_rng(3).poisson(2, (11, 6, 8)).astype(np.int32)
    frames[:, 4] = np.iinfo(np.int32).max
    frames[:, 2, :3] = -1
    frames[blank] = 0
    assert open_series(frames, frame_time=1.0).excluded == {"dtype_maximum": 8, "negative": 3}


def test_a_dark_series_still_shows_its_gaps() -> None:
    frames = np.zeros((11, 6, 8), np.uint16)
    frames[:, 4] = 65535
    assert open_series(frames, frame_time=1.0).excluded == {"dtype_maximum": 8}
    # A spot that saturates the last frame only is no gap.
    frames[-1, 0, 0] = 65535
    assert open_series(frames, frame_time=1.0).excluded == {"dtype_maximum": 8}


class CountedSource(ArraySource):
    """Frames in memory that note which of them are read."""

    def read(self, start: int, stop: int, region: Region | None = None) -> Any:
        SEEN.append((start, stop))
        return super().read(start, stop, region)


SEEN: list[tuple[int, int]] = []


def test_few_frames_are_sampled_for_markers() -> None:
    for frames, most in ((np.ones((5000, 2, 3), np.uint8), 3), (np.zeros((5000, 2, 3), np.uint8), MOST_SAMPLES)):
        SEEN.clear()
        marked_pixels(CountedSource(frames), np.ones(5000, bool))
        assert len(SEEN) == most
        assert all(stop == start + 1 for start, stop in SEEN)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.ones((4, 5)), "(4, 5)"),
        (np.ones((2, 4, 5), complex), "complex128"),
        (np.full((2, 4, 5), "x"), "<U1"),
        (np.ones((0, 4, 5)), "no frames"),
        (np.ones((3, 0, 5)), "no frames"),
        (np.ones((2, 4, 5), object), "object"),
        (np.ones((2, 4, 5), bool), "bool"),
    ],
)
def test_arrays_that_are_no_series(frames: Any, message: str) -> None:
    with pytest.raises(SeriesError) as caught:
        open_series(frames, frame_time=1.0)
    assert message in str(caught.value)


def test_frame_time_is_needed() -> None:
    with pytest.raises(SeriesError, match="pass frame_time="):
        open_series(numbered_frames(3))


def _damaged(folder: Path) -> Path:
    np.savez(folder / "a.npz", frames=numbered_frames(3))
    content = (folder / "a.npz").read_bytes()
    (folder / "a.npz").write_bytes(content[: len(content) // 2])
    return folder / "a.npz"


def _pickled(folder: Path) -> Path:
    np.save(folder / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    return folder / "a.npy"


def _short(folder: Path) -> Path:
    np.save(folder / "a.npy", numbered_frames(3))
    (folder / "a.npy").write_bytes((folder / "a.npy").read_bytes()[:200])
    return folder / "a.npy"


def _misnamed(folder: Path) -> Path:
    np.savez(folder / "a.npz", numbered_frames(3))
    return (folder / "a.npz").rename(folder / "a.npy")


def _empty(folder: Path) -> Path:
    np.save(folder / "a.npy", np.ones((0, 4, 5)))
    return folder / "a.npy"


def _two_stacks(folder: Path) -> Path:
    np.savez(folder / "a.npz", a=numbered_frames(2), b=numbered_frames(2))
    return folder / "a.npz"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_damaged, "cannot be read"),
        (_pickled, "cannot be read"),
        (_short, "cannot be read"),
        (_misnamed, "cannot be read"),
        (_empty, "no frames"),
        (_two_stacks, "2 three-dimensional arrays"),
        (lambda folder: folder / "absent.npy", "no file"),
        (lambda folder: folder / "absent.npz", "no file"),
        (lambda folder: 42, "a int"),
    ],
)
def test_files_that_are_no_series(tmp_path: Path, make: Any, message: str) -> None:
    target = make(tmp_path)
    with pytest.raises(SeriesError, match=message):
        open_series(target, frame_time=1.0)
