"""What was measured beside the frames, on the time axis of the map, with the gaps shaded."""

from __future__ import annotations

import math

import numpy as np
import pyqtgraph as pg

from gbx_viewer.model.scan import ScanView, Trace
from gbx_viewer.ui.plots import dress, faint, label, line, plain_plot
from gbx_viewer.ui.theme import Theme, font

_MOST = 600
"""Points of a curve that is drawn: the screen has no more, and long curves are slow."""


class TracesPlot:
    """One plot. Counts always; further traces where the record holds them, each over its own range."""

    def __init__(self, theme: Theme) -> None:
        self._theme = theme
        self.plot = plain_plot()
        self._curves: list[pg.PlotDataItem] = []
        self._gaps: list[pg.LinearRegionItem] = []
        self._here = [pg.InfiniteLine(angle=90) for _ in range(2)]
        for one in self._here:
            self.plot.addItem(one, ignoreBounds=True)
        self._names: list[pg.TextItem] = []
        self.plot.getViewBox().sigXRangeChanged.connect(lambda *_: self._place_names())
        self.plot.setMouseEnabled(x=False, y=False)
        self.plot.showGrid(x=True, y=False, alpha=0.15)
        self.dress(theme)

    def dress(self, theme: Theme) -> None:
        """Take on a theme."""
        self._theme = theme
        dress(self.plot, theme)
        for number, one in enumerate(self._here):
            one.setPen(line(theme.accent, width=1.2, dotted=bool(number)))
        for order, curve in enumerate(self._curves):
            curve.setPen(line(theme.colour(order), width=1.4))
        for order, name in enumerate(self._names):
            self._dress_name(name, order)
        for gap in self._gaps:
            gap.setBrush(faint(theme.warn, 60))

    def show_scan(self, view: ScanView, index: int) -> None:
        """Draw what is known of a scan beside its map."""
        traces = [one for one in (_counts(view, index), *view.traces) if one is not None]
        alone = len(traces) == 1
        for curve in self._curves[len(traces) :]:
            self.plot.removeItem(curve)
        del self._curves[len(traces) :]
        said_of: list[str] = []
        for order, trace in enumerate(traces):
            if order == len(self._curves):
                self._curves.append(self.plot.plot([], [], pen=line(self._theme.colour(order), width=1.4)))
            time, values, said = _thinned(trace)
            self._curves[order].setData(
                time, values if alone else _between(values, order, len(traces)), connect="finite"
            )
            said_of.append(said)
        self._name([] if alone else said_of)
        label(self.plot, self._theme, y=traces[0].name if alone and traces else "traces")
        self.plot.getAxis("left").setStyle(showValues=alone)
        if alone and traces:
            self._range(traces[0].values)
        else:
            self.plot.setYRange(0.0, float(max(len(traces), 1)), padding=0.02)
        self._shade(view)

    def _name(self, names: list[str]) -> None:
        """What each lane is, and over which range, at its left end."""
        for text in self._names:
            self.plot.removeItem(text)
        self._names = []
        for order, words in enumerate(names):
            text = pg.TextItem(words, anchor=(0.0, 0.5))
            self._dress_name(text, order)
            self._names.append(text)
            self.plot.addItem(text, ignoreBounds=True)
        self._place_names()

    def _dress_name(self, text: pg.TextItem, order: int) -> None:
        text.setColor(self._theme.colour(order))
        text.setFont(font(self._theme, 8.5))
        text.fill = pg.mkBrush(faint(self._theme.panel, 190))
        text.update()

    def _place_names(self) -> None:
        (left, _right), _ = self.plot.getViewBox().viewRange()
        for order, text in enumerate(self._names):
            text.setPos(left, len(self._names) - 1 - order + 0.92)

    def point_at(self, t1: float, t2: float) -> None:
        """Where the cross-hair is, s."""
        for one, at in zip(self._here, (t1, t2), strict=True):
            one.setValue(at)

    def _range(self, values: np.ndarray) -> None:
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = (float(value) for value in np.percentile(finite, (0.5, 99.5)))
            room = 0.15 * (high - low) or 0.05 * abs(high) or 1.0
            self.plot.setYRange(low - room, high + room, padding=0.0)

    def _shade(self, view: ScanView) -> None:
        for gap in self._gaps:
            self.plot.removeItem(gap)
        self._gaps = []
        for gap in view.gaps[:200]:
            region = pg.LinearRegionItem((gap.start, gap.stop), movable=False, brush=faint(self._theme.warn, 60))
            region.setToolTip(f"{gap.why}, {gap.start:.4g} to {gap.stop:.4g} s")
            for edge in region.lines:
                edge.setPen(line(self._theme.warn, width=0.5))
            self.plot.addItem(region, ignoreBounds=True)
            self._gaps.append(region)


def _counts(view: ScanView, index: int) -> Trace | None:
    if index >= len(view.frame_means):
        return None
    values = view.frame_means[index]
    time = (np.arange(len(values)) + 0.5) * view.step
    return Trace(name="counts/pixel", unit="", time=time, values=values)


def _thinned(trace: Trace) -> tuple[np.ndarray, np.ndarray, str]:
    """At most so many means; NaN where a whole bin has no value."""
    width = max(1, math.ceil(len(trace.values) / _MOST))
    used = len(trace.values) // width * width
    values = trace.values[:used].reshape(-1, width)
    known = np.isfinite(values)
    total, count = np.where(known, values, 0.0).sum(axis=1), known.sum(axis=1)
    means = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    finite = means[np.isfinite(means)]
    span = f" {finite.min():.4g} to {finite.max():.4g} {trace.unit}" if finite.size else " not measured"
    return trace.time[:used].reshape(-1, width).mean(axis=1), means, f"{trace.name}{span}".rstrip()


def _between(values: np.ndarray, order: int, of: int) -> np.ndarray:
    """Several traces above each other, each over its own range; their names have the numbers."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    return of - 1 - order + 0.06 + 0.66 * (values - low) / max(high - low, 1e-12)
