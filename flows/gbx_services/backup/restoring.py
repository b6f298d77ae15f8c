"""A backup put back where nothing is: nothing is ever overwritten, and what fails leaves nothing behind."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gbx_beamline.config import Config
from gbx_beamline.errors import InputError, ServiceError
from gbx_services.alone import alone
from gbx_services.backup.copying import SUMS, digest_of, wrong_files
from gbx_services.backup.databases import holds, put_back, rows
from gbx_services.backup.making import FORMAT, MANIFEST, Told, backups_in, file_of
from gbx_services.backup.parts import CATALOG, DATABASES, Kind, Part, parts_of
from gbx_services.spool.store import FILE as QUEUE

_COMPANIONS = {Kind.SQLITE: ("-wal", "-shm", "-journal"), Kind.DUCKDB: (".wal",)}
"""Files beside a database that belong to it."""

_MOST_SAID = 5

_MOVE = """UPDATE assets SET data_uri = CAST(:new AS VARCHAR) || substr(data_uri, :after)
WHERE data_uri = CAST(:old AS VARCHAR) OR substr(data_uri, 1, :length) = CAST(:below AS VARCHAR)"""


@dataclass(frozen=True)
class Restored:
    """What was put back."""

    folder: Path
    """Of the backup."""
    made: str
    """When it was made, ISO 8601."""
    parts: tuple[Part, ...]
    queue: Path | None
    """Where the queue of `gbx serve` was put aside; None where there was none."""


def check_backup(folder: Path) -> Path:
    """Compare every file of a backup with its checksum.

    Args:
        folder: Of one backup, or of several: the newest then.

    Returns:
        Folder of that backup.

    Raises:
        InputError: no whole backup, one of another layout, or files that are not what they were.
    """
    found, manifest = _open(folder)
    faults = list(_faults(found, manifest))
    if faults:
        more = f" and {len(faults) - _MOST_SAID} more" if len(faults) > _MOST_SAID else ""
        raise InputError(
            f"the backup {found} is damaged: {'; '.join(faults[:_MOST_SAID])}{more}",
            needed="files that are what they were when it was made",
            action="use another backup; copy what is left of this one by hand only if there is none",
        )
    return found


def restore_backup(
    config: Config,
    folder: Path,
    *,
    tiled_config: Path | None = None,
    without: Sequence[str] = (),
    told: Told = lambda _: None,
) -> Restored:
    """Put a backup back.

    Paths in the catalog are rewritten where folders have others now. The queue of `gbx serve` is put aside, so that
    the sweep looks for runs without record again.

    Args:
        config: Configuration, which says where to.
        folder: Of one backup, or of several: the newest then.
        tiled_config: Configuration file of the Tiled server; None for the embedded one.
        without: Names of parts that are not put back.
        told: Told what is done.

    Raises:
        InputError: no whole backup, a damaged one, one of another kind of catalog, no such part to leave out, or places
            that are not empty.
        ServiceError: a server is running there, a database refuses, or there is no room.
        DependencyError: PostgreSQL's tools are absent.
    """
    found, manifest = _open(folder)
    parts = {part.name: part for part in parts_of(config, tiled_config)}
    entries = _wanted(found, manifest, without)
    chosen = [_partner(entry, parts) for entry in entries]
    with ExitStack() as stack:
        if tiled_config is None:
            # Held to the end: nobody may start a server on half a catalog.
            stop = "stop `gbx serve`, `gbx view` and whatever else uses this catalog"
            stack.enter_context(alone(config.catalog.directory, "server", action=stop))
        stack.enter_context(alone(config.serve.directory, "service", action="stop `gbx serve`"))
        _check_free(chosen)
        told(f"{found}: comparing files with their checksums")
        check_backup(found)
        _put_back(found, list(zip(entries, chosen, strict=True)), told)
        queue = _put_aside(config.serve.directory)
    return Restored(found, manifest["made"], tuple(chosen), queue)


def _open(folder: Path) -> tuple[Path, dict[str, Any]]:
    whole = [folder] if (folder / MANIFEST).is_file() else backups_in(folder)
    if not whole:
        raise InputError(
            f"{folder} holds no whole backup",
            needed=f"a folder that `gbx backup` made, with {MANIFEST} in it",
            action="name the folder that was given to `gbx backup`, or one of those in it",
        )
    try:
        manifest: Any = json.loads((whole[-1] / MANIFEST).read_text())
        stated = manifest["format"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{whole[-1] / MANIFEST} cannot be read", needed="a whole backup", action="use another backup"
        ) from error
    if stated != FORMAT:
        raise InputError(
            f"the backup {whole[-1]} has layout {stated}",
            needed=f"layout {FORMAT}",
            action=f"restore it with the release that made it, {manifest.get('gbx')}",
        )
    return whole[-1], manifest


def _faults(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    for entry in manifest["parts"]:
        sums = folder / f"{_file(entry)}{SUMS}"
        try:
            if digest_of(sums) != entry["sums"]:
                yield f"{sums.name} has changed"
                continue
            yield from wrong_files(folder, sums)
        except FileNotFoundError:
            yield f"{sums.name} is absent"
        except (OSError, ValueError) as error:
            yield f"{sums.name} cannot be read ({error})"


def _file(entry: dict[str, Any]) -> str:
    return file_of(Part(entry["name"], Kind(entry["kind"])))


def _wanted(folder: Path, manifest: dict[str, Any], without: Sequence[str]) -> list[dict[str, Any]]:
    """Parts that are to be put back; one that had no content has no file."""
    names = [entry["name"] for entry in manifest["parts"]]
    if unknown := [name for name in without if name not in names]:
        raise InputError(
            f"the backup has no part {', '.join(unknown)}", needed=f"of {', '.join(names)}", action="correct --without"
        )
    return [one for one in manifest["parts"] if one["name"] not in without and (folder / _file(one)).exists()]


def _partner(entry: dict[str, Any], parts: dict[str, Part]) -> Part:
    part = parts.get(entry["name"])
    if part is None or part.kind != entry["kind"]:
        has = "no such part" if part is None else f"{part.kind}"
        raise InputError(
            f"the backup has {entry['name']} as {entry['kind']}, this configuration has {has}",
            needed="the same kind of catalog as the one that was backed up",
            action=f"restore into a catalog like {entry['place']}; --tiled-config names the server's configuration",
        )
    return part


def _check_free(parts: Sequence[Part]) -> None:
    """Refuse to touch anything that is there, and name all of it at once."""
    taken = [said for part in parts if (said := _taken(part))]
    if taken:
        raise InputError(
            f"not empty: {'; '.join(taken)}",
            needed="places without anything in them: nothing is overwritten",
            action="move them away (keep them until the restored catalog is looked at), leave parts as they are with "
            "--without NAME, or make a new database for one of PostgreSQL",
        )


def _taken(part: Part) -> str:
    if part.path is None:
        held = holds(part)
        return f"{part.said} ({held})" if held else ""
    if part.kind is Kind.FOLDER:
        return str(part.path) if part.path.exists() and not _is_empty(part.path) else ""
    there = [Path(f"{part.path}{ending}") for ending in ("", *_COMPANIONS[part.kind])]
    return ", ".join(str(path) for path in there if path.exists())


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and next(folder.iterdir(), None) is None


def _put_back(folder: Path, chosen: Sequence[tuple[dict[str, Any], Part]], told: Told) -> None:
    """Folders first and the catalog last: nothing is named before it is there."""
    undo: list[Callable[[], None]] = []
    moves = [(entry["uri"], part.uri) for entry, part in chosen if entry["uri"] and entry["uri"] != part.uri]
    order = sorted(chosen, key=lambda one: (one[1].kind in DATABASES, one[1].name.startswith(CATALOG)))
    try:
        for entry, part in order:
            source = folder / _file(entry)
            told(f"{part.name} → {part.said}")
            if part.kind is Kind.FOLDER:
                _place_folder(source, part, undo)
            elif part.kind is Kind.POSTGRESQL:
                put_back(part, source)
                _move(part, moves)
            else:
                _place_file(source, part, moves, undo)
    except BaseException as error:
        for step in reversed(undo):
            step()
        if isinstance(error, OSError):
            raise ServiceError(
                f"{error.filename or folder}: {error.strerror or error}",
                needed="room for the catalog, and leave to write where it is to be",
                action="make room and try again; what was put back is removed again",
            ) from error
        raise


def _place_folder(source: Path, part: Part, undo: list[Callable[[], None]]) -> None:
    assert part.path is not None
    target = part.path
    aside = _beside(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    undo.append(lambda: shutil.rmtree(aside, ignore_errors=True))
    shutil.copytree(source, aside, symlinks=True)
    if target.exists():
        target.rmdir()
    aside.rename(target)
    undo.append(lambda: shutil.rmtree(target, ignore_errors=True))


def _place_file(source: Path, part: Part, moves: Sequence[tuple[str, str]], undo: list[Callable[[], None]]) -> None:
    assert part.path is not None
    target = part.path
    aside = _beside(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    undo.append(lambda: aside.unlink(missing_ok=True))
    shutil.copy2(source, aside)
    _move(Part(part.name, part.kind, aside), moves)
    for ending in _COMPANIONS[part.kind]:
        log = Path(f"{source}{ending}")
        if log.exists():
            _place_companion(log, Path(f"{target}{ending}"), undo)
    aside.rename(target)
    undo.append(lambda: target.unlink(missing_ok=True))


def _place_companion(log: Path, target: Path, undo: list[Callable[[], None]]) -> None:
    undo.append(lambda: target.unlink(missing_ok=True))
    shutil.copy2(log, target)


def _beside(target: Path) -> Path:
    """Where a copy grows; what a killed restore has left there is removed."""
    aside = target.with_name(f".{target.name}.restoring")
    if aside.is_dir():
        shutil.rmtree(aside)
    aside.unlink(missing_ok=True)
    return aside


def _move(catalog: Part, moves: Sequence[tuple[str, str]]) -> None:
    """Write the new places of folders and tables into a catalog."""
    if not catalog.name.startswith(CATALOG):
        return
    for old, new in moves:
        values = {"old": old, "new": new, "below": f"{old}/", "length": len(old) + 1, "after": len(old) + 1}
        rows(catalog, _MOVE, **values)


def _put_aside(directory: Path) -> Path | None:
    """The queue knows runs as done whose records a restored catalog may not have."""
    queue = directory / QUEUE
    if not queue.exists():
        return None
    aside = queue.with_name(f"{QUEUE}.before-restore-{time.time():.0f}")
    queue.rename(aside)
    for ending in _COMPANIONS[Kind.SQLITE]:
        companion = Path(f"{queue}{ending}")
        if companion.exists():
            companion.rename(f"{aside}{ending}")
    return aside
