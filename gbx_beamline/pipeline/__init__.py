"""The whole chain as one readable function: a series goes in, a scan's physics comes out."""

from __future__ import annotations

from gbx_beamline.pipeline._analysis import adopt, analyze
from gbx_beamline.pipeline._description import describe, describe_start, uid_of_file
from gbx_beamline.pipeline._flags import flags_of
from gbx_beamline.pipeline._inference import infer, to_be_judged
from gbx_beamline.pipeline._outcome import failure, provenance
from gbx_beamline.pipeline._selection import CatalogArray, select

__all__ = [
    "CatalogArray",
    "adopt",
    "analyze",
    "describe",
    "describe_start",
    "failure",
    "flags_of",
    "infer",
    "provenance",
    "select",
    "to_be_judged",
    "uid_of_file",
]
