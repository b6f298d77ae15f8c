"""The parts of a facility: what starts each, and how one sees that it does its work."""

from __future__ import annotations

import json
import sys
import urllib.error
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import redis

from gbx_services.facility import postgres
from gbx_services.facility.folder import CONFIGURATION, POOL, WORKERS, Facility, write_private
from gbx_services.facility.processes_of import MARK
from gbx_services.prefect_service import DIRECT, answers, prefect_settings, server_command
from gbx_services.serve.kept import KeptChild

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
_GUEST = "gbx_services.facility.guest"
_TILED_TEMPLATE = "tiled.yml"


class Part(KeptChild):
    """A part with its address, for people.

    Args:
        facility: Whose part it is.
        name: What it is.
        address: Where it answers.
        module: Module and its arguments, as after ``python -m``.
        answering: Whether it does its work.
        environment: Variables beside ours.
        why: What it says itself of why it does not; empty where it says nothing.
    """

    def __init__(
        self,
        facility: Facility,
        name: str,
        address: str,
        module: list[str],
        *,
        answering: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
        why: Callable[[], str] = lambda: "",
    ) -> None:
        self.address = address
        self._why = why
        log = facility.directory / "logs" / f"{name.replace(' ', '-')}.log"
        super().__init__(
            name,
            module,
            log=log,
            environment={MARK: str(facility.directory), **(environment or {})},
            answering=answering,
        )
        self.log = log

    def check(self) -> None:
        """See ``KeptChild.check``; a part that is alive and troubled is asked what troubles it."""
        super().check()
        if self.trouble and self.pid is not None:
            self.trouble = self._why() or self.trouble


def database(facility: Facility) -> Part:
    """PostgreSQL."""
    port, password = facility.ports["postgres"], facility.postgres_password
    user = postgres.server_user()
    owner = [] if user is None else ["--user", user]
    # SIGINT is the fast shutdown: SIGTERM would wait for every client to go.
    guest = [_GUEST, *owner, "--stop", "SIGINT", *postgres.server_command(facility.postgres_data, port)]
    return Part(
        facility,
        "postgresql",
        f"127.0.0.1:{port}",
        guest,
        answering=partial(postgres.answers, port, password),
    )


def stream(facility: Facility) -> Part:
    """Redis, which carries what one Tiled server is told to the listeners of the other."""
    port = facility.ports["redis"]
    configuration = facility.directory / "redis.conf"
    settings = {
        "bind": "127.0.0.1",
        "port": str(port),
        "requirepass": facility.redis_password,
        "dir": str(facility.directory / "redis"),
        # Nothing in it outlives its readers, and it is not to grow without bound.
        "save": '""',
        "maxmemory": "512mb",
        "maxmemory-policy": "volatile-ttl",
    }
    write_private(configuration, "".join(f"{key} {value}\n" for key, value in settings.items()))
    return Part(
        facility,
        "redis",
        f"127.0.0.1:{port}",
        [_GUEST, "redis-server", str(configuration)],
        answering=partial(_pong, redis_uri(facility)),
    )


def tiled(facility: Facility, which: str, templates: Path) -> Part:
    """One of the Tiled servers, "writing" or "reading"; the two differ in nothing but their port."""
    port = facility.ports[f"tiled_{which}"]
    uri = f"http://127.0.0.1:{port}"
    # Not `tiled serve config`: that writes the key into its log.
    serve = ["uvicorn", "--factory", "tiled.server.app:app_factory", "--host", "127.0.0.1", "--port", str(port)]
    return Part(
        facility,
        f"tiled {which}",
        uri,
        [*serve, "--timeout-graceful-shutdown", "3"],
        environment={"TILED_CONFIG": str(templates / _TILED_TEMPLATE), **tiled_environment(facility)},
        answering=partial(answers, f"{uri}/healthz"),
    )


def tiled_environment(facility: Facility) -> dict[str, str]:
    """What ``deploy/tiled.yml`` asks of the environment."""
    port, password, directory = facility.ports["postgres"], facility.postgres_password, facility.directory
    return {
        "GBX_TILED_CATALOG_URI": postgres.address("gbx_tiled", port, password, driver="+asyncpg"),
        "GBX_TILED_TABLES_URI": postgres.address("gbx_tables", port, password),
        "GBX_TILED_STREAM_URI": redis_uri(facility),
        "GBX_TILED_ARRAYS": str(directory / "arrays"),
        "GBX_TILED_FRAMES": str(directory / "frames"),
        "GBX_TILED_RESULTS": str(directory / "results"),
        "GBX_DATA_ROOTS": str(directory / "frames"),
        "TILED_SINGLE_USER_API_KEY": facility.tiled_key,
    }


