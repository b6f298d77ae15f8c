"""The folder of a facility: where what lies, which ports and secrets it has, and how its parts are."""

from __future__ import annotations

import fcntl
import json
import os
import random
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gbx_beamline.config import load_config
from gbx_beamline.errors import ServiceError
from gbx_services.facility import postgres
from gbx_services.facility.report import forget_report

STATE = "facility.json"
"""Says that a folder is a facility's."""

CONFIGURATION = "gbx.yaml"
ENVIRONMENT = "environment"
"""File for a shell to source; like the state it holds keys and is its owner's only."""

DEPLOYMENT = "chx-end-of-run-workflow-process"
"""Of ``deploy/prefect.yaml``, for `gbx serve` to hand scans to."""

POOL = "chx-work-pool-process"

FOLDERS = (
    "arrays",
    "dask",
    "frames",
    "journals",
    "logs",
    "models",
    "prefect",
    "redis",
    "results",
    "retraining",
    "serve",
    "suites",
)
_FILES = (STATE, CONFIGURATION, ENVIRONMENT, "parts.json", "keeper.lock", "redis.conf", "serve.lock")

WORKERS = 2
"""Of Prefect, and of Dask."""

_PORT_RANGE = range(20_000, 32_000)
"""Below what the kernel gives to outgoing connections: a port that is free now is so when its server starts."""

_PORTS = (
    *("postgres", "redis", "tiled_writing", "tiled_reading", "prefect", "serve"),
    *("dask", "dask_health"),
    *(f"{kind}_{number}" for kind in ("worker", "dask_worker") for number in range(1, WORKERS + 1)),
)


@dataclass(frozen=True)
class Facility:
    """What one needs to know of a facility to use it. Its file is readable by its owner only."""

    directory: Path
    ports: Mapping[str, int]
    postgres_data: Path
    postgres_password: str = field(repr=False)
    redis_password: str = field(repr=False)
    tiled_key: str = field(repr=False)
    prefect_password: str = field(repr=False)

    @property
    def tiled_writing(self) -> str:
        """Address of the Tiled server that documents are written to."""
        return f"http://127.0.0.1:{self.ports['tiled_writing']}"

    @property
    def tiled_reading(self) -> str:
        """Address of the Tiled server that analysis and readers use."""
        return f"http://127.0.0.1:{self.ports['tiled_reading']}"

    @property
    def prefect(self) -> str:
        """Address of Prefect's API."""
        return f"http://127.0.0.1:{self.ports['prefect']}/api"

    @property
    def prefect_auth(self) -> str:
        """User and password of Prefect's API."""
        return f"gbx:{self.prefect_password}"

    @property
    def dask(self) -> str:
        """Address of the Dask scheduler."""
        return f"tcp://127.0.0.1:{self.ports['dask']}"

    @property
    def serve(self) -> str:
        """Address of `gbx serve`'s /health and /metrics."""
        return f"http://127.0.0.1:{self.ports['serve']}"

    def client_environment(self) -> dict[str, str]:
        """What a process needs to use the services."""
        return {
            "GBX_CONFIG": str(self.directory / CONFIGURATION),
            # Who shares the disk reads frames from it, and not through the server.
            "GBX_DATA_ROOTS": str(self.directory / "frames"),
            "TILED_API_KEY": self.tiled_key,
            "PREFECT_HOME": str(self.directory / "prefect"),
            "PREFECT_API_URL": self.prefect,
            "PREFECT_API_AUTH_STRING": self.prefect_auth,
            "DO_NOT_TRACK": "1",
            "NO_PROXY": "127.0.0.1,localhost",
        }


