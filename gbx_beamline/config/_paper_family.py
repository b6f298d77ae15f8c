"""The paper's own method as a model family: its ensemble, its network, its adaptation and its fine-tuning."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gbx_beamline.config._base import Strict

Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Resize = Literal["bilinear", "area"]


class PaperFamilyData(Strict):
    """The simulated ensemble and the maps that networks see."""

    members: Annotated[int, Field(ge=20)] = 2000
    seed: Seed = 42
    """Of the ensemble."""
    noise: Literal["fixed", "independent"] = "fixed"
    """fixed: one noise for all members and Euler-Maruyama steps, as released. independent: honest noise, another one
    for each member, sampled exactly."""
    size: Annotated[int, Field(ge=16, le=512)] = 64
    """Time cells per side; the paper has 256."""
    resize: Resize = "area"
    """How maps get that size, simulated and measured ones alike. bilinear: as the paper, which takes no mean. area:
    means over cells, in which noise averages; simulated maps have four of the paper's points a side and cell."""
    logarithmic: tuple[Literal["diffusivity", "gamma", "gb_fraction"], ...] = ("diffusivity",)
    """Parameters that are mapped to 0..1 by their logarithm."""

    @model_validator(mode="after")
    def _no_logarithm_of_zero(self) -> PaperFamilyData:
        if "gb_fraction" in self.logarithmic:
            raise ValueError("gb_fraction begins at 0 and has no logarithm there")
        return self


class Crops(Strict):
    """Which parts of an experimental scan become maps of their own."""

    frames: Annotated[int, Field(ge=16)] | None = None
    """Per crop, 2,500 in the paper; None takes one map of each scan, of its first 2,500 s."""
    every: Annotated[int, Field(ge=1)] = 100
    """Frames from the beginning of one crop to that of the next."""


class PaperSchedule(Strict):
    """How one network is trained: Adam in batches of whole epochs."""

    epochs: Annotated[int, Field(ge=1)]
    batch: Annotated[int, Field(ge=2)] = 32
    learning_rate: Positive = 3e-4
    """At its highest."""
    course: Literal["constant", "cosine"] = "cosine"
    """constant: as the paper. cosine: rises over ``warmup`` steps and falls as half a cosine to a hundredth."""
    warmup: Annotated[int, Field(ge=0)] = 100
    """Steps."""
    largest_gradient: Positive | None = None
    """Norm at which gradients are clipped; None = never, as the paper."""
    look_every: Annotated[int, Field(ge=1)] = 2
    """Epochs between looks at the validation's members; the best weights seen there are kept."""


class PaperAdaptation(Strict):
    """Adaptation to unlabelled experiments, Eq. 13-15."""

    s: Literal["bare", "corrected"] = "bare"
    """S_noneq of the experiments in L_sur: bare, as the paper, which counts noise as drift; or freed of noise."""
    coral_weight: Weight = 1.0
    """w_CORAL of Eq. 15."""
    surrogate_weight: Weight = 1.2
    """w_sur of Eq. 15."""
    surrogate: PaperSchedule = PaperSchedule(epochs=200, learning_rate=1e-3, look_every=10)
    """Of Q, Eq. 13."""
    begin: Literal["fresh", "parent"] = "fresh"
    """fresh: new weights; features of both domains grow together. parent: the vanilla model's, whose features of
    measured maps, which it has never seen, may be so large that Eq. 12 is 10^5 and all that was learned is lost."""
    schedule: PaperSchedule = PaperSchedule(epochs=90, learning_rate=2e-3, largest_gradient=1.0)


class PaperFinetuning(Strict):
    """Fine-tuning of the predictor to one group of experiments on L_sur alone (Eq. 14)."""

    steps: Annotated[int, Field(ge=1)] = 300
    """Each with all maps of the group."""
    learning_rate: Positive = 3e-4


class PaperFamilyConfig(Strict):
    """What trains the paper's family. The same configuration gives the same models."""

    seed: Seed = 5
    """Of weights, batches and splits."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """Of the convolutions behind the first one; all else is float32."""
    device: str = "auto"
    """As torch names it; "auto" takes a GPU where torch sees one."""
    checkpoint_minutes: Positive = 3.0
    data: PaperFamilyData = PaperFamilyData()
    crops: Crops = Crops()
    vanilla: PaperSchedule = PaperSchedule(epochs=80, learning_rate=2e-3)
    """The paper has a constant 3e-4; a rate that rises to more and falls gets there in a fraction of the epochs."""
    adaptation: PaperAdaptation = PaperAdaptation()
    finetuning: PaperFinetuning = PaperFinetuning()

    def in_use(self, *parts: str) -> dict[str, Any]:
        """The settings that decide a model, in JSON's types: seed, precision, data and these parts."""
        return self.model_dump(mode="json", include={"seed", "precision", "data", *parts})

    def key(self, *parts: str) -> str:
        """Twelve hex digits that change whenever one of those settings does."""
        text = json.dumps(self.in_use(*parts), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]
