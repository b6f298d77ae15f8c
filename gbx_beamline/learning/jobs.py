"""What ``gbx train``, ``adapt`` and ``finetune`` do, and the flows of the same names.

Families differ in what they need and in what they tell; here they look alike. Everything can be stopped at any moment
and goes on where it was when it is called again with the same settings and folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from gbx_beamline.config import Config
from gbx_beamline.errors import InputError
from gbx_beamline.learning._torch import check_torch
from gbx_beamline.learning.store import StoredModel, read_model

if TYPE_CHECKING:
    from gbx_beamline.learning.paper import ExperimentalScan, StageProgress
    from gbx_beamline.learning.training import TrainingProgress

Family = Literal["gbx", "paper"]


class Progress(NamedTuple):
    """How far a job is."""

    stage: str
    """What is being done, in a word or a few."""
    done: int
    total: int
    said: str = ""
    """Loss and speed, for people."""


Told = Callable[[Progress], None]


def train_model(
    config: Config,
    directory: Path,
    told: Told,
    *,
    family: Family = "gbx",
    workers: int | None = None,
    device: str | None = None,
    calibrate: bool = True,
) -> StoredModel:
    """Train a model on simulations alone, or go on where an interrupted call left it.

    Args:
        config: its ``training``, or its ``paper_family``, counts.
        directory: of the checkpoint, and of the model's folder in the end.
        told: told how far it is.
        family: gbx: posteriors, on fresh simulations. paper: the paper's vanilla network on its ensemble.
        workers: processes that simulate; None = as configured.
        device: as torch names it; None = as configured.
        calibrate: of the family gbx: fit intervals to the calibration suite of photon-level scans in the end, which
            are made where they are not there yet.

    Raises:
        GbxError: as ``learning.training.train`` and ``learning.paper.train_vanilla`` say.
        KeyboardInterrupt: interrupted; the same call goes on.
    """
    if family == "gbx":
        from gbx_beamline.learning.training import train

        settings = config.training.model_copy(update=_given(workers=workers, device=device))
        model = read_model(train(settings, directory, lambda seen: _tell_training(seen, told)))
        # Of several processes that torchrun started, one is enough.
        if not calibrate or os.environ.get("RANK", "0") != "0":
            return model
        from gbx_beamline.learning.calibration_job import calibrate_model
        from gbx_beamline.simulation.workers import cores

        return calibrate_model(config, model, directory, told, workers=settings.workers or cores())
    if workers is not None:
        raise InputError(
            f"{workers} workers for the paper's family",
            needed="none: its ensemble is simulated once, in seconds",
            action="leave them out",
        )
    check_torch()
    from gbx_beamline.learning.paper import train_vanilla

    settings = config.paper_family.model_copy(update=_given(device=device))
    return train_vanilla(settings, directory, lambda seen: told(_of_stage(seen)))


def adapt_model(
    config: Config,
    parent: StoredModel,
    experiments: Iterable[ExperimentalScan],
    directory: Path,
    told: Told,
    *,
    device: str | None = None,
) -> StoredModel:
    """Adapt a vanilla model of the paper's family to unlabelled experiments (Eq. 13-15), or go on with it.

    Args:
        config: its ``paper_family`` counts.
        parent: the vanilla model.
        experiments: measured scans.
        directory: as of :func:`train_model`, like the others.
        told: see there.
        device: see there.

    Raises:
        GbxError: as ``learning.paper.experimental_maps`` and ``learning.paper.adapt`` say.
        KeyboardInterrupt: interrupted; the same call goes on.
    """
    check_torch()
    from gbx_beamline.learning.paper import adapt, experimental_maps

    settings = config.paper_family.model_copy(update=_given(device=device))
    maps = experimental_maps(_counted(experiments, told), settings.data, settings.crops)
    return adapt(settings, parent, maps, directory, lambda seen: told(_of_stage(seen)))


def finetune_models(
    config: Config, parent: StoredModel, experiments: Iterable[ExperimentalScan], directory: Path, told: Told
) -> Mapping[str, StoredModel]:
    """Fine-tune an adapted model of the paper's family to each group of experiments; takes about a second each.

    Args:
        config: its ``paper_family`` counts.
        parent: the adapted model.
        experiments: measured scans of any groups.
        directory: of the models' folders.
        told: told how far it is.

    Returns:
        A model for each group with a known S_noneq.

    Raises:
        GbxError: as ``learning.paper.experimental_maps`` and ``learning.paper.finetune_groups`` say.
    """
    check_torch()
    from gbx_beamline.learning.paper import experimental_maps, finetune_groups

    settings = config.paper_family
    maps = experimental_maps(_counted(experiments, told), settings.data, settings.crops)
    told(Progress("fine-tuning", 0, len(set(maps.groups))))
    found = finetune_groups(settings, parent, maps, directory)
    told(Progress("fine-tuning", len(found), len(found)))
    return found


def _counted(experiments: Iterable[ExperimentalScan], told: Told) -> Iterable[ExperimentalScan]:
    for number, scan in enumerate(experiments):
        told(Progress("reading scans", number, 0))
        yield scan


def _tell_training(seen: TrainingProgress, told: Told) -> None:
    said = f"loss {seen.loss:.3f}, {seen.scans_per_second:.0f} scans/s"
    if "density" in seen.validation:
        said += f", validation {seen.validation['density']:.3f}"
    told(Progress("training", seen.step, seen.steps, said))
    if seen.step == seen.steps:
        told(Progress("calibrating", 0, 0))


def _of_stage(seen: StageProgress) -> Progress:
    return Progress(f"training: {seen.stage}", seen.step, seen.steps, f"loss {seen.loss:.4f}")


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
