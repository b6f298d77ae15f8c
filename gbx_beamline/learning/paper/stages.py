"""One stage of training: Adam on a loss, checkpoints, and the best weights that validation saw."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from gbx_beamline.config._paper_family import PaperSchedule
from gbx_beamline.errors import ConfigError
from gbx_beamline.learning.paper.progress import Progress, StageProgress, Stop
from gbx_beamline.learning.training.checkpoint import (
    Checkpoint,
    load_optimiser,
    optimiser_tensors,
    prefixed,
    read_checkpoint,
    without_prefix,
    write_checkpoint,
)

FAILURES = 10
"""Steps in a row without a finite loss, after which there is no hope."""


class Task(Protocol):
    """What a stage trains, and on what."""

    name: str
    steps_per_epoch: int

    @property
    def module(self) -> nn.Module:
        """Its parameters that require a gradient are trained."""
        ...

    def loss(self, step: int) -> Tensor:
        """Of the batch of a step."""
        ...

    def judge(self) -> Mapping[str, float]:
        """On what training does not see, without gradients; the lowest "loss" is the best."""
        ...


@dataclass(frozen=True)
class Place:
    """Where a stage keeps its checkpoint, and whose it is."""

    directory: Path
    key: str
    """Of everything that decides the result: a checkpoint of another key is refused."""
    minutes: float
    """Between checkpoints."""


def run_stage(
    task: Task, schedule: PaperSchedule, place: Place, progress: Progress, stop: Stop
) -> list[dict[str, float]]:
    """Train until the last step, from the checkpoint where there is one; then give the module its best weights.

    Returns:
        What the looks at the validation saw.

    Raises:
        InputError: the directory cannot be written, or holds a checkpoint of something else.
        ConfigError: the loss stopped being a number.
        KeyboardInterrupt: ``stop`` said so; the same call goes on from there.
    """
    stage = _Stage(task, schedule, place)
    if stage.step < stage.steps:
        stage.go_on(progress, stop)
    task.module.load_state_dict(stage.best)
    task.module.eval()
    return stage.history


class _Stage:
    def __init__(self, task: Task, schedule: PaperSchedule, place: Place) -> None:
        self._task, self._schedule, self._place = task, schedule, place
        self.steps = schedule.epochs * task.steps_per_epoch
        self._trained = [each for each in task.module.parameters() if each.requires_grad]
        self._optimiser = torch.optim.Adam(self._trained, lr=schedule.learning_rate)
        self.step, self.history = 0, list[dict[str, float]]()
        self.best = copy.deepcopy(task.module.state_dict())
        found = read_checkpoint(place.directory, place.key)
        if found is not None:
            self.step, self.history = found.step, found.history
            self.best = without_prefix("best", found.tensors)
            task.module.load_state_dict(without_prefix("now", found.tensors))
            load_optimiser(self._optimiser, without_prefix("optimiser", found.tensors))

    def go_on(self, progress: Progress, stop: Stop) -> None:
        """Train until the last step."""
        begun, first = time.monotonic(), self.step
        saved, failures = begun, 0
        look_every = self._schedule.look_every * self._task.steps_per_epoch
        while self.step < self.steps:
            loss = self._update()
            failures = 0 if math.isfinite(loss) else failures + 1
            if failures >= FAILURES:
                raise ConfigError(
                    f"the loss of the {self._task.name} is not a finite number in {failures} steps up to {self.step}",
                    needed="a training that converges",
                    action="lower its learning_rate and begin in another directory",
                )
            if self.step % look_every == 0 or self.step == self.steps:
                self._look()
            stopped, now = stop(), time.monotonic()
            if stopped or self.step == self.steps or now - saved > 60.0 * self._place.minutes:
                self._save()
                saved = now
            left = (self.steps - self.step) * (now - begun) / (self.step - first)
            progress(
                StageProgress(
                    stage=self._task.name,
                    step=self.step,
                    steps=self.steps,
                    loss=loss,
                    seconds_left=left,
                    validation=self.history[-1] if self.history else {},
                )
            )
            if stopped and self.step < self.steps:
                raise KeyboardInterrupt

    def _update(self) -> float:
        """One step; returns its loss. One that is not finite leaves the weights as they were."""
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(self._schedule, self.step, self.steps)
        self._task.module.train()
        loss = self._task.loss(self.step)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._trained, self._schedule.largest_gradient or math.inf)
        if bool(torch.isfinite(loss)) and bool(torch.isfinite(norm)):
            self._optimiser.step()
        self.step += 1
        return float(loss.detach())

    def _look(self) -> None:
        self._task.module.eval()
        with torch.no_grad():
            judged = {name: value if math.isfinite(value) else math.inf for name, value in self._task.judge().items()}
        seen = {"step": float(self.step), **judged}
        if seen["loss"] < min((each["loss"] for each in self.history), default=math.inf):
            self.best = copy.deepcopy(self._task.module.state_dict())
        self.history.append(seen)

    def _save(self) -> None:
        tensors = (
            prefixed("now", self._task.module.state_dict())
            | prefixed("best", self.best)
            | prefixed("optimiser", optimiser_tensors(self._optimiser))
        )
        checkpoint = Checkpoint(self.step, tensors, self.history)
        write_checkpoint(self._place.directory, self._place.key, checkpoint)


def learning_rate(schedule: PaperSchedule, step: int, steps: int) -> float:
    """Of a step: constant, or rising linearly over the warm-up and falling as half a cosine to a hundredth."""
    if schedule.course == "constant":
        return schedule.learning_rate
    warmup = min(schedule.warmup, steps // 4)
    if step < warmup:
        return schedule.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return schedule.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * done)))
