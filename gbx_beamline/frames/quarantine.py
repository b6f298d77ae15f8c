"""Looking at files that nobody vouches for in a process that may die of it.

HDF5 is a large C library, and a damaged or malicious file may crash it, hang it or make it ask for all memory. So such
a file is opened, and its first and last frames are decoded, in a child that has little memory and little time. Only
what it survives is opened here. ``python -m gbx_beamline.frames.quarantine`` is the parent of those children: it has
loaded the library and nothing else, and forks in milliseconds.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn

from gbx_beamline.errors import GbxError, MissingFramesError, SeriesError

SECONDS = 60.0
"""Longest look at the files of one series: a file system that is busy may need tens of them."""

MEMORY_BYTES = 6 * 2**30
"""Address space of a child, libraries included."""

START_SECONDS = 60.0
_REMEMBERED = 256
_KNOWN: dict[str, type[SeriesError]] = {"SeriesError": SeriesError, "MissingFramesError": MissingFramesError}

Look = tuple[str, int, int, int]


def ready() -> None:
    """Start the process that looks at files, so that the first scan does not wait for it."""
    _HELPER.ask(_request((), (), SECONDS, MEMORY_BYTES))


def _request(paths: Sequence[Path], roots: Sequence[Path], seconds: float, memory: int) -> dict[str, Any]:
    return {
        "paths": [str(path) for path in paths],
        # The helper has a working folder of its own.
        "roots": [str(root.absolute()) for root in roots],
        "seconds": seconds,
        "memory": memory,
    }


def examine(
    paths: Sequence[Path], roots: Sequence[Path], *, seconds: float = SECONDS, memory: int = MEMORY_BYTES
) -> None:
    """Refuse files that cannot be read safely. Files that did not change since they were found sound are not examined
    again.

    Args:
        paths: Masters of a series.
        roots: Folders below which they, and what they lead to, must lie.
        seconds: Longest time for it.
        memory: Bytes of address space for it.

    Raises:
        SeriesError: what is wrong with the files, or that reading them crashes, hangs or wants too much memory.
    """
    look = tuple(_look(path) for path in paths)
    if look in _sound:
        return
    answer = _HELPER.ask(_request(paths, roots, seconds, memory))
    if (error := answer.get("error")) is not None:
        raise _KNOWN.get(error["kind"], SeriesError)(error["found"], needed=error["needed"], action=error["action"])
    if died := answer.get("died"):
        raise SeriesError(
            f"{', '.join(str(path) for path in paths)}: reading it {died}",
            needed="undamaged files",
            action="copy them again from the detector; do not open them with other programs that matter",
        )
    if len(_sound) >= _REMEMBERED:
        _sound.pop(next(iter(_sound)))
    _sound[look] = None


_sound: dict[tuple[Look, ...], None] = {}
"""Masters as they were when they were found sound, the oldest first."""


def _look(path: Path) -> Look:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return (str(path), -1, -1, -1)
    return (str(path), status.st_ino, status.st_size, status.st_mtime_ns)


class _Helper:
    """The process that forks; started when first needed, and anew when it is gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """One question, one answer."""
        with self._lock:
            for last in (False, True):
                process = self._running()
                assert process.stdin is not None
                assert process.stdout is not None
                try:
                    process.stdin.write(json.dumps(request).encode() + b"\n")
                    process.stdin.flush()
                    line = _line(process.stdout, request["seconds"] + START_SECONDS)
                except OSError:
                    line = b""
                if line:
                    return json.loads(line)
                # It was killed, perhaps for memory: not the files' fault, unless it happens again.
                self._end()
                if last:
                    break
        return {"died": "ended the process that looks at such files"}

    def _running(self) -> subprocess.Popen[bytes]:
        # After a fork the pipes belong to the parent.
        if self._process is not None and self._owner == os.getpid() and self._process.poll() is not None:
            self._end()
        if self._process is None or self._owner != os.getpid():
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_environment(),
                start_new_session=True,
            )
            self._owner = os.getpid()
            atexit.register(self._end)
        return self._process

    def _end(self) -> None:
        if self._process is None or self._owner != os.getpid():
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._process = None


_HELPER = _Helper()


def _environment() -> dict[str, str]:
    """Ours without any key or password: whoever takes over such a process is to find none."""
    kept = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or name.startswith(("PYTHON", "LANG", "LC_", "HDF5_", "OMP_"))
    }


def _line(pipe: IO[bytes], seconds: float) -> bytes:
    """The next line, or nothing when the process is gone or says nothing for so long."""
    deadline, said = time.monotonic() + seconds, b""
    while not said.endswith(b"\n"):
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(pipe.fileno(), 65536) if ready else b""
        if not part:
            return b""
        said += part
    return said


# --- in the helper


def _serve() -> None:
    """Answer each line of standard input with one line, until it ends."""
    from gbx_beamline.frames import eiger  # noqa: F401 - loaded once, for all children

    sys.stdout.flush()
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(_in_a_child(request)), flush=True)  # noqa: T201 - the answer


def _in_a_child(request: dict[str, Any]) -> dict[str, Any]:
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiving)
        _look_and_tell(request, sending)
    os.close(sending)
    deadline = time.monotonic() + request["seconds"]
    with os.fdopen(receiving, "rb", buffering=0) as pipe:
        line = _line(pipe, request["seconds"])
    if line:
        os.waitpid(child, 0)
        return json.loads(line)
    # Its end of the pipe is closed only by its own end: what is left to tell is whether it ended by itself.
    hung = time.monotonic() >= deadline
    if hung:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if hung:
        return {"died": f"takes longer than {request['seconds']:g} s"}
    crashed = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit code {status >> 8}"
    return {"died": f"crashes the HDF5 library ({crashed})"}


def _look_and_tell(request: dict[str, Any], sending: int) -> NoReturn:
    code = 1
    try:
        resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        told = _told(request)
        os.write(sending, json.dumps(told).encode() + b"\n")
        code = 0
    finally:
        os._exit(code)


def _told(request: dict[str, Any]) -> dict[str, Any]:
    try:
        _decode([Path(path) for path in request["paths"]], [Path(root) for root in request["roots"]])
    except GbxError as error:
        said = {"found": error.found, "needed": error.needed, "action": error.action}
        return {"error": {"kind": type(error).__name__, **said}}
    except BaseException as error:  # noqa: BLE001 - whatever a damaged file provokes is told and not raised
        said = {"needed": "undamaged files", "action": "copy them again from the detector"}
        found = f"{request['paths'][0]}: {type(error).__name__} {error}"
        return {"error": {"kind": "SeriesError", "found": found, **said}}
    return {}


def _decode(paths: list[Path], roots: list[Path]) -> None:
    """Open each file, and decode the first and the last frame of each piece that exists."""
    from gbx_beamline.frames.eiger import EigerFile

    for path in paths:
        file = EigerFile(path, allow_incomplete=True, roots=roots)
        for frame in file.ends():
            if file.present[frame]:
                file.read(frame, frame + 1)


if __name__ == "__main__":
    _serve()
