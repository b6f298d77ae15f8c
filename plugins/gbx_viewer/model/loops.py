"""Threads that look into the catalog again and again, and tell what changed."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from gbx_beamline.catalog import Catalog, load_newer
from gbx_beamline.config import HealthConfig
from gbx_beamline.errors import GbxError, RunNotFoundError
from gbx_viewer.model.feed import RunFeed
from gbx_viewer.model.queue import Queue, read_queue
from gbx_viewer.model.reading import live_view
from gbx_viewer.model.runs import RunRow
from gbx_viewer.model.scan import ScanView
from gbx_viewer.model.session import Session

logger = logging.getLogger(__name__)

LIST_SECONDS = 1.0
"""From one look for new runs to the next."""

LIVE_SECONDS = 0.15
"""From one look at the live record that is shown to the next."""

QUEUE_SECONDS = 3.0
"""From one question to `gbx serve` to the next."""

_REST = 0.2
"""Share of these times that a server has for itself, however slow it is."""

_TELL_SECONDS = 0.4
"""Between two tellings while the first, long look goes on."""

Rows = tuple[RunRow, ...]


class _Loop(ABC):
    """Something done every few moments in a thread of its own, until it is stopped."""

    def __init__(self, name: str, period: float) -> None:
        self._period = period
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; it may be waiting for an answer of the server."""
        self._stopping.set()
        self._wake.set()

    def join(self, seconds: float) -> bool:
        """Wait for the thread's end; whether it has come."""
        if self._thread.is_alive():
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def wake(self) -> None:
        """Look at once."""
        self._wake.set()

    def _go_on(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            began = time.monotonic()
            try:
                self._look()
            except GbxError as error:
                self._failed(error)
            except Exception as error:
                # A list that stops for ever because of one odd node would be worse than one that tries again.
                logger.exception("looking into the catalog failed")
                self._failed(error)
            self._wake.wait(max(_REST * self._period, began + self._period - time.monotonic()))

    @abstractmethod
    def _look(self) -> None: ...

    @abstractmethod
    def _failed(self, error: Exception) -> None: ...


class ListLoop(_Loop):
    """Keeps the list of runs.

    Args:
        session: Over which to read.
        tell: Told all rows, newest first, when any has changed. Called in this thread.
        looked: Told after each look, with the error that it ended by.
    """

    def __init__(
        self, session: Session, tell: Callable[[Rows], None], looked: Callable[[Exception | None], None]
    ) -> None:
        super().__init__("gbx-view-list", LIST_SECONDS)
        self.feed = RunFeed()
        self._session = session
        self._tell = tell
        self._looked = looked
        self._told = 0.0
        self._untold = False

    def _look(self) -> None:
        try:
            self._session.read(lambda catalog: self.feed.look(catalog, self._changed))
        finally:
            if self._untold:
                self._say()
        self._looked(None)

    def _failed(self, error: Exception) -> None:
        self._looked(error)

    def _changed(self, _uids: set[str]) -> None:
        self._untold = True
        if time.monotonic() - self._told > _TELL_SECONDS:
            self._say()

    def _say(self) -> None:
        self._untold, self._told = False, time.monotonic()
        self._tell(tuple(self.feed.book.rows()))


class LiveLoop(_Loop):
    """Follows the live record that is shown.

    Args:
        session: Over which to read.
        tell: Told each new revision. Called in this thread.
    """

    def __init__(self, session: Session, tell: Callable[[ScanView], None]) -> None:
        super().__init__("gbx-view-live", LIVE_SECONDS)
        self._session = session
        self._tell = tell
        self._shown: tuple[str, str] | None = None
        self._seen = -1

    def follow(self, run_uid: str, rule: str) -> None:
        """Follow this scan from now on; its newest revision is told at once."""
        if self._shown != (run_uid, rule):
            self._shown, self._seen = (run_uid, rule), -1
            self.wake()

    def rest(self) -> None:
        """Follow none."""
        self._shown = None

    def _look(self) -> None:
        if (shown := self._shown) is None:
            self._wake.wait()
            return
        view = self._session.read(lambda catalog: self._newer(catalog, *shown))
        # Another scan may have been chosen meanwhile.
        if view is not None and shown == self._shown:
            self._seen = view.revision
            self._tell(view)

    def _newer(self, catalog: Catalog, run_uid: str, rule: str) -> ScanView | None:
        state = load_newer(catalog, run_uid, rule, than=self._seen)
        return None if state is None else live_view(state)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, RunNotFoundError):
            # Swept away: the list says what became of the run.
            self.rest()
            return
        # The list's loop says that the connection is gone; here only the pace slows down.
        self._wake.wait(1.0)


class QueueLoop(_Loop):
    """Asks `gbx serve` how its queue is.

    Args:
        settings: Where it answers.
        tell: Told its state when it has changed. Called in this thread.
    """

    def __init__(self, settings: HealthConfig, tell: Callable[[Queue], None]) -> None:
        super().__init__("gbx-view-queue", QUEUE_SECONDS)
        self._settings = settings
        self._tell = tell
        self._said: Queue | None = None

    def _look(self) -> None:
        queue = read_queue(self._settings)
        if queue != self._said:
            self._said = queue
            self._tell(queue)

    def _failed(self, error: Exception) -> None:
        """``read_queue`` has no errors of its own; what is odd was logged."""
