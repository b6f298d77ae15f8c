"""What the Tiled server stands on, from the file that configures it: databases, Redis, storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gbx_beamline.config import Config
from gbx_beamline.errors import GbxError
from gbx_services.backup.databases import rows
from gbx_services.backup.parts import CATALOG, Kind, Part, parts_of, read_server
from gbx_services.doctor.checking import Check, Level, bad, good, refused
from gbx_services.doctor.places import check_place
from gbx_services.doctor.services import ANSWER_SECONDS


def check_server(config: Config, tiled_config: Path) -> Iterator[Check]:
    """Databases, the cache for updates, and folders of a Tiled server."""
    for part in parts_of(config, tiled_config):
        if part.name.startswith("arrays") and part.path is not None:
            yield from check_place(part.name, part.path)
        elif part.kind in (Kind.SQLITE, Kind.POSTGRESQL):
            yield _database(part)
        elif part.kind is Kind.DUCKDB:
            found, needed = "tables are kept in DuckDB, which one process may open", "PostgreSQL for several"
            action = "name a PostgreSQL database in writable_storage where several servers run"
            yield bad(f"server: {part.name}", found, needed, action, level=Level.WARNING)
    yield _stream(tiled_config)


def _database(part: Part) -> Check:
    name = f"server: {part.name}"
    if part.path is not None and not part.path.is_file():
        return bad(name, f"{part.path} is absent", "a database", "start the Tiled server once")
    try:
        if not part.name.startswith(CATALOG):
            rows(part, "SELECT 1")
            return good(name, f"{part.said} answers")
        (stamp,) = rows(part, "SELECT version_num FROM alembic_version")[0]
        (nodes,) = rows(part, "SELECT max(id) FROM nodes")[0]
    except GbxError as error:
        return refused(name, error)
    from tiled.catalog.core import REQUIRED_REVISION

    if stamp == REQUIRED_REVISION:
        return good(name, f"{part.said} answers, {nodes:,} nodes")
    found = f"{part.said} has Tiled's layout {stamp}"
    action = "back up, stop the servers, then `tiled catalog upgrade-database URI` (docs/how-to/upgrade.md)"
    return bad(name, found, f"layout {REQUIRED_REVISION}", action)


def _stream(tiled_config: Path) -> Check:
    import redis

    name, uri = "server: updates", (read_server(tiled_config).get("streaming_cache") or {}).get("uri")
    if uri is None or uri == "memory":
        found = "updates go through the server's own memory" if uri else "the server sends no updates"
        action = "set streaming_cache.uri to redis://... where several servers run or viewers are to be told at once"
        return bad(name, found, "Redis for several server processes", action, level=Level.WARNING)
    try:
        with redis.Redis.from_url(
            uri, socket_connect_timeout=ANSWER_SECONDS, socket_timeout=ANSWER_SECONDS
        ) as connection:
            said = connection.info()
    except (redis.RedisError, OSError, ValueError) as error:
        action = "start Redis, or correct streaming_cache.uri and its password"
        return bad(name, f"Redis: {error}", "a Redis that answers", action)
    assert isinstance(said, dict)
    return good(name, f"Redis {said.get('redis_version')} answers, {said.get('used_memory_human')} used")
