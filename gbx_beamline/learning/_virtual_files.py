"""A measured shot as one file: npz without pickle, the same bytes whenever it is measured again."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.records import PixelGroups, TwoTime
from gbx_beamline.untrusted import UNREADABLE, check_numpy

_LARGEST = 4 * 2**30
"""Bytes of one shot."""

_ARRAYS = ("diagonal", "pixels", "mean_counts", "frame_means", "valid_frames", "static_baseline", "saturated", "q_par")


def write_two_time(measured: TwoTime, path: Path) -> None:
    """Write maps and facts; the file appears complete or not at all.

    Maps are symmetric: only their upper triangles are kept, in full precision. Which kernel multiplied is left out: it
    is this machine's choice and changes no bit.

    Raises:
        InputError: the folder cannot be written.
    """
    arrays: dict[str, Any] = {name: getattr(measured, name) for name in _ARRAYS}
    arrays["g2"] = _triangle(measured.g2)
    facts: dict[str, Any] = {"frame_time": measured.frame_time, "names": measured.names, "groups": []}
    if measured.group_maps is not None:
        arrays["group_maps"] = _triangle(measured.group_maps)
        facts["groups"] = [asdict(groups) for groups in measured.groups]
    arrays["facts"] = np.array(json.dumps(facts, sort_keys=True))
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    write_whole(content.getvalue(), path)


def write_whole(content: bytes, path: Path) -> None:
    """Write a file that appears complete or not at all, over one that is there.

    Raises:
        InputError: it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}", needed="a folder with room to write", action="choose another folder"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def read_two_time(path: Path) -> TwoTime:
    """What ``write_two_time`` wrote.

    Raises:
        InputError: no such file, or none of ours.
    """
    try:
        check_numpy(path, _LARGEST)
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        facts = json.loads(str(arrays.pop("facts")))
        group_maps = arrays.pop("group_maps", None)
        return TwoTime(
            g2=_square(arrays.pop("g2")),
            frame_time=float(facts["frame_time"]),
            names=tuple(facts["names"]),
            group_maps=None if group_maps is None else _square(group_maps),
            groups=tuple(_groups(one) for one in facts["groups"]),
            **arrays,
        )
    except UNREADABLE as error:
        raise InputError(
            f"{path} holds no shot of a virtual experiment ({error})",
            needed="a file that prepare_suite wrote",
            action="delete it and prepare the suite again: only what is missing is measured",
        ) from error


def _groups(facts: dict[str, Any]) -> PixelGroups:
    pairs = tuple((int(a), int(b)) for a, b in facts["pairs"])
    return PixelGroups(**{**facts, "pixels": tuple(facts["pixels"]), "pairs": pairs})


def _triangle(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., n (n + 1) / 2) upper triangles of (..., n, n)."""
    rows, columns = np.triu_indices(maps.shape[-1])
    return maps[..., rows, columns]


def _square(triangles: NDArray[np.float32]) -> NDArray[np.float32]:
    """The inverse of ``_triangle``."""
    size = round((np.sqrt(8 * triangles.shape[-1] + 1) - 1) / 2)
    rows, columns = np.triu_indices(size)
    maps = np.empty((*triangles.shape[:-1], size, size), dtype=triangles.dtype)
    maps[..., rows, columns] = triangles
    maps[..., columns, rows] = triangles
    return maps
