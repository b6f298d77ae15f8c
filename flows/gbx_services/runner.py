"""``python -m gbx_services.runner``: registers the end-of-run deployment and carries out its flow runs, in one process.

A process for each run, as Prefect's own runner makes them, pays 4 s of imports for every scan. Here they are paid
once. May be started together with its Prefect server, whose address is in ``PREFECT_API_URL``. What the runner
leaves unfinished when it is killed, its successor on the same folder tells Prefect.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import Abort, ObjectNotFound
from prefect.flow_engine import run_flow
from prefect.flows import Flow
from prefect.states import Crashed, Pending
from prefect.types.entrypoint import EntrypointType
from prefect.utilities.engine import propose_state_sync

from gbx_beamline import assemble
from gbx_beamline.config import ModelsConfig
from gbx_beamline.errors import DependencyError, InputError
from gbx_flows.end_of_run import end_of_run_workflow
from gbx_services.dispatch.flow_runs import at_once
from gbx_services.logs import log_as_json
from gbx_services.prefect_service import DEPLOYMENT, START_SECONDS, answers

logger = logging.getLogger("gbx_services.runner")

POLL_SECONDS = 0.25
"""Between two looks for scheduled flow runs; part of the lag of every result."""

_START_POLL_SECONDS = 0.3
_SLOW_POLL_SECONDS = 2.0
"""While Prefect does not answer."""


class UnderWay:
    """Ids of the flow runs that this process carries out, kept in a file for its successor."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._ids: set[str] = set()

    def left_behind(self) -> list[str]:
        """Those of a predecessor."""
        try:
            found: Any = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return []
        return [str(one) for one in found] if isinstance(found, list) else []

    def add(self, flow_run: str) -> None:
        """Before it begins."""
        self._change(lambda: self._ids.add(flow_run))

    def remove(self, flow_run: str) -> None:
        """After Prefect knows its end."""
        self._change(lambda: self._ids.discard(flow_run))

    def _change(self, change: Callable[[], None]) -> None:
        with self._lock:
            change()
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                new = self._path.with_suffix(".new")
                new.write_text(json.dumps(sorted(self._ids)))
                new.replace(self._path)
            except OSError:
                # A full disk costs the dispatcher the wait for its claim's end, no more.
                logger.exception("flow runs under way cannot be noted")


class FlowRunner:
    """Carries out the scheduled flow runs of one deployment in threads of this process.

    Args:
        flow: What the deployment runs.
        deployment: Its id.
        client: Of the Prefect server.
        under_way: Note of what is being carried out.
        limit: Flow runs at the same time.
    """

    def __init__(
        self, flow: Flow[..., Any], deployment: UUID, client: SyncPrefectClient, under_way: UnderWay, limit: int
    ) -> None:
        self._flow = flow
        self._deployment = deployment
        self._client = client
        self._under_way = under_way
        self._limit = limit
        self._pool = ThreadPoolExecutor(limit, thread_name_prefix="gbx-flow")
        self._running: set[UUID] = set()
        self._interrupted: set[UUID] = {UUID(one) for one in under_way.left_behind()}
        """Whose end Prefect does not know."""
        self._lock = threading.Lock()

    def poll(self) -> int:
        """Tell Prefect what was interrupted, and begin what is scheduled, as far as there are free threads.

        Returns:
            How many were begun.

        Raises:
            httpx.HTTPError: Prefect does not answer.
        """
        for one in list(self._interrupted):
            self._tell_crashed(one)
        free = self._limit - len(self._running)
        if free <= 0:
            return 0
        scheduled = self._client.get_scheduled_flow_runs_for_deployments(
            [self._deployment], scheduled_before=datetime.now(UTC), limit=free + self._limit
        )
        due = [one.id for one in scheduled if one.id not in self._running]
        return sum(self._begin(one) for one in due[:free])

    def close(self) -> None:
        """Begin nothing more and wait for what is under way."""
        self._pool.shutdown(wait=True)

    def _begin(self, flow_run: UUID) -> bool:
        self._under_way.add(str(flow_run))
        try:
            state = propose_state_sync(self._client, Pending(), flow_run_id=flow_run)
        except Abort:
            state = None
        if state is None or not state.is_pending():
            # Cancelled meanwhile, or another runner has it.
            self._under_way.remove(str(flow_run))
            return False
        with self._lock:
            self._running.add(flow_run)
        self._pool.submit(self._carry_out, flow_run)
        return True

    def _carry_out(self, flow_run: UUID) -> None:
        try:
            found = self._client.read_flow_run(flow_run)
            # A failure is in the state that Prefect has: it is no trouble of the runner's.
            run_flow(self._flow, flow_run=found, return_type="state")
        except Abort:
            logger.info("flow run %s was taken away", flow_run)
        except BaseException:
            logger.exception("flow run %s was interrupted", flow_run)
            with self._lock:
                self._interrupted.add(flow_run)
        finally:
            with self._lock:
                self._running.discard(flow_run)
            if flow_run not in self._interrupted:
                self._under_way.remove(str(flow_run))

    def _tell_crashed(self, flow_run: UUID) -> None:
        try:
            state = self._client.read_flow_run(flow_run).state
            if state is None or not state.is_final():
                message = "The runner that carried it out was killed, or lost Prefect."
                self._client.set_flow_run_state(flow_run, Crashed(message=message), force=True)
        except ObjectNotFound:
            logger.warning("Prefect knows no flow run %s any more", flow_run)
        with self._lock:
            self._interrupted.discard(flow_run)
        self._under_way.remove(str(flow_run))


