"""What a simulated detector sees, and a measured movie as one such thing; see also ``speckle_feed``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from ophyd.status import Status

from gbx_beamline.errors import InputError, SeriesError
from gbx_bluesky.temperature import checked_temperature


@runtime_checkable
class FrameFeed(Protocol):
    """Where a simulated detector takes its frames from."""

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Unsigned integer type of the counts."""
        ...

    @property
    def pixel_mask(self) -> NDArray[np.uint32] | None:
        """(y, x) bits as in an Eiger master, 0 = good; None when every pixel is."""
        ...

    @property
    def truth(self) -> Mapping[str, Any] | None:
        """What the start document may tell of a simulated series, plain JSON; None for measured frames."""
        ...

    def frames(self, count: int) -> Iterator[NDArray[Any]]:
        """The next ``count`` frames of shape (y, x), one series.

        Raises:
            SeriesError: fewer frames exist. It is raised before the first frame.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What the sample's dynamics depend on when a run begins."""

    temperature: float
    """K."""
    frame_time: float
    """s."""
    frames: int
    """Per trigger."""
    triggers: int = 1

    def __post_init__(self) -> None:
        checked_temperature(self.temperature)
        if not (math.isfinite(self.frame_time) and self.frame_time > 0):
            raise InputError(f"frame_time {self.frame_time!r}", needed="seconds > 0", action="give a positive time")


@runtime_checkable
class ConfigurableFeed(FrameFeed, Protocol):
    """A feed whose frames depend on the conditions of the run; plans set them as they set a motor."""

    def set(self, value: Conditions) -> Status:
        """Take over ``value`` for the frames to come."""
        ...


class ReplayFeed:
    """A measured movie, frame after frame. It ends where the movie ends; nothing is shown twice unasked.

    Args:
        frames: (N, y, x) unsigned integer counts, an array or anything sliced like one.
        pixel_mask: (y, x) bits as in an Eiger master, 0 = good.
    """

    truth = None

    def __init__(self, frames: NDArray[Any], *, pixel_mask: NDArray[np.uint32] | None = None) -> None:
        if frames.ndim != 3 or frames.dtype.kind != "u" or not all(frames.shape):
            raise SeriesError(
                f"a movie of shape {frames.shape} and dtype {frames.dtype}",
                needed="(N, y, x) unsigned integers",
                action="convert the counts, with masked pixels at the dtype's maximum",
            )
        if pixel_mask is not None and pixel_mask.shape != frames.shape[1:]:
            raise SeriesError(
                f"a pixel mask of shape {pixel_mask.shape} for frames of {frames.shape[1:]}",
                needed="a mask of the frames' shape",
                action="cut both to the same region",
            )
        self._frames = frames
        self.pixel_mask = pixel_mask
        self._next = 0

    @classmethod
    def from_file(cls, path: Path | str) -> ReplayFeed:
        """A movie in .npy, or the only three-dimensional array of an .npz file.

        Raises:
            SeriesError: no file, or no single movie in it.
        """
        path = Path(path)
        try:
            content = np.load(path, allow_pickle=False, mmap_mode="r" if path.suffix == ".npy" else None)
        except (OSError, ValueError) as error:
            raise SeriesError(
                f"{path}: {error}", needed="a .npy or .npz file with a movie", action="check the path"
            ) from error
        if isinstance(content, np.ndarray):
            return cls(content)
        with content:
            movies = {key: array for key in content.files if (array := content[key]).ndim == 3}
        if len(movies) != 1:
            raise SeriesError(
                f"{path} holds {len(movies)} three-dimensional arrays",
                needed="exactly one movie of shape (N, y, x)",
                action="save the movie in a file of its own",
            )
        return cls(next(iter(movies.values())))

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x)."""
        return self._frames.shape[1], self._frames.shape[2]

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the movie."""
        return self._frames.dtype

    @property
    def remaining(self) -> int:
        """Frames not shown yet."""
        return len(self._frames) - self._next

    def rewind(self) -> None:
        """Begin again with the first frame."""
        self._next = 0

    def frames(self, count: int) -> Iterator[NDArray[Any]]:
        """As in ``FrameFeed``."""
        if count > self.remaining:
            raise SeriesError(
                f"{count} frames asked for, {self.remaining} of the movie's {len(self._frames)} are left",
                needed="as many frames as the movie still has",
                action="take fewer frames, or rewind() the feed before the run",
            )
        start, self._next = self._next, self._next + count
        return (np.asarray(self._frames[index]) for index in range(start, start + count))
