"""Keeping a figure or arrays: whole or not at all, and never over another file unasked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.figures.style import DPI

# A date inside the file would make two savings of one figure differ.
_METADATA: dict[str, dict[str, str | None]] = {
    ".png": {},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}


def save(figure: Figure, path: Path | str, *, overwrite: bool = False) -> Path:
    """Write a figure as PNG, SVG or PDF, by the suffix of its name.

    The file appears complete or not at all: it is written beside its place and linked into it, so that of two
    writers one is refused.

    Args:
        figure: From :func:`scan_report`, :func:`temperature_overview` or any other.
        path: Where; the folder must exist.
        overwrite: True replaces a file that is there.

    Returns:
        The path written.

    Raises:
        InputError: another suffix, a file already there, or a folder that cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _METADATA:
        raise InputError(
            f"figure file {path} ends in {path.suffix or 'nothing'!r}",
            needed="a name ending in .png, .svg or .pdf",
            action="choose one of these",
        )
    if path.exists() and not overwrite:
        raise _exists(path)
    content = BytesIO()
    figure.savefig(content, format=suffix[1:], dpi=DPI, facecolor="white", metadata=_METADATA[suffix])
    return write_whole(content.getvalue(), path, overwrite)


def save_arrays(arrays: Mapping[str, NDArray[Any]], path: Path | str, *, overwrite: bool = False) -> Path:
    """Write arrays as .npz, with the same care as :func:`save`.

    Raises:
        InputError: a file already there, or a folder that cannot be written.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise _exists(path)
    content = BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    return write_whole(content.getvalue(), path, overwrite)


def write_whole(content: bytes, path: Path, overwrite: bool) -> Path:
    """Write a file so that it is there whole or not at all; see :func:`save`."""
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        unfinished.write_bytes(content)
        if overwrite:
            unfinished.replace(path)
        else:
            os.link(unfinished, path)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}", needed="an existing folder with room to write", action="choose another path"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _exists(path: Path) -> InputError:
    return InputError(
        f"{path} exists already", needed="a free name", action="choose another name, or ask to overwrite it"
    )
