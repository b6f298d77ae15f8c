"""Which frame of a series lies where: data files, virtual sources, and what of them exists.

Acquisition order is the order of the numbers in the data set names (``data_000001``, ...), never that of the
directory or of the alphabet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gbx_beamline.errors import MissingFramesError, SeriesError
from gbx_beamline.frames.bounds import MOST_FRAMES
from gbx_beamline.frames.links import DAMAGE, Absent, Roots, open_hdf5, resolve, within
from gbx_beamline.frames.parts import Part, Piece, inspect_part
from gbx_beamline.records import Bools

_NUMBERED = re.compile(r"data_?(\d+)$")


@dataclass(frozen=True)
class Layout:
    """Frames (N, y, x) put together from pieces that exist."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    pieces: tuple[Piece, ...]
    """In acquisition order; frames between them are absent."""
    present: Bools
    """(N,)."""
    data_files: tuple[str, ...]
    """Names of all data files the master names, in acquisition order."""
    missing: tuple[str, ...] = ()
    """Names of those absent, or what else is absent in words."""
    notes: tuple[str, ...] = ()
    """What holds whether data files are absent or not."""
    absences: tuple[str, ...] = ()
    """What was concluded about those absent now."""
    uncovered: Bools | None = field(default=None, repr=False)
    """(y, x) pixels that no source of a virtual data set covers."""

    def without_tail(self) -> Layout:
        """A copy that ends with the last frame that exists (unchanged where none does)."""
        existing = np.flatnonzero(self.present)
        if existing.size == 0:
            return self
        frames = int(existing[-1]) + 1
        return replace(self, shape=(frames, *self.shape[1:]), present=self.present[:frames])


def read_layout(
    path: Path,
    *,
    expected: int | None,
    frame_shape: tuple[int, int] | None,
    dtype: np.dtype[Any] | None,
    roots: Roots = None,
) -> Layout:
    """Find every frame that a master promises.

    Args:
        path: Eiger master, or a single data file.
        expected: Frames that the header promises (nimages x ntrigger), if it says so.
        frame_shape: (y, x) of the header, used where no data file exists.
        dtype: Pixel type of the header, used where no data file exists.
        roots: Folders below which the master and whatever it leads to must lie; None = anywhere.

    Raises:
        SeriesError: no frames are named; data files disagree on shape or type; a damaged file; more frames than any
            series has.
        MissingFramesError: no data file exists, and the header does not say what they held.
    """
    try:
        return _read_layout(path, expected, frame_shape, dtype, roots)
    except (*DAMAGE, RecursionError) as error:
        raise SeriesError(
            f"{path}: {' '.join(str(error).split()) or type(error).__name__}",
            needed="an undamaged master",
            action="copy the files again from the detector",
        ) from error


def _read_layout(
    path: Path,
    expected: int | None,
    frame_shape: tuple[int, int] | None,
    dtype: np.dtype[Any] | None,
    roots: Roots,
) -> Layout:
    with open_hdf5(path, roots) as file:
        whole, numbered = _named(file, path, roots)
    targets = [resolve(path, name, roots) for name in ([whole] if whole is not None else numbered)]
    if not targets:
        raise SeriesError(
            f"{path} names no frames",
            needed="/entry/data/data or /entry/data/data_000001, ...",
            action="give the master file of the series",
        )
    parts = [target if isinstance(target, Absent) else inspect_part(target, roots) for target in targets]
    names = [target.name if isinstance(target, Absent) else target.file.name for target in targets]
    sources = [name for part in parts if isinstance(part, Part) for name in part.sources]
    layout = _joined(path, parts, names, expected, frame_shape, dtype)
    return replace(layout, data_files=tuple(sources)) if sources else layout


def _named(file: h5py.File, path: Path, roots: Roots) -> tuple[str | None, list[str]]:
    """The one data set with all frames, if there is one, and the numbered ones in order."""
    for folder in ("/entry/data", "/entry", "/"):
        try:
            group = file.get(folder) if roots is None else within(file, path, folder, h5py.Group)
        except OSError:  # the group is itself a dangling link
            continue
        if not isinstance(group, h5py.Group):
            continue
        links = {name: group.get(name, getlink=True) for name in map(str, group)}
        order = sorted((int(match[1]), name) for name in links if (match := _NUMBERED.fullmatch(name)))
        numbered = [f"{folder.rstrip('/')}/{name}" for _, name in order]
        data = links.get("data")
        linked = isinstance(data, h5py.SoftLink | h5py.ExternalLink)
        if data is not None and (linked or isinstance(group["data"], h5py.Dataset)):
            return f"{folder.rstrip('/')}/data", numbered
        if numbered:
            return None, numbered
    return None, []


