"""How GBX figures look, applied artist by artist.

``matplotlib.rc_context`` swaps settings of the whole process, so two threads that enter it can leave each other's
settings behind. Everything here is set on the artists themselves instead, and no label uses mathtext,
whose parser is shared between threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from gbx_beamline.figures.words import power_of_ten, wrapped

DPI = 120
INK = "#1a1a1a"
QUIET = "#595959"
NOTE = "#8a4500"
NEUTRAL = "#b8b8b8"
"""Cells without a value. Viridis holds no grey, and the white middle of the diverging map is much lighter."""
MEASURED = "#0072b2"
FITTED = "#d55e00"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#806000")
"""Okabe and Ito's colours, told apart by colour-blind readers; markers tell them apart in print."""
MARKERS = ("o", "s", "^", "D", "v", "P")

SMALL, BODY, TITLE, HEAD = 11.0, 12.0, 13.5, 20.0
"""Font sizes, pt."""
LINE = 0.25
"""Height of a line of body text, inch."""


def series_colour(order: int) -> str:
    """Colour of the n-th series."""
    return SERIES[order % len(SERIES)]


def marker(order: int) -> str:
    """Marker of the n-th series: shifted after each round of colours, so that 36 series differ."""
    return MARKERS[(order + order // len(SERIES)) % len(MARKERS)]


@dataclass(frozen=True)
class Place:
    """A rectangle on the page in inches, measured from the upper left corner."""

    left: float
    top: float
    width: float
    height: float

    def right_of(self, gap: float, width: float) -> Place:
        """A strip of the same height beside this place."""
        return Place(self.left + self.width + gap, self.top, width, self.height)


def correlation_colours() -> Colormap:
    """Perceptually uniform colours for g2, empty cells in a neutral grey."""
    return mpl.colormaps["viridis"].with_extremes(bad=NEUTRAL)


def drift_colours() -> Colormap:
    """Diverging colours for the drift, white at 0, empty cells in a neutral grey."""
    return mpl.colormaps["RdBu_r"].with_extremes(bad=NEUTRAL)


def quiet_colours() -> Colormap:
    """Greys for the detector image, dark where it is bright, so that coloured outlines stand out."""
    return mpl.colormaps["Greys"].with_extremes(bad="#ffffff")


def blank_page(width: float, height: float) -> Figure:
    """An empty white figure of this size in inches, with an Agg canvas of its own."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def page_axes(figure: Figure, place: Place) -> Axes:
    """Axes at a place on the page."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes(
        (
            place.left / width,
            1.0 - (place.top + place.height) / height,
            place.width / width,
            place.height / height,
        )
    )
    axes.set_facecolor("white")
    axes.tick_params(which="major", labelsize=SMALL, colors=INK, length=4, width=0.8)
    axes.tick_params(which="minor", length=2.5, width=0.6, color=INK)
    for spine in axes.spines.values():
        spine.set(color=INK, linewidth=0.8)
    return axes


def page_text(figure: Figure, left: float, top: float, words: str, **looks: Any) -> None:
    """Text whose upper left corner (or upper right, with ``ha="right"``) lies here, in inches from the upper left."""
    width, height = figure.get_size_inches()
    looks = {"fontsize": BODY, "color": INK, "va": "top", "ha": "left", "linespacing": 1.2} | looks
    # Sample names and reasons come from users: a dollar sign in them is no formula.
    figure.text(left / width, 1.0 - top / height, words, parse_math=False, **looks)


def titled(axes: Axes, title: str, subtitle: str = "") -> None:
    """A title above the axes, and a quieter line between the two."""
    for words, lift, size, weight, colour in (
        (title, 23 if subtitle else 7, TITLE, "bold", INK),
        (subtitle, 7, SMALL, "normal", QUIET),
    ):
        axes.annotate(
            words,
            (0, 1),
            (0, lift),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=size,
            fontweight=weight,
            color=colour,
            annotation_clip=False,
        )


def labelled(axes: Axes, x: str, y: str) -> None:
    """Axis labels."""
    axes.set_xlabel(x, fontsize=BODY, color=INK, labelpad=4)
    axes.set_ylabel(y, fontsize=BODY, color=INK, labelpad=4)


def log_lags(axes: Axes, low: float, high: float) -> None:
    """A logarithmic lag axis with plain numbers, labelled densely where it spans little more than a decade."""
    axes.set_xscale("log")
    axes.set_xlim(low / 1.25, high * 1.25)
    subs = (1.0, 2.0, 5.0) if high / low < 30 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(which="major", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)


def few_ticks(axes: Axes, *, x: int = 5, y: int = 5) -> None:
    """At most so many intervals on linear axes."""
    axes.xaxis.set_major_locator(MaxNLocator(x, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(y, steps=[1, 2, 5, 10]))


def colour_bar(figure: Figure, image: ScalarMappable, beside: Place, label: str) -> None:
    """A colour bar to the right of a panel, with pointed ends because the limits are percentiles."""
    axes = page_axes(figure, beside.right_of(0.11, 0.15))
    bar = figure.colorbar(image, cax=axes, extend="both")
    bar.locator = MaxNLocator(5, steps=[1, 2, 5, 10])
    bar.update_ticks()
    axes.tick_params(labelsize=SMALL, colors=INK, length=3)
    bar.set_label(label, fontsize=BODY, color=INK, labelpad=5)


def sentence(axes: Axes, words: str, *, characters: int = 34) -> None:
    """Say why there is nothing to draw, in place of a panel."""
    axes.set(xticks=[], yticks=[], facecolor="#f5f5f5")
    for spine in axes.spines.values():
        spine.set(color="#d0d0d0")
    axes.text(
        0.5,
        0.5,
        wrapped(words, characters),
        transform=axes.transAxes,
        ha="center",
        va="center",
        fontsize=BODY,
        color=QUIET,
        linespacing=1.4,
        parse_math=False,
    )
