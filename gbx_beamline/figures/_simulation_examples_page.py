"""Two-time maps and cuts of a few members, as in the paper's Fig. 3a and 3b."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator, ScalarFormatter
from numpy.typing import NDArray

from gbx_beamline.figures import _simulation_words as say
from gbx_beamline.figures import style, words
from gbx_beamline.figures._simulation_ensemble import EnsembleView
from gbx_beamline.figures._simulation_examples import SHARES_BELOW, Example
from gbx_beamline.figures.panels import time_map
from gbx_beamline.figures.style import Place

_SIDE, _LEFT, _RIGHT, _PITCH = 2.75, 0.95, 1.85, 4.35
_MAPS, _CUTS = 2.95, 2.75
_WIDTH = _LEFT + (len(SHARES_BELOW) - 1) * _PITCH + _SIDE + _RIGHT
_SCALE = (0.5, 99.5)
"""Percentiles at which colours end."""

_SCALES = (
    "Each map has its own colours and each panel of cuts its own scale: S_noneq says nothing about the size of the "
    "drift, which is the rms of Eq. 2 over the contrast."
)


def examples_page(ensemble: EnsembleView, examples: list[Example]) -> Figure:
    """A column for each member: what it is, its map, and cuts at several ages with the baseline of Eq. 1.

    Returns:
        A matplotlib figure with an Agg canvas.
    """
    cuts = _MAPS + _SIDE + 0.95
    figure = say.page(ensemble, _WIDTH, cuts + _CUTS + 0.75, (_SCALES,))
    for column, example in enumerate(examples):
        first, last = column == 0, column == len(examples) - 1
        left = _LEFT + column * _PITCH
        _describe(figure, left, example)
        _map(figure, Place(left, _MAPS, _SIDE, _SIDE), example, ensemble.window, labelled=first)
        _cuts(figure, Place(left, cuts, _SIDE, _CUTS), example, ensemble.window, labelled=first, legend=last)
    return figure


def _describe(figure: Figure, left: float, example: Example) -> None:
    values = example.values
    title = f"√S = {words.number(values['s_noneq_norm'], 2)},  S = {words.number(values['s_noneq'], 2)}"
    style.page_text(figure, left, 1.2, title, fontsize=style.TITLE, fontweight="bold")
    drift = example.drift_over_contrast
    size = f"rms of drift / contrast = {words.number(drift, 2)}" if np.isfinite(drift) else "drift not measured"
    told = (
        f"{100 * example.share_below:.0f} % of members lie below  ·  member {example.member}",
        size,
        say.with_unit("diffusivity", values["diffusivity"]),
        say.with_unit("gamma", values["gamma"]),
        "  ·  ".join(say.with_unit(name, values[name]) for name in ("gb_fraction", "temperature")),
    )
    style.page_text(figure, left, 1.52, "\n".join(told), fontsize=style.SMALL, color=style.QUIET, linespacing=1.35)


def _map(figure: Figure, place: Place, example: Example, window: float, *, labelled: bool) -> None:
    image = example.g2.astype(np.float64)
    off = image[~np.eye(len(image), dtype=bool)]
    limits = np.percentile(off[np.isfinite(off)], _SCALE)
    drawn = time_map(figure, place, image, window, (float(limits[0]), float(limits[1])))
    if not labelled:
        drawn.axes.set_ylabel("")
    _bar(figure, drawn, place)


def _bar(figure: Figure, image: AxesImage, beside: Place) -> None:
    axes = style.page_axes(figure, beside.right_of(0.11, 0.15))
    # The limits are percentiles, hence the pointed ends.
    bar = figure.colorbar(image, cax=axes, extend="both")
    bar.locator = MaxNLocator(6, steps=[1, 2, 5, 10])
    # What lies between 1.135 and 1.139 is read as such, not as an offset above the bar.
    bar.formatter = ScalarFormatter(useOffset=False)
    bar.update_ticks()
    axes.tick_params(labelsize=style.SMALL, colors=style.INK, length=3)
    axes.set_title("g2", fontsize=style.BODY, color=style.INK, pad=8, loc="left")


def _cuts(figure: Figure, place: Place, example: Example, window: float, *, labelled: bool, legend: bool) -> None:
    axes = style.page_axes(figure, place)
    ages = [cut.age for cut in example.cuts]
    unit, name = words.time_unit(window)
    shades = style.correlation_colours()(np.linspace(0.0, 0.88, len(ages)))
    for cut, shade in zip(example.cuts, shades, strict=True):
        axes.plot(cut.tau / unit, cut.g2, color=tuple(shade), linewidth=1.8, label=words.duration(round(cut.age)))
    baseline = example.baseline
    looks = {"color": style.INK, "linewidth": 1.6, "linestyle": (0, (4, 2)), "zorder": 3}
    axes.plot(baseline.tau / unit, baseline.g2, label="all ages (Eq. 1)", **looks)
    axes.set_xlim(0.0, window / unit)
    axes.set_ylim(*_range([cut.g2 for cut in (*example.cuts, baseline)]))
    axes.grid(color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    style.few_ticks(axes, x=5, y=7)
    axes.ticklabel_format(axis="y", useOffset=False)
    style.labelled(axes, f"lag τ ({name})", "g2(t1, t1 + τ)" if labelled else "")
    if legend:
        axes.legend(
            title="age t1",
            alignment="left",
            loc="upper left",
            bbox_to_anchor=(1.02, 1.02),
            frameon=False,
            fontsize=style.SMALL,
            title_fontsize=style.SMALL,
            handlelength=1.5,
            handletextpad=0.5,
            borderaxespad=0.2,
            labelcolor=style.INK,
        )


def _range(curves: list[NDArray[np.float64]]) -> tuple[float, float]:
    """Limits that hold nearly all points: the ends of noisy cuts may leave the panel."""
    values = np.concatenate(curves)
    low, high = (float(value) for value in np.percentile(values[np.isfinite(values)], (0.5, 99.5)))
    room = 0.08 * (high - low) or 1e-3
    return low - room, high + room
