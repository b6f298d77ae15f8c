"""Decays of the one-time correlation per q-ROI and age: the fits that people publish, with errors that hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._group_curves import GroupMaps, deviations, groups_of
from gbx_beamline.correlation._multi_tau import CHANNELS, bin_sums, lag_edges
from gbx_beamline.correlation._one_time import LagMeans, lag_means_between
from gbx_beamline.correlation._stretched import Curve, Solution, gradient, model, solve
from gbx_beamline.errors import InputError
from gbx_beamline.records import ErrorSource, KineticsFit, TwoTime

FEWEST_LAGS = 8
"""Twice as many bins as there are parameters."""

FEWEST_GROUPS = 4
"""A scatter between fewer groups says too little of itself."""

WIDEST = 0.5
"""Standard error of the logarithm of a relaxation time beyond which it is not determined."""

SIGNIFICANT = 3.0
"""Standard errors by which g2 must fall within the lags: the time is free, so noise finds falls of two."""

REMAINDER = 0.1
"""Share of the contrast that may be left at the longest lag: with more, the baseline is a guess, and those that pass
have short relaxation times by chance."""


@dataclass(frozen=True)
class _Window:
    """One q-ROI between two frames."""

    tt: TwoTime
    roi: int
    start: int
    stop: int
    edges: NDArray[np.int64]


def fit_kinetics(
    tt: TwoTime, *, ages: int = 3, exponent: float | None = None, channels: int = CHANNELS
) -> tuple[KineticsFit, ...]:
    """Fit stretched or compressed exponentials to every q-ROI, over the whole series and in windows of age.

    ``g2 = baseline + contrast * exp(-2 (tau / relaxation_time)^exponent)`` is fitted by weighted least squares to
    the one-time correlation of the pairs whose frames both lie in the window, averaged over lags that widen like
    those of ``multi_tau``, so that the many long lags do not drown the few short ones. Lag 0 takes no part. All
    four parameters are free, the exponent within 0.2 to 3.

    Errors. Where the correlation carries maps of at least four pixel groups, the scatter of the groups' curves is
    propagated through the fit (delete-one-group jackknife, linearised about the solution; equal to the sandwich
    covariance of White, Econometrica 48, 817 (1980), for clusters): ``error_source`` is "groups". This holds the
    noise of photons and of speckles with all its correlations between lags; what the whole ROI does at once
    (drifting beam, intermittent dynamics) it does not hold. In simulations of 40 movies with equal, independent
    groups the relaxation time scattered 0.65 to 1.25 times as much as said, least in short windows that resolve the
    decay poorly. Otherwise, and where the relaxation time is shorter than a cell of the group maps, the errors of the
    curve are taken as independent between bins: "lower bound", in those simulations up to 1.8 times too small.

    Args:
        tt: two-time correlation.
        ages: number of equal windows of age beside the whole series; 0 or 1 fits the whole series only.
        exponent: held at this value; None fits it.
        channels: see ``lag_edges``.

    Returns:
        Per q-ROI the whole series, then the windows of age, oldest last. Where the data allow no fit, ``status``
        says why ("too few lags", "no decay", "decay beyond the window", "too fast", "not determined") and the
        numbers are NaN.

    Raises:
        InputError: a negative number of ages, an exponent that is not positive, or impossible channels.
    """
    rois, frames, _ = tt.g2.shape
    if not 0 <= ages <= frames:
        raise InputError(f"ages = {ages}", needed=f"0 to {frames} windows, one frame each", action="correct it")
    if exponent is not None and not (np.isfinite(exponent) and exponent > 0):
        raise InputError(f"exponent {exponent}", needed="a positive number, or None to fit it", action="correct it")
    bounds = np.linspace(0, frames, ages + 1).round().astype(int) if ages > 1 else np.empty(0, dtype=int)
    spans = [(0, frames), *zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)]
    fits = []
    for roi in range(rois):
        groups = groups_of(tt, roi)
        for start, stop in spans:
            fits.append(_fit(_Window(tt, roi, start, stop, lag_edges(stop - start, channels)), groups, exponent))
    return tuple(fits)


def _fit(window: _Window, groups: GroupMaps, exponent: float | None) -> KineticsFit:
    tt, roi = window.tt, window.roi
    means = lag_means_between(tt, roi, window.start, window.stop, by_means=True)
    curve, used = _binned(means, window.edges, tt.frame_time)
    if curve.tau.size < FEWEST_LAGS:
        reason = f"too few lags: {curve.tau.size} bins with a known error, at least {FEWEST_LAGS} are needed"
        return _failed(window, curve, reason)
    solution = solve(curve, exponent)
    covariance, source = solution.covariance, "lower bound"
    between = _between_groups(window, groups, means, used, curve, solution)
    if between is not None:
        covariance, source = between, "groups"
    if (reason := _doubt(window, curve, solution, covariance)) is not None:
        return _failed(window, curve, reason)
    spread = np.sqrt(np.diagonal(covariance))
    return _record(window, curve, solution.values, spread, source, exponent, len(groups.maps))


def _binned(means: LagMeans, edges: NDArray[np.int64], frame_time: float) -> tuple[Curve, NDArray[np.bool_]]:
    """The curve to fit, and which bins (B,) it holds."""
    weight = np.where(means.pairs > 0, means.weight, 0.0)
    trusted = np.where(np.isfinite(means.error), weight, 0.0)
    total, known = bin_sums(weight, edges), bin_sums(trusted, edges)
    # Lags of a bin are averages over the same frames: their errors are added as fully correlated.
    error = bin_sums(trusted * np.nan_to_num(means.error), edges) / np.where(known > 0, known, np.nan)
    used = (total > 0) & (known > 0)
    lag = bin_sums(weight * np.arange(float(weight.size)), edges)[used] / total[used]
    g2 = bin_sums(weight * means.mean, edges)[used] / total[used]
    error = error[used]
    if error.size:
        # A map without noise has no errors, and a lag with two or three pairs can have a tiny one by chance.
        error = np.maximum(error, max(0.5 * float(np.median(error)), float(np.finfo(np.float32).eps)))
    return Curve(lag * frame_time, g2, error), used


def _between_groups(
    window: _Window, groups: GroupMaps, means: LagMeans, used: NDArray[np.bool_], curve: Curve, solution: Solution
) -> NDArray[np.float64] | None:
    """(4, 4) covariance from the scatter between groups; None where they cannot tell."""
    cell = groups.frames_per_cell * window.tt.frame_time
    if len(groups.maps) < FEWEST_GROUPS or np.exp(solution.values[1]) < cell:
        return None
    apart = deviations(groups, window.start, window.stop)
    if apart is None:
        return None
    weight = np.where(means.pairs > 0, means.weight, 0.0)
    total = bin_sums(weight, window.edges)[used]
    binned = np.array([bin_sums(weight * row, window.edges)[used] / total for row in apart])
    moved = binned @ solution.response.T * groups.share[:, None]
    # The groups' curves begin at one cell: the noise that shorter lags have by themselves is that of their pairs.
    shorter = solution.response * np.where(curve.tau < cell, curve.error, 0.0)
    return moved.T @ moved * len(moved) / (len(moved) - 1) + shorter @ shorter.T


def _doubt(window: _Window, curve: Curve, solution: Solution, covariance: NDArray[np.float64]) -> str | None:
    """Why the numbers are not to be used; None where they are."""
    log_time = float(solution.values[1])
    first, longest = curve.tau[0], curve.tau[-1]
    spread = np.sqrt(np.diagonal(covariance))
    ends = gradient(solution.values, curve.tau[[0, -1]])
    fall = float(np.subtract(*model(solution.values, curve.tau[[0, -1]])))
    fall_error = float(np.sqrt((ends[:, 0] - ends[:, 1]) @ covariance @ (ends[:, 0] - ends[:, 1])))
    seen = solution.determined and fall > SIGNIFICANT * fall_error
    left = float(np.exp(-2.0 * (longest / np.exp(log_time)) ** solution.values[2]))
    if seen and left > REMAINDER:
        return f"decay beyond the window: {left:.0%} of the contrast left at the longest lag of {longest:.2g} s"
    if seen and spread[1] <= WIDEST and not solution.at_edge:
        return None
    # What the diagonal says of the contrast tells a plateau from a decay that is over.
    diagonal = window.tt.diagonal[window.roi, window.start : window.stop]
    diagonal = diagonal[np.isfinite(diagonal)]
    floor = float(window.tt.static_baseline[window.roi])
    height = float(diagonal.mean()) - floor if diagonal.size else np.nan
    noise = float(diagonal.std() / np.sqrt(diagonal.size)) if diagonal.size else np.nan
    level = float(np.average(curve.g2, weights=curve.error**-2.0))
    if not height > max(SIGNIFICANT * noise, float(np.median(curve.error))):
        return f"no decay: neither the lags nor the diagonal show a contrast (diagonal {height:.2g} above its baseline)"
    top = float(model(solution.values, curve.tau[:1])[0]) - floor
    if level - floor > 0.5 * height:
        return f"decay beyond the window: g2 keeps more than half its contrast up to the longest lag of {longest:.2g} s"
    if top < 0.5 * height:
        return f"too fast: correlations are mostly gone at the shortest lag of {first:.2g} s"
    return (
        f"not determined: g2 falls by {fall:.2g}, its error at least {fall_error:.2g}; logarithm of the relaxation "
        f"time uncertain by {spread[1]:.2g}; exponent {solution.values[2]:.2g}"
    )


def _record(
    window: _Window,
    curve: Curve,
    values: NDArray[np.float64],
    spread: NDArray[np.float64],
    source: ErrorSource,
    exponent: float | None,
    groups: int,
) -> KineticsFit:
    time = float(np.exp(values[1]))
    return KineticsFit(
        **_labels(window),
        contrast=float(values[0]),
        relaxation_time=time,
        exponent=float(values[2]),
        baseline=float(values[3]),
        errors={
            "contrast": float(spread[0]),
            "relaxation_time": time * float(spread[1]),
            "exponent": float(spread[2]) if exponent is None else None,
            "baseline": float(spread[3]),
        },
        error_source=source,
        groups=groups if source == "groups" else 0,
        lags=curve.tau.size,
        status="ok",
    )


def _failed(window: _Window, curve: Curve, reason: str) -> KineticsFit:
    nan = float("nan")
    return KineticsFit(
        **_labels(window),
        contrast=nan,
        relaxation_time=nan,
        exponent=nan,
        baseline=nan,
        errors=dict.fromkeys(("contrast", "relaxation_time", "exponent", "baseline")),
        error_source="none",
        groups=0,
        lags=curve.tau.size,
        status=reason,
    )


def _labels(window: _Window) -> dict[str, Any]:
    tt = window.tt
    return {
        "roi": window.roi,
        "name": tt.names[window.roi] if tt.names else f"ROI {window.roi + 1}",
        "window": (window.start * tt.frame_time, window.stop * tt.frame_time),
        "whole": (window.start, window.stop) == (0, tt.g2.shape[-1]),
    }
