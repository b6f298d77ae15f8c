"""Runs as the Tiled server reports them over its websocket, a tenth of a second after their stop document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from gbx_beamline.catalog import Catalog
from gbx_services.run_stream import RunStream
from gbx_services.triggers.protocol import Accept
from gbx_services.triggers.run_engine import reported


class TiledStream(RunStream):
    """Reports runs that have ended.

    Args:
        open_catalog: Opens the catalog, wherever it answers by then.
        accept: Takes the reports.
        connected: Told of each new connection: what ended before it was not heard.
    """

    def __init__(
        self,
        open_catalog: Callable[[], AbstractContextManager[Catalog]],
        accept: Accept,
        connected: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(open_catalog, self._report, connected)
        self._accept = accept

    def _report(self, metadata: Mapping[str, Any]) -> None:
        stop = metadata.get("stop")
        if isinstance(stop, dict) and (report := reported(stop)) is not None:
            self._accept(report[0], source=self.name, stopped=report[1])
