"""The list of runs, kept up to date by looking for what is new."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from gbx_beamline.catalog import Catalog, Listing, find_live, list_entries, moment_of
from gbx_viewer.model.runs import RunBook

OVERLAP = 120.0
"""s before the newest entry that are looked at again: clocks of writers differ, and a record appears after it is
dated."""

MOST_RUNS = 20_000
"""That are listed; older ones are for `gbx results`."""

_LONGEST_OPEN = 86400.0
"""s: a run without a stop document that is older has lost it."""


class RunFeed:
    """Fills a ``RunBook`` from a catalog.

    Args:
        clock: Unix time, s.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.book = RunBook()
        self._clock = clock
        self._newest: dict[Listing, float] = {}
        self._whole: set[Listing] = set()
        """Lists that were read to their end once."""

    def look(self, catalog: Catalog, changed: Callable[[set[str]], None]) -> None:
        """Look for what is new. The first look is long and tells of each page.

        Args:
            catalog: Where to look.
            changed: Told uids of rows that changed, page by page.

        Raises:
            CatalogError: what was read before stands, the next look goes on.
        """
        self._take(changed, self.book.hear_live(find_live(catalog)))
        for what, hear in (
            (Listing.RUNS, self.book.hear_runs),
            (Listing.RECORDS, self.book.hear_records),
            (Listing.INFERENCES, self.book.hear_inferences),
        ):
            since = self._since(what)
            newest = self._newest.get(what, 0.0)
            for page in list_entries(catalog, what, since=since, most=MOST_RUNS):
                newest = max([newest, *(moment_of(what, one) for one in page)])
                self._take(changed, hear(page))
            # Only now: a look that broke off in the middle must not hide the older half from the next.
            self._newest[what] = newest
            self._whole.add(what)

    def _since(self, what: Listing) -> float | None:
        if what not in self._whole:
            return None
        since = self._newest[what] - OVERLAP
        if what is Listing.RUNS and (opened := self.book.open_since()) is not None:
            # An open run's stop document changes what started long ago.
            since = min(since, max(opened - 1.0, self._clock() - _LONGEST_OPEN))
        return since

    @staticmethod
    def _take(changed: Callable[[set[str]], None], uids: Iterable[str]) -> None:
        if found := set(uids):
            changed(found)
