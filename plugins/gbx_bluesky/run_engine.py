"""A RunEngine whose documents reach the catalog without ever holding up a scan."""

from __future__ import annotations

import atexit
import logging
import queue
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from bluesky import RunEngine
from bluesky_tiled_plugins.writing.tiled_writer import TiledWriter
from event_model import RunRouter, unpack_event_page
from tiled.client.container import Container

from gbx_beamline.catalog.access import RUN_TAGS_KEY, run_tags
from gbx_beamline.catalog.connect import connect
from gbx_bluesky.backup import Journal, replay
from gbx_bluesky.legacy_eiger import SPEC_TO_MIMETYPE, EigerNormalizer

logger = logging.getLogger(__name__)

EXIT_SECONDS = 60.0
"""Longest wait at the end of the process for documents still on their way; what is left stays in its journal."""

FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 2.0, 60.0
"""Idle time after which runs left behind are tried again by themselves: doubled with each failure, up to the latter."""

OpenRaw = Callable[[], Container]
Access = Callable[[], AbstractContextManager[Container]]


def make_run_engine(
    catalog: str | Container | OpenRaw,
    *,
    backup_directory: Path | str,
    api_key: str | None = None,
    raw: str = "raw",
    batch_size: int = 1,
    md: Mapping[str, Any] | None = None,
) -> tuple[RunEngine, CatalogWriter]:
    """A RunEngine and the writer that carries its documents to Tiled.

    Nothing is connected before the first run, and no run waits for Tiled: see ``CatalogWriter``.

    Args:
        catalog: Address of a Tiled server, the container of raw runs, or a function that opens that container
            (for a server whose address changes when it restarts). It is called in the writer's thread for each run,
            and the connections of what it returns are closed afterwards; a container given as such stays open.
        backup_directory: Folder of the journals, made when absent.
        api_key: Key for an address; None takes the environment's TILED_API_KEY.
        raw: Path of the raw runs on that server.
        batch_size: Events or stream datums per request; 1 shows data while the run goes on.
        md: What every start document says.
    """
    writer = CatalogWriter(_access(catalog, api_key, raw), backup_directory, batch_size=batch_size)
    engine = RunEngine(dict(md or {}))
    engine.subscribe(writer)
    return engine, writer


def tiled_writer(raw: Container, *, batch_size: int = 1) -> TiledWriter:
    """A TiledWriter that knows Eiger masters, CHX's old names for them, and pages of side traces.

    A run's access tag is its proposal, ``data_session``, unless its start document names others itself.

    Args:
        raw: Container of the raw runs.
        batch_size: Events or stream datums per request.
    """
    return TiledWriter(
        raw,
        normalizer=_PagewiseNormalizer,
        patches={"start": _with_access_tags},
        spec_to_mimetype=SPEC_TO_MIMETYPE,
        batch_size=batch_size,
    )


def _with_access_tags(start: Any) -> Any:
    """Whose the run is, for a server with an access policy; another one ignores it."""
    return {**start, RUN_TAGS_KEY: run_tags(start)}


