"""HDF5 in the manner of NeXus: groups with a class, fields with a unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

NOT_MEASURED = "not measured"
"""Attribute ``status`` of a required field that nobody knows: NaN by itself would be silent."""

_BLOCK = 256
"""Rows and columns of a chunk of a map."""
_WORTH_PACKING = 2**14
"""Values from which on compression pays."""


def group(parent: h5py.Group, name: str, nx_class: str, **attributes: Any) -> h5py.Group:
    """A new group with its NeXus class."""
    made = parent.create_group(name)
    made.attrs["NX_class"] = nx_class
    made.attrs.update(attributes)
    return made


def field(parent: h5py.Group, name: str, value: Any, units: str | None = None, **attributes: Any) -> h5py.Dataset:
    """A new field; large arrays are compressed in a way that every HDF5 library reads.

    Args:
        parent: Group.
        name: Of the field.
        value: Number, text, array, or sequence of texts.
        units: In the spelling of UDUNITS; None for texts, "1" for pure numbers.
        attributes: More of them.
    """
    data = np.asarray(value)
    if data.dtype.kind == "U":
        data = value if isinstance(value, str) else np.array(list(value), dtype=object)
        made = parent.create_dataset(name, data=data, dtype=h5py.string_dtype())
    elif data.size >= _WORTH_PACKING:
        made = parent.create_dataset(name, data=data, chunks=_chunks(data), compression="gzip", compression_opts=1,
                                     shuffle=True)  # fmt: skip
    else:
        made = parent.create_dataset(name, data=data)
    if units is not None:
        made.attrs["units"] = units
    made.attrs.update(attributes)
    return made


def texts(parent: h5py.Group, name: str, values: Sequence[str], **attributes: Any) -> h5py.Dataset:
    """A field of texts, also of none."""
    made = parent.create_dataset(name, data=np.array(list(values), dtype=object), dtype=h5py.string_dtype())
    made.attrs.update(attributes)
    return made


def measured(parent: h5py.Group, name: str, value: float | None, units: str, **attributes: Any) -> bool:
    """A field that the definition requires; where nobody knows it, NaN that says so.

    Returns:
        False where it is not known.
    """
    known = value is not None and bool(np.isfinite(value))
    made = field(parent, name, value if known else np.nan, units, **attributes)
    if not known:
        made.attrs["status"] = NOT_MEASURED
    return known


def _chunks(data: NDArray[Any]) -> tuple[int, ...]:
    """A part of one map or image: whoever reads one q-ROI unpacks no other."""
    return tuple(1 if axis < data.ndim - 2 else min(size, _BLOCK) for axis, size in enumerate(data.shape))
