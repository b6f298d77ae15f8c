"""Whether this key may read runs and write results, tried out; nothing is left behind."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np

from gbx_beamline.catalog import schema
from gbx_beamline.catalog.attempts import attempts_in
from gbx_beamline.catalog.connect import Catalog, said_in_words

_TRIAL_VALUES = 2**13
"""float64: 64 KiB."""


@dataclass(frozen=True)
class ReadProbe:
    """What could be read."""

    runs: int
    newest: str
    """uid of the newest run; empty where there is none."""
    tags: tuple[str, ...]
    """Its access tags."""
    record_schema: int | None
    """Schema version of the newest record; None where there is none."""
    record: str
    """Its key."""


def probe_reading(catalog: Catalog) -> ReadProbe:
    """Read the newest run and the newest record.

    Raises:
        CatalogError: the catalog is unreachable or refuses.
    """
    with said_in_words(catalog.uri):
        raw: Any = catalog.raw
        runs = len(raw)
        newest = raw.values().last() if runs else None
        start = {} if newest is None else newest.metadata.get("start") or {}
        tags = () if newest is None else catalog.access_tags(newest)
        records: Any = catalog.shelf(schema.RECORDS) if catalog.has_shelf(schema.RECORDS) else {}
        key, record = records.items().last() if len(records) else ("", None)
        version = None if record is None else record.metadata.get("schema_version")
    return ReadProbe(runs, str(start.get("uid", "")), tags, version, key)


def probe_writing(catalog: Catalog, tags: tuple[str, ...] = ()) -> None:
    """Write an attempt where results go, by the way that they go, have the server read it, and remove it.

    Should this process be killed meanwhile, the sweep removes it.

    Args:
        catalog: Where to.
        tags: Access tags of the attempt, as of the runs.

    Raises:
        CatalogError: the catalog is unreachable or refuses.
    """
    with said_in_words(catalog.uri):
        parent: Any = catalog.shelf(schema.ATTEMPTS) if catalog.has_shelf(schema.ATTEMPTS) else catalog.processed
        attempts, key = attempts_in(parent, catalog.store), str(uuid.uuid4())
        # Noise: zarr stores a constant in no bytes at all.
        noise = np.random.default_rng(0).random(_TRIAL_VALUES)
        metadata = {"identity": "trial", "created": time.time(), "published": False}
        attempts.write(key, {"trial": noise}, metadata, list(tags) or None)
        try:
            found = np.asarray(parent[key]["trial"].read())
        finally:
            attempts.remove(key)
    assert np.array_equal(found, noise)
