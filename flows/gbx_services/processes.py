"""Child processes that end when we do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gbx_beamline.errors import ServiceError

STOP_SECONDS = 10.0
"""Longest wait after SIGTERM before SIGKILL."""

POLL_SECONDS = 0.2
_LOG_TAIL = 2000


@contextmanager
def child(
    module: Sequence[str], *, name: str, log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A Python module run with its own session and log file, stopped with all its children at the end of the block.

    Its own session keeps a Ctrl-C away from it: only we get it, and stop our children in order. If we are killed,
    it ends by itself.

    Args:
        module: Module and its arguments, as after ``python -m``.
        name: What it is, for messages.
        log: File for its output.
        environment: Variables beside ours.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gbx_tiled.attached", "-", *module],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        try:
            _stop(process, name)
        finally:
            if process.stdin is not None:
                process.stdin.close()


def wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], *, name: str, log: Path, timeout: float
) -> None:
    """Wait for a child to answer.

    Raises:
        ServiceError: it died or did not answer in time; the end of its log is in the message.
    """
    deadline = time.monotonic() + timeout
    while not ready():
        died = process.poll() is not None
        if died or time.monotonic() > deadline:
            state = f"ended with exit code {process.returncode}" if died else f"did not answer within {timeout:.0f} s"
            raise ServiceError(
                f"{name} {state}: {tail(log)}", needed="a running service", action=f"see {log} and try again"
            )
        time.sleep(POLL_SECONDS)


def tail(log: Path) -> str:
    """The end of a log, in one line."""
    return " | ".join(log.read_text(errors="replace")[-_LOG_TAIL:].splitlines()[-5:])


def _stop(process: subprocess.Popen[bytes], name: str) -> None:
    # The whole session: a runner's flow runs are processes of their own.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ServiceError(
            f"{name} (process {process.pid}) cannot be stopped", needed="its end", action="kill it by hand"
        ) from error
