"""The databroker interface that CHX's scripts still use, on our catalog."""

from __future__ import annotations

from typing import Any

from bluesky_tiled_plugins.clients.catalog_of_bluesky_runs import CatalogOfBlueskyRuns
from databroker.v1 import Broker
from tiled.utils import OneShotCachedMap

from gbx_beamline.catalog.connect import connect


def broker(uri: str, api_key: str | None, *, raw: str = "raw") -> Broker:
    """A databroker ``Broker`` over the raw runs, for scripts that know no Tiled.

    ``db[uid]``, ``db(...)``, ``.table()`` and ``.start`` work as before. Reading goes through Tiled, so no handler is
    to be registered. ``db.v2.context.close()`` gives the connections back.

    Args:
        uri: Address of the Tiled server.
        api_key: Its key; None for a public server.
        raw: Path of the container with the runs.

    Raises:
        CatalogUnreachableError: no server answers at ``uri``.
        AccessDeniedError: the key is refused.
        CatalogError: no such container.
    """
    runs: Any = connect(uri, api_key, raw=raw, processed=raw).raw
    # The Broker registers older run clients in the map it is given, and its copies of that map share their content:
    # with Tiled's own, every client of this process would change.
    own = OneShotCachedMap(dict.fromkeys(runs.structure_clients))
    for name in runs.structure_clients:
        own.set(name, lambda name=name: runs.structure_clients[name])
    return CatalogOfBlueskyRuns(runs.context, item=runs.item, structure_clients=own).v1
