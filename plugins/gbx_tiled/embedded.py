"""A Tiled server of our own on one folder: the catalog for a laptop, a demonstration or a test.

The folder is persistent; the process, port and key are not. One server at most serves a folder: whoever comes
second finds the first through the state file and uses it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import yaml
from tiled.client import from_uri
from tiled.client.container import Container

from gbx_beamline.errors import ServiceError
from gbx_tiled.configuration import (
    CONTAINERS,
    FRAMES_FOLDER,
    RESULTS_FOLDER,
    ROOTS_VARIABLE,
    server_configuration,
)

START_SECONDS = 120.0
"""Longest wait for a server to answer; 4 to 19 s are usual, more on a loaded machine."""

STOP_SECONDS = 10.0
"""Longest wait after SIGTERM before SIGKILL."""

FOUND_SECONDS = 30.0
"""Longest wait for an answer of a server that another process runs."""

POLL_SECONDS = 0.1
START_ATTEMPTS = 3
TILED = ("tiled", "serve", "config")
USERS_LOCK = "users.lock"
"""Each user of a folder's server holds a shared lock on this file; the server ends when it gets an exclusive one."""

# Requests to our own loopback address never go through a site's HTTP proxy.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class CatalogAddress:
    """Where a catalog answers, and the key that opens it."""

    uri: str
    api_key: str = field(repr=False)
    store: Path | None = None
    """Folder for the arrays of results, which the server reads."""


@dataclass(frozen=True)
class _State:
    """What the state file tells the next process about a running server."""

    uri: str
    api_key: str = field(repr=False)
    pid: int


@contextmanager
def embedded_catalog(directory: Path) -> Iterator[CatalogAddress]:
    """Serve the catalog in ``directory`` for the length of the ``with`` block.

    Starts ``tiled serve config`` on a free loopback port with a random key, or uses the server that another
    process already runs on this folder. The server lives as long as anybody uses it, whoever started it, and does not
    outlive its last user, even a killed one. Containers ``raw`` and ``processed`` exist when the block starts.

    Args:
        directory: Folder of the catalog, created when absent; detector files belong in ``directory/frames``.

    Yields:
        Address and key. The key is in no command line and no configuration file; the state file and the log
        that do hold it are readable by the user only.

    Raises:
        ServiceError: the server died or did not answer in time, with the end of its log.
    """
    directory = Path(directory).resolve()
    for folder in (directory, directory / FRAMES_FOLDER, directory / RESULTS_FOLDER, directory / "arrays"):
        folder.mkdir(parents=True, exist_ok=True)
    with (directory / USERS_LOCK).open("a") as users:
        # Waits while a server that has lost its last user is on its way out.
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            with _start_lock(directory):
                state = _running(directory) or _start(directory)
            yield CatalogAddress(state.uri, state.api_key, directory / RESULTS_FOLDER)
        finally:
            with _start_lock(directory):
                _leave(users, directory)


