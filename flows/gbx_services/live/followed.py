"""One run under one selection rule: frames on the one side, revisions of its live record on the other."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gbx_beamline import pipeline
from gbx_beamline.catalog import Catalog, LiveSink
from gbx_beamline.config import Config, SampleConfig
from gbx_beamline.errors import GbxError
from gbx_beamline.frames.eiger import EigerFile
from gbx_beamline.live import LiveScan
from gbx_beamline.pipeline import CatalogArray
from gbx_beamline.records import Liveness, LiveState

logger = logging.getLogger(__name__)


class Followed:
    """``take`` and ``end`` are for the thread that reads, ``publish`` for the one that publishes.

    Args:
        start: The run's start document.
        rule: Name of the rule.
        config: Settings.
        catalog_array: Reads a label image or a mask kept in the catalog.
        kept: What the catalog keeps of the sample.
    """

    def __init__(
        self,
        start: Mapping[str, Any],
        rule: str,
        config: Config,
        catalog_array: CatalogArray,
        kept: SampleConfig | None = None,
    ) -> None:
        self._start = start
        self._rule = rule
        self._sink = LiveSink(str(start["uid"]), rule)
        self._scan: LiveScan | None = None
        self._outcome: tuple[Liveness, str] = "running", ""
        self._published: tuple[int, Liveness] | None = None
        """Frames and state of the last revision."""
        try:
            settings = config.for_run(pipeline.describe_start(start, source="").sample, rule, kept=kept)
            most = int(config.serve.live.max_memory_gib * 2**30)
            self._scan = LiveScan(start, settings, rule=rule, max_bytes=most, catalog_array=catalog_array)
        except GbxError as error:
            self.end("failed", str(error))

    @property
    def going_on(self) -> bool:
        """False once it has ended, however."""
        return self._outcome[0] == "running"

    @property
    def complete(self) -> bool:
        """Whether all frames that the run announced are correlated."""
        return self._scan is not None and self._scan.frames >= self._scan.expected

    @property
    def frame_time(self) -> float:
        """s; 0 = not known."""
        return 0.0 if self._scan is None else self._scan.frame_time or 0.0

    @property
    def expected(self) -> int:
        """Frames that the run announced; 0 = not known."""
        return 0 if self._scan is None else self._scan.expected

    def take(self, file: EigerFile) -> None:
        """Correlate a data file; where that cannot be done, the record says why and the run goes on without it."""
        if self._scan is None or not self.going_on:
            return
        try:
            self._scan.take(file)
        except GbxError as error:
            self.end("failed", str(error))
        except Exception as error:
            # A fault of ours costs the picture, never the scan or the other rules.
            logger.exception("live analysis broke down", extra={"run": self._start["uid"], "rule": self._rule})
            self.end("failed", f"{type(error).__name__}: {error}")

    def end(self, state: Liveness, reason: str = "") -> None:
        """Nothing more comes. What was said first stands."""
        if self.going_on:
            self._outcome = state, reason

    @property
    def changed(self) -> bool:
        """Whether there is something that readers do not see yet."""
        return self._published != self._now()

    def publish(self, catalog: Catalog, access_tags: tuple[str, ...]) -> None:
        """Replace the live record by what is known now.

        Raises:
            CatalogError: the catalog is away or refuses; to be tried again.
        """
        now = self._now()
        state = self._state()
        state = replace(state, scan=replace(state.scan, access_tags=access_tags))
        revision = self._sink.publish(catalog, state)
        self._published = now[0], now[1]
        if not revision % 100 or now[1] != "running":
            said = {"run": self._start["uid"], "rule": self._rule, "revision": revision, "frames": state.frames}
            logger.info("live record is %s", now[1], extra=said)

    def _now(self) -> tuple[int, Liveness]:
        return (0 if self._scan is None else self._scan.frames), self._outcome[0]

    def _state(self) -> LiveState:
        outcome, reason = self._outcome
        if self._scan is not None:
            try:
                return replace(self._scan.state(last=outcome != "running"), state=outcome, reason=reason)
            except Exception as error:
                logger.exception("the live state broke down", extra={"run": self._start["uid"], "rule": self._rule})
                self.end("failed", f"{type(error).__name__}: {error}")
                outcome, reason = self._outcome
        return LiveState(
            scan=pipeline.describe_start(self._start, source="data files"),
            rule=self._rule,
            revision=0,
            state=outcome,
            reason=reason,
            changed=time.time(),
            frame_time=float("nan"),
        )
