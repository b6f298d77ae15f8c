"""What a client asks its server for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gbx_beamline.catalog import Catalog, connect
from gbx_tiled.embedded import CatalogAddress


@contextmanager
def listening_client(address: CatalogAddress) -> Iterator[tuple[Catalog, list[str]]]:
    """A client of its own, and its requests as they are made: method and path."""
    asked: list[str] = []
    catalog = connect(address.uri, address.api_key, store=address.store)
    hooks = catalog.root.context.http_client.event_hooks["request"]
    hooks.append(lambda request: asked.append(f"{request.method} {request.url.path}"))
    try:
        yield catalog, asked
    finally:
        catalog.close()
