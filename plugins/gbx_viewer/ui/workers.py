"""Work in threads, whose results come back into the thread that draws."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from PySide6.QtCore import QObject, Signal, Slot

from gbx_beamline.errors import GbxError, InputError

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Workers(QObject):
    """A few threads. In each lane the newest request wins: the answer to an older one is dropped.

    Args:
        threads: How many.
    """

    _done = Signal(object)

    def __init__(self, threads: int = 4) -> None:
        super().__init__()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="gbx-view")
        self._tickets: dict[str, int] = {}
        self._waiting: dict[str, Future[Any]] = {}
        self._open = True
        self.busy = 0
        """Requests that have not come back."""
        self._done.connect(self._deliver)

    def run(
        self,
        lane: str,
        what: Callable[[], T],
        then: Callable[[T], object],
        failed: Callable[[GbxError], object],
    ) -> None:
        """Do something in a thread.

        Args:
            lane: Requests of the same lane replace each other.
            what: Done in a thread.
            then: Told the result, in this one.
            failed: Told the error, in this one.
        """
        if not self._open:
            return
        self.drop(lane)
        ticket = self._tickets[lane]
        self.busy += 1

        def work() -> None:
            try:
                outcome: tuple[Callable[[Any], object], Any] = then, what()
            except GbxError as error:
                outcome = failed, error
            except Exception as error:
                # One odd record must not take the window with it. At the end of the process anything may break: nobody
                # waits for it any more.
                if self._open:
                    logger.exception("the viewer's work in lane %s broke down", lane)
                outcome = failed, _unforeseen(error)
            self._done.emit((lane, ticket, outcome))

        self._waiting[lane] = self._pool.submit(work)

    def drop(self, lane: str) -> None:
        """Whatever was asked for in a lane is not wanted any more."""
        self._tickets[lane] = self._tickets.get(lane, 0) + 1
        before = self._waiting.pop(lane, None)
        if before is not None and before.cancel():
            self.busy -= 1

    def close(self) -> None:
        """Take no more work. Threads end when what they are at has ended."""
        self._open = False
        self._pool.shutdown(wait=False, cancel_futures=True)

    @Slot(object)
    def _deliver(self, parcel: tuple[str, int, tuple[Callable[[Any], object], Any]]) -> None:
        lane, ticket, (receiver, outcome) = parcel
        self.busy -= 1
        if self._open and self._tickets.get(lane) == ticket:
            self._waiting.pop(lane, None)
            receiver(outcome)


def _unforeseen(error: Exception) -> InputError:
    return InputError(
        f"this cannot be shown: {type(error).__name__}: {error}",
        needed="a record that the viewer understands",
        action="look at it with `gbx report UID`; the terminal has the traceback",
    )
