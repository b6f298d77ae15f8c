"""Bitshuffle-LZ4 chunks straight to the few pixels that are wanted, one byte each.

A chunk is a row of blocks that were compressed one by one; a block holds the bit planes of its pixels, those of the
lowest byte first, bit k of a plane's byte j being pixel 8 j + k (Masui et al., Astronomy and Computing 12 (2015)
181, doi:10.1016/j.ascom.2015.07.002, and the HDF5 filter 32008 of its authors). Hence three savings over decoding
a frame: blocks without a wanted pixel are skipped, planes above the seventh are only asked whether a wanted pixel
has a bit there, and low planes that are empty in all wanted pixels are left alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gbx_beamline.frames._lz4 import lz4_decompress

HEADER = 12
"""Bytes before the first block: uncompressed size (8) and block size (4), big-endian."""
DAMAGED = -1
"""What :func:`decode` returns for a chunk that is not what its header says."""
LOW_PLANES = 7
"""Planes that hold counts up to 127."""

_U = np.uint64
_LIMIT = _U(127)


@njit(cache=True, nogil=True)
def decode(
    lz4: int,
    chunk: NDArray[np.uint8],
    itemsize: int,
    pixels: int,
    block: int,
    firsts: NDArray[np.int64],
    runs: NDArray[np.int64],
    wanted: NDArray[np.uint8],
    row: NDArray[np.uint8],
    work: NDArray[np.uint8],
    low: NDArray[np.uint64],
    high: NDArray[np.uint8],
    columns: NDArray[np.int64],
    counts: NDArray[np.uint64],
) -> int:
    """Wanted pixels of one chunk.

    Args:
        lz4: :func:`gbx_beamline.frames._lz4.lz4_address`.
        chunk: (size,) the bytes as stored.
        itemsize: Bytes of a pixel, little-endian.
        pixels: Of the frame.
        block: Pixels of a block, a multiple of 8.
        firsts: (blocks + 2,) first run of each block, of the rest stored raw, and the end.
        runs: (R, 3) first pixel within the block, first column, number of pixels.
        wanted: (ceil(pixels / 8),) bit k of byte j: pixel 8 j + k is in some run.
        row: (P,) zeros; gets min(count, 127).
        work: (min(block, pixels) * itemsize,) scratch.
        low: (ceil(block / 8),) scratch.
        high: (ceil(block / 8),) scratch.
        columns: (room,) gets the columns with counts above 127, as far as there is room.
        counts: (room,) gets their counts as unsigned numbers.

    Returns:
        Number of columns above 127, which may exceed the room, or ``DAMAGED``.
    """
    full, rest = pixels // block, pixels % block
    blocks = full + (rest >= 8)
    position, found = HEADER, 0
    for index in range(blocks):
        elements = block if index < full else rest - rest % 8
        if position + 4 > chunk.size:
            return DAMAGED
        length = _length(chunk, position)
        position += 4
        if length > chunk.size - position:
            return DAMAGED
        first, last = firsts[index], firsts[index + 1]
        if first < last:
            size = elements * itemsize
            if lz4_decompress(lz4, chunk.ctypes.data + position, work.ctypes.data, length, size) != size:
                return DAMAGED
            mask = wanted[index * block // 8 : (index * block + elements) // 8]
            found = _take(work[:size], itemsize, mask, runs[first:last], row, low, high, columns, counts, found)
        position += length
    # Up to seven pixels at the end do not fill a byte of each bit plane and are stored as they are.
    if position + rest % 8 * itemsize != chunk.size:
        return DAMAGED
    at_end = runs[firsts[blocks] : firsts[blocks + 1]]
    return _take_stored(chunk[position:], itemsize, at_end, row, columns, counts, found)


@njit(cache=True, nogil=True)
def _length(chunk: NDArray[np.uint8], position: int) -> int:
    """Bytes of the compressed block whose size stands here, big-endian."""
    length = 0
    for byte in range(4):
        length = (length << 8) | np.int64(chunk[position + byte])
    return int(length)


@njit(cache=True, nogil=True)
def _take_stored(
    stored: NDArray[np.uint8],
    itemsize: int,
    runs: NDArray[np.int64],
    row: NDArray[np.uint8],
    columns: NDArray[np.int64],
    counts: NDArray[np.uint64],
    found: int,
) -> int:
    """Wanted pixels among those stored as they are; arguments as in :func:`decode`."""
    for index in range(len(runs)):
        for step in range(runs[index, 2]):
            column = runs[index, 1] + step
            count = _U(0)
            for byte in range(itemsize):
                count |= _U(stored[(runs[index, 0] + step) * itemsize + byte]) << _U(8 * byte)
            row[column] = min(count, _LIMIT)
            if count > _LIMIT:
                if found < columns.size:
                    columns[found] = column
                    counts[found] = count
                found += 1
    return found


@njit(cache=True, nogil=True)
def _take(
    planes: NDArray[np.uint8],
    itemsize: int,
    wanted: NDArray[np.uint8],
    runs: NDArray[np.int64],
    row: NDArray[np.uint8],
    low: NDArray[np.uint64],
    high: NDArray[np.uint8],
    columns: NDArray[np.int64],
    counts: NDArray[np.uint64],
    found: int,
) -> int:
    """Wanted pixels of one block of bit planes; arguments as in :func:`decode`."""
    width = wanted.size
    # Runs are in order of pixels: only the bytes between the first and the last are looked at. Loops below count
    # from 0 over slices, because the compiler vectorises no others.
    begin, end = runs[0, 0] // 8, (runs[-1, 0] + runs[-1, 2] + 7) // 8
    if width % 8 == 0:
        # Eight bytes at once: numba widens single bytes to long integers before it ORs them.
        begin, end = begin // 8 * 8, (end + 7) // 8 * 8
        filled = _filled_planes(planes[begin:].view(np.uint64), itemsize, width // 8, wanted[begin:end].view(np.uint64))
    else:
        filled = _filled_planes(planes[begin:], itemsize, width, wanted[begin:end])
    excess = filled > LOW_PLANES
    planes, low, high = planes[begin:], low[: end - begin], high[: end - begin]
    if filled == 0:
        return found
    _bytes_of(planes, width, filled, low)
    if excess:
        _high_bits(planes, itemsize, width, high)
        for byte in range(high.size):
            low[byte] |= _spread(_U(high[byte])) * _LIMIT
    pixels = low.view(np.uint8)
    for index in range(len(runs)):
        source = runs[index, 0] - 8 * begin
        column, size = runs[index, 1], runs[index, 2]
        _copy(pixels[source : source + size], row[column : column + size])
    if excess:
        found = _full_counts(planes, itemsize, width, runs, 8 * begin, high, columns, counts, found)
    return found


@njit(cache=True, nogil=True)
def _copy(source: NDArray[np.uint8], target: NDArray[np.uint8]) -> None:
    for index in range(source.size):
        target[index] = source[index]


@njit(cache=True, nogil=True)
def _filled_planes(planes: NDArray[Any], itemsize: int, width: int, wanted: NDArray[Any]) -> int:
    """How many of the lowest planes it takes to hold every bit of a wanted pixel: 0, 1, 2, 4, 7, or 8 for all.

    Args:
        planes: Of bytes or of eight bytes at once.
        itemsize: Bytes of a pixel.
        width: From one plane to the next.
        wanted: (size,) which bits to look at.
    """
    size = wanted.size
    last, none = planes[LOW_PLANES * width :][:size], wanted[0] ^ wanted[0]
    hit = none
    for index in range(size):
        hit |= last[index] & wanted[index]
    for group in range(1, itemsize):
        # One pass over eight planes: one for each took three times as long.
        at = group * 8 * width
        p0, p1 = planes[at:][:size], planes[at + width :][:size]
        p2, p3 = planes[at + 2 * width :][:size], planes[at + 3 * width :][:size]
        p4, p5 = planes[at + 4 * width :][:size], planes[at + 5 * width :][:size]
        p6, p7 = planes[at + 6 * width :][:size], planes[at + 7 * width :][:size]
        for index in range(size):
            bits = p0[index] | p1[index] | p2[index] | p3[index] | p4[index] | p5[index] | p6[index] | p7[index]
            hit |= bits & wanted[index]
    if hit:
        return LOW_PLANES + 1
    p0, p1, p2, p3 = planes[:size], planes[width:][:size], planes[2 * width :][:size], planes[3 * width :][:size]
    p4, p5, p6 = planes[4 * width :][:size], planes[5 * width :][:size], planes[6 * width :][:size]
    first, second, fourth, seventh = none, none, none, none
    for index in range(size):
        first |= p0[index] & wanted[index]
        second |= p1[index] & wanted[index]
        fourth |= (p2[index] | p3[index]) & wanted[index]
        seventh |= (p4[index] | p5[index] | p6[index]) & wanted[index]
    if seventh:
        return LOW_PLANES
    if fourth:
        return 4
    if second:
        return 2
    return 1 if first else 0


@njit(cache=True, nogil=True)
def _high_bits(planes: NDArray[np.uint8], itemsize: int, width: int, high: NDArray[np.uint8]) -> None:
    """OR of all planes above the seventh."""
    high[:] = 0
    for plane in range(LOW_PLANES, 8 * itemsize):
        bits = planes[plane * width :][: high.size]
        for byte in range(high.size):
            high[byte] |= bits[byte]


@njit(cache=True, nogil=True)
def _spread(x: np.uint64) -> np.uint64:
    """The eight bits of a byte as eight bytes of 0 or 1."""
    x = (x | (x << _U(28))) & _U(0x0000000F0000000F)
    x = (x | (x << _U(14))) & _U(0x0003000300030003)
    return (x | (x << _U(7))) & _U(0x0101010101010101)


@njit(cache=True, nogil=True)
def _transposed(x: np.uint64) -> np.uint64:
    """Bit 8 i + k to bit 8 k + i: the eight by eight bits mirrored (Warren, Hacker's Delight, 7-3)."""
    t = (x ^ (x >> _U(7))) & _U(0x00AA00AA00AA00AA)
    x = x ^ t ^ (t << _U(7))
    t = (x ^ (x >> _U(14))) & _U(0x0000CCCC0000CCCC)
    x = x ^ t ^ (t << _U(14))
    t = (x ^ (x >> _U(28))) & _U(0x00000000F0F0F0F0)
    return x ^ t ^ (t << _U(28))


@njit(cache=True, nogil=True)
def _bytes_of(planes: NDArray[np.uint8], width: int, filled: int, low: NDArray[np.uint64]) -> None:
    """The lowest ``filled`` planes (see :func:`_filled_planes`) as one byte a pixel."""
    size = low.size
    p0, p1 = planes[:size], planes[width:][:size]
    if filled == 1:
        for byte in range(size):
            low[byte] = _spread(_U(p0[byte]))
        return
    if filled == 2:
        for byte in range(size):
            low[byte] = _spread(_U(p0[byte])) | (_spread(_U(p1[byte])) << _U(1))
        return
    p2, p3 = planes[2 * width :][:size], planes[3 * width :][:size]
    if filled == 4:
        for byte in range(size):
            low[byte] = _transposed(
                _U(p0[byte]) | (_U(p1[byte]) << _U(8)) | (_U(p2[byte]) << _U(16)) | (_U(p3[byte]) << _U(24))
            )
        return
    p4, p5, p6 = planes[4 * width :][:size], planes[5 * width :][:size], planes[6 * width :][:size]
    for byte in range(size):
        low[byte] = _transposed(
            _U(p0[byte])
            | (_U(p1[byte]) << _U(8))
            | (_U(p2[byte]) << _U(16))
            | (_U(p3[byte]) << _U(24))
            | (_U(p4[byte]) << _U(32))
            | (_U(p5[byte]) << _U(40))
            | (_U(p6[byte]) << _U(48))
        )


@njit(cache=True, nogil=True)
def _full_counts(
    planes: NDArray[np.uint8],
    itemsize: int,
    width: int,
    runs: NDArray[np.int64],
    first: int,
    high: NDArray[np.uint8],
    columns: NDArray[np.int64],
    counts: NDArray[np.uint64],
    found: int,
) -> int:
    """Columns and full counts of the wanted pixels with a high bit."""
    eight = np.zeros(8, np.uint64)
    known = -1
    for index in range(len(runs)):
        begin = runs[index, 0] - first
        end, column = begin + runs[index, 2], runs[index, 1] - begin
        pixel = begin
        while pixel < end:
            byte, bit = pixel >> 3, pixel & 7
            bits = high[byte] >> bit
            if bits & 1:
                if found < columns.size:
                    if byte != known:
                        # Neighbours tend to saturate together.
                        _eight_counts(planes, itemsize, width, byte, eight)
                        known = byte
                    columns[found] = column + pixel
                    counts[found] = eight[bit]
                found += 1
            pixel += 1 if bits else 8 - bit
    return found


@njit(cache=True, nogil=True)
def _eight_counts(planes: NDArray[np.uint8], itemsize: int, width: int, byte: int, eight: NDArray[np.uint64]) -> None:
    """All bits of the eight pixels that share one byte of each plane."""
    common = planes[byte]
    alike = True
    for plane in range(1, 8 * itemsize):
        alike = alike and planes[plane * width + byte] == common
    if alike:
        # Each of them is 0 or saturated, as between detector modules.
        for pixel in range(8):
            eight[pixel] = _U(0) - _U((common >> pixel) & 1)
        if itemsize < 8:
            eight &= (_U(1) << _U(8 * itemsize)) - _U(1)
        return
    eight[:] = 0
    for group in range(itemsize):
        bits = _U(0)
        for plane in range(8):
            bits |= _U(planes[(group * 8 + plane) * width + byte]) << _U(8 * plane)
        bits = _transposed(bits)
        for pixel in range(8):
            eight[pixel] |= ((bits >> _U(8 * pixel)) & _U(255)) << _U(8 * group)
