"""Scans as arrays to scans as tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from gbx_beamline.learning.contract import ScanInput
from gbx_beamline.learning.networks.encoder import RoiBatch


def roi_batch(
    maps: NDArray[np.floating],
    curves: NDArray[np.float32],
    scalars: NDArray[np.float32],
    rois: NDArray[np.int64],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> RoiBatch:
    """B scans with ``rois`` (B,) q-ROIs each, one after the other; maps in ``dtype`` and channels last."""
    index = np.repeat(np.arange(len(rois)), rois)
    return RoiBatch(
        maps=torch.from_numpy(maps).to(device=device, dtype=dtype, memory_format=torch.channels_last),
        curves=torch.from_numpy(curves).to(device),
        scalars=torch.from_numpy(scalars).to(device),
        scan=torch.from_numpy(index).to(device),
        scans=len(rois),
    )


def batch_of_inputs(inputs: Sequence[ScanInput], device: torch.device) -> RoiBatch:
    """Scans as inference has them."""
    return roi_batch(
        np.concatenate([one.maps for one in inputs]),
        np.concatenate([one.curves for one in inputs]),
        np.concatenate([one.scalars for one in inputs]),
        np.array([len(one.maps) for one in inputs]),
        device,
    )
