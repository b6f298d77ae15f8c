"""A PostgreSQL of our own, owned by a user that it accepts."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import asyncpg

from gbx_beamline.errors import ServiceError
from gbx_services.facility.programs import postgresql

USERS = ("postgres", "nobody")
"""Whom root runs PostgreSQL as; it refuses root."""

ROLE = "gbx"
"""Owner of the databases."""

DATABASES = ("gbx_tiled", "gbx_tables", "gbx_prefect")
"""Tiled's catalog, Tiled's tables, Prefect's state."""


def server_user() -> str | None:
    """Who is to run the server; None = we ourselves.

    Raises:
        ServiceError: we are root, and none of the usual users exists.
    """
    if os.geteuid() != 0:
        return None
    for name in USERS:
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise ServiceError(
        f"PostgreSQL refuses to run as root, and there is no user {' or '.join(USERS)}",
        needed="a user without rights of its own",
        action="start it as another user, or: useradd --system postgres",
    )


def data_folder(inside: Path, user: str | None) -> Path:
    """Where the data of a new server go: ``inside``, or a folder below /var/tmp where ``user`` cannot go there."""
    if user is None or _reachable(inside, pwd.getpwnam(user)):
        return inside / "postgres"
    return Path(tempfile.mkdtemp(prefix="gbx-postgres-", dir="/var/tmp"))


def initialise(data: Path, password: str, user: str | None) -> None:
    """Make a data folder with a role that owns everything; one that is there stays as it is.

    Raises:
        ServiceError: initdb says no.
    """
    if (data / "PG_VERSION").exists():
        return
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o700)
    with tempfile.NamedTemporaryFile("w", prefix="gbx-") as secret:
        secret.write(password)
        secret.flush()
        if user is not None:
            shutil.chown(data, user)
            shutil.chown(secret.name, user)
        command = [postgresql().initdb, "--pgdata", str(data), "--username", ROLE, "--pwfile", secret.name]
        command += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, user=user, cwd="/")
    if done.returncode:
        raise ServiceError(
            f"initdb of {data}: {' '.join(done.stderr.split())}",
            needed="a folder that PostgreSQL can use",
            action="correct what it names and try again",
        )


def server_command(data: Path, port: int) -> list[str]:
    """What starts the server on a loopback port, and nowhere else."""
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "port": str(port),
        # Two Tiled servers and Prefect keep pools of their own.
        "max_connections": "200",
    }
    return [
        postgresql().server,
        "-D",
        str(data),
        *(word for item in settings.items() for word in ("-c", "=".join(item))),
    ]


def address(database: str, port: int, password: str, *, driver: str = "") -> str:
    """URI of a database, as SQLAlchemy or (without a driver) libpq read it."""
    return f"postgresql{driver}://{ROLE}:{password}@127.0.0.1:{port}/{database}"


def answers(port: int, password: str) -> bool:
    """True when the server answers and lets us in."""
    return asyncio.run(_answers(port, password))


def create_databases(port: int, password: str) -> None:
    """Make the databases that are not there yet."""
    asyncio.run(_create_databases(port, password))


async def _answers(port: int, password: str) -> bool:
    try:
        connection = await _connect(port, password)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
        return False
    await connection.close()
    return True


async def _create_databases(port: int, password: str) -> None:
    connection = await _connect(port, password)
    try:
        there = {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
        for name in DATABASES:
            if name not in there:
                await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


async def _connect(port: int, password: str) -> asyncpg.Connection:
    return await asyncpg.connect(
        host="127.0.0.1", port=port, user=ROLE, password=password, database="postgres", timeout=5
    )


def _reachable(folder: Path, user: pwd.struct_passwd) -> bool:
    """Whether a user may pass through a folder and all above it."""
    for place in (folder.resolve(), *folder.resolve().parents):
        found = place.stat()
        bit = stat.S_IXUSR if found.st_uid == user.pw_uid else stat.S_IXGRP if found.st_gid == user.pw_gid else 0
        if not found.st_mode & (bit or stat.S_IXOTH):
            return False
    return True
