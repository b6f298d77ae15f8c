"""One backup: databases first, then what they name.

Arrays are written before they are named and never change afterwards, so that whatever a snapshot of the catalog names
is on the disk when folders are copied after it. What comes meanwhile belongs to the next backup.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tiled.utils import path_from_uri

from gbx_beamline import __version__
from gbx_beamline.config import Config
from gbx_beamline.errors import InputError, ServiceError
from gbx_beamline.records import SCHEMA_VERSION
from gbx_services.alone import alone
from gbx_services.backup.copying import SUMS, Copied, copy_folder, digest_of, write_sum
from gbx_services.backup.databases import copy_database, rows
from gbx_services.backup.parts import CATALOG, DATABASES, Kind, Part, parts_of

MANIFEST = "backup.json"
FORMAT = 1
"""Layout of a backup. Changes when `gbx restore` must change."""

PARTIAL = ".partial"
"""Ending of a backup that is not whole."""

_MOST_NAMED = 20

Told = Callable[[str], None]


@dataclass(frozen=True)
class Backup:
    """One that is whole."""

    folder: Path
    copied: dict[str, Copied]
    """By the names of the parts."""
    missing: tuple[str, ...]
    """Files that the catalog names and that were not on the disk before: lost already."""


def make_backup(
    config: Config,
    root: Path,
    *,
    tiled_config: Path | None = None,
    frames: bool = True,
    keep: int | None = None,
    told: Told = lambda _: None,
) -> Backup:
    """Copy catalog, arrays and models into a new folder below ``root`` while they are in use.

    Args:
        config: Configuration.
        root: Folder of the backups; unchanged files of the last one are linked to.
        tiled_config: See ``parts_of``.
        frames: See ``parts_of``.
        keep: Whole backups that stay; older ones are removed when this one is whole. None: all.
        told: Told what is done.

    Raises:
        ConfigError: the catalog's parts are not known.
        InputError: ``root`` lies in what is copied.
        ServiceError: no room, no permission, a damaged database, or another backup under way.
        DependencyError: PostgreSQL's tools are absent.
    """
    parts, root = parts_of(config, tiled_config, frames=frames), root.resolve()
    _check_apart(root, parts)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with alone(root, "backup", action="wait for its end, or name another folder"):
            for left in root.glob(f"*{PARTIAL}"):
                shutil.rmtree(left)
            made = _make(parts, root, told)
            for old in backups_in(root)[:-keep] if keep else ():
                shutil.rmtree(old)
                told(f"{old.name} is removed")
    except OSError as error:
        raise ServiceError(
            f"{error.filename or root}: {error.strerror or error}",
            needed="room for the backup, and leave to read what is copied",
            action="make room, name a folder on another disk, or run it as the user of the Tiled server",
        ) from error
    return made


def backups_in(root: Path) -> list[Path]:
    """Whole backups of a folder, oldest first."""
    return sorted(path.parent for path in root.glob(f"*/{MANIFEST}") if path.parent.suffix != PARTIAL)


def _check_apart(root: Path, parts: Sequence[Part]) -> None:
    for part in parts:
        if part.kind is Kind.FOLDER and part.path is not None and root.is_relative_to(part.path):
            raise InputError(
                f"{root} lies in {part.path}, which is to be copied",
                needed="a folder outside of the catalog, better on another disk",
                action="name another folder",
            )


def _make(parts: Sequence[Part], root: Path, told: Told) -> Backup:
    earlier = next(iter(backups_in(root)[::-1]), None)
    moment = datetime.now(UTC)
    whole = root / moment.strftime("%Y%m%dT%H%M%S.%fZ")
    folder = whole.with_name(whole.name + PARTIAL)
    folder.mkdir(mode=0o700)
    try:
        copied = {part.name: _copy(part, folder, earlier, told) for part in parts}
        missing = tuple(_missing(parts))
        manifest = {
            "format": FORMAT,
            "made": moment.isoformat(),
            "gbx": __version__,
            "schema": SCHEMA_VERSION,
            "tiled": version("tiled"),
            "parts": [_said(part, folder) for part in parts],
            "missing": missing,
        }
        # On the disk for good before it counts as whole.
        os.sync()
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
        folder.rename(whole)
        os.sync()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Backup(whole, copied, missing)


def file_of(part: Part) -> str:
    """Name of a part's copy in a backup."""
    return part.name if part.kind is Kind.FOLDER else f"{part.name}.{part.kind}"


def _copy(part: Part, folder: Path, earlier: Path | None, told: Told) -> Copied:
    name = file_of(part)
    target, sums = folder / name, folder / f"{name}{SUMS}"
    if part.kind is Kind.FOLDER:
        assert part.path is not None
        done = copy_folder(part.path, target, sums, earlier=None if earlier is None else earlier / name)
    elif part.kind is Kind.DUCKDB and part.path is not None and not part.path.is_file():
        # Made with the first table.
        sums.touch()
        done = Copied()
    else:
        copy_database(part, target)
        made = sorted(folder.glob(f"{name}*"))
        with sums.open("w") as said:
            for file in made:
                write_sum(said, digest_of(file), file.name)
        done = Copied(files=len(made), bytes=sum(file.stat().st_size for file in made))
    told(
        f"{part.name}: {done.files} files, {done.bytes / 1e6:,.1f} MB"
        + (f", {done.linked} of them as in the last backup" if done.linked else "")
    )
    return done


def _said(part: Part, folder: Path) -> dict[str, Any]:
    sums = folder / f"{file_of(part)}{SUMS}"
    return {"name": part.name, "kind": str(part.kind), "place": part.said, "uri": _uri(part), "sums": digest_of(sums)}


def _uri(part: Part) -> str | None:
    return None if part.path is None else part.uri


def _missing(parts: Sequence[Part]) -> Iterator[str]:
    """Files that the catalog names, in folders that are copied, and that do not exist.

    A file that is there now and not in the copy is younger than the snapshot.
    """
    folders = [f"{part.uri}/" for part in parts if part.kind is Kind.FOLDER]
    found = 0
    for part in parts:
        if part.kind not in DATABASES or not part.name.startswith(CATALOG):
            continue
        for (uri,) in rows(part, "SELECT data_uri FROM assets"):
            if not uri.startswith(tuple(folders)) or Path(path_from_uri(uri)).exists():
                continue
            # Removed since the question: an abandoned attempt, the preview of a scan that has ended.
            if rows(part, "SELECT 1 FROM assets WHERE data_uri = :uri", uri=uri):
                found += 1
                if found <= _MOST_NAMED:
                    yield uri
