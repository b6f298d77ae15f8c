"""From the ensemble to the vanilla model, and from there to the adapted one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gbx_beamline.config._paper_family import PaperFamilyConfig
from gbx_beamline.errors import InputError
from gbx_beamline.learning.evaluation.paper_measures import r_squared
from gbx_beamline.learning.paper.experiments import ExperimentalMaps
from gbx_beamline.learning.paper.maps import SimulatedMaps, simulated_maps
from gbx_beamline.learning.paper.model import FAMILY, PaperModel, Surrogate, paper_model_of
from gbx_beamline.learning.paper.networks import PaperNetwork, SurrogateNetwork, weights_from
from gbx_beamline.learning.paper.progress import Progress, StageProgress, Stop
from gbx_beamline.learning.paper.report import r_squared_by_part, s_error_by_part
from gbx_beamline.learning.paper.scales import SScale, TargetScale
from gbx_beamline.learning.paper.splits import Split, split_by_run
from gbx_beamline.learning.paper.stages import Place, run_stage
from gbx_beamline.learning.paper.tasks import AdaptationTask, Labelled, SurrogateTask, Unlabelled, VanillaTask
from gbx_beamline.learning.store import StoredModel, write_model
from gbx_beamline.learning.training.loop import interruption

NOTES = (
    "The paper's method, kept for comparison. It gives no interval, and its answers on measured maps can be worse than"
    " guessing. S_noneq inside this family is min-max normalised over simulation and experiments together, as there."
)
FIXED_NOISE = (
    "All simulated members share one noise: R^2 on them says how well a network interpolates, and does not hold for"
    " other noise. Members near gamma = 1e18 stand at the limit of the Euler step."
)


@dataclass(frozen=True, eq=False)
class Simulated:
    """The ensemble of a configuration, split."""

    maps: SimulatedMaps
    unit: NDArray[np.float32]
    """(m, 3) parameters on 0..1."""
    split: Split

    @classmethod
    def of(cls, config: PaperFamilyConfig) -> Simulated:
        """Made anew each time: that takes seconds, and is the same every time."""
        maps = simulated_maps(config.data)
        unit = TargetScale(config.data.logarithmic).to_unit(maps.parameters).astype(np.float32)
        return cls(maps, unit, split_by_run(range(len(maps)), config.seed))

    @property
    def labelled(self) -> Labelled:
        """Maps with their parameters."""
        return Labelled(self.maps.maps, self.unit, self.split)


def train_vanilla(
    config: PaperFamilyConfig, directory: Path, progress: Progress | None = None, *, stop: Stop | None = None
) -> StoredModel:
    """Train the network on simulated maps alone, or go on where an interrupted call left it.

    Args:
        config: what to train.
        directory: keeps the checkpoint, and the model's folder in the end; made when absent.
        progress: told how far it is, after every step.
        stop: asked after every step; True ends as an interruption does.

    Returns:
        The model; its metrics are the R^2 of every parameter in every part of the ensemble.

    Raises:
        InputError: a directory that cannot be written, or that holds a training of another configuration.
        ConfigError: the loss stopped being a number.
        KeyboardInterrupt: interrupted. The checkpoint holds everything up to then: the same call goes on.
    """
    simulated, device = Simulated.of(config), device_of(config.device)
    network = _new_network(config, simulated)
    task = VanillaTask(network.to(device), simulated.labelled, config.vanilla.batch, config.seed, device)
    place = Place(directory / task.name, config.key("vanilla"), config.checkpoint_minutes)
    with interruption() as interrupted:
        history = run_stage(task, config.vanilla, place, progress or _silent, _either(interrupted, stop))
    model = _in_memory(config, network, None)
    return _write(config, directory, model, simulated, "vanilla", history=history)


def adapt(
    config: PaperFamilyConfig,
    parent: StoredModel,
    experiments: ExperimentalMaps,
    directory: Path,
    progress: Progress | None = None,
    *,
    stop: Stop | None = None,
) -> StoredModel:
    """Adapt a vanilla model to unlabelled experiments: the surrogate (Eq. 13), then all of Eq. 15 together.

    Simulated members are split as in the parent's training, so that its test members are nobody's training;
    experiments are split by run.

    Args:
        config: with the seed and data that the parent was trained with.
        parent: a vanilla model.
        experiments: of at least three runs.
        directory: as for ``train_vanilla``, like the others.
        progress: see there.
        stop: see there.

    Returns:
        The model; metrics as ``train_vanilla``, and how far S_noneq of predictions is from the experiments'.

    Raises:
        InputError: as ``train_vanilla``; a parent of another seed or data; fewer than three runs; no known S_noneq.
        ConfigError: the loss stopped being a number.
        KeyboardInterrupt: interrupted; the same call goes on.
    """
    _check_parent(config, parent)
    settings = config.adaptation
    s = experiments.target(settings.s)
    split = split_by_run(experiments.runs, config.seed)
    if not np.isfinite(s[split.train]).any():
        raise InputError(
            f"{len(split.train)} experimental maps, none with a known {settings.s} S_noneq",
            needed="at least one",
            action="measure with more photons or pixels, or adapt with the bare S_noneq",
        )
    simulated, device = Simulated.of(config), device_of(config.device)
    scale = SScale.joint(simulated.maps.s[simulated.split.train], s[split.train])
    key = hashlib.sha256(f"{config.key('adaptation')} {parent.id} {experiments.digest}".encode()).hexdigest()[:12]
    with weights_from(config.seed):
        surrogate = SurrogateNetwork()
    told = progress or _silent
    of_s = Labelled(simulated.unit, scale.to_unit(simulated.maps.s).astype(np.float32), simulated.split)
    surrogate_task = SurrogateTask(surrogate, of_s, settings.surrogate.batch, config.seed)
    network = _beginning(config, parent, simulated).to(device).requires_grad_(True)
    measured = Unlabelled(experiments.maps, scale.to_unit(s).astype(np.float32), split)
    with interruption() as interrupted:
        stops = _either(interrupted, stop)
        place = Place(directory / surrogate_task.name, key, config.checkpoint_minutes)
        run_stage(surrogate_task, settings.surrogate, place, told, stops)
        task = AdaptationTask(network, surrogate, simulated.labelled, measured, settings, config.seed, device)
        place = Place(directory / task.name, key, config.checkpoint_minutes)
        history = run_stage(task, settings.schedule, place, told, stops)
    model = _in_memory(config, network, Surrogate(surrogate.to("cpu"), scale, settings.s))
    return _write(
        config,
        directory,
        model,
        simulated,
        "adaptation",
        history=history,
        parent=parent.id,
        data={"experiments": _facts(experiments)},
        metrics={
            "s_error": s_error_by_part(model, experiments, split),
            "surrogate_r_squared": _surrogate_r_squared(model, simulated),
        },
    )


def _beginning(config: PaperFamilyConfig, parent: StoredModel, simulated: Simulated) -> PaperNetwork:
    """The network that Eq. 15 begins with."""
    if config.adaptation.begin == "parent":
        network = paper_model_of(parent).network
        network.encoder.precision = config.precision
        return network
    return _new_network(config, simulated)


def _new_network(config: PaperFamilyConfig, simulated: Simulated) -> PaperNetwork:
    with weights_from(config.seed):
        network = PaperNetwork(config.precision)
    network.encoder.standardise(torch.from_numpy(simulated.maps.maps[simulated.split.train]))
    return network


def device_of(name: str) -> torch.device:
    """The device of that name; "auto" is a GPU where torch sees one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def _check_parent(config: PaperFamilyConfig, parent: StoredModel) -> None:
    about = parent.description
    trained = {name: about.training.get(name) for name in ("seed", "data")}
    wanted = {name: config.in_use()[name] for name in ("seed", "data")}
    if about.family != FAMILY or about.network.get("surrogate") is not None or trained != wanted:
        raise InputError(
            f"the parent {parent.id}, of the family {about.family!r}"
            + (", trained with another seed or other data" if trained != wanted else ""),
            needed="a vanilla model of the paper's family, trained with this configuration's seed and data:"
            " else its training members would be test members here",
            action="train it with this configuration first, or adapt with the configuration of its training",
        )


