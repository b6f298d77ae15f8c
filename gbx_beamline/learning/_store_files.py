"""Files that appear whole or not at all, and what the operating system says about them in our words."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gbx_beamline.errors import InputError

PARTIAL = ".partial"
"""End of the names of what is being written."""


def unfinished(path: Path) -> Path:
    """A name beside ``path`` under which it can be written before it is renamed."""
    return path.with_name(f".{uuid.uuid4().hex}{PARTIAL}")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears under its name whole, in place of one that was there, and outlasts a loss of power."""
    written = unfinished(path)
    try:
        with written.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)
    except BaseException:
        written.unlink(missing_ok=True)
        raise
    force_to_disk(path.parent)


def force_to_disk(path: Path) -> None:
    """Return when the operating system has the folder's names on disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def said_in_words(path: Path, *, action: str) -> Iterator[None]:
    """Turn what the operating system says about ``path`` into our words."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{error.filename or path}: {error.strerror or error}",
            needed="a place that this user may read and write, with room",
            action=action,
        ) from error


def inside(folder: Path, file: str) -> Path:
    """The file, refused where a link leads out of the folder.

    Raises:
        InputError: one does.
    """
    path = folder / file
    try:
        real, own = path.resolve(), folder.resolve()
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{path} leads in a circle", needed="a file of the folder itself", action="put it in place of the link"
        ) from error
    if real.parent != own:
        raise InputError(
            f"{path} lies outside of its folder, at {real}",
            needed="a file of the folder itself",
            action="copy the file into the folder in place of the link",
        )
    return path
