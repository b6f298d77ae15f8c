"""PostgreSQL, Redis and Tiled of a test's own."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tiled.client import from_uri

from gbx_services.prefect_service import answers, free_port
from gbx_services.processes import wait_until
from gbx_tiled.configuration import CONTAINERS
from gbx_tiled.embedded import CatalogAddress


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


@contextmanager
def redis_server(directory: Path) -> Iterator[str]:
    """Address of a Redis of our own, with its password."""
    if shutil.which("redis-server") is None:
        assert os.environ.get("GBX_SYSTEM") != "1", "GBX_SYSTEM=1 promises redis-server"
        pytest.skip("redis-server is absent (Debian: apt-get install redis-server)")
    directory.mkdir(parents=True, exist_ok=True)
    port, password = free_port(), secrets.token_hex(16)
    lines = ("bind 127.0.0.1", f"port {port}", f"requirepass {password}", 'save ""', f"dir {directory}")
    with (
        (directory / "redis.log").open("wb") as log,
        subprocess.Popen(["redis-server", "-"], stdin=subprocess.PIPE, stdout=log, stderr=log) as process,
    ):
        assert process.stdin is not None
        process.stdin.write("\n".join(lines).encode())
        process.stdin.close()
        try:
            yield f"redis://:{password}@127.0.0.1:{port}"
        finally:
            process.terminate()


@contextmanager
def tiled_server(
    command: Sequence[str], directory: Path, port: int, environment: Mapping[str, str]
) -> Iterator[tuple[str, Path]]:
    """Address and log of a server, which ends with us whatever happens."""
    uri, log = f"http://127.0.0.1:{port}", directory / "server.log"
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("TILED_", "GBX_"))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gbx_tiled.attached", "-", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=ours | environment,
            cwd=directory,
        )
    try:
        wait_until(lambda: answers(f"{uri}/api/v1/"), process, name="Tiled", log=log, timeout=400)
        yield uri, log
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdin is not None
        process.stdin.close()


def deployed_environment(directory: Path, postgres: str, stream: str) -> dict[str, str]:
    """What ``deploy/tiled.yml`` asks of the environment, with all folders made below ``directory``."""
    for name in ("arrays", "frames", "results"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    return {
        "GBX_TILED_CATALOG_URI": f"postgresql+asyncpg://{postgres}/gbx_tiled",
        "GBX_TILED_TABLES_URI": f"postgresql://{postgres}/gbx_tables",
        "GBX_TILED_STREAM_URI": stream,
        "GBX_TILED_ARRAYS": str(directory / "arrays"),
        "GBX_TILED_FRAMES": str(directory / "frames"),
        "GBX_TILED_RESULTS": str(directory / "results"),
        "GBX_DATA_ROOTS": str(directory / "frames"),
    }


def unit_command(deploy: Path, port: int) -> list[str]:
    """How systemd starts a Tiled server, without the folder of its programs."""
    text = (deploy / "systemd" / "gbx-tiled@.service").read_text()
    (command,) = re.findall(r"^ExecStart=\S+/(.*)$", text, re.MULTILINE)
    return command.replace("%i", str(port)).split()


@contextmanager
def deployed_catalog(directory: Path, deploy: Path) -> Iterator[CatalogAddress]:
    """A catalog on ``deploy/tiled.yml`` as it is, with the containers that it is to have."""
    with postgres_server() as postgres, redis_server(directory) as stream:
        new_databases(postgres, "gbx_tiled", "gbx_tables")
        port, key = free_port(), secrets.token_hex(32)
        environment = deployed_environment(directory, postgres, stream) | {
            "TILED_CONFIG": str(deploy / "tiled.yml"),
            "TILED_SINGLE_USER_API_KEY": key,
        }
        with tiled_server(unit_command(deploy, port), directory, port, environment) as (uri, _):
            root = from_uri(uri, api_key=key, trust_env=False)
            for name, specs in CONTAINERS.items():
                root.create_container(name, specs=specs)
            root.context.close()
            yield CatalogAddress(uri, key, directory / "results")


def _tools() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found and shutil.which("pg_dump") else None
