"""Databases copied while they are in use, each by the means of its own kind, and put back."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from asyncpg import InterfaceError, PostgresError
from sqlalchemy import URL, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from gbx_beamline.errors import DependencyError, ServiceError
from gbx_services.backup.parts import Kind, Part

TABLE_TRIES = 20
"""Copies of a DuckDB file, until one was not written to meanwhile."""

_BETWEEN_TRIES = 0.5
"""s."""

_CONNECT_SECONDS = 10


def copy_database(part: Part, target: Path) -> None:
    """Copy a database as it is at one moment, whoever writes to it.

    Args:
        part: The database.
        target: File, new.

    Raises:
        ServiceError: the database cannot be read.
        DependencyError: PostgreSQL's tools are absent.
    """
    if part.kind is Kind.POSTGRESQL:
        _tool("pg_dump", part, "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")
        return
    assert part.path is not None
    if not part.path.is_file():
        raise ServiceError(
            f"the {part.name} database {part.path} is absent",
            needed="a catalog that has been served before",
            action="correct catalog.directory, or the file given as --tiled-config",
        )
    if part.kind is Kind.SQLITE:
        _copy_sqlite(part, target)
    else:
        _copy_duckdb(part.path, target)


def put_back(part: Part, source: Path) -> None:
    """Fill an empty PostgreSQL database with what ``copy_database`` wrote, whole or not at all.

    Raises:
        ServiceError: the database refuses.
        DependencyError: PostgreSQL's tools are absent.
    """
    options = ("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction")
    _tool("pg_restore", part, *options, f"--dbname={_postgres(part).database}", str(source))


def holds(part: Part) -> str:
    """What a PostgreSQL database holds, in words; empty where it holds nothing.

    Raises:
        ServiceError: no such database, or no way to it.
    """
    count = (
        "SELECT count(*) FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
    )
    tables = rows(part, count)[0][0]
    return f"{tables} tables" if tables else ""


def rows(part: Part, statement: str, **values: Any) -> Sequence[Any]:
    """Answer of SQLite or PostgreSQL to one statement, which is committed.

    Raises:
        ServiceError: the database refuses or does not answer.
    """
    url = part.url
    if url is None:
        url = URL.create("sqlite+aiosqlite", database=str(part.path))
    try:
        return asyncio.run(_rows(url, statement, values))
    # What PostgreSQL says to a connection is not always put into SQLAlchemy's words.
    except (OSError, SQLAlchemyError, TimeoutError, PostgresError, InterfaceError) as error:
        said = str(getattr(error, "orig", None) or error).splitlines()
        raise ServiceError(
            f"the {part.name} database {part.said} refuses: {said[0] if said else type(error).__name__}",
            needed="a database that answers, and a user who may read and write it",
            action="start it, or correct its address in the configuration of the Tiled server",
        ) from error


async def _rows(url: URL, statement: str, values: dict[str, Any]) -> Sequence[Any]:
    arguments = {"timeout": _CONNECT_SECONDS}
    engine = create_async_engine(url, connect_args=arguments)
    try:
        async with engine.begin() as connection:
            answer = await connection.execute(text(statement), values)
            return answer.all() if answer.returns_rows else ()
    finally:
        await engine.dispose()


def _copy_sqlite(part: Part, target: Path) -> None:
    """By SQLite's own online backup: one moment, writers go on (the catalog's journal is a write-ahead log)."""
    try:
        address = f"file:{part.path}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
            broken = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise ServiceError(
            f"the {part.name} database {part.path} cannot be copied: {error}",
            needed="a sound SQLite database and room for its copy",
            action="look at the disk; an earlier backup can be restored with `gbx restore`",
        ) from error
    if broken != "ok":
        raise ServiceError(
            f"the {part.name} database {part.path} is damaged: {broken}",
            needed="a sound SQLite database",
            action="restore an earlier backup into another folder and compare; keep the damaged file",
        )


def _copy_duckdb(path: Path, target: Path) -> None:
    """File and log of a moment in which nobody wrote: only the server that holds it could make a snapshot."""
    log, log_copy = Path(f"{path}.wal"), Path(f"{target}.wal")
    for _ in range(TABLE_TRIES):
        before = _state(path), _state(log)
        shutil.copy2(path, target)
        log_copy.unlink(missing_ok=True)
        try:
            shutil.copy2(log, log_copy)
        except FileNotFoundError:
            # Written into the file since, or never there.
            log_copy.unlink(missing_ok=True)
        if before == (_state(path), _state(log)):
            return
        time.sleep(_BETWEEN_TRIES)
    raise ServiceError(
        f"{path} was written to each of the {TABLE_TRIES} times that it was copied",
        needed="half a second without new events",
        action="back up between two scans, or keep tables in PostgreSQL (docs/explanation/scale.md)",
    )


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _tool(name: str, part: Part, *options: str) -> None:
    """Run one of PostgreSQL's tools. Address and password go by the environment: everybody sees arguments."""
    if shutil.which(name) is None:
        raise DependencyError(
            f"{name} is absent",
            needed="PostgreSQL's client of the server's version or later",
            action="apt-get install postgresql-client",
        )
    url = _postgres(part)
    asked = dict(url.query)
    stated = {
        "PGHOST": url.host or asked.get("host"),
        "PGPORT": url.port or asked.get("port"),
        "PGUSER": url.username or asked.get("user"),
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database,
        "PGCONNECT_TIMEOUT": _CONNECT_SECONDS,
    }
    known = {key: str(value) for key, value in stated.items() if value is not None}
    done = subprocess.run(
        [name, *options], env=os.environ | known, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise ServiceError(
            f"{name} of the {part.name} database {part.said}: {said[0] if said else f'exit code {done.returncode}'}",
            needed="a PostgreSQL server that answers, its tools of no older version, and room for the copy",
            action="correct what it says and try again",
        )


def _postgres(part: Part) -> URL:
    assert part.url is not None
    return part.url
