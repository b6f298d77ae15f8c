"""An embedded Prefect: server and end-of-run runner as child processes, with their state in one folder."""

from __future__ import annotations

import os
import socket
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gbx_services.processes import child, wait_until

START_SECONDS = 240.0
"""Longest wait for server and runner; 30 to 60 s are usual on two cores."""

DEPLOYMENT = "end-of-run/embedded"

RUNNER_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
"""Beside busy servers, threads of BLAS wait for each other ten times as long as they compute: the matrices are small.
What correlates has threads of its own."""

KEEP_DAYS = 30.0
_SHORTEST_MEMORY = 3601.0
"""s; Prefect refuses an hour and less."""

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Requests to our own loopback address never go through a site's HTTP proxy."""


@dataclass(frozen=True)
class EmbeddedPrefect:
    """A Prefect server and a runner for end-of-run flows, both started; they answer a little later."""

    url: str
    """Of the server's API."""
    runner: subprocess.Popen[bytes]
    log: Path
    """Of the runner."""

    def wait(self) -> None:
        """Return once the end-of-run deployment takes flow runs.

        Raises:
            ServiceError: server or runner died, or it took too long.
        """
        wait_until(
            lambda: answers(f"{self.url}/deployments/name/{DEPLOYMENT}"),
            self.runner,
            name="the end-of-run runner",
            log=self.log,
            timeout=START_SECONDS,
        )


@contextmanager
def embedded_prefect(directory: Path, environment: Mapping[str, str]) -> Iterator[EmbeddedPrefect]:
    """Start a Prefect server with its database in ``directory/prefect``, and a runner of end-of-run flows.

    Both are stopped at the end of the block.

    Args:
        directory: Folder of the embedded services.
        environment: What the flow needs to find configuration and catalog.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    settings = prefect_settings(directory, url)
    known = {**settings, **RUNNER_ENVIRONMENT, **environment}
    logs = directory / "logs"
    run = ["gbx_services.runner", str(directory / "prefect")]
    with ExitStack() as stack:
        server_log, runner_log = logs / "prefect-server.log", logs / "runner.log"
        serve = server_command(port)
        stack.enter_context(child(serve, name="the Prefect server", log=server_log, environment=settings))
        runner = stack.enter_context(child(run, name="the end-of-run runner", log=runner_log, environment=known))
        yield EmbeddedPrefect(url, runner, runner_log)


def server_command(port: int) -> list[str]:
    """What starts a Prefect server on a loopback port, as after ``python -m``."""
    return ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]


def prefect_settings(directory: Path, url: str, *, keep_days: float = KEEP_DAYS) -> dict[str, str]:
    """The environment of an embedded server with its database in ``directory/prefect``, and of its clients.

    From here on Prefect's client in this process reaches that server, too, whatever proxy the site has.

    Args:
        directory: Folder of the embedded services.
        url: Of the server's API.
        keep_days: How long the server remembers flow runs that have ended, with their logs and artifacts; events are
            forgotten after a day.
    """
    home = (directory / "prefect").resolve()
    home.mkdir(parents=True, exist_ok=True)
    # A site's HTTP proxy leads nowhere near our own machine.
    os.environ["NO_PROXY"] = ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1,localhost")))
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # By itself the server forgets events after a week and flow runs never: its database would grow without bound.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": f"{max(keep_days * 86400.0, _SHORTEST_MEMORY):.0f}",
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P1D",
        "DO_NOT_TRACK": "1",
        "NO_PROXY": os.environ["NO_PROXY"],
    }


def answers(url: str) -> bool:
    """True when a GET of ``url`` succeeds."""
    try:
        with DIRECT.open(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        # URLError and a refused connection are both OSErrors.
        return False


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
