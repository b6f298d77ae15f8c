"""What ``gbx evaluate`` does: suites, answers, and what is kept of both beside the models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.config import Config
from gbx_beamline.learning._torch import check_torch, one_thread
from gbx_beamline.learning.jobs import Progress, Told
from gbx_beamline.learning.store import ModelStore, StoredModel

if TYPE_CHECKING:
    from gbx_beamline.learning.embedding import Embedding
    from gbx_beamline.learning.evaluation import EvaluationReport
    from gbx_beamline.learning.evaluation.answers import Answering
    from gbx_beamline.learning.virtual import PreparedSuite


PAPER = "paper"
"""Family."""


@dataclass(frozen=True)
class Judged:
    """An evaluated model."""

    model: StoredModel
    report: EvaluationReport
    kept: Path | None
    """Where the evaluation was kept; None where an earlier one of these suites stands."""


def prepare_suites(config: Config, names: Sequence[str], told: Told, *, workers: int = 1) -> dict[str, PreparedSuite]:
    """Measure what is missing of suites of virtual experiments.

    Args:
        config: ``models.suites`` says where they are kept.
        names: of suites that come with the package; none = all.
        told: told how far it is.
        workers: processes.

    Raises:
        ConfigError: no such suite.
        InputError: a folder that cannot be written.
        ServiceError: a worker is lost.
    """
    from gbx_beamline.learning.evaluation import SUITES
    from gbx_beamline.learning.virtual import prepare_suite

    return {
        name: prepare_suite(
            name,
            config.models.suites,
            workers=workers,
            progress=lambda done, total, name=name: told(Progress(f"measuring suite {name}", done, total)),
        )
        for name in names or SUITES
    }


def evaluate_model(
    store: ModelStore,
    model: StoredModel,
    suites: Mapping[str, PreparedSuite],
    told: Told,
    *,
    again: bool = False,
    bounds: bool = True,
    workers: int = 1,
) -> Judged:
    """Judge a model on suites of virtual experiments, keep what was found, and fit the map of its features.

    Args:
        store: keeps the evaluation and the map.
        model: of any family.
        suites: prepared.
        told: told how far it is.
        again: True evaluates also where an evaluation on these suites is there.
        bounds: compute Cramér-Rao bounds beside the answers.
        workers: processes for the bounds.

    Raises:
        GbxError: as ``learning.evaluation.evaluate`` says, or the findings cannot be written.
    """
    check_torch()
    from gbx_beamline.learning.evaluation import EvaluationReport, evaluate

    wanted = {name: suite.settings.key for name, suite in suites.items()}
    earlier = None if again else store.evaluation(model)
    # One that came with the model has its measures, for the gate, and no answers.
    if earlier is not None and earlier["views"] and wanted.items() <= earlier["suites"].items():
        # One of more suites is not replaced by one of fewer: the gate needs them all.
        report = EvaluationReport.from_json(earlier)
        if not bounds or _has_bounds(report):
            return Judged(model, report, None)
    judged = _as_judged(model)
    drawn = _Drawn()
    with one_thread():
        report = evaluate(
            judged,
            suites,
            lambda what, done, total: told(Progress(what, done, total)),
            family=model.id,
            bounds=bounds,
            project=drawn.project,
            workers=workers,
        )
    kept = store.keep_evaluation(model, report.to_json())
    if drawn.embedding is not None:
        _with_truth(drawn.embedding, judged, report).save(store.findings(model)[0])
    return Judged(model, report, kept)


def evaluate_finetuned(
    config: Config,
    model: StoredModel,
    suites: Mapping[str, PreparedSuite],
    told: Told,
    *,
    bounds: bool = True,
    workers: int = 1,
) -> Judged | None:
    """Judge a model of the paper's family that is fine-tuned to each sample of the suites, on its unlabelled scans.

    Nothing is kept: such models are for one sample alone.

    Args:
        config: ``paper_family.finetuning`` counts.
        model: of any family.
        suites, told, bounds, workers: as in ``evaluate_model``.

    Returns:
        None where the model is none that can be fine-tuned.
    """
    if model.description.family != PAPER:
        return None
    from gbx_beamline.config import PaperFamilyConfig
    from gbx_beamline.learning.evaluation import evaluate
    from gbx_beamline.learning.evaluation.paper_family import JudgedFinetuned
    from gbx_beamline.learning.paper import paper_model_of

    loaded = paper_model_of(model)
    if loaded.surrogate is None:
        return None
    data = PaperFamilyConfig.model_validate(model.description.training).data
    judged = JudgedFinetuned(loaded, data, config.paper_family.finetuning)
    with one_thread():
        report = evaluate(
            judged,
            suites,
            lambda what, done, total: told(Progress(f"{what}, fine-tuned", done, total)),
            family=f"fine-tuned from {model.id[-10:]}",
            bounds=bounds,
            workers=workers,
        )
    return Judged(model, report, None)


def _has_bounds(report: EvaluationReport) -> bool:
    return any(np.isfinite(answers.bound).any() for answers in report.views.values())


class _Drawn:
    """Fits the map of features when an evaluation asks for a picture of them, and keeps it."""

    embedding: Embedding | None = None

    def project(
        self, simulated: NDArray[np.float64], measured: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See ``learning.evaluation.judging.Projection``."""
        from gbx_beamline.learning.embedding import NEIGHBOURS, fit_embedding

        every = np.concatenate([simulated, measured])
        kind = np.repeat([0, 1], [len(simulated), len(measured)])
        # A map of few scans is a poor one, but no reason to lose an evaluation.
        neighbours = min(NEIGHBOURS, (len(every) - 1) // 2)
        self.embedding = fit_embedding(every, kind=kind, most=len(every), neighbours=neighbours)
        places = self.embedding.coordinates.astype(np.float64)
        return places[: len(simulated)], places[len(simulated) :]


def _with_truth(embedding: Embedding, judged: Any, report: EvaluationReport) -> Embedding:
    """The map with the true log10 D, log10 gamma and lambda of its points, where they are known."""
    from gbx_beamline.learning.evaluation import HasSimulationTest
    from gbx_beamline.learning.evaluation.answers import to_u
    from gbx_beamline.learning.evaluation.report import ONE

    truth = np.full((len(embedding.kind), 3), np.nan, dtype=np.float32)
    if isinstance(judged, HasSimulationTest):
        simulated = judged.simulation_test()[0]
        if len(simulated) == int((embedding.kind == 0).sum()):
            truth[embedding.kind == 0] = simulated
    answers = report.views[ONE]
    measured = to_u(answers.truth[answers.answered])
    if len(measured) == int((embedding.kind == 1).sum()):
        truth[embedding.kind == 1] = measured
    names = ("log10_diffusivity", "log10_gamma", "gb_fraction")
    return replace(embedding, columns={name: truth[:, column] for column, name in enumerate(names)})


def _as_judged(model: StoredModel) -> Answering:
    """A model as evaluation wants it."""
    if model.description.family == "gbx":
        from gbx_beamline.config import TrainingData
        from gbx_beamline.learning.evaluation.gbx_family import JudgedModel
        from gbx_beamline.learning.predictor import model_of

        return JudgedModel(model_of(model), TrainingData.model_validate(model.description.training["data"]), check=True)
    from gbx_beamline.config import PaperFamilyConfig
    from gbx_beamline.learning.evaluation.paper_family import JudgedPaperModel
    from gbx_beamline.learning.paper import paper_model_of

    trained = PaperFamilyConfig.model_validate(model.description.training)
    return JudgedPaperModel(paper_model_of(model), trained.data, trained.seed)
