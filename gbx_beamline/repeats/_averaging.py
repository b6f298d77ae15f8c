"""The average of scans of one sample, and whether they differ by more than their noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.records import Combined, RepeatedFigure, RepeatedRoi, RepeatsAverage, ScanResult
from gbx_beamline.repeats._axes import Axis, Timing, common_axis
from gbx_beamline.repeats._combining import combine
from gbx_beamline.repeats._figures import Measured, together
from gbx_beamline.repeats._reducing import Reduced, Values, reduced

SAME_TEMPERATURE = 2.0
"""K within which scans are repeats, as in group inference."""

SAME_Q = 0.01
"""Relative difference of q_par within which q-ROIs are one: a mask that is drawn anew moves their mean. Diffusive
relaxation times differ by twice as much at the most."""

NOTED_Q = 1e-3
"""Beyond it, a difference is said."""

RANGES = 4
"""Of lag, equally wide on a logarithmic scale, in which curves are compared."""

FEWEST_GROUPS = 4
"""Pixel groups that say how large the noise is."""


def average(results: Sequence[ScanResult], *, common_window: bool = False) -> RepeatsAverage:
    """Average repeats of one measurement at equal lags and equal ages, with the scatter between them.

    One-time curves and two-time maps are averaged with equal weights; their standard errors are those of the scatter
    between repeats, which holds noise and true differences alike. Scans of one frame time and window are averaged frame
    by frame; where frame times are in the ratio of small whole numbers, on cells of whole frames of each.

    Of a scan with several segments the analysed one takes part, and its ages begin with it.

    Whether repeats (spots) differ by more than their noise is tested for each q-ROI with the relaxation time, the
    corrected S_noneq and g2 in four ranges of lag, against the noise that the pixel groups of each scan show; see
    ``combine``. Grain boundaries differ from spot to spot: then this says so, and the mean is over spots.

    Args:
        results: Of at least two scans of one sample at one temperature (2 K), with the same q-ROIs.
        common_window: True cuts longer scans to the shortest; False refuses scans of different length.

    Raises:
        InputError: what cannot be averaged, and why.
    """
    maps = [one.analysed_two_time for one in results]
    timings = [timing(one.scan.run_uid, tt.frame_time, tt.g2.shape[-1]) for one, tt in zip(results, maps, strict=True)]
    axis = checked_axis(timings, common_window=common_window)
    parts = [reduced(one, axis, frames) for one, frames in zip(results, axis.frames_per_cell, strict=True)]
    return averaged(parts, axis, common_window=common_window)


def timing(run_uid: str, frame_time: float, frames: int) -> Timing:
    """What a scan's map is on, with the name that messages use."""
    return Timing(f"run {run_uid[:8]}", frame_time, frames)


def checked_axis(timings: Sequence[Timing], *, common_window: bool) -> Axis:
    """``common_axis`` of at least two scans.

    Raises:
        InputError: fewer, or no common axis.
    """
    if len(timings) < 2:
        raise InputError(
            f"{len(timings)} scans to average", needed="at least two", action="name more runs of the sample"
        )
    return common_axis(timings, common_window=common_window)


def averaged(parts: Sequence[Reduced], axis: Axis, *, common_window: bool) -> RepeatsAverage:
    """The average of scans that are on one axis.

    Raises:
        InputError: they are not of one sample, temperature or set of q-ROIs, or nobody may see all of them.
    """
    _check_alike(parts)
    first = parts[0]
    curves = np.stack([part.curves for part in parts])
    g2, error = _mean_and_error(curves)
    maps, map_error = _mean_and_error(np.array([part.maps for part in parts]))
    kelvins = [part.repeat.temperature for part in parts if part.repeat.temperature is not None]
    return RepeatsAverage(
        repeats=tuple(part.repeat for part in parts),
        sample=first.sample,
        temperature=float(np.mean(kelvins)) if kelvins else None,
        cell=axis.cell,
        map_cell=axis.map_cell,
        tau=np.arange(axis.cells, dtype=np.float64) * axis.cell,
        g2=g2,
        error=error,
        curves=curves,
        noise=np.stack([_noise_of_mean([part.noise[roi] for part in parts], axis.cells) for roi in range(len(g2))]),
        two_time=maps.astype(np.float32),
        two_time_error=map_error.astype(np.float32),
        rois=tuple(_roi(parts, roi) for roi in range(len(g2))),
        common_window=common_window,
        notes=_notes(parts),
        access_tags=_shared_tags(parts),
    )


