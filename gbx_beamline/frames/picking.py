"""The counts of chosen pixels in every frame, one byte each, with the few larger counts beside them.

Decoding dominates the analysis of a scan. Where frames are bitshuffle-LZ4 chunks on local disk, only what the
chosen pixels need is decoded, in threads (``_bitshuffle``); from any other source the rectangle around the pixels
is read and the pixels are taken from it.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError, SeriesError
from gbx_beamline.frames._chunks import ChunkFile, ChunkSource, StoredChunks
from gbx_beamline.frames._picked import LIMIT, Excess, PickedBlock, take_limited
from gbx_beamline.frames._plan import Plan
from gbx_beamline.frames.series import Series, absent_frames
from gbx_beamline.records import Bools, Region

if TYPE_CHECKING:
    from gbx_beamline.frames._decoder import Decoder

__all__ = ["LIMIT", "PickedBlock", "pick"]

BLOCK_BYTES = 2**23
"""Default ceiling of the rows in one block."""
FRAMES = 64
"""Most frames in a block: enough to make opening a file cheap, few enough to share the work among threads."""
READ_BYTES = 2**25
"""Ceiling of one read from a source whose chunks cannot be picked from."""
READERS = 4
"""Most reads at once from a source whose chunks cannot be picked from: servers have other users."""
LARGEST_FRAME = 2**29
"""Bytes. LZ4 counts in 32 bits."""


class Blocks(Protocol):
    """What picking asks of frames that are no :class:`~gbx_beamline.frames.series.Series`."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, y, x)."""
        ...

    @property
    def present(self) -> Bools:
        """(N,) False for frames that are absent."""
        ...

    def blocks(self, region: Region | None = None, max_bytes: int = ...) -> Iterator[tuple[int, NDArray[Any]]]:
        """Consecutive frames as (index of the first, (n, y, x)), at most ``max_bytes`` each."""
        ...


