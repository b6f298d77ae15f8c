"""Train a model, with its progress in Prefect's own pages.

One task does it all: a training keeps its own checkpoints, so a flow run that starts again, by hand or by itself after
a process was lost, goes on from the last one and ends with the same model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import flow_run
from prefect.tasks import Task

from gbx_beamline import assemble
from gbx_beamline.errors import CatalogError, ServiceError
from gbx_beamline.learning.jobs import Progress, train_model
from gbx_beamline.learning.store import ModelStore, read_model

_RETRY_DELAYS: list[float] = [5, 30, 120]
"""s before each further try, when a process or the catalog went away."""

_SHOW_SECONDS = 2.0
"""Shortest time between two updates of the artifact: each is a write to Prefect's database."""


def _may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.result(raise_on_failure=False), ServiceError | CatalogError)


patient_task = task(
    retries=len(_RETRY_DELAYS),
    retry_delay_seconds=_RETRY_DELAYS,
    retry_condition_fn=_may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)
"""A task that goes on after the loss of a process."""


def progress_artifact(what: str) -> UUID:
    """A bar in Prefect's pages for this flow run."""
    made: Any = create_progress_artifact(0.0, key=f"{flow_run.flow_name}-{flow_run.id}", description=what)
    return made


def following(artifact: UUID) -> Callable[[Progress], None]:
    """What moves the bar, and logs the beginning of each stage."""
    updated = 0.0
    stages: set[str] = set()

    def told(progress: Progress) -> None:
        nonlocal updated
        if progress.stage not in stages:
            stages.add(progress.stage)
            get_run_logger().info("%s: %d of %d done", progress.stage, progress.done, progress.total)
        now = time.monotonic()
        if progress.total and (progress.done == progress.total or now - updated > _SHOW_SECONDS):
            update_progress_artifact(
                artifact,
                100.0 * progress.done / progress.total,
                description=f"{progress.stage}, {progress.done:,} of {progress.total:,} {progress.said}".strip(),
            )
            updated = now

    return told


def show_model(folder: Path, as_candidate: bool) -> None:
    """A Markdown artifact that says where a model is and what to do next; and make it the candidate, if asked to."""
    model = read_model(folder)
    name = str(folder)
    if as_candidate:
        ModelStore(assemble.configuration().models).name_candidate(folder, why=f"trained by flow run {flow_run.id}")
        name = "candidate"
    create_markdown_artifact(
        markdown=f"# {model.id}\n\nin `{folder}`, from {model.description.parent or 'the beginning'}\n\n"
        f"next: `gbx evaluate {name}`, then `gbx models promote {name}`\n",
        key=f"model-{model.id}".replace("_", "-"),
        description=f"a trained model of the family {model.description.family}",
    )


@patient_task
def train_model_task(
    out: Path,
    family: Literal["gbx", "paper"],
    workers: int | None,
    device: str | None,
    calibrate: bool,
    artifact: UUID,
) -> Path:
    """Train, or go on, and show in a progress artifact how far it is."""
    config = assemble.configuration()
    told = following(artifact)
    model = train_model(config, out, told, family=family, workers=workers, device=device, calibrate=calibrate)
    get_run_logger().info("%s: model %s", out, model.id)
    return model.folder


@flow(name="train", flow_run_name="train {out}", persist_result=False)
def train(
    out: Path,
    family: Literal["gbx", "paper"] = "gbx",
    workers: int | None = None,
    device: str | None = None,
    calibrate: bool = True,
    as_candidate: bool = False,
) -> Path:
    """Train a model on simulations alone, or go on with a training that was interrupted.

    Args:
        out: Folder of the checkpoint and of the model, on the machine that runs the flow. Settings are those of the
            configuration that ``GBX_CONFIG`` names.
        family: gbx: posteriors. paper: the paper's vanilla network.
        workers: Processes that simulate; None = as configured.
        device: As torch names it; None = as configured.
        calibrate: Of the family gbx: fit intervals to photon-level scans in the end.
        as_candidate: True copies the model into the store as the candidate.

    Returns:
        The model's folder.

    Raises:
        GbxError: as ``train_model`` says.
    """
    folder = train_model_task(out, family, workers, device, calibrate, progress_artifact(f"{family} model in {out}"))
    show_model(folder, as_candidate)
    return folder
