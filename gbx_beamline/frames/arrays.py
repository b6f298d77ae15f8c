"""Frames in memory, in .npy and in .npz files."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import SeriesError
from gbx_beamline.frames.bounds import check_frames, region_bounds
from gbx_beamline.frames.series import Series, build_series, check_pixels
from gbx_beamline.records import Geometry, Region
from gbx_beamline.untrusted import UNREADABLE, check_numpy

LARGEST_NPZ = 4 * 2**30
"""Bytes. A compressed .npz has to be unpacked as a whole; larger series belong in a file read in blocks."""


@dataclass(frozen=True)
class ArraySource:
    """Frames held in memory."""

    frames: NDArray[Any] = field(repr=False)
    """(N, y, x)."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, y, x)."""
        return self.frames.shape  # pyright: ignore[reportReturnType]  # three axes were checked on the way in

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a pixel."""
        return self.frames.dtype

    def read(self, start: int, stop: int, region: Region | None = None) -> NDArray[Any]:
        """A copy of frames ``start:stop``, whole or only ``region``."""
        return _cut(self.frames, start, stop, region)


@dataclass(frozen=True)
class NpySource:
    """Frames in a .npy file, mapped while they are read and no longer."""

    path: Path
    shape: tuple[int, int, int]
    """(N, y, x)."""
    dtype: np.dtype[Any]

    def read(self, start: int, stop: int, region: Region | None = None) -> NDArray[Any]:
        """Frames ``start:stop``, whole or only ``region``.

        Raises:
            SeriesError: the file vanished or changed its shape since it was opened.
        """
        frames = _load_npy(self.path)
        if frames.shape != self.shape or frames.dtype != self.dtype:
            raise SeriesError(
                f"{self.path} changed while it was being read",
                needed=f"frames of shape {self.shape} and dtype {self.dtype}",
                action="open the series again",
            )
        return _cut(frames, start, stop, region)


def open_array(
    frames: NDArray[Any],
    *,
    mask: NDArray[Any] | None = None,
    frame_time: float | None = None,
    name: str = "array",
) -> Series:
    """A series from an array (N, y, x) in memory."""
    check_pixels(frames.shape, frames.dtype, name)
    source = ArraySource(frames)
    return build_series(source, name=name, geometry=Geometry(shape=source.shape[1:]), frame_time=frame_time, mask=mask)


def open_npy(path: Path, *, mask: NDArray[Any] | None = None, frame_time: float | None = None) -> Series:
    """A series from a .npy file with one array (N, y, x), which stays on disk."""
    frames = _load_npy(path)
    check_pixels(frames.shape, frames.dtype, str(path))
    count, rows, columns = frames.shape
    source = NpySource(path, (count, rows, columns), frames.dtype)
    del frames  # releases the mapping
    return build_series(
        source, name=path.name, geometry=Geometry(shape=(rows, columns)), frame_time=frame_time, mask=mask
    )


def open_npz(path: Path, *, mask: NDArray[Any] | None = None, frame_time: float | None = None) -> Series:
    """A series from a .npz file: "frames", "arr_0" or its only three-dimensional array.

    A scalar "frame_time" (s) and an array "mask" ((y, x), True = good) in the file are used; an argument wins over
    the stored frame time and is combined with the stored mask.
    """
    with _open_npz(path) as archive:
        key = _frames_key(path, archive)
        frames = _member(path, archive, key)
        stored_time = _member(path, archive, "frame_time") if "frame_time" in archive.files else None
        stored_mask = _member(path, archive, "mask") if "mask" in archive.files else None
    if frame_time is None and stored_time is not None:
        if stored_time.size != 1 or stored_time.dtype.kind not in "uif":
            raise SeriesError(
                f"{path}: a frame_time of shape {stored_time.shape} and dtype {stored_time.dtype}",
                needed="one number of seconds",
                action="store it as a scalar, or pass frame_time=",
            )
        frame_time = float(stored_time.ravel()[0])
    series = open_array(frames, mask=stored_mask, frame_time=frame_time, name=path.name)
    return series if mask is None else series.with_mask(mask)


def _cut(frames: NDArray[Any], start: int, stop: int, region: Region | None) -> NDArray[Any]:
    check_frames(start, stop, len(frames), "array")
    rows, columns = region_bounds(region, frames.shape[1:])  # pyright: ignore[reportArgumentType]
    return np.array(frames[start:stop, rows, columns], order="C")


def _load_npy(path: Path) -> NDArray[Any]:
    try:
        check_numpy(path, path.stat().st_size)
        return np.lib.format.open_memmap(path, mode="r")
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def _open_npz(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
    except UNREADABLE as error:
        raise _unreadable(path, error) from error
    if size > LARGEST_NPZ:
        raise SeriesError(
            f"{path} unpacks to {size / 2**30:.1f} GiB at once",
            needed=f"at most {LARGEST_NPZ / 2**30:.0f} GiB in a .npz",
            action="store the frames as .npy or HDF5, which are read in blocks",
        )
    try:
        check_numpy(path, LARGEST_NPZ)
        return np.load(path, allow_pickle=False)
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def _member(path: Path, archive: Any, key: str) -> NDArray[Any]:
    try:
        return np.asarray(archive[key])
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def _frames_key(path: Path, archive: Any) -> str:
    names: list[str] = archive.files
    for key in ("frames", "arr_0"):
        if key in names:
            return key
    stacks = [key for key in names if _member(path, archive, key).ndim == 3]
    if len(stacks) != 1:
        raise SeriesError(
            f"{path} holds {len(stacks)} three-dimensional arrays among {', '.join(names) or 'no arrays'}",
            needed='one series of images, or an array named "frames"',
            action="save it with numpy.savez(path, frames=frames)",
        )
    return stacks[0]


def _unreadable(path: Path, error: Exception) -> SeriesError:
    if not path.is_file():
        return SeriesError(f"no file {path}", needed="a file with frames", action="check the path")
    return SeriesError(
        f"{path} cannot be read as numbers ({' '.join(str(error).split())})",
        needed="a complete .npy or .npz file without Python objects",
        action="save the frames again with numpy.save or numpy.savez",
    )
