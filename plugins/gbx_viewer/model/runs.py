"""One row per run: what the raw run, its records, its live record and a model say of it, newest first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from gbx_beamline.catalog import Entry, LiveSummary
from gbx_beamline.catalog.schema import check_schema
from gbx_beamline.errors import SchemaError
from gbx_viewer.model.facts import (
    InferenceFacts,
    LiveFacts,
    RoiFacts,
    inference_facts,
    live_facts,
    live_rois,
    number,
    roi_facts,
)


class Status(StrEnum):
    """Where a run stands, in the words of the list."""

    RUNNING = "running"
    STALE = "stale"
    """Still open, but nothing comes any more."""
    WAITING = "waiting"
    """Ended, and not analysed so far."""
    ANALYSED = "analysed"
    FAILED = "failed"
    UNREADABLE = "other release"
    """Analysed by a release whose records this one cannot read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run."""

    uid: str
    sample: str
    """Empty where the run names none."""
    temperature: float
    """K; NaN = not recorded."""
    started: float
    """Unix time, s; NaN = not recorded."""
    status: Status
    why: str
    """Reason of a failure, of staleness, of what cannot be read; in words."""
    record: str
    """Key of the newest result, or of the failure; empty without any."""
    records: int
    """That the run has, failures included."""
    photons: float
    """Onto the spot in this scan; NaN = not known."""
    rois: tuple[RoiFacts, ...]
    flags: tuple[str, ...]
    inference: InferenceFacts | None
    live: LiveFacts | None

    @property
    def headline(self) -> RoiFacts | None:
        """The q-ROI that tells most; None without any."""
        return max(self.rois, key=lambda roi: roi.information, default=None)

    @property
    def order(self) -> tuple[float, str]:
        """By which rows are sorted."""
        return (self.started if math.isfinite(self.started) else 0.0, self.uid)

    def roi(self, name: str | None) -> RoiFacts | None:
        """The q-ROI of this name, else the headline's."""
        return next((roi for roi in self.rois if roi.name == name), self.headline)


@dataclass
class _Known:
    """What was heard of one run."""

    run: Mapping[str, Any] = field(default_factory=dict)
    records: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    inferences: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    """Newest of each record: key and facts."""
    live: LiveSummary | None = None


