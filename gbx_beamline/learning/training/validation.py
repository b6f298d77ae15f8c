"""How good a network is on simulated scans: its losses, and the truth against its posteriors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from gbx_beamline.learning.networks import PosteriorNetwork
from gbx_beamline.learning.networks.encoder import RoiBatch
from gbx_beamline.learning.networks.tensors import roi_batch
from gbx_beamline.learning.training.batches import ScanArrays
from gbx_beamline.records import PARAMETERS

DECADES = (-24.0, -23.0, -22.0, -21.0, -20.0)
"""Of D in m^2/s, that errors are told by."""

SAMPLES = 256
"""Of each posterior."""

BLOCK = 256
"""Scans looked at at once."""

FEWEST = 20
"""Scans: of fewer nothing is said."""


def losses_of(
    network: PosteriorNetwork, scans: ScanArrays, device: torch.device, precision: str, *, most: int = 2**62
) -> tuple[Tensor, Tensor]:
    """Minus the mean log density of the truth over scans that have one, and the mean cross entropy of the kinds.

    Args:
        network: to be judged.
        scans: B of them.
        device: of the network.
        precision: of the convolutions.
        most: scans that are computed at once, where memory counts and gradients do not.
    """
    contexts = torch.cat([contexts_of(network, part, device, precision) for part in scans.parts(most)])
    kinds = functional.cross_entropy(network.kinds(contexts), torch.from_numpy(scans.kinds).to(device))
    inside = np.isfinite(scans.parameters).all(axis=1)
    if not inside.any():
        return contexts.sum() * 0.0, kinds
    u = torch.from_numpy(network.box.to_u(scans.parameters[inside]).astype(np.float32)).to(device)
    chosen = torch.from_numpy(np.flatnonzero(inside)).to(device)
    return -network.log_prob(contexts[chosen], u).mean(), kinds


def contexts_of(network: PosteriorNetwork, scans: ScanArrays, device: torch.device, precision: str) -> Tensor:
    """(B, context) float32."""
    return network.encoder(_batch(scans, device, torch.bfloat16 if precision == "bfloat16" else torch.float32))


def _batch(scans: ScanArrays, device: torch.device, dtype: torch.dtype) -> RoiBatch:
    return roi_batch(scans.maps, scans.curves, scans.scalars, scans.rois, device, dtype)


def truth_of(network: PosteriorNetwork, scans: ScanArrays, device: torch.device, *, seed: int) -> dict[str, Any]:
    """Errors of medians and coverage of 90 % intervals, by the number of q-ROIs and by decade of D.

    Args:
        network: to be judged.
        scans: those of other kinds of dynamics are left aside.
        device: of the network.
        seed: of the posteriors' samples.

    Returns:
        ``{"1": {"all": {...}, "1e-24": {...}, ...}, "3": ..., "any": ...}`` of numbers of scans, ``rmse``,
        ``r_squared``, ``coverage`` and mean posterior ``spread`` (sd) of u = (log10 D, log10 gamma, lambda).
    """
    inside = np.isfinite(scans.parameters).all(axis=1)
    if not inside.any():
        return {}
    truth = network.box.to_u(scans.parameters)
    low, median, high, spread = _quantiles(network, scans, device, seed)
    error = median - truth
    within = (truth >= low) & (truth <= high)
    found: dict[str, Any] = {}
    for name, chosen in (("1", scans.rois == 1), ("3", scans.rois == 3), ("any", scans.rois > 0)):
        parts = {"all": inside & chosen}
        for first, last in itertools.pairwise(DECADES):
            parts[f"1e{first:.0f}"] = parts["all"] & (truth[:, 0] >= first) & (truth[:, 0] < last)
        found[name] = {
            part: _summary(error[where], within[where], spread[where], truth[where])
            for part, where in parts.items()
            if where.sum() >= FEWEST
        }
    return found


def _quantiles(
    network: PosteriorNetwork, scans: ScanArrays, device: torch.device, seed: int
) -> tuple[NDArray[np.float64], ...]:
    """(B, 3) each: 5 %, 50 %, 95 % and standard deviation of u."""
    found: list[tuple[NDArray[np.float64], ...]] = []
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for part in scans.parts(BLOCK):
            u = network.sample(contexts_of(network, part, device, "float32"), SAMPLES).cpu().numpy().astype(np.float64)
            found.append((*np.quantile(u, [0.05, 0.5, 0.95], axis=0), u.std(axis=0)))
    return tuple(np.concatenate(each) for each in zip(*found, strict=True))


def _summary(
    error: NDArray[np.float64],
    within: NDArray[np.bool_],
    spread: NDArray[np.float64],
    truth: NDArray[np.float64],
) -> dict[str, int | dict[str, float]]:
    def named(values: NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(PARAMETERS, (round(float(value), 4) for value in values), strict=True))

    return {
        "scans": len(error),
        "rmse": named(np.sqrt((error**2).mean(axis=0))),
        "r_squared": named(1.0 - (error**2).mean(axis=0) / truth.var(axis=0)),
        "coverage": named(within.mean(axis=0)),
        "spread": named(spread.mean(axis=0)),
    }
