"""Frames that a simulation makes one after another, read like any other frame source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.errors import InputError, SeriesError
from gbx_beamline.records import Region


class StreamedMovie(ABC):
    """A frame source that remembers its fields from one frame to the next, and nothing else.

    Frames come in order. ``read`` goes on where it stopped; going back starts again from frame 0, because the
    fields remember. Iterating is independent of ``read``. The same seed gives the same frames however they are read.
    An instance is not to be read by several threads at once.

    Args:
        shape: (N, y, x).
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._shape = shape
        self._reader: Iterator[NDArray[Any]] = iter(())
        self._position = shape[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, y, x)."""
        return self._shape

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """uint16, or uint32 where the counts could exceed it."""

    @abstractmethod
    def _intensities(self) -> Iterator[NDArray[np.float32]]:
        """(y, x) expected photons of each frame, from the first; a new array each time."""

    @abstractmethod
    def _counted(self, frame: int, intensity: NDArray[np.float32]) -> NDArray[Any]:
        """(y, x) photons, by a generator of the frame's own: skipping frames changes nothing in the others."""

    def __len__(self) -> int:
        return self._shape[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """All frames from the first, (y, x) each."""
        for frame, intensity in enumerate(self._intensities()):
            yield self._counted(frame, intensity)

    def read(self, start: int, stop: int, region: Region | None = None) -> NDArray[Any]:
        """Frames ``start:stop``, whole or only ``region``: (stop - start, y, x).

        Raises:
            SeriesError: the range is outside the movie.
        """
        if not 0 <= start <= stop <= len(self):
            raise SeriesError(
                f"frames {start}:{stop} of a movie of {len(self)}",
                needed="a range inside it",
                action="correct the range",
            )
        if start < self._position:
            self._reader, self._position = self._intensities(), 0
        rows, columns = region or (slice(None), slice(None))
        height, width = (len(range(*part.indices(n))) for part, n in zip((rows, columns), self._shape[1:], strict=True))
        out = np.empty((stop - start, height, width), dtype=self.dtype)
        while self._position < stop:
            intensity = next(self._reader)
            if self._position >= start:
                out[self._position - start] = self._counted(self._position, intensity)[rows, columns]
            self._position += 1
        return out


def counts_dtype(brightest: float) -> np.dtype[Any]:
    """Smallest type that holds the photons of pixels of at most this mean.

    A mode's intensity is exponential: beyond 60 times the mean in one of 1e26 pixels.
    """
    return np.dtype(np.uint16 if brightest <= 1000.0 else np.uint32)


def checked_image(values: ArrayLike, shape: tuple[int, int], name: str) -> NDArray[np.float32]:
    """Numbers of 0 or more for every pixel: (y, x), or () where one holds for all.

    Raises:
        InputError: another shape, negative numbers or numbers that are not finite.
    """
    image = np.asarray(values, dtype=np.float32)
    if image.shape not in ((), shape) or not np.isfinite(image).all() or (image < 0).any():
        raise InputError(
            f"{name} of shape {image.shape} from {image.min():g} to {image.max():g}",
            needed=f"finite numbers of 0 or more, one for all or of shape {shape}",
            action=f"correct {name}",
        )
    return image
