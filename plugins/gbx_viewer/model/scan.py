"""One scan as panels show it, live or archived: who draws cannot tell them apart but by ``state``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.catalog import RecordParts
from gbx_beamline.records import DecayFit, Floats, Geometry, KineticsFit, ScanInfo
from gbx_viewer.model.facts import RoiFacts

MapKind = Literal["g2", "drift"]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Time without usable frames, s from the first frame."""

    start: float
    stop: float
    why: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """Something measured beside the frames, on their time axis."""

    name: str
    unit: str
    time: Floats
    """(n,) s from the first frame."""
    values: Floats
    """(n,); NaN = not measured."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Decay:
    """One-time g2 of one q-ROI and what was fitted to it."""

    tau: Floats
    """(n,) s, above 0."""
    g2: Floats
    """(n,) baseline 1; finite."""
    error: Floats
    """(n,) standard error; NaN = not known."""
    fitted: tuple[Floats, Floats] | None
    """Lag in s and g2 of the fit."""
    said: str
    """What the fit says, or why there is none."""
    convention: str
    """How g2 was averaged, in words."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TimeMap:
    """A map over two times, indexed [t1, t2], both from the first frame."""

    kind: MapKind
    values: NDArray[np.float32]
    """(n, n); NaN = no value."""
    cell: float
    """s along one cell."""
    frames_per_cell: int
    contrast: float
    """NaN = not known."""
    baseline: float
    """What g2 tends to without correlation."""
    diagonal: str
    """How the diagonal was handled, in words."""

    @property
    def window(self) -> float:
        """s along a side."""
        return len(self.values) * self.cell


@dataclass(frozen=True, kw_only=True, eq=False)
class LiveArrays:
    """What a live record holds in place of the arrays of a final one."""

    two_time: NDArray[np.float32]
    """(Q, n, n)."""
    frames_per_cell: int
    image: NDArray[np.float32]
    """(2, r, c) the newest frame and the q-ROIs, as ``LiveState`` has them; empty where there is none."""
    image_pixels: int
    image_frame: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ScanView:
    """One scan."""

    key: str
    """Of the record; of the live record while there is no other."""
    live: LiveArrays | None
    """None for a final record, whose maps are read one by one."""
    revision: int
    """Of a live record; 0 of a final one."""
    state: Literal["final", "running", "ended", "stale", "failed"]
    reason: str
    scan: ScanInfo
    frames: int
    """Correlated so far."""
    expected: int
    """0 = not known."""
    frame_time: float
    """s; NaN = not known."""
    rois: tuple[RoiFacts, ...]
    names: tuple[str, ...]
    """(Q,) of the q-ROIs; ``rois`` may come later than they do."""
    frame_means: NDArray[np.float64]
    """(Q, n) counts per pixel of each frame; empty where not known."""
    step: float
    """s between the columns of ``frame_means``."""
    gaps: tuple[Gap, ...]
    traces: tuple[Trace, ...]
    flags: tuple[str, ...]
    geometry: Geometry | None
    fits: tuple[DecayFit, ...] = ()
    kinetics: tuple[KineticsFit, ...] = ()
    parts: RecordParts | None = None
    """The final record, opened once for all panels."""
    made_by: Mapping[str, str] | None = None
    """Versions and hashes by name."""

    @property
    def window(self) -> float:
        """s spanned by the frames so far."""
        return self.frames * self.frame_time

    @property
    def full_window(self) -> float:
        """s spanned by the frames that are to come, too."""
        return max(self.frames, self.expected) * self.frame_time

    def index(self, name: str | None) -> int:
        """Number of the q-ROI of this name, else of the one that tells most, else 0."""
        if name in self.names:
            return self.names.index(name)
        information = [roi.information for roi in self.rois]
        return int(np.argmax(information)) if information else 0

    def roi(self, index: int) -> RoiFacts | None:
        """Numbers of a q-ROI; None before they are known."""
        return self.rois[index] if index < len(self.rois) else None
