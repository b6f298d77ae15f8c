"""One door for every kind of frame series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import SeriesError
from gbx_beamline.frames.arrays import open_array, open_npy, open_npz
from gbx_beamline.frames.cmp import open_cmp
from gbx_beamline.frames.eiger import open_eiger
from gbx_beamline.frames.series import Series


def open_series(
    target: Any,
    *,
    allow_incomplete: bool = False,
    mask: NDArray[Any] | None = None,
    frame_time: float | None = None,
    roots: Sequence[Path] | None = None,
) -> Series:
    """Open a frame series. Pixels stay where they are until they are read.

    Opening succeeds where data files are absent: ``Series.missing`` names them. Reading such frames is an error
    unless ``allow_incomplete`` accepts it.

    Args:
        target: Path of an Eiger master (or another HDF5 file of that layout), of a .npy file with an array
            (N, y, x), of a .npz file, of a .cmp file of pyCHX; such an array itself; or an opened Tiled node.
        allow_incomplete: True cuts absent frames off the end of the series and keeps those in the middle as
            holes in time (``Series.present`` is False there).
        mask: (y, x) bool, True = good, beside what the detector's file masks.
        frame_time: s between frames; wins over the file, and is needed where the data do not say it.
        roots: For a Tiled node, whose paths no person named: as in
            :func:`gbx_beamline.frames.tiled_node.series_from_node`.

    Raises:
        SeriesError: the target does not exist, is damaged, or holds no series of numeric images; no frame time;
            a mask that does not fit.
    """
    if isinstance(target, np.ndarray):
        return open_array(target, mask=mask, frame_time=frame_time)
    if hasattr(target, "structure_family"):
        from gbx_beamline.frames.tiled_node import series_from_node

        return series_from_node(
            target, allow_incomplete=allow_incomplete, mask=mask, frame_time=frame_time, roots=roots
        )
    if not isinstance(target, str | Path):
        raise SeriesError(
            f"a {type(target).__name__}",
            needed="a path, a three-dimensional numpy array or an opened Tiled node",
            action="give one of these to open_series",
        )
    path = Path(target).expanduser()
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return open_npy(path, mask=mask, frame_time=frame_time)
    if suffix == ".npz":
        return open_npz(path, mask=mask, frame_time=frame_time)
    if suffix == ".cmp":
        return open_cmp(path, allow_incomplete=allow_incomplete, mask=mask, frame_time=frame_time)
    return open_eiger(path, allow_incomplete=allow_incomplete, mask=mask, frame_time=frame_time)
