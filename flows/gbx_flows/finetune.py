"""Fine-tune an adapted model of the paper's family to each group of experiments, with progress in Prefect's pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from prefect import flow, get_run_logger

from gbx_beamline import assemble, grouping
from gbx_beamline.learning.jobs import finetune_models
from gbx_beamline.learning.store import ModelStore
from gbx_flows.train import following, patient_task, progress_artifact, show_model


@patient_task
def finetune_models_task(
    model: str, out: Path, samples: Sequence[str], runs: Sequence[str], suite: str | None, artifact: UUID
) -> dict[str, Path]:
    """Fine-tune, and show in a progress artifact how far it is."""
    config = assemble.configuration()
    parent = ModelStore(config.models).find(model)
    told = following(artifact)
    with grouping.experimental_scans(config, samples=samples, runs=runs, suite=suite, told=told) as scans:
        found = finetune_models(config, parent, scans, out, told)
    get_run_logger().info("%s: %d models, from %s", out, len(found), parent.id)
    return {group: tuned.folder for group, tuned in found.items()}


@flow(name="finetune", flow_run_name="finetune {model} in {out}", persist_result=False)
def finetune(
    model: str,
    out: Path,
    samples: Sequence[str] = (),
    runs: Sequence[str] = (),
    suite: str | None = None,
) -> dict[str, Path]:
    """Fine-tune an adapted model to each group of experiments, on S_noneq alone.

    Nothing uses such a model unasked: it can agree better with S_noneq and be further from the truth.

    Args:
        model: Alias, id or folder of the adapted model.
        out: Folder of the models, on the machine that runs the flow.
        samples: Analysed scans of these samples.
        runs: And these analysed runs.
        suite: Virtual experiments in their place.

    Returns:
        The models' folders by group.

    Raises:
        GbxError: as ``finetune_models`` says.
    """
    folders = finetune_models_task(model, out, samples, runs, suite, progress_artifact(f"{model} by group in {out}"))
    for folder in folders.values():
        show_model(folder, as_candidate=False)
    return folders
