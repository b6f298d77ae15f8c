"""S_noneq and the drift's amplitude over scans: against time, temperature, number of the scan, or age within one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from gbx_beamline.records import InstrumentFloor, NoFloor
from gbx_viewer.model.facts import RoiFacts
from gbx_viewer.model.runs import RunRow

MOST_POINTS = 400
"""Newest scans that are drawn."""


class Against(StrEnum):
    """Abscissa."""

    TIME = "time"
    TEMPERATURE = "temperature"
    SCAN = "scan"
    AGE = "age"
    """Within the scan that is shown."""
    DOSE = "dose"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One scan, or one window of age. NaN = not measured."""

    uid: str
    x: float
    value: float
    low: float
    high: float
    drift: float
    """rms drift over contrast."""
    drift_noise_free: bool
    norm: float
    """The paper's figure value; noise counts."""
    temperature: float
    """K."""


@dataclass(frozen=True, kw_only=True)
class Trend:
    """What the panel draws."""

    against: Against
    label: str
    """Of the abscissa, with its unit."""
    points: tuple[Point, ...]
    """In the order of x."""
    said: str
    """Which scans these are."""
    floor: tuple[float, float] | None
    """Interval of S that the instrument alone shows on a static reference; None where none was measured."""
    drift_floor: float = math.nan
    """rms drift over contrast that the instrument alone may show; NaN = not known."""
    floor_words: str = "no instrument floor measured"
    why: str = ""
    """Why there are no points."""


def with_floor(found: Trend, floor: InstrumentFloor | NoFloor | None, roi: str | None) -> Trend:
    """The same with what a static reference shows, where there is one beside the scan on screen.

    Args:
        found: Without.
        floor: Of the scan on screen; None = not looked for yet.
        roi: Name of the q-ROI.
    """
    if floor is None:
        return found
    if isinstance(floor, NoFloor):
        return replace(found, floor_words=f"no instrument floor: {floor.reason}")
    one = next((one for one in floor.rois if one.name == roi), floor.rois[0] if floor.rois else None)
    if one is None or one.status != "ok":
        return replace(found, floor_words=f"no instrument floor: {one.status if one else 'the reference has no q-ROI'}")
    known = math.isfinite(one.low) and math.isfinite(one.high)
    return replace(
        found, floor=(one.low, one.high) if known else None, drift_floor=one.drift_high, floor_words=one.words
    )


def trend(
    rows: Sequence[RunRow], shown: RunRow | None, roi: str | None, against: Against, *, every_sample: bool = False
) -> Trend:
    """Points of the runs of the list.

    Args:
        rows: Runs, newest first.
        shown: The one on screen: its sample is taken.
        roi: Name of the q-ROI; where a scan has none of this name, the one that tells most.
        against: Abscissa.
        every_sample: All samples instead.
    """
    sample = None if shown is None or every_sample else shown.sample
    if against is Against.AGE:
        return _by_age(shown, roi)
    chosen = [row for row in rows if sample is None or row.sample == sample]
    measured = [(row, facts) for row in chosen if (facts := row.roi(roi)) is not None]
    measured = measured[:MOST_POINTS][::-1]
    points = [_point(row, facts, _abscissa(row, order, against)) for order, (row, facts) in enumerate(measured, 1)]
    points = sorted((one for one in points if math.isfinite(one.x)), key=lambda one: one.x)
    label = {
        Against.TIME: "start of the scan, local time",
        Against.TEMPERATURE: "temperature (K)",
        Against.SCAN: "scan, oldest first",
        Against.DOSE: "photons onto the spot in the scan",
    }[against]
    of = (sample or "unnamed samples") if sample is not None else "all samples"
    if not points and against is Against.DOSE:
        return _empty(against, label, f"No dose is known of scans of {of}: analysis.dose states the flux.")
    if not points:
        return _empty(against, label, f"No scan of {of} has been measured so far.")
    said = f"{len(points)} scan{'s' if len(points) > 1 else ''} of {of}"
    return Trend(against=against, label=label, points=tuple(points), said=said, floor=None)


def _abscissa(row: RunRow, order: int, against: Against) -> float:
    if against is Against.TEMPERATURE:
        return row.temperature
    if against is Against.DOSE:
        return row.photons
    return row.started if against is Against.TIME else float(order)


def _point(row: RunRow, roi: RoiFacts, x: float) -> Point:
    return Point(
        uid=row.uid,
        x=x,
        value=roi.value,
        low=roi.low,
        high=roi.high,
        drift=roi.drift,
        drift_noise_free=roi.drift_noise_free,
        norm=roi.s_noneq_norm,
        temperature=row.temperature,
    )


def _by_age(shown: RunRow | None, roi: str | None) -> Trend:
    label = "age in this scan (s), middle of the window"
    facts = None if shown is None else shown.roi(roi)
    if shown is None or facts is None or not facts.by_age:
        return _empty(
            Against.AGE, label, "This scan has no S_noneq by age: its record or its statistics do not hold any."
        )
    points = tuple(
        Point(
            uid=shown.uid,
            x=age,
            value=value,
            low=low,
            high=high,
            drift=math.nan,
            drift_noise_free=False,
            norm=math.nan,
            temperature=shown.temperature,
        )
        for age, value, low, high in facts.by_age
    )
    return Trend(
        against=Against.AGE,
        label=label,
        points=points,
        said="windows half as long as the scan, each against its own baseline",
        floor=None,
    )


def _empty(against: Against, label: str, why: str) -> Trend:
    return Trend(against=against, label=label, points=(), said="", floor=None, why=why)
