"""Static references: runs of samples that do not move, and the instrument's floor that they set beside other scans.

A run is one by its start document (``reference: static``) or by a mark in the catalog, because people forget. Marks are
written once and never changed; the newest of a run counts, whatever the start document says.

::

    processed/
      references/<run uid>-<number>      metadata: run_uid, static, by, note, created
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tiled.queries import Key
from tiled.structures.core import Spec

from gbx_beamline.catalog import schema
from gbx_beamline.catalog.connect import Catalog, said_in_words
from gbx_beamline.catalog.facts import facts_from
from gbx_beamline.catalog.marks import add_mark, in_words, newest_marks
from gbx_beamline.catalog.read import RecordSummary, find_record, find_records, summary_of
from gbx_beamline.comparing import Loss, floor_beside, loss_of_contrast, why_not_beside
from gbx_beamline.config import FloorConfig
from gbx_beamline.errors import GeometryError, InputError, RunNotFoundError, SchemaError
from gbx_beamline.records import InstrumentFloor, NoFloor, ScanFacts

REFERENCES = "references"
STATIC = "static"
"""Of ``reference`` in a start document."""

_MARK = Spec("XPCSReferenceMark", "1.0")


def _tags_of(catalog: Catalog, run_uid: str) -> tuple[str, ...]:
    """Access tags for what is said of a run: its own; what was imported has none."""
    try:
        return catalog.access_tags(catalog.run(run_uid))
    except RunNotFoundError:
        return ()


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A run of a sample that does not move."""

    run_uid: str
    why: str
    """Who says so, in words."""
    record: RecordSummary | None
    """Its newest result; None where it was not analysed."""


def mark_reference(catalog: Catalog, uid: str, *, static: bool = True, by: str = "", note: str = "") -> str:
    """Say that a run is, or is not, of a sample that does not move. Nothing is overwritten: the newest mark counts.

    Args:
        catalog: Where the run or its result is.
        uid: Of the run, or the start of it.
        static: False takes a mark, or what the start document says, back.
        by: Who says so.
        note: Why, or what the sample is.

    Returns:
        uid of the run, whole.

    Raises:
        RunNotFoundError: no such run, or several.
        CatalogError: the catalog is unreachable, or takes no marks.
    """
    run_uid = _whole_uid(catalog, uid)
    tags = _tags_of(catalog, run_uid)
    add_mark(catalog, REFERENCES, run_uid, {"static": static}, by=by, note=note, spec=_MARK, access_tags=tags)
    return run_uid


def _whole_uid(catalog: Catalog, uid: str) -> str:
    try:
        return find_record(catalog, uid).run_uid
    except RunNotFoundError:
        return str(catalog.run(uid).metadata["start"]["uid"])


def find_references(catalog: Catalog) -> list[Reference]:
    """The static references of a catalog, oldest run first.

    Args:
        catalog: Where to look.
    """
    marks = newest_marks(catalog, REFERENCES)
    with said_in_words(catalog.uri):
        stated: dict[str, RecordSummary] = {}
        if catalog.has_shelf(schema.RECORDS):
            records: Any = catalog.shelf(schema.RECORDS).search(Key("scan.reference") == STATIC)
            stated = {
                node.metadata["run_uid"]: RecordSummary(key, dict(node.metadata)) for key, node in records.items()
            }
    found = []
    for run_uid in dict.fromkeys([*stated, *marks]):
        mark = marks.get(run_uid)
        if mark is not None and not mark["static"]:
            continue
        results = [one for one in find_records(catalog, run_uid=run_uid) if not one.failed]
        why = "by its start document" if mark is None else in_words(mark)
        found.append(Reference(run_uid=run_uid, why=why, record=results[-1] if results else None))
    return sorted(found, key=_began)


def _began(reference: Reference) -> float:
    return (0.0 if reference.record is None else reference.record.metadata["started"]) or 0.0


def find_floor(
    catalog: Catalog, key: str, settings: FloorConfig, *, reference: str | None = None
) -> InstrumentFloor | NoFloor:
    """What the instrument shows of a sample that does not move, for beside one record. Nothing is subtracted.

    Of the static references of the record's geometry the newest before the scan counts, else the nearest after it.

    Args:
        catalog: Where both are.
        key: Of a correlation record.
        settings: What may differ between reference and scan.
        reference: uid of a run, or its start, that is to be the reference.

    Returns:
        The floor, or why there is none.

    Raises:
        InputError: ``reference`` is of another geometry, or no static reference; the message says what differs.
        RunNotFoundError: no such record or run.
        CatalogError: the catalog is unreachable.
    """
    return Floors(catalog, settings).beside(summary_of(catalog, key), reference=reference)


