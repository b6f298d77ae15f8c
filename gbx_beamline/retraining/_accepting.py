"""Which scans are accepted: by a rule that needs nobody, and by people, who have the last word.

The rule: complete, unflagged, measured and not simulated, and the newest answer of a model is that of a grain boundary
like those it was trained on. It reads pointers alone.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gbx_beamline.catalog import (
    Entry,
    Listing,
    RecordSummary,
    acceptances,
    find_record,
    list_entries,
    summary_of,
)
from gbx_beamline.config import RetrainingConfig
from gbx_beamline.errors import RunNotFoundError

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog

BY_RULE = "by rule"

RULE: Mapping[str, Any] = {
    "version": 1,
    "says": "complete, no flag of the record, no simulation, judged a grain boundary, no flag that doubts it",
}
"""What a data set tells of the rule it was gathered by."""

_SECONDS_A_DAY = 86400.0


@dataclass(frozen=True, kw_only=True)
class AcceptedScan:
    """A scan that belongs to the next data set."""

    run_uid: str
    record: str
    """Key of the correlation record."""
    sample: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What was found."""

    scans: tuple[AcceptedScan, ...]
    """The newest that there are, in the order of their keys: the same scans make the same model."""
    refused: Mapping[str, int]
    """How many scans were not accepted, by reason."""


def gather(catalog: Catalog, settings: RetrainingConfig, *, now: float | None = None) -> Gathered:
    """The accepted scans of a catalog.

    Args:
        catalog: Where to look.
        settings: how far back, and how many.
        now: Unix time, s; None = now.

    Raises:
        CatalogError: the catalog is unreachable.
    """
    since = (time.time() if now is None else now) - settings.look_back_days * _SECONDS_A_DAY
    said = acceptances(catalog)
    by_person = [one for one in said.values() if one.accepted]
    scans = [scan for one in reversed(by_person) if (scan := _of_person(catalog, one.run_uid, one.why)) is not None]
    refused: Counter[str] = Counter({"withdrawn by a person": len(said) - len(by_person)})
    for answer in newest_answers(catalog, since):
        if len(scans) >= settings.most:
            break
        uid = str(answer.facts["run"])
        if uid in said:
            continue
        reason = _against_answer(answer.facts)
        record = summary_of(catalog, answer.facts["record"]) if not reason else None
        reason = reason or _against_record(record)
        if reason or record is None:
            refused[reason] += 1
        else:
            scans.append(_scan(record, BY_RULE))
    scans = sorted(scans[: settings.most], key=lambda scan: scan.record)
    return Gathered(scans=tuple(scans), refused={reason: count for reason, count in refused.items() if count})


def _of_person(catalog: Catalog, uid: str, why: str) -> AcceptedScan | None:
    try:
        record = find_record(catalog, uid)
    except RunNotFoundError:
        return None
    return None if record.failed else _scan(record, why)


def newest_answers(catalog: Catalog, since: float) -> Iterator[Entry]:
    """The newest answer about each run, newest first."""
    seen: set[str] = set()
    for page in list_entries(catalog, Listing.INFERENCES, since=since):
        for entry in page:
            uid = str(entry.facts["run"])
            if uid not in seen:
                seen.add(uid)
                yield entry


def _against_answer(facts: Mapping[str, Any]) -> str:
    """Why an answer accepts no scan; empty where it does."""
    from gbx_beamline.learning.belief import DOUBTS

    if facts["status"] != "complete":
        return "outside of the model's contract"
    codes = [str(flag["code"]).split(":")[0] for flag in facts["flags"] or ()]
    return next((f"flag of the model: {code}" for code in codes if code in DOUBTS), "")


def _against_record(record: RecordSummary | None) -> str:
    if record is None or record.failed:
        return "not analysed"
    if record.metadata["scan"].get("truth"):
        return "simulated"
    return "flag of the record" if record.metadata["flags"] else ""


def _scan(record: RecordSummary, why: str) -> AcceptedScan:
    meta = record.metadata
    return AcceptedScan(run_uid=record.run_uid, record=record.key, sample=meta["sample"] or "", why=why)
