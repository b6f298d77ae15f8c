"""Runs of the commissioning suite in a catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiled.queries import Key

from gbx_beamline.catalog.connect import Catalog, said_in_words
from gbx_beamline.errors import RunNotFoundError

SUITE = "gbx"
"""``start.commissioning.suite`` of every run of the suite."""


@dataclass(frozen=True)
class CampaignRun:
    """One run that a commissioning plan has taken."""

    uid: str
    start: Mapping[str, Any]
    """Its start document."""

    @property
    def said(self) -> Mapping[str, Any]:
        """Campaign, trial, part and what is expected."""
        return self.start["commissioning"]


def find_campaign(catalog: Catalog, name: str | None = None) -> list[CampaignRun]:
    """Finished runs of one campaign, oldest first.

    Args:
        catalog: Where to look.
        name: Of the campaign; None takes that of the newest run.

    Raises:
        RunNotFoundError: there is none.
    """
    with said_in_words(catalog.uri):
        found: Any = catalog.raw.search(Key("start.commissioning.suite") == SUITE)
        if name is not None:
            found = found.search(Key("start.commissioning.campaign") == name)
        metadata = [dict(node.metadata) for _, node in found.items()]
    runs = [CampaignRun(one["start"]["uid"], one["start"]) for one in metadata if one.get("stop")]
    runs.sort(key=lambda run: run.start["time"])
    if not runs:
        raise RunNotFoundError(
            "no finished commissioning run" + ("" if name is None else f" of campaign {name!r}"),
            needed="runs of the plans in gbx_bluesky.commissioning",
            action="measure them first (docs/how-to/commission.md), or rehearse with `gbx demo --commission`",
        )
    chosen = name or runs[-1].said["campaign"]
    return [run for run in runs if run.said["campaign"] == chosen]
