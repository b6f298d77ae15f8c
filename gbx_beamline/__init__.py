"""GBX: from coherent X-ray frames to grain-boundary physics.

The names below are the public API. They load on first use, so that ``import gbx_beamline`` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gbx_beamline._lazy import lazily

if TYPE_CHECKING:
    from gbx_beamline.comparing import compare as compare
    from gbx_beamline.config import Config as Config
    from gbx_beamline.config import load_config as load_config
    from gbx_beamline.correlation import LiveTwoTime as LiveTwoTime
    from gbx_beamline.correlation import one_time as one_time
    from gbx_beamline.correlation import two_time as two_time
    from gbx_beamline.errors import GbxError as GbxError
    from gbx_beamline.frames import Series as Series
    from gbx_beamline.frames import open_series as open_series
    from gbx_beamline.geometry import q_rois as q_rois
    from gbx_beamline.learning import load_model as load_model
    from gbx_beamline.non_equilibrium import nonequilibrium as nonequilibrium
    from gbx_beamline.pipeline import analyze as analyze
    from gbx_beamline.simulation import GrainBoundary as GrainBoundary

__version__ = "0.1.0"

_HOMES = {
    "compare": "comparing",
    "Config": "config",
    "load_config": "config",
    "LiveTwoTime": "correlation",
    "one_time": "correlation",
    "two_time": "correlation",
    "GbxError": "errors",
    "Series": "frames",
    "open_series": "frames",
    "q_rois": "geometry",
    "load_model": "learning",
    # The module is spelt apart: a submodule of the function's own name would shadow it on first import.
    "nonequilibrium": "non_equilibrium",
    "analyze": "pipeline",
    "GrainBoundary": "simulation",
}

__all__ = [
    "Config",
    "GbxError",
    "GrainBoundary",
    "LiveTwoTime",
    "Series",
    "analyze",
    "compare",
    "load_config",
    "load_model",
    "nonequilibrium",
    "one_time",
    "open_series",
    "q_rois",
    "two_time",
]

__getattr__, __dir__ = lazily(__name__, _HOMES)