@dataclass
class Floors:
    """Floors beside many records of a catalog: its references are looked up once."""

    catalog: Catalog
    settings: FloorConfig
    _references: list[tuple[Reference, ScanFacts | str]] | None = field(default=None, init=False)
    _losses: dict[str, dict[int, Loss]] = field(default_factory=dict, init=False)

    def beside(self, record: RecordSummary, *, reference: str | None = None) -> InstrumentFloor | NoFloor:
        """As ``find_floor``, of a record whose summary is at hand; a failed one has no floor."""
        if record.failed:
            return NoFloor(reason="the run was not analysed")
        try:
            scan = facts_from(record)
        except SchemaError as error:
            return NoFloor(reason=error.found)
        known = self._known()
        if reference is not None:
            return self._named(reference, scan, known)
        good: list[ScanFacts] = []
        refused: list[str] = []
        for one, facts in known:
            if one.run_uid == scan.run_uid:
                continue
            if isinstance(facts, str):
                refused.append(f"{one.run_uid[:8]}: {facts}")
            elif differs := why_not_beside(facts, scan, self.settings):
                refused.append(f"{one.run_uid[:8]}: {'; '.join(differs)}")
            else:
                good.append(facts)
        if not good:
            own = any(one.run_uid == scan.run_uid for one, _ in known)
            return NoFloor(reason=_why_none(own, refused), refused=tuple(refused))
        return floor_beside(chosen := _nearest(good, scan), scan, self.settings, losses=self._lost(chosen))

    def _known(self) -> list[tuple[Reference, ScanFacts | str]]:
        if self._references is None:
            self._references = [(one, _facts_or_reason(one)) for one in find_references(self.catalog)]
        return self._references

    def _named(self, uid: str, scan: ScanFacts, known: Iterable[tuple[Reference, ScanFacts | str]]) -> InstrumentFloor:
        run_uid = _whole_uid(self.catalog, uid)
        facts = next((facts for one, facts in known if one.run_uid == run_uid), None)
        if facts is None:
            raise InputError(
                f"run {run_uid[:8]} is no static reference",
                needed="a run whose start document says `reference: static`, or that was marked",
                action=f"mark it with `gbx floor mark {run_uid[:8]}` if its sample does not move",
            )
        if isinstance(facts, str):
            raise InputError(f"reference {run_uid[:8]}: {facts}", needed="an analysed run", action="analyse it again")
        if differs := why_not_beside(facts, scan, self.settings):
            raise GeometryError(
                f"reference {run_uid[:8]} differs from scan {scan.name}: {'; '.join(differs)}",
                needed="a static reference of the same geometry, q-ROIs, frame time and length",
                action="measure one, choose another, or widen `floor` in the configuration",
            )
        return floor_beside(facts, scan, self.settings, losses=self._lost(facts))

    def _lost(self, reference: ScanFacts) -> dict[int, Loss]:
        """Loss of contrast of each q-ROI; the curves are small arrays of the reference's record."""
        if reference.record not in self._losses:
            catalog = self.catalog
            with said_in_words(catalog.uri):
                attempt = catalog.shelf(schema.RECORDS)[reference.record].metadata["attempt"]
                node: Any = catalog.shelf(schema.ATTEMPTS)[attempt]
                tau, g2, error = (node[name].read() for name in ("tau", "one_time", "one_time_error"))
            self._losses[reference.record] = {
                index: loss_of_contrast(tau, g2[index], error[index], contrast=roi.contrast)
                for index, roi in enumerate(reference.rois)
            }
        return self._losses[reference.record]


def _facts_or_reason(reference: Reference) -> ScanFacts | str:
    if reference.record is None:
        return "not analysed"
    try:
        return facts_from(reference.record)
    except SchemaError as error:
        return error.found


def _why_none(own: bool, refused: list[str]) -> str:
    if refused:
        return f"no static reference of this geometry ({'; '.join(refused)})"
    return "this run is the static reference" if own else "no static reference in the catalog"


def _nearest(references: list[ScanFacts], scan: ScanFacts) -> ScanFacts:
    """The newest that began before the scan, else the first after it; where times are unknown, the last one."""
    if scan.started is None:
        return references[-1]
    timed = [one for one in references if one.started is not None]
    before = [one for one in timed if (one.started or 0.0) <= scan.started]
    if before:
        return max(before, key=lambda one: one.started or 0.0)
    return min(timed or references, key=lambda one: one.started or 0.0)
