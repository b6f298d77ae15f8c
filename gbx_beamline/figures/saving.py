"""Keeping a figure or arrays: whole or not at all, and never over another file unasked."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.figures.style import DPI
from gbx_beamline.whole_files import place_taken, whole_file

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
        raise place_taken(path)
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
        raise place_taken(path)
    content = BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    return write_whole(content.getvalue(), path, overwrite)


def write_whole(content: bytes, path: Path, overwrite: bool) -> Path:
    """Write a file so that it is there whole or not at all; see :func:`save`."""
    with whole_file(path, overwrite=overwrite) as place:
        place.write_bytes(content)
    return path
