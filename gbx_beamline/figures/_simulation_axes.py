"""How the parameters of an ensemble are drawn on axes."""

from __future__ import annotations

import math
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from gbx_beamline.figures import style
from gbx_beamline.figures._simulation_bins import Edges
from gbx_beamline.figures._simulation_words import LABELS, SQUARE_ANGSTROM
from gbx_beamline.figures.words import power_of_ten


def parameter_axis(axes: Axes, which: Literal["x", "y"], name: str, edges: Edges) -> None:
    """Scale, limits, ticks and label of one axis.

    Args:
        axes: Axes already drawn into.
        which: "x" or "y".
        name: of the parameter.
        edges: of its bins.
    """
    axis: Axis = getattr(axes, f"{which}axis")
    label, unit = LABELS[name]
    if edges.logarithmic:
        getattr(axes, f"set_{which}scale")("log")
        _powers_of_ten(axis)
    else:
        power = _common_power(edges)
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 10.0**power:g}"))
        unit = f"{power_of_ten(10.0**power)} {unit}".rstrip() if power else unit
    getattr(axes, f"set_{which}lim")(edges.values[0], edges.values[-1])
    axis.set_label_text(f"{label} ({unit})" if unit else label, fontsize=style.BODY, color=style.INK)


def square_angstrom_axis(axes: Axes, side: Literal["top", "right"], edges: Edges) -> None:
    """A second scale of D, in Å^2/s, on the "top" or at the "right"."""
    scales = (lambda value: value * SQUARE_ANGSTROM, lambda value: value / SQUARE_ANGSTROM)
    if side == "top":
        second = axes.secondary_xaxis("top", functions=scales)
        axis: Axis = second.xaxis
    else:
        second = axes.secondary_yaxis("right", functions=scales)
        axis = second.yaxis
    if edges.logarithmic:
        _powers_of_ten(axis)
    second.tick_params(which="major", labelsize=style.SMALL, colors=style.INK, length=4, width=0.8)
    second.tick_params(which="minor", length=2.5, width=0.6, color=style.INK)
    axis.set_label_text("D (Å²/s)", fontsize=style.BODY, color=style.INK)


def _powers_of_ten(axis: Axis) -> None:
    axis.set_major_locator(LogLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    axis.set_minor_formatter(NullFormatter())


def _common_power(edges: Edges) -> int:
    """Power of ten that is said once beside the unit; 0 where the numbers are short without it."""
    largest = float(abs(edges.values).max())
    power = math.floor(math.log10(largest)) if largest > 0 else 0
    return power if abs(power) > 3 else 0
