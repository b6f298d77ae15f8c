"""Long lists for a screen: slim entries, newest first, page by page, or only what came since the last look.

A record's pointer holds some 40 kB of numbers. The server cuts out of each what a list shows, so that 10,000 runs are
30 MB instead of 400, and the look every second after that is one small request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any

from tiled.client.utils import handle_error

from gbx_beamline.catalog.connect import Catalog, said_in_words
from gbx_beamline.catalog.inference_schema import INFERENCES
from gbx_beamline.catalog.schema import RECORDS

PAGE = 100
"""Entries of one request: few enough that decoding them does not hold up a program that also draws."""

FIRST_LOOK = 25
"""Entries of the first request for what is new: mostly nothing is, and the server decodes 40 kB for each."""

_RECORD = """{schema: schema_version, run: run_uid, sample: sample, temperature: temperature, started: started,
created: created, status: status, kind: kind, reason: reason, frames: frames, frame_time: frame_time, flags: flags,
photons: exposure.photons,
rule: provenance.rule, settings: provenance.config_hash, algorithm: provenance.algorithm_version,
rois: rois[].{name: name, q_par: q_par, q_z: q_z, pixels: pixels, mean_counts: mean_counts,
contrast: nonequilibrium.contrast, status: nonequilibrium.status, s_noneq: nonequilibrium.s_noneq,
s_noneq_norm: nonequilibrium.s_noneq_norm, bare_drift: nonequilibrium.drift_rms_over_contrast,
corrected_status: nonequilibrium.corrected_status, value: nonequilibrium.corrected.value,
low: nonequilibrium.corrected.low, high: nonequilibrium.corrected.high,
drift: nonequilibrium.corrected.drift_rms_over_contrast,
cell: nonequilibrium.corrected.cell, window: nonequilibrium.corrected.window,
by_age: nonequilibrium.corrected.by_age[].{start: start, stop: stop, value: value,
low: low, high: high}}}"""

_INFERENCE = """{version: inference_version, record: record, model: model_id, run: run_uid, sample: sample,
temperature: temperature, created: created, status: status, kind: refusal.kind, reason: refusal.reason,
parameters: inference.parameters, flags: inference.flags, probabilities: inference.probabilities,
place: inference.place, ood_score: inference.ood_score}"""

_RUN = """{uid: start.uid, time: start.time, sample: start.sample, temperature: start.temperature,
T_sample: start.T_sample, plan: start.plan_name, stopped: stop.time, exit: stop.exit_status, reason: stop.reason}"""


class Listing(Enum):
    """What can be listed, and the names that its entries' facts have."""

    RECORDS = RECORDS
    """schema, run, sample, temperature, started, created, status, kind, reason, frames, frame_time, flags, photons
    (onto the spot), rule, settings, algorithm, rois (each with name, q_par, q_z, pixels, mean_counts, contrast, status,
    s_noneq, s_noneq_norm, bare_drift, corrected_status, value, low, high, drift, cell, window, by_age)."""
    INFERENCES = INFERENCES
    """version, record, model, run, sample, temperature, created, status, kind (of a refusal), reason, parameters,
    flags, probabilities, place, ood_score."""
    RUNS = "raw"
    """uid, time, sample, temperature, T_sample, plan, stopped, exit, reason: from start and stop documents."""


_FACTS = {Listing.RECORDS: _RECORD, Listing.INFERENCES: _INFERENCE, Listing.RUNS: _RUN}
_MOMENT = {Listing.RECORDS: "created", Listing.INFERENCES: "created", Listing.RUNS: "time"}


@dataclass(frozen=True)
class Entry:
    """One node of a list."""

    key: str
    facts: Mapping[str, Any]
    """By the names of its ``Listing``; None where the node does not say it."""


def list_entries(
    catalog: Catalog, what: Listing, *, since: float | None = None, most: int | None = None
) -> Iterator[list[Entry]]:
    """Entries page by page, newest first in the order in which the catalog got them.

    That order costs the server nothing, whereas by a fact it would read every record for every page. What is published
    while pages are read moves older entries to later pages: some may come twice, none is missed.

    Args:
        catalog: Where to look.
        what: Which list.
        since: Unix time, s: only what was created (runs: started) after it. The search ends with a page that has
            nothing so new.
        most: Entries at most.

    Yields:
        At most ``PAGE`` entries; nothing where the list does not exist yet.

    Raises:
        CatalogError: the catalog is unreachable or refuses.
    """
    asked, link = _question(what), _link(catalog, what)
    http, offset = catalog.root.context.http_client, 0
    with said_in_words(catalog.uri):
        while most is None or offset < most:
            limit = PAGE if since is None or offset else FIRST_LOOK
            limit = limit if most is None else min(limit, most - offset)
            answer: Any = http.get(link, params=asked | {"page[offset]": offset, "page[limit]": limit})
            if answer.status_code == HTTPStatus.NOT_FOUND:
                return
            handle_error(answer)
            found = answer.json()["data"]
            entries = [Entry(one["id"], _selected(one)) for one in found]
            wanted = entries if since is None else [one for one in entries if moment_of(what, one) > since]
            if wanted:
                yield wanted
            if len(found) < limit or not wanted:
                return
            offset += len(found)


def moment_of(what: Listing, entry: Entry) -> float:
    """Unix time at which an entry was created (a run: started), s; 0 where it does not say."""
    value: Any = entry.facts.get(_MOMENT[what])
    return float(value) if isinstance(value, int | float) else 0.0


def _link(catalog: Catalog, what: Listing) -> str:
    """Tiled's search route of a list, whether or not the list exists: asking for that would double the requests."""
    if what is Listing.RUNS:
        return catalog.raw.item["links"]["search"]
    return f"{catalog.processed.item['links']['search'].rstrip('/')}/{what.value}"


def _question(what: Listing) -> dict[str, Any]:
    """Parameters of Tiled's search route, all but the page."""
    return {"fields": "metadata", "omit_links": "true", "sort": "-", "select_metadata": _FACTS[what]}


def _selected(item: Mapping[str, Any]) -> Mapping[str, Any]:
    # A node without any metadata has none to select from.
    return ((item["attributes"] or {}).get("metadata") or {}).get("selected") or {}
