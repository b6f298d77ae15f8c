"""The window: run list, headline, panels; what comes from threads is handed to them here."""

from __future__ import annotations

import base64
import time
from pathlib import Path

from PySide6.QtCore import QByteArray, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QApplication, QMainWindow, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from gbx_beamline.errors import GbxError
from gbx_viewer.model import saying
from gbx_viewer.model.comparing import MOST_SCANS
from gbx_viewer.model.focus import Focus, Wanted, wanted
from gbx_viewer.model.kept import LARGEST, SMALLEST, Kept, load_kept, save_kept
from gbx_viewer.model.loops import ListLoop, LiveLoop, QueueLoop, Rows
from gbx_viewer.model.phase_map import PhaseMaps
from gbx_viewer.model.queue import Queue
from gbx_viewer.model.reading import read_scan
from gbx_viewer.model.runs import RunRow
from gbx_viewer.model.scan import ScanView
from gbx_viewer.model.session import Session
from gbx_viewer.ui.actions import Actions
from gbx_viewer.ui.banner import Banner
from gbx_viewer.ui.compare import ComparePanel
from gbx_viewer.ui.detector import DetectorPanel
from gbx_viewer.ui.headline import Headline
from gbx_viewer.ui.inference import InferencePanel
from gbx_viewer.ui.panel import Elided, Panel
from gbx_viewer.ui.run_list import RunList
from gbx_viewer.ui.theme import LIGHT, THEMES, Theme, style_sheet
from gbx_viewer.ui.trend import TrendPanel
from gbx_viewer.ui.two_time import TwoTimePanel
from gbx_viewer.ui.workers import Workers

_STANDING_MS = 500
"""Between two looks at how the connection is."""
_CLOSE_SECONDS = 2.0
"""Longest wait for threads at the end."""


