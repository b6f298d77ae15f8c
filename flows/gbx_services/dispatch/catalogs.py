"""A catalog that stays open as long as it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from gbx_beamline.catalog import Catalog
from gbx_beamline.errors import CatalogError, RunNotFoundError, ServiceError


class KeptCatalog:
    """One connection for one thread, made anew after trouble: the server may have another address by then.

    Args:
        open_catalog: Opens the catalog, wherever it answers.
    """

    def __init__(self, open_catalog: Callable[[], AbstractContextManager[Catalog]]) -> None:
        self._open_catalog = open_catalog
        self._open = ExitStack()
        self._catalog: Catalog | None = None

    @contextmanager
    def __call__(self) -> Iterator[Catalog]:
        """The catalog, for as long as the block lasts."""
        try:
            if self._catalog is None:
                self._catalog = self._open.enter_context(self._open_catalog())
            yield self._catalog
        except RunNotFoundError:
            raise
        except (CatalogError, ServiceError):
            self.close()
            raise

    def close(self) -> None:
        """Give the connection back."""
        self._catalog = None
        self._open.close()
