"""What a model says of a scan, and who may say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.records._arrays import Floats
from gbx_beamline.records._correlation import TwoTime
from gbx_beamline.records._kinetics import Scaling
from gbx_beamline.records._scan import ScanInfo

PARAMETERS = ("diffusivity", "gamma", "gb_fraction")
"""Inferred parameters, in the order that arrays have them: D in m^2/s, GB friction gamma = 1/M in J s m^-4 (larger is
slower), lambda_GB."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One parameter, in SI."""

    median: float
    low: float
    high: float
    """``low..high`` holds the truth with the probability ``Inference.level``, as calibrated."""


@dataclass(frozen=True, kw_only=True)
class Flag:
    """One thing to know before believing an inference."""

    code: str
    """Short and fixed, e.g. "undetermined:gamma": what programs look for."""
    text: str
    """The same in a sentence."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a scan lies in the picture (UMAP) of the scans that its model was judged with: what is alike, not what is
    true."""

    x: float
    y: float
    remoteness: float
    """Distance to the nearest scan of the picture over the usual one: 1 is ordinary, 10 is where it knows nothing."""


@dataclass(frozen=True, kw_only=True)
class Inference:
    """The posterior of one scan's parameters, and why to believe it or not."""

    model_id: str
    parameters: Mapping[str, Estimate]
    """By the names of ``PARAMETERS``."""
    samples: NDArray[np.float64]
    """(n, 3) of the posterior, columns as ``PARAMETERS``, SI."""
    level: float = 0.9
    """Of the intervals."""
    flags: tuple[Flag, ...] = ()
    """Empty means that nothing speaks against it."""
    ood_score: float | None = None
    """How unlike anything the model was trained on the scan is: share of simulated scans that are less so, 0..1. None
    where the model cannot say."""
    probabilities: Mapping[str, float]
    """Of each kind of dynamics, 1 in total; "grain_boundary" is the model whose parameters these are. Empty where the
    model does not compare."""
    temperature: float
    """K that the model was told."""
    q: NDArray[np.float64]
    """(Q,) 1/m of the q-ROIs that took part."""
    q_convention: str
    """Which q the diffusivity refers to: "parallel" (q_par^2 D is the bulk's rate) or "total"."""
    notes: tuple[str, ...] = ()
    """What was done to the scan to fit the model's input contract, in words."""
    place: Place | None = None
    """None where the model has no picture: none was drawn by an evaluation."""

    @property
    def preferred(self) -> str | None:
        """The most probable kind of dynamics; None where the model does not compare."""
        return max(self.probabilities, key=lambda kind: self.probabilities[kind]) if self.probabilities else None


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a model did not judge a scan: it is outside of the model's input contract."""

    model_id: str
    kind: str
    """Class of the error."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class ScanInference:
    """What one model says of one correlation record: what the catalog stores beside it."""

    record: str
    """Key of the correlation record."""
    scan: ScanInfo
    outcome: Inference | Refusal
    package_version: str
    seed: int = 0
    """Of the posterior's samples and of the predictive check."""
    checked: bool = True
    """Whether scans were simulated from the answer and compared."""

    @property
    def model_id(self) -> str:
        """Who says it."""
        return self.outcome.model_id


@dataclass(frozen=True, kw_only=True)
class GroupAnswer:
    """What a model says of one scan, given the others of its group."""

    record: str
    """Key of the correlation record."""
    scan: ScanInfo
    outcome: Inference | Refusal


@runtime_checkable
class Predictor(Protocol):
    """Infers parameters from two-time maps."""

    @property
    def id(self) -> str:
        """Names the model in records."""
        ...

    def predict(
        self,
        tt: TwoTime,
        temperature: float,
        q: Floats | None = None,
        *,
        scaling: Scaling | None = None,
        check: bool = False,
        seed: int = 0,
    ) -> Inference:
        """The posterior of one scan.

        Args:
            tt: its maps.
            temperature: K.
            q: (Q,) 1/m, where ``tt`` carries none.
            scaling: classical fits of the same scan, where there are any.
            check: simulate scans from the answer and compare.
            seed: same seed, same answer.

        Raises:
            ContractError: the scan is none that the model may judge, with the reason.
        """
        ...
