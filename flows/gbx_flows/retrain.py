"""Retrain on a schedule: gather what was accepted, adapt, judge, promote or keep; Prefect's own pages say why."""

from __future__ import annotations

import socket
from pathlib import Path
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run

from gbx_beamline import assemble, retraining
from gbx_beamline.errors import BusyError
from gbx_beamline.retraining import NOTHING, Outcome
from gbx_flows.keys import catalog_key
from gbx_flows.train import following, patient_task, progress_artifact


@patient_task
def retrain_task(config: Path | None, force: bool, artifact: UUID) -> Outcome:
    """Retrain, or go on with what was interrupted, and show in a progress artifact how far it is."""
    settings = assemble.configuration(config)
    with assemble.open_catalog(settings, api_key=catalog_key()) as catalog:
        by = f"flow run {flow_run.name} on {socket.gethostname()}"
        try:
            return retraining.retrain(catalog, settings, following(artifact), by=by, force=force)
        except BusyError as error:
            return Outcome(number=0, status=NOTHING, reason=str(error), default=None)


@flow(name="retrain", persist_result=False)
def retrain_workflow(force: bool = False, config: Path | None = None) -> str:
    """Make a new default model from what was measured since the last one, where one is wanted and the gate opens.

    Meant for a schedule: too few new maps, and another retraining under way, are outcomes and no errors. Started again
    after a kill, it goes on.

    Args:
        force: True wants a model from whatever is accepted, however little of it is new.
        config: File of the configuration, on the machine that runs the flow; None = the one that ``GBX_CONFIG`` names.

    Returns:
        What came of it: promoted, kept, waits, nothing to do.

    Raises:
        GbxError: as ``retraining.retrain`` says.
    """
    outcome = retrain_task(config, force, progress_artifact("retraining"))
    get_run_logger().info("%s: %s", outcome.status, outcome.reason)
    create_markdown_artifact(
        markdown=retraining.in_markdown(outcome),
        # One key for all: Prefect's page of it is the history.
        key="retraining",
        description=f"{outcome.status}: {outcome.reason}",
    )
    return outcome.status
