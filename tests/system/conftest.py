"""A real Tiled server for all system tests of a session: a start takes 4 to 19 s."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiled.client import from_uri
from tiled.client.container import Container

from gbx_tiled.embedded import CatalogAddress, embedded_catalog


@pytest.fixture(scope="session")
def catalog_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the session's catalog; detector files belong in its ``frames``."""
    return tmp_path_factory.mktemp("catalog")


@pytest.fixture(scope="session")
def catalog_address(catalog_directory: Path) -> Iterator[CatalogAddress]:
    """Address and key of a running server on ``catalog_directory``."""
    with embedded_catalog(catalog_directory) as address:
        yield address


@pytest.fixture(scope="session")
def tiled_root(catalog_address: CatalogAddress) -> Iterator[Container]:
    """Client of the server's root."""
    root = from_uri(catalog_address.uri, api_key=catalog_address.api_key, trust_env=False)
    assert isinstance(root, Container)
    yield root
    root.context.close()


@pytest.fixture(scope="session")
def raw_runs(tiled_root: Container) -> Container:
    """Container of the raw runs."""
    raw = tiled_root["raw"]
    assert isinstance(raw, Container)
    return raw