def _check_alike(parts: Sequence[Reduced]) -> None:
    first = parts[0]
    if len({part.repeat.run_uid for part in parts}) < len(parts):
        raise InputError(
            "one run twice", needed="different runs: a scan agrees with itself", action="name each run once"
        )
    for part in parts[1:]:
        here, there = f"run {part.repeat.run_uid[:8]}", f"run {first.repeat.run_uid[:8]}"
        if part.sample != first.sample:
            raise InputError(
                f"{here} is of sample {part.sample!r}, {there} of {first.sample!r}",
                needed="repeats of one sample",
                action="leave one of them out",
            )
        apart = _q_apart(part, first)
        if apart is None or apart > SAME_Q:
            raise InputError(
                f"{here} has q-ROIs {', '.join(part.names)}, {there} {', '.join(first.names)}"
                + ("" if apart is None else f", at q up to {apart:.1%} apart"),
                needed=f"the same q-ROIs in all, q within {SAME_Q:.0%}",
                action="analyse them with one configuration first (`gbx reprocess`)",
            )
    check_temperatures({part.repeat.run_uid: part.repeat.temperature for part in parts})


def check_temperatures(kelvins: Mapping[str, float | None]) -> None:
    """Refuse runs at several temperatures.

    Args:
        kelvins: By uid of the run; None where it is not known.

    Raises:
        InputError: they lie further apart than ``SAME_TEMPERATURE``.
    """
    known = {uid: kelvin for uid, kelvin in kelvins.items() if kelvin is not None}
    if not known:
        return
    cold, hot = (pick(known, key=lambda uid: known[uid]) for pick in (min, max))
    if known[hot] - known[cold] > SAME_TEMPERATURE:
        raise InputError(
            f"run {cold[:8]} at {known[cold]:.4g} K and run {hot[:8]} at {known[hot]:.4g} K",
            needed=f"one temperature, within {SAME_TEMPERATURE:g} K",
            action="average each temperature by itself (--temperature K)",
        )


def _q_apart(part: Reduced, other: Reduced) -> float | None:
    """Largest relative difference of q_par between q-ROIs of one name; None where they are others."""
    if part.names != other.names or not np.array_equal(np.isnan(part.q[0]), np.isnan(other.q[0])):
        return None
    known = np.isfinite(part.q[0])
    here, there = np.abs(part.q[0][known]), np.abs(other.q[0][known])
    return float(np.max(np.abs(here - there) / np.maximum(here, there), initial=0.0))


