"""What simulations say of a trained network's answers: what is familiar to it, how sure its head may be, how alike the
errors of scans of one sample are. Calibration of its intervals is left to photon-level scans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gbx_beamline.config import TrainingConfig
from gbx_beamline.learning._belief_familiarity import FEWEST_HELD_OUT
from gbx_beamline.learning.belief import Belief, Familiarity
from gbx_beamline.learning.competing import CLASSES, ClassCalibration
from gbx_beamline.learning.group import correlation_of
from gbx_beamline.learning.networks import PosteriorNetwork
from gbx_beamline.learning.parameters import ParameterBox
from gbx_beamline.learning.predictor import posteriors_of
from gbx_beamline.learning.training.batches import ScanArrays, group_scans, held_out_scans
from gbx_beamline.learning.training.validation import contexts_of

BLOCK = 256
"""Scans looked at at once."""


@dataclass(frozen=True)
class Believed:
    """What is stored beside the weights."""

    belief: Belief
    correlation: float
    """rho of the errors of scans of one sample."""


def believed(network: PosteriorNetwork, config: TrainingConfig, box: ParameterBox, device: torch.device) -> Believed:
    """Look at fresh simulations that neither training nor validation holds.

    With fewer scans than ``FEWEST_HELD_OUT`` needs, nothing is calibrated, and answers will say so.
    """
    belief = Belief.untested(box)
    shares = np.full(len(CLASSES), config.data.alternatives / (len(CLASSES) - 1))
    shares[0] = 1.0 - config.data.alternatives
    if (shares > 0).all():
        belief = belief.with_parts(classes=ClassCalibration.untested(shares))
    if config.calibration_scans >= 4 * FEWEST_HELD_OUT:
        scans = held_out_scans(config.seed, config.calibration_scans, config.data)
        contexts, logits = _seen(network, scans, device)
        belief = belief.with_parts(familiarity=_familiarity(contexts, scans))
        if (shares > 0).all():
            kinds = [CLASSES[kind] for kind in scans.kinds]
            belief = belief.with_parts(classes=ClassCalibration.fit(logits, kinds, training=shares))
    correlation = 0.0
    if config.calibration_groups:
        groups = group_scans(config.seed, config.calibration_groups, config.data)
        correlation = _correlation(network, groups, device, config.seed)
    return Believed(belief, correlation)


def _familiarity(contexts: NDArray[np.float32], scans: ScanArrays) -> Familiarity:
    """Half of the grain boundaries are the references, the other half tells what their distances mean."""
    ours = contexts[scans.kinds == 0]
    half = len(ours) // 2
    return Familiarity.fit(ours[:half], ours[half:])


def _correlation(network: PosteriorNetwork, groups: list[ScanArrays], device: torch.device, seed: int) -> float:
    found = []
    for number, scans in enumerate(groups):
        with torch.no_grad():
            contexts = contexts_of(network, scans, device, "float32")
        found.append((posteriors_of(network, contexts, samples=500, seed=seed + number), scans.parameters[0]))
    return correlation_of(found, seed=seed)


def _seen(
    network: PosteriorNetwork, scans: ScanArrays, device: torch.device
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(B, d) contexts and (B, K) logits."""
    with torch.no_grad():
        contexts = torch.cat([contexts_of(network, part, device, "float32") for part in scans.parts(BLOCK)])
        return contexts.cpu().numpy(), network.kinds(contexts).cpu().numpy()
