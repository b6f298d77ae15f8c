"""What a reader who cannot open the master gets to know of it, through documents and Tiled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gbx_beamline.frames.eiger_header import EigerHeader

_PLAIN = (
    "frame_time",
    "count_time",
    "nimages",
    "ntrigger",
    "distance",
    "wavelength",
    "beam_center_x",
    "beam_center_y",
    "pixel_size_x",
    "pixel_size_y",
    "bit_depth",
)

_CHX = {
    "frame_time": ("cam_acquire_period", 1.0),
    "count_time": ("cam_acquire_time", 1.0),
    "distance": ("det_distance", 1.0),
    "wavelength": ("wavelength", 1e-10),
    "beam_center_x": ("beam_center_x", 1.0),
    "beam_center_y": ("beam_center_y", 1.0),
    "pixel_size_x": ("x_pixel_size", 1.0),
    "pixel_size_y": ("y_pixel_size", 1.0),
}
"""Field -> CHX's configuration key after ``<detector>_``, and the factor to SI."""


def header_facts(header: EigerHeader) -> dict[str, Any]:
    """The header as plain JSON, in SI, without the mask; what is not known is left out."""
    facts: dict[str, Any] = {name: value for name in _PLAIN if (value := getattr(header, name)) is not None}
    return {**facts, "notes": list(header.notes), "metadata": dict(header.metadata)}


def header_from_facts(facts: Mapping[str, Any]) -> EigerHeader:
    """The header again; JSON keeps floats exactly. Entries of another release are ignored."""
    return EigerHeader(
        **{name: facts[name] for name in _PLAIN if name in facts},
        notes=tuple(facts.get("notes", ())),
        metadata=dict(facts.get("metadata", {})),
    )


def filled_from_configuration(header: EigerHeader, configuration: Mapping[str, Any], detector: str) -> EigerHeader:
    """A header whose gaps are filled from CHX's configuration keys.

    Args:
        header: As the file has it.
        configuration: Values by full key, such as ``eiger4m_single_wavelength``.
        detector: Name of the detector.
    """
    found: dict[str, float] = {}
    for name, (key, factor) in _CHX.items():
        value = configuration.get(f"{detector}_{key}")
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            continue
        # A beam centre may lie at 0 or off the detector; anything else is a positive quantity.
        if getattr(header, name) is None and (value > 0 or name.startswith("beam_center")):
            found[name] = value * factor
    return replace(header, **found)
