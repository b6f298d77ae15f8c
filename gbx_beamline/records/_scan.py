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
from gbx_beamline.records._non_equilibrium import NonEquilibrium

SCHEMA_VERSION = 2
"""Layout of the records in the catalog. Changes when readers must change."""

ALGORITHM_VERSION = "2"
"""Changes only when the numbers in a correlation record change."""


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


@dataclass(frozen=True, kw_only=True)
class ScanInfo:
    """What a run says of itself, as far as it says it."""

    run_uid: str
    sample: str | None = None
    temperature: float | None = None
    """K."""
    started: float | None = None
    """Unix time, s."""
    truth: Mapping[str, Any] | None = None
    """What a simulated run was made with."""
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
    one_time: OneTime
    nonequilibrium: tuple[NonEquilibrium, ...]
    fits: tuple[DecayFit, ...]
    """(Q,) simple exponential over the whole series."""
    kinetics: tuple[KineticsFit, ...]
    """Stretched or compressed exponential of each q-ROI, over the whole series and in windows of age."""
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
    """Which frames and pixels were left out automatically, the segments with and without beam, and what was seen."""
    motion: tuple[MotionCheck, ...]
    """(Q,) whether speckles or intensity moved; empty where the check was off or there are no frames."""
    jumps: tuple[JumpCheck, ...]
    """(Q,) abrupt decorrelations; empty where the check was off."""
    flags: tuple[str, ...]
    """What a reader must know before believing the numbers."""
    provenance: Provenance


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
