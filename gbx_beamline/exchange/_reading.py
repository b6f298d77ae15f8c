"""Two-time maps out of the result files of others, as our own two-time records have them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from gbx_beamline.correlation.imported import NO_COUNTS, Baseline, adopt_maps
from gbx_beamline.errors import MapError
from gbx_beamline.exchange._found import Found, dataset, opened, text_of
from gbx_beamline.exchange._nxxpcs_reading import find_in_nxxpcs
from gbx_beamline.exchange._pychx_reading import find_in_pychx
from gbx_beamline.exchange._record import ANGSTROM
from gbx_beamline.records import Bools, Floats, RoiSet, TwoTime

Format = Literal["pychx", "nxxpcs"]

_HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".nxs")


@dataclass(frozen=True, kw_only=True)
class ForeignResult:
    """Maps that somebody else computed, with what their file says of them."""

    two_time: TwoTime
    """Baseline 1; counts unknown."""
    notes: tuple[str, ...]
    """What was found and done, in words."""
    rois: RoiSet | None = None
    """None where the file has no label image that fits the maps."""
    mask: Bools | None = None
    """(y, x)."""
    mean_image: Floats | None = None
    """(y, x) counts per frame."""
    sample: str | None = None
    temperature: float | None = None
    """K."""
    started: float | None = None
    """Unix time, s."""


def result_format(path: Path | str) -> Format | None:
    """Whose result file this is; None for any other file, an Eiger master or a damaged one for example."""
    path = Path(path)
    if path.suffix.lower() not in _HDF5_SUFFIXES or not path.is_file() or not h5py.is_hdf5(path):
        return None
    try:
        with opened(path) as file:
            return _format_of(file)
    except MapError:
        return None


def _format_of(file: h5py.File) -> Format | None:
    entry = file.get("entry")
    if isinstance(entry, h5py.Group) and text_of(dataset(entry, "definition")) == "NXxpcs":
        return "nxxpcs"
    if dataset(file, "g12b") is not None or all(dataset(file, name) is not None for name in ("md", "qval_dict")):
        return "pychx"
    return None


def read_result(
    path: Path | str, *, baseline: Baseline | None = None, frame_time: float | None = None
) -> ForeignResult:
    """Read the two-time maps of a result file.

    Args:
        path: Result file of pyCHX (``..._Res.h5``) or NXxpcs file.
        baseline: What the maps tend to without correlation; None takes what the file says, else detects it.
        frame_time: s between rows; wins over the file.

    Raises:
        MapError: neither of these, without maps, truncated, too large, or without a frame time.
    """
    path = Path(path)
    if not path.is_file():
        raise MapError(f"no file {path}", needed="a result file with two-time maps", action="check the path")
    with opened(path) as file:
        form = _format_of(file)
        if form is None:
            raise MapError(
                f"{path} is no result file of pyCHX or NXxpcs",
                needed="an HDF5 file with g12b, or with an entry of definition NXxpcs",
                action="check the path; for frames use `gbx analyze`",
            )
        found = find_in_pychx(file, str(path)) if form == "pychx" else find_in_nxxpcs(file, str(path))
    seconds = _frame_time(found, frame_time, str(path))
    tt, words = adopt_maps(
        found.maps, name=str(path), baseline=found.baseline if baseline is None else baseline, frame_time=seconds
    )
    return _with_rois(found, tt, words)


def _frame_time(found: Found, told: float | None, name: str) -> float:
    known = found.frame_time is not None and found.frame_time > 0
    if told is not None:
        if known and not np.isclose(told, found.frame_time or 0.0, rtol=1e-6, atol=0):
            found.notes.append(f"frame time {told:g} s as told; the file says {found.frame_time:g} s")
        return told
    if not known or found.frame_time is None:
        raise MapError(
            f"{name} does not say how far the rows of its maps are apart",
            needed="the time between frames, s",
            action="give --frame-time",
        )
    return found.frame_time


def _with_rois(found: Found, tt: TwoTime, words: list[str]) -> ForeignResult:
    count = len(tt.names)
    q_par, q_z = _si(found.q_par, count), _si(found.q_z, count)
    tt = replace(tt, names=found.names or tt.names, q_par=q_par, q_z=q_z, **found.counts)
    if found.counts:
        words = [word for word in words if word != NO_COUNTS]
    labels = found.labels
    if labels is not None and not (labels.min() >= 0 and labels.max() <= count):
        found.notes.append(
            f"q-ROIs are labelled {labels.min()}..{labels.max()} but there are maps of {count}: labels left out"
        )
        labels = None
    shapes = {image.shape for image in (labels, found.mask, found.mean_image) if image is not None}
    if len(shapes) > 1:
        found.notes.append(f"label image, mask and mean image differ in shape {sorted(shapes)}: all left out")
        labels = None
    pixels = labels is not None
    return ForeignResult(
        two_time=tt,
        notes=(*found.notes, *words),
        rois=None
        if labels is None
        else RoiSet(labels=labels, names=tt.names, q_par=q_par, q_z=q_z, flags=((),) * count),
        mask=found.mask if pixels else None,
        mean_image=found.mean_image if pixels else None,
        sample=found.sample,
        temperature=found.temperature,
        started=found.started,
    )


def _si(q: Floats | None, count: int) -> Floats:
    """(Q,) 1/m; NaN where the file has none."""
    return np.full(count, np.nan) if q is None else np.asarray(q, dtype=np.float64) / ANGSTROM
