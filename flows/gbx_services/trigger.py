"""From a stop document to a flow run, without ever holding up the RunEngine."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from prefect.deployments import run_deployment
from prefect.settings import PREFECT_API_URL, temporary_settings

from gbx_services.prefect_service import DEPLOYMENT


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
        self.error: Exception | None = None
        """What ended the thread, if anything did."""
        self._thread = threading.Thread(target=self._work, name="gbx-end-of-run-trigger", daemon=True)
        self._thread.start()

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document; anything but a stop document is ignored."""
        if name == "stop":
            self._queue.put(dict(doc))

    def close(self, timeout: float | None = None) -> None:
        """Hand over what waits and end the thread."""
        self._queue.put(None)
        self._thread.join(timeout)

    def _work(self) -> None:
        try:
            self._when_ready()
            with temporary_settings({PREFECT_API_URL: self._api_url}):
                self._hand_over()
        except Exception as error:  # noqa: BLE001 - kept for whoever waits for the results
            self.error = error

    def _hand_over(self) -> None:
        while (stop := self._queue.get()) is not None:
            # The key makes a second trigger of the same run the same flow run.
            run_deployment(
                DEPLOYMENT,
                parameters={"stop_doc": stop},
                timeout=0,
                as_subflow=False,
                idempotency_key=stop["run_start"],
            )
