"""One analysed scan: what the catalog stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.records._arrays import Bools
from gbx_beamline.records._care import Exclusions, JumpCheck, MotionCheck
from gbx_beamline.records._correlation import OneTime, TwoTime
from gbx_beamline.records._detector import Geometry, RoiSet
from gbx_beamline.records._kinetics import G4, DecayFit, KineticsFit, Scaling
from gbx_beamline.records._movement import Movement
from gbx_beamline.records._non_equilibrium import NonEquilibrium
from gbx_beamline.records._traces import Exposure, SegmentMeasure, Traces

SCHEMA_VERSION = 3
"""Layout of the records in the catalog. Changes when readers must change."""

READABLE_SCHEMAS = (2, 3)
"""Versions that this release reads."""

ALGORITHM_VERSION = "3"
"""Changes only when the numbers in a correlation record change."""

CORRELATION_VERSION = "2"
"""Changes only when the maps of given counts do: what is made from maps alone, like suites of virtual experiments."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What made a result."""

    config_hash: str
    package_version: str
    algorithm_version: str = ALGORITHM_VERSION
    schema_version: int = SCHEMA_VERSION
    seeds: Mapping[str, int] = field(default_factory=dict)
    """Seeds of whatever was random; the correlation itself is deterministic."""
    settings_hash: str = ""
    """Of the settings alone; ``config_hash`` also counts what an incomplete series holds and labels in the catalog."""
    rule: str = ""
    """Selection rule by which the run was analysed; empty where a person asked for it."""
    sample_version: int | None = None
    """Of the sample's settings in the catalog that were used; None where it kept none."""


@dataclass(frozen=True, kw_only=True)
class ScanInfo:
    """What a run says of itself, as far as it says it."""

    run_uid: str
    sample: str | None = None
    temperature: float | None = None
    """K, mean over the analysed frames where a trace measured it, else what the run says."""
    temperature_set: float | None = None
    """K, what the run says of itself."""
    temperature_source: str = ""
    """Where ``temperature`` is from, in words; empty = what the run says."""
    started: float | None = None
    """Unix time, s."""
    truth: Mapping[str, Any] | None = None
    """What a simulated run was made with."""
    reference: str | None = None
    """What the run says that it is a reference of: "static" for a sample that does not move; None = it says nothing."""
    access_tags: tuple[str, ...] = ()
    source: str = ""
    """Where the frames came from, in words."""


@dataclass(frozen=True, kw_only=True)
class ScanResult:
    """One analysed scan: what the catalog stores as a correlation record."""

    scan: ScanInfo
    rois: RoiSet
    geometry: Geometry
    two_time: TwoTime
    """Maps of the whole series in true time, frames that are left out NaN. Where it has several segments they hold
    correlations between them, too, which are no dynamics: ``analysed_two_time`` is the part that the numbers are of."""
    one_time: OneTime
    """Of the analysed segment, like all numbers below."""
    nonequilibrium: tuple[NonEquilibrium, ...]
    fits: tuple[DecayFit, ...]
    """(Q,) simple exponential over the whole segment."""
    kinetics: tuple[KineticsFit, ...]
    """Stretched or compressed exponential of each q-ROI, over the whole segment and in windows of age; windows count
    from the start of the series."""
    scaling: Scaling | None
    """How the relaxation time depends on q; None where no q is known."""
    g4: tuple[G4, ...]
    """(Q,) variance over time of g2 at fixed lag."""
    mean_image: NDArray[np.float32]
    """(y, x) counts per frame; NaN where masked."""
    mask: Bools
    """(y, x) True = used."""
    excluded: Mapping[str, int]
    """Pixels or frames left out, by reason."""
    exclusions: Exclusions
    """Which frames and pixels were left out automatically, the segments of the series, and what was seen."""
    motion: tuple[MotionCheck, ...]
    """(Q,) whether speckles or intensity moved; empty where the check was off or there are no frames."""
    jumps: tuple[JumpCheck, ...]
    """(Q,) abrupt decorrelations; empty where the check was off."""
    flags: tuple[str, ...]
    """What a reader must know before believing the numbers."""
    provenance: Provenance
    analysed: tuple[int, int] | None = None
    """Rows of the maps that the numbers are of: first, and the one to end before; None = all."""
    segments: tuple[SegmentMeasure, ...] = ()
    """Numbers of each segment that was analysed; empty where there is one only."""
    traces: Traces | None = None
    """Side traces on detector time; None where the run has none."""
    exposure: Exposure | None = None
    """Dose of this scan; None where nothing is known of the run."""
    movement: Movement | None = None
    """Which of beam, sample and detector moved; None where motion was not looked for."""

    @property
    def analysed_two_time(self) -> TwoTime:
        """The part of ``two_time`` that the numbers are of: one segment, in which no pair of frames reaches across a
        dump, a ramp or from one temperature to another."""
        return self.two_time if self.analysed is None else self.two_time.between(*self.analysed)

    @property
    def analysed_start(self) -> float:
        """s from the start of the series to that of ``analysed_two_time``."""
        return 0.0 if self.analysed is None else self.analysed[0] * self.two_time.frame_time


@dataclass(frozen=True, kw_only=True)
class ScanFailure:
    """A scan that could not be analysed, and why: failure is data."""

    scan: ScanInfo
    kind: str
    """Class of the error."""
    reason: str
    provenance: Provenance


@runtime_checkable
class ResultSink(Protocol):
    """Where finished results go."""

    def publish(self, outcome: ScanResult | ScanFailure) -> str:
        """Store one outcome, complete or not at all.

        Returns:
            Key of the record that readers now see. That is the one of whoever was first.
        """
        ...
