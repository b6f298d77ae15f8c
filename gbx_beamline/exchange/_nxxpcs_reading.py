"""NXxpcs files, ours and those of others that keep their maps in one array."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import MapError
from gbx_beamline.exchange._found import Found, array_of, dataset, image_of, maps_of, number_of, text_of

_PER_LENGTH = {"1/angstrom": 1.0, "angstrom^-1": 1.0, "1/a": 1.0, "å^-1": 1.0, "1/å": 1.0, "1/nm": 0.1, "nm^-1": 0.1,
               "1/m": 1e-10, "m^-1": 1e-10}  # fmt: skip
_ARRAYS = {"one_array_q_first": True, "one_array_q_last": False}
_SECONDS = ("s", "sec", "second", "seconds")


def find_in_nxxpcs(file: h5py.File, name: str) -> Found:
    """What an NXxpcs file holds.

    Raises:
        MapError: no two-time maps in one array, only half of each, or none of a possible size.
    """
    entry = _group(file, "entry")
    twotime = None if entry is None else _group(entry, "twotime")
    node = None if twotime is None else dataset(twotime, "two_time_corr_func")
    if entry is None or twotime is None or node is None:
        raise MapError(
            f"{name} has no entry/twotime/two_time_corr_func as an array of its own",
            needed="two-time maps",
            action="export them with the two-time analysis switched on, as one array",
        )
    mode = text_of(node.attrs.get("storage_mode")) or "one_array_q_first"
    if mode not in _ARRAYS:
        raise MapError(
            f"{name} stores its maps as {mode!r}",
            needed=f"one of {', '.join(_ARRAYS)}",
            action="export them as one array",
        )
    found = Found(maps=maps_of(node, name, q_first=_ARRAYS[mode]), notes=[])
    baseline = number_of(node.attrs.get("baseline_reference"))
    found.baseline = None if baseline not in (0.0, 1.0) else 1 if baseline == 1.0 else 0
    count = found.maps.shape[2] if found.maps.ndim == 3 else 1
    instrument = _group(entry, "instrument")
    if instrument is not None:
        _take_instrument(found, instrument, count)
    cells = number_of(dataset(twotime, "frames_per_cell"))
    if found.frame_time is not None and cells is not None and cells >= 1:
        found.frame_time *= cells
    _take_counts(found, twotime, count)
    _cut_to_segment(found, array_of(twotime, "analysed_rows", (2,)))
    _take_head(found, entry)
    image = image_of(_group(entry, "data") or entry, "frame_average")
    found.mean_image = None if image is None else image.astype(np.float32)
    return found


def _take_instrument(found: Found, instrument: h5py.Group, count: int) -> None:
    for child in sorted(instrument):
        detector = _group(instrument, child)
        node = None if detector is None else dataset(detector, "frame_time")
        if node is not None:
            units = text_of(node.attrs.get("units"))
            if units is None or units.lower() in _SECONDS:
                found.frame_time = number_of(node)
            else:
                found.notes.append(f"frame time in {units!r} not taken")
    masks = _group(instrument, "masks")
    if masks is None:
        found.notes.append("q of the q-ROIs is not in the file")
        return
    found.q_par = _q_list(found, masks, "dynamic_q_list", count)
    found.q_z = _q_list(found, masks, "dynamic_q_z_list", count)
    labels, mask = image_of(masks, "dynamic_roi_map"), image_of(masks, "mask")
    found.labels = None if labels is None else labels.astype(np.int32)
    found.mask = None if mask is None else mask.astype(bool)
    names = dataset(masks, "dynamic_roi_names")
    if names is not None and names.shape == (count,) and names.dtype.kind == "O":
        found.names = tuple(str(item) for item in names.asstr()[()])


def _q_list(found: Found, masks: h5py.Group, name: str, count: int) -> NDArray[np.float64] | None:
    node, values = dataset(masks, name), array_of(masks, name, (count,))
    if node is None:
        return None
    units = (text_of(node.attrs.get("units")) or "").strip().lower()
    if units not in _PER_LENGTH or values is None:
        found.notes.append(f"{name} of shape {node.shape} in {units or 'no unit'!r} for {count} maps: not taken")
        return None
    return values.astype(np.float64) * _PER_LENGTH[units]


def _take_counts(found: Found, twotime: h5py.Group, count: int) -> None:
    """What we write beside maps of our own: with it curves and contrasts come out as they were."""
    cells = found.maps.shape[0]
    shapes: dict[str, tuple[int, ...]] = {
        "diagonal": (count, cells),
        "frame_means": (count, cells),
        "pixels": (count,),
        "mean_counts": (count,),
        "static_baseline": (count,),
    }
    arrays = {name: array_of(twotime, name, shape) for name, shape in shapes.items()}
    there = {name: array for name, array in arrays.items() if array is not None}
    if len(there) == len(shapes):
        found.counts = there


def _cut_to_segment(found: Found, rows: NDArray[Any] | None) -> None:
    """Only the part of our own maps that their numbers were of: pairs of frames across a dump are no dynamics."""
    cells = found.maps.shape[0]
    if rows is None or rows.dtype.kind not in "iu":
        return
    start, stop = int(rows[0]), int(rows[1])
    if not 0 <= start < stop <= cells or stop - start == cells:
        return
    found.maps = found.maps[start:stop, start:stop]
    for name in ("diagonal", "frame_means"):
        if name in found.counts:
            found.counts[name] = found.counts[name][:, start:stop]
    found.notes.append(f"only the analysed segment was taken, rows {start} to {stop - 1} of {cells}")


def _take_head(found: Found, entry: h5py.Group) -> None:
    sample = _group(entry, "sample")
    if sample is not None:
        found.sample = text_of(dataset(sample, "name"))
        found.temperature = _kelvin(found, dataset(sample, "temperature"))
    try:
        begun = datetime.fromisoformat(text_of(dataset(entry, "start_time")) or "")
    except ValueError:
        return
    found.started = (begun if begun.tzinfo else begun.replace(tzinfo=UTC)).timestamp()


def _kelvin(found: Found, node: h5py.Dataset | None) -> float | None:
    value = number_of(node)
    if node is None or value is None:
        return None
    units = (text_of(node.attrs.get("units")) or "").strip().lower()
    if units in ("k", "kelvin"):
        return value
    if units in ("c", "°c", "degc", "celsius"):
        return value + 273.15
    found.notes.append(f"temperature {value:g} in {units or 'no unit'!r} not taken")
    return None


def _group(parent: Any, name: str) -> h5py.Group | None:
    if isinstance(parent.get(name, getlink=True), h5py.ExternalLink | type(None)):
        return None
    node = parent.get(name)
    return node if isinstance(node, h5py.Group) else None
