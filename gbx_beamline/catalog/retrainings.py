"""Retrainings: what became of each, and the lock by which only one is under way.

::

    processed/
      retrainings/<number>      metadata: status, holder, beat, data set, candidate, default, reason, drift

Numbers count up. Whoever begins creates the next one, once: the server's 409 decides between two. While the newest is
running nobody else begins, unless its holder is gone: its process has ended, or it has been silent for longer than
``SILENT_SECONDS``. Then the next number takes over, and nothing is deleted. A holder that was only asleep sees the
later number before it promotes, and stops.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tiled.client.utils import ClientError
from tiled.structures.core import Spec

from gbx_beamline.catalog.codec import plain
from gbx_beamline.catalog.connect import Catalog, said_in_words
from gbx_beamline.catalog.publish import container
from gbx_beamline.errors import BusyError, CatalogError, GbxError, ServiceError

logger = logging.getLogger(__name__)

RETRAININGS = "retrainings"
RETRAINING_VERSION = 1

RUNNING, INTERRUPTED, FAILED = "running", "interrupted", "failed"
"""States beside the outcomes that ``retraining`` names."""

SILENT_SECONDS = 300.0
"""After which a holder on another machine is taken for dead. Clocks of workers may differ by less than that."""

_BEAT_SECONDS = 30.0
_SPEC = Spec("GBXRetraining", f"{RETRAINING_VERSION}.0")
_CONFLICT = 409

_held: set[str] = set()
"""Tokens of this process: it may begin again where an earlier try of its own has ended without a word."""


@dataclass(frozen=True)
class Retraining:
    """One retraining, as the catalog tells it."""

    number: int
    metadata: Mapping[str, Any]

    @property
    def status(self) -> str:
        """What became of it, or ``RUNNING``."""
        return str(self.metadata["status"])

    @property
    def reason(self) -> str:
        """Why, in words."""
        return str(self.metadata.get("reason") or "")

    @property
    def begun(self) -> float:
        """Unix time, s."""
        return float(self.metadata["begun"])

    @property
    def dataset(self) -> str | None:
        """Id of its data set, where it came so far."""
        return self.metadata.get("dataset")

    @property
    def candidate(self) -> str | None:
        """Id of the model it made, where it came so far."""
        return self.metadata.get("candidate")

    def in_words(self) -> str:
        """One line for people."""
        when = f"{datetime.fromtimestamp(self.begun, UTC):%Y-%m-%d %H:%M} UTC"
        made = f", data set {self.dataset}" if self.dataset else ""
        reason = f": {self.reason}" if self.reason else f" by {self.holder_in_words}"
        return f"{self.number}. {when} {self.status}{made} ({self.metadata['by']}){reason}"

    @property
    def holder_in_words(self) -> str:
        """Who runs it, or ran it."""
        holder = self.metadata["holder"]
        return f"process {holder['pid']} on {holder['host']}"


class HeldRetraining:
    """The retraining that is under way here. Only ``holding_retraining`` makes one."""

    def __init__(self, catalog: Catalog, node: Any, retraining: Retraining, before: Retraining | None) -> None:
        self._catalog, self._node, self._lock = catalog, node, threading.Lock()
        self.number = retraining.number
        self.begun = retraining.begun
        self.continues = before
        """The one before, where it was not ended in order; None else."""

    def note(self, **facts: Any) -> None:
        """Keep what is known now.

        Raises:
            CatalogError: the catalog is unreachable.
        """
        with self._lock, said_in_words(self._catalog.uri):
            self._node.update_metadata(plain({"beat": time.time(), **facts}), drop_revision=True)

    def check(self) -> None:
        """Refuse to go on where somebody has taken over.

        Raises:
            ServiceError: a later retraining has begun.
            CatalogError: the catalog is unreachable.
        """
        newest = newest_retraining(self._catalog)
        if newest is not None and newest.number != self.number:
            raise ServiceError(
                f"retraining {newest.number} ({newest.holder_in_words}) has taken over from this one, {self.number}, "
                "which was silent for too long",
                needed="one retraining at a time",
                action="let it finish: what was done here is kept, and it goes on with that",
            )


@contextmanager
def holding_retraining(catalog: Catalog, *, by: str) -> Iterator[HeldRetraining]:
    """Begin a retraining, and be the only one for the length of the block.

    The block must note a ``status``; one that ends without has failed.

    Args:
        catalog: Where it is kept.
        by: Who asked for it.

    Raises:
        BusyError: another one is under way.
        CatalogError: the catalog is unreachable.
    """
    held = _begin(catalog, by)
    token = str(held._node.metadata["holder"]["token"])
    _held.add(token)
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(held, ended), name="gbx-retraining", daemon=True)
    beating.start()
    try:
        yield held
    except BaseException as error:
        ended.set()
        beating.join()
        _say_how_it_ended(held, error)
        raise
    finally:
        ended.set()
        beating.join()
        _held.discard(token)


def newest_retraining(catalog: Catalog) -> Retraining | None:
    """The retraining with the highest number; None where there was none."""
    return next(iter(find_retrainings(catalog, most=1)), None)


def find_retrainings(catalog: Catalog, *, most: int | None = None) -> list[Retraining]:
    """Retrainings, newest first.

    Args:
        catalog: Where to look.
        most: At most so many.
    """
    with said_in_words(catalog.uri):
        if not catalog.has_shelf(RETRAININGS):
            return []
        nodes: Any = catalog.shelf(RETRAININGS).sort(("number", -1)).values()
        found = nodes if most is None else nodes.head(most)
        return [Retraining(int(node.metadata["number"]), dict(node.metadata)) for node in found]


def _begin(catalog: Catalog, by: str) -> HeldRetraining:
    before = newest_retraining(catalog)
    if before is not None and before.status == RUNNING and (alive := _why_alive(before)):
        raise _busy(before, alive)
    number, now, token = (before.number if before else 0) + 1, time.time(), uuid.uuid4().hex
    metadata = {
        "retraining_version": RETRAINING_VERSION,
        "number": number,
        "status": RUNNING,
        "reason": "",
        "by": by,
        "holder": {
            "host": socket.gethostname(),
            "place": _place(),
            "pid": os.getpid(),
            "born": _born(os.getpid()),
            "token": token,
        },
        "begun": now,
        "beat": now,
        "continues": before.number if before is not None and _unfinished(before) else None,
    }
    with said_in_words(catalog.uri):
        parent = container(catalog, RETRAININGS)
        try:
            node = parent.create_container(f"{number:06d}", metadata=metadata, specs=[_SPEC])
        except ClientError as error:
            if error.response.status_code != _CONFLICT:
                raise
            node = parent[f"{number:06d}"]
            # A request whose answer was lost is retried by the client and may meet its own node.
            if node.metadata["holder"]["token"] != token:
                raise _busy(Retraining(number, dict(node.metadata)), "it has just begun") from error
    continued = before if before is not None and _unfinished(before) else None
    return HeldRetraining(catalog, node, Retraining(number, metadata), continued)


def _unfinished(retraining: Retraining) -> bool:
    return retraining.status in (RUNNING, INTERRUPTED, FAILED)


def _busy(other: Retraining, why: str) -> BusyError:
    return BusyError(
        f"retraining {other.number} is under way ({other.holder_in_words}: {why})",
        needed="one retraining at a time",
        action="wait for its end; `gbx models history` shows it. If its process is gone, it is taken over after "
        f"{SILENT_SECONDS / 60:.0f} minutes of silence",
    )


def _why_alive(retraining: Retraining) -> str:
    """What speaks for the holder of a running retraining; empty where it is gone."""
    holder, silent = retraining.metadata["holder"], time.time() - float(retraining.metadata["beat"])
    if holder["place"] and holder["place"] == _place():
        if (holder["pid"], holder["born"]) == (os.getpid(), _born(os.getpid())):
            return "this very process" if holder["token"] in _held else ""
        # A number is used again by another process: its birth tells them apart.
        if _born(holder["pid"]) != holder["born"]:
            return ""
    return f"heard of {max(silent, 0.0):.0f} s ago" if silent < SILENT_SECONDS else ""


def _place() -> str:
    """Where process numbers mean the same: this boot of this machine, and this container. Empty where nobody knows."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _born(pid: int) -> str:
    """When a process was started, in the kernel's ticks; empty where there is none, or nobody knows."""
    try:
        # The name of the program is in brackets, and may hold spaces and brackets itself.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _beat(held: HeldRetraining, ended: threading.Event) -> None:
    while not ended.wait(_BEAT_SECONDS):
        try:
            held.note()
        except CatalogError as error:
            # An outage: whoever took over meanwhile is found by check() before anything is promoted.
            logger.warning("retraining %d cannot say that it is alive: %s", held.number, error)


def _say_how_it_ended(held: HeldRetraining, error: BaseException) -> None:
    stopped = not isinstance(error, Exception)
    said = "stopped; the next one goes on" if stopped else str(error) or type(error).__name__
    if isinstance(error, Exception) and not isinstance(error, GbxError):
        said = f"{type(error).__name__}: {said}"
    try:
        held.note(status=INTERRUPTED if stopped else FAILED, reason=said, ended=time.time())
    except CatalogError:
        logger.warning("retraining %d ended, and the catalog could not be told: %s", held.number, said)
