"""What a simulated detector sees: measured movies, and what all simulated samples have in common.

The samples themselves are in ``speckle_feed`` and ``grain_boundary_feed``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from ophyd.status import Status

from gbx_beamline.errors import InputError, SeriesError, UnitError
from gbx_beamline.untrusted import UNREADABLE, check_numpy
from gbx_bluesky.temperature import checked_temperature
from gbx_bluesky.temperature_table import Point, TemperatureTable

_LARGEST_MOVIE = 64 * 2**30
"""Bytes; a .npy file stays on disk."""

LOWEST_Q = 1e4
"""1/m. Momentum transfers below it were given in 1/Angstrom."""

Movie = TypeVar("Movie", bound=Iterable[NDArray[Any]])
"""A simulated movie; iterating shows its frames (y, x) from the first."""


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
            check_numpy(path, _LARGEST_MOVIE)
            content = np.load(path, allow_pickle=False, mmap_mode="r" if path.suffix == ".npy" else None)
            if isinstance(content, np.ndarray):
                return cls(content)
            with content:
                movies = {key: array for key in content.files if (array := content[key]).ndim == 3}
        except UNREADABLE as error:
            raise SeriesError(
                f"{path}: {error}", needed="a .npy or .npz file with a movie", action="check the path"
            ) from error
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


class MovieFeed(ABC, Generic[Point, Movie]):
    """Simulated frames of a sample whose temperature sets how it moves.

    Each series is a movie of its own, made from ``seed`` and a running number: a fresh spot of the sample at t = 0.

    Args:
        q: (y, x) momentum transfer that counts for the dynamics, 1/m: in-plane for GISAXS (the paper's convention).
        table: The sample at each temperature.
        seed: Same seed, same sequence of movies.
        pixel_mask: (y, x) bits as in an Eiger master; 0 = good. The detector applies it.
    """

    name: str
    model: str
    """What moves, for the start document."""
    parent = None

    def __init__(
        self,
        q: NDArray[np.floating[Any]],
        table: TemperatureTable[Point],
        *,
        seed: int,
        pixel_mask: NDArray[np.uint32] | None = None,
    ) -> None:
        if q.ndim != 2 or not np.isfinite(q).all():
            raise InputError(
                f"a q map of shape {q.shape}", needed="finite q for each pixel, (y, x)", action="take it from q_maps"
            )
        if pixel_mask is not None and pixel_mask.shape != q.shape:
            raise InputError(
                f"a pixel mask of shape {pixel_mask.shape}", needed=f"shape {q.shape}", action="cut it to the q map"
            )
        if np.abs(q).max() < LOWEST_Q:
            raise UnitError(
                f"a q map up to {np.abs(q).max():g}",
                needed="momentum transfers in 1/m",
                action="multiply 1/Angstrom by 1e10",
            )
        self.pixel_mask = pixel_mask
        self._q = q
        self._table = table
        self._seed = seed
        self._series = 0
        self._conditions: Conditions | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x)."""
        return self._q.shape[0], self._q.shape[1]

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """uint16, or uint32 for very bright scattering."""

    @property
    def series(self) -> int:
        """Number of the next series, counted from 0."""
        return self._series

    @property
    def truth(self) -> Mapping[str, Any] | None:
        """Sample, optics and seeds of the next series, SI units; None before ``set``.

        ``draw_seed`` is the movie's own, made from ``seed`` and ``series``.
        """
        if self._conditions is None:
            return None
        return {
            "model": self.model,
            **self._told(self._table.at(self._conditions.temperature)),
            **asdict(self._conditions),
            "seed": self._seed,
            "series": self._series,
            "draw_seed": self._draw_seed(self._series),
        }

    def set(self, value: Conditions) -> Status:
        """Take the dynamics of ``value`` for the series to come, as a plan's message.

        Raises:
            InputError: a temperature outside the table.
        """
        self._table.at(value.temperature)
        self._conditions = value
        status = Status()
        status.set_finished()
        return status

    def movie(self, count: int, series: int) -> Movie:
        """The movie of series number ``series`` under the present conditions, without advancing the feed.

        Raises:
            SeriesError: ``set`` was not called.
        """
        if self._conditions is None:
            raise SeriesError(
                f"the {self.name.replace('_', ' ')} knows no temperature",
                needed="the conditions of the run",
                action="call set(Conditions(...)), or give the plan a temperature device",
            )
        point = self._table.at(self._conditions.temperature)
        return self._movie(point, count, self._conditions.frame_time, self._draw_seed(series))

    def frames(self, count: int) -> Iterator[NDArray[Any]]:
        """As in ``FrameFeed``; each call is the next series."""
        movie = self.movie(count, self._series)
        self._series += 1
        return iter(movie)

    def _draw_seed(self, series: int) -> int:
        # 32 bits: a number that every reader of JSON keeps exactly.
        return int(np.random.SeedSequence([self._seed, series]).generate_state(1)[0])

    @abstractmethod
    def _movie(self, point: Point, count: int, frame_time: float, seed: int) -> Movie:
        """``count`` frames of the sample at one temperature."""

    @abstractmethod
    def _told(self, point: Point) -> Mapping[str, Any]:
        """What the truth says of the sample at one temperature and of the optics, plain JSON in SI units."""
