"""What one data set of frames really holds: chunks that were written, virtual sources that exist."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gbx_beamline.errors import SeriesError
from gbx_beamline.frames.bounds import LARGEST_CHUNK, MOST_FRAMES, MOST_PIXELS
from gbx_beamline.frames.links import Absent, Place, Roots, beside, open_hdf5, resolve
from gbx_beamline.records import Bools

Box = tuple[tuple[int, ...], tuple[int, ...]]
"""First and last index (inclusive) of a selection along each axis."""


@dataclass(frozen=True)
class Piece:
    """Consecutive frames that exist in one data set."""

    file: Path
    dataset: str
    first: int
    """Frame of the series (or of the part) that the piece starts with."""
    count: int
    offset: int
    """Frame of the data set that the piece starts with."""


@dataclass(frozen=True)
class Part:
    """Frames (n, y, x) of one data set."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    pieces: list[Piece]
    present: Bools
    """(n,)."""
    missing: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    """Files that a virtual data set names."""
    uncovered: Bools | None = field(default=None, repr=False)
    """(y, x) pixels that no virtual source covers."""
    first_image: int | None = None
    """Number of the first frame in the whole series, from 1, where the file says so."""


def inspect_part(place: Place, roots: Roots = None) -> Part:
    """Look at one data set without reading pixels.

    Args:
        place: Where it is.
        roots: Folders below which its file, and those of a virtual data set, must lie.

    Raises:
        SeriesError: no stack of numeric images, one beyond all bounds, pixels kept in a file of another kind, or a
            virtual data set that cannot be resolved.
    """
    with open_hdf5(place.file, roots) as file:
        dataset = file[place.dataset]
        assert isinstance(dataset, h5py.Dataset)
        _check_stack(place, dataset)
        if not dataset.is_virtual:
            return _plain(place, dataset)
        shape, dtype = dataset.shape, dataset.dtype
        mappings = [(m.file_name, m.dset_name, _box(m.vspace), _box(m.src_space)) for m in dataset.virtual_sources()]
    return _virtual(place, shape, dtype, mappings, roots)


def _check_stack(place: Place, dataset: h5py.Dataset) -> None:
    if dataset.ndim != 3 or dataset.dtype.kind not in "uif" or 0 in dataset.shape[1:]:
        raise SeriesError(
            f"{place.file.name}{place.dataset} has shape {dataset.shape} and dtype {dataset.dtype}",
            needed="a stack of numeric images, (frames, rows, columns)",
            action="give the master file of a frame series",
        )
    if dataset.external:
        raise SeriesError(
            f"{place.file.name}{place.dataset} keeps its pixels outside of HDF5, in {dataset.external[0][0]!r}",
            needed="frames in the file itself, or in data files that it links to",
            action="copy the frames into an HDF5 file",
        )
    chunk = int(np.prod(dataset.chunks or (1,), dtype=object)) * dataset.dtype.itemsize
    pixels = dataset.shape[1] * dataset.shape[2]
    if dataset.shape[0] > MOST_FRAMES or pixels > MOST_PIXELS or chunk > LARGEST_CHUNK:
        raise SeriesError(
            f"{place.file.name}{place.dataset} declares the shape {dataset.shape} in chunks of {chunk:,} bytes",
            needed=f"at most {MOST_FRAMES:,} frames of {MOST_PIXELS:,} pixels in chunks of {LARGEST_CHUNK:,} bytes",
            action="check how the file was written",
        )


def _plain(place: Place, dataset: h5py.Dataset) -> Part:
    written = _written(dataset)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], written, [False]]).astype(np.int8)))
    pieces = [
        Piece(place.file, place.dataset, first=int(low), count=int(high - low), offset=int(low))
        for low, high in zip(edges[::2], edges[1::2], strict=True)
    ]
    unwritten = int((~written).sum())
    first_image = dataset.attrs.get("image_nr_low")
    return Part(
        shape=dataset.shape,
        dtype=dataset.dtype,
        pieces=pieces,
        present=written,
        missing=(f"{unwritten} frames of {place.file.name} that were never written",) if unwritten else (),
        first_image=None if first_image is None else int(np.asarray(first_image).ravel()[0]),
    )


