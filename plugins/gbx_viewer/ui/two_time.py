"""The two-time panel: map with cross-hair, traces below it on the same axis, cuts and one-time g2 beside it."""

from __future__ import annotations

import math
from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QComboBox, QToolButton

from gbx_beamline.errors import GbxError
from gbx_beamline.figures.words import number, time_unit
from gbx_viewer.model.maps import Limits, Tile, tile, value_at
from gbx_viewer.model.reading import read_decay, read_map
from gbx_viewer.model.regions import momentum
from gbx_viewer.model.scan import Decay, MapKind, ScanView, TimeMap
from gbx_viewer.model.session import Session
from gbx_viewer.ui.curves import Curves
from gbx_viewer.ui.panel import Panel
from gbx_viewer.ui.plots import AXIS_WIDTH, dress, label, line, plain_plot
from gbx_viewer.ui.theme import DIVERGING, LIGHT, UNIFORM, Theme, colour_table
from gbx_viewer.ui.traces import TracesPlot
from gbx_viewer.ui.workers import Workers

_BELOW = 22
"""Pixels of the numbers below the map; the traces have the axis' name."""
_BAR = 78
"""Pixels of the colour bar and its numbers."""
_TRACES = 140
"""Pixels of the traces' plot."""
_MOST_TRACES = 320
"""Pixels of the traces' plot where there is room."""
_LEAST_CURVES = 230
"""Pixels that the curves keep."""
_ZOOM_MS = 120
"""Between the end of a zoom and the finer map."""


class _Canvas(pg.GraphicsLayoutWidget):
    """Tells when its size changes: the map is to stay square."""

    resized = Signal()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802  # pyright: ignore[reportIncompatibleMethodOverride]
        """See class."""
        super().resizeEvent(event)
        self.resized.emit()


