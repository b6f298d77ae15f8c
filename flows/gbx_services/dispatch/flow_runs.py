"""What carries out an analysis, as the dispatcher sees it; and Prefect as that."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from gbx_beamline.errors import ServiceError
from gbx_services.spool import Job

_TIMEOUT = 20.0
"""s for one request. SQLite behind a busy server may keep it waiting."""


@dataclass(frozen=True)
class FlowState:
    """Where a flow run stands."""

    kind: Literal["under way", "completed", "failed", "gone"]
    """``gone``: its engine does not know it any more."""
    reason: str = ""
    """Why it failed."""
    running_s: float = 0.0
    """For how long it has been carried out; 0 while it waits."""


class FlowRuns(Protocol):
    """Carries out analyses, each in a flow run."""

    def start(self, job: Job) -> str:
        """Have the job carried out; the same claim of a job starts the same flow run.

        Returns:
            Handle of the flow run.

        Raises:
            ServiceError: nobody takes it now.
        """
        ...

    def look(self, handles: Iterable[str]) -> dict[str, FlowState]:
        """Where each flow run stands.

        Raises:
            ServiceError: nobody answers now.
        """
        ...


class PrefectFlowRuns:
    """Flow runs of one Prefect deployment.

    Args:
        api_url: Of the Prefect server's API.
        deployment: Name of flow and deployment, with a slash between.
        api_key: Of the server, where it wants one.
        auth: User and password with a colon between, where the server wants those.
    """

    def __init__(self, api_url: str, deployment: str, *, api_key: str | None = None, auth: str | None = None) -> None:
        self._api_url = api_url
        self._name = deployment
        self._deployment: UUID | None = None
        self._client = SyncPrefectClient(
            api_url, api_key=api_key, auth_string=auth, httpx_settings={"timeout": _TIMEOUT}
        )

    def close(self) -> None:
        """Give the connections back."""
        self._client._client.close()

    def start(self, job: Job) -> str:
        """See ``FlowRuns.start``."""
        stop = {"run_start": job.run} if job.stopped is None else {"run_start": job.run, "time": job.stopped}
        parameters = {"stop_doc": stop, "rule": job.rule, "retry_failed": job.again}
        try:
            with at_once():
                try:
                    return str(self._create(job, parameters).id)
                except ObjectNotFound:
                    # The server's database may be new.
                    self._deployment = None
                    return str(self._create(job, parameters).id)
        except (httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound) as error:
            raise self._away(error) from error

    def look(self, handles: Iterable[str]) -> dict[str, FlowState]:
        """See ``FlowRuns.look``."""
        wanted = [UUID(handle) for handle in handles]
        if not wanted:
            return {}
        try:
            with at_once():
                found = self._client.read_flow_runs(
                    flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=wanted)), limit=len(wanted)
                )
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            raise self._away(error) from error
        states = {str(handle): FlowState("gone") for handle in wanted}
        return states | {str(one.id): _state(one) for one in found}

    def _create(self, job: Job, parameters: dict[str, object]) -> FlowRun:
        if self._deployment is None:
            self._deployment = self._client.read_deployment_by_name(self._name).id
        return self._client.create_flow_run_from_deployment(
            self._deployment,
            parameters=parameters,
            # With the time at which the job was made: a queue that was lost begins to count again.
            idempotency_key=f"{job.run}:{job.rule}:{job.added:.3f}:{job.handovers}",
            labels={"gbx.run": job.run, "gbx.rule": job.rule},
        )

    def _away(self, error: Exception) -> ServiceError:
        said = "has no such deployment" if isinstance(error, ObjectNotFound) else f"does not take it ({error})"
        return ServiceError(
            f"Prefect at {self._api_url} {said}",
            needed=f"a Prefect server with the deployment {self._name}",
            action="nothing is lost, the queue waits; see the logs of the Prefect server and of the runner",
        )


def at_once() -> AbstractContextManager[object]:
    """Prefect's client gives up at the first refusal, where by itself it would try for a minute."""
    return temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0})


def _state(flow_run: FlowRun) -> FlowState:
    state = flow_run.state
    if state is None or not state.is_final():
        running = 0.0
        if state is not None and state.is_running() and flow_run.start_time is not None:
            with suppress(TypeError, ValueError):
                running = max(time.time() - flow_run.start_time.timestamp(), 0.0)
        return FlowState("under way", running_s=running)
    if state.is_completed():
        return FlowState("completed")
    return FlowState("failed", f"{state.name}: {state.message or 'no message'}")