def _leave(users: IO[str], directory: Path) -> None:
    """Stop the server when nobody else uses it. When this returns, it is gone or in use."""
    fcntl.flock(users, fcntl.LOCK_UN)
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            fcntl.flock(users, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            # The server has noticed by itself and is ending.
            _await_end(directory)
            _state_file(directory).unlink(missing_ok=True)
        return
    if _serving(directory):
        _stop(_read_state(directory), directory)


def _running(directory: Path) -> _State | None:
    """State of the server that another process runs on this folder, or None when one is to be started."""
    deadline = time.monotonic() + FOUND_SECONDS
    while _serving(directory):
        state = _read_state(directory)
        if _answers(state.uri, state.api_key):
            return state
        if time.monotonic() > deadline:
            raise ServiceError(
                f"the Tiled server of {directory} (process {state.pid}) does not answer",
                needed="a catalog that answers",
                action=f"stop process {state.pid} and try again",
            )
        time.sleep(POLL_SECONDS)
    return None


def _read_state(directory: Path) -> _State:
    try:
        return _State(**json.loads(_state_file(directory).read_text()))
    except (OSError, TypeError, json.JSONDecodeError) as error:
        raise ServiceError(
            f"a Tiled server runs on {directory}, but its state file {_state_file(directory).name} is unreadable",
            needed="the address of that server",
            action="stop that server process (see server.log) and try again",
        ) from error


def _start(directory: Path) -> _State:
    for attempt in range(START_ATTEMPTS):
        port = _free_port()
        try:
            return _start_on(port, directory)
        except ServiceError:
            # Between choosing the port and binding it another process may have taken it.
            if attempt == START_ATTEMPTS - 1 or "address already in use" not in _log_file(directory).read_text():
                raise
    raise AssertionError("unreachable")


def _start_on(port: int, directory: Path) -> _State:
    key = secrets.token_hex(32)
    configuration = directory / "server.yml"
    configuration.write_text(yaml.safe_dump(server_configuration(directory, port=port)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TILED_")}
    environment |= {"TILED_SINGLE_USER_API_KEY": key, ROOTS_VARIABLE: str(directory / FRAMES_FOLDER)}
    uri = f"http://127.0.0.1:{port}"
    with _private(_log_file(directory)) as log, _server_lock(directory) as lock:
        # A session of its own: Ctrl-C reaches only this process, which then stops the server in order.
        # The server inherits the lock and so holds it for exactly as long as it lives.
        process = subprocess.Popen(
            [sys.executable, "-m", "gbx_tiled.attached", str(directory / USERS_LOCK), *TILED, str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=directory,
            start_new_session=True,
            pass_fds=(lock.fileno(),),
        )
    state = _State(uri=uri, api_key=key, pid=process.pid)
    _children[process.pid] = process
    try:
        with _private(_state_file(directory)) as file:
            file.write(json.dumps(asdict(state)).encode())
        _wait_until_ready(process, state, directory)
        ensure_containers(state.uri, state.api_key)
    except BaseException:
        _stop(state, directory)
        raise
    return state


def _wait_until_ready(process: subprocess.Popen[bytes], state: _State, directory: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(state.uri, state.api_key):
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(timeout=POLL_SECONDS)
            raise ServiceError(
                f"the Tiled server of {directory} ended with exit code {code}: {_log_tail(directory, state.api_key)}",
                needed="a running server",
                action=f"read {_log_file(directory)} and correct what it names",
            )
        if time.monotonic() > deadline:
            raise ServiceError(
                f"the Tiled server of {directory} was not ready after {START_SECONDS:.0f} s: "
                f"{_log_tail(directory, state.api_key)}",
                needed="an answer on its port",
                action=f"read {_log_file(directory)}, or try again on a less loaded machine",
            )


def ensure_containers(uri: str, api_key: str) -> None:
    """Make the containers for raw runs and results in a new catalog on our own machine."""
    root = from_uri(uri, api_key=api_key, trust_env=False)
    assert isinstance(root, Container)
    try:
        for name, specs in CONTAINERS.items():
            if name not in root:
                root.create_container(name, specs=specs)
    finally:
        root.context.close()


def _stop(state: _State, directory: Path) -> None:
    process = _children.pop(state.pid, None)
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(state.pid, sign)
        if _await_end(directory):
            break
    if process is not None:
        process.wait()
    _state_file(directory).unlink(missing_ok=True)


_children: dict[int, subprocess.Popen[bytes]] = {}
"""Servers this process started, by pid: they must be waited for, or they stay as zombies."""


def _await_end(directory: Path) -> bool:
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if not _serving(directory):
            return True
        time.sleep(POLL_SECONDS)
    return False


def _answers(uri: str, api_key: str) -> bool:
    """True when the server at ``uri`` answers and accepts the key."""
    request = urllib.request.Request(f"{uri}/api/v1/metadata/", headers={"Authorization": f"Apikey {api_key}"})
    try:
        with _DIRECT.open(request, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _serving(directory: Path) -> bool:
    """True while a server lives on this folder: it holds the lock, whoever started it."""
    with (directory / "server.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


@contextmanager
def _server_lock(directory: Path) -> Iterator[IO[str]]:
    with (directory / "server.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


@contextmanager
def _start_lock(directory: Path) -> Iterator[None]:
    """Only one process at a time starts, finds or stops the server of a folder."""
    with (directory / "start.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _private(path: Path) -> IO[bytes]:
    """Open for writing from the start, readable by this user only."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _state_file(directory: Path) -> Path:
    return directory / "server.json"


def _log_file(directory: Path) -> Path:
    return directory / "server.log"


def _log_tail(directory: Path, api_key: str, *, lines: int = 12) -> str:
    text = _log_file(directory).read_text(errors="replace").replace(api_key, "<key>")
    return " | ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip()) or "its log is empty"