def main() -> None:
    """Wait for the server, then carry out flow runs until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="folder for the note of what is under way")
    parser.add_argument("--deployment", default=DEPLOYMENT, help="name of flow and deployment")
    parser.add_argument("--limit", type=int, default=1, help="flow runs at the same time")
    arguments = parser.parse_args()
    log_as_json()
    stopping = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stopping.set())
    _await_server(stopping)
    _warm_up()
    with get_client(sync_client=True) as client:
        runner = FlowRunner(
            cast("Flow[..., Any]", end_of_run_workflow),
            _register(arguments.deployment),
            client,
            UnderWay(arguments.directory / "under-way.json"),
            arguments.limit,
        )
        logger.info("ready for flow runs of %s", arguments.deployment)
        _poll_until(stopping, runner)
        runner.close()


def _poll_until(stopping: threading.Event, runner: FlowRunner) -> None:
    pause = 0.0
    while not stopping.wait(pause):
        try:
            # Only here: a flow run that is under way is to outlast what Prefect's client can.
            with at_once():
                runner.poll()
            pause = POLL_SECONDS
        except Exception as error:  # noqa: BLE001 - whatever Prefect's client raises, its server may come back
            if pause != _SLOW_POLL_SECONDS:
                logger.warning("Prefect does not take flow runs on: %s", error)
            pause = _SLOW_POLL_SECONDS


def _await_server(stopping: threading.Event) -> None:
    health = f"{os.environ['PREFECT_API_URL']}/health"
    deadline = time.monotonic() + START_SECONDS
    while not answers(health):
        if time.monotonic() > deadline:
            sys.exit(f"no Prefect server answers at {health} within {START_SECONDS:.0f} s")
        if stopping.wait(_START_POLL_SECONDS):
            sys.exit(0)


def _register(name: str) -> UUID:
    deployment: Any = end_of_run_workflow.to_deployment(
        name=name.split("/")[1],
        description="Analyse a scan when its stop document arrives.",
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    return deployment.apply()


def _warm_up() -> None:
    """What the first scan would wait for: imports, compiled kernels, the model."""
    from gbx_beamline import catalog, correlation, figures, frames, pipeline
    from gbx_beamline.frames import quarantine

    for package in (catalog, correlation, figures, frames, pipeline):
        for name in package.__all__:
            getattr(package, name)
    try:
        correlation.probe_engines()
    except Exception:
        logger.exception("the kernels cannot be compiled; see `gbx doctor`")
    quarantine.ready()
    models = assemble.configuration().models
    if models.infer:
        try:
            _load_model(models)
        except (InputError, DependencyError) as error:
            # Scans are correlated all the same, and their reports say why no model was asked.
            logger.error("no model can be asked: %s", error)


def _load_model(models: ModelsConfig) -> None:
    from gbx_beamline.learning.kept import kept_model
    from gbx_beamline.learning.store import ModelStore

    store = ModelStore(models)
    model = kept_model(store.find(), store)
    logger.info("model %s is loaded", model.id)


if __name__ == "__main__":
    main()
