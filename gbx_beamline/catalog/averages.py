"""Averages over repeats: written once, found by sample or by run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiled.queries import Key

from gbx_beamline.catalog import average_schema, schema
from gbx_beamline.catalog.connect import Catalog, said_in_words
from gbx_beamline.errors import RunNotFoundError
from gbx_beamline.records import RepeatsAverage


@dataclass(frozen=True)
class AverageSummary:
    """One average as its pointer tells it, without arrays."""

    key: str
    metadata: Mapping[str, Any]

    @property
    def members(self) -> tuple[str, ...]:
        """Keys of the correlation records that entered."""
        return tuple(self.metadata["members"])


def find_averages(catalog: Catalog, *, sample: str | None = None, run_uid: str | None = None) -> list[AverageSummary]:
    """Averages, oldest first.

    Args:
        catalog: Where to look.
        sample: Only of this sample.
        run_uid: Only those that this run entered.
    """
    with said_in_words(catalog.uri):
        if not catalog.has_shelf(average_schema.AVERAGES):
            return []
        found: Any = catalog.shelf(average_schema.AVERAGES)
        if sample is not None:
            found = found.search(Key("sample") == sample)
        summaries = [AverageSummary(key, dict(node.metadata)) for key, node in found.items()]
    if run_uid is not None:
        summaries = [one for one in summaries if run_uid in one.metadata["run_uids"]]
    return sorted(summaries, key=lambda one: one.metadata["created"])


def has_average(catalog: Catalog, key: str) -> bool:
    """Whether there is an average of this key."""
    with said_in_words(catalog.uri):
        return catalog.has_shelf(average_schema.AVERAGES) and key in catalog.shelf(average_schema.AVERAGES)


def load_average(catalog: Catalog, key: str) -> RepeatsAverage:
    """A whole average.

    Args:
        catalog: Where it is.
        key: Key of its pointer.

    Raises:
        RunNotFoundError: no such average.
        SchemaError: written in another version.
    """
    with said_in_words(catalog.uri):
        try:
            metadata = dict(catalog.shelf(average_schema.AVERAGES)[key].metadata)
        except KeyError as error:
            raise RunNotFoundError(
                f"no average {key!r} in {catalog.uri}",
                needed="the key of a published average",
                action="make one with `gbx average`",
            ) from error
        attempt = catalog.shelf(schema.ATTEMPTS)[metadata["attempt"]]
        arrays = {name: attempt[name].read() for name in attempt}
    return average_schema.average_from(metadata, arrays, key)