class ViewerWindow(QMainWindow):
    """The application's window.

    Args:
        session: The catalog. The window closes it.
        memory: File of what is remembered.
    """

    rows_came = Signal(object)
    live_came = Signal(object)
    looked = Signal(object)
    queue_came = Signal(object)

    def __init__(self, session: Session, memory: Path) -> None:
        super().__init__()
        self.setWindowTitle("GBX")
        self.session, self._memory = session, memory
        self.kept: Kept = load_kept(memory)
        self.workers = Workers()
        self.focus = Focus()
        self.rows: Rows = ()
        self.row: RunRow | None = None
        self.view: ScanView | None = None
        self._wanted: Wanted | None = None
        self._connected = False
        self.theme: Theme = THEMES.get(self.kept.theme, LIGHT).scaled(self.kept.scale)
        self._make_panels()
        self._make_page()
        self.commands = Actions(self)
        self._connect()
        self.dress(self.theme)
        self._remember_back()
        self._list_loop = ListLoop(session, self.rows_came.emit, self.looked.emit)
        self._live_loop = LiveLoop(session, self.live_came.emit)
        self._queue_loop = QueueLoop(session.config.serve.health, self.queue_came.emit)
        self._loops = (self._list_loop, self._live_loop, self._queue_loop)
        self._clock = QTimer(self)
        self._clock.timeout.connect(self._look_at_standing)

    def begin(self) -> None:
        """Look into the catalog from now on."""
        for loop in self._loops:
            loop.start()
        self._clock.start(_STANDING_MS)

    # --- parts

    def _make_panels(self) -> None:
        self.runs = RunList()
        self.headline = Headline()
        self.banner = Banner()
        self.two_time = TwoTimePanel(self.session, self.workers)
        self.detector = DetectorPanel(self.session, self.workers)
        self.trend = TrendPanel(self.session, self.workers)
        self.phase_maps = PhaseMaps(self._memory.parent / "phase-maps")
        self.inference = InferencePanel(self.session, self.workers, self.phase_maps)
        self.side: list[Panel] = [self.trend, self.inference, self.detector]
        self.compare = ComparePanel(self.session, self.workers)
        self.panels: list[Panel] = [self.two_time, self.compare, *self.side]

    def _make_page(self) -> None:
        page = self.page = QWidget()
        page.setObjectName("page")
        self._columns = QSplitter(Qt.Orientation.Horizontal)
        self._columns.setHandleWidth(8)
        self._columns.addWidget(self.runs)
        self._middle = QStackedWidget()
        self._middle.addWidget(self.two_time)
        self._middle.addWidget(self.compare)
        self._columns.addWidget(self._middle)
        self._right = QSplitter(Qt.Orientation.Vertical)
        self._right.setHandleWidth(8)
        for panel in self.side:
            self._right.addWidget(panel)
        self._right.setChildrenCollapsible(False)
        self._columns.addWidget(self._right)
        self._columns.setStretchFactor(1, 1)
        self._columns.setSizes([320, 860, 490])
        self._columns.setChildrenCollapsible(False)
        self.splitters = {"columns": self._columns, "right": self._right, "inference": self.inference.split}
        layout = QVBoxLayout(page)
        layout.setContentsMargins(10, 2, 10, 4)
        layout.setSpacing(8)
        layout.addWidget(self.banner)
        layout.addWidget(self.headline)
        layout.addWidget(self._columns, 1)
        self.setCentralWidget(page)
        self.resize(1680, 1020)
        self._pointed, self._place = Elided(), Elided()
        self.statusBar().addWidget(self._pointed, 3)
        self.statusBar().addPermanentWidget(self._place, 2)
        self.statusBar().setSizeGripEnabled(False)

    def _connect(self) -> None:
        self.rows_came.connect(self._rows_came)
        self.live_came.connect(self._live_came)
        self.looked.connect(self._looked)
        self.runs.chosen.connect(self.choose)
        self.runs.compared.connect(self.compare_runs)
        self.compare.closed.connect(self.back)
        self.queue_came.connect(self._queue_came)
        self.banner.retried.connect(self.retry)
        self.two_time.roi_chosen.connect(self.choose_roi)
        self.two_time.pointed.connect(self._pointed.say)
        self.detector.pointed.connect(self._pointed.say)
        self.detector.roi_chosen.connect(self.choose_roi)
        self.trend.run_chosen.connect(self.choose)
        self.trend.against_chosen.connect(self._against)
        self.inference.run_chosen.connect(self.choose)
        for panel in self.panels:
            panel.enlarged.connect(self._enlarge)

    # --- what comes from threads

    def _rows_came(self, rows: Rows) -> None:
        self.rows = rows
        self.runs.show_rows(rows)
        self._settle()

    def _looked(self, error: Exception | None) -> None:
        if error is None and not self.rows:
            self.runs.show_rows(())
            for panel in (self.two_time, *self.side):
                panel.calm("No scan so far.")
        elif error is not None and not self.rows:
            self.runs.calm(error if isinstance(error, GbxError) else str(error))
        self._look_at_standing()

    def _live_came(self, view: ScanView) -> None:
        if self._wanted is not None and self._wanted.live is not None and view.scan.run_uid == self.focus.uid:
            self._show(view)

    def _came(self, view: ScanView) -> None:
        self._show(view)

    def _absent(self, error: GbxError) -> None:
        self._show_message(error)

    def _look_at_standing(self) -> None:
        standing = self.session.standing
        if standing.connected and not self._connected:
            # What could not be read while there was no connection is asked for again.
            self._wanted = None
            self._settle()
        self._connected = standing.connected
        self.banner.show_standing(standing)
        read = f"read {time.strftime('%H:%M:%S', time.localtime(standing.read))}" if standing.read else "opening …"
        self._place.say(f"{standing.address or 'embedded catalog'}   ·   {read}   ·   only reads")
        self.headline.show_scan(self.row, self.view, self.kept.roi, stale=standing.stale)

    def _queue_came(self, queue: Queue) -> None:
        self.runs.show_queue(queue)

    # --- what is shown

    def _settle(self) -> None:
        """Show what is to be shown now, where it is not shown already."""
        row = self.focus.settle(self.rows)
        self.row = row
        if row is None:
            return
        if self._middle.currentWidget() is self.two_time:
            self.runs.select(row.uid)
        aim = wanted(row)
        if aim != self._wanted:
            self._wanted = aim
            if self.view is not None and self.view.scan.run_uid != row.uid:
                # Numbers and pictures of one scan must never stand below the name of another.
                self._show_message(f"Reading {saying.line(row)} …")
            if aim.live is not None:
                self.workers.drop("scan")
                self._live_loop.follow(*aim.live)
            else:
                self._live_loop.rest()
                if aim.record:
                    self._read(aim.record)
                else:
                    self._show_message(aim.message)
        self._tell()

    def _read(self, key: str) -> None:
        self.workers.run(
            "scan", lambda: self.session.read(lambda catalog: read_scan(catalog, key)), self._came, self._absent
        )

    def _show(self, view: ScanView) -> None:
        grown = (
            self.view is not None
            and view.live is not None
            and (self.view.key, self.view.state) == (view.key, view.state)
        )
        self.view = view
        self.two_time.show_scan(view, self.kept.roi)
        self.detector.show_scan(view, self.kept.roi)
        if grown:
            # Some revisions a second: what they do not change is left alone.
            self.headline.show_scan(self.row, view, self.kept.roi, stale=self.session.standing.stale)
        else:
            self._tell()

    def _show_message(self, why: str | GbxError) -> None:
        self.view = None
        self.two_time.show_nothing(why)
        self.detector.show_nothing("No detector image of this scan so far: see the two-time panel.")
        self._tell()

    def _tell(self) -> None:
        self.headline.show_scan(self.row, self.view, self.kept.roi, stale=self.session.standing.stale)
        self.trend.show_rows(self.rows, self.row, self.kept.roi)
        self.inference.show_scan(self.rows, self.row, self.view)
        if self.row is not None:
            self.setWindowTitle(f"{saying.line(self.row)} – GBX")

    # --- what a person does

    def choose(self, uid: str) -> None:
        """Show a run and stay there."""
        self._compare_none()
        self.focus.pin(uid)
        self.commands.show_following(self.focus.following)
        self._settle()

    def pin(self) -> None:
        """Stay at the run that is shown."""
        if self.focus.uid:
            self.choose(self.focus.uid)

    def choose_roi(self, name: str) -> None:
        """Show another q-ROI, in this scan and in all that come."""
        self.kept.roi = name
        if self.view is not None:
            self._show(self.view)
        if self._middle.currentWidget() is self.compare and self.compare.uids:
            self.compare_runs(sorted(self.compare.uids))

    def compare_selected(self) -> None:
        """Show the runs that are selected in the list side by side."""
        self.compare_runs(self.runs.selected())

    def compare_runs(self, uids: list[str]) -> None:
        """Show runs side by side; with fewer than two, say how to choose them."""
        chosen = [row for row in self.rows if row.uid in uids]
        self._middle.setCurrentWidget(self.compare)
        self.runs.mark({row.uid for row in chosen})
        if len(chosen) > 1:
            if self.focus.uid:
                self.focus.pin(self.focus.uid)
                self.commands.show_following(False)
            self.compare.show_rows(chosen, self.kept.roi)
        else:
            self.compare.clear()
            self.compare.calm(f"Select two to {MOST_SCANS} runs in the list: hold Ctrl or Shift and click.")

    def back(self) -> None:
        """From a comparison to one scan, from one panel to all."""
        self._compare_none()
        for panel in (self.runs, *self.side, self.two_time):
            panel.setVisible(True)
        self._middle.setVisible(True)
        if self.focus.uid:
            self.runs.select(self.focus.uid)

    def _compare_none(self) -> None:
        self.compare.clear()
        self.runs.mark(set())
        self._middle.setCurrentWidget(self.two_time)

    def copy_uid(self) -> None:
        """The uid into the clipboard."""
        if self.row is not None:
            QApplication.clipboard().setText(self.row.uid)
            self.statusBar().showMessage(f"copied {self.row.uid}", 4000)

    def retry(self) -> None:
        """Connect and look at once."""
        self.session.retry()
        self._list_loop.wake()
        self._live_loop.wake()

    def other_theme(self) -> None:
        """From light to dark and back."""
        names = list(THEMES)
        self.kept.theme = names[(names.index(self.theme.name) + 1) % len(names)]
        self.dress(THEMES[self.kept.theme].scaled(self.kept.scale))

    def zoom_text(self, factor: float) -> None:
        """Larger or smaller text."""
        self.kept.scale = min(max(self.kept.scale * factor, SMALLEST), LARGEST)
        self.dress(THEMES[self.theme.name].scaled(self.kept.scale))

    def dress(self, theme: Theme) -> None:
        """Take on a theme."""
        self.theme = theme
        self.setStyleSheet(style_sheet(theme))
        self.commands.theme.setText("Light" if theme.name == "dark" else "Dark")
        self.runs.dress(theme)
        self.headline.dress(theme)
        for panel in self.panels:
            panel.dress(theme)

    def set_following(self, on: bool) -> None:
        """Go with the newest scan, or stay."""
        if on:
            self.focus.follow()
        elif self.focus.uid:
            self.focus.pin(self.focus.uid)
        self._settle()

    def _against(self, chosen: str) -> None:
        self.kept.against = chosen

    def _enlarge(self, panel: Panel) -> None:
        """One panel alone, or all again."""
        middle = panel in (self.two_time, self.compare)
        others: list[QWidget] = [self.runs, *(one for one in self.side if one is not panel)]
        if not middle:
            others.append(self._middle)
        alone = any(one.isVisible() for one in others)
        for one in others:
            one.setVisible(not alone)

    def full_screen(self) -> None:
        """All of the screen, or a window again."""
        if self.isFullScreen():
            self.showNormal()
        else:
            self.showFullScreen()

    # --- what is remembered

    def _remember_back(self) -> None:
        if self.kept.window:
            self.restoreGeometry(_bytes(self.kept.window))
        for name, splitter in self.splitters.items():
            if name in self.kept.splitters:
                splitter.restoreState(_bytes(self.kept.splitters[name]))
        self.two_time.locked = dict(self.kept.levels)
        self.two_time.colours.setCurrentText(self.kept.colours)
        self.two_time.recolour()
        self.runs.typed.setText(self.kept.filter)
        self.trend.against.setCurrentText(self.kept.against)

    def _remember(self) -> None:
        self.kept.window = _text(self.saveGeometry())
        self.kept.splitters = {name: _text(splitter.saveState()) for name, splitter in self.splitters.items()}
        self.kept.levels = dict(self.two_time.locked)
        self.kept.colours = self.two_time.colours.currentText()
        self.kept.filter = self.runs.typed.text()
        save_kept(self.kept, self._memory)

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """End the threads, as far as they can be ended now."""
        self._remember()
        self._clock.stop()
        for loop in self._loops:
            loop.stop()
        self.workers.close()
        self.phase_maps.close()
        for loop in self._loops:
            loop.join(_CLOSE_SECONDS)
        self.session.close()
        super().closeEvent(event)


def _bytes(text: str) -> QByteArray:
    return QByteArray(base64.b64decode(text))


def _text(content: QByteArray) -> str:
    return base64.b64encode(bytes(content.data())).decode()
