"""What correlation asks of a frame series, and counts in memory that answer like one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._memory import READ_BYTES
from gbx_beamline.errors import InputError, SeriesError
from gbx_beamline.records import Bools, Region


@runtime_checkable
class FrameBlocks(Protocol):
    """What correlation asks of a frame series. A ``frames.Series`` is one."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, y, x)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Stored type of a pixel."""
        ...

    @property
    def mask(self) -> Bools:
        """(y, x) True = good pixel."""
        ...

    @property
    def frame_time(self) -> float:
        """s between frames."""
        ...

    @property
    def present(self) -> Bools:
        """(N,) False for frames that are absent."""
        ...

    def blocks(self, region: Region | None = None, max_bytes: int = ...) -> Iterator[tuple[int, NDArray[Any]]]:
        """Consecutive frames as (index of the first, (n, y, x)), at most ``max_bytes`` each."""
        ...


class ArrayFrames:
    """Counts in memory, read like a series.

    Args:
        counts: (N, y, x), or (N, P) which is read as frames of one row.
        frame_time: s between frames.
    """

    def __init__(self, counts: NDArray[Any], frame_time: float) -> None:
        if counts.ndim not in (2, 3):
            raise SeriesError(
                f"counts of shape {counts.shape}",
                needed="(frames, y, x) or (frames, pixels)",
                action="reshape the array",
            )
        self._counts = counts if counts.ndim == 3 else counts[:, None, :]
        self.frame_time = frame_time

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, y, x)."""
        n, y, x = self._counts.shape
        return n, y, x

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a count."""
        return self._counts.dtype

    @property
    def mask(self) -> Bools:
        """(y, x) all True: an array knows of no bad pixel."""
        return np.ones(self.shape[1:], dtype=bool)

    @property
    def present(self) -> Bools:
        """(N,) all True."""
        return np.ones(self.shape[0], dtype=bool)

    def blocks(self, region: Region | None = None, max_bytes: int = READ_BYTES) -> Iterator[tuple[int, NDArray[Any]]]:
        """Consecutive frames as (index of the first, (n, y, x))."""
        rows, columns = region or (slice(None), slice(None))
        frames = self._counts[:, rows, columns]
        step = max(1, max_bytes // max(1, frames[:1].nbytes))
        for start in range(0, len(frames), step):
            yield start, frames[start : start + step]


def as_frames(series_or_counts: FrameBlocks | NDArray[Any], frame_time: float) -> FrameBlocks:
    """Read an array like a series; a series stays itself.

    Raises:
        SeriesError: neither of the two, an array of impossible shape, or fewer than two frames.
    """
    frames = ArrayFrames(series_or_counts, frame_time) if isinstance(series_or_counts, np.ndarray) else series_or_counts
    if not isinstance(frames, FrameBlocks):
        raise SeriesError(
            f"an object of type {type(frames).__name__}",
            needed="an opened series or a numpy array of counts",
            action="open the data with gbx.open_series",
        )
    if frames.shape[0] < 2:
        raise SeriesError(
            f"{frames.shape[0]} frame(s)", needed="at least two to correlate", action="give the whole series"
        )
    return frames


def valid_frames(frames: FrameBlocks, bad_frames: Iterable[int]) -> Bools:
    """(N,) False for frames that are listed as bad or absent.

    Raises:
        InputError: an index that is no frame, or fewer than two frames left.
    """
    count = frames.shape[0]
    valid = np.array(frames.present, dtype=bool)
    listed = np.asarray(list(bad_frames))
    if listed.size and listed.dtype.kind not in "iu":
        raise InputError(
            f"bad frames of dtype {listed.dtype}", needed="frame indices", action="list the bad frames as integers"
        )
    outside = listed[(listed < 0) | (listed >= count)]
    if outside.size:
        raise InputError(
            f"bad frame {outside[0]} in a series of {count}",
            needed=f"indices from 0 to {count - 1}",
            action="correct the list of bad frames",
        )
    valid[listed.astype(np.int64)] = False
    if valid.sum() < 2:
        raise InputError(
            f"{valid.sum()} valid frame(s) of {count} after {listed.size} listed as bad",
            needed="at least two valid frames",
            action="check the list of bad frames and the missing data files",
        )
    return valid
