"""How Bluesky's documents speak of an Eiger master: data keys of an event, resources of a series."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tiled.utils import ensure_uri

from gbx_beamline.frames.eiger_header import EigerHeader
from gbx_beamline.frames.mimetype import EIGER_MIMETYPE
from gbx_beamline.frames.node_facts import header_facts
from gbx_bluesky.consolidator import IMAGES, PIXEL_MASK


def image_key(detector: str) -> str:
    """Data key of a detector's frames."""
    return f"{detector}_image"


def mask_key(image: str) -> str:
    """Data key of the pixel mask that belongs to an image key."""
    return f"{image.removesuffix('_image')}_pixel_mask"


def data_keys(
    detector: str,
    frames: int,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    *,
    with_mask: bool,
    source: str = "SIM",
) -> dict[str, dict[str, Any]]:
    """What an event holds: (frames, y, x) images and, where the file has one, the (y, x) mask, both in files."""
    image = image_key(detector)
    keys = {image: _external(f"{source}:{detector}", (frames, *shape), dtype, ("frame", "y", "x"))}
    if with_mask:
        keys[mask_key(image)] = _external(f"{source}:{detector}", shape, np.dtype("<u4"), ("y", "x"))
    return keys


def stream_resources(
    detector: str, master: Path, header: EigerHeader, dtype: np.dtype[Any], *, with_mask: bool, frames_per_file: int
) -> list[dict[str, Any]]:
    """Stream resources of one master: its images and, where it has one, its mask."""
    facts = header_facts(replace(header, bit_depth=8 * dtype.itemsize))
    datasets = {image_key(detector): IMAGES}
    if with_mask:
        datasets[mask_key(image_key(detector))] = PIXEL_MASK
    return [
        {
            "uid": str(uuid.uuid4()),
            "data_key": key,
            "mimetype": EIGER_MIMETYPE,
            "uri": ensure_uri(str(master)),
            "parameters": {"dataset": dataset, "header": facts, "images_per_file": frames_per_file},
        }
        for key, dataset in datasets.items()
    ]


def _external(source: str, shape: tuple[int, ...], dtype: np.dtype[Any], dims: tuple[str, ...]) -> dict[str, Any]:
    return {
        "source": source,
        "dtype": "array",
        "dtype_numpy": dtype.newbyteorder("<").str,
        "shape": list(shape),
        "dims": list(dims),
        "external": "STREAM:",
    }
