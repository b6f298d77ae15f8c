"""The configuration files configs/*.yaml as pydantic models. Unknown keys are refused.

Here, and only at such edges, q is in 1/Angstrom, angles in degrees and wavelengths in Angstrom,
because people write and read these files. The rest of the package is in SI.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gbx_beamline.errors import ConfigError

LARGEST_Q = 20.0
"""1/Angstrom. No X-ray scattering experiment of this kind reaches it; beyond lies another unit."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _q_interval(value: tuple[float, float]) -> tuple[float, float]:
    low, high = value
    if max(abs(low), abs(high)) > LARGEST_Q:
        raise ValueError(
            f"{max(abs(low), abs(high)):g} cannot be in 1/Angstrom; it looks like 1/m: "
            f"write {low / 1e10:g}, {high / 1e10:g}"
        )
    if not low < high:
        raise ValueError(f"the lower end {low:g} must be below the upper end {high:g}")
    return value


class QBox(_Strict):
    """A rectangle in (q_par, q_z), for GISAXS."""

    name: str | None = None
    q_par: tuple[float, float]
    """1/Angstrom, |q_par| between these, on ``side`` of the beam."""
    q_z: tuple[float, float]
    """1/Angstrom."""
    side: Literal["both", "left", "right"] = "both"

    _check_par = field_validator("q_par")(_q_interval)
    _check_z = field_validator("q_z")(_q_interval)


class QRing(_Strict):
    """A ring in |q|, or a sector of it."""

    name: str | None = None
    q: tuple[float, float]
    """1/Angstrom."""
    azimuth: tuple[float, float] | None = None
    """Degrees, anticlockwise from the right as seen from the sample, flips undone; None = the whole ring."""
    symmetric: bool = False
    """True adds the sector opposite to ``azimuth``."""

    _check = field_validator("q")(_q_interval)


class RoiConfig(_Strict):
    """Which q-ROIs to analyse: boxes, rings (with or without sector) or a label image, exactly one kind."""

    boxes: tuple[QBox, ...] = ()
    rings: tuple[QRing, ...] = ()
    labels: Path | None = None
    """.npy or .npz file with an integer image, 0 = outside."""
    catalog_labels: str | None = None
    """Path of such an array in the catalog."""

    @model_validator(mode="after")
    def _one_kind(self) -> RoiConfig:
        given = [kind for kind in ("boxes", "rings", "labels", "catalog_labels") if getattr(self, kind)]
        if len(given) > 1:
            raise ValueError(f"give one kind of q-ROI, not {' and '.join(given)}")
        return self

    @property
    def given(self) -> bool:
        """False when no q-ROI is configured."""
        return bool(self.boxes or self.rings or self.labels or self.catalog_labels)


class GeometryConfig(_Strict):
    """What the detector file does not say, or says wrongly. Values given here win over the file."""

    mode: Literal["gisaxs", "transmission"] | None = None
    beam_center_x: float | None = None
    beam_center_y: float | None = None
    distance_m: Annotated[float, Field(gt=0, lt=1000)] | None = None
    wavelength_angstrom: Annotated[float, Field(gt=0, lt=100)] | None = None
    pixel_size_um: Annotated[float, Field(gt=0, lt=10000)] | None = None
    incidence_deg: Annotated[float, Field(ge=0, lt=90)] | None = None
    critical_angle_deg: Annotated[float, Field(gt=0, lt=10)] | None = None
    tilt_deg: Annotated[float, Field(gt=-180, le=180)] | None = None
    flip_x: bool | None = None
    flip_y: bool | None = None


class MaskConfig(_Strict):
    """Pixels to leave out beside those the detector file names."""

    file: Path | None = None
    """.npy or .npz file, (y, x)."""
    true_means: Literal["good", "bad"] = "good"
    """What True stands for in that file; at CHX, good."""


class CorrelationConfig(_Strict):
    """Two-time and one-time correlation."""

    bad_frames: tuple[int, ...] = ()
    one_time: Literal["ratio_of_sums", "pychx"] = "ratio_of_sums"
    max_memory_gib: Annotated[float, Field(gt=0)] = 4.0
    """Ceiling for what one scan may hold at once. A scan that needs more is refused with the number."""


class NonEquilibriumConfig(_Strict):
    """The cell and the shortest diagonal that belong to the definition of S_noneq."""

    max_cells: Annotated[int, Field(ge=8, le=512)] = 256
    """S_noneq is computed on at most this many time cells, each an integer number of frames."""
    min_pairs: Annotated[int, Field(ge=1)] = 1
    """Diagonals shorter than this many cells are left out; 1 is Eq. 3 as printed."""


class AnalysisConfig(_Strict):
    """Everything that changes the numbers of a correlation record; its hash is part of the record's identity."""

    geometry: GeometryConfig = GeometryConfig()
    rois: RoiConfig = RoiConfig()
    mask: MaskConfig = MaskConfig()
    correlation: CorrelationConfig = CorrelationConfig()
    nonequilibrium: NonEquilibriumConfig = NonEquilibriumConfig()
    frame_time_s: Annotated[float, Field(gt=0)] | None = None
    """s between frames, where the file does not say it or says it wrongly; wins over the file."""
    allow_incomplete: bool = False
    """True analyses what exists of a series with missing data files, and flags it."""

    @property
    def hash(self) -> str:
        """Twelve hex digits that change whenever a setting that counts, or the content of a file it names, does."""
        settings = self.model_dump(mode="json")
        # The ceiling decides whether there is a result, not what it is: raised, the same record is meant.
        del settings["correlation"]["max_memory_gib"]
        # A file counts by its content: moving it changes nothing, redrawing it does.
        for part, key in (("mask", "file"), ("rois", "labels")):
            if settings[part][key] is not None:
                settings[part][key] = _digest(Path(settings[part][key]))
        text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


