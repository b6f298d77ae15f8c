"""The panels of a scan report, one function each."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from gbx_beamline.figures import style, words
from gbx_beamline.figures.reduction import (
    age_slices,
    cells,
    clean_map,
    correlation_limits,
    drift_limit,
    log_spaced,
)
from gbx_beamline.figures.style import Place
from gbx_beamline.figures.traces import mark_segments
from gbx_beamline.records import DecayFit, FloorRoi, ScanResult

_NOTHING_CORRELATED = "No pair of valid frames in this q-ROI, so there is nothing to draw."


def two_time_panel(figure: Figure, place: Place, result: ScanResult, index: int) -> None:
    """g2(t1, t2) with the shot-noise-free diagonal; t1 to the right, t2 upwards, both from the first frame on."""
    axes = style.page_axes(figure, place)
    image, width = cells(clean_map(result, index, whole=True))
    limits = correlation_limits([image], result.nonequilibrium[index].contrast)
    binned = "" if width == 1 else f"; {width}×{width} frames per cell"
    # Without counts, as in an imported map, there is no factorial moment, and the record holds the neighbours.
    counted = math.isfinite(result.two_time.mean_counts[index])
    diagonal = "diagonal free of shot noise" if counted else "diagonal from its neighbours"
    style.titled(axes, "Two-time correlation", f"{diagonal}{binned}")
    if limits is None:
        style.sentence(axes, _NOTHING_CORRELATED)
        return
    window = len(image) * width * result.two_time.frame_time
    drawn = time_map(figure, place, image, window, limits, axes=axes)
    mark_segments(axes, result)
    style.colour_bar(figure, drawn, place, "g2 (baseline 1)")


def drift_panel(figure: Figure, place: Place, result: ScanResult, index: int) -> None:
    """Drift of Eq. 2: g2 minus its mean over age at the same lag, colours symmetric about 0."""
    axes = style.page_axes(figure, place)
    record = result.nonequilibrium[index]
    if record.status != "ok":
        style.titled(axes, "Drift (Eq. 2)")
        style.sentence(axes, f"No non-equilibrium measure for this q-ROI: {record.status}.")
        return
    amplitude = words.number(record.drift_rms_over_contrast, 2)
    style.titled(axes, "Drift (Eq. 2)", f"g2 − mean over age; rms / contrast = {amplitude}")
    drift, width = cells(record.drift)
    limit = drift_limit(drift, record.contrast)
    window = len(drift) * width * record.cell
    drawn = time_map(
        figure,
        place,
        drift,
        window,
        (-limit, limit),
        axes=axes,
        colours=style.drift_colours(),
        began=result.analysed_start,
    )
    style.colour_bar(figure, drawn, place, "drift of g2")


def one_time_panel(
    figure: Figure, place: Place, result: ScanResult, index: int, *, floor: FloorRoi | None = None
) -> None:
    """One-time g2 at log-spaced lags with standard errors, the stored fit and its relaxation time.

    A band shows where a static reference stays, on this scan's scale.
    """
    axes = style.page_axes(figure, place)
    convention = {"ratio_of_sums": "ratio of sums", "pychx": "mean of ratios (pyCHX)"}[result.one_time.convention]
    band = _floor_band(result, index, floor)
    aside = "bars: least error" if band is None else "grey: static reference"
    style.titled(axes, "One-time g2(τ)", f"{convention}; {aside}")
    one_time, fit = result.one_time, result.fits[index]
    shown = log_spaced(one_time.tau, np.isfinite(one_time.g2[index]))
    if shown.size == 0:
        style.sentence(axes, _NOTHING_CORRELATED)
        return
    tau, g2, error = one_time.tau[shown], one_time.g2[index][shown], one_time.error[index][shown]
    axes.errorbar(
        tau,
        g2,
        yerr=np.where(np.isfinite(error), error, 0.0),
        fmt="o",
        markersize=5,
        color=style.MEASURED,
        ecolor=style.MEASURED,
        elinewidth=1.2,
        markeredgewidth=0,
    )
    style.log_lags(axes, one_time.tau[1], one_time.tau[-1])
    curve = fitted(fit, tau) if fit.status == "ok" else g2
    # A lag with a single pair has no error and may lie anywhere: it may leave the panel, the others may not.
    sure = g2[np.isfinite(error)] if np.isfinite(error).sum() > 1 else g2
    low, high = _with_room(np.concatenate([sure, curve, *([] if band is None else [band])]))
    axes.set_ylim(low, high)
    if band is not None:
        axes.axhspan(band.min(), band.max(), color="#9a9a9a", alpha=0.35, linewidth=0, zorder=0)
    if low < 1.0 < high:
        axes.axhline(1.0, color=style.QUIET, linewidth=0.9, linestyle=(0, (5, 4)), zorder=1)
    style.labelled(axes, "lag τ (s)", "g2(τ)")
    axes.ticklabel_format(axis="y", useOffset=False)
    if fit.status == "ok":
        fine = np.geomspace(one_time.tau[1], one_time.tau[-1], 200)
        axes.plot(fine, fitted(fit, fine), color=style.FITTED, linewidth=2.2)
        if fit.rate > 0 and fine[0] < 1.0 / fit.rate < fine[-1]:
            axes.axvline(1.0 / fit.rate, color=style.FITTED, linewidth=1.2, linestyle=(0, (1, 2)))
    _note(axes, _fit_words(fit, float(tau[-1])), tau, np.stack([g2, curve]))


def _floor_band(result: ScanResult, index: int, floor: FloorRoi | None) -> NDArray[np.float64] | None:
    """(2,) between which g2 of a static reference would end on this scan's scale, 95 % interval."""
    contrast = result.nonequilibrium[index].contrast
    if floor is None or not math.isfinite(floor.decay) or not math.isfinite(contrast):
        return None
    base = float(result.analysed_two_time.static_baseline[index])
    ends = 1.0 - floor.decay + 1.96 * floor.decay_error * np.array([-1.0, 1.0])
    return base + contrast * np.array([min(float(ends[0]), 0.995), max(float(ends[1]), 1.0)])


