"""The embedded catalog as processes meet it: shared, persistent, and gone when its owner is."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tiled.client import from_uri
from tiled.client.container import Container

from gbx_beamline.errors import ServiceError
from gbx_tiled.embedded import CatalogAddress, embedded_catalog

pytestmark = pytest.mark.long

OWNER = """
import sys
from pathlib import Path
from tiled.client import from_uri
from gbx_tiled.embedded import embedded_catalog

with embedded_catalog(Path(sys.argv[1])) as address:
    root = from_uri(address.uri, api_key=address.api_key, trust_env=False)
    root["processed"].create_container("kept", metadata={"made by": "the first process"})
    print("ready", flush=True)
    sys.stdin.read()
"""


def is_served(directory: Path) -> bool:
    with (directory / "server.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def start_owner(directory: Path) -> subprocess.Popen[str]:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "ready\n"
    return owner


def finish(owner: subprocess.Popen[str]) -> int:
    owner.communicate(timeout=60)
    return owner.returncode


def test_the_catalog_has_its_containers_and_keeps_its_key_private(
    catalog_address: CatalogAddress, catalog_directory: Path, tiled_root: Container
) -> None:
    assert {"raw", "processed"} <= set(tiled_root)
    assert catalog_address.api_key not in repr(catalog_address)
    for file in catalog_directory.iterdir():
        if file.is_file() and catalog_address.api_key.encode() in file.read_bytes():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    pid = json.loads((catalog_directory / "server.json").read_text())["pid"]
    assert catalog_address.api_key.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_second_user_of_the_folder_shares_the_server_and_leaves_it_running(
    catalog_address: CatalogAddress, catalog_directory: Path, tiled_root: Container
) -> None:
    with embedded_catalog(catalog_directory) as second:
        assert second == catalog_address
    assert is_served(catalog_directory)
    assert "raw" in tiled_root


def test_a_server_does_not_outlive_a_killed_owner_and_its_data_do(tmp_path: Path) -> None:
    owner = start_owner(tmp_path)
    assert is_served(tmp_path)
    first = json.loads((tmp_path / "server.json").read_text())["pid"]
    owner.kill()
    finish(owner)
    with (tmp_path / "server.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # granted when the server is gone
    with embedded_catalog(tmp_path) as address:
        assert json.loads((tmp_path / "server.json").read_text())["pid"] != first
        root = from_uri(address.uri, api_key=address.api_key, trust_env=False)
        assert isinstance(root, Container)
        assert root["processed"]["kept"].metadata["made by"] == "the first process"  # pyright: ignore[reportIndexIssue]
        root.context.close()
    assert not is_served(tmp_path)
    assert not (tmp_path / "server.json").exists()


def test_the_server_stays_while_anybody_uses_it(tmp_path: Path) -> None:
    owner = start_owner(tmp_path)
    with embedded_catalog(tmp_path) as address:
        assert finish(owner) == 0, "whoever started it may go"
        root = from_uri(address.uri, api_key=address.api_key, trust_env=False)
        assert isinstance(root, Container)
        assert "kept" in root["processed"]
        root.context.close()
    assert not is_served(tmp_path)
    assert not (tmp_path / "server.json").exists()


def test_ctrl_c_in_the_owner_leaves_nothing_running(tmp_path: Path) -> None:
    owner = start_owner(tmp_path)
    pid = json.loads((tmp_path / "server.json").read_text())["pid"]
    owner.send_signal(signal.SIGINT)
    assert finish(owner) != 0
    assert not is_served(tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_server_that_dies_says_why(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").mkdir()
    with pytest.raises(ServiceError, match=r"unable to open database file.*server\.log"), embedded_catalog(tmp_path):
        pass
    assert not is_served(tmp_path)
    assert not (tmp_path / "server.json").exists()
