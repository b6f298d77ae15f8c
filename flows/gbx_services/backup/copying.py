"""Folders copied with a checksum for every file; what an earlier backup has already is linked to, not copied.

Checksums are kept as `sha256sum` writes them, so that a backup can be checked where nothing of GBX is installed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

SUMS = ".sha256"
"""Ending of the file with the checksums of a part."""

_READERS = 4
_AT_ONCE = 1000


@dataclass
class Copied:
    """What became of a folder."""

    files: int = 0
    bytes: int = 0
    """Of all files, linked ones included."""
    linked: int = 0
    """Files of the earlier backup that had not changed."""
    vanished: int = 0
    """Files that somebody removed meanwhile: previews of running scans, attempts that came to nothing."""


def copy_folder(source: Path, target: Path, sums: Path, *, earlier: Path | None = None) -> Copied:
    """Copy a folder in which files may come, change and go.

    Args:
        source: May be absent: then nothing is copied.
        target: New folder.
        sums: New file for the checksums, relative to ``target``'s parent.
        earlier: The same part of an earlier backup, with its checksums beside it.

    Raises:
        OSError: no room, or a file that may not be read.
    """
    done = Copied()
    target.mkdir(parents=True)
    known = _Known(earlier)
    with sums.open("w") as said:
        for path in _walk(source):
            place = path.relative_to(source)
            copy = target / place
            try:
                if path.is_symlink():
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    copy.symlink_to(path.readlink())
                    continue
                copy.parent.mkdir(parents=True, exist_ok=True)
                digest = known.link(path, place, copy)
                done.linked += digest is not None
                if digest is None:
                    shutil.copy2(path, copy)
                    digest = digest_of(copy)
            except FileNotFoundError:
                copy.unlink(missing_ok=True)
                done.vanished += 1
                continue
            done.files += 1
            done.bytes += copy.stat().st_size
            write_sum(said, digest, str(Path(target.name) / place))
    return done


def digest_of(path: Path) -> str:
    """SHA-256 of a file, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sum(said: TextIO, digest: str, name: str) -> None:
    """One line as `sha256sum` writes it; it marks names that hold a line's end or a backslash."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    said.write(f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n")


def read_sums(path: Path) -> Iterator[tuple[str, str]]:
    """Checksums and names in a file of them, in its order.

    Raises:
        ValueError: a line that is none of them.
    """
    with path.open() as file:
        for line in file:
            marked, digest, name = line.startswith("\\"), *line.rstrip("\n").lstrip("\\").split("  ", 1)
            yield digest, _unescaped(name) if marked else name


def wrong_files(folder: Path, sums: Path) -> Iterator[str]:
    """Files that are absent or not what their checksum says, each with what is wrong.

    Args:
        folder: What the names are relative to.
        sums: File with the checksums.

    Raises:
        OSError: the checksums cannot be read.
        ValueError: they are none.
    """
    entries = read_sums(sums)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="gbx-check") as pool:
        while several := list(islice(entries, _AT_ONCE)):
            yield from filter(None, pool.map(lambda one: _fault(folder, *one), several))


def _fault(folder: Path, digest: str, name: str) -> str:
    path = folder / name
    # A checksum file leads nowhere outside of its backup.
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return f"{name} is outside of the backup"
    try:
        return "" if digest_of(path) == digest else f"{name} has changed"
    except FileNotFoundError:
        return f"{name} is absent"
    except OSError as error:
        return f"{name} cannot be read ({error.strerror})"


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder, in the order of their names' parts. What goes meanwhile is passed over."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        elif entry.is_file() or entry.is_symlink():
            yield Path(entry.path)


class _Known:
    """Files of an earlier backup. Its checksums are read along as the walk goes on: both have the same order."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._sums: Iterator[tuple[str, str]] = iter(())
        if folder is not None and (sums := folder.with_name(folder.name + SUMS)).is_file():
            self._sums = read_sums(sums)
        self._next: tuple[tuple[str, ...], str] | None = None
        self._advance()

    def link(self, path: Path, place: Path, copy: Path) -> str | None:
        """Link ``copy`` to the earlier copy of a file and tell its checksum; None where there is none, or another."""
        while self._next is not None and self._next[0] < place.parts:
            self._advance()
        if self._folder is None or self._next is None or self._next[0] != place.parts:
            return None
        earlier = self._folder / place
        try:
            old, now = earlier.stat(), path.stat()
            if (old.st_size, old.st_mtime_ns) != (now.st_size, now.st_mtime_ns):
                return None
            os.link(earlier, copy)
        except OSError:
            # Gone, or on a disk without links: it is copied.
            return None
        return self._next[1]

    def _advance(self) -> None:
        try:
            digest, name = next(self._sums)
        except (StopIteration, ValueError):
            self._next = None
        else:
            self._next = Path(name).parts[1:], digest


def _unescaped(name: str) -> str:
    kinds = {"n": "\n", "r": "\r", "\\": "\\"}
    parts = iter(name)
    return "".join(kinds.get(next(parts, ""), "") if letter == "\\" else letter for letter in parts)
