"""Pixels out of HDF5 chunks, without a crash where a chunk is damaged.

Decoding goes through HDF5 and its bitshuffle plugin. The ``bitshuffle`` package decodes the same chunks outside
HDF5, but in OpenMP threads that spin while they wait: on a machine with other work it was 6 to 50 times slower.
"""

from __future__ import annotations

from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from gbx_beamline.records import Region

_LZ4 = 2
"""Fifth option of the bitshuffle filter: compress with LZ4 after shuffling."""
_HEADER = 12
"""Bytes before the first block: uncompressed size (8) and block size (4), big-endian."""


def read_frames(dataset: h5py.Dataset, start: int, stop: int, region: Region, out: NDArray[Any]) -> None:
    """Read frames ``start:stop`` of a data set into ``out``.

    Args:
        dataset: (n, y, x); the frames asked for were written.
        start: First frame.
        stop: After the last frame.
        region: Rows and columns with explicit ends.
        out: (stop - start, rows, columns), C-contiguous.

    Raises:
        OSError: a chunk is damaged.
    """
    if out.size == 0:
        return
    if one_frame_bslz4(dataset):
        for index in range(start, stop):
            skipped_filters, chunk = dataset.id.read_direct_chunk((index, 0, 0))
            if not skipped_filters and not _whole(chunk, dataset.shape[1] * dataset.shape[2], dataset.dtype.itemsize):
                raise OSError(f"frame {index} of {dataset.name} is damaged")
    dataset.read_direct(out, np.s_[start:stop, region[0], region[1]])


def one_frame_bslz4(dataset: h5py.Dataset) -> bool:
    """Whether a data set is stored as Eiger detectors do: one bitshuffle-LZ4 chunk for each frame."""
    if dataset.chunks is None or dataset.chunks != (1, *dataset.shape[1:]):
        return False
    pipeline = dataset.id.get_create_plist()
    if pipeline.get_nfilters() != 1:
        return False
    number, _, options, _ = pipeline.get_filter(0)
    return number == hdf5plugin.Bitshuffle.filter_id and len(options) > 4 and options[4] == _LZ4


def _whole(chunk: bytes, pixels: int, itemsize: int) -> bool:
    """Walk the block headers of a bitshuffle-LZ4 chunk.

    The decoder trusts them: one wrong length makes it read beyond the chunk, and the process dies.
    """
    block = int.from_bytes(chunk[8:_HEADER], "big") // itemsize
    if int.from_bytes(chunk[:8], "big") != pixels * itemsize or block <= 0 or block % 8:
        return False
    full, rest = divmod(pixels, block)
    position = _HEADER
    for _ in range(full + (rest >= 8)):
        position += 4 + int.from_bytes(chunk[position : position + 4], "big")
        if position > len(chunk):
            return False
    # Up to seven pixels at the end do not fill a byte of each bit plane and are stored as they are.
    return position + (rest % 8) * itemsize == len(chunk)
