"""Ctrl-C during a plan ends it in order: the run is closed, the detector unstaged, and we are told."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from bluesky import RunEngine
from bluesky.utils import FailedStatus, RunEngineInterrupted


@contextmanager
def _pausing(engine: RunEngine) -> Iterator[None]:
    """The first Ctrl-C pauses at once; a second one is an ordinary KeyboardInterrupt.

    Bluesky's own handler waits for ten of them, because at a beamline a pause is what people want.
    """

    def pause(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        # The engine answers from its own thread, which this one must not wait for.
        threading.Thread(target=engine.request_pause, daemon=True).start()

    before = signal.signal(signal.SIGINT, pause)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run_plan(engine: RunEngine, plan: Any) -> tuple[str, ...]:
    """Run ``plan``; call it from the main thread.

    Returns:
        uids of its runs.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; the plan was aborted and its clean-up is done.
    """
    engine.context_managers = [_pausing]
    try:
        result: Any = engine(plan)
    except RunEngineInterrupted:
        # A detector that was stopped says that it failed; that is what was asked for.
        with suppress(FailedStatus):
            engine.abort("interrupted by Ctrl-C")
        raise KeyboardInterrupt from None
    return tuple(result)
