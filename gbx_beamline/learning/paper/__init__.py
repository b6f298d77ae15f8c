"""The paper's method (Eq. 10-15), reproduced as a model family of its own: a reference, not what GBX trusts.

In the order of use: ``train_vanilla`` fits the paper's network to its ensemble, ``experimental_maps`` brings
experiments to the same form, ``adapt`` trains the surrogate and then network, CORAL and L_sur together, and
``finetune_groups`` fits the predictor to each group on L_sur alone. What the paper leaves open and what we found out
about it is said where it is decided: scaling of the maps in ``networks``, of S_noneq in ``scales``, Eq. 12 in
``losses``.

The names below load on first use: importing this package loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gbx_beamline._lazy import lazily

if TYPE_CHECKING:
    from gbx_beamline.learning.paper.experiments import ExperimentalMaps as ExperimentalMaps
    from gbx_beamline.learning.paper.experiments import ExperimentalScan as ExperimentalScan
    from gbx_beamline.learning.paper.experiments import experimental_maps as experimental_maps
    from gbx_beamline.learning.paper.finetuning import finetune_groups as finetune_groups
    from gbx_beamline.learning.paper.finetuning import finetuned as finetuned
    from gbx_beamline.learning.paper.model import PaperModel as PaperModel
    from gbx_beamline.learning.paper.model import load_paper_model as load_paper_model
    from gbx_beamline.learning.paper.model import paper_model_of as paper_model_of
    from gbx_beamline.learning.paper.progress import StageProgress as StageProgress
    from gbx_beamline.learning.paper.splits import Split as Split
    from gbx_beamline.learning.paper.splits import split_by_run as split_by_run
    from gbx_beamline.learning.paper.training import adapt as adapt
    from gbx_beamline.learning.paper.training import train_vanilla as train_vanilla

_HOMES = {
    "ExperimentalMaps": "experiments",
    "ExperimentalScan": "experiments",
    "PaperModel": "model",
    "Split": "splits",
    "StageProgress": "progress",
    "adapt": "training",
    "experimental_maps": "experiments",
    "finetune_groups": "finetuning",
    "finetuned": "finetuning",
    "load_paper_model": "model",
    "paper_model_of": "model",
    "split_by_run": "splits",
    "train_vanilla": "training",
}

__all__ = [
    "ExperimentalMaps",
    "ExperimentalScan",
    "PaperModel",
    "Split",
    "StageProgress",
    "adapt",
    "experimental_maps",
    "finetune_groups",
    "finetuned",
    "load_paper_model",
    "paper_model_of",
    "split_by_run",
    "train_vanilla",
]

__getattr__, __dir__ = lazily(__name__, _HOMES)
