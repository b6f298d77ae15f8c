"""What keeps scans from being compared, and what is only said."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gbx_beamline.comparing._alike import common_regions, geometry_differences
from gbx_beamline.config import CompareConfig
from gbx_beamline.errors import GeometryError, InputError, RoiError
from gbx_beamline.records import ScanFacts

WITHIN = 0.02
"""Share by which distance, wavelength, incidence and the q of two q-ROIs may differ: the motors of one set-up."""

_CONTRAST = 0.1
"""Share by which contrasts may differ without a word."""


def checked(scans: Sequence[ScanFacts], settings: CompareConfig) -> tuple[list[tuple[int, ...]], list[str]]:
    """The common q-ROIs, and what a reader must know.

    Args:
        scans: to be compared.
        settings: what may differ.

    Returns:
        Index of each common q-ROI in every scan; notes.

    Raises:
        InputError: scans that may not be compared.
    """
    if len({scan.run_uid for scan in scans}) < len(scans) or len(scans) < 2:
        raise InputError(
            f"{len({scan.run_uid for scan in scans})} different run(s)",
            needed="two runs or more, each once",
            action="name the scans of one sample at different transmission",
        )
    _same_sample(scans)
    notes = _temperatures(scans, settings)
    first = scans[0]
    for other in scans[1:]:
        if said := geometry_differences(first.geometry, other.geometry, WITHIN):
            raise GeometryError(
                f"scans {first.name} and {other.name} differ: {'; '.join(said)}",
                needed="scans in one geometry",
                action="compare scans that were taken with the same set-up",
            )
    common = common_regions(list(scans), WITHIN)
    if not common:
        raise RoiError(
            "no q-ROI that all scans have at the same q",
            needed="at least one common q-ROI",
            action="analyse the scans with the same q-ROIs (`gbx reprocess`)",
        )
    return common, [*notes, *_settings(scans), *_spots(scans), *_contrasts(scans, common)]


def in_one_geometry(one: ScanFacts, other: ScanFacts) -> bool:
    """Whether two scans have one geometry and a q-ROI in common."""
    if geometry_differences(one.geometry, other.geometry, WITHIN):
        return False
    return bool(common_regions([one, other], WITHIN))


def _same_sample(scans: Sequence[ScanFacts]) -> None:
    samples = {scan.sample for scan in scans}
    if len(samples) > 1:
        raise InputError(
            f"samples {', '.join(repr(name) for name in sorted(map(str, samples)))}",
            needed="scans of one sample",
            action="leave the others out",
        )


def _temperatures(scans: Sequence[ScanFacts], settings: CompareConfig) -> list[str]:
    known = [scan.temperature for scan in scans if scan.temperature is not None]
    if known and max(known) - min(known) > settings.temperature_within_k:
        raise InputError(
            f"temperatures from {min(known):.2f} to {max(known):.2f} K",
            needed=f"scans within {settings.temperature_within_k:g} K",
            action="compare scans at one temperature, or widen compare.temperature_within_k",
        )
    unknown = [scan.name for scan in scans if scan.temperature is None]
    return [f"temperature of {', '.join(unknown)} unknown: taken as that of the others"] if unknown else []


def _settings(scans: Sequence[ScanFacts]) -> list[str]:
    notes = []
    if len({scan.settings_hash for scan in scans}) > 1:
        notes.append("analysed with different settings: `gbx reprocess` brings both to the same")
    times = [scan.frame_time for scan in scans]
    if max(times) > 1.01 * min(times):
        notes.append(
            f"frame times from {min(times):.3g} to {max(times):.3g} s: what is faster than a frame is averaged "
            "differently"
        )
    spans = [scan.span for scan in scans]
    if max(spans) > 1.05 * min(spans):
        notes.append(f"{min(spans):.4g} to {max(spans):.4g} s were analysed: S_noneq is compared at equal windows only")
    return notes


def _spots(scans: Sequence[ScanFacts]) -> list[str]:
    placed = [scan.exposure.positions for scan in scans if scan.exposure is not None and scan.exposure.positions]
    if len(placed) < len(scans):
        return ["positions unknown: the scans may be on different spots, or the later one on a spot that was exposed"]
    gaps = [
        math.dist([placed[0][name] for name in placed[0]], [other[name] for name in placed[0]])
        for other in placed[1:]
        if set(other) == set(placed[0])
    ]
    if gaps and max(gaps) > 0:
        return [f"spots up to {1e6 * max(gaps):.3g} um apart"] if max(gaps) > 1e-6 else []
    return []


def _contrasts(scans: Sequence[ScanFacts], common: Sequence[tuple[int, ...]]) -> list[str]:
    notes = []
    for index in common:
        values = [scan.rois[place].contrast for scan, place in zip(scans, index, strict=True)]
        if all(math.isfinite(value) for value in values) and min(values) < (1.0 - _CONTRAST) * max(values):
            listed = ", ".join(f"{value:.3g}" for value in values)
            notes.append(
                f"q-ROI {scans[0].rois[index[0]].name}: contrasts {listed} differ by more than a tenth: another beam, "
                "or dynamics faster than a frame"
            )
    return notes
