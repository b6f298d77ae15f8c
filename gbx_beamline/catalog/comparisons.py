"""Scans of the catalog that tell beam from sample: found by sample, spot, temperature and attenuation, and compared.

A comparison is no record: it is a pure function of records that never change, takes a second, and so can never be
older than what it compares. A run that is analysed anew is compared anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gbx_beamline import comparing
from gbx_beamline.catalog.connect import Catalog
from gbx_beamline.catalog.facts import facts_from
from gbx_beamline.catalog.groups import spots_by_sample
from gbx_beamline.catalog.read import RecordSummary, find_record, load_record
from gbx_beamline.config import CompareConfig, GroupsConfig
from gbx_beamline.errors import InputError, RunNotFoundError, SchemaError
from gbx_beamline.records import Comparison, ScanFacts, ScanFailure, ScanResult

_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class AttenuationSet:
    """Scans of one sample, spot and temperature at two attenuations or more."""

    sample: str
    spot: int
    """As ``MaterialDoseGroup.spot``; 0 = positions are not recorded, or spots do not count."""
    scans: tuple[RecordSummary, ...]
    """In the order in which they began."""
    comparison: Comparison
    """By the numbers of the records; without curves, which ``compare_runs`` reads."""

    @property
    def uids(self) -> tuple[str, ...]:
        """Of the runs."""
        return tuple(one.run_uid for one in self.scans)


def compare_runs(catalog: Catalog, uids: Sequence[str], settings: CompareConfig) -> Comparison:
    """Compare the newest results of some runs: does the beam drive the dynamics?

    Args:
        catalog: Where they are.
        uids: Of the runs, each whole or its start.
        settings: See ``compare``.

    Raises:
        RunNotFoundError: no result of a run.
        InputError: scans that may not be compared.
        CatalogError: the catalog is unreachable.
    """
    results: list[ScanResult] = []
    for uid in uids:
        found = find_record(catalog, uid)
        outcome = load_record(catalog, found.key)
        if isinstance(outcome, ScanFailure):
            raise RunNotFoundError(
                f"run {found.run_uid[:8]} was not analysed: {outcome.reason}",
                needed="analysed runs",
                action="leave it out, or mend what is said and analyse it again",
            )
        results.append(outcome)
    return comparing.compare(results, settings)


@dataclass(frozen=True, kw_only=True)
class AttenuationSearch:
    """What of a catalog can be compared, and why the rest cannot."""

    sets: tuple[AttenuationSet, ...]
    left_out: tuple[tuple[RecordSummary, str], ...]
    """Analysed scans in no set, with the reason."""


def find_attenuation_sets(
    records: Iterable[RecordSummary], settings: CompareConfig, groups: GroupsConfig
) -> AttenuationSearch:
    """Scans that can be compared, from the records of a catalog without reading arrays.

    Of each run the newest result counts. Scans of one sample and spot are gathered while they lie within the
    temperature and the hours of the configuration and in one geometry; sets without two levels of dose rate are none.

    Args:
        records: Summaries; failures are passed over.
        settings: What belongs together.
        groups: Tolerance of a spot.
    """
    sets: list[AttenuationSet] = []
    left_out: list[tuple[RecordSummary, str]] = []
    tolerance = groups.spot_tolerance_um if settings.same_spot else math.inf
    for sample, spots in spots_by_sample(records, tolerance).items():
        for spot in spots:
            waiting = _usable(spot.scans, left_out)
            while waiting:
                first = waiting[0]
                members = [one for one in waiting if _belongs(first.facts, one.facts, settings)]
                waiting = [one for one in waiting if one not in members]
                try:
                    comparison = comparing.compare_facts([one.facts for one in members], settings)
                except InputError as error:
                    left_out += [(one.summary, _alone(members) or error.found) for one in members]
                    continue
                scans = tuple(one.summary for one in members)
                sets.append(AttenuationSet(sample=sample, spot=spot.number, scans=scans, comparison=comparison))
    return AttenuationSearch(sets=tuple(sets), left_out=tuple(left_out))


@dataclass(frozen=True)
class _Scan:
    summary: RecordSummary
    facts: ScanFacts


def _usable(scans: Sequence[RecordSummary], left_out: list[tuple[RecordSummary, str]]) -> list[_Scan]:
    """Scans whose dose rate and start are known; the others are listed."""
    found = []
    for summary in scans:
        try:
            facts = facts_from(summary)
        except SchemaError as error:
            left_out.append((summary, error.found))
            continue
        if reason := comparing.dose_rate_unknown(facts):
            left_out.append((summary, reason))
        elif facts.started is None:
            left_out.append((summary, "when it began is not known"))
        else:
            found.append(_Scan(summary, facts))
    return found


def _belongs(first: ScanFacts, other: ScanFacts, settings: CompareConfig) -> bool:
    warm = [one.temperature for one in (first, other) if one.temperature is not None]
    if len(warm) == 1 or (warm and abs(warm[0] - warm[1]) > settings.temperature_within_k):
        return False
    assert first.started is not None
    assert other.started is not None
    if abs(other.started - first.started) > settings.most_hours_apart * _HOUR:
        return False
    return comparing.in_one_geometry(first, other)


def _alone(members: Sequence[_Scan]) -> str:
    if len(members) > 1:
        return ""
    return "no other scan of its sample, spot, temperature and geometry within compare.most_hours_apart"
