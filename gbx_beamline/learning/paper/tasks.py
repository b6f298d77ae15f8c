"""The three trainings of the paper: the vanilla network, the surrogate, and the adaptation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gbx_beamline.config._paper_family import PaperAdaptation
from gbx_beamline.learning.paper.batches import Batches
from gbx_beamline.learning.paper.losses import coral, supervised_loss, surrogate_loss, total_loss
from gbx_beamline.learning.paper.networks import PaperNetwork, SurrogateNetwork
from gbx_beamline.learning.paper.splits import Split

PIECE = 64
"""Maps that pass through a network at once where no gradient is wanted."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Maps, or parameters, with what they should give."""

    inputs: NDArray[np.float32]
    """(m, n, n) g2, or (m, 3) parameters on 0..1."""
    targets: NDArray[np.float32]
    """(m, 3) parameters on 0..1, or (m,) S_noneq on 0..1."""
    split: Split


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """Experimental maps with their S_noneq."""

    maps: NDArray[np.float32]
    """(m, n, n) g2."""
    s: NDArray[np.float32]
    """(m,) S_noneq on 0..1; NaN where it is undetermined."""
    split: Split


class VanillaTask:
    """Eq. 11 alone: the network on simulated maps.

    Args:
        network: to train.
        simulated: maps and parameters.
        size: of a batch.
        seed: of their order.
        device: to compute on.
    """

    name = "vanilla"

    def __init__(self, network: PaperNetwork, simulated: Labelled, size: int, seed: int, device: torch.device) -> None:
        self.module, self._simulated, self._device = network, simulated, device
        self._batches = Batches(simulated.split.train, size, seed, purpose=0)
        self.steps_per_epoch = self._batches.per_epoch

    def loss(self, step: int) -> Tensor:
        """Of the batch of a step."""
        rows = self._batches.of_step(step)
        _, predicted = self.module(_tensor(self._simulated.inputs[rows], self._device))
        return supervised_loss(predicted, _tensor(self._simulated.targets[rows], self._device))

    def judge(self) -> Mapping[str, float]:
        """Loss of the validation's members."""
        rows = self._simulated.split.validation
        _, predicted = looked_at(self.module, self._simulated.inputs[rows], self._device)
        return {"loss": float(supervised_loss(predicted, torch.from_numpy(self._simulated.targets[rows])))}


class SurrogateTask:
    """Eq. 13: S_noneq of simulated maps from their parameters.

    Args:
        surrogate: to train.
        simulated: parameters and S_noneq.
        size: of a batch.
        seed: of their order.
    """

    name = "surrogate"

    def __init__(self, surrogate: SurrogateNetwork, simulated: Labelled, size: int, seed: int) -> None:
        self.module, self._split = surrogate, simulated.split
        self._inputs, self._targets = torch.from_numpy(simulated.inputs), torch.from_numpy(simulated.targets)
        self._batches = Batches(simulated.split.train, size, seed, purpose=1)
        self.steps_per_epoch = self._batches.per_epoch

    def loss(self, step: int) -> Tensor:
        """Of the batch of a step."""
        return self._loss_of(self._batches.of_step(step))

    def judge(self) -> Mapping[str, float]:
        """Loss of the validation's members."""
        return {"loss": float(self._loss_of(self._split.validation))}

    def _loss_of(self, rows: NDArray[np.int64]) -> Tensor:
        return supervised_loss(self.module(self._inputs[rows]), self._targets[rows])


class AdaptationTask:
    """Eq. 15: the network on simulated maps with their parameters and on experimental ones with their S_noneq.

    Args:
        network: to train.
        surrogate: Q, whose weights stay as they are.
        simulated: maps and parameters.
        measured: experimental maps.
        settings: weights of the losses, and the batches.
        seed: of their order.
        device: to compute on.
    """

    name = "adaptation"

    def __init__(
        self,
        network: PaperNetwork,
        surrogate: SurrogateNetwork,
        simulated: Labelled,
        measured: Unlabelled,
        settings: PaperAdaptation,
        seed: int,
        device: torch.device,
    ) -> None:
        self.module, self._simulated, self._measured, self._device = network, simulated, measured, device
        self._surrogate = surrogate.to(device).eval().requires_grad_(False)
        self._settings = settings
        size = settings.schedule.batch
        self._batches = Batches(simulated.split.train, size, seed, purpose=2)
        self._measured_batches = Batches(measured.split.train, size, seed, purpose=3)
        self.steps_per_epoch = self._batches.per_epoch

    def loss(self, step: int) -> Tensor:
        """Of the batches of a step."""
        rows, measured_rows = self._batches.of_step(step), self._measured_batches.of_step(step)
        # Both domains in one go: one large batch is faster than two small ones.
        maps = np.concatenate([self._simulated.inputs[rows], self._measured.maps[measured_rows]])
        features, predicted = self.module(_tensor(maps, self._device))
        targets = _tensor(self._simulated.targets[rows], self._device)
        s = _tensor(self._measured.s[measured_rows], self._device)
        return self._together(features, predicted, targets, s)["loss"]

    def judge(self) -> Mapping[str, float]:
        """All parts of the loss, of the validation's members and runs."""
        rows, measured_rows = self._simulated.split.validation, self._measured.split.validation
        if len(measured_rows) < 2:
            # One map has no covariance: where there are so few runs, those of training stand in for it.
            measured_rows = np.concatenate([measured_rows, self._measured.split.train])
        maps = np.concatenate([self._simulated.inputs[rows], self._measured.maps[measured_rows]])
        features, predicted = (each.to(self._device) for each in looked_at(self.module, maps, self._device))
        targets = _tensor(self._simulated.targets[rows], self._device)
        s = _tensor(self._measured.s[measured_rows], self._device)
        return {name: float(value) for name, value in self._together(features, predicted, targets, s).items()}

    def _together(self, features: Tensor, predicted: Tensor, targets: Tensor, s: Tensor) -> dict[str, Tensor]:
        count = len(targets)
        supervised = supervised_loss(predicted[:count], targets)
        overlap = coral(features[:count], features[count:])
        # A batch in which every S_noneq is undetermined says nothing about the parameters.
        known = bool(torch.isfinite(s).any())
        consistency = surrogate_loss(self._surrogate, predicted[count:], s) if known else torch.zeros_like(overlap)
        return {
            "loss": total_loss(
                supervised,
                overlap,
                consistency,
                coral_weight=self._settings.coral_weight,
                surrogate_weight=self._settings.surrogate_weight,
            ),
            "supervised": supervised,
            "coral": overlap,
            "surrogate": consistency,
        }


def looked_at(network: PaperNetwork, maps: NDArray[np.float32], device: torch.device) -> tuple[Tensor, Tensor]:
    """(m, 128) features and (m, 3) parameters on 0..1 of (m, n, n) maps, on the CPU and without gradients."""
    with torch.no_grad():
        found = [
            tuple(each.cpu() for each in network(_tensor(maps[start : start + PIECE], device)))
            for start in range(0, len(maps), PIECE)
        ]
    features, predicted = zip(*found, strict=True)
    return torch.cat(features), torch.cat(predicted)


def _tensor(values: NDArray[np.float32], device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device)