def _in_memory(config: PaperFamilyConfig, network: PaperNetwork, surrogate: Surrogate | None) -> PaperModel:
    scale = TargetScale(config.data.logarithmic)
    return PaperModel("unsaved", network, scale, size=config.data.size, resize=config.data.resize, surrogate=surrogate)


def _write(
    config: PaperFamilyConfig,
    directory: Path,
    model: PaperModel,
    simulated: Simulated,
    stage: str,
    *,
    history: Sequence[Mapping[str, float]],
    parent: str | None = None,
    data: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> StoredModel:
    names = {"vanilla": "paper-vanilla", "adaptation": f"paper-adapted-{config.adaptation.s}"}
    return write_model(
        directory,
        family=FAMILY,
        name=names[stage],
        weights=model.state(),
        training=config.in_use(stage),
        data={"members": len(simulated.maps), "noise": config.data.noise, **(data or {})},
        seeds={"training": config.seed, "ensemble": config.data.seed},
        metrics={
            "r_squared": r_squared_by_part(model, simulated.maps.maps, simulated.unit, simulated.split),
            "validation": min(history, key=lambda seen: seen["loss"]),
            **(metrics or {}),
        },
        parent=parent,
        notes=(NOTES, FIXED_NOISE) if config.data.noise == "fixed" else (NOTES,),
        **model.about(),
    )


def _surrogate_r_squared(model: PaperModel, simulated: Simulated) -> float:
    """Of S_noneq of the ensemble's test members from their true parameters."""
    surrogate, rows = model.need_surrogate(), simulated.split.test
    with torch.no_grad():
        found = surrogate.network(torch.from_numpy(simulated.unit[rows])).numpy()
    return float(r_squared(simulated.maps.s[rows], surrogate.scale.to_norm(found))[0])


def _facts(experiments: ExperimentalMaps) -> dict[str, Any]:
    return {
        "maps": len(experiments),
        "runs": len(set(experiments.runs)),
        "groups": len(set(experiments.groups)),
        "digest": experiments.digest,
    }


def _either(first: Stop, second: Stop | None) -> Stop:
    return lambda: first() or (second is not None and second())


def _silent(_: StageProgress) -> None:
    pass
