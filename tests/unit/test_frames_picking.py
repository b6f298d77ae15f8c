"""Picking pixels: the same counts as h5py gives, on every path, and errors where chunks are damaged."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from eiger_files import (
    DETECTOR,
    FIELDS,
    SPECIFIC,
    numbered_frames,
    write_data,
    write_fields,
    write_filewriter1,
    write_nxmx,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gbx_beamline.correlation._frames import ArrayFrames
from gbx_beamline.errors import InputError, MissingFramesError, SeriesError
from gbx_beamline.frames import EigerFile, _lz4, open_series
from gbx_beamline.frames.arrays import open_array
from gbx_beamline.frames.node_frames import JoinedFiles, NodeFrames, PresentFrames
from gbx_beamline.frames.picking import LIMIT, PickedBlock, pick
from gbx_beamline.frames.series import build_series
from gbx_beamline.records import Geometry

DTYPES = (np.uint8, np.uint16, np.uint32, np.int8, np.int32, np.uint64)


def counts_of(dtype: Any, shape: tuple[int, ...], seed: int) -> NDArray[Any]:
    """Few photons nearly everywhere, large counts in some pixels, the dtype's maximum in others."""
    rng = np.random.default_rng(seed)
    largest = np.iinfo(dtype).max
    frames = rng.poisson(rng.choice([0.05, 0.7, 3.0, 20.0]), shape).astype(dtype)
    bright = rng.random(shape) < 0.03
    frames[bright] = rng.integers(0, min(2**20, largest), int(bright.sum()), endpoint=True)
    frames[rng.random(shape) < 0.02] = largest
    return frames


def assembled(blocks: list[PickedBlock], frames: int) -> NDArray[np.int64]:
    """(N, P) counts that the blocks stand for; checks what a block promises on the way."""
    reached = 0
    counts: list[NDArray[np.int64]] = []
    for block in blocks:
        assert block.start == reached
        assert block.rows.dtype == np.uint8
        assert block.rows.max(initial=0) <= LIMIT
        reached += len(block.rows)
        full = block.rows.astype(np.int64)
        inside = block.excess_frame - block.start
        order = inside * max(1, full.shape[1]) + block.excess_pixel
        assert np.all(np.diff(order) > 0)
        assert np.all(full[inside, block.excess_pixel] == LIMIT)
        assert np.all(block.excess_count > LIMIT)
        full[inside, block.excess_pixel] = block.excess_count
        counts.append(full)
    assert reached == frames
    return np.concatenate(counts)


def picked(series: Any, where: Any, **options: Any) -> NDArray[np.int64]:
    return assembled(list(pick(series, np.asarray(where), **options)), series.shape[0])


def expected(frames: NDArray[Any], where: Any) -> NDArray[np.int64]:
    chosen = frames.reshape(len(frames), -1)[:, np.asarray(where, dtype=np.int64)]
    largest = np.iinfo(np.int64).max
    return np.minimum(chosen, chosen.dtype.type(min(largest, np.iinfo(chosen.dtype).max))).astype(np.int64)


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """HDF5 must not decode: what is picked comes from the chunks themselves."""

    def refuse(*_: Any) -> Any:
        raise AssertionError("decoded by HDF5")

    monkeypatch.setattr(EigerFile, "read", refuse)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 3), (5, 7), (64, 64), (61, 83), (130, 131)])
