"""A beamline without beam, ready for IPython (``from gbx_bluesky.startup import *``) or ``start-re-manager``.

Names: the RunEngine ``RE``, the devices ``eiger4m_single``, ``T_sample`` and ``traces``, the plans ``count_series`` and
``temperature_series``, and ``catalog_writer``, which carries the documents.

Environment:
    GBX_CONFIG: A configs/*.yaml; its ``demo``, ``analysis.geometry`` and ``catalog`` sections count here.
    GBX_DIRECTORY: Folder for ``frames`` and ``journals``; default ``catalog.directory``, which is ``gbx-data``.
    GBX_TILED_URI: Address of the Tiled server; default ``catalog.uri``. Without either, runs stay in the journals
        until ``gbx_bluesky.backup.replay`` takes them to a catalog. The key is in TILED_API_KEY, or in the
        variable that ``catalog.api_key_env`` names.
    GBX_REPLAY: A movie (.npy, .npz) to be played instead of simulated speckles.
    GBX_DATA_SESSION, GBX_CYCLE: For the start documents.

Importing it starts no server and connects to nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from tiled.client.container import Container

from gbx_beamline.catalog.connect import connect
from gbx_beamline.config import Config, load_config
from gbx_beamline.errors import CatalogUnreachableError
from gbx_beamline.geometry import overlay, q_maps
from gbx_beamline.records import Geometry
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import FrameFeed, ReplayFeed
from gbx_bluesky.plans import count_series, temperature_series
from gbx_bluesky.run_engine import make_run_engine
from gbx_bluesky.speckle_feed import Relaxation, RelaxationTable, SpeckleFeed
from gbx_bluesky.temperature import SampleTemperature
from gbx_bluesky.traces import SideTraces, SmoothTraces

__all__ = ["RE", "T_sample", "catalog_writer", "count_series", "eiger4m_single", "temperature_series", "traces"]

_Q = 4.5e8
"""1/m, the in-plane q of the paper's analysis."""

SIMULATED_SAMPLE = RelaxationTable(
    {
        299.0: Relaxation(rate=1e-4, q_reference=_Q, age=500.0),
        371.0: Relaxation(rate=4e-4, q_reference=_Q, age=500.0, ageing=0.2),
        421.0: Relaxation(rate=1.2e-3, q_reference=_Q, age=500.0, ageing=0.8),
        471.0: Relaxation(rate=3e-3, q_reference=_Q, age=500.0, ageing=1.0),
    }
)
"""A made-up sample: slow and stationary when cold, faster and ageing when hot."""


def simulated_geometry(shape: tuple[int, int]) -> Geometry:
    """CHX's distance, wavelength and pixels, with a small detector placed where |q| is around 4.5e8 1/m."""
    return Geometry(
        shape=shape,
        beam_center_x=shape[1] / 2,
        beam_center_y=shape[0] / 2 - 1240.0,
        distance=10.08,
        wavelength=1.285e-10,
        pixel_size_x=75e-6,
        pixel_size_y=75e-6,
    )


def _feed(config: Config, geometry: Geometry) -> FrameFeed:
    if movie := os.environ.get("GBX_REPLAY"):
        return ReplayFeed.from_file(movie)
    demo = config.demo
    q = q_maps(geometry).q_par
    return SpeckleFeed(q, SIMULATED_SAMPLE, modes=demo.coherence_modes, mean_counts=demo.mean_counts, seed=demo.seed)


def _open_raw() -> Container:
    catalog = _config.catalog
    uri = os.environ.get("GBX_TILED_URI", catalog.uri)
    if not uri:
        raise CatalogUnreachableError(
            "no catalog is configured",
            needed="the address of a Tiled server",
            action="set GBX_TILED_URI, or catalog.uri in the file named by GBX_CONFIG",
        )
    return connect(uri, os.environ.get(catalog.api_key_env), raw=catalog.raw, processed=catalog.raw).raw


_config = load_config(os.environ["GBX_CONFIG"]) if "GBX_CONFIG" in os.environ else Config()
_directory = Path(os.environ.get("GBX_DIRECTORY", _config.catalog.directory)).resolve()
_geometry = overlay(simulated_geometry(_config.demo.shape), _config.analysis.geometry)
_replayed_or_simulated = _feed(_config, _geometry)

T_sample = SampleTemperature(name="T_sample")
eiger4m_single = SimulatedEiger(
    directory=_directory / "frames",
    feed=_replayed_or_simulated,
    geometry=_geometry if _replayed_or_simulated.shape == _geometry.shape else None,
    name="eiger4m_single",
)
traces = SideTraces(SmoothTraces(seed=_config.demo.seed), temperature=T_sample, name="traces")
RE, catalog_writer = make_run_engine(
    _open_raw,
    backup_directory=_directory / "journals",
    md={key: value for key in ("data_session", "cycle") if (value := os.environ.get(f"GBX_{key.upper()}"))},
)
