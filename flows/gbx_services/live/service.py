"""Which runs are followed: hears of them as they begin, and looks for them at each new connection."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any, Literal

from tiled.queries import Key

from gbx_beamline import assemble
from gbx_beamline.catalog import Catalog, LiveSummary, end_live, find_for_rule, find_live, sweep_live
from gbx_beamline.catalog.connect import said_in_words
from gbx_beamline.config import Config
from gbx_beamline.errors import CatalogError, GbxError, ServiceError
from gbx_services.dispatch import KeptCatalog
from gbx_services.live.announced import announced
from gbx_services.live.follower import RunFollower
from gbx_services.live.roots import data_roots
from gbx_services.run_stream import RunStream
from gbx_services.sweep import wanting_rules

logger = logging.getLogger(__name__)

OLDEST_SECONDS = 3600.0
"""A run that began earlier is not taken up: its frames would have to be caught up with while others come."""

LOOK_SECONDS = 2.0
"""Between two looks into the catalog: for final records of runs that have just ended, and whether it is there."""

RECENT_SECONDS = 300.0
"""After its last change a live record is looked after so often; later, once a minute."""

TIDY_SECONDS = 60.0

STOP_SECONDS = 5.0
TICK_SECONDS = 0.5
MOST_SEEN = 1000

News = tuple[Literal["start", "stop"], Any]


class LiveService:
    """Follows the newest runs, a few at a time.

    Args:
        config: Settings.
        open_catalog: Opens the catalog, wherever it answers by then.

    Raises:
        ConfigError: no folder is named below which data files may lie.
    """

    def __init__(self, config: Config, open_catalog: Callable[[], AbstractContextManager[Catalog]]) -> None:
        self._config = config
        self._open_catalog = open_catalog
        self._roots = data_roots(config)
        self._catalog = KeptCatalog(open_catalog)
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._missed = threading.Event()
        """Runs may have begun that nobody told of."""
        self._missed.set()
        self._stream = RunStream(open_catalog, self._heard, self._missed.set)
        self._followers: dict[str, RunFollower] = {}
        self._seen: dict[str, None] = {}
        """Runs that were taken up or passed over, in this order."""
        self._looked = self._tidied = -math.inf
        self._away = False

    def go_on(self, stopping: threading.Event) -> None:
        """Follow runs until ``stopping`` is set."""
        self._stream.start()
        try:
            while not stopping.is_set():
                self._step()
        finally:
            self._stream.stop()
            for follower in self._followers.values():
                follower.give_up("the live service was stopped")
            deadline = time.monotonic() + STOP_SECONDS
            for follower in self._followers.values():
                follower.join(deadline - time.monotonic())
            self._catalog.close()

    def _heard(self, metadata: Mapping[str, Any]) -> None:
        """In the stream's thread: only passed on."""
        start, stop = metadata.get("start"), metadata.get("stop")
        if isinstance(stop, Mapping):
            self._news.put(("stop", stop.get("run_start")))
        elif isinstance(start, Mapping):
            self._news.put(("start", start))

    def _step(self) -> None:
        try:
            with suppress(queue.Empty):
                what, news = self._news.get(timeout=TICK_SECONDS)
                if what == "start":
                    self._consider(news)
                elif news in self._followers:
                    self._followers[news].run_has_ended()
            self._drop_ended()
            waited = time.monotonic() - self._looked
            if waited > LOOK_SECONDS or (self._missed.is_set() and not self._away):
                self._look_into_catalog()
        except Exception:
            # Odd documents of one run must not end the service.
            logger.exception("a step of the live service broke down")

    def _look_into_catalog(self) -> None:
        self._looked = time.monotonic()
        try:
            with self._catalog() as catalog:
                if self._missed.is_set():
                    self._missed.clear()
                    self._find_running(catalog)
                self._look_after(catalog)
        except (CatalogError, ServiceError) as error:
            if not self._away:
                logger.warning("the catalog is away: %s", error)
            self._away = True
            # It may have another address by now, and nobody tells a connection that still waits.
            self._missed.set()
            self._stream.renew()
            return
        self._away = False

    def _find_running(self, catalog: Catalog) -> None:
        """Runs that began while nobody listened, the newest first."""
        with said_in_words(catalog.uri):
            raw: Any = catalog.raw
            young = raw.search(Key("start.time") >= time.time() - OLDEST_SECONDS)
            found = [node.metadata for node in young.values()]
        running = [metadata["start"] for metadata in found if metadata.get("start") and not metadata.get("stop")]
        newest = sorted((start for start in running if announced(start)), key=lambda start: -start["time"])
        for start in reversed(newest[: self._config.serve.live.at_once]):
            self._consider(start)

    def _consider(self, start: Mapping[str, Any]) -> None:
        """Follow a run, if it can be and a rule wants it, in the place of the oldest one where there are too many."""
        where = announced(start)
        if where is None or where.run in self._seen or time.time() - where.started > OLDEST_SECONDS:
            return
        self._seen[where.run] = None
        while len(self._seen) > MOST_SEEN:
            del self._seen[next(iter(self._seen))]
        rules = wanting_rules(self._config, start)
        if not rules:
            return
        following = [follower for follower in self._followers.values() if not follower.given_up]
        following.sort(key=lambda follower: follower.started, reverse=True)
        for follower in following[self._config.serve.live.at_once - 1 :]:
            follower.give_up("a newer run is followed")
        logger.info("run is followed", extra={"run": where.run, "rules": rules})
        follower = RunFollower(
            start, where, rules, config=self._config, open_catalog=self._open_catalog, roots=self._roots
        )
        self._followers[where.run] = follower
        follower.start()

    def _drop_ended(self) -> None:
        self._followers = {run: follower for run, follower in self._followers.items() if follower.alive}

    # --- records that nobody writes any more

    def _look_after(self, catalog: Catalog) -> None:
        now = time.monotonic()
        thorough = now - self._tidied > TIDY_SECONDS
        for summary in find_live(catalog, unsettled=True):
            recent = time.time() - summary.changed < RECENT_SECONDS
            if summary.run_uid not in self._followers and (recent or thorough):
                self._settle(catalog, summary)
        if thorough:
            sweep_live(catalog)
            self._tidied = now

    def _settle(self, catalog: Catalog, summary: LiveSummary) -> None:
        """Name the final record where there is one; say that nobody follows where none is in sight."""
        try:
            settings = assemble.settings_for(catalog, self._config, summary.metadata["sample"], summary.rule)
            final = find_for_rule(catalog, summary.run_uid, rule=summary.rule, settings_hash=settings.analysis.hash)
        except CatalogError:
            raise
        except GbxError:
            # The rule is gone, or a file that it names: the record is swept in a day.
            final = None
        if final is not None:
            state = "ended" if summary.state == "running" else summary.state
            end_live(catalog, summary.key, state=state, reason=summary.metadata["reason"], record=final.key)
        elif summary.state == "running":
            end_live(catalog, summary.key, state="stale", reason="whoever followed the run was stopped")
