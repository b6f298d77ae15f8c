"""Losses of the paper, Eq. 11-15.

The name CORAL stands for at least three losses that differ. Ours is Eq. 12 as printed: distance of the means, which
Deep CORAL leaves out, plus distance of the covariances over ``4 d^2``; nothing is standardised before, and no maximum
is added.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gbx_beamline.errors import InputError

Surrogate = Callable[[Tensor], Tensor]
"""Q of Eq. 13: (b, 3) parameters on 0..1 to (b,) S_noneq on 0..1."""


def supervised_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """Eq. 11: mean square error of (b, 3) parameters on 0..1."""
    return torch.nn.functional.mse_loss(predicted, truth)


def coral(simulated: Tensor, measured: Tensor) -> Tensor:
    """Eq. 12: ``|mu_s - mu_e|^2 + |C_s - C_e|_F^2 / (4 d^2)``.

    Args:
        simulated: (n, d) features; n at least 2.
        measured: (m, d) features; m at least 2.

    Returns:
        A number of 0 or more. Covariances are the unbiased ones, over n - 1.

    Raises:
        InputError: features of different lengths, or a single row, which has no covariance.
    """
    shapes = tuple(simulated.shape), tuple(measured.shape)
    if (
        simulated.ndim != 2
        or measured.ndim != 2
        or shapes[0][1] != shapes[1][1]
        or min(len(simulated), len(measured)) < 2
    ):
        raise InputError(
            f"features of shapes {shapes[0]} and {shapes[1]}",
            needed="(n, d) and (m, d) with at least two rows each: one row has no covariance",
            action="take larger batches",
        )
    width = simulated.shape[1]
    means = (simulated.mean(dim=0) - measured.mean(dim=0)).square().sum()
    spreads = (_covariance(simulated) - _covariance(measured)).square().sum()
    return means + spreads / (4.0 * width**2)


def surrogate_loss(surrogate: Surrogate, predicted: Tensor, s: Tensor) -> Tensor:
    """Eq. 14, L_sur: mean square difference of what the surrogate says of predictions and the measured S_noneq.

    Args:
        surrogate: Q, frozen.
        predicted: (b, 3) parameters on 0..1.
        s: (b,) on 0..1; rows where it is NaN (undetermined) do not count.

    Raises:
        InputError: no known S_noneq at all.
    """
    known = torch.isfinite(s)
    if not bool(known.any()):
        raise InputError(
            f"{len(s)} maps without S_noneq",
            needed="at least one map whose S_noneq is known",
            action="take larger batches, or the bare S_noneq",
        )
    return torch.nn.functional.mse_loss(surrogate(predicted[known]), s[known])


def total_loss(
    supervised: Tensor, coral_part: Tensor, surrogate_part: Tensor, *, coral_weight: float, surrogate_weight: float
) -> Tensor:
    """Eq. 15: ``L_sup + w_CORAL L_CORAL + w_sur L_sur``."""
    return supervised + coral_weight * coral_part + surrogate_weight * surrogate_part


def _covariance(features: Tensor) -> Tensor:
    centred = features - features.mean(dim=0)
    return centred.T @ centred / (len(features) - 1)
