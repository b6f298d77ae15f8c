"""Programs that come with no Python package."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from gbx_beamline.errors import DependencyError

DEBIAN = Path("/usr/lib/postgresql")
"""Debian keeps the programs of each version below this folder, and few of them on the PATH."""


@dataclass(frozen=True)
class PostgreSQL:
    """Where PostgreSQL's programs are."""

    folder: Path

    @property
    def server(self) -> str:
        """The server itself."""
        return str(self.folder / "postgres")

    @property
    def initdb(self) -> str:
        """What makes a data folder."""
        return str(self.folder / "initdb")


def postgresql() -> PostgreSQL:
    """PostgreSQL's programs, on the PATH or where Debian keeps them; of several versions the newest.

    Raises:
        DependencyError: there are none.
    """
    newest = sorted(DEBIAN.glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
    on_path = [Path(found).parent for name in ("initdb", "postgres") if (found := shutil.which(name))]
    for folder in (*on_path, *newest):
        if all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres")):
            return PostgreSQL(folder)
    raise DependencyError(
        f"no PostgreSQL: neither on the PATH nor below {DEBIAN}",
        needed="its programs initdb and postgres",
        action="apt-get install postgresql",
    )


def check_programs() -> None:
    """See that what comes with no Python package is there.

    Raises:
        DependencyError: it is not; all that is absent is named.
    """
    absent: dict[str, str] = {}
    try:
        postgresql()
    except DependencyError:
        absent["PostgreSQL"] = "postgresql"
    for program, package in (("redis-server", "redis-server"), ("setpriv", "util-linux")):
        if shutil.which(program) is None:
            absent[program] = package
    if absent:
        raise DependencyError(
            f"absent: {', '.join(absent)}",
            needed="the programs of a facility's services",
            action=f"apt-get install {' '.join(absent.values())}",
        )
