"""From a stop document to a flow run, without ever holding up the RunEngine."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from prefect.deployments import run_deployment
from prefect.settings import PREFECT_API_URL, temporary_settings

from gbx_beamline.errors import GbxError, ServiceError
from gbx_services.dispatch import PrefectFlowRuns
from gbx_services.prefect_service import DEPLOYMENT

_RETRY_DELAYS = (1.0, 2.0, 4.0, 8.0)
"""s before each further try to reach Prefect."""


class EndOfRunTrigger:
    """RunEngine callback: each stop document becomes a flow run of the end-of-run deployment.

    Documents wait in a queue, and a thread of its own hands them to Prefect, once Prefect is ready.

    Args:
        api_url: Of the Prefect server's API.
        when_ready: Blocks until Prefect takes flow runs; called once, in the trigger's thread.
    """

    def __init__(self, api_url: str, when_ready: Callable[[], None]) -> None:
        self._api_url = api_url
        self._when_ready = when_ready
        self._queue: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self.error: Exception | None = None
        """The last failure, of Prefect to come up or of a run that could not be handed over."""
        self._handles: list[str] = []
        self._thread = threading.Thread(target=self._work, name="gbx-end-of-run-trigger", daemon=True)
        self._thread.start()

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document; anything but a stop document is ignored."""
        if name == "stop":
            self._queue.put(dict(doc))

    def under_way(self) -> int:
        """How many of the flow runs that were handed over have not ended; all, while Prefect does not answer."""
        handed_over = list(self._handles)
        flow_runs = PrefectFlowRuns(self._api_url, DEPLOYMENT)
        try:
            return sum(state.kind == "under way" for state in flow_runs.look(handed_over).values())
        except ServiceError:
            return len(handed_over)
        finally:
            flow_runs.close()

    def close(self, timeout: float | None = None) -> None:
        """Hand over what waits, without trying again what fails, and end the thread."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join(timeout)

    def _work(self) -> None:
        try:
            self._when_ready()
        except GbxError as error:
            self.error = error
            return
        with temporary_settings({PREFECT_API_URL: self._api_url}):
            while (stop := self._queue.get()) is not None:
                self._hand_over(stop)

    def _hand_over(self, stop: Mapping[str, Any]) -> None:
        for delay in (*_RETRY_DELAYS, None):
            try:
                # The key makes a second trigger of the same run the same flow run.
                started: Any = run_deployment(
                    DEPLOYMENT,
                    parameters={"stop_doc": stop},
                    timeout=0,
                    as_subflow=False,
                    idempotency_key=stop["run_start"],
                )
            except Exception as error:  # noqa: BLE001 - whatever Prefect's client raises, the next scan goes on
                if delay is None or self._closing.wait(delay):
                    self.error = error
                    return
            else:
                self._handles.append(str(started.id))
                return
