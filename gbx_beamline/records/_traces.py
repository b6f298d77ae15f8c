"""What stood around the frames: side traces on detector time, and the dose that a spot took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One trace, n cells of frames."""

    name: str
    unit: str
    """SI: "K", "A", "m", "1/s", "1" for pure numbers; as the stream has it where that is not known."""
    source: str
    """Stream and data key."""
    readings: int
    """That it is made from."""
    values: NDArray[np.float32]
    """(n,) mean over each cell; NaN where nothing is known."""


@dataclass(frozen=True, kw_only=True)
class Traces:
    """Side traces of one scan on detector time."""

    frames_per_cell: int
    cell: float
    """s per value, from the start of the first frame on."""
    clock: str
    """Where time zero comes from, in words."""
    traces: tuple[Trace, ...]
    notes: tuple[str, ...] = ()
    """What is missing, contradictory or was not used, in words."""

    def __getitem__(self, name: str) -> Trace:
        """The trace of this name; KeyError where there is none."""
        for trace in self.traces:
            if trace.name == name:
                return trace
        raise KeyError(name)

    def __contains__(self, name: str) -> bool:
        return any(trace.name == name for trace in self.traces)

    @property
    def time(self) -> NDArray[np.float64]:
        """(n,) middle of each cell, s from the start of the first frame."""
        count = len(self.traces[0].values) if self.traces else 0
        return (np.arange(count, dtype=np.float64) + 0.5) * self.cell


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """What one scan put onto one spot of the sample. NaN = unknown."""

    seconds: float
    """That there was beam on the sample, s."""
    transmission: float
    """Mean over them; NaN also where the monitor sees the attenuators and has it in it."""
    full_beam: float
    """s of the unattenuated beam, at the intensity that the flux is stated for, that give the same dose: the integral
    of transmission x relative intensity."""
    flux: float
    """Photons per s, unattenuated, as stated."""
    photons: float
    """``flux`` x ``full_beam``."""
    monitor: str
    """What the intensity follows, in words."""
    positions: Mapping[str, float] = field(default_factory=dict)
    """Mean of each position channel, m."""
    travel: Mapping[str, float] = field(default_factory=dict)
    """Largest less smallest of it, m."""
    unknown: tuple[str, ...] = ()
    """What is not known, in words; empty means that the dose is."""


@dataclass(frozen=True, kw_only=True)
class RoiMeasure:
    """What one q-ROI says in one segment. NaN where a status is not "ok"."""

    roi: str
    contrast: float
    s_noneq: float
    """Eq. 3 as printed."""
    s_noneq_norm: float
    status: str
    s_corrected: float
    low: float
    high: float
    """``low..high``: 95 % confidence interval."""
    corrected_status: str
    drift_rms_over_contrast: float
    """Without noise."""
    cell: float
    """s."""
    window: float
    """s."""
    relaxation_time: float
    """s."""
    relaxation_error: float
    """s."""
    exponent: float
    kinetics_status: str


@dataclass(frozen=True, kw_only=True)
class SegmentMeasure:
    """Numbers of one segment of a scan that has several."""

    segment: int
    """Index into ``Exclusions.segments``."""
    rows: tuple[int, int]
    """First row of the maps, and the one to end before."""
    frames: int
    """Good ones."""
    start_time: float
    """s from the start of the series."""
    stop_time: float
    """s."""
    temperature: float
    """K; NaN = not known."""
    chosen: bool
    """Whether the record's own numbers, and inference, are of this segment."""
    rois: tuple[RoiMeasure, ...]
    """(Q,)."""
