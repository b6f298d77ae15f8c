"""Frames behind a Tiled node: over HTTP, or from the registered files one after the other."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import CatalogUnreachableError, GbxError, MissingFramesError, SeriesError
from gbx_beamline.frames._chunks import ChunkSource, StoredChunks
from gbx_beamline.frames.bounds import check_frames, region_bounds
from gbx_beamline.frames.eiger import EigerFile
from gbx_beamline.frames.series import absent_frames
from gbx_beamline.records import Bools, FrameSource, Region

ABSENT_HEADER = "X-GBX-Absent"
"""HTTP header in which our adapter says, as JSON, which frames [[first, last + 1], ...] and files are absent, and
the notes of the series as it is now."""

PROBES = 64
"""Frames that are looked at for absent data files where their size is not known."""


@dataclass(frozen=True)
class Presence:
    """What of a series exists on the server."""

    present: Bools
    """(N,) False = promised but absent."""
    missing: tuple[str, ...] = ()
    """Names of absent data files."""
    notes: tuple[str, ...] | None = None
    """All notes of the series where frames are absent; None where nothing is, and those registered hold."""


class JoinedFiles:
    """A ``FrameSource`` over several masters, in the order given."""

    reads_may_overlap = True
    """``read`` may be called by several threads at once."""

    def __init__(self, files: Sequence[EigerFile]) -> None:
        self.files = tuple(files)
        first = self.files[0]
        for file in self.files[1:]:
            if file.shape[1:] != first.shape[1:] or file.dtype != first.dtype:
                raise SeriesError(
                    f"{file.path.name} holds {file.dtype} frames of {file.shape[1:]}, "
                    f"{first.path.name} {first.dtype} frames of {first.shape[1:]}",
                    needed="masters of one series",
                    action="open each master by itself",
                )
        self._bounds = list(accumulate((file.shape[0] for file in self.files), initial=0))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, y, x) of all files together."""
        return (self._bounds[-1], *self.files[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Stored type of a pixel."""
        return self.files[0].dtype

    @property
    def present(self) -> Bools:
        """(N,) False = promised but absent."""
        return np.concatenate([file.present for file in self.files])

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of absent data files of all masters."""
        return tuple(dict.fromkeys(name for file in self.files for name in file.missing))

    @property
    def notes(self) -> tuple[str, ...]:
        """Facts that a reader must know, of all masters."""
        return tuple(dict.fromkeys(note for file in self.files for note in file.notes))

    @property
    def lasting_notes(self) -> tuple[str, ...]:
        """Those that do not depend on which data files are absent now."""
        return tuple(dict.fromkeys(note for file in self.files for note in file.lasting_notes))

    def read(self, start: int, stop: int, region: Region | None = None) -> NDArray[Any]:
        """Frames ``start:stop``, whole or only ``region``: (stop - start, rows, columns), stored dtype."""
        check_frames(start, stop, self.shape[0], self.files[0].path.name)
        rows, columns = region_bounds(region, self.shape[1:])
        out = np.empty((stop - start, rows.stop - rows.start, columns.stop - columns.start), dtype=self.dtype)
        for file, (first, last) in zip(self.files, pairwise(self._bounds), strict=True):
            low, high = max(start, first), min(stop, last)
            if low < high:
                out[low - start : high - start] = file.read(low - first, high - first, (rows, columns))
        return out

    def stored_chunks(self, start: int, stop: int) -> Iterator[StoredChunks]:
        """As :meth:`EigerFile.stored_chunks`, over all masters."""
        for file, (first, last) in zip(self.files, pairwise(self._bounds), strict=True):
            low, high = max(start, first), min(stop, last)
            if low < high:
                for chunks in file.stored_chunks(low - first, high - first):
                    yield chunks.moved(first)


_PASSING = (429, 502, 503, 504)
"""HTTP answers of a server that is overloaded, starting or behind a proxy without it."""


class NodeFrames:
    """A ``FrameSource`` over an array client; several events of frames (events, n, y, x) count as one series."""

    reads_may_overlap = True
    """``read`` may be called by several threads at once."""

    def __init__(self, image: Any, name: str) -> None:
        self._image = image
        self._name = name
        self.shape: tuple[int, int, int] = (self.frames_of(image), *image.shape[-2:])
        self.dtype: np.dtype[Any] = np.dtype(image.dtype)

    @staticmethod
    def frames_of(image: Any) -> int:
        """Frames of an array client."""
        return math.prod(image.shape[:-2])

    def read(self, start: int, stop: int, region: Region | None = None) -> NDArray[Any]:
        """Frames ``start:stop``, whole or only ``region``: (stop - start, rows, columns), stored dtype.

        Raises:
            MissingFramesError: the server does not find data files.
            SeriesError: the server finds something else than was registered, or a range outside the series.
        """
        check_frames(start, stop, self.shape[0], self._name)
        rows, columns = region_bounds(region, self.shape[1:])
        pixels = (rows.stop - rows.start, columns.stop - columns.start)
        parts = [
            self._fetch((*box, rows, columns)).reshape(-1, *pixels)
            for box in _boxes(start, stop, self._image.shape[:-2])
        ]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([np.empty((0, *pixels), dtype=self.dtype), *parts])

    def probe(self, step: int) -> Presence:
        """Touch one pixel at least every ``step`` frames, which opens every data file of so many.

        Returns:
            What exists, as the server's answer tells it.
        """
        present = np.ones(self.shape[0], dtype=np.bool_)
        if 0 in self.shape:
            return Presence(present)
        from httpx import HTTPStatusError  # a Tiled client brings it along

        try:
            np.array(self._image[(*_strides(step, self._image.shape[:-2]), slice(0, 1), slice(0, 1))])
        except HTTPStatusError as error:
            told = error.response.headers.get(ABSENT_HEADER)
            if told is None:
                raise _refused(self._name, error) from error
            content = json.loads(told)
            for first, last in content["absent"]:
                present[first:last] = False
            # A server of an earlier release tells no notes.
            notes = content.get("notes")
            return Presence(present, tuple(content["missing"]), None if notes is None else tuple(notes))
        return Presence(present)

    def _fetch(self, selection: tuple[slice, ...]) -> NDArray[Any]:
        from httpx import HTTPStatusError

        try:
            # A response is a read-only view of its bytes; callers own what they get.
            return np.array(self._image[selection])
        except HTTPStatusError as error:
            raise _refused(self._name, error) from error


def _boxes(start: int, stop: int, leading: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """The frames ``start:stop``, counted over all leading axes, as the fewest rectangles, in order."""
    if len(leading) == 1:
        if start < stop:
            yield (slice(start, stop),)
        return
    inner = math.prod(leading[1:])
    while start < stop:
        event, first = divmod(start, inner)
        if first == 0 and stop - start >= inner:
            events = (stop - start) // inner
            yield (slice(event, event + events), *(slice(0, size) for size in leading[1:]))
            start += events * inner
            continue
        end = min(stop, (event + 1) * inner)
        for box in _boxes(first, first + end - start, leading[1:]):
            yield (slice(event, event + 1), *box)
        start = end


def _strides(step: int, leading: tuple[int, ...]) -> tuple[slice, ...]:
    """A selection that leaves no ``step`` consecutive frames, counted over all leading axes, untouched."""
    inner = [math.prod(leading[axis + 1 :]) for axis in range(len(leading))]
    return tuple(slice(0, size, max(1, min(size, step // frames))) for size, frames in zip(leading, inner, strict=True))


def _refused(name: str, error: Any) -> GbxError:
    """What an answer of the server means: absent frames, trouble that may pass, or frames it cannot read."""
    told = error.response.headers.get(ABSENT_HEADER)
    if told is not None:
        content = json.loads(told)
        ranges = ", ".join(f"{first}..{last - 1}" for first, last in content["absent"])
        return MissingFramesError(
            f"{name}: frames {ranges} are absent on the server; missing: {', '.join(content['missing'])}",
            needed="every frame that the master promises",
            action="restore the data files, or open with allow_incomplete=True to analyse what exists",
        )
    if error.response.status_code in _PASSING:
        return CatalogUnreachableError(
            f"{name}: the Tiled server answers {error}",
            needed="a server that is up",
            action="try again; if it lasts, look into the server's log",
        )
    return SeriesError(
        f"{name}: the Tiled server answers {error}",
        needed="readable frames",
        action="check the files named, and the server's readable_storage and log",
    )


class PresentFrames:
    """A ``FrameSource`` that asks another one only for frames that exist; the others are zeros where allowed."""

    def __init__(
        self, source: FrameSource, present: Bools, missing: tuple[str, ...], name: str, *, allow_incomplete: bool
    ) -> None:
        self._source = source
        self._present = present
        self._missing = missing
        self._name = name
        self._allow_incomplete = allow_incomplete

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, y, x)."""
        return (self._present.size, *self._source.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Stored type of a pixel."""
        return self._source.dtype

    def read(self, start: int, stop: int, region: Region | None = None) -> NDArray[Any]:
        """Frames ``start:stop``, whole or only ``region``: (stop - start, rows, columns), stored dtype.

        Raises:
            MissingFramesError: the range touches absent frames and that was not allowed.
            SeriesError: a range outside the series.
        """
        check_frames(start, stop, self.shape[0], self._name)
        here = self._present[start:stop]
        if here.all():
            return self._source.read(start, stop, region)
        if not self._allow_incomplete:
            raise absent_frames(self._name, self._present, self._missing)
        rows, columns = region_bounds(region, self.shape[1:])
        out = np.zeros((stop - start, rows.stop - rows.start, columns.stop - columns.start), dtype=self.dtype)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], here, [False]]).astype(np.int8)))
        for low, high in zip(edges[::2], edges[1::2], strict=True):
            out[low:high] = self._source.read(start + int(low), start + int(high), (rows, columns))
        return out

    @property
    def reads_may_overlap(self) -> bool:
        """Whether ``read`` may be called by several threads at once."""
        return bool(getattr(self._source, "reads_may_overlap", False))

    def stored_chunks(self, start: int, stop: int) -> Iterator[StoredChunks]:
        """As :meth:`EigerFile.stored_chunks`, where the source tells them; frames that are absent may be among
        them, their pixels are not to be believed."""
        if isinstance(self._source, ChunkSource):
            yield from self._source.stored_chunks(start, stop)


def absent_on_server(reader: NodeFrames, images_per_file: Any, name: str) -> Presence:
    """Which frames the server can read, and what it says of those it cannot.

    Raises:
        SeriesError: the server cannot read the series at all, with its words.
    """
    known = isinstance(images_per_file, int) and images_per_file > 0
    step = images_per_file if known else max(1, reader.shape[0] // PROBES)
    if 0 in reader.shape:
        raise SeriesError(f"{name}: no frames yet", needed="at least one frame", action="open it when a trigger ended")
    return reader.probe(step)
