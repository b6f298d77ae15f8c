"""The processes of a facility, found by what they carry, whoever started them and whoever is left."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

from gbx_beamline.errors import ServiceError

MARK = "GBX_FACILITY_PART"
"""Variable in the environment of all that a facility runs, with its folder."""

_SECONDS = 15.0
"""For each: an end by itself, after SIGTERM, after SIGKILL."""

_POLL_SECONDS = 0.1


def running(directory: Path, *working_in: Path) -> list[int]:
    """Process ids of a facility's parts and of all that these started.

    Args:
        directory: Of the facility.
        working_in: Further working folders that give one away: PostgreSQL and Redis write over their environment.
    """
    mark = f"{MARK}={directory}".encode()
    places = tuple(str(place) for place in (directory / "redis", *working_in))
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        with suppress(OSError):
            carries = mark in (process / "environ").read_bytes().split(b"\0")
            if carries or str((process / "cwd").readlink()).startswith(places):
                found.append(int(process.name))
    return found


def end(directory: Path, *working_in: Path) -> None:
    """Wait for the end of all of them; who does not end by himself is told to, and then made to.

    Raises:
        ServiceError: one cannot be ended.
    """
    pause = threading.Event()
    for sign in (None, signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + _SECONDS
        while left := running(directory, *working_in):
            if sign is not None:
                for pid in left:
                    signal_to(pid, sign)
            if time.monotonic() > deadline:
                break
            pause.wait(_POLL_SECONDS)
        else:
            return
    raise ServiceError(
        f"processes {', '.join(map(str, left))} of {directory} cannot be ended",
        needed="their end",
        action="end them by hand",
    )


def signal_to(pid: int, sign: signal.Signals) -> None:
    """Send a signal to a process that may have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, sign)
