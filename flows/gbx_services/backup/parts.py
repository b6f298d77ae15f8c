"""What a catalog consists of, read from the configuration that its Tiled server reads."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from tiled.utils import ensure_specified_sql_driver, ensure_uri, parse, path_from_uri
from yaml import YAMLError

from gbx_beamline import assemble
from gbx_beamline.config import Config
from gbx_beamline.errors import ConfigError
from gbx_tiled.configuration import FRAMES_FOLDER, RESULTS_FOLDER, server_configuration


class Kind(StrEnum):
    """How a part is copied."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    DUCKDB = "duckdb"
    FOLDER = "folder"


DATABASES = (Kind.SQLITE, Kind.POSTGRESQL, Kind.DUCKDB)
CATALOG = "catalog"
FRAMES = "frames"


@dataclass(frozen=True)
class Part:
    """A database or a folder."""

    name: str
    """In the backup; the same for every installation."""
    kind: Kind
    path: Path | None = None
    """Of a folder or of a database that is a file; None for PostgreSQL."""
    url: URL | None = field(default=None, repr=False)
    """Of PostgreSQL, with its password."""

    @property
    def said(self) -> str:
        """Where it is, without password."""
        return str(self.path) if self.url is None else self.url.render_as_string(hide_password=True)

    @property
    def uri(self) -> str:
        """As the catalog names it in front of what lies in it."""
        return ensure_uri(f"duckdb:///{self.path}" if self.kind is Kind.DUCKDB else str(self.path))


def parts_of(config: Config, tiled_config: Path | None = None, *, frames: bool = True) -> tuple[Part, ...]:
    """Databases and folders of a catalog, in the order in which they are to be copied: who names others comes first.

    Args:
        config: Configuration.
        tiled_config: Configuration file of the Tiled server; None for the embedded one.
        frames: Whether the detector files of the embedded catalog belong to it.

    Raises:
        ConfigError: a server elsewhere without its configuration, or storage that cannot be copied as files.
    """
    if tiled_config is None and (address := assemble.server_address(config)) is not None:
        raise ConfigError(
            f"the catalog is on the server {address}",
            needed="the configuration file of that server, on a machine that sees its database and its disks",
            action="add --tiled-config FILE; leave catalog.uri out for the embedded catalog",
        )
    embedded = config.catalog.directory.resolve()
    settings = server_configuration(embedded, port=0) if tiled_config is None else read_server(tiled_config)
    parts = list(_of_server(settings))
    store = embedded / RESULTS_FOLDER if tiled_config is None else assemble.store_folder(config)
    if store is not None:
        parts.append(Part("results", Kind.FOLDER, store.resolve()))
    if frames and tiled_config is None:
        parts.append(Part(FRAMES, Kind.FOLDER, embedded / FRAMES_FOLDER))
    parts.append(Part("models", Kind.FOLDER, config.models.directory.resolve()))
    return tuple(parts)


def read_server(path: Path) -> dict[str, Any]:
    """The configuration of a Tiled server, with what it takes from the environment.

    Raises:
        ConfigError: no such file, or none of a server.
    """
    try:
        found: Any = parse(path)
    except (OSError, YAMLError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "no YAML"
        raise ConfigError(
            f"{path}: {said}", needed="the configuration file of a Tiled server", action="correct --tiled-config"
        ) from error
    if not isinstance(found, dict) or not list(catalogs_of(found)):
        raise ConfigError(
            f"{path} names no catalog",
            needed="the configuration file of a Tiled server, with `catalog` or a tree of that kind",
            action="correct --tiled-config",
        )
    return found


def catalogs_of(settings: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Catalogs of a server's configuration, in both of the ways in which it may state them."""
    stated = dict(settings.get("catalog") or {})
    if uri := stated.get("uri") or os.environ.get("TILED_CATALOG_URI"):
        yield stated | {"uri": uri}
    for tree in settings.get("trees") or ():
        if tree.get("tree") in ("catalog", "tiled.catalog:from_uri"):
            yield tree.get("args") or {}


def database_part(name: str, uri: str) -> Part:
    """A database by its address.

    Raises:
        ConfigError: an address of no kind that is known.
    """
    try:
        url = make_url(ensure_specified_sql_driver(str(uri)))
    except ArgumentError as error:
        raise _unknown(name, "an address that cannot be read") from error
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database:
        return Part(name, Kind.SQLITE, Path(url.database).resolve())
    if backend == "duckdb" and url.database:
        return Part(name, Kind.DUCKDB, Path(url.database).resolve())
    if backend == "postgresql":
        return Part(name, Kind.POSTGRESQL, url=url)
    raise _unknown(name, f"{backend} {url.database or ''}".strip())


def _of_server(settings: Mapping[str, Any]) -> Iterator[Part]:
    """Databases before folders: what a catalog names was written before it was named."""
    seen: Counter[str] = Counter()
    folders: list[Part] = []

    def numbered(name: str) -> str:
        seen[name] += 1
        return name if seen[name] == 1 else f"{name}-{seen[name]}"

    for catalog in catalogs_of(settings):
        yield database_part(numbered(CATALOG), catalog["uri"])
    for catalog in catalogs_of(settings):
        for uri in catalog.get("writable_storage") or ():
            if "://" not in str(uri) or str(uri).startswith("file:"):
                path = Path(path_from_uri(ensure_uri(uri))).resolve()
                folders.append(Part(numbered("arrays"), Kind.FOLDER, path))
            else:
                yield database_part(numbered("tables"), uri)
    accounts = (settings.get("database") or {}).get("uri") or os.environ.get("TILED_DATABASE_URI")
    if accounts:
        yield database_part("accounts", accounts)
    yield from folders


def _unknown(name: str, found: str) -> ConfigError:
    return ConfigError(
        f"the storage of {name} is {found}",
        needed="a folder, SQLite, DuckDB or PostgreSQL",
        action="back that storage up with its own tools, and leave it out of the file given as --tiled-config",
    )
