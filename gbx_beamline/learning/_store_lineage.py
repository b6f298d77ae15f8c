"""Who was promoted when, from what, and why: a file that only grows.

One JSON object per line. Each line holds the sha256 of the line before, so that a line that was changed or taken out
shows. The aliases are what replaying the lines gives: there is no second place that could disagree. A new line comes
in by writing the whole file anew and renaming it, under a lock: readers see it before or after, never between.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError

from gbx_beamline.config._base import Strict
from gbx_beamline.errors import InputError
from gbx_beamline.learning._store_description import ID_PATTERN
from gbx_beamline.learning._store_files import said_in_words, write_whole

LINEAGE = "lineage.jsonl"

Alias = Literal["default", "candidate"]
ModelId = Annotated[str, StringConstraints(pattern=ID_PATTERN, max_length=80)]

_WAIT_SECONDS = 10.0
"""For another process that holds the store; a promotion takes a fraction of a second."""

_PAUSE_SECONDS = 0.05


class Event(Strict):
    """One line of the lineage."""

    number: Annotated[int, Field(ge=1)]
    time: str
    """ISO 8601, UTC."""
    action: Literal["promote", "rollback", "candidate"]
    """promote and rollback change who is default; candidate names a model to be judged."""
    model: ModelId
    """Who it is now."""
    replaces: ModelId | None
    """Who it was before."""
    by: str
    """user@host."""
    why: str
    """In a sentence."""
    gate: dict[str, Any] | None = None
    """The comparison that let it pass."""
    after: str
    """sha256 of the line before; empty in the first."""

    def in_words(self) -> str:
        """One line for people."""
        change = {"promote": "became default", "rollback": "is default again", "candidate": "became candidate"}
        before = f", before: {self.replaces}" if self.replaces else ""
        return f"{self.number}. {self.time} {self.model} {change[self.action]}{before} ({self.by}): {self.why}"


class Standing(Strict):
    """Who is who after some events."""

    defaults: tuple[ModelId, ...] = ()
    """Promoted and not rolled back, the last one in force; none: the default that comes with the package."""
    candidate: ModelId | None = None

    def after(self, event: Event) -> Standing:
        """The standing that an event leaves."""
        if event.action == "candidate":
            return Standing(defaults=self.defaults, candidate=event.model)
        if event.action == "rollback":
            return Standing(defaults=self.defaults[:-1], candidate=self.candidate)
        waiting = None if self.candidate == event.model else self.candidate
        return Standing(defaults=(*self.defaults, event.model), candidate=waiting)


def standing_of(events: Sequence[Event]) -> Standing:
    """Who is who after all of them."""
    standing = Standing()
    for event in events:
        standing = standing.after(event)
    return standing


def read_lineage(directory: Path) -> tuple[Event, ...]:
    """All events of a store, oldest first; none where nothing was ever promoted.

    Raises:
        InputError: a file that cannot be read, or lines that were changed, taken out or put in.
    """
    return tuple(Event.model_validate_json(line) for line in _lines(directory))


def append_event(
    directory: Path,
    *,
    action: Literal["promote", "rollback", "candidate"],
    model: str,
    replaces: str | None,
    why: str,
    gate: dict[str, Any] | None = None,
) -> Event:
    """Add one line. The caller holds :func:`store_lock`.

    Raises:
        InputError: as :func:`read_lineage`, or the file cannot be written.
    """
    lines = _lines(directory)
    event = Event(
        number=len(lines) + 1,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        action=action,
        model=model,
        replaces=replaces,
        by=_who(),
        why=why,
        gate=gate,
        after=_hash(lines[-1]) if lines else "",
    )
    with said_in_words(directory / LINEAGE, action="make room or check the permissions; nothing was changed"):
        write_whole(directory / LINEAGE, "".join(f"{line}\n" for line in [*lines, event.model_dump_json()]).encode())
    return event


@contextmanager
def store_lock(directory: Path, *, wait: float = _WAIT_SECONDS) -> Iterator[None]:
    """Hold the store against other writers, for as long as this process lives.

    Args:
        directory: the store; made when absent.
        wait: s that another writer is waited for.

    Raises:
        InputError: another process holds it, or the folder cannot be made.
    """
    with said_in_words(directory, action="check models.directory in the configuration"):
        directory.mkdir(parents=True, exist_ok=True)
        folder = os.open(directory, os.O_RDONLY)
    try:
        _locked(folder, directory, time.monotonic() + wait)
        yield
    finally:
        os.close(folder)


def _locked(folder: int, directory: Path, until: float) -> None:
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() >= until:
                raise InputError(
                    f"another process is changing the models in {directory}",
                    needed="one promotion at a time",
                    action="wait for it to end, look at `gbx models list`, and try again",
                ) from error
        time.sleep(_PAUSE_SECONDS)


def _lines(directory: Path) -> list[str]:
    path = directory / LINEAGE
    if not path.exists():
        return []
    with said_in_words(path, action="check its permissions"):
        lines = path.read_text().splitlines()
    before = ""
    for number, line in enumerate(lines, start=1):
        try:
            event = Event.model_validate_json(line)
            whole = (event.number, event.after) == (number, before)
        except (ValidationError, ValueError):
            whole = False
        if not whole:
            raise InputError(
                f"line {number} of {path} was changed, put in or follows one that was",
                needed="the lines as GBX wrote them",
                action="restore the file from a backup, or move it away: the default is then the package's own",
            )
        before = _hash(line)
    return lines


def _hash(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
