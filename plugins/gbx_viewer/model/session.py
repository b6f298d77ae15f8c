"""The connection to a catalog: opened when it is needed, given up when it breaks, opened anew after a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from gbx_beamline import assemble
from gbx_beamline.catalog import Catalog
from gbx_beamline.config import Config
from gbx_beamline.errors import CatalogError, CatalogUnreachableError, GbxError, ServiceError

T = TypeVar("T")

FIRST_WAIT, LONGEST_WAIT = 1.0, 15.0
"""s between two tries to connect; doubled from try to try."""


@dataclass(frozen=True)
class Standing:
    """How the connection is."""

    connected: bool
    address: str
    """Of the server; empty before one was found."""
    trouble: GbxError | None
    """Why there is no connection."""
    since: float
    """Unix time, s, of the last change between connected and not."""
    read: float
    """Unix time, s, of the last answer; 0 = none so far. What is shown is as old as this."""
    next_try: float
    """Unix time, s, before which nobody tries again."""

    @property
    def stale(self) -> bool:
        """True where something is shown that may not be so any more."""
        return not self.connected and self.read > 0


class Session:
    """One catalog, from any thread. Readers call ``read``; nothing here writes.

    Args:
        config: Says which catalog.
        clock: Unix time, s.
    """

    def __init__(self, config: Config, *, clock: Callable[[], float] = time.time) -> None:
        self.config = config
        self._clock = clock
        self._lock = threading.RLock()
        self._stack = ExitStack()
        self._catalog: Catalog | None = None
        self._readers = 0
        self._wait = FIRST_WAIT
        self._ended = False
        self._urgent = threading.Event()
        self._outdated: list[ExitStack] = []
        self._standing = Standing(False, assemble.server_address(config) or "", None, clock(), 0.0, 0.0)

    @property
    def standing(self) -> Standing:
        """How the connection is now."""
        return self._standing

    def read(self, what: Callable[[Catalog], T]) -> T:
        """What a function reads from the catalog, over an open connection.

        Args:
            what: Called with the catalog.

        Raises:
            CatalogUnreachableError: no connection, and it is too early to try again; or it broke.
            GbxError: as ``what`` says; the connection stands.
        """
        with self._reader() as catalog:
            try:
                found = what(catalog)
            except CatalogUnreachableError as error:
                self._broke(catalog, error)
                raise
        with self._lock:
            if catalog is self._catalog:
                self._stand(connected=True, trouble=None, read=self._clock())
        return found

    def retry(self) -> None:
        """The next reader tries to connect at once."""
        # Not under the lock, which is held for as long as a server takes to start.
        self._urgent.set()

    def close(self) -> None:
        """Give the connection back when its last reader has finished; no reader gets another."""
        with self._lock:
            self._ended = True
            self._outdated.append(self._stack)
            self._stack, self._catalog = ExitStack(), None
            self._give_back()

    @contextmanager
    def _reader(self) -> Iterator[Catalog]:
        with self._lock:
            catalog = self._open()
            self._readers += 1
        try:
            yield catalog
        finally:
            with self._lock:
                self._readers -= 1
                self._give_back()

    def _open(self) -> Catalog:
        if self._ended:
            raise CatalogUnreachableError("the viewer is closing", needed="a viewer", action="start it again")
        if self._catalog is not None:
            return self._catalog
        standing = self._standing
        if standing.trouble is not None and self._clock() < standing.next_try and not self._urgent.is_set():
            raise standing.trouble
        self._urgent.clear()
        try:
            self._catalog = self._stack.enter_context(assemble.open_catalog(self.config, must_exist=True))
        except (CatalogError, ServiceError) as error:
            self._failed(error)
            raise
        self._wait = FIRST_WAIT
        self._stand(connected=True, trouble=None, address=self._catalog.uri)
        return self._catalog

    def _broke(self, catalog: Catalog, error: GbxError) -> None:
        with self._lock:
            if catalog is self._catalog:
                # Others may be reading over it: the last one closes it.
                self._outdated.append(self._stack)
                self._stack, self._catalog = ExitStack(), None
                self._failed(error)

    def _failed(self, error: GbxError) -> None:
        self._stand(connected=False, trouble=error, next_try=self._clock() + self._wait)
        self._wait = min(2 * self._wait, LONGEST_WAIT)

    def _give_back(self) -> None:
        if not self._readers:
            while self._outdated:
                self._outdated.pop().close()

    def _stand(
        self,
        *,
        connected: bool | None = None,
        trouble: GbxError | None = None,
        address: str | None = None,
        read: float | None = None,
        next_try: float | None = None,
    ) -> None:
        was = self._standing
        now = was.connected if connected is None else connected
        self._standing = Standing(
            connected=now,
            address=was.address if address is None else address,
            trouble=was.trouble if connected is None else trouble,
            since=was.since if now == was.connected else self._clock(),
            read=was.read if read is None else read,
            next_try=was.next_try if next_try is None else next_try,
        )
