"""The table of an ensemble: one row per member, every column with its unit and its meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

Rows = Mapping[str, NDArray[Any]]
"""Columns (m,) of m members, by name."""


@dataclass(frozen=True)
class Column:
    """What one column holds."""

    name: str
    unit: str
    """As people write it; empty for pure numbers and words."""
    what: str


def as_table(rows: Rows, columns: Sequence[Column]) -> pa.Table:
    """An Arrow table; the metadata of each field say ``unit`` and ``description``."""
    import pyarrow as pa

    arrays = [pa.array(rows[column.name]) for column in columns]
    fields = [
        pa.field(column.name, array.type, metadata={"unit": column.unit, "description": column.what})
        for column, array in zip(columns, arrays, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))