def slices_panel(figure: Figure, place: Place, result: ScanResult, index: int) -> None:
    """f(τ; t1) = (g2(t1, t1 + τ) - baseline) / contrast at a handful of ages t1."""
    axes = style.page_axes(figure, place)
    two_time, contrast = result.analysed_two_time, result.nonequilibrium[index].contrast
    frames = two_time.g2.shape[-1]
    band = words.duration(max(1, frames // 20) * two_time.frame_time)
    style.titled(axes, "Slices f(τ; t1)", f"mean over {band} of age; b: baseline")
    slices = age_slices(two_time.g2[index], two_time.frame_time)
    if not slices:
        style.sentence(axes, _NOTHING_CORRELATED)
        return
    divisible = math.isfinite(contrast) and contrast > 0
    scale = contrast if divisible else 1.0
    uneven = float(two_time.static_baseline[index]) - 1.0 if divisible else 0.0
    shades = style.correlation_colours()(np.linspace(0.0, 0.82, len(slices)))
    for one, shade, marker in zip(slices, shades, style.MARKERS, strict=False):
        axes.plot(
            one.tau,
            (one.excess - uneven) / scale,
            color=tuple(shade),
            marker=marker,
            markersize=5,
            markeredgewidth=0,
            linewidth=1.6,
            label=f"{words.duration(one.age + result.analysed_start)}",
        )
    style.log_lags(axes, two_time.frame_time, (frames - 1) * two_time.frame_time)
    values = np.concatenate([(one.excess - uneven) / scale for one in slices])
    # Slices of weak scans scatter at their ends; a few such points may leave the panel.
    low, high = _with_room(np.clip(values, *np.percentile(values, (1, 99))))
    axes.set_ylim((min(low, -0.07), max(high, 1.09)) if divisible else (low, high))
    for level in (0.0, 1.0) if divisible else (0.0,):
        axes.axhline(level, color=style.QUIET, linewidth=0.9, linestyle=(0, (5, 4)), zorder=1)
    ordinate = "f(τ; t1) = (g2 − b) / contrast" if divisible else "g2(t1, t1 + τ) − 1  (no contrast to divide by)"
    style.labelled(axes, "lag τ (s)", ordinate)
    axes.legend(
        title="age t1",
        loc="upper left",
        bbox_to_anchor=(1.01, 1.015),
        frameon=False,
        fontsize=style.SMALL,
        title_fontsize=style.SMALL,
        handlelength=1.5,
        handletextpad=0.5,
        borderaxespad=0.2,
        labelcolor=style.INK,
    )


def time_map(
    figure: Figure,
    place: Place,
    image: NDArray[np.float64],
    window: float,
    limits: tuple[float, float],
    *,
    axes: Axes | None = None,
    colours: Colormap | None = None,
    began: float = 0.0,
) -> AxesImage:
    """Draw a map over two times, indexed [t1, t2], in a square with t1 to the right and t2 upwards.

    Args:
        figure: The page.
        place: Where on it.
        image: (n, n); NaN is drawn in the neutral grey.
        window: s spanned by the map.
        limits: Colour limits.
        axes: Axes already at ``place``.
        colours: Colour map; viridis by default.
        began: s from the start of the series to that of the map.
    """
    axes = axes or style.page_axes(figure, place)
    unit, name = words.time_unit(began + window)
    first, last = began / unit, (began + window) / unit
    drawn = axes.imshow(
        # imshow puts the first index on the vertical axis; t1 belongs on the horizontal one.
        image.T,
        origin="lower",
        extent=(first, last, first, last),
        interpolation="nearest",
        aspect="equal",
        vmin=limits[0],
        vmax=limits[1],
        cmap=colours or style.correlation_colours(),
    )
    style.few_ticks(axes)
    style.labelled(axes, f"t1 ({name})", f"t2 ({name})")
    return drawn


def fitted(fit: DecayFit, tau: NDArray[np.float64]) -> NDArray[np.float64]:
    """The stored fit at lags in s."""
    return fit.baseline + fit.contrast * np.exp(-2.0 * (fit.rate * tau) ** fit.exponent)


def _fit_words(fit: DecayFit, longest: float) -> str:
    if fit.status != "ok":
        return words.wrapped(f"no fit: {fit.status}", 30)
    if fit.rate <= 0:
        return "no decay in the fit"
    held = fit.errors.get("exponent") is None
    exponent = f"{fit.exponent:g} (held)" if held else words.with_error(fit.exponent, fit.errors["exponent"])
    beyond = "\n(beyond the window)" if 1.0 / fit.rate > longest else ""
    said = f"relaxation time\n{words.relaxation_time(fit)}{beyond}\nexponent {exponent}"
    return said.replace(" (error", "\n(error")


def _note(axes: Axes, text: str, tau: NDArray[np.float64], curves: NDArray[np.float64]) -> None:
    """A boxed note in that corner, lower left or upper right, through which fewer points of a decay pass."""
    low, high = axes.get_ylim()
    across = np.log(tau / tau[0]) / max(float(np.log(tau[-1] / tau[0])), 1e-9)
    up = (curves - low) / (high - low)
    in_lower_left = np.count_nonzero((across < 0.5) & (up < 0.4))
    in_upper_right = np.count_nonzero((across > 0.5) & (up > 0.6))
    below = in_lower_left < in_upper_right
    x, y, ha, va = (0.04, 0.05, "left", "bottom") if below else (0.96, 0.95, "right", "top")
    axes.text(
        x,
        y,
        text,
        transform=axes.transAxes,
        ha=ha,
        va=va,
        fontsize=style.SMALL + 0.5,
        color="#8f3f00",
        linespacing=1.3,
        parse_math=False,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 3},
    )


def _with_room(values: NDArray[np.float64]) -> tuple[float, float]:
    """Limits around values, with a margin."""
    low, high = float(values.min()), float(values.max())
    room = 0.08 * (high - low) or 1e-3
    return low - room, high + room
