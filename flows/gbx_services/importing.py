"""``gbx import``: what was measured or computed elsewhere becomes part of the catalog."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gbx_beamline import pipeline
from gbx_beamline.catalog import Catalog, TiledSink, find_terminal
from gbx_beamline.config import Config
from gbx_beamline.correlation.imported import read_map
from gbx_beamline.errors import CatalogError, InputError, MapError
from gbx_beamline.frames import EigerFile, open_series
from gbx_beamline.records import ScanInfo
from gbx_bluesky.eiger_import import master_documents
from gbx_bluesky.run_engine import tiled_writer

MAP_SUFFIXES = (".npy", ".npz")


@dataclass(frozen=True)
class About:
    """What the files themselves do not say."""

    sample: str | None = None
    temperature: float | None = None
    """K."""
    baseline: Literal[0, 1] | None = None
    frame_time: float | None = None
    """s, of two-time maps."""


@dataclass(frozen=True)
class Imported:
    """What came of one file."""

    uid: str
    already_there: bool
    words: tuple[str, ...]
    """What was found and done, for the reader."""
    key: str | None = None
    """Key of the record, for two-time maps."""


def import_file(path: Path, catalog: Catalog, config: Config, about: About, *, embedded: bool, copy: bool) -> Imported:
    """Bring one file into the catalog; the same content is imported once.

    Args:
        path: Eiger master, or a two-time map (.npy, .npz).
        catalog: Where to.
        config: Settings of S_noneq for maps, folder of the embedded catalog.
        about: What the file does not say.
        embedded: True when the embedded server serves the catalog; it reads detector files in its own folder only.
        copy: True copies a master's files there where they cannot be linked.

    Raises:
        GbxError: the file is not what it should be, or the server cannot read it.
    """
    if path.suffix.lower() in MAP_SUFFIXES:
        return _import_map(path, catalog, config, about)
    return _import_master(path, catalog, config, about, embedded=embedded, copy=copy)


def _import_map(path: Path, catalog: Catalog, config: Config, about: About) -> Imported:
    if about.frame_time is None:
        raise MapError(
            f"{path} does not say how far its rows are apart",
            needed="the time between frames, s",
            action="give --frame-time",
        )
    tt, notes = read_map(path, baseline=about.baseline, frame_time=about.frame_time)
    settings = config.for_sample(about.sample)
    # The baseline and the frame time are part of what was imported: told otherwise, it is another map.
    uid = pipeline.uid_of_content(path.read_bytes() + f"{about.baseline} {about.frame_time}".encode())
    scan = ScanInfo(
        run_uid=uid,
        sample=about.sample,
        temperature=about.temperature,
        started=path.stat().st_mtime,
        source=f"imported from {path.name}",
    )
    existing = find_terminal(catalog, scan, pipeline.provenance(settings))
    if existing is not None:
        return Imported(uid, True, ("the same map was imported before",), existing.key)
    result = pipeline.adopt(tt, notes, scan, settings)
    return Imported(uid, False, tuple(notes), TiledSink(catalog).publish(result))


def _import_master(
    path: Path, catalog: Catalog, config: Config, about: About, *, embedded: bool, copy: bool
) -> Imported:
    file = EigerFile(path)
    uid = pipeline.uid_of_content(path.read_bytes())
    words = [f"{file.shape[0]} frames of {file.shape[1]} x {file.shape[2]}", *file.notes]
    if file.missing:
        words.append(f"missing: {', '.join(file.missing)}; analyse with --allow-incomplete, or bring them")
    if uid in catalog.raw:
        return Imported(uid, True, ("the same master was imported before", *words))
    place = _into_folder(path.resolve(), file, config.catalog.directory, uid, copy) if embedded else path.resolve()
    md: dict[str, Any] = {"imported_from": path.name, "sample": about.sample or path.stem.removesuffix("_master")}
    if about.temperature is not None:
        md["temperature"] = about.temperature
    writer = tiled_writer(catalog.raw)
    for name, document in master_documents(place, uid=uid, md=md):
        writer(name, document)
    _check_served(catalog, uid, place, missing=bool(file.missing))
    return Imported(uid, False, tuple(words))


def _into_folder(master: Path, file: EigerFile, directory: Path, uid: str, copy: bool) -> Path:
    """The master where the embedded server may read it: itself, or hard links (or copies) of its files."""
    frames = (directory / "frames").resolve()
    if master.is_relative_to(frames):
        return master
    folder = frames / "imported" / uid
    transfer: Callable[[Path, Path], Any] = shutil.copy2 if copy else os.link
    # Built beside its place and moved as a whole: an interrupted import leaves nothing half there.
    unfinished = folder.with_name(f".{uid}.{uuid.uuid4().hex}")
    unfinished.mkdir(parents=True)
    try:
        for name in (master.name, *file.data_files):
            source = master.parent / name
            if not Path(name).is_absolute() and source.exists():
                (unfinished / name).parent.mkdir(parents=True, exist_ok=True)
                transfer(source, unfinished / name)
        if not folder.exists():
            unfinished.rename(folder)
    except OSError as error:
        raise InputError(
            f"{master} cannot be linked into {frames} ({error.strerror})",
            needed="its files where the embedded server may read them",
            action="import it with --copy, or put the files into that folder first",
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder / master.name


def _check_served(catalog: Catalog, uid: str, master: Path, *, missing: bool) -> None:
    """A server that may not read a file registers it without complaint: so one frame is asked for."""
    series = open_series(catalog.raw[uid], frame_time=1.0)
    if missing:
        return
    try:
        series.read(0, 1, (slice(0, 1), slice(0, 1)))
    except InputError as error:
        catalog.raw.delete_contents(uid, recursive=True, external_only=False)
        raise CatalogError(
            f"the server at {catalog.uri} cannot read {master} ({error.found})",
            needed="a place among the server's readable_storage",
            action="move the files there and import them again; nothing was kept of this attempt",
        ) from error
