"""The detector panel: mean or single frame, logarithmic, with q-ROIs and mask over it and q under the cursor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSlider, QToolButton, QVBoxLayout, QWidget

from gbx_beamline.errors import GbxError
from gbx_beamline.figures.words import number
from gbx_viewer.model.detector import (
    Detector,
    FrameReader,
    Picture,
    live_detector,
    live_said,
    picture,
    read_detector,
    under,
)
from gbx_viewer.model.scan import ScanView
from gbx_viewer.model.session import Session
from gbx_viewer.ui.panel import Panel
from gbx_viewer.ui.plots import dress, faint, line, plain_plot
from gbx_viewer.ui.theme import LIGHT, Theme, colour_table
from gbx_viewer.ui.workers import Workers


class DetectorPanel(Panel):
    """See module.

    Args:
        session: Where images are read.
        workers: Who reads them.
    """

    pointed = Signal(str)
    roi_chosen = Signal(str)
    settled = Signal()
    """An image was drawn."""

    def __init__(self, session: Session, workers: Workers) -> None:
        super().__init__("Detector", "The detector image comes with the first analysed scan.")
        self._session, self._workers, self._frames = session, workers, FrameReader()
        self._theme: Theme = LIGHT
        self._view: ScanView | None = None
        self.detector: Detector | None = None
        self.picture: Picture | None = None
        self._chosen = 0
        self._outlines: list[pg.PlotDataItem] = []
        self._make_tools()
        self._make_plot()

    def _make_tools(self) -> None:
        self.single = _switch("Frames", "Single frames of the raw run instead of their mean", on=False)
        self.rois_on = _switch("ROIs", "Outlines of the q-ROIs; a click into one chooses it", on=True)
        self.mask_on = _switch("Mask", "Masked pixels in colour", on=False)
        self.single.toggled.connect(self._switch)
        self.rois_on.toggled.connect(lambda _: self._draw_outlines())
        self.mask_on.toggled.connect(lambda _: self._draw())
        for button in (self.single, self.rois_on, self.mask_on):
            self.tools.addWidget(button)

    def _make_plot(self) -> None:
        self.canvas = pg.GraphicsLayoutWidget()
        layout: Any = self.canvas.ci
        layout.setContentsMargins(4, 2, 8, 2)
        self.plot = plain_plot()
        self.plot.setAspectLocked(True)
        # Pixels are read under the cursor; axes would take the image's room.
        for side in ("left", "bottom"):
            self.plot.hideAxis(side)
        layout.addItem(self.plot, 0, 0)
        self.image = pg.ImageItem(axisOrder="row-major")
        self.overlay = pg.ImageItem(axisOrder="row-major")
        self.overlay.setZValue(5)
        for item in (self.image, self.overlay):
            self.plot.addItem(item)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.valueChanged.connect(lambda _: self._ask_frame())
        self._number = QLabel()
        self._number.setObjectName("quiet")
        self._strip = QWidget()
        strip = QHBoxLayout(self._strip)
        strip.setContentsMargins(14, 0, 14, 6)
        strip.addWidget(self.slider, 1)
        strip.addWidget(self._number)
        self._strip.hide()
        content = QWidget()
        below = QVBoxLayout(content)
        below.setContentsMargins(0, 0, 0, 0)
        below.setSpacing(0)
        below.addWidget(self.canvas, 1)
        below.addWidget(self._strip)
        self.hold(content)
        scene: Any = self.plot.scene()
        self._moves = pg.SignalProxy(scene.sigMouseMoved, rateLimit=30, slot=self._moved)
        scene.sigMouseClicked.connect(self._clicked)

    def dress(self, theme: Theme) -> None:
        """Take on a theme."""
        self._theme = theme
        self.canvas.setBackground(theme.panel)
        dress(self.plot, theme)
        self.image.setLookupTable(colour_table(theme, "magma"))
        self._draw_outlines()

    def show_scan(self, view: ScanView, roi: str | None) -> None:
        """Another scan, or another q-ROI of the same."""
        chosen, self._chosen = self._chosen, view.index(roi)
        if view.live is not None:
            self._show_live(view)
            if chosen == self._chosen:
                # Revisions come some times a second.
                return
        elif self._view is None or self._view.key != view.key:
            self._view = view
            if self.picture is None:
                self.calm("Reading the detector image …")
            self.slider.blockSignals(True)
            self.slider.setRange(0, max(view.frames - 1, 0))
            self.slider.blockSignals(False)
            self._workers.run(
                "detector", lambda: self._session.read(lambda c: read_detector(c, view)), self._came, self._forget
            )
        self._draw_outlines()

    def _show_live(self, view: ScanView) -> None:
        """The newest frame of a running scan; the one before stays until it is drawn."""
        if view.live is None or not view.live.image.size:
            self._forget("The first frames of this scan have not come so far.")
            return
        if self._view is None or self._view.key != view.key:
            self.detector = None
        elif self._view.revision == view.revision:
            return
        self._view, before = view, self.detector
        self._strip.hide()

        def read() -> tuple[Detector, Picture]:
            found = live_detector(view, before)
            return found, picture(found.mean, found.mask, live_said(view))

        self._workers.run("detector", read, self._live_came, self._unlit)

    def _live_came(self, found: tuple[Detector, Picture]) -> None:
        detector, drawn = found
        outlined = self.detector is not None and self.detector.outlines is detector.outlines
        self._arrange(detector)
        self._pictured(drawn)
        if not outlined:
            self._draw_outlines()

    def show_nothing(self, why: str | GbxError) -> None:
        """There is no image, and why."""
        self._forget(why)

    def _forget(self, why: str | GbxError) -> None:
        for lane in ("detector", "picture", "frame"):
            self._workers.drop(lane)
        self._view = self.detector = self.picture = None
        self.note.say("")
        self.calm(why)

    def _came(self, detector: Detector) -> None:
        self._arrange(detector)
        self._strip.setVisible(self.single.isChecked())
        if self.single.isChecked():
            self._ask_frame()
        else:
            self._ask_mean()
        self._draw_outlines()

    def _arrange(self, detector: Detector) -> None:
        """Take in what the detector is, and look at all of it where it is another than before."""
        anew = self.detector is None or self.detector.labels.shape != detector.labels.shape
        self.detector = detector
        geometry = detector.geometry
        # As seen from the sample, like the reports.
        self.plot.invertY(bool(geometry is not None and geometry.flip_y))
        self.plot.invertX(bool(geometry is not None and geometry.flip_x))
        if anew:
            rows, columns = detector.labels.shape
            self.plot.setRange(xRange=(0, columns), yRange=(0, rows), padding=0.01)

    def _switch(self, single: bool) -> None:
        final = self._view is not None and self._view.live is None
        self._strip.setVisible(single and final)
        if self.detector is not None and final:
            if single:
                self._ask_frame()
            else:
                self._ask_mean()

    def _ask_mean(self) -> None:
        if (detector := self.detector) is not None:
            self._workers.drop("frame")
            self._workers.run(
                "picture",
                lambda: picture(detector.mean, detector.mask, "mean of frames over the scan"),
                self._pictured,
                self._unlit,
            )

    def _ask_frame(self) -> None:
        view, detector, frame = self._view, self.detector, self.slider.value()
        if view is None or view.live is not None or detector is None or not self.single.isChecked():
            return
        said = f"frame {frame + 1} of {view.frames}, {number(frame * view.frame_time)} s"
        self._number.setText(said)

        def read() -> Picture:
            counts = self._session.read(lambda catalog: self._frames.read(catalog, view.scan.run_uid, frame))
            return picture(counts, detector.mask, said)

        self._workers.run("frame", read, self._pictured, self._unlit)

    def _unlit(self, error: GbxError) -> None:
        """One image cannot be shown; the next may."""
        self.note.say(f"{error.found}: {error.action}")
        if self.picture is None:
            self.calm(error)

    def _pictured(self, drawn: Picture) -> None:
        self.picture = drawn
        self._draw()
        low, high = drawn.limits
        binned = (
            f"  ·  {drawn.pixels_per_cell}×{drawn.pixels_per_cell} pixels per cell" if drawn.pixels_per_cell > 1 else ""
        )
        self.note.say(f"{drawn.said}  ·  log scale {number(low, 2)} to {number(high, 2)} counts{binned}")
        self.content()
        self.settled.emit()

    def _draw(self) -> None:
        if (drawn := self.picture) is None:
            return
        rows, columns = drawn.image.shape
        place = (-0.5, -0.5, columns * drawn.pixels_per_cell, rows * drawn.pixels_per_cell)
        self.image.setImage(drawn.image, autoLevels=False, levels=None)
        self.image.setRect(*place)
        self.overlay.setVisible(self.mask_on.isChecked())
        if self.mask_on.isChecked():
            colour = faint(self._theme.bad, 255)
            over = np.empty((*drawn.masked.shape, 4), dtype=np.uint8)
            over[..., :3] = (colour.red(), colour.green(), colour.blue())
            over[..., 3] = (drawn.masked * 0.7).astype(np.uint8)
            self.overlay.setImage(over, autoLevels=False, levels=None)
            self.overlay.setRect(*place)

    def _draw_outlines(self) -> None:
        for one in self._outlines:
            self.plot.removeItem(one)
        self._outlines = []
        if self.detector is None or not self.rois_on.isChecked():
            return
        for order, lines in enumerate(self.detector.outlines):
            chosen = order == self._chosen
            # Bright on magma in both themes; the chosen one is solid and wide.
            pen = line("#ffffff" if chosen else "#9fe8ff", width=2.4 if chosen else 1.2)
            for corners in lines:
                item = pg.PlotDataItem(corners[:, 0], corners[:, 1], pen=pen)
                item.setZValue(10)
                self.plot.addItem(item, ignoreBounds=True)
                self._outlines.append(item)

    def _place(self, scene: QPointF) -> tuple[int, int] | None:
        box = self.plot.getViewBox()
        if self.detector is None or not box.sceneBoundingRect().contains(scene):
            return None
        point = box.mapSceneToView(scene)
        return round(point.x()), round(point.y())

    def _moved(self, event: tuple[QPointF]) -> None:
        place = self._place(event[0])
        if place is not None and self.detector is not None and self.picture is not None:
            self.pointed.emit(under(self.detector, self.picture.counts, *place))

    def _clicked(self, event: Any) -> None:
        place = self._place(event.scenePos())
        if place is None or self.detector is None or not self.rois_on.isChecked():
            return
        (x, y), (rows, columns) = place, self.detector.labels.shape
        label = int(self.detector.labels[y, x]) if 0 <= x < columns and 0 <= y < rows else 0
        if 0 < label <= len(self.detector.names):
            self.roi_chosen.emit(self.detector.names[label - 1])


def _switch(text: str, tip: str, *, on: bool) -> QToolButton:
    made = QToolButton()
    made.setText(text)
    made.setToolTip(tip)
    made.setCheckable(True)
    made.setChecked(on)
    return made
