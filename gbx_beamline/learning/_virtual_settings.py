"""What a suite of virtual experiments holds: a few settings and one seed from which every photon follows."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gbx_beamline.errors import ConfigError
from gbx_beamline.records import CORRELATION_VERSION

SIMULATION_VERSION = 1
"""Of what turns settings into photons. Another number is another set of experiments: metrics do not compare."""

Kind = Literal["grain_boundary", "stretched_bulk", "ramp", "pareto", "static", "ballistic", "colloid"]
"""What the sample does. The first is the model that is inferred, the next three are effects on it that no training
prior holds, the last three are no grain boundaries at all."""

FOREIGN: tuple[Kind, ...] = ("static", "ballistic", "colloid")

Range = tuple[Annotated[float, Field(allow_inf_nan=False)], Annotated[float, Field(allow_inf_nan=False)]]


class SuiteSettings(BaseModel):
    """A suite, as its YAML file says. SI units."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    what: str
    """In one sentence."""
    seed: int = Field(ge=0)
    groups: int = Field(ge=1, le=100_000)
    """Samples. Kind, number of q-ROIs and temperatures take turns from one to the next."""
    shots: int = Field(default=9, ge=3, multiple_of=3)
    """Of each sample."""
    kinds: tuple[Kind, ...] = Field(default=("grain_boundary",), min_length=1)
    rois: tuple[Annotated[int, Field(ge=1, le=12)], ...] = Field(default=(1, 3), min_length=1)
    severities: tuple[Annotated[float, Field(ge=0.0, le=2.0)], ...] = Field(default=(1.0,), min_length=1)
    """Every shot is measured with its nuisances this many times as strong: 0 leaves photons, speckles and contrast."""
    diffusivity: Range = (3e-24, 3e-21)
    """m^2/s, log-uniform."""
    gamma: Range = (1e17, 1e20)
    """J s m^-4, log-uniform."""
    gb_fraction: Range = (0.0, 0.5)
    activation_energy: Range = (0.2, 0.6)
    """eV, of diffusion and of boundary motion, each its own."""
    temperature: Range = (299.0, 471.0)
    """K."""
    q: Range = (3.9e8, 5.1e8)
    """1/m, of the first and the last q-ROI; a single one lies in the middle."""
    frames: int = Field(default=256, ge=64)
    window: float = Field(default=2500.0, gt=0.0)
    """s."""
    pixels: tuple[int, int] = (6_000, 20_000)
    """Per q-ROI, log-uniform."""
    mean_counts: Range = (0.5, 5.0)
    """Per pixel and frame, log-uniform, each shot and q-ROI its own."""

    @model_validator(mode="after")
    def _rising(self) -> SuiteSettings:
        for name in ("diffusivity", "gamma", "gb_fraction", "activation_energy", "temperature", "q", "pixels"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} = [{low:g}, {high:g}]: the smaller number goes first, none is negative")
        return self

    @property
    def key(self) -> str:
        """Names these very experiments: hash of the settings, of the simulation's and of the correlation's version.

        The words that describe them do not enter.
        """
        content = {
            **self.model_dump(mode="json", exclude={"what"}),
            "simulation": SIMULATION_VERSION,
            "correlation": CORRELATION_VERSION,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def q_of(self, rois: int) -> tuple[float, ...]:
        """(rois,) 1/m."""
        low, high = self.q
        if rois == 1:
            return (0.5 * (low + high),)
        return tuple(low + (high - low) * index / (rois - 1) for index in range(rois))


def suite_names() -> tuple[str, ...]:
    """Suites that come with the package."""
    return tuple(
        sorted(path.name.removesuffix(".yaml") for path in _shipped().iterdir() if path.name.endswith(".yaml"))
    )


def load_suite(name: str | Path) -> SuiteSettings:
    """A suite that comes with the package, by name, or one from a YAML file.

    Raises:
        ConfigError: no such suite, or a file that describes none.
    """
    path: Path | Traversable = Path(name)
    if isinstance(name, str) and not name.endswith((".yaml", ".yml")):
        if name not in suite_names():
            raise ConfigError(
                f"suite {name!r}",
                needed=f"one of {', '.join(suite_names())}, or a YAML file",
                action="correct the name",
            )
        path = _shipped() / f"{name}.yaml"
    try:
        return SuiteSettings.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path}: {error}", needed="a readable YAML file of a suite", action="correct the file"
        ) from error
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}" for one in error.errors())
        raise ConfigError(
            f"{path}: {said}", needed="the keys of a suite within their ranges", action="correct the file"
        ) from error


def _shipped() -> Traversable:
    return files("gbx_beamline.learning") / "suites"
