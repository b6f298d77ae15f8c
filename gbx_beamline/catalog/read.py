"""Reading results: pointers for lists, pointers and arrays for whole records."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from gbx_beamline.catalog import schema
from gbx_beamline.catalog.connect import SHORTEST_UID, Catalog, having, of_uid, said_in_words
from gbx_beamline.errors import RunNotFoundError
from gbx_beamline.records import Provenance, ScanFailure, ScanInfo, ScanResult


@dataclass(frozen=True)
class RecordSummary:
    """One record as its pointer tells it, without arrays."""

    key: str
    metadata: Mapping[str, Any]

    @property
    def failed(self) -> bool:
        """True for a failure."""
        return self.metadata["status"] == "failed"

    @property
    def run_uid(self) -> str:
        """uid of the raw run."""
        return self.metadata["run_uid"]


def find_records(
    catalog: Catalog,
    *,
    run_uid: str | None = None,
    sample: str | None = None,
    with_superseded: bool = False,
    newest: int | None = None,
) -> list[RecordSummary]:
    """Summaries of the records, oldest first.

    Args:
        catalog: Where to look.
        run_uid: Only those of this run.
        sample: Only those of this sample.
        with_superseded: Also failures of runs that were analysed successfully later with the same settings.
        newest: At most so many, the last that the catalog got; each is 40 kB. None = all.
    """
    with said_in_words(catalog.uri):
        if not catalog.has_shelf(schema.RECORDS):
            return []
        records: Any = catalog.shelf(schema.RECORDS)
        if run_uid is not None:
            records = having(catalog, records, "run_uid", run_uid)
        if sample is not None:
            records = having(catalog, records, "sample", sample)
        items = records.items() if newest is None else records.items().tail(newest)
        found = [RecordSummary(key, dict(node.metadata)) for key, node in items]
    if not with_superseded:
        done = {summary.metadata["identity"] for summary in found if not summary.failed}
        found = [s for s in found if not s.failed or s.metadata["identity"] not in done]
    return sorted(found, key=lambda summary: summary.metadata["created"])


def find_terminal(catalog: Catalog, scan: ScanInfo, provenance: Provenance) -> RecordSummary | None:
    """The result of this identity, or else its failure, or None when it was never analysed."""
    key = schema.identity(scan, provenance)
    with said_in_words(catalog.uri):
        try:
            records: Any = catalog.shelf(schema.RECORDS)
        except KeyError:
            return None
        for candidate in (key, f"{key}-failed"):
            try:
                return RecordSummary(candidate, dict(records[candidate].metadata))
            except KeyError:
                continue
    return None


def find_for_rule(catalog: Catalog, run_uid: str, *, rule: str, settings_hash: str) -> RecordSummary | None:
    """The record by which a run is settled for a selection rule, or None where it still wants analysis.

    That is one which this rule or these settings made, whoever asked for them: settings that changed since make no
    second record by themselves. A result comes before a failure.

    Args:
        catalog: Where to look.
        run_uid: uid of the run, whole.
        rule: Name of the rule.
        settings_hash: Hash of the settings of this rule for this run.
    """
    settled = [
        record
        for record in find_records(catalog, run_uid=run_uid)
        if (made_by := record.metadata["provenance"]).get("rule") == rule
        or settings_hash in (made_by.get("settings_hash"), made_by.get("config_hash"))
    ]
    return max(settled, key=lambda record: not record.failed, default=None)


def summary_of(catalog: Catalog, key: str) -> RecordSummary:
    """One record as its pointer tells it.

    Raises:
        RunNotFoundError: no such record.
    """
    with said_in_words(catalog.uri):
        try:
            return RecordSummary(key, dict(catalog.shelf(schema.RECORDS)[key].metadata))
        except KeyError as error:
            raise RunNotFoundError(
                f"no record {key!r} in {catalog.uri}",
                needed="the key of a published record",
                action="list them with `gbx results`",
            ) from error


def load_record(catalog: Catalog, key: str) -> ScanResult | ScanFailure:
    """A whole record.

    Args:
        catalog: Where it is.
        key: Key of its pointer.

    Raises:
        RunNotFoundError: no such record.
        SchemaError: written by another schema version.
    """
    with said_in_words(catalog.uri):
        metadata = summary_of(catalog, key).metadata
        schema.check_schema(metadata, key)
        if metadata["status"] == "failed":
            return schema.failure_from(metadata)
        found = dict(catalog.shelf(schema.ATTEMPTS)[metadata["attempt"]].items())
        with ThreadPoolExecutor(4) as pool:
            arrays = dict(zip(found, pool.map(lambda array: array.read(), found.values()), strict=True))
    return schema.result_from(metadata, arrays)


def find_record(catalog: Catalog, uid: str) -> RecordSummary:
    """The newest record of one run.

    Args:
        catalog: Where to look.
        uid: uid of the run, or the start of it.

    Raises:
        RunNotFoundError: no record of such a run, or several runs start so.
    """
    with said_in_words(catalog.uri):
        found: list[RecordSummary] = []
        if catalog.has_shelf(schema.RECORDS):
            records: Any = of_uid(catalog, catalog.shelf(schema.RECORDS), "run_uid", uid)
            found = [RecordSummary(key, dict(node.metadata)) for key, node in records.items()]
    runs = {record.run_uid for record in found}
    if len(runs) != 1 or len(uid) < SHORTEST_UID:
        raise RunNotFoundError(
            f"{len(runs) or 'no'} analysed runs start with {uid!r}",
            needed=f"the uid of one analysed run, or at least its first {SHORTEST_UID} characters",
            action="list them with `gbx results`, or analyse the run with `gbx analyze UID`",
        )
    # Results before failures, new before old.
    return max(found, key=lambda record: (not record.failed, record.metadata["created"]))
