"""The fields of a filewriter-1 master file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gbx_beamline.frames.eiger_header import BEAM, DETECTOR, SPECIFIC, EigerHeader

_CLASSES = {
    "/entry": "NXentry",
    "/entry/data": "NXdata",
    "/entry/instrument": "NXinstrument",
    BEAM: "NXbeam",
    DETECTOR: "NXdetector",
    SPECIFIC: "NXcollection",
}


def write_master(
    path: Path,
    header: EigerHeader,
    *,
    dtype: np.dtype[Any],
    pixel_mask: NDArray[np.uint32] | None,
    data_files: Sequence[str],
) -> None:
    """Write a new master file. What the header does not know is left out.

    Args:
        path: File to create.
        header: Scalars in SI; wavelength is stored in Angstrom.
        dtype: Pixel type in the data files.
        pixel_mask: (y, x) Dectris bits, 0 = good.
        data_files: Names beside the master, in acquisition order, whether they exist or not.

    Raises:
        FileExistsError: the file exists.
    """
    with h5py.File(path, "x") as file:
        make_groups(file, _CLASSES)
        for number, name in enumerate(data_files, start=1):
            file[f"/entry/data/data_{number:06d}"] = h5py.ExternalLink(name, "/entry/data/data")
        for place, (value, unit) in _fields(header, dtype, masked=pixel_mask is not None).items():
            if value is None:
                continue
            file[place] = value
            if unit:
                file[place].attrs["units"] = unit
        if pixel_mask is not None:
            file[f"{SPECIFIC}/pixel_mask"] = pixel_mask


def make_groups(file: h5py.File, paths: Iterable[str]) -> None:
    """Create groups with their NeXus classes."""
    for path in paths:
        file.require_group(path).attrs["NX_class"] = _CLASSES[path]


def _fields(header: EigerHeader, dtype: np.dtype[Any], *, masked: bool) -> Mapping[str, tuple[Any, str]]:
    said = header.metadata
    rows, columns = header.shape or (None, None)
    wavelength = None if header.wavelength is None else header.wavelength * 1e10
    return {
        f"{DETECTOR}/frame_time": (header.frame_time, "s"),
        f"{DETECTOR}/count_time": (header.count_time, "s"),
        f"{DETECTOR}/detector_distance": (header.distance, "m"),
        f"{DETECTOR}/beam_center_x": (header.beam_center_x, "pixel"),
        f"{DETECTOR}/beam_center_y": (header.beam_center_y, "pixel"),
        f"{DETECTOR}/x_pixel_size": (header.pixel_size_x, "m"),
        f"{DETECTOR}/y_pixel_size": (header.pixel_size_y, "m"),
        f"{DETECTOR}/bit_depth_image": (8 * dtype.itemsize, ""),
        f"{DETECTOR}/pixel_mask_applied": (int(masked), ""),
        f"{DETECTOR}/description": (said.get("description", "GBX Eiger writer"), ""),
        f"{DETECTOR}/detector_number": (said.get("detector_number"), ""),
        f"{DETECTOR}/sensor_material": (said.get("sensor_material"), ""),
        f"{DETECTOR}/sensor_thickness": (said.get("sensor_thickness"), "m"),
        f"{DETECTOR}/threshold_energy": (said.get("threshold_energy"), "eV"),
        f"{BEAM}/incident_wavelength": (wavelength, "angstrom"),
        f"{SPECIFIC}/photon_energy": (said.get("photon_energy"), "eV"),
        f"{SPECIFIC}/nimages": (header.nimages, ""),
        f"{SPECIFIC}/ntrigger": (header.ntrigger or 1, ""),
        f"{SPECIFIC}/x_pixels_in_detector": (columns, ""),
        f"{SPECIFIC}/y_pixels_in_detector": (rows, ""),
        f"{SPECIFIC}/compression": ("bslz4", ""),
        f"{SPECIFIC}/trigger_mode": (said.get("trigger_mode"), ""),
        # Never absent: it tells two series of equal settings apart, as on a real detector.
        f"{SPECIFIC}/data_collection_date": (said.get("data_collection_date", datetime.now(UTC).isoformat()), ""),
    }
