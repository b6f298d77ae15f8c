"""What is exported: one correlation record with all that belongs to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation import one_time
from gbx_beamline.records import OneTime, ScanInference, ScanResult, TwoTime

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

    @property
    def maps(self) -> TwoTime:
        """The part of the maps that the record's numbers are of; pairs of frames across a dump or a ramp are no
        dynamics, and other programs would take them for it."""
        return self.result.analysed_two_time

    @property
    def rows(self) -> tuple[int, int]:
        """First row of ``maps`` among those of the whole series, and the one to end before."""
        return self.result.analysed or (0, self.result.two_time.g2.shape[-1])

    def of_maps(self, convention: Literal["ratio_of_sums", "pychx"] | None = None) -> OneTime:
        """One-time g2 along the diagonals of ``maps``, on their cells; by the record's convention unless told."""
        return one_time(replace(self.maps, fine=None), convention or self.result.one_time.convention)

    def of_ages(self) -> Iterator[tuple[float, float, OneTime]]:
        """One-time g2 of each of ``AGES`` parts: its beginning and end, s since the first frame of the series, and the
        curve within it. ``maps`` too short to be parted give none."""
        tt = self.maps
        cells = tt.g2.shape[-1]
        if cells < 2 * AGES:
            return
        edges = np.linspace(0, cells, AGES + 1).astype(int).tolist()
        for start, stop in pairwise(edges):
            curve = one_time(tt.between(start, stop), self.result.one_time.convention)
            yield (self.rows[0] + start) * tt.frame_time, (self.rows[0] + stop) * tt.frame_time, curve


def iso_time(seconds: float) -> str:
    """Unix time as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()
