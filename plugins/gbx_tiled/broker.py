"""The databroker interface that CHX's scripts still use, on our catalog."""

from __future__ import annotations

import httpx
from bluesky_tiled_plugins.clients.catalog_of_bluesky_runs import CatalogOfBlueskyRuns
from databroker.v1 import Broker
from tiled.client import from_uri
from tiled.client.container import Container
from tiled.client.utils import ClientError

from gbx_beamline.errors import AccessDeniedError, CatalogUnreachableError, RunNotFoundError


def broker(uri: str, api_key: str | None, *, container: str = "raw") -> Broker:
    """A databroker ``Broker`` over the raw runs, for scripts that know no Tiled.

    ``db[uid]``, ``db(...)``, ``.table()`` and ``.start`` work as before. Reading goes through Tiled, so no handler is
    to be registered.

    Args:
        uri: Address of the Tiled server.
        api_key: Its key; None takes the environment's ``TILED_API_KEY``.
        container: Path of the container with the runs.

    Raises:
        CatalogUnreachableError: no server answers at ``uri``.
        AccessDeniedError: the key is refused.
        RunNotFoundError: no such container.
    """
    try:
        root = from_uri(uri, api_key=api_key)
        runs = root[container]  # pyright: ignore[reportIndexIssue]
    except httpx.TransportError as error:
        raise CatalogUnreachableError(
            f"no Tiled server answers at {uri}", needed="a running server", action="check the address, or start it"
        ) from error
    except ClientError as error:
        raise AccessDeniedError(
            f"{uri} refuses the key: {error}", needed="a valid API key", action="check TILED_API_KEY"
        ) from error
    except KeyError as error:
        raise RunNotFoundError(
            f"{uri} has no container {container!r}", needed="the container of the raw runs", action="check its path"
        ) from error
    assert isinstance(runs, Container)
    # A catalog that was not declared as one of Bluesky runs still holds them.
    return CatalogOfBlueskyRuns(runs.context, item=runs.item, structure_clients=runs.structure_clients).v1
