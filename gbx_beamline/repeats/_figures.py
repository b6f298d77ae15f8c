"""Figures that each q-ROI of a scan measures, as the catalog's pointers tell them: no array is read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from scipy.special import ndtri

from gbx_beamline.records import Combined, ScanResult
from gbx_beamline.repeats._aims import Measurable, Said
from gbx_beamline.repeats._combining import combine

_HALF = float(ndtri(0.975))
"""Half of a 95 % interval in standard errors."""

FEWEST_RESOLVED = 2
"""Scans that must have seen speckles relax before an S_noneq of 0 means equilibrium."""


@dataclass(frozen=True)
class Measured:
    """One figure of one q-ROI in one scan."""

    value: float
    """On the scale on which scans are averaged: of a relaxation time the natural logarithm."""
    error: float
    """Standard error of the noise within the scan."""
    degrees: float
    """Of freedom of that error; infinite where it is taken as known."""


def measured(metadata: Mapping[str, Any], figure: Measurable) -> dict[str, Measured | str]:
    """A figure in each q-ROI of a result, by name; or why it has none there.

    Args:
        metadata: Of the result's pointer.
        figure: Which.
    """
    rois = metadata["rois"]
    if figure == "s_noneq":
        return {roi["name"]: _share(roi["nonequilibrium"]) for roi in rois}
    whole = {fit["roi"]: fit for fit in metadata["kinetics"] if fit["whole"]}
    return {roi["name"]: _relaxation(whole.get(index)) for index, roi in enumerate(rois)}


def of_result(result: ScanResult) -> dict[str, Any]:
    """What ``measured`` reads, of a result that is at hand."""
    rois = [
        {
            "name": name,
            "nonequilibrium": {
                "corrected": None if found.corrected is None else asdict(found.corrected),
                "corrected_status": found.corrected_status,
            },
        }
        for name, found in zip(result.two_time.names, result.nonequilibrium, strict=True)
    ]
    return {"rois": rois, "kinetics": [asdict(fit) for fit in result.kinetics]}


def of_rois(
    records: Sequence[Mapping[str, Any]], figure: Measurable, only: str = ""
) -> tuple[dict[str, Said], dict[str, str]]:
    """A figure of each q-ROI over several results.

    Args:
        records: Metadata of the results' pointers, at least one.
        figure: Which.
        only: Name of the one q-ROI that is asked for.

    Returns:
        The q-ROIs in which some scan measured it, and why others have none.
    """
    single = [measured(record, figure) for record in records]
    names = list(dict.fromkeys(name for one in single for name in one))
    if only and only not in names:
        return {}, {only: f"no such q-ROI in the results, which have {', '.join(names)}"}
    said: dict[str, Said] = {}
    missing: dict[str, str] = {}
    for name in [only] if only else names:
        values = [found for one in single if isinstance(found := one.get(name), Measured)]
        if not values:
            missing[name] = next(str(one[name]) for one in reversed(single) if name in one)
            continue
        said[name] = _said(together(values), figure)
        if figure == "s_noneq":
            said[name] = _not_zero_alone(said[name], records, name)
    return said, missing


def together(values: Sequence[Measured]) -> Combined:
    """What the scans say together, on the scale of ``Measured``."""
    return combine([one.value for one in values], [one.error for one in values], [one.degrees for one in values])


def _said(found: Combined, figure: Measurable) -> Said:
    notes = (f"scans differ by more than their noise (p = {found.p_value:.1g})",) if found.different else ()
    if figure == "s_noneq":
        span = found.high - found.low
        return Said(value=found.value, low=found.low, high=found.high, width=span, scans=found.count, notes=notes)
    value, low, high = (math.exp(min(one, 700.0)) for one in (found.value, found.low, found.high))
    return Said(value=value, low=low, high=high, width=(high - low) / value, scans=found.count, notes=notes)


def _not_zero_alone(said: Said, records: Sequence[Mapping[str, Any]], name: str) -> Said:
    """An S_noneq of 0 is what equilibrium shows, and what a sample shows that does not move, or that is not there."""
    if not said.low <= 0.0 <= said.high:
        return said
    seen = sum(isinstance(measured(record, "relaxation_time").get(name), Measured) for record in records)
    if seen >= FEWEST_RESOLVED:
        return said
    return replace(
        said,
        doubt=f"S_noneq is compatible with 0, and {seen} scans saw speckles relax within their window "
        f"({FEWEST_RESOLVED} are needed): a sample that does not move, or is not in the beam, looks the same",
    )


def _share(found: Mapping[str, Any]) -> Measured | str:
    corrected = found["corrected"]
    if corrected is None or found["corrected_status"] != "ok":
        return f"no corrected S_noneq: {found['corrected_status']}"
    if not corrected["high"] > corrected["low"]:
        return "no corrected S_noneq: its interval has no width"
    # Student's factor is in the interval already: this is a little more than the standard error.
    return Measured(corrected["value"], (corrected["high"] - corrected["low"]) / 2.0 / _HALF, math.inf)


def _relaxation(fit: Mapping[str, Any] | None) -> Measured | str:
    if fit is None:
        return "no relaxation time was fitted"
    if fit["status"] != "ok":
        return f"no relaxation time: {fit['status']}"
    time, error = fit["relaxation_time"], fit["errors"]["relaxation_time"]
    if not error:
        return "no relaxation time: its error is not known"
    return Measured(math.log(time), error / time, fit["groups"] - 1 if fit["groups"] > 1 else math.inf)
