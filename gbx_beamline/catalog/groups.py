"""Material-dose groups: the analysed scans of a catalog by sample, spot and range of cumulative dose.

Doses add up over the scans of a spot in the order in which they began. A scan whose dose is not known leaves the
doses of all later ones on its spot unknown: nothing is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from gbx_beamline.catalog.codec import number
from gbx_beamline.catalog.read import RecordSummary
from gbx_beamline.config import GroupsConfig
from gbx_beamline.errors import RunNotFoundError

UNNAMED = "unnamed sample"

_UM = 1e6


@dataclass(frozen=True, kw_only=True)
class GroupedScan:
    """One analysed scan in its group."""

    record: RecordSummary
    before: float
    """Dose that the spot had when the scan began, in the configured unit; NaN = unknown."""
    after: float
    """And when it ended."""
    unknown: tuple[str, ...] = ()
    """What of its dose and place is not known, in words."""

    @property
    def middle(self) -> float:
        """Dose half way through the scan; NaN = unknown."""
        return 0.5 * (self.before + self.after)


@dataclass(frozen=True, kw_only=True)
class MaterialDoseGroup:
    """Scans of one sample and spot within one range of dose, in the order in which they began."""

    sample: str
    spot: int
    """Counted from 1 within the sample; 0 = positions are not recorded, all such scans are taken as one spot."""
    position: Mapping[str, float]
    """Of the spot's first scan, m."""
    dose: tuple[float, float] | None
    """Range, in ``unit``, without its upper end; None = unknown, or the dose divides no group."""
    unit: str
    scans: tuple[GroupedScan, ...]

    @property
    def name(self) -> str:
        """By which people call it."""
        parts = [self.sample]
        if self.spot:
            parts.append(f"spot {self.spot}")
        if self.dose is not None:
            low, high = self.dose
            span = f"from {low:.3g}" if math.isinf(high) else f"{low:.3g} to {high:.3g}"
            parts.append(f"{span} {_WORDS[self.unit]}")
        elif self.unit:
            parts.append("dose unknown")
        return ", ".join(parts)


_WORDS = {"photons": "photons", "full_beam_s": "s of full beam"}
_FIELDS = {"photons": "photons", "full_beam_s": "full_beam"}


def material_dose_groups(records: Iterable[RecordSummary], settings: GroupsConfig) -> list[MaterialDoseGroup]:
    """Sort the scans of a catalog into groups.

    Args:
        records: summaries; of each run the newest result counts, failures do not.
        settings: tolerance of a spot and ranges of dose.

    Returns:
        Groups by sample, spot and dose.
    """
    return [
        group
        for sample, spots in spots_by_sample(records, settings.spot_tolerance_um).items()
        for spot in spots
        for group in _by_dose(sample, spot, settings)
    ]


def spots_by_sample(records: Iterable[RecordSummary], tolerance_um: float) -> dict[str, list[Spot]]:
    """The spots of each sample, samples by name, scans in the order in which they began.

    Args:
        records: summaries; of each run the newest result counts, failures do not.
        tolerance_um: by which positions of one spot may differ, um.
    """
    newest: dict[str, RecordSummary] = {}
    for record in sorted((one for one in records if not one.failed), key=lambda one: one.metadata["created"]):
        newest[record.run_uid] = record
    samples: dict[str, list[RecordSummary]] = {}
    for record in sorted(newest.values(), key=_began):
        samples.setdefault(record.metadata["sample"] or UNNAMED, []).append(record)
    return {sample: _spots(samples[sample], tolerance_um) for sample in sorted(samples)}


def group_named(groups: Sequence[MaterialDoseGroup], name: str) -> MaterialDoseGroup:
    """The group of this name.

    Raises:
        RunNotFoundError: there is none, with the names that there are.
    """
    for group in groups:
        if group.name == name:
            return group
    listed = "; ".join(group.name for group in groups[:8]) or "none"
    raise RunNotFoundError(f"no group {name!r}", needed=f"one of: {listed}", action="list them with `gbx groups`")


@dataclass
class Spot:
    """Scans on one place of a sample."""

    number: int
    """As ``MaterialDoseGroup.spot``."""
    position: Mapping[str, float]
    scans: list[RecordSummary]


def _began(record: RecordSummary) -> float:
    started = record.metadata["started"]
    return record.metadata["created"] if started is None else started


def _exposure(record: RecordSummary) -> Mapping[str, Any]:
    # Records of schema version 2, imported maps and files have none.
    return record.metadata.get("exposure") or {}


def _spots(records: Sequence[RecordSummary], tolerance_um: float) -> list[Spot]:
    """The spots of one sample, in the order in which they were first measured; those without positions first."""
    nowhere = Spot(0, {}, [])
    spots: list[Spot] = []
    for record in records:
        position = _exposure(record).get("positions") or {}
        if not position:
            nowhere.scans.append(record)
            continue
        near = [(gap, spot) for spot in spots if (gap := _gap(spot.position, position)) * _UM <= tolerance_um]
        if near:
            min(near, key=lambda one: one[0])[1].scans.append(record)
        else:
            spots.append(Spot(len(spots) + 1, position, [record]))
    return [spot for spot in (nowhere, *spots) if spot.scans]


def _gap(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """m between two positions; infinite where they are told by other channels."""
    if set(one) != set(other):
        return math.inf
    return math.dist([one[name] for name in sorted(one)], [other[name] for name in sorted(one)])


def _by_dose(sample: str, spot: Spot, settings: GroupsConfig) -> list[MaterialDoseGroup]:
    grouped: list[GroupedScan] = []
    reached = 0.0
    for record in spot.scans:
        exposure = _exposure(record)
        dose = number(exposure.get(_FIELDS[settings.dose_unit]))
        moved = [
            f"position: {name} moved by {travel * _UM:.3g} um during the scan"
            for name, travel in (exposure.get("travel") or {}).items()
            if travel * _UM > settings.spot_tolerance_um
        ]
        unknown = tuple(exposure.get("unknown", ("no dose in the record",)))
        grouped.append(GroupedScan(record=record, before=reached, after=reached + dose, unknown=(*unknown, *moved)))
        reached += dose
    edges = (0.0, *settings.dose_edges, math.inf)
    ranges: list[tuple[float, float] | None] = [*pairwise(edges), None] if settings.dose_edges else [None]
    groups = []
    for dose_range in ranges:
        members = tuple(one for one in grouped if not settings.dose_edges or _range_of(one, edges) == dose_range)
        if members:
            groups.append(
                MaterialDoseGroup(
                    sample=sample,
                    spot=spot.number,
                    position=spot.position,
                    dose=dose_range,
                    unit=settings.dose_unit if settings.dose_edges else "",
                    scans=members,
                )
            )
    return groups


def _range_of(scan: GroupedScan, edges: Sequence[float]) -> tuple[float, float] | None:
    return next((span for span in pairwise(edges) if span[0] <= scan.middle < span[1]), None)
