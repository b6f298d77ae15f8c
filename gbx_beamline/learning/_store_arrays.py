"""Arrays and JSON as the bytes of files. Nothing is ever pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import DependencyError, InputError
from gbx_beamline.learning._store_description import in_json
from gbx_beamline.learning._store_files import inside, said_in_words, write_whole
from gbx_beamline.untrusted import parse_json, read_bounded

Arrays = Mapping[str, NDArray[Any]]

RESTORE = "restore the folder from where it came, or choose another model (`gbx models list`)"
"""What to do about a file that cannot be believed."""

_LARGEST = 2**28
"""Bytes of a file of arrays that no description tells the size of; those of ours have fewer than a hundredth of it."""


def write_arrays(folder: Path, files: Mapping[str, Arrays | Mapping[str, Any]]) -> None:
    """Write arrays (``*.safetensors``) and JSON (``*.json``) into a folder that is no model's; it is made when absent.

    Raises:
        InputError: it cannot be written.
    """
    with said_in_words(folder, action="choose another folder, or make room"):
        folder.mkdir(parents=True, exist_ok=True)
        for file, value in files.items():
            write_whole(folder / file, as_bytes(file, value))


def read_arrays(folder: Path, files: Sequence[str]) -> dict[str, Any]:
    """What :func:`write_arrays` wrote, or files of a model, without a comparison with their hashes.

    Raises:
        InputError: a file that is absent, elsewhere, larger than any of ours or not of its kind.
    """
    found: dict[str, Any] = {}
    for file in files:
        path = inside(folder, file)
        try:
            with said_in_words(path, action=RESTORE):
                content = read_bounded(path, _LARGEST)
        except ValueError as error:
            raise InputError(f"{path} holds {error}", needed="a file as GBX writes it", action=RESTORE) from error
        found[file] = (json_in if file.endswith(".json") else arrays_in)(content, folder / file)
    return found


def arrays_in(content: bytes, path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of a safetensors file; ``path`` is what an error names."""
    safetensors = _safetensors()
    try:
        return safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{path} holds no arrays ({error})", needed="a safetensors file", action=RESTORE) from error


def json_in(content: bytes, path: Path) -> Any:
    """Content of a JSON file; ``path`` is what an error names."""
    try:
        return parse_json(content)
    except ValueError as error:
        raise InputError(f"{path} is no JSON", needed="valid JSON", action=RESTORE) from error


def as_bytes(file: str, value: Arrays | Mapping[str, Any]) -> bytes:
    """What a file of this name holds: arrays for ``*.safetensors``, JSON for ``*.json``."""
    if file.endswith(".json"):
        return json.dumps(in_json(value), indent=1, allow_nan=False).encode()
    # safetensors would store a transposed view's memory in its own order.
    arrays = {name: np.asarray(array, order="C") for name, array in value.items()}
    return _safetensors().numpy.save(arrays)


def _safetensors() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise DependencyError(
            "the package 'safetensors' is not installed",
            needed="the package's extra `learning`",
            action="install gbx-beamline[learning]",
        ) from error
    return cast(Any, safetensors)
