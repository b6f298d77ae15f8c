"""The non-stationarity panel: S_noneq with its interval above, the drift's amplitude below, over scans or over age."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QToolButton

from gbx_beamline.catalog import find_floor
from gbx_beamline.records import InstrumentFloor, NoFloor
from gbx_viewer.model.runs import RunRow
from gbx_viewer.model.session import Session
from gbx_viewer.model.trend import Against, Point, Trend, trend, with_floor
from gbx_viewer.ui.panel import Panel
from gbx_viewer.ui.plots import Note, Plot, dress, faint, label, line, plain_plot
from gbx_viewer.ui.theme import LIGHT, Theme
from gbx_viewer.ui.workers import Workers


class TrendPanel(Panel):
    """See module.

    Args:
        session: Where the instrument's floor is looked for.
        workers: Who looks.
    """

    run_chosen = Signal(str)
    against_chosen = Signal(str)

    def __init__(self, session: Session, workers: Workers) -> None:
        super().__init__("Non-stationarity", "S_noneq of each scan appears here.")
        self._session, self._workers = session, workers
        self._floor_of: tuple[str, InstrumentFloor | NoFloor] | None = None
        """Key of the record, and what stands beside it."""
        self._theme: Theme = LIGHT
        self._rows: Sequence[RunRow] = ()
        self._row: RunRow | None = None
        self._roi: str | None = None
        self._asked = ""
        self.trend: Trend | None = None
        self._axes_of: Against | None = None
        self.against = QComboBox()
        self.against.addItems([str(one) for one in Against])
        self.against.setToolTip("Abscissa")
        self.against.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.against.currentTextChanged.connect(self._other)
        self.every = QToolButton()
        self.every.setText("All samples")
        self.every.setCheckable(True)
        self.every.toggled.connect(lambda _: self._draw())
        for widget in (self.against, self.every):
            self.tools.addWidget(widget)
        self._make_plots()

    def _make_plots(self) -> None:
        self.canvas = pg.GraphicsLayoutWidget()
        layout: Any = self.canvas.ci
        layout.setContentsMargins(4, 2, 8, 2)
        layout.setSpacing(2)
        self.share, self.drift = plain_plot(), plain_plot()
        self._dates = [pg.DateAxisItem("bottom") for _ in range(2)]
        self._numbers = [plot.getAxis("bottom") for plot in (self.share, self.drift)]
        layout.addItem(self.share, 0, 0)
        layout.addItem(self.drift, 1, 0)
        layout.layout.setRowStretchFactor(0, 3)
        layout.layout.setRowStretchFactor(1, 2)
        self.drift.setXLink(self.share)
        self._floor = pg.LinearRegionItem(orientation="horizontal", movable=False)
        self._floor.hide()
        self.share.addItem(self._floor, ignoreBounds=True)
        self._drift_floor = pg.LinearRegionItem(orientation="horizontal", movable=False)
        self._drift_floor.hide()
        self.drift.addItem(self._drift_floor, ignoreBounds=True)
        self._norm = pg.ScatterPlotItem(symbol="t", size=8)
        self._bars = pg.ErrorBarItem(x=np.zeros(1), y=np.zeros(1), height=np.zeros(1))
        self._values = pg.ScatterPlotItem(symbol="o", size=9)
        self._amplitude = pg.ScatterPlotItem(symbol="o", size=8)
        for item in (self._norm, self._bars, self._values):
            self.share.addItem(item)
        self.drift.addItem(self._amplitude)
        self._here = [pg.InfiniteLine(angle=90) for _ in range(2)]
        self._legend = Note(self.share)
        for plot, here in zip((self.share, self.drift), self._here, strict=True):
            plot.addItem(here, ignoreBounds=True)
            plot.showGrid(x=True, y=True, alpha=0.15)
            plot.setMouseEnabled(x=True, y=False)
        for scatter in (self._values, self._amplitude):
            scatter.sigClicked.connect(self._clicked)
        self.hold(self.canvas)

    def dress(self, theme: Theme) -> None:
        """Take on a theme."""
        self._theme = theme
        self.canvas.setBackground(theme.panel)
        for plot in (self.share, self.drift):
            dress(plot, theme)
        self._tidy(self.share)
        for here in self._here:
            here.setPen(line(theme.accent, width=1.2, dashed=True))
        for band in (self._floor, self._drift_floor):
            band.setBrush(faint(theme.quiet, 50))
        self._draw()

    def show_rows(self, rows: Sequence[RunRow], row: RunRow | None, roi: str | None) -> None:
        """Runs of the list, the one on screen, and the chosen q-ROI."""
        self._rows, self._row, self._roi = rows, row, roi
        self._ask_floor()
        self._draw()

    def _ask_floor(self) -> None:
        """What a static reference of the same instrument shows, once for each scan."""
        key = "" if self._row is None or not self._row.rois else self._row.record
        if not key or key == self._asked:
            return
        self._asked, settings = key, self._session.config.floor

        def came(floor: InstrumentFloor | NoFloor) -> None:
            self._floor_of = key, floor
            self._draw()

        self._workers.run(
            "floor",
            lambda: self._session.read(lambda catalog: find_floor(catalog, key, settings)),
            came,
            lambda error: came(NoFloor(reason=error.found)),
        )

    def _other(self, against: str) -> None:
        self.against_chosen.emit(against)
        self._draw()

    def _draw(self) -> None:
        against = Against(self.against.currentText())
        found = trend(self._rows, self._row, self._roi, against, every_sample=self.every.isChecked())
        if not self._rows:
            return
        roi = None if self._row is None else self._row.roi(self._roi)
        floor = self._floor_of
        beside = floor[1] if floor is not None and self._row is not None and floor[0] == self._row.record else None
        found = with_floor(found, beside, None if roi is None else roi.name)
        self.every.setEnabled(against is not Against.AGE)
        if not found.points:
            self.trend = found
            self.note.say("")
            self.calm(found.why)
            return
        self.note.say(f"{found.said}  ·  {found.floor_words}")
        if self._axes_of is not against:
            self._axes(against)
        self.trend = found
        self._points(found)
        self.content()

    def _points(self, found: Trend) -> None:
        theme, points = self._theme, found.points
        x = np.array([one.x for one in points])
        value, low, high = (np.array([getattr(one, name) for one in points]) for name in ("value", "low", "high"))
        known = np.isfinite(value)
        uids = np.array([one.uid for one in points])
        self._bars.setVisible(bool(known.any()))
        if known.any():
            self._bars.setData(
                x=x[known],
                y=value[known],
                top=np.maximum(high - value, 0.0)[known],
                bottom=np.maximum(value - low, 0.0)[known],
                pen=line(theme.colour(0), width=1.6),
            )
        self._values.setData(
            x[known], value[known], data=uids[known], brush=theme.colour(0), pen=line(theme.panel, width=1.0)
        )
        norm = np.array([one.norm for one in points])
        shown = np.isfinite(norm)
        self._norm.setData(x[shown], norm[shown], brush=None, pen=line(theme.quiet, width=1.2))
        drift = np.array([100 * one.drift for one in points])
        shown = np.isfinite(drift)
        solid = [theme.colour(1) if one.drift_noise_free else None for one in points if math.isfinite(one.drift)]
        self._amplitude.setData(
            x[shown], drift[shown], data=uids[shown], brush=solid, pen=line(theme.colour(1), width=1.4)
        )
        words = ["● noise removed, 95 %"] + (["▽ norm ratio (paper)"] if np.isfinite(norm).any() else [])
        words += ["▬ floor"] if found.floor or math.isfinite(found.drift_floor) else []
        self._legend.say("   ".join(words), theme)
        self._ranges(found, value, low, high, norm, drift)

    def _ranges(self, found: Trend, value: Any, low: Any, high: Any, norm: Any, drift: Any) -> None:
        theme = self._theme
        everything = np.concatenate([value, low, high, norm])
        finite = everything[np.isfinite(everything)]
        bottom, top = (min(-0.05, finite.min()), max(1.05, finite.max())) if finite.size else (-0.05, 1.05)
        # The interval of a scan that says nothing must not flatten all others.
        self.share.setYRange(max(bottom, -0.5), min(top, 1.5) + 0.2, padding=0.0)
        amplitudes = drift[np.isfinite(drift)]
        self.drift.setYRange(0.0, 1.15 * max(amplitudes.max() if amplitudes.size else 1.0, 1.0), padding=0.0)
        places = [one.x for one in found.points]
        room = 0.06 * (max(places) - min(places))
        # Over a minute or less an axis of dates has nothing to say but parts of seconds.
        room = max(room, 300.0) if found.against is Against.TIME else room or 0.5
        self.share.setXRange(min(places) - room, max(places) + room, padding=0.0)
        label(self.share, theme, y="S_noneq")
        label(self.drift, theme, x=found.label, y="drift (%)")
        self._floor.setVisible(found.floor is not None)
        if found.floor is not None:
            self._floor.setRegion(found.floor)
        self._drift_floor.setVisible(math.isfinite(found.drift_floor))
        if math.isfinite(found.drift_floor):
            self._drift_floor.setRegion((0.0, 100 * found.drift_floor))
        current = self._current(found)
        for here in self._here:
            here.setVisible(current is not None)
            if current is not None:
                here.setValue(current.x)

    def _current(self, found: Trend) -> Point | None:
        if self._row is None or found.against is Against.AGE:
            return None
        return next((one for one in found.points if one.uid == self._row.uid), None)

    def _axes(self, against: Against) -> None:
        """Dates where the abscissa is time."""
        self._axes_of = against
        for plot, date, plain in zip((self.share, self.drift), self._dates, self._numbers, strict=True):
            axis = date if against is Against.TIME else plain
            if plot.getAxis("bottom") is not axis:
                plot.setAxisItems({"bottom": axis})
            axis.show()
            dress(plot, self._theme)
        self._tidy(self.share)

    @staticmethod
    def _tidy(upper: Plot) -> None:
        """The lower plot has the numbers of both."""
        upper.getAxis("bottom").setStyle(showValues=False)
        upper.getAxis("bottom").setHeight(6)

    def _clicked(self, _scatter: object, points: Any) -> None:
        if len(points):
            self.run_chosen.emit(str(points[0].data()))
