"""Processes that are started anew when they die."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

from gbx_beamline.assemble import CatalogAddress
from gbx_beamline.errors import GbxError
from gbx_services.prefect_service import answers
from gbx_services.processes import child
from gbx_services.spool import Backoff

logger = logging.getLogger(__name__)

SETTLED_SECONDS = 60.0
"""A process that lived so long may be started anew at once."""

LARGEST_LOG = 20_000_000
"""Bytes."""

START_TRIES = 3
"""Of the embedded catalog, before the service gives up."""

_PATIENCE = Backoff(first=1.0, longest=60.0)


class KeptChild:
    """A Python module in a process of its own. ``check`` is to be called every second or so.

    Args:
        name: What it is, for messages and /health.
        module: Module and its arguments, as after ``python -m``.
        log: File for its output.
        environment: Variables beside ours.
        answering: Whether it does its work; default: it is alive.
    """

    def __init__(
        self,
        name: str,
        module: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        answering: Callable[[], bool] = lambda: True,
    ) -> None:
        self.name = name
        self.trouble = "not started yet"
        self._module = module
        self._log = log
        self._environment = environment
        self._answering = answering
        self._open = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths = 0
        self._born = 0.0
        self._next = 0.0

    def check(self) -> None:
        """Start it where it is to run and does not; note whether it answers."""
        if self._process is not None and self._process.poll() is not None:
            self._note_death(self._process.returncode)
        if self._process is None and time.monotonic() >= self._next:
            self._start()
        if self._process is not None:
            self.trouble = "" if self._answering() else "does not answer"
        keep_small(self._log)

    @property
    def pid(self) -> int | None:
        """Of the process, where there is one."""
        return None if self._process is None else self._process.pid

    def kill(self) -> None:
        """End it the hard way; ``check`` starts it anew."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """End it in order, for good."""
        self._process = None
        self._open.close()

    def _start(self) -> None:
        self._process = self._open.enter_context(
            child(self._module, name=self.name, log=self._log, environment=self._environment)
        )
        self._born = time.monotonic()
        logger.info("%s is started", self.name, extra={"pid": self._process.pid})

    def _note_death(self, code: int) -> None:
        lived = time.monotonic() - self._born
        self._deaths = 1 if lived > SETTLED_SECONDS else self._deaths + 1
        delay = _PATIENCE.delay(self._deaths)
        self._next = time.monotonic() + delay
        self.trouble = f"ended with exit code {code}; see {self._log}"
        logger.error("%s %s; started anew in %.0f s", self.name, self.trouble, delay)
        self._process = None
        self._open.close()


def keep_small(log: Path, *, largest: int = LARGEST_LOG) -> None:
    """Put a log that has grown beyond ``largest`` bytes aside, in the place of the one before it.

    Whoever writes it appends, and goes on in the file that is empty now; lines written at this very moment are lost.
    """
    try:
        if log.stat().st_size > largest:
            shutil.copyfile(log, log.with_suffix(".old.log"))
            os.truncate(log, 0)
    except OSError:
        # Not there yet, or a full disk: the next time.
        logger.debug("log %s stays as it is", log, exc_info=True)


class KeptCatalogServer:
    """The embedded Tiled server, started anew when it dies: elsewhere then, and with another key.

    Args:
        start: Starts the server, or finds the one that another process has started.

    Raises:
        GbxError: it does not start, tried several times: one that is killed while it starts is no fault of ours.
    """

    name = "tiled server"

    def __init__(self, start: Callable[[], AbstractContextManager[CatalogAddress]]) -> None:
        self._start = start
        self._open = ExitStack()
        self._address = self._begin()
        self.trouble = ""

    def check(self) -> bool:
        """Start it where it does not answer.

        Returns:
            True where it has another address now.
        """
        if answers(f"{self._address.uri}/api/v1/"):
            self.trouble = ""
            return False
        new = ExitStack()
        try:
            # Before the old one is let go: a server that a flow has started meanwhile must not lose its last user.
            address = new.enter_context(self._start())
        except GbxError as error:
            new.close()
            self.trouble = str(error)
            logger.error("the Tiled server does not start: %s", error)
            return False
        moved = address != self._address
        old, self._open, self._address = self._open, new, address
        old.close()
        if moved:
            logger.warning("the Tiled server was started anew")
        self.trouble = ""
        return moved

    def _begin(self) -> CatalogAddress:
        for _ in range(START_TRIES - 1):
            try:
                return self._open.enter_context(self._start())
            except GbxError as error:
                logger.warning("the Tiled server does not start, and is tried again: %s", error)
        return self._open.enter_context(self._start())

    def stop(self) -> None:
        """Let go of it; it ends with its last user."""
        self._open.close()