def _joined(
    path: Path,
    parts: list[Part | Absent],
    names: list[str],
    expected: int | None,
    frame_shape: tuple[int, int] | None,
    dtype: np.dtype[Any] | None,
) -> Layout:
    existing = [(name, part) for name, part in zip(names, parts, strict=True) if isinstance(part, Part)]
    for name, part in existing[1:]:
        first_name, first = existing[0]
        if part.shape[1:] != first.shape[1:] or part.dtype != first.dtype:
            raise SeriesError(
                f"{path}: {name} holds frames {part.shape[1:]} of {part.dtype}, "
                f"{first_name} frames {first.shape[1:]} of {first.dtype}",
                needed="one shape and one type of frames in a series",
                action="check that the data files belong to this master",
            )
    if existing:
        frame_shape, dtype = existing[0][1].shape[1:], existing[0][1].dtype
    if frame_shape is None or dtype is None:
        raise MissingFramesError(
            f"{path}: none of its data files exists ({', '.join(names)}), and the header does not say what they held",
            needed="the data files beside the master",
            action="restore them",
        )
    starts, end, absences = _placed(parts, expected)
    total = max(end, expected or 0)
    if total > MOST_FRAMES:
        raise SeriesError(
            f"{path} promises {total:,} frames",
            needed=f"at most {MOST_FRAMES:,}",
            action="check nimages and ntrigger in the master, and the numbers of its data files",
        )
    present = np.zeros(total, dtype=np.bool_)
    pieces: list[Piece] = []
    missing: list[str] = []
    notes: list[str] = []
    for part, start in zip(parts, starts, strict=True):
        if isinstance(part, Absent):
            missing.append(part.name)
            if part.why != "absent":
                absences.append(f"{part.name}: {part.why}")
        else:
            pieces += [replace(piece, first=piece.first + start) for piece in part.pieces]
            present[start : start + part.shape[0]] = part.present
            missing += part.missing
    if total > end:
        missing.append(f"frames {end}..{total - 1}, for which no data file is named")
    elif expected is not None and end > expected:
        notes.append(f"the header promises {expected} frames, the data files hold {end}; all {end} are used")
    uncovered = [part.uncovered for _, part in existing if part.uncovered is not None]
    return Layout(
        shape=(total, *frame_shape),
        dtype=dtype,
        pieces=tuple(pieces),
        present=present,
        data_files=tuple(names),
        missing=tuple(dict.fromkeys(missing)),
        notes=tuple(notes),
        absences=tuple(absences),
        uncovered=np.logical_or.reduce(uncovered) if uncovered else None,
    )


def _placed(parts: list[Part | Absent], expected: int | None) -> tuple[list[int], int, list[str]]:
    """First frame of each part, the end, and what was concluded about absent ones."""
    per_file = _frames_per_file(parts, expected)
    starts: list[int] = []
    notes: list[str] = []
    position = index = 0
    while index < len(parts):
        part = parts[index]
        starts.append(position)
        index += 1
        if isinstance(part, Part):
            position += part.shape[0]
            continue
        names = [part.name]
        while index < len(parts) and isinstance(following := parts[index], Absent):
            names.append(following.name)
            starts.append(position)
            index += 1
        after = parts[index] if index < len(parts) else None
        if isinstance(after, Part) and after.first_image is not None and after.first_image > position:
            # image_nr_low counts from 1 over the whole series: it tells what the absent files held.
            frames = after.first_image - 1 - position
        elif after is None and expected is not None and expected > position:
            frames = expected - position
        else:
            frames = per_file * len(names)
        notes.append(f"{', '.join(names)} absent: {frames} frames taken as missing from frame {position} on")
        position += frames
    return starts, position, notes


def _frames_per_file(parts: list[Part | Absent], expected: int | None) -> int:
    """Frames of a full data file: the last one may be shorter."""
    full = [part.shape[0] for part in parts[:-1] if isinstance(part, Part)]
    if full:
        return max(full)
    known = sum(part.shape[0] for part in parts if isinstance(part, Part))
    absent = sum(isinstance(part, Absent) for part in parts)
    if expected is not None and absent and expected > known:
        return -(-(expected - known) // absent)
    return known
