"""Whether two scans were measured in the same place of reciprocal space."""

from __future__ import annotations

import math

from gbx_beamline.records import Geometry, RoiFacts, ScanFacts

_QUANTITIES = (
    ("distance", "m"),
    ("wavelength", "m"),
    ("incidence", "rad"),
    ("pixel_size_x", "m"),
    ("pixel_size_y", "m"),
)


def geometry_differences(one: Geometry, other: Geometry, within: float) -> list[str]:
    """What of the geometry differs, in words; what only one of them knows is no difference.

    Args:
        one: of a scan.
        other: of another.
        within: share of the larger value by which two may differ.
    """
    said = []
    if one.mode != other.mode:
        said.append(f"mode {one.mode} and {other.mode}")
    if one.shape != other.shape:
        said.append(f"detector of {one.shape[0]} x {one.shape[1]} and of {other.shape[0]} x {other.shape[1]} pixels")
    for name, unit in _QUANTITIES:
        first, second = getattr(one, name), getattr(other, name)
        if first is not None and second is not None and not near(first, second, within):
            said.append(f"{name.replace('_', ' ')} {first:.4g} and {second:.4g} {unit}")
    return said


def near(one: float, other: float, within: float) -> bool:
    """Whether two numbers agree to this share of the larger; unknown ones agree with each other only."""
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return abs(one - other) <= within * max(abs(one), abs(other))


def same_region(one: RoiFacts, other: RoiFacts, within: float) -> bool:
    """Whether two q-ROIs lie at one q; by name where neither knows its q."""
    if math.isnan(one.q_par) and math.isnan(other.q_par):
        return one.name == other.name
    # q_z of a transmission q-ROI is 0, and that of a label image not known: either way a plain comparison holds.
    return near(one.q_par, other.q_par, within) and near(one.q_z, other.q_z, within)


def common_regions(scans: list[ScanFacts], within: float) -> list[tuple[int, ...]]:
    """Index of each common q-ROI in every scan, in the order of the first."""
    found = []
    for index, roi in enumerate(scans[0].rois):
        others = [_first(roi, scan, within) for scan in scans[1:]]
        if all(other is not None for other in others):
            found.append((index, *(other for other in others if other is not None)))
    return found


def _first(roi: RoiFacts, scan: ScanFacts, within: float) -> int | None:
    matches = [index for index, other in enumerate(scan.rois) if same_region(roi, other, within)]
    named = [index for index in matches if scan.rois[index].name == roi.name]
    return next(iter(named or matches), None)
