"""LZ4's own decoder, called from compiled code.

``LZ4_decompress_safe`` never reads or writes outside what it is given, so a damaged chunk is an error and no crash.
The libraries that read Eiger files anyway carry it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
from pathlib import Path
from typing import Any

import hdf5plugin
from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@functools.cache
def lz4_address() -> int | None:
    """Address of LZ4's bounds-checked decoder, out of the HDF5 filter or the ``bitshuffle`` package; None = absent."""
    for path in _libraries():
        try:
            function = ctypes.CDLL(path).LZ4_decompress_safe
        except (OSError, AttributeError):
            continue
        return ctypes.cast(function, ctypes.c_void_p).value
    return None


def _libraries() -> list[str]:
    paths = [str(hdf5plugin.get_config().registered_filters.get("bshuf", ""))]
    # Where HDF5 had the filter from somewhere else, the plugin's own copy is not registered.
    paths += [str(path) for path in Path(hdf5plugin.PLUGIN_PATH).glob("*bshuf*")]
    with contextlib.suppress(ImportError):
        paths.append(str(importlib.import_module("bitshuffle.ext").__file__))
    # An empty name would stand for the process itself.
    return [path for path in paths if path]


def _lz4_decompress(typingctx: Any, address: Any, source: Any, target: Any, size: Any, capacity: Any) -> Any:
    """Call a C function by its address, which unlike a ctypes function leaves the caller cacheable on disk."""
    del typingctx, address, source, target, size, capacity
    signature = types.int32(types.int64, types.int64, types.int64, types.int64, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        number, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(number, [pointer, pointer, number, number])
        address, source, target, size, capacity = arguments
        return builder.call(
            builder.inttoptr(address, kind.as_pointer()),
            [
                builder.inttoptr(source, pointer),
                builder.inttoptr(target, pointer),
                builder.trunc(size, number),
                builder.trunc(capacity, number),
            ],
        )

    return signature, generate


lz4_decompress: Any = intrinsic(_lz4_decompress)
"""``LZ4_decompress_safe(source, target, size, capacity)`` behind its address, all of them int64: bytes written, or
less than 0."""