def test_equal_to_what_was_written(tmp_path: Path, dtype: Any, shape: tuple[int, int]) -> None:
    frames = counts_of(dtype, (7, *shape), seed=shape[0])
    series = open_series(write_filewriter1(tmp_path, [frames[:3], frames[3:6], frames[6:]]))
    rng = np.random.default_rng(1)
    pixels = shape[0] * shape[1]
    for where in (
        np.arange(pixels),
        np.flatnonzero(rng.random(pixels) < 0.9),
        rng.permutation(pixels)[: pixels // 3 + 1],
        rng.integers(0, pixels, 20),  # some twice
        np.array([pixels - 1]),
        np.empty(0, np.int64),
    ):
        once = picked(series, where, threads=1)
        np.testing.assert_array_equal(once, expected(frames, where))
        np.testing.assert_array_equal(picked(series, where, threads=3, block_bytes=2 * len(where)), once)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_equal_to_h5py_for_any_shape_counts_and_pixels(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 70)), label="shape")
    dtype = data.draw(st.sampled_from(DTYPES), label="dtype")
    block = data.draw(st.sampled_from([0, 8, 64, 1024]), label="pixels of a block, 0 = the filter's choice")
    pixels = shape[0] * shape[1]
    where = data.draw(st.lists(st.integers(0, pixels - 1), max_size=80), label="where")
    skip = np.array(data.draw(st.lists(st.booleans(), min_size=3, max_size=3), label="skip"))
    frames = counts_of(dtype, (3, *shape), seed=data.draw(st.integers(0, 1000), label="seed"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.h5"
        with h5py.File(path, "w") as file:
            filters = hdf5plugin.Bitshuffle(nelems=block, cname="lz4")
            file.create_dataset("/entry/data/data", data=frames, chunks=(1, *shape), **filters)
        with h5py.File(path) as file:
            wanted = expected(np.asarray(file["/entry/data/data"]), where)
        wanted[skip] = 0
        series = open_series(path, frame_time=1.0)
        np.testing.assert_array_equal(picked(series, where, threads=1, skip=skip), wanted)


def test_chunks_are_decoded_without_hdf5(tmp_path: Path, no_reading: None) -> None:
    frames = counts_of(np.uint32, (9, 50, 43), seed=3)
    master = write_filewriter1(tmp_path, [frames[:4], frames[4:]])
    where = np.arange(100, 1700, 3)
    source = EigerFile(master)
    # As a series opened through Tiled has it on local disk: several masters, and only some frames present.
    present = np.ones(16, bool)
    present[[2, 11]] = False
    joined = PresentFrames(JoinedFiles([source, source]), present, ("x.h5",), "run", allow_incomplete=True)
    twice = np.concatenate([frames, frames])[:16]
    twice[~present] = 0
    for series, wanted in ((a_series(source), frames), (a_series(joined, present), twice)):
        for threads in (1, 3):
            found = picked(series, where, threads=threads, block_bytes=2 * where.size)
            np.testing.assert_array_equal(found, expected(wanted, where))


def a_series(source: Any, present: Any = None) -> Any:
    """A series without a look at its pixels, which the judging of marker values would take."""
    shape = source.shape[1:]
    empty = open_array(np.zeros((1, *shape), np.uint16), frame_time=1.0)
    there = np.ones(source.shape[0], bool) if present is None else present
    fields = {"mask": empty.mask, "frame_time": 1.0, "geometry": Geometry(shape=shape)}
    return type(empty)(source=source, present=there, allow_incomplete=True, **fields)


def test_blocks_do_not_depend_on_threads(tmp_path: Path) -> None:
    frames = counts_of(np.uint16, (150, 9, 11), seed=5)
    series = open_series(write_filewriter1(tmp_path, [frames[:70], frames[70:]]))
    where = np.arange(99)
    alone, many = (list(pick(series, where, threads=threads)) for threads in (1, 4))
    assert [block.start for block in alone] == [0, 64, 128]
    for one, other in zip(alone, many, strict=True):
        for name in ("start", "rows", "excess_frame", "excess_pixel", "excess_count"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert max(len(block.rows) for block in pick(series, where, block_bytes=1)) == 1


def _gzip(path: Path, frames: NDArray[Any]) -> None:
    _dataset(path, frames, chunks=(1, *frames.shape[1:]), compression="gzip")


def _zstd(path: Path, frames: NDArray[Any]) -> None:
    _dataset(path, frames, chunks=(1, *frames.shape[1:]), **hdf5plugin.Bitshuffle(cname="zstd"))


def _plain_lz4(path: Path, frames: NDArray[Any]) -> None:
    _dataset(path, frames, chunks=(1, *frames.shape[1:]), **hdf5plugin.LZ4())


def _no_lz4(path: Path, frames: NDArray[Any]) -> None:
    _dataset(path, frames, chunks=(1, *frames.shape[1:]), **hdf5plugin.Bitshuffle(cname="none"))


def _checked(path: Path, frames: NDArray[Any]) -> None:
    filters = hdf5plugin.Bitshuffle(cname="lz4")
    _dataset(path, frames, chunks=(1, *frames.shape[1:]), fletcher32=True, **filters)


def _contiguous(path: Path, frames: NDArray[Any]) -> None:
    _dataset(path, frames)


def _deep_chunks(path: Path, frames: NDArray[Any]) -> None:
    _dataset(path, frames, chunks=(2, *frames.shape[1:]), **hdf5plugin.Bitshuffle(cname="lz4"))


def _tiles(path: Path, frames: NDArray[Any]) -> None:
    _dataset(path, frames, chunks=(1, 5, 5), **hdf5plugin.Bitshuffle(cname="lz4"))


def _big_endian(path: Path, frames: NDArray[Any]) -> None:
    filters = hdf5plugin.Bitshuffle(cname="lz4")
    _dataset(path, frames.astype(frames.dtype.newbyteorder(">")), chunks=(1, *frames.shape[1:]), **filters)


def _some_unfiltered(path: Path, frames: NDArray[Any]) -> None:
    _dataset(path, frames, chunks=(1, *frames.shape[1:]), **hdf5plugin.Bitshuffle(cname="lz4"))
    with h5py.File(path, "a") as file:
        data = file["/entry/data/data"]
        for index in (1, 2, 5):
            data.id.write_direct_chunk((index, 0, 0), frames[index].tobytes(), filter_mask=1)


def _after_a_user_block(path: Path, frames: NDArray[Any]) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        filters = hdf5plugin.Bitshuffle(cname="lz4")
        file.create_dataset("/entry/data/data", data=frames, chunks=(1, *frames.shape[1:]), **filters)


def _dataset(path: Path, frames: NDArray[Any], **options: Any) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("/entry/data/data", data=frames, **options)


@pytest.mark.parametrize(
    "write",
    [
        _gzip, _zstd, _plain_lz4, _no_lz4, _checked, _contiguous, _deep_chunks, _tiles, _big_endian, _some_unfiltered,
        _after_a_user_block,
    ],
)  # fmt: skip
@pytest.mark.parametrize("threads", [1, 3])
def test_other_storage_is_read_by_hdf5(tmp_path: Path, write: Any, threads: int) -> None:
    frames = counts_of(np.uint16, (8, 21, 17), seed=8)
    write(tmp_path / "other.h5", frames)
    series = open_series(tmp_path / "other.h5", frame_time=1.0)
    where = np.random.default_rng(2).permutation(21 * 17)[:80]
    found = picked(series, where, threads=threads, block_bytes=160)
    np.testing.assert_array_equal(found, expected(frames, where))


def test_virtual_data_sets(tmp_path: Path, no_reading: None) -> None:
    frames = counts_of(np.uint32, (10, 20, 30), seed=9)
    source = EigerFile(write_nxmx(tmp_path, [frames[:4], frames[4:8], frames[8:]]))
    np.testing.assert_array_equal(picked(a_series(source), np.arange(77, 500)), expected(frames, np.arange(77, 500)))


def test_virtual_tiles(tmp_path: Path) -> None:
    upper, lower = counts_of(np.uint16, (6, 3, 7), seed=1), counts_of(np.uint16, (6, 3, 7), seed=2)
    layout = h5py.VirtualLayout((6, 6, 7), np.uint16)
    for rows, name, data in ((slice(0, 3), "upper.h5", upper), (slice(3, 6), "lower.h5", lower)):
        write_data(tmp_path / name, data, dataset="/data")
        layout[:, rows, :] = h5py.VirtualSource(name, "/data", shape=data.shape)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        write_fields(file, FIELDS)
        file.create_virtual_dataset("/entry/data/data", layout)
    frames = np.concatenate([upper, lower], axis=1)
    where = np.arange(41, -1, -1)
    np.testing.assert_array_equal(picked(open_series(tmp_path / "m.h5"), where), expected(frames, where))


def test_without_a_decoder_of_lz4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = counts_of(np.uint32, (5, 30, 31), seed=4)
    series = open_series(write_filewriter1(tmp_path, [frames]))
    monkeypatch.setattr(_lz4, "lz4_address", lambda: None)
    np.testing.assert_array_equal(picked(series, np.arange(930)), expected(frames, np.arange(930)))


def test_absent_frames(tmp_path: Path) -> None:
    frames = counts_of(np.uint16, (25, 5, 7), seed=6)
    master = write_filewriter1(tmp_path, [frames[:10], None, frames[20:]], nimages=25)
    with pytest.raises(MissingFramesError, match=r"scan_1_data_000002\.h5.*allow_incomplete=True"):
        next(pick(open_series(master), np.arange(35)))
    frames[10:20] = 0
    incomplete = open_series(master, allow_incomplete=True)
    np.testing.assert_array_equal(picked(incomplete, np.arange(35), threads=2), expected(frames, np.arange(35)))
    nothing = write_filewriter1(tmp_path, [None, None], nimages=4, prefix="lost")
    with h5py.File(nothing, "a") as file:
        file[f"{SPECIFIC}/x_pixels_in_detector"] = 7
        file[f"{SPECIFIC}/y_pixels_in_detector"] = 5
        file[f"{DETECTOR}/bit_depth_image"] = 16
    with pytest.raises(MissingFramesError, match="none of the 4 frames exists"):
        next(pick(open_series(nothing, allow_incomplete=True), np.arange(35)))


def damaged_series(folder: Path, frames: NDArray[Any], change: Any) -> Any:
    """A series of which one chunk was changed: ``change(content, byte offset, size)`` works on the file's bytes."""
    path = write_data(folder / "bent.h5", frames)
    with h5py.File(path) as file:
        chunk = file["/entry/data/data"].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    change(content, chunk.byte_offset, chunk.size)
    path.write_bytes(content)
    return a_series(EigerFile(path))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("at", "new"),
    [
        (0, b"\xff" * 8),  # uncompressed size
        (8, b"\0\0\0\0"),  # block size
        (8, b"\0\0\0\x03"),
        (8, b"\x7f\xff\xff\xf0"),
        (12, b"\x7f\xff\xff\xff"),  # length of the first block
        (12, b"\xff\xff\xff\xff"),
        (12, b"\0\0\0\0"),
        (16, b"\xff" * 384),  # compressed bytes
        (16, b"\0" * 384),
    ],
)
def test_damaged_chunk_is_an_error(tmp_path: Path, at: int, new: bytes, threads: int) -> None:
    frames = np.random.default_rng(1).poisson(3, (4, 200, 211)).astype(np.uint16)

    def change(content: bytearray, offset: int, size: int) -> None:
        content[offset + at : offset + at + len(new)] = new

    series = damaged_series(tmp_path, frames, change)
    where = np.arange(1000)
    with pytest.raises(SeriesError, match=r"bent\.h5: frame 1 of /entry/data/data is damaged; needed: undamaged"):
        list(pick(series, where, threads=threads))
    skip = np.arange(4) == 1
    wanted = expected(np.where(skip[:, None, None], np.uint16(0), frames), where)
    np.testing.assert_array_equal(picked(series, where, threads=threads, skip=skip), wanted)


def test_flipped_bytes_give_an_error_or_what_hdf5_reads(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).poisson(0.5, (2, 60, 211)).astype(np.uint32)
    where = np.flatnonzero(np.random.default_rng(2).random(60 * 211) < 0.4)
    rng = np.random.default_rng(3)
    refused = 0
    for trial in range(150):

        def change(content: bytearray, offset: int, size: int) -> None:
            for _ in range(rng.integers(1, 4)):
                content[offset + int(rng.integers(size))] ^= 1 << int(rng.integers(8))

        folder = tmp_path / str(trial)
        folder.mkdir()
        series = damaged_series(folder, frames, change)
        try:
            found = picked(series, where, threads=1)
        except SeriesError:
            refused += 1
            with pytest.raises(SeriesError):
                series.read(1, 2)
            continue
        try:
            read = series.read(0, 2)
        except SeriesError:
            # HDF5 decodes all blocks, we only those with a chosen pixel.
            read = frames
        np.testing.assert_array_equal(found, expected(read, where))
    assert 10 < refused < 140


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.999])
def test_truncated_while_open(tmp_path: Path, keep: float) -> None:
    frames = np.random.default_rng(1).poisson(3, (2, 100, 100)).astype(np.uint32)
    series = damaged_series(tmp_path, frames, lambda *_: None)
    blocks = pick(series, np.arange(10_000), threads=1, block_bytes=1)
    np.testing.assert_array_equal(next(blocks).rows[0], frames[0].ravel())
    path = series.source.path
    with h5py.File(path) as file:
        chunk = file["/entry/data/data"].id.get_chunk_info(1)
    with path.open("r+b") as file:
        file.truncate(chunk.byte_offset + int(keep * chunk.size))
    with pytest.raises(SeriesError, match="frame 1 of /entry/data/data is damaged"):
        next(blocks)
    path.unlink()
    with pytest.raises(SeriesError, match=r"cannot be opened any more|no file"):
        list(pick(series, np.arange(5)))


