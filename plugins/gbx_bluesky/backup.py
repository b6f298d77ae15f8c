"""Documents on local disk before anywhere else, so that an outage of Tiled costs a delay and no document.

Why not TiledWriter's own backup: it keeps a run in memory until something fails, writes with an encoder that drops
every document holding a NumPy number, names files by eight characters of the uid, and its client retries for 45 s a
request inside the RunEngine's thread. Here each run has a journal, ``<uid>.jsonl`` with one ``{"name", "doc"}`` a
line, written as the documents come; a thread of its own carries them to the catalog and removes the journal
when the run is complete there. Whoever works on a journal holds its lock, so that what is being written is told apart
from what was left behind by a crash.
"""

from __future__ import annotations

import fcntl
import json
import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Protocol

from event_model import NumpyEncoder

from gbx_beamline.errors import GbxError, ServiceError

logger = logging.getLogger(__name__)

Document = tuple[str, dict[str, Any]]


class DocumentSink(Protocol):
    """Takes the documents of one run, in order; raises when one cannot be stored."""

    def __call__(self, name: str, doc: Any) -> None:
        """Store one document."""
        ...


class RawRuns(Protocol):
    """The container of raw runs, as far as replaying needs it. Tiled's Container is one."""

    def __contains__(self, key: object, /) -> bool: ...

    def __getitem__(self, key: str, /) -> Any: ...

    def delete_contents(self, keys: str, /, recursive: bool, external_only: bool) -> Any:
        """Remove nodes; files that are only registered stay."""
        ...


class Journal:
    """The file that keeps the documents of one run, locked as long as it is open.

    Raises:
        FileExistsError: a run of this uid has a journal already.
    """

    def __init__(self, directory: Path, uid: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / f"{uid}.jsonl"
        self._file: IO[str] | None = self.path.open("x", encoding="utf-8")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def append(self, name: str, doc: Any) -> None:
        """Keep one document; it is with the operating system when this returns."""
        if self._file is None:
            raise OSError(f"journal {self.path} is closed")
        self._file.write(json.dumps({"name": name, "doc": doc}, cls=NumpyEncoder) + "\n")
        self._file.flush()

    def close(self, *, delivered: bool) -> None:
        """Let go of the file; it stays unless the catalog has the run."""
        if self._file is None:
            return
        # Removed while still locked: nobody may find it unlocked and replay a run that is complete.
        if delivered:
            self.path.unlink()
        self._file.close()
        self._file = None

    def spoil(self) -> None:
        """Mark the file as missing a document, so that it is kept and never replayed as if it were whole."""
        if self._file is not None and self.path.suffix == ".jsonl":
            self.path = self.path.rename(self.path.with_suffix(".incomplete"))


@dataclass(frozen=True)
class Replayed:
    """What became of one journal."""

    uid: str
    outcome: Literal["written", "already complete", "in progress", "unfinished", "failed"]
    detail: str = ""
    """Why, where it is not in the catalog now."""


def replay(
    directory: Path | str, raw: RawRuns, make_sink: Any = None, *, close_unfinished: bool = False
) -> list[Replayed]:
    """Bring the runs left in ``directory`` into the catalog.

    A half-written run (a node without stop document) is removed first and written anew from its journal, which
    holds all of it; detector files are registered, not owned, and stay where they are. Journals are removed once their
    run is complete in the catalog; running again does no harm.

    Args:
        directory: Folder of the journals.
        raw: Container of the raw runs, a Tiled client.
        make_sink: Makes the ``DocumentSink`` of one run from ``raw``; default a ``TiledWriter`` as the RunEngine's.
        close_unfinished: Also write runs whose process ended before their stop document. They get one with
            exit_status "abort". Runs of a live process are never touched.

    Returns:
        One entry per journal, oldest first. A run that cannot be written is reported, and the next one tried.
    """
    if make_sink is None:
        from gbx_bluesky.run_engine import tiled_writer as make_sink
    outcomes: list[Replayed] = []
    for path in sorted(Path(directory).glob("*.jsonl"), key=lambda path: path.stat().st_mtime):
        outcome = _replay_one(path, raw, make_sink, close_unfinished=close_unfinished)
        logger.info("journal %s: %s %s", path, outcome.outcome, outcome.detail)
        outcomes.append(outcome)
    return outcomes


def _replay_one(path: Path, raw: RawRuns, make_sink: Any, *, close_unfinished: bool) -> Replayed:
    uid = path.stem
    try:
        with path.open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return Replayed(uid, "in progress", "its process still writes it")
            documents = list(_documents(file, path))
            if documents[-1][0] != "stop":
                if not close_unfinished:
                    return Replayed(uid, "unfinished", "its process ended before the run; see close_unfinished")
                documents.append(("stop", _abort(documents)))
            written = _write(uid, documents, raw, make_sink)
            path.unlink()
            return Replayed(uid, "written" if written else "already complete")
    except FileNotFoundError:
        # Its owner, or another replay, brought it home between the listing and here.
        return Replayed(uid, "already complete")
    except GbxError as error:
        return Replayed(uid, "failed", str(error))
    except Exception as error:
        logger.warning("journal %s could not be written", path, exc_info=True)
        return Replayed(uid, "failed", f"{type(error).__name__}: {error}")


def _write(uid: str, documents: list[Document], raw: RawRuns, make_sink: Any) -> bool:
    if uid in raw:
        if "stop" in raw[uid].metadata:
            return False
        raw.delete_contents(uid, recursive=True, external_only=False)
    sink = make_sink(raw)
    for name, doc in documents:
        sink(name, doc)
    return True


def _documents(file: IO[str], path: Path) -> Iterator[Document]:
    lines = file.readlines()
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            document = entry["name"], entry["doc"]
        except (ValueError, KeyError, TypeError) as error:
            # A process killed while writing leaves its last line torn; before that, nothing may be missing.
            if number == len(lines) and number > 1 and not line.endswith("\n"):
                return
            raise _damaged(path, f"line {number} is no document") from error
        if number == 1 and document[0] != "start":
            raise _damaged(path, f"it begins with a {document[0]} document")
        yield document
    if not lines:
        raise _damaged(path, "it is empty")


def _damaged(path: Path, what: str) -> ServiceError:
    return ServiceError(
        f"journal {path}: {what}",
        needed="one document per line, beginning with the start document",
        action="repair the file by hand or move it away",
    )


def _abort(documents: list[Document]) -> dict[str, Any]:
    streams = {doc["uid"]: doc["name"] for name, doc in documents if name == "descriptor"}
    events = dict.fromkeys(streams.values(), 0)
    for name, doc in documents:
        if name == "event":
            events[streams[doc["descriptor"]]] += 1
        elif name == "event_page":
            events[streams[doc["descriptor"]]] += len(doc["seq_num"])
    return {
        "uid": str(uuid.uuid4()),
        "time": time.time(),
        "run_start": documents[0][1]["uid"],
        "exit_status": "abort",
        "reason": "the RunEngine's process ended before the run did",
        "num_events": events,
    }
