"""Adapt a vanilla model of the paper's family to experiments, with its progress in Prefect's own pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from prefect import flow, get_run_logger

from gbx_beamline import assemble, grouping
from gbx_beamline.learning.jobs import adapt_model
from gbx_beamline.learning.store import ModelStore
from gbx_flows.train import following, patient_task, progress_artifact, show_model


@patient_task
def adapt_model_task(
    model: str,
    out: Path,
    samples: Sequence[str],
    runs: Sequence[str],
    suite: str | None,
    device: str | None,
    artifact: UUID,
) -> Path:
    """Adapt, or go on, and show in a progress artifact how far it is."""
    config = assemble.configuration()
    parent = ModelStore(config.models).find(model)
    told = following(artifact)
    with grouping.experimental_scans(config, samples=samples, runs=runs, suite=suite, told=told) as scans:
        adapted = adapt_model(config, parent, scans, out, told, device=device)
    get_run_logger().info("%s: model %s, from %s", out, adapted.id, parent.id)
    return adapted.folder


@flow(name="adapt", flow_run_name="adapt {model} in {out}", persist_result=False)
def adapt(
    model: str,
    out: Path,
    samples: Sequence[str] = (),
    runs: Sequence[str] = (),
    suite: str | None = None,
    device: str | None = None,
    as_candidate: bool = False,
) -> Path:
    """Adapt a vanilla model to unlabelled experiments, or go on with an adaptation that was interrupted.

    Args:
        model: Alias, id or folder of the vanilla model.
        out: Folder of the checkpoints and of the model, on the machine that runs the flow.
        samples: Analysed scans of these samples.
        runs: And these analysed runs.
        suite: Virtual experiments in their place.
        device: As torch names it; None = as configured.
        as_candidate: True copies the model into the store as the candidate.

    Returns:
        The model's folder.

    Raises:
        GbxError: as ``adapt_model`` says.
    """
    folder = adapt_model_task(
        model, out, samples, runs, suite, device, progress_artifact(f"adaptation of {model} in {out}")
    )
    show_model(folder, as_candidate)
    return folder
