"""Backup and restore of a catalog in PostgreSQL, with a server of this test's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from backing_up import everything, fill
from own_services import new_databases, postgres_server, tiled_server
from tiled.client import from_uri
from tiled.structures.core import Spec

from gbx_beamline.config import parse_config
from gbx_beamline.errors import InputError, ServiceError
from gbx_services.backup import make_backup, restore_backup
from gbx_services.doctor.checking import Level
from gbx_services.doctor.server import check_server
from gbx_services.prefect_service import free_port
from gbx_tiled.configuration import server_configuration
from gbx_tiled.embedded import CatalogAddress

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KEY = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with postgres_server() as address:
        yield address


def written(folder: Path, address: str) -> Path:
    """Configuration of a Tiled server with catalog and tables in PostgreSQL."""
    settings = server_configuration(folder / "shared", port=0)
    settings["catalog"] |= {
        "uri": f"postgresql+asyncpg://{address}/gbx_tiled",
        "writable_storage": [
            str(folder / "shared" / "arrays"),
            f"postgresql://{address}/gbx_tables",
        ],
    }
    for name in ("arrays", "frames", "results"):
        (folder / "shared" / name).mkdir(parents=True, exist_ok=True)
    path = folder / "tiled.yml"
    path.write_text(yaml.safe_dump(settings))
    return path


@contextmanager
def tiled(config: Path, store: Path) -> Iterator[CatalogAddress]:
    """A Tiled server with this configuration."""
    port = free_port()
    command = ["tiled", "serve", "config", str(config), "--port", str(port)]
    with tiled_server(command, config.parent, port, {"TILED_SINGLE_USER_API_KEY": KEY}) as (uri, _):
        root = from_uri(uri, api_key=KEY, trust_env=False)
        for name, specs in {"raw": [Spec("CatalogOfBlueskyRuns", version="3.0")], "processed": []}.items():
            if name not in root:
                root.create_container(name, specs=specs)
        root.context.close()
        yield CatalogAddress(uri, KEY, store)


def test_a_catalog_in_postgresql_comes_back_in_new_databases(postgres: str, tmp_path: Path) -> None:
    new_databases(postgres, "gbx_tiled", "gbx_tables")
    server, shared = written(tmp_path, postgres), tmp_path / "shared"
    config = parse_config(
        {
            "catalog": {"uri": "http://127.0.0.1:1", "store": str(shared / "results")},
            "serve": {"directory": str(tmp_path / "serve")},
            "models": {"directory": str(tmp_path / "models")},
        }
    )
    with tiled(server, shared / "results") as address:
        fill(address, shared, tmp_path)
        made = make_backup(config, tmp_path / "backups", tiled_config=server)
        before = everything(address)
        with pytest.raises(InputError, match="not empty"):
            restore_backup(config, made.folder, tiled_config=server)
    assert not made.missing
    levels = {check.name: check.level for check in check_server(config, server)}
    assert levels["server: catalog"] is levels["server: tables"] is Level.OK
    # Destroyed, all but the detector's own files, which are not ours to keep.
    new_databases(postgres, "gbx_tiled", "gbx_tables")
    for name in ("arrays", "results"):
        shutil.rmtree(shared / name)
    restore_backup(config, made.folder, tiled_config=server)
    with tiled(server, shared / "results") as address:
        found = everything(address)
    assert found.keys() == before.keys()
    for path, held in before.items():
        assert found[path] == held, path


def test_a_database_that_does_not_answer_is_named_without_its_password(postgres: str, tmp_path: Path) -> None:
    server = written(tmp_path, postgres)
    server.write_text(server.read_text().replace("gbx@127", "gbx:hush@127").replace("gbx_tiled", "absent"))
    config = parse_config({"catalog": {"uri": "http://127.0.0.1:1"}, "models": {"directory": str(tmp_path / "models")}})
    with pytest.raises(ServiceError, match='database "absent" does not exist') as refused:
        make_backup(config, tmp_path / "backups", tiled_config=server)
    assert "hush" not in str(refused.value)
    assert not list((tmp_path / "backups").glob("2*"))
    check = next(check for check in check_server(config, server) if check.name == "server: catalog")
    assert check.level is Level.FAILURE
    assert "hush" not in check.found
