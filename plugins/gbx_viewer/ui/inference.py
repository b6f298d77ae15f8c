"""The inference panel: posterior over the phase map, the sample's way through it, parameters and flags in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QSplitter, QStackedWidget, QTextBrowser, QToolButton

from gbx_beamline.errors import GbxError
from gbx_viewer.model.inference import FRACTION, LOG_D, Step, Verdict, in_kelvin, read_verdict, way
from gbx_viewer.model.phase_map import SIZE, Conditions, PhaseMap, PhaseMaps, conditions_of
from gbx_viewer.model.runs import RunRow
from gbx_viewer.model.saying import ANGSTROM2
from gbx_viewer.model.scan import ScanView
from gbx_viewer.model.session import Session
from gbx_viewer.ui.likeness import Likeness
from gbx_viewer.ui.pages import page
from gbx_viewer.ui.panel import Panel
from gbx_viewer.ui.plots import LogAxis, Note, Plot, PlotItem, dress, label, line, warm_colours
from gbx_viewer.ui.theme import LIGHT, Theme, colour_table
from gbx_viewer.ui.workers import Workers

_SHIFT = math.log10(ANGSTROM2)


class InferencePanel(Panel):
    """See module.

    Args:
        session: Where records are read.
        workers: Who reads them.
        phase_maps: What the posterior is drawn over.
    """

    run_chosen = Signal(str)
    settled = Signal()
    """A verdict was drawn."""

    def __init__(self, session: Session, workers: Workers, phase_maps: PhaseMaps) -> None:
        super().__init__("Inference", "What the model says appears here.")
        self._session, self._workers, self._maps = session, workers, phase_maps
        self._theme: Theme = LIGHT
        self.verdict: Verdict | None = None
        self.phase: PhaseMap | None = None
        self._conditions: Conditions | None = None
        self._steps: tuple[Step, ...] = ()
        self._row: RunRow | None = None
        self._view: ScanView | None = None
        self._key = ""
        self._lines: list[pg.PlotDataItem] = []
        self._make_plot()
        self.words = QTextBrowser()
        self.words.setOpenLinks(False)
        self.likeness = Likeness(session, workers)
        self.likeness.run_chosen.connect(self.run_chosen.emit)
        self._pictures = QStackedWidget()
        self._pictures.addWidget(self.canvas)
        self._pictures.addWidget(self.likeness)
        self.alike = QToolButton()
        self.alike.setText("Alike")
        self.alike.setToolTip("The scans that the model knows, and this sample's among them (UMAP)")
        self.alike.setCheckable(True)
        self.alike.toggled.connect(lambda on: self._pictures.setCurrentIndex(int(on)))
        self.tools.addWidget(self.alike)
        split = QSplitter(Qt.Orientation.Horizontal)
        split.addWidget(self._pictures)
        split.addWidget(self.words)
        split.setSizes([320, 240])
        split.setChildrenCollapsible(False)
        self.split = split
        self.hold(split)

    def _make_plot(self) -> None:
        self.canvas = pg.GraphicsLayoutWidget()
        layout: Any = self.canvas.ci
        layout.setContentsMargins(4, 2, 2, 2)
        self.plot: Plot = PlotItem(axisItems={"bottom": LogAxis("bottom")}, enableMenu=False)
        self.plot.hideButtons()
        self.image = pg.ImageItem(axisOrder="col-major")
        self.plot.addItem(self.image)
        self._path = pg.PlotDataItem([], [])
        self._steps_drawn = pg.ScatterPlotItem(size=11)
        self._steps_drawn.sigClicked.connect(self._clicked)
        self._median = pg.ScatterPlotItem(symbol="+", size=16)
        for z, item in enumerate((self._path, self._steps_drawn, self._median), start=20):
            item.setZValue(z)
            self.plot.addItem(item)
        self.bar = pg.ColorBarItem(values=(0.0, 1.0), width=12, interactive=False, colorMap="viridis")
        self.bar.setFixedWidth(58)
        layout.addItem(self.plot, 0, 0)
        layout.addItem(self.bar, 0, 1)
        low, high = LOG_D[0] + _SHIFT, LOG_D[1] + _SHIFT
        box: Any = self.plot.getViewBox()
        box.setRange(xRange=(low, high), yRange=FRACTION, padding=0.0)
        box.setLimits(xMin=low, xMax=high, yMin=FRACTION[0], yMax=FRACTION[1])
        self._note = Note(self.plot)

    def dress(self, theme: Theme) -> None:
        """Take on a theme."""
        self._theme = theme
        self.canvas.setBackground(theme.panel)
        dress(self.plot, theme)
        self.plot.getAxis("left").setWidth(round(46 * theme.scale))
        dress(self.bar, theme)
        self.bar.getAxis("left").setWidth(0)
        self.bar.getAxis("right").setWidth(42)
        label(self.bar, theme, right="simulated S")
        self.image.setLookupTable(colour_table(theme, "viridis"))
        label(self.plot, theme, x="D (Å²/s)", y="λ_GB")
        self.likeness.dress(theme)
        self._draw()

    def show_scan(self, rows: Sequence[RunRow], row: RunRow | None, view: ScanView | None) -> None:
        """A run, and the others of its sample."""
        self._row, self._view, self._steps = row, view, way(rows, row)
        said = None if row is None else row.inference
        self.likeness.show_scan(rows, row)
        if said is None:
            self._key, self.verdict = "", None
            self._workers.drop("inference")
            live = view is not None and view.live is not None
            self.calm(
                "The model is asked when the scan has ended."
                if live
                else "No model was asked about this scan. `gbx reprocess` asks one."
            )
            self.note.say("")
            return
        if said.key == self._key:
            self._draw()
            self._ask_map()
            return
        self._key, self.verdict = said.key, None
        self.note.say("")
        self.calm("Reading what the model says …")
        self._workers.run(
            "inference", lambda: self._session.read(lambda c: read_verdict(c, said.key)), self._came, self._absent
        )

    def show_nothing(self, why: str | GbxError) -> None:
        """There is no inference, and why."""
        self._workers.drop("inference")
        self._key, self.verdict = "", None
        self.note.say("")
        self.calm(why)

    def _absent(self, error: GbxError) -> None:
        self._key = ""
        self.calm(error)

    def _came(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self._draw()
        self._ask_map()
        self.settled.emit()

    def _ask_map(self) -> None:
        verdict, view = self.verdict, self._view
        if verdict is None or verdict.refused or view is None:
            return
        try:
            conditions = conditions_of(view.window, verdict.q, verdict.temperature, verdict.gamma)
        except GbxError as error:
            self.phase = None
            self._note.say(error.found, self._theme)
            return
        if conditions == self._conditions:
            return
        self._conditions = conditions
        self.phase = None
        # The map of another kind of scan must not stand behind this posterior.
        self._draw_map()
        self._note.say("simulating the phase map …", self._theme)
        self._workers.run("phase", lambda: self._maps.of(conditions), self._mapped, self._unmapped)

    def _mapped(self, found: PhaseMap) -> None:
        self.phase = found
        self._draw()

    def _unmapped(self, error: GbxError) -> None:
        self._note.say(error.found, self._theme)
        self._conditions = None

    def _draw(self) -> None:
        verdict = self.verdict
        if verdict is None:
            return
        self.note.say(f"model {verdict.model}")
        if verdict.refused:
            self.calm(f"The model does not judge this scan.\n\n{verdict.refused}")
            return
        self._draw_map()
        self._draw_contours(verdict)
        self._draw_way()
        self.words.setHtml(page(verdict, self._theme))
        self.content()

    def _draw_map(self) -> None:
        self.image.setVisible(self.phase is not None)
        if self.phase is None:
            return
        share = self.phase.share
        top = max(0.1, float(np.nanmax(share)))
        scaled = np.where(np.isfinite(share), np.clip(share / top, 0.0, 1.0) * 254.0, 255.0)
        self.image.setImage(scaled.astype(np.uint8), autoLevels=False, levels=None)
        across, up = (LOG_D[1] - LOG_D[0]) / (SIZE[0] - 1), (FRACTION[1] - FRACTION[0]) / (SIZE[1] - 1)
        # Points of the simulation lie in the middle of their cells.
        self.image.setRect(LOG_D[0] + _SHIFT - across / 2, FRACTION[0] - up / 2, across * SIZE[0], up * SIZE[1])
        self.bar.setLevels((0.0, top))
        self._note.say("", self._theme)
        self.canvas.setToolTip(self.phase.said)

    def _draw_contours(self, verdict: Verdict) -> None:
        for one in self._lines:
            self.plot.removeItem(one)
        self._lines = []
        for contour in verdict.contours:
            for corners in contour.lines:
                # Dark below bright: seen on every colour of the map.
                for pen in (line("#000000", width=4.2), line("#ffffff", width=2.2, dashed=contour.mass > 0.8)):
                    item = pg.PlotDataItem(corners[:, 0], corners[:, 1], pen=pen)
                    item.setZValue(10)
                    self.plot.addItem(item)
                    self._lines.append(item)

    def _draw_way(self) -> None:
        steps = self._steps
        self._path.setData(
            [one.log_d for one in steps], [one.fraction for one in steps], pen=line("#ffffff", width=1.4)
        )
        brushes = warm_colours([one.temperature for one in steps], self._theme.quiet)
        current = "" if self._row is None else self._row.uid
        pens = [
            line("#ffffff" if one.uid == current else "#000000", width=2.4 if one.uid == current else 1.0)
            for one in steps
        ]
        self._steps_drawn.setData(
            [one.log_d for one in steps],
            [one.fraction for one in steps],
            brush=brushes,
            pen=pens,
            data=[one.uid for one in steps],
            hoverable=True,
            tip=lambda data, **_: _tip(steps, data),
        )

    def _clicked(self, _scatter: object, points: Any) -> None:
        if len(points):
            self.run_chosen.emit(str(points[0].data()))


def _tip(steps: Sequence[Step], uid: str) -> str:
    one = next((step for step in steps if step.uid == uid), None)
    return "" if one is None else f"{in_kelvin(one.temperature)}, {uid[:8]}"
