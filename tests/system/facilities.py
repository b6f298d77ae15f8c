"""A whole facility for a test, through the script that people use, and what may be left of one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gbx_beamline.errors import DependencyError
from gbx_services.facility import processes_of
from gbx_services.facility.folder import Facility, read
from gbx_services.facility.programs import check_programs

REQUIRED_VARIABLE = "GBX_SYSTEM"
"""Set to 1: what the system tests need is there, and a test that does not find it fails."""

UP_SECONDS = 600.0
"""Longest wait for what takes a minute on a machine of one's own."""


def need_programs() -> None:
    """Skip where PostgreSQL or Redis is absent, unless it is to be there."""
    try:
        check_programs()
    except DependencyError as error:
        if os.environ.get(REQUIRED_VARIABLE) == "1":
            raise
        pytest.skip(str(error))


class LocalFacility:
    """``deploy/local-facility.sh`` on one folder."""

    def __init__(self, repository: Path, directory: Path) -> None:
        self._script = repository / "deploy" / "local-facility.sh"
        self.directory = directory

    def command(self, verb: str, *arguments: str) -> list[str]:
        """What a person types."""
        return [str(self._script), verb, "--directory", str(self.directory), *arguments]

    def run(self, verb: str, *arguments: str, timeout: float = UP_SECONDS) -> subprocess.CompletedProcess[str]:
        """Its output and exit status."""
        return subprocess.run(
            self.command(verb, *arguments),
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    @property
    def known(self) -> Facility:
        """Addresses and keys."""
        found = read(self.directory)
        assert found is not None
        return found

    def status(self) -> dict[str, Any]:
        """Of all parts."""
        return json.loads(self.run("status", "--json").stdout)

    def logs(self) -> str:
        """The end of each log, for a test that failed."""
        files = sorted((self.directory / "logs").glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in files)

    def running(self, *places: Path) -> list[int]:
        """What is left of its processes."""
        return processes_of.running(self.directory, *places)


def environment() -> dict[str, str]:
    """Ours, without what would point at other services."""
    without = ("GBX_TILED", "GBX_CONFIG", "TILED_", "PREFECT_", "DISPLAY")
    return {name: value for name, value in os.environ.items() if not name.startswith(without)}


def listening(port: int) -> bool:
    """Whether somebody answers at a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
