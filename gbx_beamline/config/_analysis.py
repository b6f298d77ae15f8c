"""Settings that change the numbers of a correlation record."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from gbx_beamline.config._base import LARGEST_Q, Strict
from gbx_beamline.config._traces import DoseConfig, TracesConfig
from gbx_beamline.errors import ConfigError


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


class QBox(Strict):
    """A rectangle in (q_par, q_z), for GISAXS."""

    name: str | None = None
    q_par: tuple[float, float]
    """1/Angstrom, |q_par| between these, on ``side`` of the beam."""
    q_z: tuple[float, float]
    """1/Angstrom."""
    side: Literal["both", "left", "right"] = "both"

    _check_par = field_validator("q_par")(_q_interval)
    _check_z = field_validator("q_z")(_q_interval)


class QRing(Strict):
    """A ring in |q|, or a sector of it."""

    name: str | None = None
    q: tuple[float, float]
    """1/Angstrom."""
    azimuth: tuple[float, float] | None = None
    """Degrees, anticlockwise from the right as seen from the sample, flips undone; None = the whole ring."""
    symmetric: bool = False
    """True adds the sector opposite to ``azimuth``."""

    _check = field_validator("q")(_q_interval)


class RoiConfig(Strict):
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


class GeometryConfig(Strict):
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


class MaskConfig(Strict):
    """Pixels to leave out beside those the detector file names."""

    file: Path | None = None
    """.npy or .npz file, (y, x)."""
    catalog_mask: str | None = None
    """Path of such an array in the catalog, in place of a file."""
    true_means: Literal["good", "bad"] = "good"
    """What True stands for in it; at CHX, good."""

    @model_validator(mode="after")
    def _one_place(self) -> MaskConfig:
        if self.file is not None and self.catalog_mask is not None:
            raise ValueError("give one mask, not file and catalog_mask")
        return self


class CorrelationConfig(Strict):
    """Two-time and one-time correlation."""

    bad_frames: tuple[int, ...] = ()
    one_time: Literal["ratio_of_sums", "pychx"] = "ratio_of_sums"
    normalisation: Literal["none", "time_average", "smoothed_image", "static_bins", "total_intensity"] = "none"
    """What counts are divided by before they are correlated; see ``gbx.two_time``."""
    groups: Annotated[int, Field(ge=0, le=32)] = 8
    """Pixel groups per q-ROI for the noise-corrected S_noneq; 0 leaves it out."""
    age_windows: Annotated[int, Field(ge=0, le=16)] = 3
    """Windows of age in which relaxation is fitted, beside the whole series."""
    max_memory_gib: Annotated[float, Field(gt=0)] = 4.0
    """Ceiling for what one scan may hold at once. Beyond it pixels go to a temporary file, then maps are averaged
    over cells of frames; the record says so. A scan that fits in no way is refused with the number."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """That decode frames; None = as many as there are cores."""


Rule = Literal[
    "empty",
    "intensity outlier",
    "saturated",
    "no beam",
    "hot",
    "burst",
    "dead",
    "beam stop",
    "motion",
    "jumps",
]
"""Rules of the automatic care that can be switched off."""


class BeamBoxConfig(Strict):
    """A small box of the detector around the reflected (or direct) beam, a few times as wide as its spot."""

    rows: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]
    """First row, and the one to end before."""
    columns: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]
    """First column, and the one to end before."""

    @field_validator("rows", "columns")
    @classmethod
    def _has_an_inside(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 5 <= value[1] - value[0] <= _LARGEST_BOX:
            raise ValueError(f"from {value[0]} to {value[1]}: a box for the beam is 5 to {_LARGEST_BOX} pixels wide")
        return value


_LARGEST_BOX = 256


class CareConfig(Strict):
    """How strictly frames and pixels are judged. The defaults are chosen to leave clean data alone."""

    without: tuple[Rule, ...] = ()
    """Rules not applied."""
    window: Annotated[int, Field(ge=5)] = 25
    """Frames of the running median that a frame's intensity is compared with."""
    outlier_floor: Annotated[float, Field(gt=0)] = 0.1
    """Relative deviation below which a frame is never an outlier: flux drifts and oscillations stay."""
    outlier_sigmas: Annotated[float, Field(gt=0)] = 6.0
    """Robust standard deviations (from the median absolute deviation) that an outlier exceeds."""
    chance: Annotated[float, Field(gt=0)] = 1e-6
    """Largest probability that photon and speckle statistics give to an outlier or to an empty frame."""
    saturated_share: Annotated[float, Field(gt=0)] = 0.01
    """Of the ROI pixels at the largest value of their type: beyond, the frame is left out."""
    dark_share: Annotated[float, Field(gt=0)] = 0.1
    """Of the typical intensity: below, for three frames and more, there is no beam."""
    step: Annotated[float, Field(gt=0)] = 0.2
    """Relative intensity step that is noted."""
    false_pixels: Annotated[float, Field(gt=0)] = 1e-3
    """Good pixels of a ROI that each pixel rule may take for bad, on average."""
    dead_counts: Annotated[float, Field(gt=0)] = 25.0
    """Counts over the series that a pixel's neighbours must predict before it can be called dead."""
    dark_region: Annotated[int, Field(ge=1)] = 25
    """Connected dark pixels that make a beam stop."""
    most_hot: Annotated[float, Field(gt=0)] = 0.02
    """Of a ROI's pixels: where more look hot it is structure of the image, and none is left out."""
    blocks: Annotated[int, Field(ge=2)] = 32
    """Images of the motion check, at most."""
    smallest_shift: Annotated[float, Field(gt=0)] = 0.2
    """Pixels below which no shift counts as motion."""
    motion_sigmas: Annotated[float, Field(gt=0)] = 5.0
    """Standard errors that motion exceeds."""
    jump_sigmas: Annotated[float, Field(gt=0)] = 6.0
    """Standard errors that a decorrelation jump exceeds."""
    reflected_beam: BeamBoxConfig | None = None
    """Where the reflected beam lies: followed over the series it tells motion of the detector or the beam from that of
    the sample."""
    smallest_jump: Annotated[float, Field(gt=0)] = 0.005
    """Of the contrast: below, a jump is not worth a flag however sure it is."""

    def applies(self, rule: Rule) -> bool:
        """Whether a rule is on."""
        return rule not in self.without


