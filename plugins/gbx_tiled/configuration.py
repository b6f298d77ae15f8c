"""The configuration that `tiled serve config` gets for a catalog in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiled.structures.core import Spec

from gbx_beamline.assemble import ROOTS_VARIABLE as ROOTS_VARIABLE
from gbx_beamline.frames.mimetype import EIGER_MIMETYPE

FRAMES_FOLDER = "frames"
"""Subfolder for detector files, which the server reads and never writes."""

RESULTS_FOLDER = "results"
"""Subfolder for the arrays of results, which the server reads where the analysis has put them."""

SHUTDOWN_SECONDS = 3
"""Grace for open websockets: a viewer that keeps listening must not hold up the end."""


CONTAINERS = {"raw": [Spec("CatalogOfBlueskyRuns", version="3.0")], "processed": []}
"""Top-level containers and their specs; that of the raw runs gives users the client made for Bluesky runs."""


def access_control(provider: str, areas: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The part ``access_control`` of a server that several proposals share.

    Such a server also wants ``catalog.top_level_access_tags: [shelves]``, and an authentication provider.

    Args:
        provider: Name of that provider.
        areas: Path of each area's container, where it is not called as the area is.
    """
    args = {"provider": provider} | ({"areas": dict(areas)} if areas else {})
    return {"access_policy": "gbx_tiled.access_policy:ProposalAccessPolicy", "args": args}


def server_configuration(directory: Path, *, port: int, host: str = "127.0.0.1") -> dict[str, Any]:
    """Configuration of a single-user Tiled server, ready for ``yaml.safe_dump``.

    SQLite holds the catalog, DuckDB the tables, zarr the arrays, all below ``directory``; updates are streamed
    from memory. The API key is not part of it: it comes from the environment.

    Args:
        directory: Absolute folder of the catalog.
        port: TCP port to listen on.
        host: Address to listen on.
    """
    return {
        "catalog": {
            "uri": f"sqlite:///{directory / 'catalog.db'}",
            "init_if_not_exists": True,
            "writable_storage": [str(directory / "arrays"), f"duckdb:///{directory / 'tables.duckdb'}"],
            "readable_storage": [str(directory / FRAMES_FOLDER), str(directory / RESULTS_FOLDER)],
            "adapters_by_mimetype": {EIGER_MIMETYPE: "gbx_tiled.adapter:EigerAdapter"},
        },
        "streaming_cache": {"uri": "memory"},
        "uvicorn": {"host": host, "port": port, "timeout_graceful_shutdown": SHUTDOWN_SECONDS},
        # Readers take the detector files from disk or through the adapter, never as raw downloads.
        "expose_raw_assets": False,
    }
