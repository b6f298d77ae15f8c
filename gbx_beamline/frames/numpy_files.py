"""One array out of a .npy or .npz file that somebody else wrote: masks, label images, two-time maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.untrusted import UNREADABLE, check_numpy

LARGEST_ARRAY = 4 * 2**30
"""Bytes that one file may unpack to."""


def read_array(path: Path | str, *, key: str, what: str, error: type[InputError] = InputError) -> NDArray[Any]:
    """The array in a .npy file, or ``key``, or else the only one, in a .npz file. Nothing is ever unpickled.

    Args:
        path: The file.
        key: Name of the array in a .npz file.
        what: What the array is, for messages, e.g. "mask".
        error: Class of the error to raise.

    Raises:
        InputError: of class ``error``: no such file, no NumPy file, one too large, or no array to choose in it.
    """
    path = Path(path)
    needed = f"a .npy file, or a .npz file with {key!r}"
    try:
        check_numpy(path, LARGEST_ARRAY)
        with path.open("rb") as file:
            content: Any = np.load(file, allow_pickle=False)
            if not isinstance(content, np.lib.npyio.NpzFile):
                return content
            with content:
                return _member(content, key, path, needed, what, error)
    except OSError as problem:
        raise error(
            f"{what} {path}: {problem.strerror or problem}", needed=needed, action="check the path"
        ) from problem
    except UNREADABLE as problem:
        raise error(
            f"{what} {path} is no NumPy file: {problem}", needed=needed, action="write it with numpy.save"
        ) from problem


def _member(
    archive: np.lib.npyio.NpzFile, key: str, path: Path, needed: str, what: str, error: type[InputError]
) -> NDArray[Any]:
    chosen = key if key in archive.files else archive.files[0] if len(archive.files) == 1 else None
    if chosen is None:
        found = ", ".join(sorted(archive.files)) or "nothing"
        raise error(f"{what} {path} holds {found}", needed=needed, action="name the array so, or save it alone")
    return archive[chosen]