def prepare(directory: Path, config_path: Path) -> Facility:
    """Make the folder of a facility, or take up one that was kept: with its data and secrets, on new ports.

    Args:
        directory: Absolute.
        config_path: How scans are analysed; where they lie and who serves them is written over it.

    Raises:
        ServiceError: the folder holds something else.
        ConfigError: the configuration cannot be read.
    """
    config = load_config(config_path)
    kept = read(directory)
    if kept is None and directory.exists() and any(directory.iterdir()):
        raise ServiceError(
            f"{directory} holds something that is no facility's",
            needed="an empty folder, or none",
            action="name another with --directory",
        )
    for folder in FOLDERS:
        (directory / folder).mkdir(parents=True, exist_ok=True)
    # Logs may name what only the owner is to know; PostgreSQL's user passes through the folder itself.
    directory.chmod(0o711)
    (directory / "logs").chmod(0o700)
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    if kept is None:
        data = postgres.data_folder(directory, postgres.server_user())
        made = Facility(directory, ports, data, *(secrets.token_hex(24) for _ in range(4)))
    else:
        made = Facility(**{**asdict(kept), "ports": ports})
    write_private(directory / STATE, json.dumps(asdict(made), default=str))
    forget_report(directory)
    settings = config.absolute().model_dump(mode="json", exclude_unset=True)
    settings = _with(settings, _own_settings(made))
    (directory / CONFIGURATION).write_text(yaml.safe_dump(settings, sort_keys=False))
    lines = [f"export {name}='{value}'" for name, value in made.client_environment().items()]
    write_private(directory / ENVIRONMENT, "\n".join([*lines, ""]))
    return made


def read(directory: Path) -> Facility | None:
    """What is written about the facility in a folder; None where there is none.

    Raises:
        ServiceError: it cannot be read.
    """
    path = directory / STATE
    try:
        said: dict[str, Any] = json.loads(path.read_text())
        return Facility(**{**said, "directory": Path(said["directory"]), "postgres_data": Path(said["postgres_data"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ServiceError(
            f"{path} is unreadable ({type(error).__name__}: {error})",
            needed="what `local-facility.sh up` wrote",
            action="end its processes by hand and remove the folder",
        ) from error


def remove(facility: Facility) -> list[str]:
    """Remove what the facility made; what others put into its folder stays.

    Returns:
        What stays.
    """
    shutil.rmtree(facility.postgres_data, ignore_errors=True)
    for name in FOLDERS:
        shutil.rmtree(facility.directory / name, ignore_errors=True)
    for name in _FILES:
        (facility.directory / name).unlink(missing_ok=True)
    left = sorted(path.name for path in facility.directory.iterdir())
    if not left:
        facility.directory.rmdir()
    return left


@contextmanager
def kept_alone(directory: Path) -> Iterator[None]:
    """Hold the folder as its keeper, with our process id in the lock file.

    Raises:
        ServiceError: another keeper holds it.
    """
    with (directory / "keeper.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ServiceError(
                f"a facility runs in {directory} already",
                needed="a folder without one",
                action="use it, or take it down first",
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def keeper(directory: Path) -> int | None:
    """Process id of whoever keeps the facility running; None where nobody does."""
    try:
        with (directory / "keeper.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read() or 0) or None
    except FileNotFoundError:
        pass
    return None


def free_ports(number: int) -> list[int]:
    """Loopback ports that nobody listens on now, all different."""
    found: list[int] = []
    for port in random.sample(_PORT_RANGE, len(_PORT_RANGE)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == number:
            break
    return found


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner only."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def _own_settings(facility: Facility) -> dict[str, Any]:
    directory = facility.directory
    return {
        "catalog": {
            "uri": facility.tiled_reading,
            "directory": str(directory),
            "store": str(directory / "results"),
            "raw": "raw",
            "processed": "processed",
            "api_key_env": "TILED_API_KEY",
        },
        "models": {"directory": str(directory / "models"), "suites": str(directory / "suites")},
        "retraining": {"directory": str(directory / "retraining")},
        "serve": {
            "directory": str(directory / "serve"),
            "deployment": DEPLOYMENT,
            # Prefect's workers do it.
            "runner": False,
            "concurrency": WORKERS,
            "health": {"host": "127.0.0.1", "port": facility.ports["serve"]},
        },
    }


def _with(settings: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """``settings`` with ``more`` over them, branch by branch."""
    merged = dict(settings)
    for key, value in more.items():
        below = merged.get(key)
        merged[key] = _with(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return merged