class NonEquilibriumConfig(Strict):
    """The cell and the shortest diagonal that belong to the definition of S_noneq."""

    max_cells: Annotated[int, Field(ge=8, le=512)] = 256
    """S_noneq is computed on at most this many time cells, each an integer number of frames."""
    min_pairs: Annotated[int, Field(ge=1)] = 1
    """Diagonals shorter than this many cells are left out; 1 is Eq. 3 as printed."""


class AnalysisConfig(Strict):
    """Everything that changes the numbers of a correlation record; its hash is part of the record's identity."""

    geometry: GeometryConfig = GeometryConfig()
    rois: RoiConfig = RoiConfig()
    mask: MaskConfig = MaskConfig()
    correlation: CorrelationConfig = CorrelationConfig()
    care: CareConfig = CareConfig()
    nonequilibrium: NonEquilibriumConfig = NonEquilibriumConfig()
    traces: TracesConfig = TracesConfig()
    dose: DoseConfig = DoseConfig()
    frame_time_s: Annotated[float, Field(gt=0)] | None = None
    """s between frames, where the file does not say it or says it wrongly; wins over the file."""
    allow_incomplete: bool = False
    """True analyses what exists of a series with missing data files, and flags it."""

    @model_validator(mode="after")
    def _dose_names_channels(self) -> AnalysisConfig:
        if "traces" not in self.model_fields_set:
            # A selection rule may state the dose alone and have the channels of ``analysis``.
            return self
        dose = self.dose
        named = [name for name in (dose.monitor, dose.transmission, dose.shutter, *dose.position) if name is not None]
        if missing := [name for name in named if name not in self.traces.channels]:
            raise ValueError(f"dose names {', '.join(missing)}, but the channels are {', '.join(self.traces.channels)}")
        return self

    @property
    def hash(self) -> str:
        """Twelve hex digits that change whenever a setting that counts, or the content of a file it names, does."""
        settings = self.model_dump(mode="json")
        # Threads change no bit. The memory ceiling may: beyond it maps are averaged.
        del settings["correlation"]["threads"]
        # Settings that are younger than records without them count where they are used.
        if settings["mask"]["catalog_mask"] is None:
            del settings["mask"]["catalog_mask"]
        # A file counts by its content: moving it changes nothing, redrawing it does.
        for part, key in (("mask", "file"), ("rois", "labels")):
            if settings[part][key] is not None:
                settings[part][key] = _digest(Path(settings[part][key]))
        text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}", needed="the file that the configuration names", action="correct its path"
        ) from error
