"""What a check says, and how long it may take to say it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from gbx_beamline.errors import GbxError


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """Only a part of GBX suffers, or not yet."""
    FAILURE = "failure"


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    name: str
    level: Level
    found: str
    needed: str = ""
    """Empty where all is well."""
    action: str = ""
    """What to do; empty where all is well."""


def good(name: str, found: str) -> Check:
    """All is well."""
    return Check(name, Level.OK, found)


def bad(name: str, found: str, needed: str, action: str, *, level: Level = Level.FAILURE) -> Check:
    """Something is to be done."""
    return Check(name, level, found, needed, action)


def refused(name: str, error: GbxError, *, level: Level = Level.FAILURE) -> Check:
    """What an error says."""
    return Check(name, level, error.found, error.needed, error.action)


def within(seconds: float, name: str, work: Callable[[], Iterable[Check]]) -> Iterator[Check]:
    """The checks of ``work``, each at most ``seconds`` after the one before.

    A disk or a server that hangs keeps its thread; the process can end without it.
    """
    said: queue.SimpleQueue[Check | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            for check in work():
                said.put(check)
        except GbxError as error:
            said.put(refused(name, error))
        except ModuleNotFoundError as error:
            action = "pip install 'gbx-beamline[all]', or the part of it that is named above"
            said.put(bad(name, f"{error.name} is absent", "the packages of this part", action))
        # A check that breaks down is a finding, too: the others go on.
        except Exception as error:  # noqa: BLE001
            action = "look into the log of that service; if it says nothing, report this line"
            said.put(bad(name, f"{type(error).__name__}: {error}", "an answer that can be understood", action))
        said.put(None)

    threading.Thread(target=run, name=f"gbx-doctor-{name}", daemon=True).start()
    while True:
        try:
            check = said.get(timeout=seconds)
        except queue.Empty:
            action = "see whether the disk or the server behind it hangs (df, systemctl status), and mend that first"
            yield bad(name, f"no answer within {seconds:.0f} s", "an answer", action)
            return
        if check is None:
            return
        yield check
