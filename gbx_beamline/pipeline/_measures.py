"""What is read off the maps, segment by segment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gbx_beamline.care import FEWEST_FRAMES, find_jumps
from gbx_beamline.config import AnalysisConfig, TracesConfig
from gbx_beamline.correlation import fit_decay, fit_kinetics, g4, one_time, scaling
from gbx_beamline.correlation.threads import side_by_side
from gbx_beamline.errors import InputError
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.records import (
    JumpCheck,
    KineticsFit,
    NonEquilibrium,
    RoiMeasure,
    Segment,
    SegmentMeasure,
    TwoTime,
)


@dataclass(frozen=True)
class Rows:
    """A segment on the rows of the maps."""

    index: int
    """Of the segment."""
    start: int
    stop: int
    frames: int
    """Good ones: rows that are valid, in frames."""


@dataclass(frozen=True)
class Measured:
    """A series measured segment by segment."""

    found: Mapping[str, Any]
    """Fields of a ``ScanResult``, of the chosen segment."""
    rows: tuple[int, int] | None
    """Rows of the maps that they are of; None = all."""
    chosen: Segment
    segments: tuple[Segment, ...]
    """All, those that could be analysed and were not with the reason."""
    each: tuple[SegmentMeasure, ...]
    """Numbers of each; empty where only one was analysed."""


def measure_series(
    tt: TwoTime, segments: tuple[Segment, ...], settings: AnalysisConfig, *, q_convention: str
) -> Measured:
    """Measure every segment of a series by itself, the chosen one in full.

    Args:
        tt: maps of the series.
        segments: of it.
        settings: of the analysis.
        q_convention: which q the scaling has.

    Raises:
        InputError: as ``choose``.
    """
    rows, chosen = choose(segments, tt, settings.traces)
    own = (rows[chosen].start, rows[chosen].stop)
    found = measure(tt.between(*own), settings, q_convention=q_convention, first_row=own[0])
    return Measured(
        found=found,
        rows=None if own == (0, tt.g2.shape[-1]) else own,
        chosen=segments[rows[chosen].index],
        segments=_not_analysed(segments, rows),
        each=_each(segments, rows, chosen, tt, settings, found),
    )


def choose(segments: tuple[Segment, ...], tt: TwoTime, settings: TracesConfig) -> tuple[list[Rows], int]:
    """The segments that can be analysed, and which of them the record's numbers are of.

    That is the one with the most good frames, unless the configuration names another. Where the temperature holds
    nowhere, ramps take the place of holds.

    Args:
        segments: of the series.
        tt: its maps.
        settings: ``shortest_s`` and ``segment``.

    Returns:
        Segments, and the index into them of the chosen one.

    Raises:
        InputError: no segment is long enough, or the configuration names one that there is not.
    """
    wanted = [index for index, part in enumerate(segments) if part.together]
    wanted = wanted or [index for index, part in enumerate(segments) if part.kind == "ramp"]
    all_rows = [_rows(index, segments[index], tt) for index in wanted]
    rows = [one for one in all_rows if _enough(one, tt, settings)]
    if not rows:
        longest = max((one.frames for one in all_rows), default=0)
        raise InputError(
            f"{len(all_rows)} segments with beam and a settled temperature, the longest of {longest} good frames",
            needed=f"{FEWEST_FRAMES} frames and {settings.shortest_s:g} s that belong together",
            action="look at the traces, and loosen the conditions of analysis.traces if the frames are good",
        )
    chosen = max(range(len(rows)), key=lambda number: rows[number].frames)
    if settings.segment is not None:
        if settings.segment > len(rows):
            raise InputError(
                f"segment {settings.segment} of a series with {len(rows)} that can be analysed",
                needed=f"a number from 1 to {len(rows)}",
                action="correct analysis.traces.segment; the record of the run lists its segments",
            )
        chosen = settings.segment - 1
    return rows, chosen


def measure(tt: TwoTime, settings: AnalysisConfig, *, q_convention: str, first_row: int = 0) -> dict[str, Any]:
    """What is read off the maps of one segment: fields of a ``ScanResult``.

    Args:
        tt: maps of the segment.
        settings: of the analysis.
        q_convention: which q the scaling has.
        first_row: of the segment in the series; times count from the start of the series.
    """
    g2 = one_time(tt, convention=settings.correlation.one_time)
    cells = settings.nonequilibrium
    kinetics = fit_kinetics(tt, ages=min(settings.correlation.age_windows, tt.g2.shape[-1]))
    known = tt.q_par is not None and np.isfinite(tt.q_par).any()
    contrast, baseline = tt.contrast, tt.static_baseline

    def jumps_of(roi: int) -> JumpCheck:
        return find_jumps(
            tt.g2[roi],
            float(contrast[roi]),
            frame_time=tt.frame_time,
            baseline=float(baseline[roi]),
            settings=settings.care,
        )

    jumps = side_by_side(jumps_of, range(len(tt.g2))) if settings.care.applies("jumps") else []
    shares = nonequilibrium(tt, max_cells=cells.max_cells, min_pairs=cells.min_pairs)
    later = first_row * tt.frame_time
    return {
        "one_time": g2,
        "nonequilibrium": tuple(_share_later(one, later) for one in shares),
        "fits": tuple(fit_decay(g2.tau, g2.g2[i], g2.error[i]) for i in range(len(tt.names))),
        "kinetics": tuple(_fit_later(one, later) for one in kinetics),
        "scaling": scaling(kinetics, tt.q_par, q_convention=q_convention) if known and tt.q_par is not None else None,
        "g4": g4(tt),
        "jumps": tuple(_jumps_later(one, later, first_row * tt.frames_per_cell) for one in jumps),
    }


def _each(
    segments: tuple[Segment, ...],
    rows: list[Rows],
    chosen: int,
    tt: TwoTime,
    settings: AnalysisConfig,
    found: Mapping[str, Any],
) -> tuple[SegmentMeasure, ...]:
    """S_noneq and relaxation of every segment by itself; nothing where there is one only.

    Args:
        segments: of the series.
        rows: those that are analysed.
        chosen: which of them ``found`` is of.
        tt: maps of the series.
        settings: of the analysis.
        found: what ``measure`` says of the chosen one.
    """
    if len(rows) < 2:
        return ()
    measured = []
    for number, one in enumerate(rows):
        shares: tuple[NonEquilibrium, ...] = found["nonequilibrium"]
        kinetics: tuple[KineticsFit, ...] = found["kinetics"]
        if number != chosen:
            part, cells = tt.between(one.start, one.stop), settings.nonequilibrium
            shares = tuple(nonequilibrium(part, max_cells=cells.max_cells, min_pairs=cells.min_pairs))
            kinetics = fit_kinetics(part, ages=0)
        said = zip(tt.names, shares, [fit for fit in kinetics if fit.whole], strict=True)
        segment = segments[one.index]
        measured.append(
            SegmentMeasure(
                segment=one.index,
                rows=(one.start, one.stop),
                frames=one.frames,
                start_time=segment.start_time,
                stop_time=segment.stop_time,
                temperature=segment.temperature,
                chosen=number == chosen,
                rois=tuple(_roi(*one) for one in said),
            )
        )
    return tuple(measured)


def _not_analysed(segments: tuple[Segment, ...], rows: list[Rows]) -> tuple[Segment, ...]:
    """The segments, those that could be analysed and were not with the reason."""
    done = {one.index for one in rows}
    return tuple(
        replace(part, reason="too short") if part.together and index not in done else part
        for index, part in enumerate(segments)
    )


def _rows(index: int, segment: Segment, tt: TwoTime) -> Rows:
    width = tt.frames_per_cell
    start, stop = -(-segment.start // width), min(segment.stop // width, tt.g2.shape[-1])
    return Rows(index, start, stop, int(tt.valid_frames[start:stop].sum()) * width)


def _enough(one: Rows, tt: TwoTime, settings: TracesConfig) -> bool:
    frame_time = tt.frame_time / tt.frames_per_cell
    whole = (one.start, one.stop) == (0, tt.g2.shape[-1])
    return whole or (
        one.frames >= FEWEST_FRAMES * tt.frames_per_cell and one.frames * frame_time >= settings.shortest_s
    )


def _roi(name: str, share: NonEquilibrium, fit: KineticsFit) -> RoiMeasure:
    corrected, error = share.corrected, fit.errors.get("relaxation_time")
    low, high = share.interval or (math.nan, math.nan)
    return RoiMeasure(
        roi=name,
        contrast=share.contrast,
        s_noneq=share.s_noneq,
        s_noneq_norm=share.s_noneq_norm,
        status=share.status,
        s_corrected=math.nan if share.s_noneq_corrected is None else share.s_noneq_corrected,
        low=low,
        high=high,
        corrected_status=share.corrected_status,
        drift_rms_over_contrast=math.nan if corrected is None else corrected.drift_rms_over_contrast,
        cell=share.cell,
        window=share.window,
        relaxation_time=fit.relaxation_time,
        relaxation_error=math.nan if error is None else error,
        exponent=fit.exponent,
        kinetics_status=fit.status,
    )


def _share_later(found: NonEquilibrium, seconds: float) -> NonEquilibrium:
    if not seconds or found.corrected is None:
        return found
    moved = tuple(replace(one, start=one.start + seconds, stop=one.stop + seconds) for one in found.corrected.by_age)
    return replace(found, corrected=replace(found.corrected, by_age=moved))


def _fit_later(found: KineticsFit, seconds: float) -> KineticsFit:
    return replace(found, window=(found.window[0] + seconds, found.window[1] + seconds)) if seconds else found


def _jumps_later(found: JumpCheck, seconds: float, frames: int) -> JumpCheck:
    moved = tuple(replace(one, frame=one.frame + frames, time=one.time + seconds) for one in found.jumps)
    return replace(found, jumps=moved) if seconds else found
