"""Opening HDF5 files, and following links across them step by step.

HDF5 itself follows links silently, and reads absent virtual sources as zeros; here whatever is absent gets a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import h5py

from gbx_beamline.errors import SeriesError
from gbx_beamline.untrusted import confined, lies_below

_MOST_HOPS = 16

Roots = Sequence[Path] | None
"""Folders below which a file may lie, whatever names it; None = anywhere, for files that a person named."""

DAMAGE = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError)
"""What h5py raises about a file that is not what it should be; SystemError and the like are its own mistakes."""


Node = TypeVar("Node", h5py.Group, h5py.Dataset)


@dataclass(frozen=True)
class Place:
    """A data set with no link left on the way to it."""

    file: Path
    dataset: str


@dataclass(frozen=True)
class Absent:
    """Where a link led to nothing."""

    name: str
    """File that is absent or incomplete."""
    why: str


def open_hdf5(path: Path, roots: Roots = None) -> h5py.File:
    """Open for reading.

    Raises:
        SeriesError: no such file, no HDF5, or damaged; it lies outside of ``roots``.
    """
    if roots is not None:
        path = confined(path, roots, setting="catalog.roots")
    if not path.is_file():
        raise SeriesError(
            f"no file {path}", needed="an Eiger master or another file with frames", action="check the path"
        )
    try:
        return h5py.File(path, "r")
    except PermissionError as error:
        raise SeriesError(
            f"{path} may not be read", needed="read permission", action="ask its owner, or check the mount"
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        if h5py.is_hdf5(path):
            raise SeriesError(
                f"{path} is a damaged, truncated or still open HDF5 file ({' '.join(str(error).split())})",
                needed="a complete file",
                action="wait until it is closed, or copy it again from the detector",
            ) from error
        raise SeriesError(
            f"{path} is no HDF5 file", needed="an Eiger master (HDF5)", action="check which file was given"
        ) from error


def beside(file: Path, name: str) -> Path:
    """Where a file named by a link in ``file`` is: as written, or of that name beside it after a move."""
    as_written = file.parent / name  # an absolute name wins over the folder
    moved = file.parent / Path(name).name
    return moved if not _is_file(as_written) and _is_file(moved) else as_written


def resolve(file: Path, dataset: str, roots: Roots = None, *, _hops: int = _MOST_HOPS) -> Place | Absent:
    """Follow soft and external links to a data set.

    Args:
        file: HDF5 file to start in.
        dataset: Path inside it.
        roots: Folders below which every file on the way must lie.

    Returns:
        The place of the data set, or the name of what is absent.
    """
    if _hops == 0:
        return Absent(file.name, f"{dataset} runs in a circle of links")
    if roots is not None and lies_below(file, roots) is None:
        return Absent(file.name, "lies outside of the folders for data files (catalog.roots)")
    if not _is_file(file):
        return Absent(file.name, "absent")
    try:
        with h5py.File(file, "r") as handle:
            step = _walk(handle, file, dataset, h5py.Dataset)
    except DAMAGE as error:
        return Absent(file.name, f"cannot be opened ({' '.join(str(error).split())})")
    if step is None:
        return Absent(file.name, f"holds no data set {dataset}")
    place, arrived = step
    return place if arrived else resolve(place.file, place.dataset, roots, _hops=_hops - 1)


def within(handle: h5py.File, file: Path, path: str, kind: type[Node]) -> Node | None:
    """A group or data set of this very file, by soft links at most; None where it is absent or lies in another file."""
    for _ in range(_MOST_HOPS):
        step = _walk(handle, file, path, kind)
        if step is None:
            return None
        place, arrived = step
        if arrived:
            found = handle[place.dataset]
            return found if isinstance(found, kind) else None
        if place.file != file:
            return None
        path = place.dataset
    return None


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except (OSError, ValueError):
        # A name that is too long, or has a zero byte in it.
        return False


def _walk(handle: h5py.File, file: Path, path: str, kind: type[object]) -> tuple[Place, bool] | None:
    """Go to the node (True) or to the first link on the way (False)."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    node: object = handle
    for index, part in enumerate(parts):
        if not isinstance(node, h5py.Group):
            return None
        link = node.get(part, getlink=True)
        rest = parts[index + 1 :]
        if isinstance(link, h5py.ExternalLink):
            return Place(beside(file, link.filename), "/".join([link.path, *rest])), False
        if isinstance(link, h5py.SoftLink):
            start = [] if link.path.startswith("/") else parts[:index]
            return Place(file, "/".join([*start, link.path, *rest])), False
        if link is None:
            return None
        try:
            node = node[part]
        except DAMAGE:
            # A damaged file may list what it cannot open.
            return None
    return (Place(file, "/" + "/".join(parts)), True) if isinstance(node, kind) else None
