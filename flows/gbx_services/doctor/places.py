"""Folders that are written to: there, writable, with room. And those that frames are read from."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gbx_beamline import assemble
from gbx_beamline.config import Config
from gbx_services.doctor.checking import Check, Level, bad, good

LEAST_DISK = 2 * 2**30
"""Bytes that one demonstration wants free, with room to spare."""

LOW_DISK = 20 * 2**30
"""Bytes below which a night of scans may fill a disk (docs/explanation/scale.md)."""


def places(config: Config) -> dict[str, Path]:
    """Folders that this configuration writes to, by what they are for."""
    found = {"queue": config.serve.directory, "models": config.models.directory}
    if assemble.server_address(config) is None:
        return {"catalog": config.catalog.directory} | found
    store = assemble.store_folder(config)
    return found if store is None else {"store": store} | found


def check_place(name: str, folder: Path) -> Iterator[Check]:
    """Whether a folder can be written to, and has room."""
    where = folder.resolve()
    existing = next(one for one in (where, *where.parents) if one.exists())
    title = f"folder: {name}"
    if not existing.is_dir():
        yield bad(title, f"{existing} is a file", "a folder", f"name another folder for {name} in the configuration")
        return
    try:
        # Removed as it is closed.
        with tempfile.TemporaryFile(prefix=".gbx-doctor-", dir=existing) as file:
            file.write(os.urandom(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        action = f"make it writable for this user, or name another folder for {name} in the configuration"
        yield bad(title, f"{existing}: {error.strerror}", "a folder that may be written to", action)
    else:
        absent = "" if existing == where else f" ({where} will be made)"
        yield good(title, f"{existing} can be written{absent}")
    yield _room(name, existing)


def check_frames(config: Config) -> Iterator[Check]:
    """Where frames of the catalog's runs come from: the disk, or the server, which is slower."""
    roots = assemble.data_roots(config)
    if not roots:
        yield bad(
            "frames",
            "all come over HTTP from the Tiled server",
            "the detector's disk, where this machine has it",
            f"name its folders in {assemble.ROOTS_VARIABLE} or catalog.roots, unless this machine has no such disk",
            level=Level.WARNING,
        )
    embedded = assemble.server_address(config) is None
    for root in roots:
        # The embedded catalog makes its own folder with the first scan.
        if os.access(root, os.R_OK | os.X_OK) or (embedded and not root.exists()):
            yield good("frames", f"those below {root} are read from disk")
        else:
            action = f"mount it, let this user read it, or correct {assemble.ROOTS_VARIABLE} or catalog.roots"
            yield bad("frames", f"{root} cannot be read", "a folder with detector files", action)


def _room(name: str, folder: Path) -> Check:
    title, usage = f"disk: {name}", shutil.disk_usage(folder)
    found = f"{usage.free / 2**30:.1f} of {usage.total / 2**30:.0f} GiB free on the disk of {folder}"
    nodes = os.statvfs(folder)
    if nodes.f_files and nodes.f_favail < nodes.f_files // 100:
        return bad(title, f"{nodes.f_favail:,} inodes left in {folder}", "1 % of them free", "remove old files")
    if usage.free >= LOW_DISK:
        return good(title, found)
    level = Level.WARNING if usage.free >= LEAST_DISK else Level.FAILURE
    needed = f"{(LOW_DISK if level is Level.WARNING else LEAST_DISK) / 2**30:.0f} GiB"
    return bad(title, found, needed, "free some, or move the folder to a larger disk", level=level)
