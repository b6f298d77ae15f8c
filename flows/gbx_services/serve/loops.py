"""The two threads that work: one dispatches, one sweeps. Neither ends before the service does."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager

from gbx_beamline.catalog import Catalog, Retraining, TiledSink, newest_retraining
from gbx_beamline.config import Config
from gbx_beamline.errors import GbxError
from gbx_services.dispatch import Dispatcher
from gbx_services.spool import Backoff, Spool, State
from gbx_services.sweep import SECONDS_A_DAY, Sweep, Swept

logger = logging.getLogger(__name__)

BUSY_SECONDS = 0.3
"""Between two looks while something is under way; part of the lag of every result."""

IDLE_SECONDS = 2.0

_PATIENCE = Backoff(first=1.0, longest=30.0)


class Loop(ABC):
    """A thread that takes one step after another, whatever a step raises."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.trouble = ""
        self.wake = threading.Event()
        """Set it to have the next step at once."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._go, name=f"gbx-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End after the step under way, or leave it behind after ``timeout`` s."""
        self._stopping.set()
        self.wake.set()
        self._thread.join(timeout)

    @abstractmethod
    def step(self) -> float:
        """One step; s until the next."""

    def _go(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self.wake.clear()
            try:
                pause = self.step()
                failures, self.trouble = 0, ""
            except GbxError as error:
                failures, self.trouble = failures + 1, str(error)
                logger.warning("%s: %s", self.name, error)
                pause = _PATIENCE.delay(failures)
            except Exception as error:
                # A fault of ours must not end the service: the next step may be another scan's.
                failures, self.trouble = failures + 1, f"{type(error).__name__}: {error}"
                logger.exception("%s broke down", self.name)
                pause = _PATIENCE.delay(failures)
            self.wake.wait(pause)


class DispatchLoop(Loop):
    """Steps of a dispatcher.

    Args:
        dispatcher: Takes the steps.
        spool: Its queue.
    """

    def __init__(self, dispatcher: Dispatcher, spool: Spool) -> None:
        super().__init__("dispatcher")
        self._dispatcher = dispatcher
        self._spool = spool

    def step(self) -> float:
        """See ``Loop``."""
        under_way = self._dispatcher.step()
        soon = under_way or any(job.due - time.time() < IDLE_SECONDS for job in self._spool.jobs(State.WAITING))
        return BUSY_SECONDS if soon else IDLE_SECONDS


class SweepLoop(Loop):
    """Sweeps at the start, every few minutes and whenever woken; also tidies up.

    Args:
        open_catalog: Opens the catalog, wherever it answers.
        spool: The queue.
        config: How often and how far back.
        swept: Told of each sweep.
        retrained: Told of the newest retraining, where there was one.
    """

    def __init__(
        self,
        open_catalog: Callable[[], AbstractContextManager[Catalog]],
        spool: Spool,
        config: Config,
        swept: Callable[[Swept], None],
        retrained: Callable[[Retraining], None],
    ) -> None:
        super().__init__("sweep")
        self.last: tuple[float, Swept] | None = None
        """Unix time in s, and what was seen."""
        self._open_catalog = open_catalog
        self._spool = spool
        self._config = config
        self._sweep = Sweep(spool, config)
        self._swept = swept
        self._retrained = retrained
        self._tidied = 0.0

    def step(self) -> float:
        """See ``Loop``."""
        with self._open_catalog() as catalog:
            swept = self._sweep(catalog)
            self.last = (time.time(), swept)
            self._swept(swept)
            if swept.found:
                logger.info("the sweep found %d jobs", swept.found, extra={"missed": swept.missed})
            if (newest := newest_retraining(catalog)) is not None:
                self._retrained(newest)
            if time.monotonic() - self._tidied > SECONDS_A_DAY or not self._tidied:
                self._tidy(catalog)
        return self._config.serve.sweep.every_s

    def _tidy(self, catalog: Catalog) -> None:
        forgotten = self._spool.prune(older_than=self._config.serve.keep_days * SECONDS_A_DAY)
        removed = TiledSink(catalog).sweep()
        self._tidied = time.monotonic()
        logger.info("tidied up", extra={"jobs_forgotten": forgotten, "abandoned_attempts_removed": removed})
