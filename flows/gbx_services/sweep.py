"""What has ended and has no record becomes a job, whoever forgot to report it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiled.queries import Key

from gbx_beamline import assemble, pipeline
from gbx_beamline.catalog import Catalog, find_for_rule
from gbx_beamline.catalog.connect import said_in_words
from gbx_beamline.config import Config
from gbx_services.spool import Spool

logger = logging.getLogger(__name__)

SOURCE = "sweep"
SECONDS_A_DAY = 86400.0
TRIGGER_SECONDS = 30.0
"""After the stop document; a trigger that listens needs one."""


@dataclass(frozen=True)
class Swept:
    """What one sweep saw."""

    runs: int
    """Runs of the last days."""
    found: int
    """Jobs that nobody had reported."""
    missed: int
    """Of these, so long after the end of their run that a trigger should have."""


class Sweep:
    """Compares the finished runs of the last days with the queue, and what the queue does not know with the records.

    A run is looked at until it has ended and its jobs are in the queue; after that it costs no request.

    Args:
        spool: The queue.
        config: Rules, and how many days.
    """

    def __init__(self, spool: Spool, config: Config) -> None:
        self._spool = spool
        self._config = config
        self._looked_at: set[str] = set()
        """Keys of the runs about which there is nothing more to learn."""

    def __call__(self, catalog: Catalog, *, now: float | None = None) -> Swept:
        """Look once.

        Args:
            catalog: Where runs and records are.
            now: Unix time, s; default: this moment.

        Raises:
            CatalogError: the catalog is unreachable.
            ServiceError: the queue's disk refuses.
        """
        moment = time.time() if now is None else now
        since = moment - self._config.serve.sweep.days * SECONDS_A_DAY
        with said_in_words(catalog.uri):
            raw: Any = catalog.raw
            recent = set(raw.search(Key("start.time") >= since).keys())
            self._looked_at &= recent
            known = self._spool.known()
            found = missed = 0
            for key in recent - self._looked_at:
                metadata = raw[key].metadata
                start, stop = metadata.get("start"), metadata.get("stop")
                if not (start and stop):
                    continue
                try:
                    new = self._select(catalog, start, stop, known)
                    found += new
                    missed += new if moment - (time_of(stop) or moment) > TRIGGER_SECONDS else 0
                except (AttributeError, KeyError, TypeError, ValueError):
                    # What is odd about one run must not keep the others waiting.
                    logger.exception("a run whose documents are odd is left alone", extra={"run": key})
                self._looked_at.add(key)
        return Swept(len(recent), found, missed)

    def _select(
        self, catalog: Catalog, start: Mapping[str, Any], stop: Mapping[str, Any], known: set[tuple[str, str]]
    ) -> int:
        run = str(start["uid"])
        wanted = [
            rule
            for rule in wanting_rules(self._config, start)
            if (run, rule) in known or not settled(catalog, self._config, start, rule)
        ]
        return len(self._spool.select(run, wanted, source=SOURCE, stopped=time_of(stop)))


def wanting_rules(config: Config, start: Mapping[str, Any]) -> list[str]:
    """Names of the rules that want a run with this start document."""
    return [name for name, rule in config.selection.items() if rule.wants(start)]


def settled(catalog: Catalog, config: Config, start: Mapping[str, Any], rule: str) -> bool:
    """Whether the catalog has a record, a result or a failure, of this run for this rule.

    Raises:
        CatalogError: the catalog is unreachable.
    """
    scan = pipeline.describe_start(start, source="catalog")
    settings = assemble.settings_for(catalog, config, scan.sample, rule).analysis
    return find_for_rule(catalog, scan.run_uid, rule=rule, settings_hash=settings.hash) is not None


def time_of(document: Mapping[str, Any]) -> float | None:
    """Unix time of a document, s; None where it has none that is a number."""
    value = document.get("time")
    return float(value) if isinstance(value, int | float) else None
