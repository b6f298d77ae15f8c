"""Fine-tuning to one group of experiments: the predictor alone, on L_sur alone (Eq. 14).

It makes predictions explain the measured S_noneq and nothing else: three parameters are moved by one number, so that
they may move away from the truth. Off by default, and judged like any other model.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from gbx_beamline.config._paper_family import PaperFamilyConfig, PaperFinetuning
from gbx_beamline.errors import InputError
from gbx_beamline.learning.paper.experiments import ExperimentalMaps, names_of
from gbx_beamline.learning.paper.losses import surrogate_loss
from gbx_beamline.learning.paper.model import FAMILY, PaperModel, paper_model_of
from gbx_beamline.learning.paper.report import s_error
from gbx_beamline.learning.store import StoredModel, write_model


def finetuned(model: PaperModel, group: ExperimentalMaps, settings: PaperFinetuning) -> PaperModel:
    """The model with its predictor fitted to a group's S_noneq; encoder and surrogate stay as they are.

    Args:
        model: an adapted model; it is not changed.
        group: maps of one group. Every step takes all of them.
        settings: steps and rate of Adam.

    Raises:
        InputError: a vanilla model, or no map with a known S_noneq of the kind that the model was adapted to.
    """
    surrogate = model.need_surrogate()
    s = torch.from_numpy(surrogate.scale.to_unit(group.target(surrogate.s)).astype(np.float32))
    features = torch.from_numpy(model.features(group.maps))
    tuned = PaperModel(model.id, model.network, model.scale, size=model.size, resize=model.resize, surrogate=surrogate)
    predictor = tuned.network.predictor.requires_grad_(True)
    optimiser = torch.optim.Adam(predictor.parameters(), lr=settings.learning_rate)
    for _ in range(settings.steps):
        optimiser.zero_grad(set_to_none=True)
        surrogate_loss(surrogate.network, predictor(features), s).backward()
        optimiser.step()
    predictor.requires_grad_(False)
    return tuned


def finetune_groups(
    config: PaperFamilyConfig, parent: StoredModel, experiments: ExperimentalMaps, directory: Path
) -> dict[str, StoredModel]:
    """One model for each group of experiments, in ``directory``; takes a second each.

    Args:
        config: its ``finetuning`` counts.
        parent: an adapted model.
        experiments: of any groups.
        directory: of the models' folders; made when absent.

    Returns:
        By group; a group without any known S_noneq is left out.

    Raises:
        InputError: a vanilla parent, no group with a known S_noneq, or a directory that cannot be written.
    """
    model = paper_model_of(parent)
    surrogate = model.need_surrogate()
    known = experiments.rows(np.flatnonzero(np.isfinite(experiments.target(surrogate.s))))
    if not len(known):
        raise InputError(
            f"{len(experiments)} maps, none with a known {surrogate.s} S_noneq",
            needed="at least one",
            action="measure with more photons or pixels, or adapt with the bare S_noneq",
        )
    written: dict[str, StoredModel] = {}
    for name in names_of(known.groups):
        group = known.of_group(name)
        tuned = finetuned(model, group, config.finetuning)
        before, after = (s_error(each, group) for each in (model, tuned))
        written[name] = write_model(
            directory,
            family=FAMILY,
            name="paper-finetuned",
            weights=tuned.state(),
            training=config.in_use("finetuning"),
            data={"group": name, "maps": len(group), "runs": len(set(group.runs)), "digest": group.digest},
            seeds={},
            metrics={"s_error": {"before": before, "after": after}},
            parent=parent.id,
            notes=("Fitted to S_noneq of one group of experiments, for which alone it is meant.",),
            **tuned.about(),
        )
    return written