class CatalogWriter:
    """Bluesky callback: each document goes to a journal on local disk at once and to Tiled from a thread of its own.

    When Tiled is away, slow or refuses something, the run goes on and its journal stays. It is tried again after a
    while, and again, less and less often; a run that gets through meanwhile takes the ones left behind along, as
    ``catch_up`` and ``backup.replay`` do.
    """

    def __init__(self, access: Access, directory: Path | str, *, batch_size: int = 1) -> None:
        """``access`` opens the raw runs for one run's documents; the others are as in ``make_run_engine``."""
        self.directory = Path(directory)
        self.access = access
        self.batch_size = batch_size
        # Journals of an earlier process may wait.
        self._backlog = True
        self._failures = 0
        """Of catching up, one after the other."""
        self._router = RunRouter([lambda _name, _doc: ([_Run(self)], [])])
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="gbx-catalog-writer", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def __call__(self, name: str, doc: Any) -> None:
        """Take one document; returns once it is on disk."""
        self._router(name, doc)

    @property
    def left_behind(self) -> list[str]:
        """Uids of runs that have a journal, so are not (yet) complete in the catalog."""
        return sorted(path.stem for path in self.directory.glob("*.jsonl"))

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until every document so far was written or given up for now.

        Returns:
            True when no run is left behind.
        """
        done = threading.Event()
        self._queue.put(done.set)
        return done.wait(timeout) and not self.left_behind

    def catch_up(self) -> None:
        """Try now, in the writer's thread, to bring the runs left behind into the catalog."""
        self._queue.put(self._catch_up)

    def close(self, timeout: float = EXIT_SECONDS) -> None:
        """Write what is under way and end the thread. Called at the end of the process by itself."""
        atexit.unregister(self.close)
        self._queue.put(None)
        self._thread.join(timeout)
        if left := self.left_behind:
            logger.warning("%d runs are not in the catalog yet; their journals are in %s", len(left), self.directory)

    def submit(self, task: Callable[[], None]) -> None:
        """Run ``task`` in the writer's thread, after what was submitted before."""
        self._queue.put(task)

    def finished(self, *, delivered: bool) -> None:
        """Note how a run fared. Only in the writer's thread."""
        if not delivered:
            self._backlog = True
        elif self._backlog:
            self._catch_up()

    def _catch_up(self) -> None:
        try:
            with self.access() as raw:
                outcomes = replay(self.directory, raw, tiled_writer)
        except Exception as error:
            # Once with all there is to know of it, then in short: an outage may last.
            logger.warning(
                "the catalog cannot be opened (%s); journals stay in %s",
                error,
                self.directory,
                exc_info=not self._failures,
            )
            self._failures += 1
            return
        self._backlog = any(outcome.outcome == "failed" for outcome in outcomes)
        self._failures = self._failures + 1 if self._backlog else 0

    def _work(self) -> None:
        while True:
            try:
                task = self._queue.get(timeout=self._patience())
            except queue.Empty:
                self._catch_up()
                continue
            if task is None:
                return
            task()

    def _patience(self) -> float | None:
        """s without a document after which the runs left behind are tried again; None where there are none."""
        if not (self._backlog and self.left_behind):
            return None
        # Not in step with the other beamline whose catalog went away at the same moment.
        return min(FIRST_RETRY_SECONDS * 2.0**self._failures, LONGEST_RETRY_SECONDS) * random.uniform(0.75, 1.25)


class _Run:
    """Documents of one run on their two ways."""

    def __init__(self, writer: CatalogWriter) -> None:
        self._writer = writer
        self._journal: Journal | None = None
        self._sink: TiledWriter | None = None
        self._connection = ExitStack()
        self._failed = False

    def __call__(self, name: str, doc: Any) -> None:
        try:
            if name == "start":
                self._journal = Journal(self._writer.directory, doc["uid"])
            if self._journal is not None:
                self._journal.append(name, doc)
        except (OSError, TypeError, ValueError):
            # A full disk or an exotic value must not end a scan while Tiled may still take the document.
            logger.exception("a %s document has no backup", name)
            if self._journal is not None:
                self._journal.spoil()
        self._writer.submit(lambda: self._deliver(name, doc))

    def _deliver(self, name: str, doc: Any) -> None:
        if not self._failed:
            try:
                if self._sink is None:
                    # Opened for each run: a refused connection shows at once, where an old client retries for long.
                    raw = self._connection.enter_context(self._writer.access())
                    self._sink = tiled_writer(raw, batch_size=self._writer.batch_size)
                self._sink(name, doc)
            except Exception:
                logger.warning("a %s document did not reach the catalog; its run stays on disk", name, exc_info=True)
                self._failed = True
        if name == "stop":
            self._connection.close()
            if self._journal is not None:
                self._journal.close(delivered=not self._failed)
            self._writer.finished(delivered=not self._failed)


def _access(catalog: str | Container | OpenRaw, api_key: str | None, path: str) -> Access:
    if isinstance(catalog, Container):
        return partial(nullcontext, catalog)
    if isinstance(catalog, str):
        # Only the raw runs matter here; a server without results is fine.
        return partial(_opened, lambda: connect(catalog, api_key, raw=path, processed=path).raw)
    return partial(_opened, catalog)


@contextmanager
def _opened(open_raw: OpenRaw) -> Iterator[Container]:
    raw = open_raw()
    try:
        yield raw
    finally:
        raw.context.close()


class _PagewiseNormalizer(EigerNormalizer):
    """Hands an event page over as one batch.

    TiledWriter takes pages apart and, at ``batch_size=1``, sends each row in a request of its own: 625 rows
    of side traces would cost seconds. Its batch size is private, so the version of bluesky-tiled-plugins is pinned.
    """

    def subscribe(self, func: Any, name: str = "all") -> Any:
        """Remember the run's writer."""
        self._writer = func
        return super().subscribe(func, name)

    def event_page(self, doc: Any) -> None:
        """Pass all rows of a page in one request."""
        batch_size = self._writer._batch_size
        self._writer._batch_size = max(batch_size, len(doc["seq_num"]))
        try:
            for event in unpack_event_page(doc):
                self.event(event)
        finally:
            self._writer._batch_size = batch_size