@pytest.mark.parametrize("compressed", [True, False])
def test_negative_counts(tmp_path: Path, compressed: bool) -> None:
    frames = counts_of(np.int32, (5, 9, 11), seed=2)
    frames[3, 2, 4:6] = [-1, -7]
    write_data(tmp_path / "signed.h5", frames, compressed=compressed)
    series = open_series(tmp_path / "signed.h5", frame_time=1.0)
    with pytest.raises(InputError, match=r"2 negative count\(s\) in frame 3, the lowest -7; .*list the frame in bad"):
        list(pick(series, np.arange(99)))
    elsewhere = np.arange(50, 99)
    np.testing.assert_array_equal(picked(series, elsewhere), expected(frames, elsewhere))
    frames[3] = 0
    np.testing.assert_array_equal(
        picked(series, np.arange(99), skip=np.arange(5) == 3), expected(frames, np.arange(99))
    )


@pytest.mark.parametrize("dtype", [*DTYPES, np.int64])
def test_frames_in_memory(dtype: Any) -> None:
    frames = counts_of(dtype, (30, 12, 13), seed=7)
    where = np.random.default_rng(3).permutation(156)[:60]
    skip = np.arange(30) % 7 == 2
    wanted = expected(np.where(skip[:, None, None], dtype(0), frames), where)
    for series in (open_array(frames, frame_time=1.0), ArrayFrames(frames, 1.0)):
        np.testing.assert_array_equal(picked(series, where, skip=skip, block_bytes=150), wanted)
    for series in (open_array(frames, frame_time=1.0), ArrayFrames(frames, 1.0)):
        assert picked(series, np.empty(0, np.int64)).shape == (30, 0)
    flat = frames.reshape(30, -1)
    np.testing.assert_array_equal(picked(ArrayFrames(flat, 1.0), where, skip=skip), wanted)
    np.testing.assert_array_equal(frames, counts_of(dtype, (30, 12, 13), seed=7))


