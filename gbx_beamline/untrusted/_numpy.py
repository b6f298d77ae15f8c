"""NumPy files: what they declare is compared with what they hold and may hold, before memory is taken for it."""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

_MOST_MEMBERS = 10_000

UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    EOFError,
    KeyError,
    ArithmeticError,
    MemoryError,
    RuntimeError,  # an encrypted or exotic archive
    SyntaxError,  # a header that is no Python literal
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy and zipfile raise about a file that is not what it should be."""


def check_numpy(path: Path, largest: int) -> None:
    """Refuse a .npy or .npz file that declares more than it holds, more than ``largest`` bytes, or Python objects.

    Args:
        path: The file.
        largest: Bytes that its arrays may have together.

    Raises:
        OSError: it cannot be read.
        ValueError: why it is not to be loaded.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                file.seek(0)
                _check_array(file, path.stat().st_size, largest, path.name)
                return
        _check_archive(path, largest)
    except OSError:
        raise
    except UNREADABLE as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def _check_archive(path: Path, largest: int) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        if len(members) > _MOST_MEMBERS or total > largest:
            raise ValueError(f"{len(members):,} arrays that unpack to {total:,} bytes, more than {largest:,}")
        for member in members:
            if member.filename.endswith(".npy"):
                with archive.open(member) as file:
                    _check_array(file, member.file_size, largest, member.filename)


def _check_array(file: IO[bytes], size: int, largest: int, name: str) -> None:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"{name} has the format version {version}")
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects")
    if any(length < 0 for length in shape):
        raise ValueError(f"{name} declares the shape {shape}")
    if dtype.itemsize == 0:
        raise ValueError(f"{name} holds values without a size")
    declared = math.prod(shape) * dtype.itemsize
    if declared > largest or declared > size:
        raise ValueError(f"{name} declares {declared:,} bytes and holds {size:,}, where {largest:,} are allowed")
