"""The training loop: a batch of fresh scans, a step, now and then a checkpoint."""

from __future__ import annotations

import copy
import math
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gbx_beamline.config import TrainingConfig
from gbx_beamline.errors import ConfigError
from gbx_beamline.learning._torch import one_thread
from gbx_beamline.learning.networks import NetworkSettings, PosteriorNetwork
from gbx_beamline.learning.predictor import BELIEF, FAMILY
from gbx_beamline.learning.store import write_model
from gbx_beamline.learning.training.batches import (
    ALL_KINDS,
    ScanArrays,
    contract_of,
    prior_box,
    validation_scans,
)
from gbx_beamline.learning.training.believing import believed
from gbx_beamline.learning.training.checkpoint import (
    Checkpoint,
    load_optimiser,
    optimiser_tensors,
    prefixed,
    read_checkpoint,
    without_prefix,
    write_checkpoint,
)
from gbx_beamline.learning.training.feeding import Replayed, batches_until, feed, first_batch
from gbx_beamline.learning.training.progress import TrainingProgress
from gbx_beamline.learning.training.ranks import Ranks, joined
from gbx_beamline.learning.training.validation import BLOCK, losses_of, truth_of
from gbx_beamline.records import PARAMETERS
from gbx_beamline.simulation.ensemble import SIMULATION_VERSION

REMEMBERED = 50
"""Steps that the loss which is told is averaged over."""

FAILURES = 10
"""Steps in a row without a finite loss, after which there is no hope."""


def run(
    config: TrainingConfig,
    directory: Path,
    progress: Callable[[TrainingProgress], None],
    stop: Callable[[], bool],
) -> Path:
    """See ``train``."""
    device = torch.device(_device(config.device))
    # Cores are busy simulating, and sums over threads round differently: their number would decide the model.
    with one_thread(), joined(device) as ranks:
        training = Training(config, directory, device, ranks)
        if training.step < config.steps:
            with interruption() as interrupted:
                training.go_on(progress, lambda: interrupted() or stop())
        return Path(ranks.told(str(training.finish()) if ranks.leads else ""))


