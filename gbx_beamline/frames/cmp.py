"""Compressed event series of pyCHX (``.cmp``): per frame the pixels that counted, and their counts.

Layout (pyCHX, ``chx_compress``), little endian: a header of 1024 bytes, then for each frame the number of pixels
(uint32), their positions in the flat image (int32), their values. Two things about it are easily missed. The header's
``nrows`` is the width of an image and ``ncols`` its height. And pyCHX's random-access reader leaves the last frame
out; here all frames of the file count.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import SeriesError
from gbx_beamline.frames.bounds import check_frames, region_bounds
from gbx_beamline.frames.series import Series, build_series
from gbx_beamline.records import Geometry, Region

MAGIC = b"Version-COMP0001"
HEADER = struct.Struct("<16s8d7I916x")

MOST_PIXELS = 2**26
"""Of a frame: more than any detector of today has, and little enough to be held in memory."""
MOST_FRAMES = 2**24
"""Of a series: a file of zeros is one of empty frames without end."""

_TYPES = {2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<f8")}
_COUNT = struct.Struct("<I")


@dataclass(frozen=True)
class CmpHeader:
    """What the first 1024 bytes say, as they say it: no unit is written there."""

    beam_center_x: float
    beam_center_y: float
    count_time: float
    detector_distance: float
    frame_time: float
    incident_wavelength: float
    x_pixel_size: float
    y_pixel_size: float
    bytes_per_value: int
    width: int
    """``nrows`` of pyCHX."""
    height: int
    """``ncols`` of pyCHX."""
    window: tuple[int, int, int, int]


@dataclass(frozen=True)
class CmpSource:
    """Frames of a ``.cmp`` file, made dense while they are read."""

    path: Path
    shape: tuple[int, int, int]
    """(N, y, x)."""
    dtype: np.dtype[Any]
    offsets: NDArray[np.int64] = field(repr=False)
    """(N + 1,) where each frame begins in the file, and where the last one ends."""

    def read(self, start: int, stop: int, region: Region | None = None) -> NDArray[Any]:
        """Frames ``start:stop``, whole or only ``region``: (stop - start, y, x).

        Raises:
            SeriesError: frames outside the series; positions that cannot be; a file that changed.
        """
        check_frames(start, stop, self.shape[0], self.path.name)
        rows, columns = region_bounds(region, self.shape[1:])
        frames = np.zeros((stop - start, rows.stop - rows.start, columns.stop - columns.start), dtype=self.dtype)
        image = np.zeros(self.shape[1:], dtype=self.dtype)
        flat = image.reshape(-1)
        with _opened(self.path) as file:
            for place, frame in enumerate(range(start, stop)):
                positions, values = self._events(file, frame)
                flat[positions] = values
                frames[place] = image[rows, columns]
                flat[positions] = 0
        return frames

    def _events(self, file: BinaryIO, frame: int) -> tuple[NDArray[np.int32], NDArray[Any]]:
        """(P,) positions in the flat image and (P,) values of one frame."""
        begin, end = int(self.offsets[frame]), int(self.offsets[frame + 1])
        file.seek(begin)
        raw = file.read(end - begin)
        count = (end - begin - _COUNT.size) // (4 + self.dtype.itemsize)
        if len(raw) != end - begin or _COUNT.unpack_from(raw)[0] != count:
            raise SeriesError(
                f"{self.path} changed while it was being read",
                needed=f"a file of {int(self.offsets[-1])} bytes that stays as it is",
                action="open the series again",
            )
        positions = np.frombuffer(raw, "<i4", count, _COUNT.size)
        if count and (positions[0] < 0 or positions[-1] >= image_size(self.shape) or (np.diff(positions) <= 0).any()):
            raise SeriesError(
                f"{self.path}: positions of frame {frame} are out of order or off the image",
                needed=f"ascending positions from 0 to {image_size(self.shape) - 1}",
                action="the file is damaged: compress the series again",
            )
        return positions, np.frombuffer(raw, self.dtype, count, _COUNT.size + 4 * count)


def image_size(shape: tuple[int, int, int]) -> int:
    """Pixels of a frame of a series (N, y, x)."""
    return shape[1] * shape[2]


def open_cmp(
    path: Path,
    *,
    allow_incomplete: bool = False,
    mask: NDArray[Any] | None = None,
    frame_time: float | None = None,
) -> Series:
    """A series from a ``.cmp`` file.

    Distance, wavelength and pixel size are taken where the number tells its unit. The beam's centre is not: pyCHX turns
    images over, or by 90 degrees, and its header keeps the centre of before.

    Args:
        path: The file.
        allow_incomplete: True leaves out a last frame that the file holds only a part of.
        mask: (y, x) bool, True = good.
        frame_time: s between frames; wins over the file.

    Raises:
        SeriesError: no such file, another layout, impossible sizes, a truncated frame, no usable frame time.
    """
    with _opened(path) as file:
        header = _read_header(file, path)
        offsets, cut = _index(file, path, header)
    if cut is not None and not allow_incomplete:
        raise SeriesError(
            f"{path} ends within frame {offsets.size - 1}: {cut}",
            needed="every frame whole",
            action=f"compress the series again, or open with allow_incomplete=True to use the {offsets.size - 1} "
            "frames that are whole",
        )
    notes = [] if cut is None else [f"the file ends within its last frame ({cut}), which is left out"]
    dtype = _TYPES[header.bytes_per_value]
    if dtype.kind == "f":
        frame_time = _time_of_binned(frame_time, path)
        notes.append("frames are averages over several (pyCHX binned them): values are no photon counts")
    elif dtype.itemsize == 2:
        notes.append(
            "counts were written in 16 bits: pyCHX wraps those above 65535 around and drops those above 32767, or the "
            "whole frame with them, and the file does not show it"
        )
    source = CmpSource(path, (offsets.size - 1, header.height, header.width), dtype, offsets)
    return build_series(
        source,
        name=path.name,
        geometry=_geometry(header, notes),
        frame_time=frame_time if frame_time is not None else header.frame_time or None,
        notes=tuple(notes),
        mask=mask,
        metadata=asdict(header),
        allow_incomplete=allow_incomplete,
    )


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise SeriesError(
            f"{path}: {error.strerror or error}", needed="a file with frames", action="check the path"
        ) from error


def _read_header(file: BinaryIO, path: Path) -> CmpHeader:
    raw = file.read(HEADER.size)
    if len(raw) < HEADER.size or raw[: len(MAGIC)] != MAGIC:
        raise SeriesError(
            f"{path} begins with {raw[: len(MAGIC)]!r}" + (f" and has {len(raw)} bytes" if len(raw) < 1024 else ""),
            needed=f"a header of {HEADER.size} bytes that begins with {MAGIC.decode()}",
            action="compress the series with pyCHX's compress_eigerdata, or open the detector's own file",
        )
    numbers = HEADER.unpack(raw)[1:]
    header = CmpHeader(*numbers[:8], *numbers[8:11], window=numbers[11:15])
    if header.bytes_per_value not in _TYPES:
        raise SeriesError(
            f"{path} says that a value has {header.bytes_per_value} bytes",
            needed="2, 4 or 8",
            action="the header is damaged or of another version: compress the series again",
        )
    if not 0 < header.width * header.height <= MOST_PIXELS:
        raise SeriesError(
            f"{path} says that a frame has {header.height} x {header.width} pixels",
            needed=f"at least one pixel and at most {MOST_PIXELS}",
            action="the header is damaged: compress the series again",
        )
    if header.window != (0, header.width, 0, header.height):
        raise SeriesError(
            f"{path} holds the part {header.window} of {header.height} x {header.width} pixels",
            needed="whole frames",
            action="compress the series without cropping it",
        )
    return header


def _index(file: BinaryIO, path: Path, header: CmpHeader) -> tuple[NDArray[np.int64], str | None]:
    """(N + 1,) where frames begin, and what is missing of a last one, in words: no number of frames is written."""
    size = file.seek(0, 2)
    begin, offsets = HEADER.size, array("q", [HEADER.size])
    while begin < size:
        file.seek(begin)
        raw = file.read(_COUNT.size)
        if len(raw) < _COUNT.size:
            return np.array(offsets, dtype=np.int64), f"{len(raw)} of {_COUNT.size} bytes"
        (count,) = _COUNT.unpack(raw)
        if count > header.width * header.height or len(offsets) > MOST_FRAMES:
            raise SeriesError(
                f"{path}: frame {len(offsets) - 1} says that {count} of {header.width * header.height} pixels counted",
                needed=f"at most all of them, and at most {MOST_FRAMES} frames",
                action="the file is damaged: compress the series again",
            )
        begin += _COUNT.size + count * (4 + header.bytes_per_value)
        if begin > size:
            return np.array(offsets, dtype=np.int64), f"{size - offsets[-1]} of {begin - offsets[-1]} bytes"
        offsets.append(begin)
    return np.array(offsets, dtype=np.int64), None


def _time_of_binned(frame_time: float | None, path: Path) -> float:
    if frame_time is not None:
        return frame_time
    raise SeriesError(
        f"{path} holds averages over several frames, and the frame time in it is that of one",
        needed="the time between averages, s",
        action="pass frame_time=",
    )


def _geometry(header: CmpHeader, notes: list[str]) -> Geometry:
    notes.append(
        f"the header names the direct beam at column {header.beam_center_x:g}, row {header.beam_center_y:g} of images "
        "before pyCHX turned them: not used, give it in the configuration"
    )
    # Scales that lie decades apart: a number fits one unit only.
    pixel = ((1e-6, 1e-3, 1.0), (1e-3, 1.0, 1e-3), (1.0, 1e3, 1e-6))
    return Geometry(
        shape=(header.height, header.width),
        distance=_length("detector distance", header.detector_distance, ((0.1, 50.0, 1.0), (100.0, 5e4, 1e-3)), notes),
        wavelength=_length("wavelength", header.incident_wavelength, ((0.1, 10.0, 1e-10), (1e-11, 1e-9, 1.0)), notes),
        pixel_size_x=_length("pixel width", header.x_pixel_size, pixel, notes),
        pixel_size_y=_length("pixel height", header.y_pixel_size, pixel, notes),
    )


def _length(what: str, value: float, scales: tuple[tuple[float, float, float], ...], notes: list[str]) -> float | None:
    """In m; None where the header has none (0), or one that fits no unit."""
    for low, high, factor in scales:
        if low <= value < high:
            notes.append(f"{what} {value:g} without a unit: taken as {value * factor:.4g} m")
            return value * factor
    if value:
        notes.append(f"{what} {value:g} without a unit fits none: not used")
    return None
