"""A real Tiled server and a real Prefect server for all system tests of a session: starts take 4 to 40 s."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from flow_runs import Configure
from own_services import deployed_catalog
from tiled.client import from_uri
from tiled.client.container import Container

from gbx_beamline import assemble
from gbx_tiled.embedded import CatalogAddress, embedded_catalog

CATALOG_VARIABLE = "GBX_TEST_CATALOG"
"""Set to "deployed": the catalog of these tests is that of ``deploy/tiled.yml``, on PostgreSQL and Redis."""


@pytest.fixture(scope="session", autouse=True)
def data_roots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Detector files of these tests lie in their temporary folders, and are read from disk as at a beamline."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(assemble.ROOTS_VARIABLE, str(tmp_path_factory.getbasetemp()))
        yield


@pytest.fixture(scope="session")
def catalog_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the session's catalog; detector files belong in its ``frames``."""
    return tmp_path_factory.mktemp("catalog")


@pytest.fixture(scope="session")
def catalog_address(catalog_directory: Path, repository: Path) -> Iterator[CatalogAddress]:
    """Address and key of a running server on ``catalog_directory``."""
    deployed = os.environ.get(CATALOG_VARIABLE) == "deployed"
    server = (
        deployed_catalog(catalog_directory, repository / "deploy") if deployed else embedded_catalog(catalog_directory)
    )
    with server as address:
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


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect server of this session's own, without telemetry. Flows run in the test's process against it."""
    from prefect.settings import (
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_HOME,
        PREFECT_SERVER_ANALYTICS_ENABLED,
        temporary_settings,
    )
    from prefect.testing.utilities import prefect_test_harness

    own: dict[Any, Any] = {
        PREFECT_HOME: tmp_path_factory.mktemp("prefect"),
        PREFECT_SERVER_ANALYTICS_ENABLED: False,
        # A beating flow ends up to a second later than it could.
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
    }
    with pytest.MonkeyPatch.context() as patch, temporary_settings(own):
        patch.setenv("DO_NOT_TRACK", "1")
        with prefect_test_harness(server_startup_timeout=60):
            yield


@pytest.fixture(scope="session")
def configure(
    prefect_server: None, catalog_address: CatalogAddress, tmp_path_factory: pytest.TempPathFactory
) -> Configure:
    """As ``Configure`` says; needs the Prefect server because only flows need it."""

    def configured(patch: pytest.MonkeyPatch, analysis: dict[str, Any]) -> None:
        path = tmp_path_factory.mktemp("configuration") / "gbx.yaml"
        path.write_text(yaml.safe_dump({"analysis": analysis}))
        patch.setenv(assemble.CONFIG_VARIABLE, str(path))
        patch.setenv(assemble.URI_VARIABLE, catalog_address.uri)
        # As the service has it beside its own server; through HTTP a record takes seconds more.
        patch.setenv(assemble.STORE_VARIABLE, str(catalog_address.store))
        patch.setenv("TILED_API_KEY", catalog_address.api_key)

    return configured
