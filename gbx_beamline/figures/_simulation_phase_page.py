"""S_noneq of an ensemble over its parameters, as in the paper's Fig. 3c."""

from __future__ import annotations

import math

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from gbx_beamline.figures import _simulation_words as say
from gbx_beamline.figures import style
from gbx_beamline.figures._simulation_axes import parameter_axis, square_angstrom_axis
from gbx_beamline.figures._simulation_bins import FEWEST, Binned, binned, bins_for, edges_of
from gbx_beamline.figures._simulation_ensemble import MEASURES, EnsembleView
from gbx_beamline.figures.style import Place

PLANES = (("diffusivity", "gamma"), ("gb_fraction", "diffusivity"))
"""Parameters to the right and upwards."""

SCALE_FREE = ("diffusivity", "gamma")

_SIDE, _LEFT, _RIGHT, _PITCH = 3.3, 1.0, 1.05, 4.45
_TOP, _BETWEEN = 2.9, 1.0
_WIDTH = _LEFT + 2 * _PITCH + _SIDE + _RIGHT
_READING = (
    f"Medians in bins; where fewer than {FEWEST} members lie, each is a dot; grey: none. Upper row: every λ_GB and T "
    "together; lower row: every γ and T together."
)


def phase_page(ensemble: EnsembleView) -> Figure:
    """Medians of both forms of S_noneq in bins over (D, gamma) and (lambda, D), and the members behind them.

    Returns:
        A matplotlib figure with an Agg canvas.
    """
    planes = binned_planes(ensemble)
    figure = say.page(ensemble, _WIDTH, _TOP + 2 * _SIDE + _BETWEEN + 0.85, (_READING,))
    for column, measure in enumerate((*MEASURES, None)):
        left = _LEFT + column * _PITCH
        scale = None if measure is None else _scale(ensemble, planes, measure)
        _column_head(figure, left, measure, scale)
        for row, (plane, found) in enumerate(zip(PLANES, planes, strict=True)):
            place = Place(left, _TOP + row * (_SIDE + _BETWEEN), _SIDE, _SIDE)
            axes = style.page_axes(figure, place)
            axes.set_facecolor(style.NEUTRAL)
            if measure is None or scale is None:
                _counts(axes, found)
            else:
                _medians(axes, ensemble, plane, found, measure, scale)
            _axes_of(axes, plane, found, last=column == len(MEASURES))
    return figure


def binned_planes(ensemble: EnsembleView) -> tuple[Binned, ...]:
    """Both measures over each of ``PLANES``."""
    measures = {name: ensemble.values[name] for name in MEASURES}
    bins = bins_for(len(ensemble.members))
    edges = {name: edges_of(ensemble.values[name], bins, scale_free=name in SCALE_FREE) for name in ensemble.values}
    return tuple(binned(ensemble.values[x], ensemble.values[y], measures, edges[x], edges[y]) for x, y in PLANES)


def _scale(ensemble: EnsembleView, planes: tuple[Binned, ...], measure: str) -> Normalize:
    """Colours from 0 to the largest value that is drawn, rounded up."""
    drawn = [np.nanmax(found.drawn_medians(measure), initial=0.0) for found in planes]
    drawn += [ensemble.values[measure][found.alone].max(initial=0.0) for found in planes]
    top = max(0.1, math.ceil(10 * max(drawn)) / 10)
    return Normalize(0.0, top)


def _column_head(figure: Figure, left: float, measure: str | None, scale: Normalize | None) -> None:
    """Title of a column and, below it, the colour scale that its panels share."""
    title, subtitle = say.MEASURE_TITLES[measure] if measure else ("Members per bin", "as number and shade; grey: none")
    style.page_text(figure, left, 1.22, title, fontsize=style.TITLE, fontweight="bold")
    style.page_text(figure, left, 1.5, subtitle, fontsize=style.SMALL, color=style.QUIET)
    if scale is not None:
        axes = style.page_axes(figure, Place(left, 1.77, _SIDE, 0.14))
        bar = figure.colorbar(ScalarMappable(scale, style.correlation_colours()), cax=axes, orientation="horizontal")
        bar.locator = MaxNLocator(5, steps=[1, 2, 5, 10])
        bar.update_ticks()
        axes.tick_params(labelsize=style.SMALL, colors=style.INK, length=3, pad=2)


def _medians(
    axes: Axes, ensemble: EnsembleView, plane: tuple[str, str], found: Binned, measure: str, scale: Normalize
) -> None:
    _cells(axes, found, found.drawn_medians(measure), style.correlation_colours(), scale)
    x, y = (ensemble.values[name][found.alone] for name in plane)
    axes.scatter(
        x,
        y,
        c=ensemble.values[measure][found.alone],
        cmap=style.correlation_colours(),
        norm=scale,
        s=38,
        edgecolors="white",
        linewidths=0.8,
        zorder=3,
        # A member at the very end of a range sits on the frame.
        clip_on=False,
    )


def _counts(axes: Axes, found: Binned) -> None:
    """How many members each bin holds, as shade and as number."""
    members = np.where(found.members > 0, found.members, np.nan)
    top = max(float(found.members.max()), 1.0)
    shades = mpl.colormaps["Blues"].with_extremes(bad=style.NEUTRAL)
    _cells(axes, found, members, shades, Normalize(0.0, 1.15 * top))
    size = style.SMALL if len(found.x) <= 9 else style.SMALL - 2
    for row, up in enumerate(found.y.middles()):
        for column, across in enumerate(found.x.middles()):
            count = int(found.members[row, column])
            colour = "white" if count > 0.7 * top else style.INK
            axes.text(across, up, str(count), ha="center", va="center", fontsize=size, color=colour)


def _cells(axes: Axes, found: Binned, values: NDArray[np.float64], colours: Colormap, scale: Normalize) -> None:
    axes.pcolormesh(
        found.x.values,
        found.y.values,
        np.ma.masked_invalid(values),
        cmap=colours,
        norm=scale,
        edgecolors="white",
        linewidth=0.6,
    )


def _axes_of(axes: Axes, plane: tuple[str, str], found: Binned, *, last: bool) -> None:
    parameter_axis(axes, "x", plane[0], found.x)
    parameter_axis(axes, "y", plane[1], found.y)
    if plane[0] == "diffusivity":
        square_angstrom_axis(axes, "top", found.x)
    elif last:
        square_angstrom_axis(axes, "right", found.y)
