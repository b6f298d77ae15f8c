"""The configuration files configs/*.yaml as pydantic models. Unknown keys are refused.

Here, and only at such edges, q is in 1/Angstrom, angles in degrees and wavelengths in Angstrom,
because people write and read these files. The rest of the package is in SI.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from gbx_beamline.config._analysis import (
    AnalysisConfig,
    BeamBoxConfig,
    CareConfig,
    CorrelationConfig,
    GeometryConfig,
    MaskConfig,
    NonEquilibriumConfig,
    QBox,
    QRing,
    RoiConfig,
    Rule,
)
from gbx_beamline.config._base import LARGEST_Q, Strict
from gbx_beamline.config._commissioning import (
    ColloidConfig,
    CommissioningConfig,
    ExpectedConfig,
    InjectedConfig,
    SimulatedCommissioning,
)
from gbx_beamline.config._comparing import CompareConfig, FloorConfig
from gbx_beamline.config._demo import DemoConfig, DemoDynamics
from gbx_beamline.config._groups import GroupsConfig
from gbx_beamline.config._models import ModelsConfig
from gbx_beamline.config._paper_family import PaperFamilyConfig
from gbx_beamline.config._retraining import DriftConfig, RetrainingConfig
from gbx_beamline.config._selection import DEFAULT_RULE, RuleName, SelectionRule
from gbx_beamline.config._serve import (
    HealthConfig,
    KafkaConfig,
    LiveConfig,
    RetryConfig,
    ServeConfig,
    SweepConfig,
    TriggersConfig,
)
from gbx_beamline.config._simulation import MeasurementSimulation, PaperSimulation, SimulationConfig
from gbx_beamline.config._traces import (
    START,
    TEMPERATURE,
    ChannelConfig,
    ClockConfig,
    DoseConfig,
    GateConfig,
    HoldConfig,
    TracesConfig,
)
from gbx_beamline.config._training import TrainingConfig, TrainingData, TrainingNetwork
from gbx_beamline.errors import ConfigError
from gbx_beamline.untrusted import read_yaml

__all__ = [
    "DEFAULT_RULE",
    "LARGEST_Q",
    "START",
    "TEMPERATURE",
    "AnalysisConfig",
    "BeamBoxConfig",
    "CareConfig",
    "CatalogConfig",
    "ChannelConfig",
    "ClockConfig",
    "ColloidConfig",
    "CommissioningConfig",
    "CompareConfig",
    "Config",
    "CorrelationConfig",
    "DemoConfig",
    "DemoDynamics",
    "DoseConfig",
    "DriftConfig",
    "ExpectedConfig",
    "FloorConfig",
    "GateConfig",
    "GeometryConfig",
    "GroupsConfig",
    "HealthConfig",
    "HoldConfig",
    "InjectedConfig",
    "KafkaConfig",
    "LiveConfig",
    "MaskConfig",
    "MeasurementSimulation",
    "ModelsConfig",
    "NonEquilibriumConfig",
    "PaperFamilyConfig",
    "PaperSimulation",
    "QBox",
    "QRing",
    "RetrainingConfig",
    "RetryConfig",
    "RoiConfig",
    "Rule",
    "SampleConfig",
    "SelectionRule",
    "ServeConfig",
    "SimulatedCommissioning",
    "SimulationConfig",
    "Strict",
    "SweepConfig",
    "TracesConfig",
    "TrainingConfig",
    "TrainingData",
    "TrainingNetwork",
    "TriggersConfig",
    "load_config",
    "parse_config",
    "sample_itself",
]

_LONGEST_FOUND = 200
"""Characters of a wrong value that a message repeats."""


class SampleConfig(Strict):
    """What differs for one sample. Absent parts are those of ``analysis``."""

    geometry: GeometryConfig | None = None
    rois: RoiConfig | None = None
    mask: MaskConfig | None = None

    def over(self, settings: AnalysisConfig) -> AnalysisConfig:
        """``settings`` with these put over them: q-ROIs and mask replaced whole, geometry value by value."""
        update: dict[str, Any] = {name: value for name, value in self if value is not None}
        if self.geometry is not None:
            stated = self.geometry.model_dump(exclude_none=True)
            update["geometry"] = settings.geometry.model_copy(update=stated)
        return settings.model_copy(update=update)


class CatalogConfig(Strict):
    """Where raw runs and results live. The API key comes from the environment, never from here."""

    uri: str | None = None
    """Tiled server; None starts the embedded one on ``directory``."""
    directory: Path = Path("gbx-data")
    """Folder of the embedded catalog: database, arrays, detector files, reports."""
    raw: str = "raw"
    """Path of the raw runs in the catalog."""
    processed: str = "processed"
    """Path of the results in the catalog."""
    store: Path | None = None
    """Folder on a disk that this process writes and the server of ``uri`` reads (one of its ``readable_storage``):
    arrays of results are written there, many times faster than through HTTP. The embedded server has its own."""
    api_key_env: str = "TILED_API_KEY"
    roots: tuple[Path, ...] | None = None
    """Folders below which detector files that the catalog names are read from disk, relative to the working folder;
    all others come over HTTP. None: those of ``GBX_DATA_ROOTS``, else of ``serve.live.roots``, else the embedded
    catalog's folder of frames."""

    @property
    def frames(self) -> Path:
        """Folder that the embedded catalog reads detector files from."""
        return self.directory / "frames"


