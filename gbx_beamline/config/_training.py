"""Training of the GBX family: what is simulated for it, the network and the optimiser."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from gbx_beamline.config._base import LARGEST_Q, Strict

Range = tuple[float, float]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class TrainingData(Strict):
    """Fresh simulations: a scan is seen in ``passes`` steps and never again."""

    log10_diffusivity: Range = (-23.7, -20.3)
    """m^2/s. The prior is uniform in these three."""
    log10_gamma: Range = (17.0, 20.0)
    """J s m^-4."""
    gb_fraction: Range = (0.0, 0.5)
    bow_nm: Annotated[float, Field(ge=0)] = 75.0
    """Largest A of Eq. 9 where boundaries begin bowed, uniform from 0: half more than the 49 nm that they are long, so
    that strongly bowed ones are no rarity at the edge of what the network knows."""
    temperature_k: Range = (290.0, 510.0)
    """Uniform."""
    q_par: Range = (0.038, 0.052)
    """1/Angstrom, uniform, each q-ROI by itself."""
    rois: tuple[Share, ...] = (0.35, 0.1, 0.35, 0.08, 0.06, 0.06)
    """Shares of scans with 1, 2, ... q-ROIs."""
    frames: Annotated[int, Field(ge=64)] = 256
    window_s: Range = (2000.0, 2600.0)
    """Uniform."""
    pixels: tuple[Annotated[int, Field(ge=100)], Annotated[int, Field(ge=100)]] = (1_500, 50_000)
    """Per q-ROI, log-uniform."""
    counts: Range = (0.6, 40.0)
    """Photons per pixel and time cell, log-uniform."""
    alternatives: Share = 0.25
    """Share of scans that are no grain boundaries, for the head that tells kinds of dynamics apart."""
    shots: Annotated[int, Field(ge=1)] = 8
    """Scans made of one boundary's trajectory, each with another D, lambda and measurement: a trajectory costs more
    than its measurements."""
    without: tuple[str, ...] = ()
    """Effects of the measurement that are switched off, by name, e.g. beam_motion."""
    clean: bool = False
    """The paper's own g2, of one straight boundary, with neither noise nor any effect of a measurement: shows what a
    network is able to, and is never shipped."""

    @field_validator(
        "log10_diffusivity", "log10_gamma", "gb_fraction", "temperature_k", "q_par", "window_s", "pixels", "counts"
    )
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not value[0] < value[1]:
            raise ValueError(f"the smaller number goes first (found {value[0]:g}, {value[1]:g})")
        return value

    @field_validator("q_par")
    @classmethod
    def _in_angstrom(cls, value: Range) -> Range:
        if not 0 < value[0] <= value[1] <= LARGEST_Q:
            raise ValueError(f"{value[1]:g} cannot be in 1/Angstrom; it looks like 1/m: write {value[1] / 1e10:g}")
        return value

    @field_validator("rois")
    @classmethod
    def _shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or abs(sum(value) - 1.0) > 1e-6:
            raise ValueError(f"shares add up to {sum(value):g}, not to 1")
        return value


class TrainingNetwork(Strict):
    """Sizes of the network."""

    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=5)] = (24, 48, 96, 128)
    """Of the convolutions, each of which halves the map."""
    image_features: Annotated[int, Field(ge=1)] = 128
    roi_features: Annotated[int, Field(ge=1)] = 96
    context: Annotated[int, Field(ge=1)] = 160
    transforms: Annotated[int, Field(ge=1)] = 4
    hidden: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (128, 128)
    bins: Annotated[int, Field(ge=2)] = 8


class TrainingConfig(Strict):
    """What ``gbx train`` does. Same configuration and seed, same model: how many processes simulate does not matter."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 5
    steps: Annotated[int, Field(ge=1)] = 5600
    """Of the optimiser."""
    scans_per_step: Annotated[int, Field(ge=8)] = 256
    passes: Annotated[int, Field(ge=1)] = 3
    """Steps that see the same scans, some steps apart: one core trains as fast as two simulate a third of its scans."""
    learning_rate: Positive = 2e-3
    """At its highest; it rises over ``warmup`` steps and falls as a cosine to a hundredth."""
    warmup: Annotated[int, Field(ge=0)] = 100
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3
    largest_gradient: Positive = 1.0
    """Norm at which gradients are clipped."""
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.995
    """Share of the averaged weights that a step keeps: the model is the average, not the last step."""
    kinds_weight: Annotated[float, Field(ge=0)] = 0.3
    """Of the loss that tells kinds of dynamics apart."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """Of the convolutions; all else is float32."""
    device: str = "auto"
    """As torch names it; "auto" takes a GPU where torch sees one."""
    workers: Annotated[int, Field(ge=0)] | None = None
    """Processes that simulate while this one trains; None = one per core (training takes a third of the time that
    simulating does); 0 = this one does both."""
    checkpoint_minutes: Positive = 3.0
    validation_scans: Annotated[int, Field(ge=16)] = 2048
    validation_steps: Annotated[int, Field(ge=1)] = 500
    """Steps between looks at scans that training does not see."""
    calibration_scans: Annotated[int, Field(ge=0)] = 3000
    """Simulated after training, for what is familiar to the network and for how sure it may be of kinds; fewer than 400
    are none."""
    calibration_groups: Annotated[int, Field(ge=0)] = 60
    """Of nine scans of one sample each, for how alike their errors are; 0 = they are taken for independent."""
    data: TrainingData = TrainingData()
    network: TrainingNetwork = TrainingNetwork()

    @model_validator(mode="after")
    def _warmup_within(self) -> TrainingConfig:
        if self.warmup >= self.steps:
            raise ValueError(f"warmup {self.warmup} is to be less than steps {self.steps}")
        return self

    def in_use(self) -> dict[str, Any]:
        """The settings that decide the model, in JSON's types."""
        return self.model_dump(mode="json", exclude={"device", "workers", "checkpoint_minutes"})

    @property
    def hash(self) -> str:
        """Twelve hex digits that change whenever a setting that decides the model does."""
        text = json.dumps(self.in_use(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]
