"""The posterior's density given what the encoder makes of a scan: a neural spline flow, and the kinds of dynamics.

The flow lives on ``z = Phi^-1((u - low) / (high - low))``, Phi the normal distribution function: there the prior, which
is uniform in the box, is exactly the flow's own base, and a scan that says nothing is the identity. (With a logit it
would be a logistic distribution, which the flow would have to learn.) Neural spline flows: Durkan et al., Neural
Spline Flows, NeurIPS 2019, as autoregressive transforms of zuko.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import zuko
from torch import Tensor, nn

from gbx_beamline.learning.networks._settings import NetworkSettings
from gbx_beamline.learning.networks.encoder import RoiBatch, ScanEncoder
from gbx_beamline.learning.parameters import ParameterBox
from gbx_beamline.records import PARAMETERS

EDGE = 1e-6
"""Of the box's width: nearer to an edge, z would go to infinity."""


class PosteriorNetwork(nn.Module):
    """Encoder, flow and the head that tells kinds of dynamics apart."""

    low: Tensor
    width: Tensor

    def __init__(self, settings: NetworkSettings, box: ParameterBox) -> None:
        super().__init__()
        self.settings, self.box = settings, box
        self.encoder = ScanEncoder(settings)
        self.flow = zuko.flows.NSF(
            len(PARAMETERS),
            settings.context,
            transforms=settings.transforms,
            bins=settings.bins,
            hidden_features=settings.hidden,
            activation=nn.SiLU,
        )
        self.kinds = nn.Sequential(nn.Linear(settings.context, 64), nn.SiLU(), nn.Linear(64, len(settings.kinds)))
        self.register_buffer("low", torch.tensor(box.low, dtype=torch.float32), persistent=False)
        self.register_buffer("width", torch.tensor(box.width, dtype=torch.float32), persistent=False)

    def forward(self, batch: RoiBatch, u: Tensor) -> tuple[Tensor, Tensor]:
        """Log density of u under the posterior of each scan, and logits of the kinds.

        Args:
            batch: B scans.
            u: (B, 3).

        Returns:
            (B,) natural log, per unit of u, and (B, kinds).
        """
        context = self.encoder(batch)
        return self.log_prob(context, u), self.kinds(context)

    def log_prob(self, context: Tensor, u: Tensor) -> Tensor:
        """(...,) log density, per unit of u, of (..., 3) u inside the box given (..., context)."""
        z = self.to_z(u)
        # zuko broadcasts contexts to points, but numbers of dimensions must agree.
        return self.distribution(context).log_prob(z) + self._log_slope(z)

    def sample(self, context: Tensor, count: int) -> Tensor:
        """(count, B, 3) u from the posteriors of (B, context); torch's global generator decides."""
        return self.to_u(self.distribution(context).sample((count,)))

    def distribution(self, context: Tensor) -> Any:
        """The flow given (..., context), a distribution of z."""
        return self.flow(context)

    def to_z(self, u: Tensor) -> Tensor:
        """z of u; what lies outside the box or on its edge is moved to ``EDGE`` within."""
        share = (u - self.low) / self.width
        return torch.special.ndtri(share.clamp(EDGE, 1.0 - EDGE))

    def to_u(self, z: Tensor) -> Tensor:
        """u of z."""
        return self.low + self.width * torch.special.ndtr(z)

    def _log_slope(self, z: Tensor) -> Tensor:
        """(...,) log |dz/du|."""
        normal = -0.5 * (z * z).sum(-1) - 0.5 * z.shape[-1] * math.log(2.0 * math.pi)
        return -normal - self.width.log().sum()