def prefect_server(facility: Facility) -> Part:
    """Prefect's server."""
    port = facility.ports["prefect"]
    uri = postgres.address("gbx_prefect", facility.ports["postgres"], facility.postgres_password, driver="+asyncpg")
    return Part(
        facility,
        "prefect",
        facility.prefect.removesuffix("/api"),
        server_command(port),
        environment={
            **prefect_settings(facility.directory, facility.prefect),
            **facility.client_environment(),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": uri,
            "PREFECT_SERVER_API_AUTH_STRING": facility.prefect_auth,
        },
        answering=partial(answers, f"{facility.prefect}/health"),
    )


def workers(facility: Facility) -> list[Part]:
    """Prefect's workers."""
    return [_worker(facility, number) for number in range(1, WORKERS + 1)]


def _worker(facility: Facility, number: int) -> Part:
    port = facility.ports[f"worker_{number}"]
    uri = f"http://127.0.0.1:{port}"
    start = ["prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", f"worker-{number}"]
    return Part(
        facility,
        f"worker {number}",
        uri,
        [*start, "--limit", "1", "--with-healthcheck", "--install-policy", "never"],
        environment={
            **facility.client_environment(),
            **_ONE_THREAD,
            "PREFECT_WORKER_WEBSERVER_PORT": str(port),
            # By itself it looks every 10 s, which every result would wait for.
            "PREFECT_WORKER_QUERY_SECONDS": "2",
        },
        answering=partial(answers, f"{uri}/health"),
    )


def dask_scheduler(facility: Facility) -> Part:
    """The scheduler of the Dask cluster."""
    health = facility.ports["dask_health"]
    listen = ["--host", "127.0.0.1", "--port", str(facility.ports["dask"])]
    return Part(
        facility,
        "dask scheduler",
        facility.dask,
        ["distributed.cli.dask_scheduler", *listen, "--dashboard-address", f"127.0.0.1:{health}"],
        answering=partial(answers, f"http://127.0.0.1:{health}/health"),
    )


def dask_workers(facility: Facility) -> list[Part]:
    """Those who compute for the scheduler."""
    return [_dask_worker(facility, number) for number in range(1, WORKERS + 1)]


def _dask_worker(facility: Facility, number: int) -> Part:
    health = facility.ports[f"dask_worker_{number}"]
    # No nanny: the keeper starts it anew, and a nanny's child would be one more to look after.
    options = ["--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--name", f"dask-worker-{number}"]
    places = ["--dashboard-address", f"127.0.0.1:{health}", "--local-directory", str(facility.directory / "dask")]
    return Part(
        facility,
        f"dask worker {number}",
        f"http://127.0.0.1:{health}",
        ["distributed.cli.dask_worker", facility.dask, *options, *places],
        environment={**facility.client_environment(), **_ONE_THREAD},
        answering=partial(answers, f"http://127.0.0.1:{health}/health"),
    )


def service(facility: Facility) -> Part:
    """`gbx serve`."""
    return Part(
        facility,
        "gbx serve",
        facility.serve,
        ["gbx_services.serve", "--config", str(facility.directory / CONFIGURATION)],
        environment=facility.client_environment(),
        answering=partial(answers, f"{facility.serve}/health"),
        why=partial(_troubles_of_service, f"{facility.serve}/health"),
    )


def deploy_command(templates: Path) -> list[str]:
    """What tells Prefect of the deployments for a pool of processes."""
    file = str(templates / "prefect.yaml")
    deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy"]
    return [*deploy, "--prefect-file", file, "--name", "chx-*-process"]


def redis_uri(facility: Facility) -> str:
    """Address of Redis, with its password."""
    return f"redis://:{facility.redis_password}@127.0.0.1:{facility.ports['redis']}"


def _pong(uri: str) -> bool:
    client = redis.Redis.from_url(uri, socket_timeout=5, socket_connect_timeout=5)
    try:
        return bool(client.ping())
    except (redis.RedisError, OSError):
        return False
    finally:
        client.close()


def _troubles_of_service(health: str) -> str:
    """What `gbx serve` says troubles it."""
    try:
        with DIRECT.open(health, timeout=5) as answer:
            said = answer.read()
    except urllib.error.HTTPError as refusal:
        said = refusal.read()
    except OSError:
        return ""
    try:
        components: dict[str, str] = json.loads(said)["components"]
    except (ValueError, KeyError):
        return ""
    return "; ".join(f"{name}: {trouble}" for name, trouble in components.items() if trouble != "ok")
