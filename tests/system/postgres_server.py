"""A PostgreSQL server of a test's own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gbx_services.prefect_service import free_port


@contextmanager
def postgres_server() -> Iterator[str]:
    """Its address up to the name of a database; ends with the block. Skips where PostgreSQL is absent."""
    tools = _tools()
    if tools is None:
        if os.environ.get("GBX_SYSTEM") == "1":
            pytest.fail("GBX_SYSTEM=1, but PostgreSQL is absent: apt-get install postgresql")
        pytest.skip("PostgreSQL is absent: apt-get install postgresql")
    # PostgreSQL refuses to run as root; a socket's path may be 107 characters long. Tiled's tables want TCP.
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    with tempfile.TemporaryDirectory(prefix="gbx-pg-", dir="/tmp") as made:
        folder = Path(made)
        os.chown(folder, user.pw_uid, user.pw_gid)
        identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}

        def run(name: str, *arguments: str) -> None:
            done = subprocess.run(
                [str(tools / name), *arguments], cwd=folder, capture_output=True, text=True, check=False, **identity
            )
            assert done.returncode == 0, done.stderr

        data = str(folder / "data")
        run("initdb", "--pgdata", data, "--username", "gbx", "--auth", "trust", "--no-sync")
        port = free_port()
        options = f"-k {folder} -c listen_addresses=127.0.0.1 -c port={port} -c fsync=off"
        run("pg_ctl", "--pgdata", data, "--log", str(folder / "log"), "--options", options, "--wait", "start")
        try:
            yield f"gbx@127.0.0.1:{port}"
        finally:
            run("pg_ctl", "--pgdata", data, "--mode", "immediate", "stop")


def new_databases(address: str, *names: str) -> None:
    """Empty databases in place of those of these names."""
    for name in names:
        for statement in (f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}"):
            subprocess.run(
                ["psql", f"postgresql://{address}/postgres", "-qc", statement],
                check=True,
                capture_output=True,
            )


def _tools() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found and shutil.which("pg_dump") else None