class RunBook:
    """All runs that were heard of. Not for several threads at once."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._rows: dict[str, RunRow] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, uid: str) -> RunRow | None:
        """The run of this uid."""
        return self._rows.get(uid)

    def rows(self) -> list[RunRow]:
        """All, newest first."""
        return sorted(self._rows.values(), key=lambda row: row.order, reverse=True)

    def open_since(self) -> float | None:
        """Unix time, s, of the earliest start of a run that had not ended when it was heard of; None without any."""
        return min(
            (k.run["time"] for k in self._known.values() if k.run.get("time") is not None and not k.run["stopped"]),
            default=None,
        )

    def hear_runs(self, entries: Iterable[Entry]) -> set[str]:
        """Take raw runs in; uids of the rows that changed."""
        heard = {one.facts["uid"]: one.facts for one in entries if one.facts.get("uid")}
        for uid, facts in heard.items():
            self._of(uid).run = facts
        return self._renew(heard)

    def hear_records(self, entries: Iterable[Entry]) -> set[str]:
        """Take records in; uids of the rows that changed."""
        heard = [one for one in entries if one.facts.get("run")]
        for one in heard:
            self._of(one.facts["run"]).records[one.key] = one.facts
        return self._renew(one.facts["run"] for one in heard)

    def hear_inferences(self, entries: Iterable[Entry]) -> set[str]:
        """Take what models say in; uids of the rows that changed."""
        heard = [one for one in entries if one.facts.get("run")]
        for one in heard:
            said = self._of(one.facts["run"]).inferences
            before = said.get(one.facts["record"])
            if before is None or before[1]["created"] <= one.facts["created"]:
                said[one.facts["record"]] = one.key, one.facts
        return self._renew(one.facts["run"] for one in heard)

    def hear_live(self, summaries: Sequence[LiveSummary]) -> set[str]:
        """Take all live records in, those that are gone left out; uids of the rows that changed."""
        now: dict[str, LiveSummary] = {}
        for one in sorted(summaries, key=lambda summary: summary.changed):
            # Of several rules the one that goes on counts.
            if one.run_uid not in now or one.state == "running" or now[one.run_uid].state != "running":
                now[one.run_uid] = one
        gone = {uid for uid, known in self._known.items() if known.live is not None and uid not in now}
        for uid in gone:
            self._known[uid].live = None
        for uid, one in now.items():
            self._of(uid).live = one
        return self._renew([*gone, *now])

    def _of(self, uid: str) -> _Known:
        return self._known.setdefault(uid, _Known())

    def _renew(self, uids: Iterable[str]) -> set[str]:
        changed = set()
        for uid in uids:
            row = _row(uid, self._known[uid])
            if self._rows.get(uid) != row:
                self._rows[uid] = row
                changed.add(uid)
        return changed


def _row(uid: str, known: _Known) -> RunRow:
    key = max(known.records, key=lambda k: _rank(known.records[k]), default="")
    facts = known.records.get(key, {})
    live = known.live
    status, why = _standing(known, facts)
    scan = facts or (dict(live.metadata["scan"]) if live is not None else {})
    rois = tuple(roi_facts(one) for one in facts.get("rois") or ()) if status is Status.ANALYSED else ()
    said = known.inferences.get(key)
    return RunRow(
        uid=uid,
        sample=_text(known.run.get("sample")) or _text(scan.get("sample")),
        temperature=_temperature(known.run, scan),
        started=number(scan.get("started") if known.run.get("time") is None else known.run["time"]),
        status=status,
        why=why,
        record=key,
        records=len(known.records),
        photons=number(facts.get("photons")),
        rois=rois or (live_rois(live) if live is not None and not facts else ()),
        flags=tuple(facts.get("flags") or (live.metadata.get("flags") if live is not None and not facts else ()) or ()),
        inference=None if said is None or status is not Status.ANALYSED else inference_facts(*said),
        live=None if live is None else live_facts(live),
    )


def _rank(facts: Mapping[str, Any]) -> tuple[bool, bool, float]:
    """Results before failures, readable before others, new before old."""
    return facts["status"] != "failed", not _unreadable(facts.get("schema")), number(facts.get("created"))


@lru_cache
def _unreadable(version: Any) -> str:
    """Why records of a schema version cannot be read; empty where they can."""
    try:
        check_schema({"schema_version": version}, "of this run")
    except SchemaError as error:
        return str(error)
    return ""


def _standing(known: _Known, facts: Mapping[str, Any]) -> tuple[Status, str]:
    if facts and (unreadable := _unreadable(facts.get("schema"))):
        return Status.UNREADABLE, unreadable
    if facts:
        failed = facts["status"] == "failed"
        return (Status.FAILED, str(facts.get("reason"))) if failed else (Status.ANALYSED, "")
    live, stopped = known.live, bool(known.run.get("stopped"))
    if live is not None and live.state in ("stale", "failed") and not stopped:
        return Status.STALE, str(live.metadata.get("reason") or "no data files come any more")
    if stopped or (live is not None and live.state == "ended"):
        exit_status = known.run.get("exit")
        aborted = exit_status not in (None, "success")
        return (
            Status.WAITING,
            f"the run ended by {exit_status}: {known.run.get('reason') or 'no reason given'}" if aborted else "",
        )
    return Status.RUNNING, ""


def _temperature(run: Mapping[str, Any], scan: Mapping[str, Any]) -> float:
    from gbx_beamline.pipeline import describe_start

    if scan.get("temperature") is not None:
        return number(scan["temperature"])
    return number(describe_start(dict(run), source="").temperature) if run.get("uid") else math.nan


def _text(value: Any) -> str:
    """A sample may be written as a mapping with a name."""
    name = value.get("name") if isinstance(value, Mapping) else value
    return "" if name is None else str(name)
