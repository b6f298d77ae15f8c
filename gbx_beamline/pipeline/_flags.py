"""What a reader must know before believing the numbers, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gbx_beamline.frames import Series
from gbx_beamline.pipeline._description import stated_temperature
from gbx_beamline.records import Exclusions, JumpCheck, MotionCheck, Movement, RoiSet, ScanInfo, SegmentMeasure, TwoTime

_UNEVEN = 0.1
"""Of the contrast: what uneven intensity may add to the baseline of g2 without a word."""


def flags_of(series: Series, rois: RoiSet) -> tuple[str, ...]:
    """What a reader must know of a series and of where its q-ROIs lie."""
    flags = list(series.notes)
    if (unknown := stated_temperature(series.metadata.get("start", {}))[1]) is not None:
        flags.append(unknown)
    if series.missing:
        flags.append(f"incomplete: {', '.join(series.missing)} missing, {int(series.present.sum())} frames used")
    for name, crossed in zip(rois.names, rois.flags, strict=True):
        flags += [f"q-ROI {name} crosses the {region} region" for region in crossed]
    return tuple(flags)


def intensity_flags(tt: TwoTime) -> tuple[str, ...]:
    """What each q-ROI's counts say against it."""
    flags: list[str] = []
    for name, saturated, baseline, contrast in zip(
        tt.names, tt.saturated, tt.static_baseline, tt.contrast, strict=True
    ):
        if saturated:
            flags.append(f"q-ROI {name}: {saturated} pixels saturated at times, left out")
        if baseline - 1.0 > _UNEVEN * abs(contrast):
            flags.append(f"q-ROI {name}: uneven intensity adds {baseline - 1.0:.2g} to g2's baseline")
    return tuple(flags)


def movement_flags(
    names: Sequence[str],
    motion: Sequence[MotionCheck],
    jumps: Sequence[JumpCheck],
    movement: Movement | None = None,
) -> tuple[str, ...]:
    """What moved in which q-ROI, and whether it was sample, beam or detector."""
    said = [f"q-ROI {name}: {check.status}" for name, check in zip(names, motion, strict=False) if check.moved]
    said += [f"q-ROI {name}: {jump.words}" for name, one in zip(names, jumps, strict=False) for jump in one.jumps]
    if movement is not None and movement.what not in ("none seen", "not known"):
        said.append(f"moved: {movement.words}")
    return tuple(said)


def flux_flags(names: Sequence[str], motion: Sequence[MotionCheck]) -> tuple[str, ...]:
    """Where the intensity was not the same all the time, though there was beam."""
    noted = [(name, note) for name, check in zip(names, motion, strict=False) for note in check.notes]
    if noted and len(noted) == len(names) and len({note.split(" by ")[0] for _, note in noted}) == 1:
        # All together is flux, or dose; one alone is the sample or its place.
        return (f"{noted[0][1]}, in all q-ROIs: flux (g2 is normalised by each frame's own mean)",)
    return tuple(f"q-ROI {name}: {note}" for name, note in noted)


def segment_flags(exclusions: Exclusions, measured: Sequence[SegmentMeasure]) -> tuple[str, ...]:
    """Which parts of the series the numbers are of, and what of the others was not analysed."""
    said = [
        f"{part.start_time:.5g} to {part.stop_time:.5g} s not analysed: {part.reason}"
        for part in exclusions.segments
        if part.together and part.reason
    ]
    if len(measured) > 1:
        listed = ", ".join(
            f"{part.start_time:.5g} to {part.stop_time:.5g} s"
            + (f" at {part.temperature:.1f} K" if math.isfinite(part.temperature) else "")
            + (" (the numbers are of this one)" if part.chosen else "")
            for part in measured
        )
        said.append(f"{len(measured)} segments, analysed each by itself: {listed}")
    return tuple(said)


def temperature_flags(scan: ScanInfo, within: float) -> tuple[str, ...]:
    """Where the temperature that was measured is not the one that was set."""
    measured, stated = scan.temperature, scan.temperature_set
    if not scan.temperature_source or measured is None or stated is None or abs(measured - stated) <= within:
        return ()
    said = f"temperature measured {measured:.2f} K ({scan.temperature_source}), the run says {stated:.2f} K"
    return (f"{said}; the measured one counts",)
