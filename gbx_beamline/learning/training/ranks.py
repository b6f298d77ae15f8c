"""Several processes that train one model together, as ``torchrun`` starts them: each has its own scans and, where there
are GPUs, its own GPU; gradients are averaged."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together."""

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    def average_gradients(self, network: nn.Module) -> None:
        """Give every process the mean of all gradients."""
        if self.world == 1:
            return
        gradients = [weights.grad for weights in network.parameters() if weights.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients]) / self.world
        distributed.all_reduce(flat)
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether it holds in any of them: all stop together."""
        if self.world == 1:
            return flag
        found = torch.tensor([float(flag)], device=device)
        distributed.all_reduce(found, op=distributed.ReduceOp.MAX)
        return bool(found.item())

    def told(self, text: str) -> str:
        """The leader's text in all of them, once it has one."""
        if self.world == 1:
            return text
        texts = [text]
        distributed.broadcast_object_list(texts)
        return texts[0]


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """The processes that ``torchrun`` started with this one; alone where it did not."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(distributed.get_rank(), world)
    finally:
        distributed.destroy_process_group()
