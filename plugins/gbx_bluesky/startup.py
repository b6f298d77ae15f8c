"""A beamline without beam, ready for IPython (``from gbx_bluesky.startup import *``) or ``start-re-manager``.

Names: the RunEngine ``RE``, the devices ``eiger4m_single``, ``T_sample`` and ``traces``, the plans ``count_series``,
``temperature_series`` and ``measure_until``, ``analysed_scans``, where the last one asks for results, those of the
commissioning suite (``static_reference``, ``colloid``, ``sample_scan``), and ``catalog_writer``, which carries the
documents.

Environment:
    GBX_CONFIG: A configs/*.yaml; its ``demo``, ``analysis`` and ``catalog`` sections count here.
    GBX_DIRECTORY: Folder for ``frames`` and ``journals``; default ``catalog.directory``, which is ``gbx-data``.
    GBX_TILED_URI: Address of the Tiled server; default ``catalog.uri``. Without either, runs stay in the journals
        until ``gbx_bluesky.backup.replay`` takes them to a catalog. The key is in TILED_API_KEY, or in the
        variable that ``catalog.api_key_env`` names.
    GBX_REPLAY: A movie (.npy, .npz) to be played instead of simulated speckles.
    GBX_DATA_SESSION, GBX_CYCLE: For the start documents.

Importing it starts no server and connects to nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tiled.client.container import Container

from gbx_beamline.assemble import api_key_in_environment, configuration, server_address
from gbx_beamline.catalog import Catalog, connect
from gbx_beamline.errors import CatalogUnreachableError
from gbx_bluesky.adaptive import measure_until
from gbx_bluesky.analysed import AnalysedScans
from gbx_bluesky.commissioning import colloid, sample_scan, static_reference
from gbx_bluesky.feeds import ReplayFeed
from gbx_bluesky.plans import count_series, temperature_series
from gbx_bluesky.run_engine import make_run_engine
from gbx_bluesky.simulated_chx import SimulatedChx

__all__ = [
    "RE",
    "T_sample",
    "analysed_scans",
    "catalog_writer",
    "colloid",
    "count_series",
    "eiger4m_single",
    "measure_until",
    "sample_scan",
    "static_reference",
    "temperature_series",
    "traces",
]


def _server() -> str:
    uri = server_address(_config)
    if not uri:
        raise CatalogUnreachableError(
            "no catalog is configured",
            needed="the address of a Tiled server",
            action="set GBX_TILED_URI, or catalog.uri in the file named by GBX_CONFIG",
        )
    return uri


def _open_raw() -> Container:
    raw = _config.catalog.raw
    return connect(_server(), api_key_in_environment(_config), raw=raw, processed=raw).raw


@contextmanager
def _open_catalog() -> Iterator[Catalog]:
    places = _config.catalog
    opened = connect(_server(), api_key_in_environment(_config), raw=places.raw, processed=places.processed)
    with closing(opened):
        yield opened


# Python shows warnings only: what a plan finds out, and why it stops, is for whoever sits at the terminal.
logging.getLogger("gbx_bluesky").setLevel(logging.INFO)
logging.getLogger("gbx_bluesky").addHandler(logging.StreamHandler())
_config = configuration()
_directory = Path(os.environ.get("GBX_DIRECTORY", _config.catalog.directory)).resolve()
_movie = os.environ.get("GBX_REPLAY")
_chx = SimulatedChx(_config, _directory / "frames", feed=ReplayFeed.from_file(_movie) if _movie else None)
eiger4m_single, T_sample, traces = _chx.detector, _chx.temperature, _chx.traces
analysed_scans = AnalysedScans(_open_catalog, _config)
RE, catalog_writer = make_run_engine(
    _open_raw,
    backup_directory=_directory / "journals",
    md={key: value for key in ("data_session", "cycle") if (value := os.environ.get(f"GBX_{key.upper()}"))},
)
