"""Averages of the catalog's results, made once and kept beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gbx_beamline.errors import InputError, RunNotFoundError
from gbx_beamline.records import RepeatsAverage, ScanFailure
from gbx_beamline.repeats._averaging import SAME_TEMPERATURE, averaged, check_temperatures, checked_axis, timing
from gbx_beamline.repeats._reducing import reduced

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog, RecordSummary


@dataclass(frozen=True)
class Stored:
    """An average in the catalog."""

    key: str
    average: RepeatsAverage
    already_there: bool
    """True when the same results had been averaged before."""


def average_of(
    catalog: Catalog,
    *,
    uids: Sequence[str] = (),
    sample: str | None = None,
    temperature: float | None = None,
    rule: str | None = None,
    common_window: bool = False,
) -> Stored:
    """Average the newest results of some runs, or of a sample, and keep the average in the catalog.

    Args:
        catalog: Where results are and the average goes.
        uids: Runs, each by its uid or the start of it.
        sample: Or all analysed runs of this sample; with ``uids`` the runs must be of it.
        temperature: K; of a sample only scans within 2 K of it.
        rule: Only results of this selection rule.
        common_window: As in ``average``.

    Raises:
        InputError: no runs named, or scans that cannot be averaged; the message says why.
        RunNotFoundError: no result of a run or of the sample.
        CatalogError: the catalog is unreachable.
    """
    from gbx_beamline.catalog import TiledSink, average_key, has_average, load_average, load_record

    members = _members(catalog, uids, sample, temperature, rule)
    # What can be known without reading a map is refused at once.
    check_temperatures({one.run_uid: one.metadata["temperature"] for one in members})
    axis = checked_axis(
        [timing(one.run_uid, one.metadata["frame_time"], _rows(one)) for one in members],
        common_window=common_window,
    )
    key = average_key((one.key for one in members), common_window=common_window)
    if has_average(catalog, key):
        return Stored(key, load_average(catalog, key), already_there=True)
    parts = []
    for member, frames in zip(members, axis.frames_per_cell, strict=True):
        # One after the other: what is kept of each is small.
        result = load_record(catalog, member.key)
        assert not isinstance(result, ScanFailure)
        parts.append(reduced(result, axis, frames, record=member.key))
    average = averaged(parts, axis, common_window=common_window)
    return Stored(TiledSink(catalog).publish_average(average), average, already_there=False)


def _members(
    catalog: Catalog, uids: Sequence[str], sample: str | None, temperature: float | None, rule: str | None
) -> list[RecordSummary]:
    """The newest result of each run, oldest run first."""
    from gbx_beamline.catalog import find_record, find_records

    if not uids and sample is None:
        raise InputError(
            "no runs are named", needed="the uids of repeats, or their sample", action="add --uid or --sample"
        )
    named = list(dict.fromkeys(find_record(catalog, uid).run_uid for uid in uids))
    found = [one for uid in named for one in find_records(catalog, run_uid=uid)]
    if not uids:
        found = find_records(catalog, sample=sample)
    if rule is not None:
        found = [one for one in found if one.metadata["provenance"].get("rule") == rule]
    # Oldest first: what comes later is newer.
    newest = {one.run_uid: one for one in found if not one.failed}
    if lost := [uid for uid in named if uid not in newest]:
        raise RunNotFoundError(
            f"no result of run {', '.join(uid[:8] for uid in lost)}" + (f" by rule {rule!r}" if rule else ""),
            needed="analysed runs",
            action="analyse them with `gbx analyze UID`, or leave them out",
        )
    members = list(newest.values())
    if temperature is not None:
        members = [one for one in members if _near(one, temperature)]
    if not members:
        raise RunNotFoundError(
            f"no results of sample {sample!r}" + ("" if temperature is None else f" near {temperature:g} K"),
            needed="analysed scans",
            action="list them with `gbx results`",
        )
    return sorted(members, key=lambda one: (one.metadata["started"] or 0.0, one.run_uid))


def _rows(record: RecordSummary) -> int:
    """Rows of the map that the numbers are of."""
    start, stop = record.metadata.get("analysed") or (0, record.metadata["frames"])
    return stop - start


def _near(record: RecordSummary, temperature: float) -> bool:
    kelvin = record.metadata["temperature"]
    return kelvin is not None and abs(kelvin - temperature) <= SAME_TEMPERATURE
