"""Files and folders that appear complete or not at all, and never in the place of others unasked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from gbx_beamline.errors import InputError


@contextmanager
def whole_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Somewhere beside ``path`` to write to; it becomes ``path`` when the block ends well, else nothing is left.

    Of two writers without ``overwrite`` one is refused.

    Args:
        path: Where the file is to be; the folder must exist.
        overwrite: True replaces a file that is there.

    Raises:
        InputError: a file is there already, or the folder cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        yield unfinished
        if overwrite:
            unfinished.replace(path)
        else:
            os.link(unfinished, path)
    except FileExistsError as error:
        raise place_taken(path) from error
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A new folder beside ``path`` to fill; it becomes ``path`` when the block ends well, else nothing is left.

    Args:
        path: Where the folder is to be; the one around it must exist.
        overwrite: True replaces a folder that is there, with all that is in it.

    Raises:
        InputError: a folder is there already, or the one around it cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}")
    old = path.with_name(f"{unfinished.name}.old")
    try:
        unfinished.mkdir()
        yield unfinished
        if path.exists():
            if not overwrite:
                raise place_taken(path)
            path.rename(old)
        unfinished.rename(path)
    except OSError as error:
        if old.exists() and not path.exists():
            old.rename(path)
        raise _unwritable(path, error) from error
    finally:
        for folder in (unfinished, old):
            shutil.rmtree(folder, ignore_errors=True)


def place_taken(path: Path) -> InputError:
    """The error for a place where something is already."""
    return InputError(
        f"{path} exists already", needed="a free name", action="choose another name, or ask to overwrite it"
    )


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path}: {error.strerror or error}",
        needed="an existing folder with room to write",
        action="choose another path",
    )