class Client:
    """An array client that counts how many reads go on at once."""

    def __init__(self, frames: NDArray[Any]) -> None:
        self.frames, self.shape, self.dtype = frames, frames.shape, frames.dtype
        self.asked: list[tuple[slice, ...]] = []
        self.together = threading.Barrier(2, timeout=20)

    def __getitem__(self, selection: tuple[slice, ...]) -> NDArray[Any]:
        self.asked.append(selection)
        self.together.wait()
        return self.frames[selection]


def test_http_asks_for_the_rectangle_and_several_blocks_at_once() -> None:
    pytest.importorskip("httpx")  # a Tiled client brings it along
    frames = counts_of(np.uint16, (8, 12, 13), seed=7)
    client = Client(frames)
    where = np.array([13 * 4 + 5, 13 * 7 + 3])
    series = a_series(NodeFrames(client, "node"))
    np.testing.assert_array_equal(picked(series, where, threads=2, block_bytes=4), expected(frames, where))
    assert all(selection[1:] == (slice(4, 8), slice(3, 6)) for selection in client.asked)
    assert sorted(selection[0].start for selection in client.asked) == [0, 2, 4, 6]


def test_a_server_is_not_asked_by_many_threads_at_once() -> None:
    pytest.importorskip("httpx")  # a Tiled client brings it along
    frames = counts_of(np.uint16, (40, 6, 7), seed=7)
    client = Client(frames)
    client.together = threading.Barrier(1)
    source: Any = PresentFrames(NodeFrames(client, "node"), np.ones(40, bool), (), "node", allow_incomplete=True)
    seen: set[str] = set()
    read = source.read

    def noted(*arguments: Any) -> NDArray[Any]:
        seen.add(threading.current_thread().name)
        return read(*arguments)

    source.read = noted
    np.testing.assert_array_equal(picked(a_series(source), [3, 7], threads=16, block_bytes=1), expected(frames, [3, 7]))
    assert len(seen) <= 4