class SampleConfig(_Strict):
    """What differs for one sample. Absent parts are those of ``analysis``."""

    geometry: GeometryConfig | None = None
    rois: RoiConfig | None = None
    mask: MaskConfig | None = None


class CatalogConfig(_Strict):
    """Where raw runs and results live. The API key comes from the environment, never from here."""

    uri: str | None = None
    """Tiled server; None starts the embedded one on ``directory``."""
    directory: Path = Path("gbx-data")
    """Folder of the embedded catalog: database, arrays, detector files, reports."""
    raw: str = "raw"
    """Path of the raw runs in the catalog."""
    processed: str = "processed"
    """Path of the results in the catalog."""
    api_key_env: str = "TILED_API_KEY"


class DemoDynamics(_Strict):
    """Relaxation at one temperature: field rate ``rate (q / q_reference)^2 (1 + t / age)^-ageing``."""

    temperature_k: Annotated[float, Field(gt=0)]
    rate_per_s: Annotated[float, Field(gt=0)]
    """At ``q_reference`` and t = 0."""
    ageing: float = 0.0
    """0 is stationary."""


class DemoConfig(_Strict):
    """The simulated experiment of ``gbx demo``."""

    sample: str = "nanocrystalline-Si"
    frames: Annotated[int, Field(ge=2)] = 625
    shape: tuple[Annotated[int, Field(ge=32)], Annotated[int, Field(ge=32)]] = (512, 512)
    frame_time_s: Annotated[float, Field(gt=0)] = 4.0
    mean_counts: Annotated[float, Field(gt=0)] = 1.0
    coherence_modes: Annotated[int, Field(ge=1)] = 4
    frames_per_file: Annotated[int, Field(ge=1)] = 100
    seed: int = 20261123
    geometry: GeometryConfig = GeometryConfig(
        beam_center_x=-1000, beam_center_y=1012, distance_m=10.08, wavelength_angstrom=1.285, pixel_size_um=75
    )
    """What the simulated detector writes into its files: a part of the Eiger at one side of the beam."""
    q_reference: Annotated[float, Field(gt=0, lt=LARGEST_Q)] = 0.045
    """1/Angstrom."""
    age_s: Annotated[float, Field(gt=0)] = 300.0
    dynamics: Annotated[tuple[DemoDynamics, ...], Field(min_length=1)] = (
        DemoDynamics(temperature_k=299, rate_per_s=3.0e-4),
        DemoDynamics(temperature_k=371, rate_per_s=6.0e-4, ageing=0.5),
        DemoDynamics(temperature_k=421, rate_per_s=2.0e-3, ageing=1.0),
        DemoDynamics(temperature_k=471, rate_per_s=1.0e-2, ageing=1.8),
    )
    """One run per entry, in this order: from stationary to strongly ageing."""


class Config(_Strict):
    """One configs/*.yaml."""

    analysis: AnalysisConfig = AnalysisConfig()
    samples: dict[str, SampleConfig] = {}
    catalog: CatalogConfig = CatalogConfig()
    demo: DemoConfig = DemoConfig()

    def for_sample(self, sample: str | None) -> AnalysisConfig:
        """The analysis settings of one sample: q-ROIs and mask replaced whole, geometry value by value."""
        override = self.samples.get(sample or "")
        if override is None:
            return self.analysis
        update: dict[str, Any] = {k: v for k, v in override if v is not None}
        if override.geometry is not None:
            stated = override.geometry.model_dump(exclude_none=True)
            update["geometry"] = self.analysis.geometry.model_copy(update=stated)
        return self.analysis.model_copy(update=update)


def load_config(path: Path | str) -> Config:
    """Read and check a YAML file.

    Paths inside it are taken relative to the file's folder, except ``catalog.directory``, which is relative
    to the working folder because it is where data are written.

    Raises:
        ConfigError: no such file, no YAML, an unknown key or an impossible value; every mistake is named.
    """
    path = Path(path)
    try:
        content: Any = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(
            f"configuration {path}: {error.strerror}",
            needed="a readable YAML file",
            action="check the path given with --config",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} is no YAML: {' '.join(str(error).replace('<unicode string>', path.name).split())}",
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


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}", needed="the file that the configuration names", action="correct its path"
        ) from error


def _say(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"]) or "top level"
    if item["type"] == "extra_forbidden":
        return f"unknown key {place!r}"
    return f"{place}: {item['msg'].removeprefix('Value error, ')} (found {item['input']!r})"


def _resolved(config: Config, folder: Path) -> Config:
    def rois(part: RoiConfig) -> RoiConfig:
        return part if part.labels is None else part.model_copy(update={"labels": folder / part.labels})

    def mask(part: MaskConfig) -> MaskConfig:
        return part if part.file is None else part.model_copy(update={"file": folder / part.file})

    analysis = config.analysis.model_copy(
        update={"rois": rois(config.analysis.rois), "mask": mask(config.analysis.mask)}
    )
    samples = {
        sample: part.model_copy(update={"rois": part.rois and rois(part.rois), "mask": part.mask and mask(part.mask)})
        for sample, part in config.samples.items()
    }
    return config.model_copy(update={"analysis": analysis, "samples": samples})
