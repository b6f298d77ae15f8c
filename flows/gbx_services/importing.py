"""``gbx import``: what was measured or computed elsewhere becomes part of the catalog."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gbx_beamline import pipeline
from gbx_beamline.catalog import Catalog, TiledSink, find_terminal
from gbx_beamline.catalog.connect import said_in_words
from gbx_beamline.config import Config
from gbx_beamline.correlation.imported import read_map
from gbx_beamline.errors import CatalogError, InputError, MapError, MissingFramesError
from gbx_beamline.exchange import ForeignResult, read_result, result_format
from gbx_beamline.frames import EigerFile
from gbx_beamline.frames.node_frames import NodeFrames
from gbx_beamline.records import ScanInfo
from gbx_bluesky.eiger_documents import image_key
from gbx_bluesky.eiger_import import DETECTOR, master_documents
from gbx_bluesky.run_engine import tiled_writer
from gbx_services.linked_files import bring_in

MAP_SUFFIXES = (".npy", ".npz")
_PIXEL = (slice(0, 1), slice(0, 1))


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
        path: Eiger master, two-time map (.npy, .npz), or result file of pyCHX or NXxpcs.
        catalog: Where to.
        config: Settings of S_noneq for maps, folder of the embedded catalog.
        about: What the file does not say.
        embedded: True when the embedded server serves the catalog; it reads detector files in its own folder only.
        copy: True copies a master's files there where they cannot be linked.

    Raises:
        GbxError: the file is not what it should be, or the server cannot read it.
    """
    with said_in_words(catalog.uri):
        if path.suffix.lower() in MAP_SUFFIXES:
            return _import_map(path, catalog, config, about)
        if path.suffix.lower() == ".cmp":
            raise InputError(
                f"{path} is a compressed series of pyCHX, which the catalog's server cannot read",
                needed="an Eiger master, a two-time map or a result file",
                action=f"analyse it as a file with `gbx analyze {path}`, or import the master it was made from",
            )
        if result_format(path) is not None:
            found = read_result(path, baseline=about.baseline, frame_time=about.frame_time)
            return _adopt(path, catalog, config, about, found)
        return _import_master(path, catalog, config, about, embedded=embedded, copy=copy)


def _import_map(path: Path, catalog: Catalog, config: Config, about: About) -> Imported:
    if about.frame_time is None:
        raise MapError(
            f"{path} does not say how far its rows are apart",
            needed="the time between frames, s",
            action="give --frame-time",
        )
    tt, notes = read_map(path, baseline=about.baseline, frame_time=about.frame_time)
    return _adopt(path, catalog, config, about, ForeignResult(two_time=tt, notes=tuple(notes)))


def _adopt(path: Path, catalog: Catalog, config: Config, about: About, found: ForeignResult) -> Imported:
    """Publish maps that somebody else computed; what was told of them wins over what their file says."""
    sample = about.sample or found.sample
    settings = config.for_sample(sample)
    # The baseline and the frame time are part of what was imported: told otherwise, it is another map.
    uid = pipeline.uid_of_file(path, f"{about.baseline} {about.frame_time}")
    scan = ScanInfo(
        run_uid=uid,
        sample=sample,
        temperature=found.temperature if about.temperature is None else about.temperature,
        started=path.stat().st_mtime if found.started is None else found.started,
        source=f"imported from {path.name}",
    )
    existing = find_terminal(catalog, scan, pipeline.provenance(settings))
    if existing is not None:
        return Imported(uid, True, ("the same map was imported before",), existing.key)
    result = pipeline.adopt(
        found.two_time,
        found.notes,
        scan,
        settings,
        rois=found.rois,
        mask=found.mask,
        mean_image=found.mean_image,
    )
    return Imported(uid, False, found.notes, TiledSink(catalog).publish(result))


def _import_master(
    path: Path, catalog: Catalog, config: Config, about: About, *, embedded: bool, copy: bool
) -> Imported:
    # Data files lie beside the name that was given, even where that is a symbolic link to the master.
    master = path.parent.resolve() / path.name
    file = EigerFile(master)
    _check_readable(file)
    uid = pipeline.uid_of_file(master)
    words = [f"{file.shape[0]} frames of {file.shape[1]} x {file.shape[2]}", *file.notes]
    if file.missing:
        advice = "put them beside the master and import it again"
        if file.present.any():
            advice += ", or analyse what there is with --allow-incomplete"
        words.append(f"missing: {', '.join(file.missing)}; {advice}")
    frames = (config.catalog.directory / "frames").resolve()
    folder = frames / "imported" / uid
    if _registered(catalog, uid):
        brought = bring_in(master, folder, copy=copy, with_master=False) if embedded and folder.is_dir() else []
        words += [f"{name} was brought in now" for name in brought]
        return Imported(uid, True, ("the same master was imported before", *words))
    with ExitStack() as undo:
        place = master
        if embedded and not master.is_relative_to(frames):
            if not folder.exists():
                undo.callback(shutil.rmtree, folder, ignore_errors=True)
            bring_in(master, folder, copy=copy)
            place = folder / master.name
        undo.callback(_forget, catalog, uid)
        md: dict[str, Any] = {"imported_from": path.name, "sample": about.sample or path.stem.removesuffix("_master")}
        if about.temperature is not None:
            md["temperature"] = about.temperature
        writer = tiled_writer(catalog.raw)
        for name, document in master_documents(place, uid=uid, md=md):
            writer(name, document)
        _check_served(catalog, uid, place, file)
        undo.pop_all()
    return Imported(uid, False, tuple(words))


def _registered(catalog: Catalog, uid: str) -> bool:
    """True for a complete run. What an interrupted import left is removed: it can be neither analysed nor imported."""
    if uid not in catalog.raw:
        return False
    run: Any = catalog.raw[uid]
    if run.metadata.get("stop"):
        return True
    _forget(catalog, uid)
    return False


def _forget(catalog: Catalog, uid: str) -> None:
    """Take a run out of the catalog; detector files are not the catalog's and stay."""
    if uid in catalog.raw:
        catalog.raw.delete_contents(uid, recursive=True, external_only=False)


def _check_readable(file: EigerFile) -> None:
    """One pixel of a frame that exists, so that damage is not taken for a refusal of the server later."""
    if file.present.any():
        first = int(file.present.argmax())
        file.read(first, first + 1, _PIXEL)


def _check_served(catalog: Catalog, uid: str, master: Path, file: EigerFile) -> None:
    """A server that may not read a file registers it without complaint: so it is asked for one pixel."""
    run: Any = catalog.raw[uid]
    image = getattr(run, "base", run)["primary", image_key(DETECTOR)]
    first = int(file.present.argmax())
    try:
        NodeFrames(image, master.name).read(first, first + 1, _PIXEL)
    except InputError as error:
        if isinstance(error, MissingFramesError) and not file.present.any():
            return  # it has read the master, and found no more than there is
        raise CatalogError(
            f"the server at {catalog.uri} cannot read {master} ({error.found.splitlines()[0]})",
            needed="a place among the server's readable_storage",
            action="move the files there and import them again; nothing was kept of this attempt",
        ) from error
