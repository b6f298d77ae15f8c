"""Raw runs as the Tiled server tells of them over its websocket, a tenth of a second after their documents."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

from gbx_beamline.catalog import Catalog
from gbx_services.spool import Backoff

logger = logging.getLogger(__name__)

LARGEST_MESSAGE = 64_000_000
"""Bytes. A larger start document ends the stream, and Tiled's client says so in its log only."""

_PATIENCE = Backoff(first=1.0, longest=30.0)


class _OwnKey:
    """A client's context whose own key opens the stream.

    On a server with accounts Tiled's client would make itself a key for it, which the key of a service must not.
    """

    server_info = SimpleNamespace(authentication=SimpleNamespace(providers=[]))

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


class RunStream:
    """Listens to the raw runs of a catalog, and connects again whenever the connection is lost.

    Args:
        open_catalog: Opens the catalog, wherever it answers by then.
        heard: Told the metadata of a run as it begins, and again, whole or only what changed, as it ends.
        connected: Told of each new connection: what happened before it was not heard.
    """

    name = "tiled stream"

    def __init__(
        self,
        open_catalog: Callable[[], AbstractContextManager[Catalog]],
        heard: Callable[[Mapping[str, Any]], None],
        connected: Callable[[], None] = lambda: None,
    ) -> None:
        self._open_catalog = open_catalog
        self._told = heard
        self._connected = connected
        self._stopping = threading.Event()
        self._subscription: Any = None
        self._lock = threading.Lock()
        self.trouble = "not connected yet"
        self._thread = threading.Thread(target=self._listen, name="gbx-tiled-stream", daemon=True)

    def start(self) -> None:
        """Begin to listen; returns at once."""
        self._thread.start()

    def renew(self) -> None:
        """Let go of the connection; another is made."""
        with self._lock:
            subscription, self._subscription = self._subscription, None
        if subscription is not None:
            # Its client may be in the middle of long retries: nobody waits for them.
            threading.Thread(target=subscription.disconnect, args=(False,), daemon=True).start()

    def stop(self) -> None:
        """End; a connection that is being retried is left to its end."""
        self._stopping.set()
        self.renew()
        self._thread.join(5.0)

    def _listen(self) -> None:
        tries = 0
        while not self._stopping.is_set():
            try:
                with self._open_catalog() as catalog:
                    self._subscribe(catalog)
                tries, self.trouble = 0, "connection lost"
            except Exception as error:  # noqa: BLE001 - whatever Tiled's client raises, we connect again
                tries, self.trouble = tries + 1, str(error) or type(error).__name__
                logger.warning("the stream of runs cannot be heard: %s", self.trouble)
            self._stopping.wait(_PATIENCE.delay(tries))

    def _subscribe(self, catalog: Catalog) -> None:
        """Listen until the connection is let go or cannot be had again."""
        raw: Any = catalog.raw
        subscription = raw.subscribe()
        if raw.context.api_key is not None:
            subscription._context = _OwnKey(raw.context)
        # Weakly referenced there: these names keep the callbacks alive.
        heard, gone = self._heard, threading.Event()
        subscription.child_created.add_callback(heard)
        subscription.child_metadata_updated.add_callback(heard)
        with self._lock:
            if self._stopping.is_set():
                return
            self._subscription = subscription
        watcher = threading.Thread(target=self._watch, args=(subscription, gone), daemon=True)
        watcher.start()
        try:
            subscription.start(max_size=LARGEST_MESSAGE)
        finally:
            gone.set()
            watcher.join()

    def _watch(self, subscription: Any, gone: threading.Event) -> None:
        """Tell of the connection once it is there. The client has an event for that, and no callback."""
        while not gone.is_set():
            if subscription._connected_event.wait(0.2):
                self.trouble = ""
                logger.info("the stream of runs is heard")
                self._connected()
                return

    def _heard(self, update: Any) -> None:
        if isinstance(update.metadata, Mapping):
            self._told(update.metadata)
