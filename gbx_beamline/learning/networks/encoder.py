"""From any number of q-ROIs, in any order, to one vector that stands for the scan."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gbx_beamline.learning.contract import CHANNELS, CURVES, SCALARS
from gbx_beamline.learning.networks._settings import NetworkSettings

LARGEST_LOG_WEIGHT = 8.0
"""Either way: a q-ROI may count for nothing beside another one, and no weight overflows."""


@dataclass(frozen=True)
class RoiBatch:
    """The q-ROIs of B scans one after the other."""

    maps: Tensor
    """(R, C, n, n)."""
    curves: Tensor
    """(R, 4, L)."""
    scalars: Tensor
    """(R, S)."""
    scan: Tensor
    """(R,) int64 which scan each belongs to, 0 to B - 1."""
    scans: int
    """B."""


class ScanEncoder(nn.Module):
    """Each q-ROI by itself, then weighted mean and maximum over those of a scan.

    A q-ROI of few photons says little of what another one knows well: each feature has a weight that the q-ROI gives
    itself, as measurements have that are averaged by their precision.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.image = _image(settings)
        width = settings.roi_features
        self.numbers = nn.Sequential(
            nn.Linear(len(CURVES) * settings.lags + len(SCALARS), width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
        )
        self.roi = nn.Sequential(
            nn.Linear(settings.image_features + width, 2 * width),
            nn.SiLU(),
            nn.Linear(2 * width, 2 * width),
            nn.SiLU(),
        )
        self.log_weights = nn.Linear(2 * width, 2 * width)
        self.scan = nn.Sequential(nn.Linear(4 * width + 1, settings.context), nn.SiLU())
        self.out = nn.Linear(settings.context, settings.context)
        # Inputs are of order one, but not of mean 0: what training finds first is where they lie.
        self.register_buffer("shift", torch.zeros(len(CURVES) * settings.lags + len(SCALARS)))
        self.register_buffer("scale", torch.ones(len(CURVES) * settings.lags + len(SCALARS)))

    def forward(self, batch: RoiBatch) -> Tensor:
        """(B, context)."""
        flat = torch.cat([batch.curves.flatten(1), batch.scalars], dim=1)
        numbers = self.numbers((flat - self.shift) * self.scale)
        # Half precision is for convolutions: three digits are too few for what differs between q-ROIs.
        half = batch.maps.dtype == torch.bfloat16
        with torch.autocast(batch.maps.device.type, torch.bfloat16, enabled=half):
            image = self.image(batch.maps).float()
        each = self.roi(torch.cat([image, numbers], dim=1))
        log_weights = self.log_weights(each).clamp(-LARGEST_LOG_WEIGHT, LARGEST_LOG_WEIGHT)
        pooled = torch.cat(pool(each, log_weights, batch.scan, batch.scans), dim=1)
        hidden = self.scan(pooled)
        return hidden + self.out(hidden)

    def standardise(self, curves: Tensor, scalars: Tensor) -> None:
        """Take mean and spread of the numbers from these q-ROIs, (R, 4, L) and (R, S)."""
        flat = torch.cat([curves.flatten(1), scalars], dim=1)
        self.shift.copy_(flat.mean(dim=0))
        # What hardly varies in training is not to explode where it does.
        self.scale.copy_(1.0 / flat.std(dim=0).clamp(min=0.05))


def pool(each: Tensor, log_weights: Tensor, scan: Tensor, scans: int) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted mean and maximum over the q-ROIs of each scan, and the logarithm of their number.

    Args:
        each: (R, F).
        log_weights: (R, F) natural log of the weight of each feature in the mean.
        scan: (R,) which scan.
        scans: B.

    Returns:
        (B, F), (B, F), (B, 1).
    """
    weights = log_weights.exp()
    nothing = torch.zeros(scans, each.shape[1], dtype=each.dtype, device=each.device)
    mean = nothing.index_add(0, scan, weights * each) / nothing.index_add(0, scan, weights)
    index = scan[:, None].expand_as(each)
    largest = nothing.scatter_reduce(0, index, each, reduce="amax", include_self=False)
    count = nothing[:, :1].index_add(0, scan, torch.ones_like(each[:, :1]))
    return mean, largest, count.log()


def _image(settings: NetworkSettings) -> nn.Sequential:
    """Convolutions that halve the map each time."""
    layers: list[nn.Module] = []
    before, side = len(CHANNELS), settings.cells
    for channels in settings.channels:
        layers += [nn.Conv2d(before, channels, 3, stride=2, padding=1), nn.SiLU()]
        before, side = channels, (side + 1) // 2
    layers += [nn.Flatten(), nn.Linear(before * side * side, settings.image_features), nn.SiLU()]
    return nn.Sequential(*layers)
