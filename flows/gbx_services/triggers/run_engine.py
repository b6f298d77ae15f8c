"""A RunEngine callback that puts finished runs into the spool of a service on the same machine."""

from __future__ import annotations

import atexit
import logging
import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gbx_beamline.errors import ServiceError
from gbx_services.spool import Backoff, Spool
from gbx_services.triggers.inbox import Inbox

logger = logging.getLogger(__name__)

EXIT_SECONDS = 10.0
"""Longest wait at the end of the process for reports on their way; the sweep finds what is left."""

_PATIENCE = Backoff(first=0.5, longest=30.0)

Report = tuple[str, float | None]


class SpoolTrigger:
    """``RE.subscribe(SpoolTrigger("gbx-data/serve"))``: each run goes into the queue of `gbx serve` as it ends.

    The callback never raises and never waits: a thread of its own writes. No service needs to run at that time.

    Args:
        directory: ``serve.directory`` of the service's configuration.
    """

    name = "run engine"

    def __init__(self, directory: Path | str) -> None:
        self._directory = Path(directory)
        self._stopping = threading.Event()
        self._queue: queue.SimpleQueue[Report | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="gbx-spool-trigger", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document; anything but a stop document is ignored."""
        if name == "stop" and (report := reported(doc)) is not None:
            self._queue.put(report)

    def close(self, timeout: float = EXIT_SECONDS) -> None:
        """Write what waits, as long as the disk takes it, and end the thread."""
        atexit.unregister(self.close)
        self._queue.put(None)
        self._thread.join(timeout)
        self._stopping.set()

    def _work(self) -> None:
        spool: Spool | None = None
        while (report := self._queue.get()) is not None:
            spool = spool or self._open()
            if spool is None:
                break
            Inbox(spool, self._stopping)(report[0], source=self.name, stopped=report[1])
        if spool is not None:
            spool.close()

    def _open(self) -> Spool | None:
        tries = 0
        while True:
            try:
                return Spool(self._directory)
            except ServiceError as error:
                tries += 1
                logger.warning("finished runs wait for the queue: %s", error)
                if self._stopping.wait(_PATIENCE.delay(tries)):
                    return None


def reported(stop: Mapping[str, Any]) -> Report | None:
    """Run and time of a stop document, or None where it names no run."""
    run, stopped = stop.get("run_start"), stop.get("time")
    if not isinstance(run, str) or not run:
        return None
    return run, float(stopped) if isinstance(stopped, int | float) else None
