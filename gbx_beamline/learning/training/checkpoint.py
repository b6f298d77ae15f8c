"""The state of a training in one file that appears whole or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gbx_beamline.errors import InputError
from gbx_beamline.learning._store_files import said_in_words, write_whole

NAME = "checkpoint.safetensors"
FORMAT = "gbx-training-1"


@dataclass
class Checkpoint:
    """Everything that a training goes on from."""

    step: int
    tensors: dict[str, Tensor]
    """Weights, averaged weights and the optimiser's moments, by prefixed name."""
    history: list[dict[str, float]] = field(default_factory=list)
    """What was said of the training so far."""


def write_checkpoint(directory: Path, config_hash: str, checkpoint: Checkpoint) -> None:
    """Replace the directory's checkpoint by this one.

    Raises:
        InputError: it cannot be written.
    """
    about = {
        "format": FORMAT,
        "config": config_hash,
        "step": str(checkpoint.step),
        "history": json.dumps(checkpoint.history),
    }
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}, about)
    with said_in_words(directory, action="choose another directory, or make room"):
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(directory / NAME, content)


def read_checkpoint(directory: Path, config_hash: str) -> Checkpoint | None:
    """The directory's checkpoint; None where there is none.

    Raises:
        InputError: it is of a training with another configuration, or damaged.
    """
    path = directory / NAME
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            about: dict[str, Any] = file.metadata() or {}
            if about.get("format") != FORMAT or about.get("config") != config_hash:
                raise InputError(
                    f"{path} belongs to a training with the configuration {about.get('config', 'unknown')}",
                    needed=f"one of this configuration, {config_hash}",
                    action="give another directory, or the configuration that it was begun with",
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} cannot be read ({error})", needed="a whole checkpoint", action="remove it and begin anew"
        ) from error
    return Checkpoint(step=int(about["step"]), tensors=tensors, history=json.loads(about["history"]))


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same with ``prefix.`` before each name."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those whose name begins with ``prefix.``, without it."""
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The moments, by "<number of the parameter>.<name>"."""
    state: dict[int, dict[str, Tensor]] = optimiser.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, each in state.items() for name, tensor in each.items()}


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of ``optimiser_tensors``."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