class Training:
    """A training in a directory, at some step.

    Args:
        config: what to train.
        directory: of its checkpoint.
        device: to train on.
        ranks: this process among those that train together.

    Raises:
        InputError: as ``train``.
    """

    def __init__(
        self,
        config: TrainingConfig,
        directory: Path,
        device: torch.device | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self.config, self.directory = config, directory
        self.device, self.ranks = device or torch.device("cpu"), ranks or Ranks()
        found = read_checkpoint(directory, config.hash)
        self.validation = validation_scans(config.seed, config.validation_scans, config.data)
        self.network = _new_network(config, self.validation).to(self.device)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False)
        self.optimiser = _optimiser(self.network, config)
        self.step, self.history = 0, list[dict[str, float]]()
        if found is not None:
            self._restore(found)
        if self.device.type == "cuda":
            self.network.encoder.image.compile()

    def go_on(self, progress: Callable[[TrainingProgress], None], stop: Callable[[], bool]) -> None:
        """Train until the last step.

        Raises:
            KeyboardInterrupt: ``stop`` said so; the checkpoint is up to date.
            ConfigError: the loss is no number, again and again.
            ServiceError: a process that simulates is lost.
        """
        config = self.config
        clock = _Clock(config, self.step)
        recent: deque[float] = deque(maxlen=REMEMBERED)
        failures = 0
        begin = first_batch(self.step, config.passes) * self.ranks.world + self.ranks.rank
        with feed(config, begin, self.ranks.world) as source:
            scans = Replayed(config, source, self.ranks.rank, self.ranks.world)
            while self.step < config.steps:
                with clock.waiting():
                    batch = scans.batch(self.step)
                loss = self.update(batch)
                failures = 0 if math.isfinite(loss) else failures + 1
                if failures >= FAILURES:
                    raise ConfigError(
                        f"the loss is not a finite number in {failures} steps up to {self.step}",
                        needed="a training that converges",
                        action="lower learning_rate or largest_gradient and begin in another directory",
                    )
                if math.isfinite(loss):
                    recent.append(loss)
                if self.ranks.leads and (self.step % config.validation_steps == 0 or self.step == config.steps):
                    self._look(recent)
                stopped = self.ranks.any(stop(), self.device)
                if self.ranks.leads and (stopped or clock.checkpoint_is_due() or self.step == config.steps):
                    self.save()
                progress(clock.report(self.step, recent, self.history))
                if stopped and self.step < config.steps:
                    raise KeyboardInterrupt

    def update(self, batch: ScanArrays) -> float:
        """One step; returns its loss. One that is not finite leaves the weights as they were."""
        config = self.config
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(config, self.step)
        self.network.train()
        density, kinds = losses_of(self.network, batch, self.device, config.precision)
        loss = density + config.kinds_weight * kinds
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.ranks.average_gradients(self.network)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.largest_gradient)
        # The norm alone decides: it is the same in all processes that train together.
        if torch.isfinite(norm):
            self.optimiser.step()
            self._average()
        self.step += 1
        return float(loss.detach())

    def save(self) -> None:
        """Write the checkpoint."""
        tensors = (
            prefixed("network", self.network.state_dict())
            | prefixed("averaged", self.averaged.state_dict())
            | prefixed("optimiser", optimiser_tensors(self.optimiser))
        )
        write_checkpoint(self.directory, self.config.hash, Checkpoint(self.step, tensors, self.history))

    def finish(self) -> Path:
        """Judge the averaged network on the validation's scans and write the model's folder."""
        config = self.config
        scans = batches_until(config.steps, config.passes) * config.scans_per_step * self.ranks.world
        weights = {name: tensor.cpu().numpy() for name, tensor in self.averaged.state_dict().items()}
        metrics = truth_of(self.averaged, self.validation, self.device, seed=config.seed)
        found = believed(self.averaged, config, prior_box(config.data), self.device)
        if self.history:
            metrics |= {"training": self.history[-1]}
        model = write_model(
            self.directory,
            family=FAMILY,
            weights=weights,
            contract=contract_of(config.data).to_json(),
            parameters={
                "names": list(PARAMETERS),
                "box": prior_box(config.data).to_json(),
                "shot_correlation": found.correlation,
            },
            network=self.network.settings.to_json(),
            training=config.in_use(),
            data={"scans": scans, "simulation": SIMULATION_VERSION, "kinds": ALL_KINDS},
            seeds={"training": config.seed},
            metrics=metrics,
            extras={BELIEF: found.belief.to_state()},
        )
        return model.folder

    def _average(self) -> None:
        keep = min(self.config.averaging, (1.0 + self.step) / (10.0 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(value, 1.0 - keep)

    def _look(self, recent: deque[float]) -> None:
        with torch.no_grad():
            density, kinds = losses_of(self.averaged, self.validation, self.device, self.config.precision, most=BLOCK)
        seen = {"step": float(self.step), "loss": _mean(recent), "density": float(density), "kinds": float(kinds)}
        self.history.append(seen)

    def _restore(self, found: Checkpoint) -> None:
        self.step, self.history = found.step, found.history
        self.network.load_state_dict(without_prefix("network", found.tensors))
        self.averaged.load_state_dict(without_prefix("averaged", found.tensors))
        load_optimiser(self.optimiser, without_prefix("optimiser", found.tensors))


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Rising linearly over the warm-up, then falling as half a cosine to a hundredth of its height."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / (config.steps - config.warmup)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * done)))


@contextmanager
def interruption() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed while the context lasts. It is then asked for between steps; a second one acts at
    once. Outside of the main thread, where signals do not arrive, it was not."""
    asked = False

    def note(_number: int, _frame: Any) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


class _Clock:
    """Speed, time left and when to write a checkpoint."""

    def __init__(self, config: TrainingConfig, step: int) -> None:
        self._config, self._first = config, step
        self._begun = self._saved = time.monotonic()
        self._waited = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self._waited += time.monotonic() - begun

    def checkpoint_is_due(self) -> bool:
        due = time.monotonic() - self._saved > 60.0 * self._config.checkpoint_minutes
        if due:
            self._saved = time.monotonic()
        return due

    def report(self, step: int, recent: deque[float], history: list[dict[str, float]]) -> TrainingProgress:
        spent = max(time.monotonic() - self._begun, 1e-9)
        done = step - self._first
        return TrainingProgress(
            step=step,
            steps=self._config.steps,
            loss=_mean(recent),
            scans_per_second=done * self._config.scans_per_step / spent,
            seconds_left=(self._config.steps - step) * spent / done,
            waiting=self._waited / spent,
            validation=history[-1] if history else {},
        )


def _mean(values: deque[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _new_network(config: TrainingConfig, scans: ScanArrays) -> PosteriorNetwork:
    """A network whose weights follow from the seed, and whose inputs are standardised by these scans."""
    sizes = config.network.model_dump()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = PosteriorNetwork(NetworkSettings(kinds=ALL_KINDS, **sizes), prior_box(config.data))
    network.encoder.standardise(torch.from_numpy(scans.curves), torch.from_numpy(scans.scalars))
    channels_last(network)
    return network


def channels_last(network: PosteriorNetwork) -> None:
    """Store kernels as the maps are stored: on a CPU that is twice as fast."""
    for kernel in network.encoder.image.parameters():
        if kernel.ndim == 4:
            kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)


def _optimiser(network: PosteriorNetwork, config: TrainingConfig) -> torch.optim.AdamW:
    """Weight decay on matrices and kernels only: a bias has a place to be."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    free = [p for p in network.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def _device(name: str) -> str:
    """With torchrun, the GPU of this process."""
    if name != "auto":
        return name
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
