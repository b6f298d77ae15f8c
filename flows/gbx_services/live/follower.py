"""One run, followed by two threads: one reads and correlates, the other publishes. Neither waits for the other."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gbx_beamline import pipeline
from gbx_beamline.catalog import Catalog, latest_version
from gbx_beamline.config import Config, SampleConfig
from gbx_beamline.errors import GbxError
from gbx_beamline.frames.following import DataFiles
from gbx_beamline.records import Liveness
from gbx_services.dispatch import KeptCatalog
from gbx_services.live.announced import Announced
from gbx_services.live.followed import Followed
from gbx_services.spool import Backoff

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.05
"""Between two looks for the next data file; part of the lag of every revision."""

SEARCH_SECONDS = 1.0
"""Between two looks through a folder whose series no document names."""

DRAIN_SECONDS = 3.0
"""After the stop document, for data files that are still on their way."""

END_SECONDS = 2.0
"""Between two looks whether the run has ended, in case nobody told."""

LAST_SECONDS = 120.0
"""Longest wait at the end for a catalog that does not take the last revision."""

_FILES = 3.0
"""So many times as long as a data file takes to fill, none may come before the run counts as stale."""

_PATIENCE = Backoff(first=0.5, longest=5.0)


class RunFollower:
    """Follows a run from its first data file to its end.

    Args:
        start: Its start document.
        where: What that says of the data files.
        rules: Names of the selection rules that want the run.
        config: Settings.
        open_catalog: Opens the catalog, wherever it answers by then.
        roots: Folders below which data files may lie.
    """

    def __init__(
        self,
        start: Mapping[str, Any],
        where: Announced,
        rules: Sequence[str],
        *,
        config: Config,
        open_catalog: Callable[[], AbstractContextManager[Catalog]],
        roots: Sequence[Path],
    ) -> None:
        self.run = where.run
        self.started = where.started
        self._where = where
        self._roots = roots
        self._settings = config.serve.live
        self._open_catalog = open_catalog
        kept = self._kept(start)
        self._records = [Followed(start, rule, config, self._catalog_array, kept) for rule in rules]
        self._access_tags: tuple[str, ...] | None = None
        """Nothing is published before they are known."""
        self._looked = -math.inf
        self._over_since: float | None = None
        """When the stop document was seen: what is on its way is still read."""
        self._given_up = threading.Event()
        self._read_all = threading.Event()
        self._news = threading.Event()
        self._reader = threading.Thread(target=self._read, name="gbx-live-reader", daemon=True)
        self._publisher = threading.Thread(target=self._publish, name="gbx-live-publisher", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._reader.start()
        self._publisher.start()

    def run_has_ended(self) -> None:
        """The stop document was seen."""
        self._over_since = self._over_since or time.monotonic()

    def give_up(self, reason: str) -> None:
        """Follow no longer; the record says why, unless the run is over anyway."""
        for record in self._records:
            record.end(*("stale", reason) if self._over_since is None else ("ended", ""))
        self._given_up.set()
        self._news.set()

    def join(self, timeout: float) -> None:
        """Wait for both threads, at most so many s."""
        deadline = time.monotonic() + timeout
        for thread in (self._reader, self._publisher):
            thread.join(max(0.0, deadline - time.monotonic()))

    @property
    def given_up(self) -> bool:
        """True once it was told to follow no longer; its last revision may still be on its way."""
        return self._given_up.is_set()

    @property
    def alive(self) -> bool:
        """False once everything is read and published, or given up."""
        return self._reader.is_alive() or self._publisher.is_alive()

    # --- reading

    def _read(self) -> None:
        state: Liveness
        try:
            state, reason = self._follow()
        except GbxError as error:
            state, reason = "failed", str(error)
        except Exception as error:
            # A fault of ours costs the picture, never the scan.
            logger.exception("a run cannot be followed", extra={"run": self.run})
            state, reason = "failed", f"{type(error).__name__}: {error}"
        for record in self._records:
            record.end(state, reason)
        self._read_all.set()
        self._news.set()

    def _follow(self) -> tuple[Liveness, str]:
        """Read until the run is over; state and reason of its records."""
        files: DataFiles | None = None
        last, longest = time.monotonic(), self._longest(max(record.expected for record in self._records))
        while not self._given_up.is_set() and any(record.going_on for record in self._records):
            files = files or self._where.files(self._roots)
            file = None if files is None else files.next()
            if file is not None:
                for record in self._records:
                    record.take(file)
                self._news.set()
                last, longest = time.monotonic(), self._longest(file.shape[0])
            elif (verdict := self._verdict(last, longest)) is not None:
                return verdict
            else:
                self._given_up.wait(SEARCH_SECONDS if files is None else POLL_SECONDS)
        return "stale", "no longer followed"

    def _longest(self, frames: int) -> float:
        """s for which no data file of so many frames may come."""
        return max(self._settings.stale_s, _FILES * frames * max(record.frame_time for record in self._records))

    def _verdict(self, last: float, longest: float) -> tuple[Liveness, str] | None:
        """What became of a run whose last data file was taken at ``last``; None while more may come."""
        now = time.monotonic()
        over = self._over_since is not None
        if all(record.complete for record in self._records) and (over or now - last > longest):
            return "ended", ""
        if self._over_since is not None and now - max(last, self._over_since) > DRAIN_SECONDS:
            return "ended", ""
        if now - last > longest:
            return "stale", f"no data file has closed for {now - last:.0f} s"
        return None

    def _kept(self, start: Mapping[str, Any]) -> SampleConfig | None:
        """What the catalog keeps of the sample as the run begins, so that live and final maps are alike."""
        try:
            with self._open_catalog() as catalog:
                version = latest_version(catalog, pipeline.describe_start(start, source="").sample)
        except GbxError as error:
            logger.warning("live analysis goes by the configuration alone: %s", error, extra={"run": self.run})
            return None
        return None if version is None else version.settings

    def _catalog_array(self, path: str) -> NDArray[Any]:
        with self._open_catalog() as catalog:
            return catalog.array(path)

    # --- publishing

    def _publish(self) -> None:
        kept = KeptCatalog(self._open_catalog)
        begun, tries, until = -math.inf, 0, math.inf
        while True:
            # At most once a period, and at once when there is nothing to come.
            self._news.wait(END_SECONDS)
            self._read_all.wait(max(0.0, begun + self._settings.period_s - time.monotonic()))
            self._news.clear()
            begun, finishing = time.monotonic(), self._read_all.is_set()
            until = begun + LAST_SECONDS if finishing and math.isinf(until) else until
            try:
                with kept() as catalog:
                    self._publish_changes(catalog)
                tries = 0
            except Exception as error:  # noqa: BLE001 - whatever Tiled's client raises, correlation goes on
                tries += 1
                if tries == 1:
                    logger.warning("live records wait for the catalog: %s", error, extra={"run": self.run})
                time.sleep(_PATIENCE.delay(tries))
            if finishing and (not any(record.changed for record in self._records) or begun > until):
                break
        kept.close()

    def _publish_changes(self, catalog: Catalog) -> None:
        if self._access_tags is None or time.monotonic() - self._looked > END_SECONDS:
            run = catalog.run(self.run)
            self._access_tags, self._looked = catalog.access_tags(run), time.monotonic()
            if run.metadata.get("stop"):
                self.run_has_ended()
        for record in self._records:
            if record.changed:
                record.publish(catalog, self._access_tags)
