"""Proposals that have frozen their model and are measuring now."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from gbx_beamline.config import Config

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog

_SECONDS_AN_HOUR = 3600.0


def frozen_under_way(catalog: Catalog, config: Config, *, now: float | None = None) -> dict[str, float]:
    """Models that are frozen for a proposal which has started a run lately.

    Args:
        catalog: Where the raw runs are.
        config: ``models.frozen``, and ``retraining.quiet_hours``.
        now: Unix time, s; None = now.

    Returns:
        Start of the newest run of such a proposal (Unix time, s), by the model that is frozen for it.

    Raises:
        CatalogError: the catalog is unreachable.
    """
    from tiled.queries import Key

    from gbx_beamline.catalog.connect import said_in_words

    if not config.models.frozen:
        return {}
    moment = time.time() if now is None else now
    since = moment - config.retraining.quiet_hours * _SECONDS_AN_HOUR
    frozen, found = set(config.models.frozen.values()), dict[str, float]()
    with said_in_words(catalog.uri):
        runs: Any = catalog.raw.search(Key("start.time") > since)
        for run in runs.values():
            start = run.metadata.get("start") or {}
            judge = config.models.judge_of(start)
            # `models.model` may name a model by its id, too: that is no proposal's.
            if judge in frozen and judge != config.models.model:
                found[judge] = max(float(start["time"]), found.get(judge, 0.0))
    return found
