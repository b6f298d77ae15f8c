"""The paper's networks, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from gbx_beamline.records import PARAMETERS

CHANNELS = (32, 64, 128, 128)
HIDDEN = 64
FEATURES = CHANNELS[-1]

Precision = Literal["float32", "bfloat16"]


class Encoder(nn.Module):
    """(b, n, n) g2 to h in R^128: four times convolution 3 x 3 with padding 2, max pooling 3 x 3 with stride 2 and
    rectification, then the mean over the map.

    The diagonal is masked. How the map's numbers are scaled the paper does not say: ours are standardised by two
    numbers of the training's maps.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, precision: Precision = "float32") -> None:
        super().__init__()
        self.precision = precision
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size=3, padding=2)
            for before, after in zip((1, *CHANNELS), CHANNELS, strict=False)
        )
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))

    def standardise(self, maps: Tensor) -> None:
        """Take centre and spread of (m, n, n) maps off the diagonal."""
        off = maps[:, ~torch.eye(maps.shape[-1], dtype=torch.bool)]
        self.centre.copy_(off.mean())
        self.spread.copy_(off.std())

    def forward(self, g2: Tensor) -> Tensor:
        """(b, 128) features, float32."""
        off_diagonal = 1.0 - torch.eye(g2.shape[-1], device=g2.device)
        x = ((g2 - self.centre) / self.spread * off_diagonal)[:, None].contiguous(memory_format=torch.channels_last)
        # The first convolution sees differences of 1e-3 between numbers near 1, which half precision would round away.
        x = _pooled(self.convolutions[0](x))
        with torch.autocast(g2.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            for convolution in self.convolutions[1:]:
                x = _pooled(convolution(x))
        return x.float().mean(dim=(2, 3))


class PaperNetwork(nn.Module):
    """Encoder and predictor: maps to parameters on 0..1, in the order ``PARAMETERS``."""

    def __init__(self, precision: Precision = "float32") -> None:
        super().__init__()
        self.encoder = Encoder(precision)
        self.predictor = nn.Sequential(
            nn.Linear(FEATURES, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, len(PARAMETERS)),
        )
        # On a CPU kernels that are stored as the maps are make this several times as fast.
        for kernel in self.encoder.convolutions.parameters():
            if kernel.ndim == 4:
                kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)

    def forward(self, g2: Tensor) -> tuple[Tensor, Tensor]:
        """(b, 128) features and (b, 3) parameters of (b, n, n) maps."""
        features = self.encoder(g2)
        return features, self.predictor(features)


class SurrogateNetwork(nn.Module):
    """Q of Eq. 13: (b, 3) parameters on 0..1 to (b,) S_noneq on 0..1."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(len(PARAMETERS), HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1)
        )

    def forward(self, unit: Tensor) -> Tensor:
        """See the class."""
        return self.layers(unit)[:, 0]


@contextmanager
def weights_from(seed: int) -> Iterator[None]:
    """Networks that are made in here have weights that follow from the seed; torch's own stream stays untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _pooled(x: Tensor) -> Tensor:
    # Rectifying commutes with the maximum, and after the pooling it is a quarter of the work.
    return torch.relu(torch.nn.functional.max_pool2d(x, kernel_size=3, stride=2))