class Config(Strict):
    """One configs/*.yaml."""

    analysis: AnalysisConfig = AnalysisConfig()
    samples: dict[str, SampleConfig] = Field(default_factory=dict)
    selection: dict[RuleName, SelectionRule] = Field(
        default_factory=lambda: {DEFAULT_RULE: SelectionRule()}, min_length=1
    )
    """Rules by which `gbx serve` chooses runs; without any, every run is analysed as ``analysis`` says."""
    groups: GroupsConfig = GroupsConfig()
    compare: CompareConfig = CompareConfig()
    floor: FloorConfig = FloorConfig()
    serve: ServeConfig = ServeConfig()
    catalog: CatalogConfig = CatalogConfig()
    demo: DemoConfig = DemoConfig()
    commissioning: CommissioningConfig = CommissioningConfig()
    simulation: SimulationConfig = SimulationConfig()
    models: ModelsConfig = ModelsConfig()
    training: TrainingConfig = TrainingConfig()
    retraining: RetrainingConfig = RetrainingConfig()
    paper_family: PaperFamilyConfig = PaperFamilyConfig()

    def for_sample(self, sample: str | None, *, kept: SampleConfig | None = None) -> AnalysisConfig:
        """The analysis settings of one sample: those of its part here, and over them what the catalog keeps of it.

        "Si [rebinned]", frames of Si with something done to them, is analysed as Si unless it has settings of its own.
        """
        settings = self.analysis
        name = sample or ""
        for part in (self.samples.get(name) or self.samples.get(sample_itself(name)), kept):
            if part is not None:
                settings = part.over(settings)
        return settings

    def for_run(
        self, sample: str | None, rule: str | None = None, *, kept: SampleConfig | None = None
    ) -> AnalysisConfig:
        """The analysis settings of one run: those of its sample, and over them what a selection rule says.

        Args:
            sample: Name of the sample.
            rule: Name of the rule by which the run is analysed; None = by none, a person asked for it.
            kept: What the catalog keeps of the sample.

        Raises:
            ConfigError: no such rule; a job may be older than the configuration.
        """
        settings = self.for_sample(sample, kept=kept)
        if not rule:
            return settings
        if rule not in self.selection:
            raise ConfigError(
                f"no selection rule {rule!r}",
                needed=f"one of {', '.join(self.selection)}",
                action="give the rule its old name back, or drop its runs with `gbx queue drop`",
            )
        return self.selection[rule].over(settings)

    def absolute(self) -> Config:
        """The same with absolute paths, for a process with another working folder."""
        here = Path.cwd()
        models = self.models.model_copy(update={"directory": here / self.models.directory})
        roots = None if self.catalog.roots is None else tuple(here / root for root in self.catalog.roots)
        catalog = self.catalog.model_copy(update={"directory": here / self.catalog.directory, "roots": roots})
        retraining = self.retraining.model_copy(update={"directory": here / self.retraining.directory})
        parts = {"models": models, "catalog": catalog, "retraining": retraining}
        return _resolved(self, here).model_copy(update=parts)


def sample_itself(name: str) -> str:
    """The sample, of a name that says in square brackets what was done to its frames: Si of "Si [rebinned]"."""
    return re.sub(r" \[[^\[\]]*\]$", "", name)


def load_config(path: Path | str) -> Config:
    """Read and check a YAML file.

    Paths inside it are taken relative to the file's folder, except ``catalog.directory``, ``serve.directory`` and the
    folders of ``models`` and ``retraining``, which are relative to the working folder because
    they are where data are written.

    Raises:
        ConfigError: no such file, no YAML, an unknown key or an impossible value; every mistake is named.
    """
    path = Path(path)
    try:
        content = read_yaml(path)
    except OSError as error:
        raise ConfigError(
            f"configuration {path}: {error.strerror}",
            needed="a readable YAML file",
            action="check the path given with --config",
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"{path} is no YAML: {error}",
            needed="valid YAML",
            action="correct the line named",
        ) from error
    return parse_config(content, name=str(path), folder=path.parent)


def parse_config(content: Any, *, name: str = "configuration", folder: Path = Path()) -> Config:
    """Check an already read configuration; relative file names are resolved against ``folder``."""
    try:
        config = Config.model_validate({} if content is None else content)
    except ValidationError as error:
        mistakes = "; ".join(_say(item) for item in error.errors())
        raise ConfigError(
            f"{name}: {mistakes}", needed="the keys and values of configs/demo.yaml", action="correct the keys named"
        ) from error
    return _resolved(config, folder)


def _say(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"]) or "top level"
    if item["type"] == "extra_forbidden":
        return f"unknown key {place!r}"
    found = repr(item["input"])
    if len(found) > _LONGEST_FOUND:
        found = f"{found[:_LONGEST_FOUND]}..."
    return f"{place}: {item['msg'].removeprefix('Value error, ')} (found {found})"


def _resolved(config: Config, folder: Path) -> Config:
    def rois(part: RoiConfig) -> RoiConfig:
        return part if part.labels is None else part.model_copy(update={"labels": folder / part.labels})

    def mask(part: MaskConfig) -> MaskConfig:
        return part if part.file is None else part.model_copy(update={"file": folder / part.file})

    def stated(part: AnalysisConfig) -> dict[str, Any]:
        # What was not stated stays so: a rule overrides what it names and nothing else.
        known = {"rois": rois(part.rois), "mask": mask(part.mask)}
        return {key: value for key, value in known.items() if key in part.model_fields_set}

    analysis = config.analysis.model_copy(update=stated(config.analysis))
    samples = {
        sample: part.model_copy(update={"rois": part.rois and rois(part.rois), "mask": part.mask and mask(part.mask)})
        for sample, part in config.samples.items()
    }
    selection = {
        name: rule.model_copy(
            update={"analysis": rule.analysis and rule.analysis.model_copy(update=stated(rule.analysis))}
        )
        for name, rule in config.selection.items()
    }
    return config.model_copy(update={"analysis": analysis, "samples": samples, "selection": selection})
