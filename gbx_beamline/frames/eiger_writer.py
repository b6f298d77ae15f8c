"""Writing a series as a Dectris filewriter-1 writes it: data files as frames arrive, the master at the end."""

from __future__ import annotations

import glob
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import DTypeLike, NDArray

from gbx_beamline.errors import SeriesError
from gbx_beamline.frames.eiger_header import EigerHeader
from gbx_beamline.frames.eiger_master import make_groups, write_master


class EigerWriter:
    """Writes ``<prefix>_data_000001.h5``, ... and, at :meth:`close`, ``<prefix>_master.h5``.

    A file gets its final name only when it is complete and closed, so whoever follows the folder never meets a
    half-written one. Existing files are never replaced. Used as a context manager it also writes the master when
    the block fails: like an aborted acquisition, the master then promises more frames than there are.

    Args:
        directory: Folder, made if absent.
        prefix: Start of all file names.
        header: What the master says. ``nimages`` x ``ntrigger`` frames are promised; without ``nimages`` as many
            as were appended. ``shape`` may be left out: the first frames tell it.
        frames_per_file: Frames in a full data file.
        dtype: uint8, uint16 or uint32.
        pixel_mask: (y, x) Dectris bits, 0 = good; masked pixels are written as the largest value of ``dtype``,
            as the detector does. None uses ``header.pixel_mask``.

    Raises:
        SeriesError: files of this prefix exist, or an argument is impossible.
    """

    def __init__(
        self,
        directory: Path | str,
        prefix: str,
        *,
        header: EigerHeader,
        frames_per_file: int = 100,
        dtype: DTypeLike = np.uint16,
        pixel_mask: NDArray[np.integer[Any]] | None = None,
    ) -> None:
        self.directory = Path(directory)
        self.prefix = prefix
        self.header = header
        self.frames_per_file = frames_per_file
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        mask = header.pixel_mask if pixel_mask is None else pixel_mask
        self.pixel_mask = None if mask is None else np.asarray(mask).astype(np.uint32)
        self.shape = header.shape if self.pixel_mask is None else (self.pixel_mask.shape[0], self.pixel_mask.shape[1])
        self.frames_written = 0
        self.data_files: list[Path] = []
        """Closed data files, in acquisition order."""
        self._file: h5py.File | None = None
        self._data: h5py.Dataset | None = None
        """Of that file, as long as it is open."""
        self._in_file = 0
        self._closed = False
        self._check()
        self.directory.mkdir(parents=True, exist_ok=True)

    @property
    def master(self) -> Path:
        """Path of the master file, which exists after :meth:`close`."""
        return self.directory / f"{self.prefix}_master.h5"

    def append(self, frames: NDArray[Any]) -> None:
        """Write one frame (y, x) or several (n, y, x).

        Raises:
            SeriesError: the writer is closed, more frames than promised, another shape, or counts that do not fit
                (negative, fractional, too large, or the largest value, which marks masked pixels).
        """
        block = np.asarray(frames)
        block = block[None] if block.ndim == 2 else block
        self._check_block(block)
        counts = block.astype(self.dtype)
        if self.pixel_mask is not None:
            counts[:, self.pixel_mask != 0] = np.iinfo(self.dtype).max
        while len(counts):
            counts = counts[self._write(counts) :]

    def close(self) -> Path:
        """Close the last data file and write the master. A second call does nothing.

        Returns:
            Path of the master.
        """
        if not self._closed:
            self._closed = True
            self._finish_file()
            self._write_master()
        return self.master

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _promised(self) -> int:
        return self.header.expected_frames or self.frames_written

    def _check(self) -> None:
        if self.dtype not in (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.uint32)):
            raise SeriesError(
                f"dtype {self.dtype} for an Eiger file",
                needed="uint8, uint16 or uint32",
                action="choose the smallest that holds the counts",
            )
        if self.frames_per_file < 1 or not self.prefix or "/" in self.prefix:
            raise SeriesError(
                f"frames_per_file={self.frames_per_file}, prefix={self.prefix!r}",
                needed="at least one frame per file and a plain file name",
                action="correct the argument",
            )
        if self.pixel_mask is not None and self.header.shape not in (None, self.pixel_mask.shape):
            raise SeriesError(
                f"pixel_mask of shape {self.pixel_mask.shape} for frames of {self.header.shape}",
                needed="one value per pixel, (y, x)",
                action="check that the mask is not transposed",
            )
        name = glob.escape(self.prefix)
        for pattern in (f"{name}_master.h5", f"{name}_data_*.h5", f".{name}_*.h5.part"):
            for path in self.directory.glob(pattern):
                raise _exists(path)

    def _check_block(self, block: NDArray[Any]) -> None:
        largest = int(np.iinfo(self.dtype).max)
        self.shape = self.shape or block.shape[1:]  # pyright: ignore[reportAttributeAccessIssue]
        if self._closed or block.ndim != 3 or block.shape[1:] != self.shape or block.dtype.kind not in "uif":
            raise SeriesError(
                f"{self.master.name}: {'closed already' if self._closed else f'{block.dtype} of shape {block.shape}'}",
                needed=f"numeric frames of shape {self.shape} before close()",
                action="append frames of one shape, then close",
            )
        expected = self.header.expected_frames
        if expected is not None and self.frames_written + len(block) > expected:
            raise SeriesError(
                f"{self.master.name}: {self.frames_written + len(block)} frames",
                needed=f"at most the {expected} that nimages x ntrigger promises",
                action="set nimages and ntrigger to what is acquired",
            )
        counts = block if self.pixel_mask is None else block[:, self.pixel_mask == 0]
        if counts.size == 0:
            return
        low, high = counts.min(), counts.max()
        whole = counts.dtype.kind != "f" or bool((counts == np.floor(counts)).all())
        if not (low >= 0 and high < largest and whole):
            raise SeriesError(
                f"{self.master.name}: counts from {low} to {high}{'' if whole else ', not all whole numbers'}",
                needed=f"whole numbers from 0 to {largest - 1} ({largest} marks masked pixels)",
                action="choose a wider dtype, or correct the counts",
            )

    def _data_name(self, number: int) -> str:
        return f"{self.prefix}_data_{number:06d}.h5"

    def _write(self, frames: NDArray[Any]) -> int:
        """Into the data file at hand as many of them as it has room for; how many that were."""
        if self._data is None:
            self._file = h5py.File(self._unfinished(self._data_name(len(self.data_files) + 1)), "x")
            make_groups(self._file, ("/entry", "/entry/data"))
            self._data = self._file.create_dataset(
                "/entry/data/data",
                shape=(0, *frames.shape[1:]),
                maxshape=(None, *frames.shape[1:]),
                chunks=(1, *frames.shape[1:]),
                dtype=self.dtype,
                **hdf5plugin.Bitshuffle(cname="lz4"),
            )
            self._in_file = 0
        written = min(len(frames), self.frames_per_file - self._in_file)
        self._data.resize(self._in_file + written, axis=0)
        self._data[self._in_file : self._in_file + written] = frames[:written]
        self._in_file += written
        self.frames_written += written
        if self._in_file == self.frames_per_file:
            self._finish_file()
        return written

    def _finish_file(self) -> None:
        if self._file is None or self._data is None:
            return
        attributes = self._data.attrs
        attributes["image_nr_low"] = np.int32(self.frames_written - self._in_file + 1)
        attributes["image_nr_high"] = np.int32(self.frames_written)
        self._file.close()
        self._file = self._data = None
        self.data_files.append(self._publish(self._data_name(len(self.data_files) + 1)))

    def _unfinished(self, name: str) -> Path:
        return self.directory / f".{name}.part"

    def _publish(self, name: str) -> Path:
        final = self.directory / name
        if final.exists():
            raise _exists(final)
        return self._unfinished(name).rename(final)

    def _write_master(self) -> None:
        files = max(len(self.data_files), -(-self._promised // self.frames_per_file))
        write_master(
            self._unfinished(self.master.name),
            replace(self.header, nimages=self.header.nimages or self.frames_written, shape=self.shape),
            dtype=self.dtype,
            pixel_mask=self.pixel_mask,
            data_files=[self._data_name(number) for number in range(1, files + 1)],
        )
        self._publish(self.master.name)


def _exists(path: Path) -> SeriesError:
    return SeriesError(
        f"{path} exists already", needed="a prefix that is not used yet", action="choose another prefix or folder"
    )
