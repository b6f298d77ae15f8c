"""What was found in a result file of others, and how it is looked at: nothing in it is trusted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation.imported import Baseline
from gbx_beamline.errors import MapError

LARGEST_MAPS = 2**28
"""Values of all maps of a file: what mending them in float64 takes must fit into memory."""
LARGEST_IMAGE = 2**26
"""Pixels of a mask or image."""


@dataclass(kw_only=True)
class Found:
    """The parts of a result file that we have a use for; None where it has none."""

    maps: NDArray[Any]
    """(N, N, Q)."""
    notes: list[str]
    frame_time: float | None = None
    """s."""
    baseline: Baseline | None = None
    """As the file says it."""
    names: tuple[str, ...] | None = None
    q_par: NDArray[np.float64] | None = None
    """(Q,) 1/Angstrom."""
    q_z: NDArray[np.float64] | None = None
    """(Q,) 1/Angstrom."""
    labels: NDArray[np.int32] | None = None
    """(y, x), 1..Q."""
    mask: NDArray[np.bool_] | None = None
    """(y, x), True = used."""
    mean_image: NDArray[np.float32] | None = None
    """(y, x)."""
    counts: dict[str, NDArray[Any]] = field(default_factory=dict)
    """Fields of a two-time record that only who counted the photons knows; all of them or none."""
    sample: str | None = None
    temperature: float | None = None
    """K."""
    started: float | None = None
    """Unix time, s."""


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """A result file, open while the context lasts.

    Raises:
        MapError: no such file, no HDF5, or one that breaks off while it is read.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise MapError(
            f"{path} cannot be read as HDF5 ({said})",
            needed="a complete HDF5 file",
            action="check the path, or copy the file again: it may be truncated",
        ) from error


def dataset(parent: h5py.Group, name: str) -> h5py.Dataset | None:
    """A data set of this file itself, or None: links that lead out of it are not followed."""
    link = parent.get(name, getlink=True)
    if link is None or isinstance(link, h5py.ExternalLink):
        return None
    node = parent.get(name)
    if not isinstance(node, h5py.Dataset) or node.external or node.is_virtual:
        return None
    return node


def maps_of(node: h5py.Dataset, name: str, *, q_first: bool = False) -> NDArray[Any]:
    """(N, N, Q) two-time maps, after a look at their size.

    Raises:
        MapError: no stack of square maps of numbers, or one beyond ``LARGEST_MAPS``.
    """
    shape: tuple[int, ...] = node.shape or ()
    if node.dtype.kind not in "fiu" or len(shape) not in (2, 3):
        raise MapError(
            f"{name} holds {node.dtype} of shape {shape}",
            needed="real numbers of shape (N, N) or (N, N, Q)",
            action="export the two-time maps again",
        )
    if math.prod(shape) > LARGEST_MAPS:
        raise MapError(
            f"{name} holds maps of shape {shape}",
            needed=f"at most {LARGEST_MAPS} values in one file",
            action="check how it was made; average over neighbouring frames or export fewer q-ROIs",
        )
    values = node[()]
    return np.moveaxis(values, 0, -1) if q_first and values.ndim == 3 else values


def image_of(parent: h5py.Group, name: str) -> NDArray[Any] | None:
    """(y, x) numbers; None where there are none of a size that an image has."""
    node = dataset(parent, name)
    if (
        node is None
        or node.ndim != 2
        or node.dtype.kind not in "fiub"
        or not 0 < math.prod(node.shape) <= LARGEST_IMAGE
    ):
        return None
    return node[()]


def array_of(parent: h5py.Group, name: str, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Numbers of this shape, or None."""
    node = dataset(parent, name)
    return None if node is None or node.shape != shape or node.dtype.kind not in "fiu" else node[()]


def number_of(value: Any) -> float | None:
    """A finite number out of an attribute or a data set of one value."""
    if isinstance(value, h5py.Dataset):
        value = value[()] if value.size == 1 else None
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "fiu":
        return None
    found = float(array.ravel()[0])
    return found if math.isfinite(found) else None


def text_of(value: Any) -> str | None:
    """A text out of an attribute or a data set of one value."""
    if isinstance(value, h5py.Dataset):
        value = value[()] if value.size == 1 else None
    array = np.asarray(value)
    if value is None or array.size != 1:
        return None
    item = array.ravel()[0]
    if isinstance(item, bytes):
        return item.decode("utf-8", "replace")
    return str(item) if isinstance(item, str) else None
