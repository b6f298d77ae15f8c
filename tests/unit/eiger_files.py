"""Detector files made with plain h5py, independent of the package's own writer and reader."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

DETECTOR = "/entry/instrument/detector"
SPECIFIC = f"{DETECTOR}/detectorSpecific"
WAVELENGTH = "/entry/instrument/beam/incident_wavelength"

FIELDS: Mapping[str, tuple[Any, str | None]] = {
    f"{DETECTOR}/frame_time": (0.005, "s"),
    f"{DETECTOR}/count_time": (0.00499, "s"),
    f"{DETECTOR}/detector_distance": (10.08, "m"),
    f"{DETECTOR}/beam_center_x": (3.5, "pixel"),
    f"{DETECTOR}/beam_center_y": (2.5, "pixel"),
    f"{DETECTOR}/x_pixel_size": (75e-6, "m"),
    f"{DETECTOR}/y_pixel_size": (75e-6, "m"),
    WAVELENGTH: (1.2848, "angstrom"),
}
"""A plain filewriter-1 header: path -> value and unit."""


def numbered_frames(count: int, shape: tuple[int, int] = (5, 7), dtype: Any = np.uint16) -> NDArray[Any]:
    """Frames that tell their own number and pixel, so that no two are alike."""
    frames, rows, columns = np.indices((count, *shape))
    return (frames * 40 + rows * shape[1] + columns).astype(dtype)


def write_data(
    path: Path,
    frames: NDArray[Any],
    *,
    dataset: str = "/entry/data/data",
    first_image: int | None = None,
    compressed: bool = True,
) -> Path:
    """One data file, bitshuffle-LZ4 in chunks of one frame as detectors write it."""
    options: dict[str, Any] = {}
    if compressed:
        options = {"chunks": (1, *frames.shape[1:]), **hdf5plugin.Bitshuffle(cname="lz4")}
    with h5py.File(path, "w") as file:
        node = file.create_dataset(dataset, data=frames, **options)
        if first_image is not None:
            node.attrs["image_nr_low"] = first_image
            node.attrs["image_nr_high"] = first_image + len(frames) - 1
    return path


def write_fields(file: h5py.File, fields: Mapping[str, tuple[Any, str | None]]) -> None:
    for path, (value, unit) in fields.items():
        file[path] = value
        if unit is not None:
            file[path].attrs["units"] = np.bytes_(unit)


def write_filewriter1(
    folder: Path,
    files: Sequence[NDArray[Any] | None],
    *,
    fields: Mapping[str, tuple[Any, str | None]] = FIELDS,
    nimages: int | None = None,
    ntrigger: int = 1,
    padded: bool = True,
    image_numbers: bool = False,
    pixel_mask: NDArray[Any] | None = None,
    prefix: str = "scan_1",
) -> Path:
    """Master with external links to data files; None stands for a file that never came."""
    master = folder / f"{prefix}_master.h5"
    first = 1
    with h5py.File(master, "w") as file:
        write_fields(file, fields)
        if nimages is not None:
            write_fields(file, {f"{SPECIFIC}/nimages": (nimages, None), f"{SPECIFIC}/ntrigger": (ntrigger, None)})
        if pixel_mask is not None:
            file[f"{SPECIFIC}/pixel_mask"] = pixel_mask
        for number, frames in enumerate(files, start=1):
            digits = f"{number:06d}" if padded else str(number)
            name = f"{prefix}_data_{digits}.h5"
            file[f"/entry/data/data_{digits}"] = h5py.ExternalLink(name, "entry/data/data")
            if frames is not None:
                write_data(folder / name, frames, first_image=first if image_numbers else None)
            full = next(each for each in files if each is not None) if any(f is not None for f in files) else ()
            first += len(full if frames is None else frames)
    return master


def write_nxmx(
    folder: Path,
    files: Sequence[NDArray[Any]],
    *,
    absent: Sequence[int] = (),
    fields: Mapping[str, tuple[Any, str | None]] = FIELDS,
    dtype: Any = None,
    through_links: bool = True,
) -> Path:
    """Master with a virtual data set over data files, by way of links in the master or directly."""
    master = folder / "scan_2_master.h5"
    total = sum(len(frames) for frames in files)
    layout = h5py.VirtualLayout((total, *files[0].shape[1:]), dtype or files[0].dtype)
    with h5py.File(master, "w") as file:
        write_fields(file, fields)
        write_fields(file, {f"{SPECIFIC}/nimages": ([total], None)})
        start = 0
        for number, frames in enumerate(files, start=1):
            name = f"scan_2_{number:06d}.h5"
            if number not in absent:
                write_data(folder / name, frames, dataset="/data")
            file[f"/entry/data/data_{number:06d}"] = h5py.ExternalLink(name, "/data")
            source = (".", f"/entry/data/data_{number:06d}") if through_links else (name, "/data")
            layout[start : start + len(frames)] = h5py.VirtualSource(*source, shape=frames.shape)
            start += len(frames)
        file.create_virtual_dataset("/entry/data/data", layout)
    return master


def rebuild_layout(layout: Path, folder: Path, frames: NDArray[Any]) -> Path:
    """A master with exactly the fields of a recorded layout, and small frames behind it."""
    master = folder / "rebuilt_master.h5"
    with h5py.File(master, "w") as file:
        for entry in json.loads(layout.read_text()):
            _rebuild(file, entry, folder, frames)
    return master


def _rebuild(file: h5py.File, entry: Mapping[str, Any], folder: Path, frames: NDArray[Any]) -> None:
    path = entry["path"]
    if "group" in entry:
        file.require_group(path)
    elif "external" in entry:
        name, dataset = entry["external"]
        file[path] = h5py.ExternalLink(name, dataset)
        write_data(folder / name, frames, dataset=dataset)
    elif "soft" in entry:
        file[path] = h5py.SoftLink(entry["soft"])
    elif "virtual_sources" in entry:
        virtual = h5py.VirtualLayout(frames.shape, entry["dtype"])
        for name, dataset in entry["virtual_sources"]:
            virtual[:] = h5py.VirtualSource(name, dataset, shape=frames.shape)
        file.create_virtual_dataset(path, virtual)
    else:
        shape = tuple(entry["shape"])
        if path.endswith("detectorSpecific/pixel_mask"):
            shape = frames.shape[1:]
        value = entry.get("value")
        data = None if value is None else np.full(shape, value, dtype=np.dtype(entry["dtype"]))
        node = file.create_dataset(path, shape=shape, dtype=entry["dtype"], data=data)
        if "units" in entry:
            node.attrs["units"] = np.bytes_(entry["units"])