class TwoTimePanel(Panel):
    """See module.

    Args:
        session: Where maps are read.
        workers: Who reads and reduces them.
    """

    roi_chosen = Signal(str)
    pointed = Signal(str)
    """What is under the cursor, in words."""
    settled = Signal()
    """A map was drawn."""

    def __init__(self, session: Session, workers: Workers) -> None:
        super().__init__("Two-time correlation", "Choose a run, or wait for the next one.")
        self._session, self._workers = session, workers
        self._theme: Theme = LIGHT
        self.view: ScanView | None = None
        self.shown: TimeMap | None = None
        self.drawn: Tile | None = None
        self.decay: Decay | None = None
        self.index = 0
        self.locked: dict[str, Limits] = {}
        """Limits that a person set, by the kind of map; they survive a change of scan."""
        self._cross: tuple[float, float] | None = None
        self._held = False
        self._coloured: MapKind = "g2"
        self._make_tools()
        self._make_plots()

    # --- parts

    def _make_tools(self) -> None:
        self.rois = QComboBox()
        self.rois.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.rois.setToolTip("q-ROI; kept by its name when the scan changes ([ and ])")
        self.rois.activated.connect(lambda place: self.roi_chosen.emit(self.rois.itemText(place)))
        self.kinds = QToolButton()
        self.kinds.setText("Drift")
        self.kinds.setCheckable(True)
        self.kinds.setToolTip("The drift of Eq. 2: g2 minus its mean over age at the same lag (D)")
        self.kinds.toggled.connect(lambda _: self._ask())
        self.colours = QComboBox()
        self.colours.addItems(UNIFORM)
        self.colours.setToolTip("Colours of g2; all perceptually uniform")
        self.colours.activated.connect(lambda _: self.recolour())
        self.auto = QToolButton()
        self.auto.setText("Auto levels")
        self.auto.setToolTip("Levels by percentiles again (L). Drag the colour bar to set them; they stay then")
        self.auto.clicked.connect(self.free_levels)
        for widget in (self.rois, self.kinds, self.colours, self.auto):
            self.tools.addWidget(widget)

    def _make_plots(self) -> None:
        self.canvas = _Canvas()
        layout: Any = self.canvas.ci
        layout.setContentsMargins(6, 8, 8, 4)
        layout.setSpacing(4)
        self.plot = plain_plot()
        self.image = pg.ImageItem(axisOrder="col-major")
        self.plot.addItem(self.image)
        self.cross = [pg.InfiniteLine(angle=angle) for angle in (90, 0)]
        for one in self.cross:
            self.plot.addItem(one, ignoreBounds=True)
        self.bar = pg.ColorBarItem(values=(1.0, 1.1), width=14, interactive=True, colorMap="viridis")
        self.bar.sigLevelsChangeFinished.connect(self._levels_set)
        self.traces = TracesPlot(self._theme)
        self.traces.plot.setXLink(self.plot)
        self.curves = Curves(self._theme)
        layout.addItem(self.plot, 0, 0)
        layout.addItem(self.bar, 0, 1)
        layout.addItem(self.traces.plot, 1, 0)
        layout.addItem(self.curves, 0, 2, 2, 1)
        for item in (self.bar, self.plot, self.traces.plot, self.curves):
            layout.layout.setAlignment(item, Qt.AlignmentFlag.AlignTop)
        self.hold(self.canvas)
        self.canvas.resized.connect(self._square)
        self._zoom = QTimer(self)
        self._zoom.setSingleShot(True)
        self._zoom.setInterval(_ZOOM_MS)
        self._zoom.timeout.connect(self._redraw)
        self.plot.getViewBox().sigRangeChangedManually.connect(lambda _: self._zoom.start())
        scene: Any = self.plot.scene()
        self._moves = pg.SignalProxy(scene.sigMouseMoved, rateLimit=30, slot=self._moved)
        scene.sigMouseClicked.connect(self._clicked)

    def dress(self, theme: Theme) -> None:
        """Take on a theme."""
        self._theme = theme
        self.canvas.setBackground(theme.panel)
        dress(self.plot, theme)
        dress(self.bar, theme)
        self.bar.getAxis("left").setWidth(0)
        self.bar.getAxis("right").setWidth(_BAR - 18)
        self.bar.getAxis("right").setTickDensity(0.6)
        self.traces.dress(theme)
        self.curves.dress(theme)
        for one in self.cross:
            one.setPen(line("#ffffff", width=1.0, dashed=not self._held))
        self.recolour()
        self._square()
        if self.shown is not None:
            self._label()
            self._cuts()
        self.curves.show_decay(self.decay)

    # --- what is shown

    def show_scan(self, view: ScanView, roi: str | None) -> None:
        """Another scan, or another revision of the one that is shown.

        Args:
            view: The scan.
            roi: Name of the q-ROI that was chosen before; None = the one that tells most.
        """
        same = self.view is not None and (self.view.key, self.view.state) == (view.key, view.state)
        self.view, self.index = view, view.index(roi)
        if list(view.names) != [self.rois.itemText(i) for i in range(self.rois.count())]:
            self.rois.clear()
            self.rois.addItems(view.names)
        self.rois.setCurrentIndex(self.index)
        if not same:
            self._whole()
        self.traces.show_scan(view, self.index)
        self._ask(anew=not same)

    def show_nothing(self, why: str | GbxError) -> None:
        """There is no map, and why."""
        for lane in ("map", "tile", "decay"):
            self._workers.drop(lane)
        self.view = self.shown = self.drawn = self.decay = None
        self.calm(why)
        self.note.say("")

    @property
    def kind(self) -> MapKind:
        """Which map is shown."""
        return "drift" if self.kinds.isChecked() else "g2"

    @property
    def cross_hair(self) -> tuple[float, float] | None:
        """t1 and t2, s; None before there is a map."""
        return self._cross

    def free_levels(self) -> None:
        """Levels by percentiles again."""
        self.locked.pop(self.kind, None)
        self._redraw()

    def next_roi(self, by: int) -> None:
        """The q-ROI some places further."""
        if self.view is not None and self.view.names:
            self.roi_chosen.emit(self.view.names[(self.index + by) % len(self.view.names)])

    def _ask(self, *, anew: bool = True) -> None:
        if (view := self.view) is None:
            return
        index, kind, live = self.index, self.kind, view.live is not None
        if anew and not live:
            self.note.say("reading …")

        def read() -> TimeMap:
            return (
                read_map(None, view, index, kind)
                if live
                else self._session.read(lambda catalog: read_map(catalog, view, index, kind))
            )

        def curve() -> Decay | None:
            return (
                read_decay(None, view, index)
                if live
                else self._session.read(lambda catalog: read_decay(catalog, view, index))
            )

        self._workers.run("map", read, self._came, self._absent)
        self._workers.run("decay", curve, self._decayed, lambda _: self._decayed(None))

    def _came(self, shown: TimeMap) -> None:
        self.shown = shown
        if self._cross is None or not self._inside(*self._cross):
            self._cross = 0.2 * shown.window, 0.5 * shown.window
        self._redraw()
        self._cuts()

    def _absent(self, error: GbxError) -> None:
        self.shown = self.drawn = None
        self.calm(error)
        self.note.say("")

    def _decayed(self, decay: Decay | None) -> None:
        self.decay = decay
        self.curves.show_decay(decay)

    def _redraw(self) -> None:
        """The part in view, reduced in a thread."""
        if (shown := self.shown) is None:
            return
        (left, right), (bottom, top) = self.plot.getViewBox().viewRange()
        limits = self.locked.get(shown.kind)
        self._workers.run(
            "tile", lambda: tile(shown, limits, t1=(left, right), t2=(bottom, top)), self._draw, self._absent
        )

    def _draw(self, drawn: Tile) -> None:
        if self.shown is None:
            return
        self.drawn = drawn
        if drawn.empty and self._everything_in_view():
            self.calm("No pair of valid frames in this q-ROI, so there is nothing to draw.")
            self.note.say("")
            return
        if self._coloured != self.shown.kind:
            self.recolour()
        self.image.setImage(drawn.image, autoLevels=False, levels=None)
        self.image.setRect(*drawn.start, *drawn.span)
        self.bar.blockSignals(True)
        self.bar.setLevels(drawn.limits)
        self.bar.blockSignals(False)
        self._label()
        self.content()
        self.settled.emit()

    def _label(self) -> None:
        theme, shown, view = self._theme, self.shown, self.view
        if shown is None or view is None:
            return
        unit, name = time_unit(view.full_window)
        for plot in (self.plot, self.traces.plot):
            plot.getAxis("bottom").setScale(1.0 / unit)
        self.plot.getAxis("left").setScale(1.0 / unit)
        label(self.plot, theme, y=f"t2 ({name})")
        label(self.traces.plot, theme, x=f"t1 ({name}); age and lag count from the first frame")
        said = "drift of g2" if shown.kind == "drift" else "g2, baseline 1"
        label(self.bar, theme, right=said)
        roi = view.roi(self.index)
        per_cell = self.drawn.frames_per_cell if self.drawn is not None else shown.frames_per_cell
        parts = [
            momentum(roi, view.geometry) if roi is not None else "",
            "" if roi is None or not math.isfinite(roi.mean_counts) else f"{number(roi.mean_counts, 2)} counts/pixel",
            f"{per_cell}×{per_cell} frames per cell" if per_cell > 1 else "single frames",
            f"diagonal {shown.diagonal}",
            "levels set by hand" if shown.kind in self.locked else "",
        ]
        self.note.say("  ·  ".join(filter(None, parts)))

    def recolour(self) -> None:
        """Colours of the kind of map that is shown."""
        self._coloured = self.kind if self.shown is None else self.shown.kind
        name = DIVERGING if self._coloured == "drift" else self.colours.currentText()
        self.image.setLookupTable(colour_table(self._theme, name))
        self.bar.setColorMap(pg.colormap.get(name))
        self.colours.setEnabled(self._coloured == "g2")

    # --- place and cursor

    def _whole(self) -> None:
        """All of the scan's time in view, what is still to come included."""
        window = self.view.full_window if self.view is not None else math.nan
        if math.isfinite(window) and window > 0:
            box = self.plot.getViewBox()
            box.setLimits(xMin=0, xMax=window, yMin=0, yMax=window)
            box.setRange(xRange=(0, window), yRange=(0, window), padding=0.0)

    def whole(self) -> None:
        """Zoom out."""
        self._whole()
        self._redraw()

    def _levels_set(self) -> None:
        """A person dragged the colour bar."""
        low, high = self.bar.levels()
        self.locked[self.kind] = float(low), float(high)
        self._redraw()

    def _everything_in_view(self) -> bool:
        (left, right), _ = self.plot.getViewBox().viewRange()
        return self.view is not None and right - left >= 0.99 * self.view.full_window

    def _square(self) -> None:
        axis = round(AXIS_WIDTH * max(self._theme.scale, 0.9))
        width, height = self.canvas.width() - 26, self.canvas.height() - 12
        side = max(120, min(height - _BELOW - _TRACES, width - axis - _BAR - _LEAST_CURVES))
        traces = min(max(height - side - _BELOW - 4, _TRACES), _MOST_TRACES)
        for plot, tall in ((self.plot, side + _BELOW), (self.traces.plot, traces)):
            plot.setFixedWidth(side + axis)
            plot.setFixedHeight(tall)
        self.plot.getAxis("bottom").setHeight(_BELOW)
        self.bar.setFixedWidth(_BAR)
        self.bar.setFixedHeight(side)
        self.curves.setFixedHeight(min(side + _BELOW + traces + 4, height))
        self.curves.setFixedWidth(max(_LEAST_CURVES, width - axis - side - _BAR))

    def _inside(self, t1: float, t2: float) -> bool:
        return self.shown is not None and 0 <= t1 <= self.shown.window and 0 <= t2 <= self.shown.window

    def _moved(self, event: tuple[QPointF]) -> None:
        box = self.plot.getViewBox()
        if self._held or self.shown is None or not box.sceneBoundingRect().contains(event[0]):
            return
        place = box.mapSceneToView(event[0])
        self.point_at(place.x(), place.y())

    def _clicked(self, event: Any) -> None:
        """Hold the cross-hair, or let it go."""
        if self.plot.getViewBox().sceneBoundingRect().contains(event.scenePos()):
            self._held = not self._held
            for one in self.cross:
                one.setPen(line("#ffffff", width=1.0, dashed=not self._held))

    def point_at(self, t1: float, t2: float) -> None:
        """Move the cross-hair, s from the first frame."""
        if self._inside(t1, t2):
            self._cross = t1, t2
            self._cuts()

    def _cuts(self) -> None:
        if (shown := self.shown) is None or self._cross is None:
            return
        t1, t2 = self._cross
        for one, at in zip(self.cross, (t1, t2), strict=True):
            one.setValue(at)
        self.traces.point_at(t1, t2)
        self.curves.show_cuts(shown, t1, t2)
        unit, name = time_unit(shown.window)
        value = value_at(shown, t1, t2)
        said = "no value: left out" if not math.isfinite(value) else f"{shown.kind} = {number(value, 5)}"
        self.pointed.emit(
            f"t1 = {t1 / unit:.4g} {name}, t2 = {t2 / unit:.4g} {name}, lag {abs(t2 - t1) / unit:.4g} {name}: {said}"
        )