def _written(dataset: h5py.Dataset) -> Bools:
    """(n,) Frames with storage: HDF5 reads a frame that was never written as zeros."""
    frames = dataset.shape[0]
    if dataset.chunks is None:
        # Contiguous storage is allocated as a whole; compact storage always exists.
        empty = dataset.id.get_storage_size() == 0
        return np.full(frames, not empty, dtype=np.bool_)
    depth, *_ = dataset.chunks
    per_layer = int(
        np.prod([-(-size // chunk) for size, chunk in zip(dataset.shape[1:], dataset.chunks[1:], strict=True)])
    )
    if dataset.id.get_num_chunks() == per_layer * -(-frames // depth):
        return np.ones(frames, dtype=np.bool_)
    layers = np.zeros(-(-frames // depth), dtype=np.int64)

    def count(chunk: Any) -> None:
        layers[chunk.chunk_offset[0] // depth] += 1

    dataset.id.chunk_iter(count)
    return np.repeat(layers == per_layer, depth)[:frames]


def _virtual(
    place: Place,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    mappings: list[tuple[str, str, Box | None, Box | None]],
    roots: Roots,
) -> Part:
    present = np.zeros(shape[0], dtype=np.bool_)
    broken = np.zeros(shape[0], dtype=np.bool_)
    covered = np.zeros(shape[1:], dtype=np.bool_)
    pieces: list[Piece] = []
    missing: list[str] = []
    sources: list[str] = []
    types: set[np.dtype[Any]] = set()
    tiled = False
    for file_name, dataset_name, selected, source in mappings:
        target = _full(shape) if selected is None else selected
        low, high = target[0][0], target[1][0] + 1
        covered[target[0][1] : target[1][1] + 1, target[0][2] : target[1][2] + 1] = True
        part, name = _source(place, file_name, dataset_name, roots)
        sources.append(name)
        if isinstance(part, Absent):
            missing.append(part.name)
            broken[low:high] = True
            continue
        missing += part.missing
        types.add(part.dtype)
        box = _full(part.shape) if source is None else source
        begin = box[0][0]
        exists = np.zeros(high - low, dtype=np.bool_)
        there = part.present[begin : begin + high - low]
        exists[: there.size] = there
        if there.size < high - low:
            missing.append(f"frames {begin + there.size}.. of {name}, which holds {part.shape[0]}")
        present[low:high] |= exists
        broken[low:high] |= ~exists
        # Whole frames onto whole frames; anything else is a tile of a frame.
        if all(ends[1:] == whole[1:] for side in (target, box) for ends, whole in zip(side, _full(shape), strict=True)):
            pieces += _cut(part.pieces, begin, begin + high - low, low)
        else:
            tiled = True
    present &= ~broken
    if not (present | broken).all():
        missing.append(f"{int((~(present | broken)).sum())} frames of {place.dataset} without any source")
    if tiled:
        # Every source was checked above, so what the virtual data set reads is real.
        pieces = [Piece(place.file, place.dataset, first=0, count=shape[0], offset=0)]
    elif len(types) > 1:
        raise SeriesError(
            f"{place.file.name}{place.dataset} has sources of {' and '.join(sorted(map(str, types)))}",
            needed="one type of frames in a series",
            action="check that the data files belong to this master",
        )
    elif types:
        # Virtual data sets are sometimes declared wider than their sources, which hides the marker value of gaps.
        dtype = types.pop()
    return Part(
        shape=shape,
        dtype=dtype,
        pieces=sorted(pieces, key=lambda piece: piece.first),
        present=present,
        missing=tuple(dict.fromkeys(missing)),
        sources=tuple(dict.fromkeys(sources)),
        uncovered=None if covered.all() else ~covered,
    )


def _source(place: Place, file_name: str, dataset_name: str, roots: Roots) -> tuple[Part | Absent, str]:
    if "%" in file_name + dataset_name:
        raise SeriesError(
            f"{place.file.name}{place.dataset} names its sources by the pattern {file_name}:{dataset_name}",
            needed="sources named one by one, so that an absent one is seen",
            action="open the data files themselves",
        )
    file = place.file if file_name == "." else beside(place.file, file_name)
    if file == place.file and dataset_name.strip("/") == place.dataset.strip("/"):
        return Absent(file.name, "is its own source"), file.name
    found = resolve(file, dataset_name, roots)
    if isinstance(found, Absent):
        return found, found.name
    return inspect_part(found, roots), found.file.name


def _cut(pieces: list[Piece], begin: int, end: int, first: int) -> list[Piece]:
    """The frames ``begin:end`` of some pieces, moved so that ``begin`` becomes ``first``."""
    cut: list[Piece] = []
    for piece in pieces:
        low, high = max(piece.first, begin), min(piece.first + piece.count, end)
        if low < high:
            offset = piece.offset + low - piece.first
            cut.append(replace(piece, first=first + low - begin, count=high - low, offset=offset))
    return cut


def _box(space: Any) -> Box | None:
    """Ends of a selection, which must be one full rectangle; None = everything there is."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return None
    low, high = space.get_select_bounds()
    if int(np.prod([b - a + 1 for a, b in zip(low, high, strict=True)])) != space.get_select_npoints():
        raise SeriesError(
            "a virtual data set with strided or scattered selections",
            needed="rectangular blocks of frames",
            action="open the data files themselves",
        )
    return tuple(low), tuple(high)


def _full(shape: tuple[int, ...]) -> Box:
    return (0,) * len(shape), tuple(size - 1 for size in shape)
