"""Frame series: Eiger masters (read and write), arrays, opened Tiled nodes; pixel masks."""

from __future__ import annotations

from gbx_beamline.frames.eiger import EigerFile, EigerHeader, read_header
from gbx_beamline.frames.eiger_writer import EigerWriter
from gbx_beamline.frames.mimetype import EIGER_MIMETYPE
from gbx_beamline.frames.opening import open_series
from gbx_beamline.frames.series import Series, build_series

__all__ = [
    "EIGER_MIMETYPE",
    "EigerFile",
    "EigerHeader",
    "EigerWriter",
    "Series",
    "build_series",
    "open_series",
    "read_header",
]
