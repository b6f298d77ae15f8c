"""Where reports enter the spool, however long the disk refuses them."""

from __future__ import annotations

import logging
import threading

from gbx_beamline.errors import ServiceError
from gbx_services.spool import Backoff, Spool

logger = logging.getLogger(__name__)

_PATIENCE = Backoff(first=0.5, longest=30.0)


class Inbox:
    """An ``Accept`` on a spool; a component of the service, whose trouble is the disk's.

    Args:
        spool: Where reports go.
        stopping: Ends the waiting for a disk that refuses.
        arrived: Set after each new report, for whoever works on them.
    """

    name = "reports"

    def __init__(self, spool: Spool, stopping: threading.Event, arrived: threading.Event | None = None) -> None:
        self.trouble = ""
        self._spool = spool
        self._stopping = stopping
        self._arrived = arrived or threading.Event()

    def __call__(self, run: str, *, source: str, stopped: float | None = None) -> bool:
        """Note the run; waits while the disk refuses."""
        tries = 0
        while True:
            try:
                new = self._spool.add(run, source=source, stopped=stopped)
            except ServiceError as error:
                tries, self.trouble = tries + 1, str(error)
                logger.warning("a finished run waits for the disk: %s", error, extra={"run": run})
                if self._stopping.wait(_PATIENCE.delay(tries)):
                    return False
            else:
                self.trouble = ""
                if new:
                    logger.info("run has ended", extra={"run": run, "source": source})
                    self._arrived.set()
                return True
