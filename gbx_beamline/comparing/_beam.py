"""How much beam each scan had, and which scans had the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gbx_beamline.config import CompareConfig
from gbx_beamline.errors import InputError
from gbx_beamline.records import ScanFacts


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Scans by dose rate."""

    order: tuple[int, ...]
    """(S,) the scans from the lowest dose rate on; as given where one is unknown."""
    level: tuple[int, ...]
    """(S,) level of each scan in this order, from 0."""
    ratio: float
    """Mean dose rate of the highest over that of the lowest level; NaN = unknown."""
    unknown: str
    """Why the dose rates are not known, in words; empty where they are."""
    notes: tuple[str, ...]

    @property
    def known(self) -> bool:
        """Whether all dose rates are."""
        return not self.unknown


def levels_of(scans: Sequence[ScanFacts], settings: CompareConfig) -> Levels:
    """Sort scans by dose rate.

    Args:
        scans: two or more.
        settings: ``least_dose_ratio``.

    Raises:
        InputError: all scans had the same beam.
    """
    rates, notes = _rates_of(scans)
    missing = [
        f"{scan.name} ({dose_rate_unknown(scan)})" for scan, rate in zip(scans, rates, strict=True) if not rate > 0
    ]
    if missing:
        everyone = tuple(range(len(scans)))
        words = f"dose rate of {', '.join(missing)} unknown"
        return Levels(order=everyone, level=everyone, ratio=math.nan, unknown=words, notes=tuple(notes))
    order = sorted(range(len(scans)), key=lambda index: rates[index])
    level, current = [], 0
    for position, index in enumerate(order):
        if position and rates[index] >= settings.least_dose_ratio * rates[order[position - 1]]:
            current += 1
        level.append(current)
    if current == 0:
        listed = ", ".join(f"{rates[index]:.3g}" for index in order)
        raise InputError(
            f"dose rates {listed} (transmission x relative intensity), all within a factor "
            f"{settings.least_dose_ratio:g}",
            needed="scans at two attenuations",
            action="measure one with another transmission; a factor of 3 and more tells most",
        )
    ends = [[rates[index] for index, one in zip(order, level, strict=True) if one == end] for end in (0, current)]
    ratio = (sum(ends[1]) / len(ends[1])) / (sum(ends[0]) / len(ends[0]))
    return Levels(order=tuple(order), level=tuple(level), ratio=ratio, unknown="", notes=tuple(notes))


def _rates_of(scans: Sequence[ScanFacts]) -> tuple[list[float], list[str]]:
    """Dose rates in a common unit: the flux cancels where it is the same, known or not."""
    rates = [scan.dose_rate for scan in scans]
    fluxes = [scan.exposure.flux for scan in scans if scan.exposure is not None]
    known = [flux for flux in fluxes if math.isfinite(flux)]
    notes = []
    if len(known) == len(scans) and max(known) > 1.001 * min(known):
        rates = [rate * flux / known[0] for rate, flux in zip(rates, known, strict=True)]
        notes.append(f"stated fluxes from {min(known):.3g} to {max(known):.3g} photons/s enter the ratio of dose rates")
    elif len(known) < len(fluxes):
        notes.append("flux not stated for every scan: taken as the same, which is all that a ratio needs")
    free = [scan.name for scan in scans if scan.exposure is not None and scan.exposure.monitor.startswith("none")]
    if free:
        notes.append(
            f"no intensity monitor for {', '.join(free)}: the beam before the attenuators is taken as constant"
        )
    return rates, notes


def dose_rate_unknown(scan: ScanFacts) -> str:
    """Why the dose rate of a scan is not known, in words; empty where it is."""
    if scan.dose_rate > 0:
        return ""
    if scan.exposure is None:
        return "its record holds no dose: analyse it again with this release"
    said = [text for text in scan.exposure.unknown if text.startswith(("transmission", "intensity"))]
    return "; ".join(said) or "no beam on the sample"
