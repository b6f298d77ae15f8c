"""Which pixels a box in (q_par, q_z) or a ring in |q| holds, and what it is called.

Intervals are half open, ``low <= q < high``, so that neighbours share an edge without sharing pixels.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from gbx_beamline.config import LARGEST_Q, QBox, QRing
from gbx_beamline.errors import RoiError, UnitError
from gbx_beamline.geometry.maps import QMaps
from gbx_beamline.records import Bools

INVERSE_ANGSTROM = 1e10
"""1/Angstrom in 1/m."""

Interval: TypeAlias = tuple[float, float]
BoxLike: TypeAlias = QBox | Mapping[str, Any] | Sequence[Sequence[float]]
"""A ``QBox``, a mapping with its keys, or ``((q_par_low, q_par_high), (q_z_low, q_z_high))``; 1/Angstrom."""
RingLike: TypeAlias = QRing | Mapping[str, Any]
"""A ``QRing`` or a mapping with its keys; 1/Angstrom, azimuth in degrees."""

_Model = TypeVar("_Model", bound=BaseModel)


def as_boxes(items: Iterable[BoxLike]) -> tuple[QBox, ...]:
    """Boxes in one form.

    Raises:
        UnitError: a value that looks like 1/m.
        RoiError: anything else that is no box in (|q_par|, q_z).
    """
    boxes = tuple(_as_box(item) for item in items)
    for box in boxes:
        if box.q_par[0] < 0:
            raise RoiError(
                f"a box with q_par = {_interval(box.q_par)} 1/Angstrom",
                needed="an interval of |q_par|, from 0 up",
                action="choose the side of the beam with side: left or side: right",
            )
    return boxes


def as_rings(items: Iterable[RingLike]) -> tuple[QRing, ...]:
    """Rings in one form.

    Raises:
        UnitError: a value that looks like 1/m.
        RoiError: anything else that is no ring or sector in |q|.
    """
    rings = tuple(item if isinstance(item, QRing) else _validated(QRing, item, ("q",)) for item in items)
    for ring in rings:
        if ring.azimuth is not None and ring.azimuth[0] == ring.azimuth[1]:
            raise RoiError(
                f"a sector from azimuth {ring.azimuth[0]:g} to {ring.azimuth[1]:g} degrees holds nothing",
                needed="two different directions",
                action="leave azimuth out for a whole ring",
            )
    return rings


def inside(region: QBox | QRing, maps: QMaps, *, scale: float = 1.0) -> Bools:
    """(y, x) True where a pixel centre lies in the region, all q of the region multiplied by ``scale``."""
    unit = INVERSE_ANGSTROM * scale
    if isinstance(region, QRing):
        return _between(maps.q, region.q, unit) & _in_sector(maps.azimuth, region)
    found = _between(np.abs(maps.q_par), region.q_par, unit) & _between(maps.q_z, region.q_z, unit)
    if region.side == "left":
        return found & (maps.q_par < 0)
    if region.side == "right":
        return found & (maps.q_par >= 0)
    return found


def names_of(regions: Sequence[QBox | QRing]) -> tuple[str, ...]:
    """The name of each region: its own, else one made of its q, such as ``q=0.045`` (1/Angstrom).

    Where two would read alike, q_z, side or azimuth are added.
    """
    short = [region.name or _short_name(region) for region in regions]
    count = Counter(short)
    long = [
        name if region.name or count[name] == 1 else _long_name(region)
        for name, region in zip(short, regions, strict=True)
    ]
    # The same region twice is told as an overlap, which needs two names.
    return tuple(
        name if region.name or name not in long[:index] else f"{name} ({long[: index + 1].count(name)})"
        for index, (name, region) in enumerate(zip(long, regions, strict=True))
    )


def _as_box(item: BoxLike) -> QBox:
    if isinstance(item, QBox):
        return item
    if isinstance(item, Mapping):
        return _validated(QBox, item, ("q_par", "q_z"))
    try:
        intervals = np.asarray(item, dtype=np.float64)
    except (TypeError, ValueError):
        intervals = np.empty(0)
    if intervals.shape != (2, 2):
        raise RoiError(
            f"{item!r} is no box",
            needed="((q_par_low, q_par_high), (q_z_low, q_z_high)) in 1/Angstrom, a mapping or a QBox",
            action="write boxes=[((...), (...))], also for a single one",
        )
    par_low, par_high, z_low, z_high = (float(edge) for edge in intervals.flat)
    return _validated(QBox, {"q_par": (par_low, par_high), "q_z": (z_low, z_high)}, ("q_par", "q_z"))


def _validated(model: type[_Model], item: object, intervals: tuple[str, ...]) -> _Model:
    if not isinstance(item, Mapping):
        raise RoiError(
            f"{item!r} is no {model.__name__}",
            needed=f"a mapping with the keys {', '.join(model.model_fields)}, or a {model.__name__}",
            action=f"write [{{'{intervals[0]}': (low, high)}}], also for a single one",
        )
    try:
        return model.model_validate(dict(item))
    except ValidationError as error:
        _refuse_other_unit(item, intervals, error)
        mistakes = "; ".join(
            f"{'.'.join(map(str, mistake['loc']))}: {mistake['msg'].removeprefix('Value error, ')}"
            for mistake in error.errors()
        )
        raise RoiError(
            f"{dict(item)} is no {model.__name__}: {mistakes}",
            needed=f"the keys {', '.join(model.model_fields)}, q as (low, high) in 1/Angstrom",
            action="correct the keys named",
        ) from error


def _refuse_other_unit(item: Mapping[str, Any], intervals: tuple[str, ...], cause: ValidationError) -> None:
    for key in intervals:
        values = np.asarray(item.get(key, ()))
        if values.shape != (2,) or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
            continue
        if np.abs(values).max() > LARGEST_Q:
            low, high = values / INVERSE_ANGSTROM
            raise UnitError(
                f"{key} = ({values[0]:g}, {values[1]:g}) cannot be in 1/Angstrom; it looks like 1/m",
                needed=f"1/Angstrom, at most {LARGEST_Q:g}",
                action=f"write ({low:g}, {high:g})",
            ) from cause


def _between(values: NDArray[np.float64], interval: Interval, unit: float) -> Bools:
    return (values >= interval[0] * unit) & (values < interval[1] * unit)


def _in_sector(azimuth: NDArray[np.float64], ring: QRing) -> Bools | bool:
    if ring.azimuth is None:
        return True
    low, high = (math.radians(angle) for angle in ring.azimuth)
    turn = 2.0 * math.pi
    # Anticlockwise from low to high, also through the cut at 180 degrees; a full turn is the whole ring.
    width = turn if abs(high - low) >= turn else (high - low) % turn
    if ring.symmetric:
        return np.mod(azimuth - low, math.pi) < width
    return (width == turn) | (np.mod(azimuth - low, turn) < width)


def _short_name(region: QBox | QRing) -> str:
    low, high = region.q if isinstance(region, QRing) else region.q_par
    return f"q={(low + high) / 2:.4g}"


def _long_name(region: QBox | QRing) -> str:
    if isinstance(region, QBox):
        side = "" if region.side == "both" else f" {region.side}"
        return f"q={_interval(region.q_par)} q_z={_interval(region.q_z)}{side}"
    sector = "" if region.azimuth is None else f" azimuth={_interval(region.azimuth)}"
    return f"q={_interval(region.q)}{sector}{' symmetric' if region.symmetric and sector else ''}"


def _interval(interval: Interval) -> str:
    return f"{interval[0]:g}..{interval[1]:g}"
