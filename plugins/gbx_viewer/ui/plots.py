"""Plots that look alike, and change between light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyqtgraph as pg
from pyqtgraph.graphicsItems.AxisItem import AxisItem
from pyqtgraph.graphicsItems.PlotItem.PlotItem import PlotItem
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QPen

from gbx_beamline.figures.words import power_of_ten
from gbx_viewer.ui.theme import Theme, font

Plot = Any
"""pyqtgraph's PlotItem, which borrows methods from its ViewBox where no type checker sees them."""

AXIS_WIDTH = 62
"""Pixels: plots above each other must begin at the same place."""
_NOTE_HEIGHT = 18
"""Pixels."""
_WARM = (250.0, 700.0)
"""K between which the colours of scans run, at least; wider where the sample was."""


class LogAxis(AxisItem):
    """A logarithmic axis with plain numbers, labelled at 1, 2 and 5 where there is room."""

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, list[float]]]:  # noqa: N802, N803
        """Decades; further numbers where few decades are in view."""
        if not (math.isfinite(minVal) and math.isfinite(maxVal)) or maxVal - minVal > 60:
            return []
        low, high = math.floor(minVal), math.ceil(maxVal)
        leads = (1, 2, 5) if maxVal - minVal < 2.2 else (1,)
        every = max(1, math.ceil((maxVal - minVal) / max(size / 40.0, 1.0)))
        major = [power + math.log10(lead) for power in range(low, high + 1) if power % every == 0 for lead in leads]
        minor = [power + math.log10(lead) for power in range(low, high + 1) for lead in range(2, 10)]
        return [
            (1.0, [tick for tick in major if minVal <= tick <= maxVal]),
            (0.1, [tick for tick in minor if minVal <= tick <= maxVal and tick not in major]),
        ]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:  # noqa: ARG002, N802
        """Numbers at major ticks only."""
        return [power_of_ten(10.0**value) if spacing >= 1.0 else "" for value in values]


def plain_plot(*, log_x: bool = False, log_y: bool = False) -> Plot:
    """A plot with our axes, which neither menus nor buttons cover."""
    axes: dict[str, AxisItem] = {}
    if log_x:
        axes["bottom"] = LogAxis("bottom")
    if log_y:
        axes["left"] = LogAxis("left")
    plot = PlotItem(axisItems=axes, enableMenu=False)
    plot.setLogMode(log_x, log_y)
    plot.hideButtons()
    for side in ("left", "bottom"):
        axis = plot.getAxis(side)
        axis.setSIPrefixEnableRanges(())
        axis.setStyle(tickLength=-4, tickTextOffset=4)
    plot.getAxis("left").setWidth(AXIS_WIDTH)
    return plot


def dress(plot: Plot, theme: Theme) -> None:
    """Give a plot the colours and sizes of a theme."""
    pen = pg.mkPen(theme.line, width=1)
    for side in ("left", "bottom", "right", "top"):
        axis = plot.getAxis(side)
        # Units stand in the labels, as people at the beamline write them.
        axis.setSIPrefixEnableRanges(())
        axis.enableAutoSIPrefix(False)
        axis.setPen(pen)
        axis.setTextPen(pg.mkPen(theme.ink))
        axis.setTickFont(font(theme, 9))
        axis.label.setFont(font(theme, 9.5))
        axis.labelStyle = {"color": theme.ink, "font-size": f"{theme.points(9.5):.1f}pt"}
        if axis.labelText:
            axis.setLabel(axis.labelText, siPrefixEnableRanges=(), **axis.labelStyle)
    plot.getAxis("left").setWidth(round(AXIS_WIDTH * max(theme.scale, 0.9)))
    plot.getViewBox().setBackgroundColor(theme.panel)
    plot.titleLabel.setAttr("color", theme.quiet)


def label(plot: Plot, theme: Theme, *, x: str | None = None, y: str | None = None, right: str | None = None) -> None:
    """Axis labels, with their units in them."""
    look: dict[str, Any] = {"color": theme.ink, "font-size": f"{theme.points(9.5):.1f}pt", "siPrefixEnableRanges": ()}
    if x is not None:
        plot.setLabel("bottom", x, **look)
    if y is not None:
        plot.setLabel("left", y, **look)
    if right is not None:
        plot.setLabel("right", right, **look)


class Note:
    """A quiet line above a plot. Longer words are cut to its width: a title of pyqtgraph's would widen the plot.

    Args:
        plot: Whose.
    """

    def __init__(self, plot: Plot) -> None:
        self._plot, self._words, self._font = plot, "", QFont()
        plot.layout.setRowFixedHeight(0, _NOTE_HEIGHT)
        self.text = pg.TextItem(anchor=(0.0, 0.0))
        self.text.setParentItem(plot)
        box: Any = plot.getViewBox()
        box.sigResized.connect(self._place)

    @property
    def words(self) -> str:
        """All of them."""
        return self._words

    def say(self, words: str, theme: Theme) -> None:
        """Show this."""
        self._words, self._font = words, font(theme, 9)
        self.text.setColor(theme.quiet)
        self.text.setFont(self._font)
        self.text.setToolTip(words)
        self._place()

    def _place(self) -> None:
        box: Any = self._plot.getViewBox()
        room = max(int(box.width()) - 6, 0)
        self.text.setText(QFontMetrics(self._font).elidedText(self._words, Qt.TextElideMode.ElideRight, room))
        self.text.setPos(box.pos().x(), -2)


def line(colour: QColor | str, *, width: float = 1.6, dashed: bool = False, dotted: bool = False) -> QPen:
    """A pen. Lines wider than a pixel are slow to draw where they have many points: keep curves short."""
    style = Qt.PenStyle.DashLine if dashed else Qt.PenStyle.DotLine if dotted else Qt.PenStyle.SolidLine
    return pg.mkPen(colour, width=width, style=style)


def warm_colours(temperatures: Sequence[float], unknown: str) -> list[QColor]:
    """Colours of scans by their temperature.

    Args:
        temperatures: K; NaN = not recorded.
        unknown: colour of those.
    """
    known = [one for one in temperatures if math.isfinite(one)]
    low, high = min([_WARM[0], *known]), max([_WARM[1], *known])
    colours: Any = pg.colormap.get("plasma")
    return [
        colours.map((one - low) / (high - low), mode="qcolor") if math.isfinite(one) else QColor(unknown)
        for one in temperatures
    ]


def faint(colour: QColor | str, alpha: int) -> QColor:
    """A colour that lets through what is behind."""
    made = QColor(colour)
    made.setAlpha(alpha)
    return made