class Short(ArrayFrames):
    """Frames that end before they should."""

    def blocks(self, *arguments: Any, **options: Any) -> Any:
        yield next(iter(super().blocks(*arguments, **options)))


def test_blocks_that_end_early() -> None:
    with pytest.raises(SeriesError, match="frames end after 2 of 9"):
        list(pick(Short(numbered_frames(9, (4, 5)), 1.0), np.arange(3), block_bytes=12))


class OneThread:
    """A source that breaks when several threads read it."""

    shape = (9, 4, 5)
    dtype = np.dtype(np.uint16)

    def __init__(self) -> None:
        self.reader = threading.get_ident()

    def read(self, start: int, stop: int, region: Any = None) -> NDArray[Any]:
        assert threading.get_ident() == self.reader
        return numbered_frames(9, (4, 5))[start:stop, *(region or ())].copy()


def test_a_source_of_one_thread_is_read_by_the_caller() -> None:
    found = picked(build_series(OneThread(), name="movie", geometry=Geometry(shape=(4, 5)), frame_time=1.0), [3, 7])
    np.testing.assert_array_equal(found, expected(numbered_frames(9, (4, 5)), [3, 7]))


@pytest.mark.parametrize("stop", ["close", "error"])
def test_no_thread_outlives_the_picking(tmp_path: Path, stop: str) -> None:
    frames = np.random.default_rng(1).poisson(1, (200, 20, 30)).astype(np.uint16)
    series = open_series(write_filewriter1(tmp_path, [frames[:100], frames[100:]]))
    before = threading.active_count()
    blocks = pick(series, np.arange(600), threads=3, block_bytes=1)
    next(blocks)
    assert threading.active_count() > before
    if stop == "close":
        blocks.close()  # type: ignore[attr-defined]
    else:
        (tmp_path / "scan_1_data_000002.h5").unlink()
        with pytest.raises(SeriesError, match=r"scan_1_data_000002\.h5"):
            list(blocks)
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"where": np.array([20])}, InputError, "pixels from 20 to 20 in frames of .4, 5."),
        ({"where": np.array([-1, 2])}, InputError, "pixels from -1 to 2"),
        ({"where": np.array([[1]])}, InputError, "flat pixel indices"),
        ({"where": np.array([0.5])}, InputError, "dtype float64"),
        ({"threads": 0}, InputError, "threads = 0"),
        ({"skip": np.zeros(3, bool)}, InputError, "skip of shape .3,.*for 2 frames"),
        ({"skip": np.zeros(2)}, InputError, "dtype float64 for 2 frames"),
    ],
)
def test_what_fits_no_series(options: Any, error: Any, message: str) -> None:
    series = open_array(np.zeros((2, 4, 5), np.uint16), frame_time=1.0)
    with pytest.raises(error, match=message):
        list(pick(series, **{"where": np.arange(3), **options}))


def test_real_numbers_are_refused() -> None:
    frames = np.zeros((2, 4, 5), np.float32)
    for series in (open_array(frames, frame_time=1.0), ArrayFrames(frames, 1.0)):
        with pytest.raises(SeriesError, match=r"float32.*Series\.blocks"):
            list(pick(series, np.arange(3)))
