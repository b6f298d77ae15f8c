"""A catalog that each Dask worker opens once for all runs of a request: opening it takes a fifth of a small scan."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, cast

from distributed import Client, Worker, WorkerPlugin, get_worker

from gbx_beamline import assemble
from gbx_beamline.config import Config

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog

logger = logging.getLogger(__name__)


@contextmanager
def opened_at_workers(client: Client, config: Config, api_key: str | None) -> Iterator[str]:
    """Have all workers of a cluster keep a catalog open for the length of the ``with`` block.

    Args:
        client: Of the cluster.
        config: Says which catalog.
        api_key: Of the catalog; None = from each worker's environment.

    Yields:
        What a task says to ``catalog_here``.
    """
    name = f"gbx-catalog-{uuid.uuid4().hex}"
    client.register_plugin(_Opened(config, api_key), name=name)
    try:
        yield name
    finally:
        try:
            client.unregister_worker_plugin(name)
        except Exception as error:  # noqa: BLE001 - a cluster that is gone keeps nothing open
            logger.debug("workers were not told to close the catalog: %s", error)


@contextmanager
def catalog_here(name: str) -> Iterator[Catalog]:
    """The catalog that the worker of this task keeps open.

    Raises:
        CatalogError, ServiceError: as ``assemble.open_catalog``, where this task is the first.
    """
    with cast(_Opened, get_worker().plugins[name]).used() as catalog:
        yield catalog


class _Opened(WorkerPlugin):
    """Opened by the first task, which hears of what is wrong; closed when nobody uses it any more."""

    def __init__(self, config: Config, api_key: str | None) -> None:
        self._config, self._api_key = config, api_key

    def setup(self, worker: Worker) -> None:  # noqa: ARG002 - as distributed calls it
        """At each worker, also at those that come later."""
        self._lock, self._open = threading.Lock(), ExitStack()
        self._catalog: Catalog | None = None
        self._users, self._wanted = 0, True

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002 - as distributed calls it
        """A task that cannot be called back any more, as after Ctrl-C, goes on to its end."""
        with self._lock:
            self._wanted = False
            self._close_unused()

    @contextmanager
    def used(self) -> Iterator[Any]:
        with self._lock:
            if self._catalog is None:
                opening = assemble.open_catalog(self._config, api_key=self._api_key)
                self._catalog = self._open.enter_context(opening)
            self._users += 1
        try:
            yield self._catalog
        finally:
            with self._lock:
                self._users -= 1
                self._close_unused()

    def _close_unused(self) -> None:
        if not self._wanted and not self._users:
            self._open.close()
            self._catalog = None
