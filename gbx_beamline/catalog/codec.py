"""Records as JSON's types and back, by the types that their fields declare."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

_LARGEST = 2.0**63
"""PostgreSQL writes a float of this size out as the whole number it is, which is no integer of 64 bits: the server can
answer no more for the node, nor for any list that it is in."""


def plain(value: Any, *, without: tuple[str, ...] = ()) -> Any:
    """``value`` in JSON's types. NaN and infinities become None here, on purpose, not silently in the server; numbers
    of 2^63 and beyond become text, "1e+20", which ``number`` and ``record`` read back.

    Args:
        value: a record, a container of records, an array or a number.
        without: fields of the outermost record to leave out, because they are stored as arrays.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.name not in without}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, float | int) and abs(value) >= _LARGEST:
        return repr(value)
    return value


def number(value: Any) -> float:
    """The float of a metadata entry: None read back as NaN, the text of a large one as the number."""
    return math.nan if value is None else float(value)


def record(kind: type[T], entry: Mapping[str, Any], **arrays: Any) -> T:
    """The record again, from what ``plain`` made of it.

    Args:
        kind: its class.
        entry: the metadata.
        arrays: fields that were stored as arrays.
    """
    hints = typing.get_type_hints(kind)
    values = {
        f.name: _value(hints[f.name], entry[f.name])
        for f in dataclasses.fields(kind)  # type: ignore[arg-type]
        if f.name in entry and f.name not in arrays
    }
    return kind(**values, **arrays)


def _value(hint: Any, value: Any) -> Any:
    """What a field of this type held before it became JSON."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if hint is float:
        return number(value)
    if hint is int:
        return int(value)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _value(next(part for part in inside if part is not types.NoneType), value)
    if origin is np.ndarray:
        return _array(inside, value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return record(hint, value)
    if origin is tuple:
        kinds = [inside[0]] * len(value) if inside[-1:] == (...,) else inside
        return tuple(_value(kind, item) for kind, item in zip(kinds, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _value(inside[1], item) for key, item in value.items()}
    return value


def _array(inside: tuple[Any, ...], value: Any) -> Any:
    dtype = typing.get_args(inside[1])[0]
    kind = dtype if isinstance(dtype, type) else np.float64
    if issubclass(kind, np.floating):
        return np.array(_numbers(value), dtype=kind if kind in (np.float32, np.float64) else np.float64)
    return np.array(value, dtype=kind)


def _numbers(value: Any) -> Any:
    return [_numbers(item) for item in value] if isinstance(value, list) else number(value)