def _mean_and_error(values: NDArray[Any]) -> tuple[Values, Values]:
    """Over the first axis, of what is known; the error NaN with fewer than two."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0, dtype=np.float64)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    squares = np.where(known, values - np.where(count > 0, mean, 0.0), 0.0)
    square_sum = (squares.astype(np.float64) ** 2).sum(axis=0)
    several = count > 1
    variance = np.divide(square_sum, (count - 1) * count, out=np.full(total.shape, np.nan), where=several)
    return mean, np.sqrt(variance)


def _noise_of_mean(noise: Sequence[Values | None], cells: int) -> Values:
    """(n,) standard error of the mean of the repeats from the noise within each."""
    if any(one is None for one in noise):
        return np.full(cells, np.nan)
    variances = np.array([_variance(one) for one in noise if one is not None])
    return np.sqrt(variances.sum(axis=0)) / len(noise)


def _variance(deviations: Values) -> Values:
    groups = len(deviations)
    return (deviations**2).sum(axis=0) * groups / (groups - 1)


def _roi(parts: Sequence[Reduced], roi: int) -> RepeatedRoi:
    first = parts[0]
    name = first.names[roi]
    time = _figure([part.times[name] for part in parts])
    share = _figure([part.shares[name] for part in parts])
    if len({part.share_cells[roi] for part in parts}) > 1:
        # Numbers at other cells or windows are other numbers.
        share = replace(share, together=None, status="measured on different cells or windows, which are part of it")
    curve = _curve_ranges(parts, roi)
    figures = [one for one in (time.together, share.together, *curve) if one is not None]
    chances = [one.p_value for one in figures if math.isfinite(one.p_value)]
    return RepeatedRoi(
        name=name,
        q_par=float(first.q[0, roi]),
        q_z=float(first.q[1, roi]),
        log_relaxation_time=time,
        s_noneq=share,
        curve=curve,
        p_value=min(1.0, min(chances) * len(chances)) if chances else math.nan,
    )


def _figure(found: Sequence[Measured | str]) -> RepeatedFigure:
    values = [one for one in found if isinstance(one, Measured)]
    reasons = [one for one in found if isinstance(one, str)]
    return RepeatedFigure(
        values=tuple(one.value if isinstance(one, Measured) else math.nan for one in found),
        errors=tuple(one.error if isinstance(one, Measured) else math.nan for one in found),
        together=together(values) if values else None,
        status=f"{len(reasons)} of {len(found)} repeats: {reasons[0]}" if reasons else "ok",
    )


def _curve_ranges(parts: Sequence[Reduced], roi: int) -> tuple[Combined, ...]:
    """g2 in each range of lag over the repeats, against the noise between pixel groups."""
    noise = [part.noise[roi] for part in parts]
    curves = np.array([part.curves[roi] for part in parts])
    if any(one is None or len(one) < FEWEST_GROUPS for one in noise):
        return ()
    cells = curves.shape[1]
    edges = np.unique(np.geomspace(1, cells, RANGES + 1).round().astype(int))
    found = []
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        known = np.flatnonzero(np.isfinite(curves[:, low:high]).all(axis=0)) + low
        if not known.size:
            continue
        deviations = [one[:, known].mean(axis=1)[:, None] for one in noise if one is not None]
        errors = np.sqrt([float(_variance(one)[0]) for one in deviations])
        # A map without any noise, as a simulated one, has nothing to be compared with.
        if (errors > 0).all():
            found.append(combine(curves[:, known].mean(axis=1), errors, [len(one) - 1 for one in deviations]))
    return tuple(found)


def _notes(parts: Sequence[Reduced]) -> tuple[str, ...]:
    notes = []
    if len({part.settings_hash for part in parts}) > 1:
        notes.append("repeats were analysed with different settings; their q-ROIs are the same")
    apart = max(_q_apart(part, parts[0]) or 0.0 for part in parts)
    if apart > NOTED_Q:
        notes.append(f"q of the q-ROIs differs by up to {apart:.1%} between repeats")
    if any(part.repeat.temperature is None for part in parts):
        notes.append("the temperature of some repeats is not known")
    if any(one is None for part in parts for one in part.noise):
        notes.append("without pixel groups the scatter cannot be compared with noise")
    return tuple(notes)


def _shared_tags(parts: Sequence[Reduced]) -> tuple[str, ...]:
    """Whoever may see the average may see each repeat."""
    tags = [set(part.access_tags) for part in parts]
    shared = set.intersection(*tags)
    if any(tags) and not shared:
        raise InputError(
            f"repeats with access tags {', '.join(sorted(set.union(*tags)))}, none of which all share",
            needed="runs that the same people may see",
            action="average the runs of each proposal by themselves",
        )
    return tuple(sorted(shared))
