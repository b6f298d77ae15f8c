"""The whole chain as one readable function: a series goes in, a scan's physics comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gbx_beamline._lazy import lazily

if TYPE_CHECKING:
    from gbx_beamline.pipeline._analysis import adopt as adopt
    from gbx_beamline.pipeline._analysis import analyze as analyze
    from gbx_beamline.pipeline._description import describe as describe
    from gbx_beamline.pipeline._description import describe_start as describe_start
    from gbx_beamline.pipeline._description import uid_of_file as uid_of_file
    from gbx_beamline.pipeline._flags import flags_of as flags_of
    from gbx_beamline.pipeline._inference import infer as infer
    from gbx_beamline.pipeline._inference import to_be_judged as to_be_judged
    from gbx_beamline.pipeline._outcome import failure as failure
    from gbx_beamline.pipeline._outcome import provenance as provenance
    from gbx_beamline.pipeline._selection import CatalogArray as CatalogArray
    from gbx_beamline.pipeline._selection import select as select

_HOMES = {
    "CatalogArray": "_selection",
    "adopt": "_analysis",
    "analyze": "_analysis",
    "describe": "_description",
    "describe_start": "_description",
    "failure": "_outcome",
    "flags_of": "_flags",
    "infer": "_inference",
    "provenance": "_outcome",
    "select": "_selection",
    "to_be_judged": "_inference",
    "uid_of_file": "_description",
}

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

__getattr__, __dir__ = lazily(__name__, _HOMES)
