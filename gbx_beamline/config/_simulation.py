"""Ensembles of simulated scans, for training and for comparison with the paper."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from gbx_beamline.config._base import LARGEST_Q, Strict
from gbx_beamline.errors import ConfigError

Mode = Literal["measurement", "paper"]


class PaperSimulation(Strict):
    """The paper's ensemble: 2,500 s, one q, its ranges and its resize. The defaults are as released."""

    noise: Literal["fixed", "independent"] = "fixed"
    """One noise for all members, or honest noise: another one for each."""
    method: Literal["euler", "exact"] = "euler"
    """Euler-Maruyama, or exact sampling."""
    size: Annotated[int, Field(ge=3)] = 256
    """Time cells of a map, where the simulation does not say it."""


class MeasurementSimulation(Strict):
    """Scans as a detector sees them, each with parameters and nuisances from their priors."""

    frames: Annotated[int, Field(ge=3)] = 256
    frame_time_s: Annotated[float, Field(gt=0)] = 2500 / 256
    q_par: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (0.0405, 0.045, 0.0495)
    """1/Angstrom, one for each q-ROI."""
    pixels: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = (2_000, 20_000)
    """Fewest and most per q-ROI."""
    temperature_k: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (290.0, 510.0)
    """Lowest and highest."""
    scans_per_sample: Annotated[int, Field(ge=1)] = 1
    """Members that follow each other and are the same sample at different temperatures."""
    without: tuple[str, ...] = ()
    """Effects of the measurement that are switched off, by name, e.g. beam_motion."""
    size: Annotated[int, Field(ge=3)] = 64
    """Time cells of a map, where the simulation does not say it."""

    @field_validator("q_par")
    @classmethod
    def _in_angstrom(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if max(value) > LARGEST_Q:
            raise ValueError(f"{max(value):g} cannot be in 1/Angstrom; it looks like 1/m: write {max(value) / 1e10:g}")
        return value

    @field_validator("pixels", "temperature_k")
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError(f"the smaller number {value[1]:g} must come before the larger one {value[0]:g}")
        return value


class SimulationConfig(Strict):
    """What ``gbx simulate`` makes."""

    mode: Mode = "measurement"
    members: Annotated[int, Field(ge=1, le=10_000_000)] = 2000
    size: Annotated[int, Field(ge=3)] | None = None
    """Time cells of a map; None = as the mode says."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    """Same seed, same ensemble."""
    batch: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Members that are computed and stored together. No number depends on it."""
    paper: PaperSimulation = PaperSimulation()
    measurement: MeasurementSimulation = MeasurementSimulation()

    @property
    def cells(self) -> int:
        """Time cells of a map."""
        return self.size or getattr(self, self.mode).size

    def with_choices(self, **choices: Any) -> SimulationConfig:
        """The same with other values; those that are None stay.

        Raises:
            ConfigError: an impossible value.
        """
        chosen = {name: value for name, value in choices.items() if value is not None}
        try:
            return SimulationConfig.model_validate({**self.model_dump(), **chosen})
        except ValidationError as error:
            said = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise ConfigError(said, needed="possible values", action="correct what is named") from error

    def in_use(self) -> dict[str, Any]:
        """The settings that count in this mode, in JSON's types."""
        mode = getattr(self, self.mode).model_dump(mode="json", exclude={"size"})
        return {
            "mode": self.mode,
            "members": self.members,
            "size": self.cells,
            "seed": self.seed,
            "batch": self.batch,
            self.mode: mode,
        }

    @property
    def hash(self) -> str:
        """Twelve hex digits that change whenever a setting that changes a number does."""
        settings = {name: value for name, value in self.in_use().items() if name != "batch"}
        text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]
