"""Whether the packages that learning needs are there, said in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread while the context lasts: networks as small as ours gain nothing from more, and lose much when
    they wait for each other on cores that others use."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
