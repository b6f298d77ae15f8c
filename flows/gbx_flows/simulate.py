"""Simulate an ensemble, with its progress in Prefect's own pages.

One task does it all: the ensemble keeps its own account of what is whole, so a flow run that starts again, by hand or
by itself after workers were lost, computes what is missing and nothing else. Work is spread by processes or by an
existing Dask cluster, not by one Prefect task per batch, each of which would cost the server some writes.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import flow_run
from prefect.tasks import Task

from gbx_beamline import assemble
from gbx_beamline.config import SimulationConfig
from gbx_beamline.errors import CatalogError, ServiceError
from gbx_beamline.simulation.ensemble import simulate_ensemble

_RETRY_DELAYS: list[float] = [5, 30, 120]
"""s before each further try, when workers or the catalog went away."""

_SHOW_SECONDS = 2.0
"""Shortest time between two updates of the artifact: each is a write to Prefect's database."""


def _may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.result(raise_on_failure=False), ServiceError | CatalogError)


_patient_task = task(
    retries=len(_RETRY_DELAYS),
    retry_delay_seconds=_RETRY_DELAYS,
    retry_condition_fn=_may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)


@_patient_task
def simulate_members(
    settings: SimulationConfig, out: Path, workers: int | None, dask: str | None, artifact: UUID
) -> None:
    """Simulate what is missing of the ensemble, and show in a progress artifact how far it is."""
    updated = 0.0

    def show(done: int, members: int) -> None:
        nonlocal updated
        now = time.monotonic()
        if done == members or now - updated > _SHOW_SECONDS:
            update_progress_artifact(artifact, 100.0 * done / members)
            updated = now

    done = simulate_ensemble(settings, out, workers=workers, dask=dask, progress=show)
    get_run_logger().info(
        "%s: %d members, %d of them simulated now in %.1f s", out, done.members, done.computed, done.seconds
    )


@_patient_task
def register(out: Path) -> str:
    """Make the whole ensemble readable through the catalog.

    Returns:
        Its path in the catalog's processed part.
    """
    from gbx_beamline.catalog.ensembles import register_ensemble

    config = assemble.configuration()
    store = None if assemble.server_address(config) else config.catalog.directory / "frames"
    with assemble.open_catalog(config) as catalog:
        return register_ensemble(catalog, out, store=store)


@flow(name="simulate", flow_run_name="simulate {out}", persist_result=False)
def simulate(
    out: Path,
    n: int | None = None,
    mode: Literal["measurement", "paper"] | None = None,
    size: int | None = None,
    seed: int | None = None,
    workers: int | None = None,
    dask: str | None = None,
    in_catalog: bool = True,
) -> str | None:
    """Simulate an ensemble, or go on with one that was interrupted, and register it in the catalog.

    Args:
        out: Folder of the ensemble, on the machine that runs the flow.
        n: Members. This and the next three: None = as the configuration says (file named by ``GBX_CONFIG``).
        mode: As a detector sees it, or the paper's.
        size: Time cells of a map.
        seed: Same seed, same ensemble.
        workers: Processes; None = one per core.
        dask: Address of a Dask scheduler whose workers compute instead.
        in_catalog: False leaves the catalog alone.

    Returns:
        Path of the ensemble in the catalog's processed part; None when it was left alone.

    Raises:
        GbxError: as ``simulate_ensemble`` and ``register_ensemble`` say.
    """
    settings = assemble.configuration().simulation.with_choices(members=n, mode=mode, size=size, seed=seed)
    artifact: Any = create_progress_artifact(
        0.0, key=f"simulate-{flow_run.id}", description=f"{settings.members:,} members ({settings.mode}) in {out}"
    )
    simulate_members(settings, out, workers, dask, artifact)
    return register(out) if in_catalog else None
