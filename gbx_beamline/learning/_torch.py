"""Whether the packages that learning needs are there, said in words."""

from __future__ import annotations

from importlib.util import find_spec

from gbx_beamline.errors import DependencyError

NEEDED = ("torch", "zuko", "safetensors")


def check_torch() -> None:
    """Refuse before any work.

    Raises:
        DependencyError: a package is absent.
    """
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        raise DependencyError(
            f"{', '.join(absent)} not installed",
            needed="the package's extra `learning`",
            action="install gbx-beamline[learning]",
        )