def pick(
    series: Series | Blocks,
    where: NDArray[np.integer[Any]],
    *,
    threads: int | None = None,
    block_bytes: int = BLOCK_BYTES,
    skip: Bools | None = None,
) -> Iterator[PickedBlock]:
    """Counts of the pixels ``where`` in all frames, in order, every frame exactly once.

    The blocks do not depend on the number of threads. Memory: at most ``threads + 2`` blocks and one chunk per
    thread, or one read of ``READ_BYTES`` per thread where chunks cannot be picked from.

    Args:
        series: Frames (N, y, x) of an integer dtype.
        where: (P,) flat index of each pixel in a frame, in any order; column k of ``rows`` is pixel ``where[k]``.
        threads: That decode at the same time; None = the processors of this process. With 1 everything happens in
            the caller's thread, as it does for sources that are not made for several threads.
        block_bytes: Ceiling of the rows in one block; a block holds at least one frame.
        skip: (N,) True = leave the frame out: it is not looked at, and its row is 0. So are absent frames of an
            incomplete series.

    Yields:
        Consecutive blocks.

    Raises:
        MissingFramesError: as :meth:`Series.blocks`, before anything is yielded.
        SeriesError: frames that are no integers, a damaged or vanished file.
        InputError: a negative count in a chosen pixel; ``where``, ``skip`` or ``threads`` that fit no series.
    """
    count, *pixels = series.shape
    if isinstance(series, Series):
        if count == 0 or not series.present.any() or not (series.allow_incomplete or series.present.all()):
            raise absent_frames(series.name, series.present, series.missing)
        _refuse_dtype(series.dtype)
    chosen = _checked_where(where, (pixels[0], pixels[1]))
    left_out = _left_out(series, skip)
    if threads is not None and threads < 1:
        raise InputError(f"threads = {threads}", needed="at least one", action="leave it out to use all processors")
    step = max(1, min(FRAMES, int(block_bytes) // max(1, chosen.size)))
    cut = _Cut(chosen, (pixels[0], pixels[1]))
    if not isinstance(series, Series):
        return _picked_from_blocks(series, cut, left_out, max(1, min(READ_BYTES, int(block_bytes))))
    work = _Picker(series, cut, left_out)
    ranges = ((start, min(start + step, count)) for start in range(0, count, step))
    jobs = (work.job(start, stop) for start, stop in ranges)
    return _in_order(jobs, work.threads(threads or _processors()))


def _in_order(jobs: Iterator[Callable[[], PickedBlock]], threads: int) -> Iterator[PickedBlock]:
    """Results in the order of the jobs, so many at work at once and one more waiting."""
    if threads == 1:
        for job in jobs:
            yield job()
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="gbx-pick")
    waiting: deque[Future[PickedBlock]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(job))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # A caller that stops early, or an error, must not wait for blocks that nobody will see.
        pool.shutdown(wait=True, cancel_futures=True)


class _Cut:
    """Chosen pixels, and the rectangle around them."""

    def __init__(self, where: NDArray[np.int64], shape: tuple[int, int]) -> None:
        self.where = where
        self.shape = shape

    @functools.cached_property
    def region(self) -> Region:
        """Rows and columns of the rectangle."""
        if self.where.size == 0:
            return slice(0, 0), slice(0, 0)
        first, last = (int(self.where.min()) // self.shape[1], int(self.where.max()) // self.shape[1])
        x = self.where % self.shape[1]
        return slice(first, last + 1), slice(int(x.min()), int(x.max()) + 1)

    @property
    def region_pixels(self) -> int:
        """Pixels of the rectangle."""
        return (self.region[0].stop - self.region[0].start) * (self.region[1].stop - self.region[1].start)

    def of(self, frames: NDArray[Any]) -> NDArray[Any]:
        """(n, P) chosen pixels out of the rectangle of n frames; a view where they are all of it, in order."""
        flat = frames.reshape(len(frames), self.region_pixels)
        return flat if self._everything else flat[:, self._index]

    @functools.cached_property
    def _everything(self) -> bool:
        return self.where.size == self.region_pixels and bool(np.all(np.diff(self.where) > 0))

    @functools.cached_property
    def _index(self) -> NDArray[np.int64]:
        rows, columns = self.region
        y, x = np.divmod(self.where, self.shape[1])
        return (y - rows.start) * (columns.stop - columns.start) + x - columns.start


class _Picker:
    """How one series is picked from: chunk by chunk where it tells where they lie, by reading otherwise."""

    def __init__(self, series: Series, cut: _Cut, left_out: Bools) -> None:
        self._series = series
        self._cut = cut
        self._left_out = left_out
        self._plan: Plan | None = None
        self._chunks: Iterator[StoredChunks] = iter(())
        self._current: deque[StoredChunks] = deque()
        self._decoders: deque[Decoder] = deque()
        frame_bytes = cut.shape[0] * cut.shape[1] * series.dtype.itemsize
        if not isinstance(series.source, ChunkSource) or frame_bytes >= LARGEST_FRAME:
            return
        chunks = series.source.stored_chunks(0, len(series))
        first = next(chunks, None)
        if first is None:
            return
        from gbx_beamline.frames._lz4 import lz4_address  # numba takes half a second to import

        if lz4_address() is not None:
            self._plan = Plan(cut.where, cut.shape[0] * cut.shape[1])
            self._chunks = itertools.chain([first], chunks)

    def threads(self, wanted: int) -> int:
        """How many threads may work at once."""
        if self._plan is not None:
            return wanted
        return min(wanted, READERS) if getattr(self._series.source, "reads_may_overlap", False) else 1

    def job(self, start: int, stop: int) -> Callable[[], PickedBlock]:
        """What picks the frames ``start:stop``; to be asked for in order."""
        while not self._current or self._current[-1].stop < stop:
            following = next(self._chunks, None)
            if following is None:
                break
            self._current.append(following)
        while self._current and self._current[0].stop <= start:
            self._current.popleft()
        parts = [part.cut(start, stop) for part in self._current if part.first < stop]
        return lambda: self._pick(start, stop, parts)

    def _pick(self, start: int, stop: int, parts: list[StoredChunks]) -> PickedBlock:
        rows = np.zeros((stop - start, self._cut.where.size), dtype=np.uint8)
        open_frames = ~self._left_out[start:stop] & (self._cut.where.size > 0)
        excess = Excess(self._series.dtype)
        for part in parts:
            self._decode(part, open_frames[part.first - start : part.stop - start], rows[part.first - start :], excess)
            open_frames[part.first - start : part.stop - start] = False
        if not open_frames.any():
            return excess.block(start, rows)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], open_frames, [False]]).astype(np.int8)))
        step = max(1, READ_BYTES // max(1, self._cut.region_pixels * self._series.dtype.itemsize))
        for low, high in zip(edges[::2], edges[1::2], strict=True):
            for first in range(int(low), int(high), step):
                last = min(first + step, int(high))
                frames = self._series.read(start + first, start + last, self._cut.region)
                take_limited(self._cut.of(frames), start + first, rows[first:last], excess)
        return excess.block(start, rows)

    def _decode(self, part: StoredChunks, wanted: Bools, rows: NDArray[np.uint8], excess: Excess) -> None:
        if not wanted.any():
            return
        decoder = self._idle_decoder()
        with ChunkFile(part, decoder.largest) as file:
            for index in np.flatnonzero(wanted):
                frame = part.first + int(index)
                found = decoder.decode(file.read(frame), rows[index])
                if found is None:
                    raise part.damaged(frame)
                excess.add_stored(frame, *found)
        self._decoders.append(decoder)

    def _idle_decoder(self) -> Decoder:
        """One that no thread works with; its scratch memory has grown to what the series needs."""
        from gbx_beamline.frames._decoder import Decoder

        try:
            return self._decoders.pop()
        except IndexError:
            assert self._plan is not None
            return Decoder(self._plan, self._series.dtype.itemsize)


def _picked_from_blocks(frames: Blocks, cut: _Cut, left_out: Bools, max_bytes: int) -> Iterator[PickedBlock]:
    """From anything that hands out its frames in blocks of its own choice."""
    reached, count = 0, frames.shape[0]
    for start, block in frames.blocks(cut.region, max_bytes=max_bytes):
        _refuse_dtype(block.dtype)
        reached = start + len(block)
        picked = cut.of(block)
        if left_out[start:reached].any():
            picked = np.where(left_out[start:reached, None], picked.dtype.type(0), picked)
        excess = Excess(picked.dtype)
        if picked.dtype == np.uint8 and picked.max(initial=0) <= LIMIT:
            rows = picked  # bytes already
        else:
            rows = np.empty(picked.shape, dtype=np.uint8)
            take_limited(picked, start, rows, excess)
        yield excess.block(start, rows)
    if reached != count:
        raise SeriesError(
            f"frames end after {reached} of {count}", needed="all frames", action="open the complete series"
        )


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _left_out(series: Series | Blocks, skip: Bools | None) -> Bools:
    """(N,) True for frames that are absent or to be skipped."""
    absent = ~np.asarray(series.present, dtype=np.bool_)
    if skip is None:
        return absent
    given = np.asarray(skip)
    if given.shape != absent.shape or given.dtype != np.bool_:
        raise InputError(
            f"skip of shape {given.shape} and dtype {given.dtype} for {absent.size} frames",
            needed="one bool per frame",
            action="make it with numpy.zeros(len(series), dtype=bool)",
        )
    return absent | given


def _checked_where(where: NDArray[np.integer[Any]], shape: tuple[int, int]) -> NDArray[np.int64]:
    given = np.asarray(where)
    pixels = shape[0] * shape[1]
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise InputError(
            f"pixels of shape {given.shape} and dtype {given.dtype}",
            needed="a list of flat pixel indices",
            action="make it with numpy.flatnonzero(labels)",
        )
    if given.size and not (given.min() >= 0 and given.max() < pixels):
        raise InputError(
            f"pixels from {given.min()} to {given.max()} in frames of {shape}",
            needed=f"flat indices from 0 to {pixels - 1}",
            action="make them from labels of the same detector region as the frames",
        )
    return given.astype(np.int64)


def _refuse_dtype(dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "iu":
        raise SeriesError(
            f"frames of dtype {dtype}",
            needed="integer counts",
            action="read frames of real numbers with Series.blocks",
        )
