"""Result files of pyCHX, of today (attributes) and of 2016 (``save_res_h5``)."""

from __future__ import annotations

import h5py
import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import MapError
from gbx_beamline.exchange._found import Found, dataset, image_of, maps_of, number_of, text_of
from gbx_beamline.exchange._pychx import MAP

_FRAME_TIME = ("frame_time", "acquire period", "timeperframe")
"""Keys of ``md`` in the order that pyCHX asks for them."""


def find_in_pychx(file: h5py.File, name: str) -> Found:
    """What a result file holds.

    Raises:
        MapError: no two-time maps in it, or none of a possible size.
    """
    node = dataset(file, MAP)
    if node is None:
        raise MapError(
            f"{name} holds {', '.join(sorted(file)[:12]) or 'nothing'}",
            needed=f"two-time maps, {MAP}",
            action="run pyCHX's pipeline with run_two_time=True and export again",
        )
    found = Found(maps=maps_of(node, f"{name}:{MAP}"), notes=[])
    count = found.maps.shape[2] if found.maps.ndim == 3 else 1
    metadata = dataset(file, "md") or dataset(file, "meta_data")
    if metadata is not None:
        _take_metadata(found, metadata)
    _take_lags(found, file)
    _take_q(found, file, count)
    labels = image_of(file, "roi_mask")
    found.labels = None if labels is None else labels.astype(np.int32)
    mask, image = image_of(file, "mask"), image_of(file, "avg_img")
    found.mask = None if mask is None else mask.astype(bool)
    found.mean_image = None if image is None else image.astype(np.float32)
    return found


def _take_metadata(found: Found, node: h5py.Dataset) -> None:
    md = node.attrs
    found.sample = text_of(md.get("sample"))
    found.started = number_of(md.get("time"))
    # T_sample of theirs is a text in Celsius, or none at all: only a key with its unit is taken.
    found.temperature = number_of(md.get("temperature_K"))
    if found.temperature is None:
        found.notes.append("temperature not taken from the file, which writes it without a unit")
    found.frame_time = next((time for key in _FRAME_TIME if (time := number_of(md.get(key)))), None)


def _take_lags(found: Found, file: h5py.File) -> None:
    """The lags of the maps themselves tell the time between rows better than the detector's settings."""
    node = dataset(file, "tausb") or dataset(file, "taus2")
    if node is None or node.ndim != 1 or node.dtype.kind not in "fiu" or not 2 <= node.shape[0] <= found.maps.shape[0]:
        return
    step = float(node[1] - node[0])
    if not (np.isfinite(step) and step > 0):
        return
    if found.frame_time is not None and not np.isclose(step, found.frame_time, rtol=1e-6, atol=0):
        found.notes.append(f"lags are {step:g} s apart, md says {found.frame_time:g} s between frames: lags are used")
    found.frame_time = step


def _take_q(found: Found, file: h5py.File, count: int) -> None:
    node = dataset(file, "qval_dict")
    if node is None:
        found.notes.append("q of the q-ROIs is not in the file")
        return
    values = [_numbers(node.attrs.get(str(roi))) for roi in range(count)]
    if len(node.attrs) != count or any(value.size == 0 for value in values):
        found.notes.append(f"qval_dict has {len(node.attrs)} entries for {count} maps: q not taken")
        return
    geometry = _geometry(file)
    found.q_par = np.array([value[0] for value in values])
    if geometry == "gi_saxs" and all(value.size > 1 for value in values):
        found.q_z = np.array([value[1] for value in values])
    elif any(value.size > 1 for value in values):
        found.notes.append("second entries of qval_dict (q_z or an angle, the file does not say which) are not taken")
    elif geometry == "saxs":
        found.q_z = np.zeros(count)


def _geometry(file: h5py.File) -> str | None:
    metadata = dataset(file, "md")
    return None if metadata is None else text_of(metadata.attrs.get("scat_geometry"))


def _numbers(value: object) -> NDArray[np.float64]:
    array = np.atleast_1d(np.asarray(value)) if value is not None else np.empty(0)
    return array.ravel().astype(np.float64) if array.dtype.kind in "fiu" else np.empty(0)
