"""Scans side by side: the same q-ROI of each, on one scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gbx_beamline.catalog import Catalog
from gbx_beamline.errors import CatalogUnreachableError, GbxError
from gbx_viewer.model.maps import Limits, Tile, auto_limits, tile
from gbx_viewer.model.reading import read_decay, read_map, read_scan
from gbx_viewer.model.runs import RunRow
from gbx_viewer.model.scan import Decay, MapKind, ScanView

MOST_SCANS = 4
_MOST_CELLS = 360


@dataclass(frozen=True, eq=False)
class Compared:
    """One of the scans."""

    row: RunRow
    view: ScanView | None
    index: int
    """Of its q-ROI."""
    tile: Tile | None
    decay: Decay | None
    why: str = ""
    """Why there is no map."""


def read_compared(catalog: Catalog, rows: Sequence[RunRow], roi: str | None, kind: MapKind) -> tuple[Compared, ...]:
    """Maps and decays of scans, with colours from the lowest to the highest of their limits.

    Args:
        catalog: Where they are.
        rows: At most ``MOST_SCANS`` are taken.
        roi: Name of the q-ROI; where a scan has none of this name, the one that tells most.
        kind: Which map.

    Raises:
        CatalogUnreachableError: the connection broke; what is wrong with one scan alone is said in its place.
    """
    read = [_one(catalog, row, roi, kind) for row in rows[:MOST_SCANS]]
    known = [found[1] for found in read if found[1] is not None]
    shared: Limits | None = (min(low for low, _ in known), max(high for _, high in known)) if known else None
    compared = []
    for found, _limits, shown in read:
        drawn = None if shown is None else tile(shown, shared, most=_MOST_CELLS)
        compared.append(Compared(found.row, found.view, found.index, drawn, found.decay, found.why))
    return tuple(compared)


def window(compared: Sequence[Compared]) -> float:
    """s of the longest scan; NaN where none is known."""
    return max((one.view.window for one in compared if one.view is not None), default=math.nan)


def _one(catalog: Catalog, row: RunRow, roi: str | None, kind: MapKind):

    try:
        if not row.record:
            return Compared(row, None, 0, None, None, row.why or f"{row.status}: no record so far"), None, None
        view = read_scan(catalog, row.record)
        index = view.index(roi)
        shown = read_map(catalog, view, index, kind)
        return Compared(row, view, index, None, read_decay(catalog, view, index)), auto_limits(shown), shown
    except CatalogUnreachableError:
        raise
    except GbxError as error:
        return Compared(row, None, 0, None, None, f"{error.found}; {error.action}"), None, None
