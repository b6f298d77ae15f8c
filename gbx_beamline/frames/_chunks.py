"""Where a detector's chunks lie in its files, so that they can be read without HDF5 and its global lock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import h5py
import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import SeriesError
from gbx_beamline.frames.decode import one_frame_bslz4
from gbx_beamline.frames.links import open_hdf5
from gbx_beamline.frames.parts import Piece


@dataclass(frozen=True)
class StoredChunks:
    """Consecutive frames that are bitshuffle-LZ4 chunks of one frame each."""

    file: Path
    dataset: str
    """Path in the file, for messages."""
    first: int
    """Frame of the series that they start with."""
    offset: int
    """Frame of the data set that they start with, for messages."""
    positions: NDArray[np.int64] = field(repr=False)
    """(n,) byte in the file where each chunk starts."""
    sizes: NDArray[np.int64] = field(repr=False)
    """(n,) bytes of each chunk."""

    @property
    def stop(self) -> int:
        """Frame of the series after the last one."""
        return self.first + self.positions.size

    def cut(self, start: int, stop: int) -> StoredChunks:
        """Those of the frames ``start:stop`` of the series."""
        low, high = max(start, self.first) - self.first, max(0, min(stop, self.stop) - self.first)
        return replace(
            self,
            first=self.first + low,
            offset=self.offset + low,
            positions=self.positions[low:high],
            sizes=self.sizes[low:high],
        )

    def moved(self, frames: int) -> StoredChunks:
        """The same chunks so many frames later in a longer series."""
        return replace(self, first=self.first + frames)

    def damaged(self, frame: int) -> SeriesError:
        """The error for a chunk that is not what it should be; ``frame`` counts in the series."""
        return SeriesError(
            f"{self.file}: frame {frame - self.first + self.offset} of {self.dataset} is damaged",
            needed="undamaged frames",
            action="copy the file again from the detector",
        )


@runtime_checkable
class ChunkSource(Protocol):
    """A frame source that knows where its chunks lie. Whatever it does not tell has to be read with ``read``, which
    several threads may do at once."""

    def stored_chunks(self, start: int, stop: int) -> Iterator[StoredChunks]:
        """Chunks of frames ``start:stop``, in order, file by file; leaves out frames stored in another way."""
        ...


def chunks_of(piece: Piece, frame_shape: tuple[int, int], dtype: np.dtype[Any]) -> list[StoredChunks]:
    """Chunks of the frames of one piece.

    Args:
        piece: Consecutive frames of one data set.
        frame_shape: (y, x) of the series.
        dtype: Of the series.

    Returns:
        Runs of neighbouring frames; none where the data set is stored in another way.

    Raises:
        SeriesError: the file cannot be opened.
    """
    positions = np.full(piece.count, -1, dtype=np.int64)
    sizes = np.zeros(piece.count, dtype=np.int64)

    def note(chunk: Any) -> None:
        index = chunk.chunk_offset[0] - piece.offset
        # A chunk with skipped filters holds the pixels as they are.
        if 0 <= index < piece.count and not chunk.filter_mask and chunk.byte_offset is not None:
            positions[index], sizes[index] = chunk.byte_offset, chunk.size

    with open_hdf5(piece.file) as file:
        try:
            dataset: Any = file.get(piece.dataset)
            if not _fitting(file, dataset, frame_shape, dtype):
                return []
            dataset.id.chunk_iter(note)
        except (OSError, RuntimeError):
            return []  # a damaged file: reading its frames says so
    edges = np.flatnonzero(np.diff(np.concatenate([[False], positions >= 0, [False]]).astype(np.int8)))
    return [
        StoredChunks(
            piece.file,
            piece.dataset,
            first=piece.first + int(low),
            offset=piece.offset + int(low),
            positions=positions[low:high],
            sizes=sizes[low:high],
        )
        for low, high in zip(edges[::2], edges[1::2], strict=True)
    ]


def _fitting(file: h5py.File, dataset: Any, frame_shape: tuple[int, int], dtype: np.dtype[Any]) -> bool:
    """Whether chunks of a data set can be decoded without HDF5."""
    return (
        isinstance(dataset, h5py.Dataset)
        and dataset.shape[1:] == frame_shape
        and dataset.dtype == dtype == dtype.newbyteorder("<")
        # Positions of chunks count from the end of a user block.
        and not file.userblock_size
        and one_frame_bslz4(dataset)
    )


class ChunkFile:
    """One file open for reading chunks by position, outside HDF5.

    Args:
        chunks: Which chunks will be read, to size the buffer.
        largest: Bytes beyond which a chunk cannot be right.

    Raises:
        SeriesError: the file cannot be opened.
    """

    def __init__(self, chunks: StoredChunks, largest: int) -> None:
        self._chunks = chunks
        self._largest = largest
        sizes = chunks.sizes[chunks.sizes <= largest]
        self._buffer = np.empty(int(sizes.max(initial=0)), dtype=np.uint8)
        try:
            self._descriptor = os.open(chunks.file, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise SeriesError(
                f"{chunks.file} cannot be opened any more ({error.strerror})",
                needed="data files that stay while they are read",
                action="restore the file and start again",
            ) from error

    def __enter__(self) -> ChunkFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def read(self, frame: int) -> NDArray[np.uint8]:
        """(size,) bytes of the chunk of a frame of the series, valid until the next call.

        Raises:
            SeriesError: the file ends before the chunk does, or cannot be read.
        """
        index = frame - self._chunks.first
        size, position = int(self._chunks.sizes[index]), int(self._chunks.positions[index])
        if size > self._largest:
            raise self._chunks.damaged(frame)
        target = self._buffer[:size]
        done = 0
        while done < size:
            try:
                got = os.preadv(self._descriptor, [target.data[done:]], position + done)
            except OSError as error:
                raise self._chunks.damaged(frame) from error
            if got == 0:
                raise self._chunks.damaged(frame)
            done += got
        return target
