"""Frames and header of an Eiger series behind one master file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import SeriesError
from gbx_beamline.frames import masks
from gbx_beamline.frames._chunks import StoredChunks, chunks_of
from gbx_beamline.frames.bounds import check_frames, region_bounds
from gbx_beamline.frames.decode import read_frames
from gbx_beamline.frames.eiger_fields import read_header
from gbx_beamline.frames.eiger_header import EigerHeader, choose_frame_time
from gbx_beamline.frames.layout import read_layout
from gbx_beamline.frames.links import DAMAGE, Roots, open_hdf5
from gbx_beamline.frames.series import Series, absent_frames, build_series, check_pixels
from gbx_beamline.records import Bools, Region

__all__ = ["EigerFile", "EigerHeader", "open_eiger", "read_header"]


class EigerFile:
    """A :class:`~gbx_beamline.records.FrameSource` over a master file, N frames of (y, x).

    Files are open only while they are read; the object is small and can be pickled.

    Args:
        path: Master (filewriter-1 or NXmx), or one data file.
        allow_incomplete: True ends the series with the last frame that exists, and reads absent frames before
            that as zeros (see ``present``); False refuses to read a range with absent frames.
        roots: Folders below which the file and all that it leads to must lie, for a path that no person named; None =
            anywhere.

    Raises:
        SeriesError: no complete HDF5 file, or no series of images in it.
    """

    def __init__(self, path: Path | str, *, allow_incomplete: bool = False, roots: Roots = None) -> None:
        self.path = Path(path)
        self.allow_incomplete = allow_incomplete
        self._roots = roots
        self.header = read_header(self.path, roots)
        layout = read_layout(
            self.path,
            expected=self.header.expected_frames,
            frame_shape=self.header.shape,
            dtype=self.header.dtype,
            roots=roots,
        )
        check_pixels(layout.shape, layout.dtype, str(self.path), promised=bool(layout.missing))
        self._layout = layout.without_tail() if allow_incomplete else layout
        fitting, self._misfit = masks.fitting(self.header.pixel_mask, layout.shape[1:])
        self._pixel_mask = masks.with_no_source(fitting, layout.uncovered)

    reads_may_overlap = True
    """``read`` may be called by several threads at once."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, y, x)."""
        return self._layout.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Stored type of a pixel."""
        return self._layout.dtype

    @property
    def present(self) -> Bools:
        """(N,) False = promised but absent."""
        return self._layout.present

    @property
    def data_files(self) -> tuple[str, ...]:
        """Names of the data files in acquisition order, absent ones included."""
        return self._layout.data_files

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of absent data files, or in words what else is absent."""
        return self._layout.missing

    @property
    def notes(self) -> tuple[str, ...]:
        """Facts that a reader must know, of header and layout."""
        return self.lasting_notes + self._layout.absences

    @property
    def lasting_notes(self) -> tuple[str, ...]:
        """Those that do not depend on which data files are absent now, and so may be stored elsewhere."""
        return self.header.notes + self._misfit + self._layout.notes

    def ends(self) -> list[int]:
        """First and last frame of each stretch that lies in one data set."""
        low = {piece.first for piece in self._layout.pieces}
        high = {piece.first + piece.count - 1 for piece in self._layout.pieces}
        return sorted(frame for frame in low | high if 0 <= frame < self.shape[0])

    def pixel_mask(self) -> NDArray[np.uint32] | None:
        """(y, x) bits of the detector's mask, 0 = good, and ``masks.NO_SOURCE`` where a virtual data set covers
        nothing; None where the file masks nothing, or its mask does not fit the frames (``notes`` say so)."""
        return self._pixel_mask

    def read(self, start: int, stop: int, region: Region | None = None) -> NDArray[Any]:
        """Frames ``start:stop``, whole or only ``region``: (stop - start, rows, columns), stored dtype.

        Raises:
            MissingFramesError: the range touches absent frames (see ``allow_incomplete``), or nothing exists.
            SeriesError: a range outside the series, a damaged or vanished data file.
        """
        frames, rows_all, columns_all = self.shape
        check_frames(start, stop, frames, str(self.path))
        rows, columns = region_bounds(region, (rows_all, columns_all))
        present = self.present[start:stop]
        if not self.present.any() or not (self.allow_incomplete or present.all()):
            raise absent_frames(str(self.path), self.present, self.missing)
        out = np.zeros((stop - start, rows.stop - rows.start, columns.stop - columns.start), dtype=self.dtype)
        handle: h5py.File | None = None
        opened: Path | None = None
        try:
            for piece in self._layout.pieces:
                low, high = max(start, piece.first), min(stop, piece.first + piece.count)
                if low >= high:
                    continue
                if handle is None or opened != piece.file:
                    if handle is not None:
                        handle.close()
                    handle, opened = open_hdf5(piece.file, self._roots), piece.file
                dataset = handle[piece.dataset]
                assert isinstance(dataset, h5py.Dataset)
                shift = piece.offset - piece.first
                read_frames(dataset, low + shift, high + shift, (rows, columns), out[low - start : high - start])
        except DAMAGE as error:
            raise SeriesError(
                f"{opened}: {' '.join(str(error).split())}",
                needed="undamaged frames",
                action="copy the file again from the detector",
            ) from error
        finally:
            if handle is not None:
                handle.close()
        out[~present] = 0
        return out

    def stored_chunks(self, start: int, stop: int) -> Iterator[StoredChunks]:
        """Where the bitshuffle-LZ4 chunks of frames ``start:stop`` lie, in order; what is absent or stored in another
        way is left out. A data file is opened when its frames are asked for.

        Raises:
            SeriesError: a data file vanished.
        """
        for piece in self._layout.pieces:
            if piece.first < stop and piece.first + piece.count > start:
                for chunks in chunks_of(piece, self.shape[1:], self.dtype):
                    if (part := chunks.cut(start, stop)).positions.size:
                        yield part


def open_eiger(
    path: Path | str,
    *,
    allow_incomplete: bool = False,
    mask: NDArray[Any] | None = None,
    frame_time: float | None = None,
) -> Series:
    """A series from an Eiger master; see :func:`gbx_beamline.frames.open_series`."""
    source = EigerFile(path, allow_incomplete=allow_incomplete)
    header = source.header
    seconds, said = choose_frame_time(header, frame_time)
    name = source.path.name
    return build_series(
        source,
        name=name,
        geometry=header.geometry(source.shape[1:]),
        frame_time=seconds,
        present=source.present,
        missing=source.missing,
        notes=source.notes + said,
        pixel_mask=source.pixel_mask(),
        bit_depth=header.bit_depth,
        mask=mask,
        metadata=header.metadata,
        allow_incomplete=allow_incomplete,
    )
