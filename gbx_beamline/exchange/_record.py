"""What is exported: one correlation record with all that belongs to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation import one_time
from gbx_beamline.records import OneTime, ScanInference, ScanResult

ANGSTROM = 1e-10
"""m; q in 1/m times this is q in 1/Angstrom."""

AGES = 5
"""Parts of equal length that curves of single ages are given for."""


@dataclass(frozen=True, kw_only=True)
class WholeRecord:
    """A correlation record, what models say of it, and what only its run tells."""

    key: str
    """Of the correlation record in the catalog; empty for one that is in none."""
    created: float
    """When the record was made, Unix time, s."""
    result: ScanResult
    inferences: tuple[ScanInference, ...] = ()
    """Oldest first."""
    document: Mapping[str, Any] = field(default_factory=dict)
    """All of the record but its arrays, in JSON's types, as the catalog holds it."""
    scan_id: str | None = None
    """Number of the run at its beamline."""
    count_time: float | None = None
    """s of exposure per frame."""
    ended: float | None = None
    """Unix time, s."""

    @property
    def q_par(self) -> NDArray[np.float64]:
        """(Q,) 1/Angstrom; NaN where not known."""
        return np.asarray(self.result.rois.q_par, dtype=np.float64) * ANGSTROM

    @property
    def q_z(self) -> NDArray[np.float64]:
        """(Q,) 1/Angstrom; NaN where not known."""
        return np.asarray(self.result.rois.q_z, dtype=np.float64) * ANGSTROM

    @property
    def single_frame_time(self) -> float:
        """s between frames of the detector; cells of the maps may be averages over several."""
        return self.result.two_time.frame_time / self.result.two_time.frames_per_cell

    def of_maps(self) -> OneTime:
        """One-time g2 along the diagonals of the analysed part of the maps, on their cells, by the record's
        convention."""
        return one_time(replace(self.result.analysed_two_time, fine=None), self.result.one_time.convention)

    def of_ages(self) -> Iterator[tuple[int, int, OneTime]]:
        """One-time g2 of each of ``AGES`` parts: first cell of the maps, cell after the last, curve within the part.

        Parts are those of the segment that was analysed; one too short to be parted gives none.
        """
        tt = self.result.two_time
        first, last = self.result.analysed or (0, tt.g2.shape[-1])
        cells = last - first
        if cells < 2 * AGES:
            return
        edges = first + np.linspace(0, cells, AGES + 1).astype(int)
        for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            yield start, stop, one_time(tt.between(start, stop), self.result.one_time.convention)


def iso_time(seconds: float) -> str:
    """Unix time as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()
