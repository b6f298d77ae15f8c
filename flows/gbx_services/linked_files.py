"""Bringing a detector master, with every file it leads to, into a folder that the embedded catalog may read."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import h5py

from gbx_beamline.errors import InputError
from gbx_beamline.frames.links import beside


def bring_in(master: Path, folder: Path, *, copy: bool, with_master: bool = True) -> list[str]:
    """Hard-link (or copy) a master and the files behind it into ``folder``; what is there already stays.

    Args:
        master: The master; absent data files are passed over.
        folder: Made when absent. Files keep their relative places, so that the links between them lead on.
        copy: True copies, for where links cannot reach.
        with_master: False where the master is in ``folder`` already, perhaps under an earlier name.

    Returns:
        Names of the files that were brought in by this call, relative to ``folder``. The master is the last.

    Raises:
        InputError: a file cannot be linked or copied, or two of one name would meet.
    """
    brought: list[str] = []
    # The master comes last: where it is, an interrupted earlier call had brought everything there was.
    for place, source in reversed(_files_behind(master).items()):
        target = folder / place
        if source == master and not with_master:
            continue
        if target.exists():
            _check_same(source, target)
            continue
        unfinished = target.with_name(f".{uuid.uuid4().hex}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Resolved, because a hard link to a symbolic link is one more symbolic link.
            (shutil.copy2 if copy else os.link)(source.resolve(), unfinished)
            unfinished.rename(target)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            verb, also = ("copied", "make room there") if copy else ("linked", "import it with --copy")
            raise InputError(
                f"{source} cannot be {verb} into {folder} ({error.strerror})",
                needed="its files where the embedded server may read them",
                action=f"{also}, or put the files into the catalog's folder `frames` first",
            ) from error
        brought.append(str(place))
    return brought


def _check_same(source: Path, target: Path) -> None:
    """Two series may have masters that are equal byte by byte; their frames are not."""
    if source.stat().st_size != target.stat().st_size:
        raise InputError(
            f"{source} differs from the file of this name that was imported with an equal master",
            needed="one series for each master",
            action="import the series under a master of its own, or remove the earlier run first",
        )


def _files_behind(master: Path) -> dict[Path, Path]:
    """The files to bring, the master first: place relative to the master's new folder -> file."""
    files = {Path(master.name): master}
    waiting = list(files)
    while waiting:
        place = waiting.pop()
        for name in sorted(_names_in(files[place])):
            found = beside(files[place], name)
            if not found.is_file():
                continue
            written = Path(name)
            # Where readers look: as written below the folder, or beside it (``gbx_beamline.frames.links.beside``).
            inside = not written.is_absolute() and ".." not in written.parts
            new = place.parent / (written if inside else written.name)
            if new not in files:
                files[new] = found
                waiting.append(new)
            elif not files[new].samefile(found):
                raise InputError(
                    f"{master.name} leads to {files[new]} and to {found}",
                    needed="data files whose names differ",
                    action="put the files into the catalog's folder `frames` as they lie, and import them there",
                )
    return files


def _names_in(path: Path) -> set[str]:
    """Names of the files that external links and virtual data sets in ``path`` lead to; none in a damaged file."""
    try:
        with h5py.File(path, "r") as file:
            return set(_external(file))
    except OSError:
        return set()


def _external(file: h5py.File) -> Iterator[str]:
    links: dict[str, object] = {}
    file.visititems_links(links.__setitem__)
    for name, link in links.items():
        if isinstance(link, h5py.ExternalLink):
            yield link.filename
        elif isinstance(link, h5py.HardLink):
            try:
                node = file[name]
            except (KeyError, OSError):
                # A damaged file may list what it cannot open.
                continue
            if isinstance(node, h5py.Dataset) and node.is_virtual:
                yield from {source.file_name for source in node.virtual_sources()} - {"."}
