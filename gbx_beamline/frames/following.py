"""Data files of a series that is being written: in acquisition order, each once, as they close.

A detector closes a data file every n frames; the master appears when the series has ended. Paths come from documents,
which anybody may have written: what they name is read only below folders that the configuration allows.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np

from gbx_beamline.errors import MissingFramesError, SeriesError
from gbx_beamline.frames.eiger import EigerFile
from gbx_beamline.untrusted import confined

SETTLE_SECONDS = 0.5
"""A file that does not count its own images is taken for closed when it has not changed for so long."""

PATIENCE_SECONDS = 20.0
"""For a file that does not come though a later one is there: a network file system may show them in any order."""

_FIRST = re.compile(r"(?P<series>.+)_data_000001\.h5")
_PLAIN = re.compile(r"\w[\w.+-]*")

Look = tuple[int, int]
"""Bytes, and time of the last change in ns."""


def find_series(folder: Path, *, since: float, sequence: str | None = None) -> str | None:
    """The series that began first after a moment; None while there is none.

    Not the newest: where a run was left behind without its end, that is another run's.

    Args:
        folder: Where the detector writes.
        since: Unix time, s, that the first data file must be younger than.
        sequence: Number that the detector gave the series, with which its name ends; None = any.

    Returns:
        What the names of its files begin with.
    """
    found: list[tuple[float, str]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                match = _FIRST.fullmatch(entry.name)
                if match is None or (sequence is not None and not match["series"].endswith(f"_{sequence}")):
                    continue
                changed = entry.stat().st_mtime
                if changed >= since:
                    found.append((changed, match["series"]))
    except OSError:
        # The folder is made with the first file, or its server is away.
        return None
    return min(found)[1] if found else None


class DataFiles:
    """Follows the data files of one series. ``next`` is to be called every now and then, from one thread.

    Args:
        folder: Where the detector writes.
        series: What the names of its files begin with.
        roots: Folders below which files, and what links in their place lead to, must lie.
        patience: s for a file that does not come though a later one is there.
        settle: s without a change after which a file that does not count its images is taken for closed.
        clock: s.

    Raises:
        SeriesError: a folder outside of ``roots``, or no plain name.
    """

    def __init__(
        self,
        folder: Path | str,
        series: str,
        *,
        roots: Sequence[Path],
        patience: float = PATIENCE_SECONDS,
        settle: float = SETTLE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not _PLAIN.fullmatch(series):
            raise SeriesError(
                f"a series of the name {series!r}",
                needed="the plain start of its files' names",
                action="correct the start document's 'file prefix'",
            )
        self._folder = confined(folder, roots)
        self._series = series
        self._roots = roots
        self._patience = patience
        self._settle = settle
        self._clock = clock
        self._number = 1
        self._seen: tuple[Look, float] | None = None
        """How the next file looked, and when it was first seen so."""
        self._overtaken: float | None = None
        """When the file after the next one was first seen."""

    @property
    def taken(self) -> int:
        """Files handed out so far."""
        return self._number - 1

    def next(self) -> EigerFile | None:
        """The next data file once it has closed; None until then.

        Raises:
            MissingFramesError: it does not close, and a later one is there for longer than ``patience``.
            SeriesError: it is none of the detector's: a link out of the folders that are allowed, frames that lie in
                another file, frames that are no images.
        """
        path = self._path(self._number)
        real = confined(path, self._roots)
        if self._has_closed(real):
            file = EigerFile(real)
            if file.present.all():
                self._number += 1
                self._seen = self._overtaken = None
                return file
        self._refuse_gap(path)
        return None

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._series}_data_{number:06d}.h5"

    def _has_closed(self, path: Path) -> bool:
        try:
            status = path.stat()
        except OSError:
            return False
        look, now = (status.st_size, status.st_mtime_ns), self._clock()
        if self._seen is None or self._seen[0] != look:
            self._seen = look, now
        whole = _says_whole(path)
        return whole is True or (whole is None and now - self._seen[1] >= self._settle)

    def _refuse_gap(self, path: Path) -> None:
        if not self._path(self._number + 1).exists():
            return
        now = self._clock()
        self._overtaken = now if self._overtaken is None else self._overtaken
        if now - self._overtaken > self._patience:
            raise MissingFramesError(
                f"{path.name} does not close, though a later data file is there for {self._patience:g} s",
                needed="every data file, in order",
                action="wait for the analysis at the end of the run; look at the detector's file writer",
            )


def _says_whole(path: Path) -> bool | None:
    """Whether a data file has all images that it says it has; None where it does not count them.

    Takes no lock: a detector that goes on writing must not find its file locked.

    Raises:
        SeriesError: its frames are not its own.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            dataset = _own_frames(file, path)
            frames = dataset.shape[0] if dataset is not None and dataset.shape else 0
            if dataset is None or not frames:
                return False
            low, high = (dataset.attrs.get(name) for name in ("image_nr_low", "image_nr_high"))
            if low is None or high is None:
                return None
            return int(np.ravel(high)[0]) - int(np.ravel(low)[0]) + 1 == frames
    except (OSError, RuntimeError, KeyError):
        # Half-written, or on its way here.
        return False


def _own_frames(file: h5py.File, path: Path) -> h5py.Dataset | None:
    """The data set of frames, reached without a link; None while there is none."""
    node: h5py.Group | h5py.Dataset = file
    for name in ("entry", "data", "data"):
        link = node.get(name, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise _foreign(path, f"a link at {name!r}")
        assert isinstance(node, h5py.Group)
        node = node[name]  # pyright: ignore[reportAssignmentType]
    if not isinstance(node, h5py.Dataset):
        return None
    if node.is_virtual or node.external:
        raise _foreign(path, "frames that lie in other files")
    return node


def _foreign(path: Path, what: str) -> SeriesError:
    return SeriesError(
        f"{path}: {what}",
        needed="a detector's data file, with its frames in it",
        action="wait for the analysis at the end of the run",
    )
