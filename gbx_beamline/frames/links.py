"""Opening HDF5 files, and following links across them step by step.

HDF5 itself follows links silently, and reads absent virtual sources as zeros; here whatever is absent gets a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py

from gbx_beamline.errors import SeriesError

_MOST_HOPS = 16


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


def open_hdf5(path: Path) -> h5py.File:
    """Open for reading.

    Raises:
        SeriesError: no such file, no HDF5, or damaged.
    """
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
    except OSError as error:
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
    return moved if not as_written.is_file() and moved.is_file() else as_written


def resolve(file: Path, dataset: str, *, _hops: int = _MOST_HOPS) -> Place | Absent:
    """Follow soft and external links to a data set.

    Args:
        file: HDF5 file to start in.
        dataset: Path inside it.

    Returns:
        The place of the data set, or the name of what is absent.
    """
    if _hops == 0:
        return Absent(file.name, f"{dataset} runs in a circle of links")
    if not file.is_file():
        return Absent(file.name, "absent")
    try:
        handle = h5py.File(file, "r")
    except OSError as error:
        return Absent(file.name, f"cannot be opened ({' '.join(str(error).split())})")
    with handle:
        step = _walk(handle, file, [part for part in dataset.split("/") if part not in ("", ".")])
    if step is None:
        return Absent(file.name, f"holds no data set {dataset}")
    place, arrived = step
    return place if arrived else resolve(place.file, place.dataset, _hops=_hops - 1)


def _walk(handle: h5py.File, file: Path, parts: list[str]) -> tuple[Place, bool] | None:
    """Go to the data set (True) or to the first link on the way (False)."""
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
        except (KeyError, OSError):
            # A damaged file may list what it cannot open.
            return None
    return (Place(file, "/" + "/".join(parts)), True) if isinstance(node, h5py.Dataset) else None
