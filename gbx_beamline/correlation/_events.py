"""Exact integer products of sparse count rows, event by event.

At 0.01 counts per pixel a frame leaves 99 of 100 pixels empty, and a matrix product multiplies zeros. Here every
pixel keeps the list of its events so far, as (frame, count) in one 32-bit word. Going through the frames in order,
an event in frame i is appended to its pixel's list, and the list is then added, times the count, to row i of the
product (Gustavson's order of a sparse matrix product). So one row, 10 kB for 2,500 frames, takes all additions and
stays in the first cache, lists are read from front to back, and the upper triangle is never touched.

Pixels can be split over threads, each with lists and sums of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from gbx_beamline.correlation._engines import INT32_PIXELS, LARGEST, Counts, Integers
from gbx_beamline.correlation.threads import thread_count
from gbx_beamline.errors import InputError

_HEIGHT = 64
"""Rows per block: 640 kB of sums for 2,500 frames, which stay in the second cache."""
_AHEAD = 8
"""Events ahead of the one at work whose lists are fetched: 8 and 12 measured best, 4 and 16 5 % slower."""
_FRAMES = 2**24
"""Frames that fit beside a count into a 32-bit word."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What is in the rows of one ROI, from one pass over them."""

    per_pixel: NDArray[np.int64]
    """(P,) events, that is frames with at least one count, of each pixel."""
    largest: int
    """Largest count."""

    @property
    def events(self) -> int:
        """Frames times pixels with at least one count."""
        return int(self.per_pixel.sum())

    @property
    def pairs(self) -> int:
        """Pairs of events in the same pixel, each with itself included: sum over pixels of n (n + 1) / 2."""
        return int((self.per_pixel * (self.per_pixel + 1) // 2).sum())


def survey(rows: Counts, *, frames: int | None = None) -> Survey:
    """Count the events of every pixel, in a pass that costs about one reading of the memory.

    Args:
        rows: (N, P) uint8 counts; rows may lie apart.
        frames: Look at about this many frames only, spread evenly, and scale events up; None = look at all, which
            is what ``event_products`` needs. The largest count is then a lower bound.

    Returns:
        Events per pixel and largest count.
    """
    count, pixels = rows.shape
    step = 1 if frames is None else max(1, count // max(1, frames))
    looked = _apart(rows[::step])
    per_pixel, largest = np.zeros(pixels, dtype=np.int64), np.zeros(pixels, dtype=np.uint8)
    if looked.size:
        # One flat stretch of memory: the compiler then knows that neighbours are neighbours.
        flat = as_strided(looked, ((len(looked) - 1) * looked.strides[0] + pixels,), (1,), writeable=False)
        _survey(flat, looked.strides[0], len(looked), per_pixel, largest)
    if step > 1:
        per_pixel = np.round(per_pixel * (count / len(looked))).astype(np.int64)
    return Survey(per_pixel=per_pixel, largest=int(largest.max(initial=0)))


def event_blocks(
    rows: Counts,
    *,
    found: Survey | None = None,
    threads: int | None = 1,
    height: int | None = None,
    parts: int | None = None,
) -> Iterator[tuple[int, int, Integers]]:
    """Multiply the rows with each other, event by event: lower triangle, block of rows by block of rows.

    Args:
        rows: (N, P) uint8 counts from 0 to 127; rows may lie apart.
        found: A full survey of these very rows, where the caller has one; None makes it.
        threads: Threads among which the pixels are split; None = ``thread_count()``.
        height: Rows per block; None = 64.
        parts: Groups of pixels with lists of their own; None = one for each thread.

    Yields:
        ``i0, i1, products`` exactly as ``symmetric_products`` does: (i1 - i0, i1), int32 or int64 by
        ``product_dtype(P)``, overwritten by the next block.

    Raises:
        InputError: rows that are not uint8, a count above 127, more than 2^24 frames, or a survey of other rows.
    """
    if rows.ndim != 2 or rows.dtype != np.uint8 or len(rows) > _FRAMES:
        raise InputError(
            f"counts of type {rows.dtype} and shape {rows.shape}",
            needed=f"uint8 of shape (frames, pixels), at most {_FRAMES} frames",
            action="limit counts to 127, and bin longer series in time",
        )
    rows = _apart(rows)
    found = survey(rows) if found is None else found
    if found.largest > LARGEST:
        raise InputError(
            f"a count of {found.largest}",
            needed=f"counts up to {LARGEST}",
            action="send pixels with larger counts through wide_products",
        )
    if found.per_pixel.shape != (rows.shape[1],):
        raise _foreign(f"a survey of {found.per_pixel.size} pixels for {rows.shape[1]}")
    workers = thread_count(threads)
    # Places in a list are 32-bit numbers.
    least = found.events // 2**31 + 1
    return _blocks(rows, found.per_pixel, workers, height or _HEIGHT, max(workers, parts or 1, least))


def event_products(rows: Counts, *, found: Survey | None = None, threads: int | None = 1) -> Integers:
    """The whole symmetric (N, N) product of the rows with each other, as ``event_blocks`` computes it."""
    blocks = event_blocks(rows, found=found, threads=threads)
    whole = np.zeros((len(rows), len(rows)), dtype=np.int32 if rows.shape[1] <= INT32_PIXELS else np.int64)
    for i0, i1, block in blocks:
        whole[i0:i1, :i1] = block
        whole[:i0, i0:i1] = block[:, :i0].T
    return cast("Integers", whole)


class _Part:
    """Lists of events of one group of pixels."""

    def __init__(self, rows: Counts, per_pixel: NDArray[np.int64]) -> None:
        whole = rows.shape[1] // 8 * 8
        self.words: NDArray[np.uint64] = rows[:, :whole].view(np.uint64)
        # The last pixels do not fill a word of eight: a copy of theirs does.
        tail = np.zeros((len(rows), 8 if whole < rows.shape[1] else 0), dtype=np.uint8)
        tail[:, : rows.shape[1] - whole] = rows[:, whole:]
        self.tail: NDArray[np.uint64] = tail.view(np.uint64)
        # Where each pixel's list starts, and where it ends so far; the last row says where all of them end.
        self.ends = np.zeros((rows.shape[1] + 1, 2), dtype=np.uint32)
        self.ends[1:, 0] = np.cumsum(per_pixel)
        self.ends[:, 1] = self.ends[:, 0]
        self.lists = np.empty(int(per_pixel.sum()), dtype=np.uint32)
        self.pixel = np.empty(rows.shape[1], dtype=np.uint32)
        self.count = np.empty(rows.shape[1], dtype=np.uint8)

    def add(self, i0: int, i1: int, sums: NDArray[Any]) -> None:
        """Append the events of frames i0 to i1, which follow those before, and add their products to the sums."""
        if not _add(self.words, self.tail, self.ends, self.lists, self.pixel, self.count, i0, i1, sums):
            raise _foreign("a survey that found fewer events")


def _foreign(found: str) -> InputError:
    return InputError(
        found, needed="the full survey of these very rows", action="leave the survey out, or make it from all frames"
    )


def _blocks(
    rows: Counts, per_pixel: NDArray[np.int64], workers: int, height: int, parts: int
) -> Iterator[tuple[int, int, Integers]]:
    count, pixels = rows.shape
    # Multiples of 64 pixels: no thread shares a line of cache or a word with another.
    edges = np.unique(np.append(np.linspace(0, pixels, parts + 1)[:-1].astype(np.int64) // 64 * 64, pixels))
    groups = [_Part(rows[:, a:b], per_pixel[a:b]) for a, b in pairwise(edges)]
    shape = (min(workers, max(1, len(groups))), min(height, count) * count)
    sums = np.empty(shape, dtype=np.int32 if pixels <= INT32_PIXELS else np.int64)

    def work(worker: int, i0: int, i1: int) -> Integers:
        mine = cast("Integers", sums[worker, : (i1 - i0) * i1].reshape(i1 - i0, i1))
        mine[...] = 0
        for group in groups[worker :: len(sums)]:
            group.add(i0, i1, mine)
        return mine

    if len(sums) == 1:
        for i0 in range(0, count, height):
            i1 = min(i0 + height, count)
            yield i0, i1, work(0, i0, i1)
        return
    with ThreadPoolExecutor(len(sums)) as pool:
        for i0 in range(0, count, height):
            i1 = min(i0 + height, count)
            first, *others = pool.map(work, range(len(sums)), [i0] * len(sums), [i1] * len(sums))
            for other in others:
                first += other
            yield i0, i1, first


def _apart(rows: Counts) -> Counts:
    """The rows, copied only where their pixels are not neighbours in memory or they run backwards."""
    return rows if rows.strides[1] == 1 and rows.strides[0] >= rows.shape[1] else np.ascontiguousarray(rows)


def _trailing_zeros(_typing: Any, word: Any) -> Any:
    """Zero bits below the lowest set bit: one instruction, for which numba has no name."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(word), generate


_zeros_below: Any = intrinsic(_trailing_zeros)


def _ask_for_line(_typing: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of an element, without waiting for it; ``index`` counts from the array's first."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        where = builder.bitcast(builder.gep(data, [args[1]]), byte)
        # Read, keep in all caches, data.
        builder.call(function, [where, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, index), generate


_fetch: Any = intrinsic(_ask_for_line)


_WORDS = types.Array(types.uint64, 2, "A", readonly=True, aligned=False)
_BYTES = types.Array(types.uint8, 1, "C", readonly=True)


@njit(nogil=True, cache=True)
def _count_row(row: Any, events: Any, largest: Any) -> None:
    for p in range(len(events)):
        x = row[p]
        events[p] = np.uint8(events[p] + np.uint8(x != 0))
        largest[p] = x if x > largest[p] else largest[p]


@njit([types.void(_BYTES, types.int64, types.int64, types.int64[::1], types.uint8[::1])], nogil=True, cache=True)
def _survey(flat: Any, stride: Any, count: Any, per_pixel: Any, largest: Any) -> None:
    pixels = len(per_pixel)
    # Bytes, for 64 pixels an instruction; emptied before they can overflow.
    events = np.zeros(pixels, dtype=np.uint8)
    for i in range(count):
        _count_row(flat[i * stride : i * stride + pixels], events, largest)
        if i % 255 == 254 or i == count - 1:
            for p in range(pixels):
                per_pixel[p] += events[p]
                events[p] = 0


@njit(nogil=True, cache=True)
def _pick(row: Any, first: Any, pixel: Any, count: Any, known: Any) -> Any:
    """Append pixel and count of every byte that is not zero."""
    for j in range(len(row)):
        word = row[j]
        while word != 0:
            bit = _zeros_below(word) & np.uint64(0x38)
            pixel[known] = np.uint32(first + j * 8 + np.int64(bit >> np.uint64(3)))
            count[known] = np.uint8((word >> bit) & np.uint64(255))
            word &= ~(np.uint64(255) << bit)
            known += 1
    return known


def _add_kernel(
    words: Any, tail: Any, ends: Any, lists: Any, pixel: Any, count: Any, i0: Any, i1: Any, sums: Any
) -> Any:
    for i in range(i0, i1):
        known = _pick(words[i], 0, pixel, count, 0)
        known = _pick(tail[i], words.shape[1] * 8, pixel, count, known)
        row = sums[i - i0]
        for e in range(known):
            # The next pixels are known long before their lists are needed: two steps ahead, as the ends lead to
            # the lists. This halves the time at 50,000 pixels, where the lists are larger than the second cache.
            _fetch(ends, np.int64(pixel[min(e + 2 * _AHEAD, known - 1)]) * 2)
            later = pixel[min(e + _AHEAD, known - 1)]
            _fetch(lists, np.int64(ends[later, 0]))
            _fetch(lists, np.int64(ends[later, 0]) + 16)
            _fetch(lists, np.int64(ends[later, 1]))
            p, c = pixel[e], np.int64(count[e])
            start, stop = np.int64(ends[p, 0]), np.int64(ends[p, 1])
            if stop == np.int64(ends[p + 1, 0]):
                return False
            lists[stop] = np.uint32(i << 8) | np.uint32(c)
            ends[p, 1] = np.uint32(stop + 1)
            for k in range(start, stop + 1):
                event = lists[k]
                row[event >> np.uint32(8)] += c * np.int64(event & np.uint32(255))
    # No event reaches above the diagonal: what lies there is the mirror image.
    for i in range(i1 - i0):
        for j in range(i):
            sums[j, i0 + i] = sums[i, i0 + j]
    return True


_add = njit(
    [
        types.boolean(
            _WORDS,
            _WORDS,
            types.uint32[:, ::1],
            types.uint32[::1],
            types.uint32[::1],
            types.uint8[::1],
            types.int64,
            types.int64,
            sums[:, ::1],
        )
        for sums in (types.int32, types.int64)
    ],
    nogil=True,
    cache=True,
)(_add_kernel)
