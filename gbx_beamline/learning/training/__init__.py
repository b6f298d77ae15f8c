"""Training of the GBX family on fresh simulations. Importing this loads no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gbx_beamline.learning.training.batches import ALL_KINDS, TrainingScan, simulate_batch
from gbx_beamline.learning.training.progress import TrainingProgress

if TYPE_CHECKING:
    from gbx_beamline.config import TrainingConfig

__all__ = ["ALL_KINDS", "TrainingProgress", "TrainingScan", "simulate_batch", "train"]


def train(
    config: TrainingConfig,
    directory: Path,
    progress: Callable[[TrainingProgress], None] | None = None,
    *,
    stop: Callable[[], bool] | None = None,
) -> Path:
    """Train a model, or go on where an earlier, interrupted call with the same configuration left it.

    Args:
        config: what to train.
        directory: keeps the checkpoint, and the model's folder in the end; made when absent.
        progress: told how far it is, after every step.
        stop: asked after every step; True ends as an interruption does.

    Returns:
        The model's folder.

    Raises:
        InputError: a directory that cannot be written, or that holds a training of another configuration.
        ConfigError: the loss stopped being a number.
        ServiceError: a process that simulates is lost.
        DependencyError: torch, zuko or safetensors is absent.
        KeyboardInterrupt: interrupted. The checkpoint holds everything up to then: the same call goes on.
    """
    from gbx_beamline.learning._torch import check_torch

    check_torch()
    from gbx_beamline.learning.training.loop import run

    return run(config, directory, progress or (lambda _: None), stop or (lambda: False))
