"""One process of a kind in a folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gbx_beamline.errors import ServiceError


@contextmanager
def alone(directory: Path, what: str, *, action: str) -> Iterator[None]:
    """Hold the folder for the length of the block: two would share one Prefect with one database.

    Args:
        directory: Made when absent.
        what: Kind of the process, in a word; it names the lock file.
        action: What a second one's user can do.

    Raises:
        ServiceError: another process of this kind holds the folder.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f"{what}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ServiceError(
                f"a {what} runs in {directory} already", needed="a folder without one", action=action
            ) from error
        yield
