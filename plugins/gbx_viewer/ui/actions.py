"""Buttons, shortcuts and exports of the window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QFileDialog, QMenu, QMessageBox, QSizePolicy, QToolBar, QToolButton, QWidget

from gbx_beamline.errors import GbxError, InputError
from gbx_beamline.exchange import export, whole_record
from gbx_viewer.model.export import OnScreen, as_csv, as_report
from gbx_viewer.ui.exporting import png_of, svg_of, write

if TYPE_CHECKING:
    from gbx_viewer.ui.window import ViewerWindow

SHORTCUTS = (
    ("F", "follow the newest scan, or stay"),
    ("P", "pin: stay at this scan"),
    ("J, K", "next run down, up"),
    ("/", "filter the list"),
    ("[, ]", "other q-ROI"),
    ("D", "drift instead of g2"),
    ("L", "levels by percentiles again"),
    ("0", "zoom out"),
    ("C", "compare the selected runs"),
    ("Esc", "back to one scan, and to all panels"),
    ("U", "copy the uid"),
    ("Ctrl+E", "export a report of what is on screen"),
    ("T", "dark or light"),
    ("Ctrl +, Ctrl -", "larger or smaller text"),
    ("F5", "connect and look at once"),
    ("F11", "full screen"),
    ("double click on a title", "this panel alone, or all again"),
    ("click on the map", "hold the cross-hair, or let it go"),
    ("F1", "this list"),
)


class Actions:
    """What a person can do in a window.

    Args:
        window: Whose.
    """

    def __init__(self, window: ViewerWindow) -> None:
        self._window = window
        self.bar = QToolBar("tools")
        self.bar.setObjectName("tools")
        self.bar.setMovable(False)
        window.addToolBar(self.bar)
        self.follow = self._button("Follow newest", "Show the newest scan as it comes (F)", None, checkable=True)
        self.follow.setChecked(True)
        self.follow.toggled.connect(window.set_following)
        self._button("Pin", "Stay at this scan (P)", window.pin)
        self._button("Compare", "The selected runs side by side (C)", window.compare_selected)
        self._button("Copy uid", "The whole uid of this scan into the clipboard (U)", window.copy_uid)
        self._export_menu()
        space = QWidget()
        space.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.bar.addWidget(space)
        self._button("Keys", "All keyboard shortcuts (F1)", self.show_keys)
        self.theme = self._button("Dark", "Dark or light (T)", window.other_theme)
        self._shortcuts()

    def show_following(self, following: bool) -> None:
        """Set the button without pressing it."""
        self.follow.blockSignals(True)
        self.follow.setChecked(following)
        self.follow.blockSignals(False)

    def show_keys(self) -> None:
        """All shortcuts."""
        rows = "".join(f"<tr><td><b>{keys}</b>&nbsp;&nbsp;</td><td>{what}</td></tr>" for keys, what in SHORTCUTS)
        box = QMessageBox(self._window)
        box.setWindowTitle("Keys")
        box.setText(f"<table>{rows}</table>")
        box.open()

    def export(self, kind: str, path: Path) -> None:
        """Write what is on screen.

        Args:
            kind: "png", "svg", "csv" or "html".
            path: Where.

        Raises:
            InputError: there is nothing to export, or the file cannot be written.
        """
        makers: Mapping[str, Callable[[], bytes | str]] = {
            "png": lambda: png_of(self._window.page),
            "svg": lambda: svg_of(self._window.page, self._window.windowTitle()),
            "csv": lambda: as_csv(self._screen()),
            "html": lambda: as_report(self._screen(), self._pictures()),
        }
        write(makers[kind](), path)

    def ask_and_export(self, kind: str) -> None:
        """Ask where to, and write there; trouble is said and nothing else happens."""
        row = self._window.row
        name = f"{row.uid[:8]}_gbx.{kind}" if row is not None else f"gbx.{kind}"
        chosen, _ = QFileDialog.getSaveFileName(self._window, f"Export {kind.upper()}", name, f"*.{kind}")
        if not chosen:
            return
        path = Path(chosen) if Path(chosen).suffix else Path(f"{chosen}.{kind}")
        if kind == "nxs":
            self.export_record(path)
            return
        try:
            self.export(kind, path)
        except GbxError as error:
            self._refused(error)
        else:
            self._window.statusBar().showMessage(f"written: {path}", 6000)

    def export_record(self, path: Path) -> None:
        """Write all of the record that is shown as NXxpcs, in a thread."""
        window = self._window
        if window.view is None or window.view.live is not None:
            self._refused(InputError("no final record is shown", needed="an analysed scan", action="choose one"))
            return
        key, bar = window.view.key, window.statusBar()
        bar.showMessage(f"writing {path} …")

        def write_record() -> None:
            # The file dialogue has asked already whether a file that is there may go.
            export(window.session.read(lambda catalog: whole_record(catalog, key)), "nxxpcs", path, overwrite=True)

        window.workers.run(
            "nexus",
            write_record,
            lambda _: bar.showMessage(f"written: {path}", 6000),
            self._refused,
        )

    def _refused(self, error: GbxError) -> None:
        self._window.statusBar().clearMessage()
        box = QMessageBox(QMessageBox.Icon.Warning, "Not exported", str(error), parent=self._window)
        box.open()

    def _screen(self) -> OnScreen:
        window = self._window
        if window.row is None:
            raise InputError("no scan is shown", needed="a scan on screen", action="choose one in the list")
        two_time = window.two_time
        return OnScreen(
            row=window.row,
            view=window.view,
            index=two_time.index,
            shown=two_time.shown,
            cross=two_time.cross_hair,
            decay=two_time.decay,
            trend=window.trend.trend,
            verdict=window.inference.verdict,
        )

    def _pictures(self) -> dict[str, bytes]:
        return {panel.name: png_of(panel) for panel in self._window.panels if panel.isVisible() and not panel.said}

    def _export_menu(self) -> None:
        menu = QMenu(self._window)
        for kind, words in (
            ("png", "Figure, PNG"),
            ("svg", "Figure, SVG"),
            ("csv", "Data on screen, CSV"),
            ("nxs", "All of the record, NeXus NXxpcs"),
            ("html", "Report, one HTML file"),
        ):
            menu.addAction(words, lambda kind=kind: self.ask_and_export(kind))
        button = self._button("Export", "Figure, data or report of what is on screen (Ctrl+E: report)", None)
        button.setMenu(menu)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)

    def _shortcuts(self) -> None:
        window, two_time = self._window, self._window.two_time
        for keys, what in (
            ("F", self.follow.toggle),
            ("P", window.pin),
            ("J", lambda: window.runs.step(1)),
            ("K", lambda: window.runs.step(-1)),
            ("/", window.runs.typed.setFocus),
            ("[", lambda: two_time.next_roi(-1)),
            ("]", lambda: two_time.next_roi(1)),
            ("D", two_time.kinds.toggle),
            ("L", two_time.free_levels),
            ("0", two_time.whole),
            ("C", window.compare_selected),
            ("Esc", window.back),
            ("U", window.copy_uid),
            ("Ctrl+E", lambda: self.ask_and_export("html")),
            ("T", window.other_theme),
            ("Ctrl++", lambda: window.zoom_text(1.1)),
            ("Ctrl+=", lambda: window.zoom_text(1.1)),
            ("Ctrl+-", lambda: window.zoom_text(1 / 1.1)),
            ("F5", window.retry),
            ("F11", window.full_screen),
            ("F1", self.show_keys),
            ("Ctrl+Q", window.close),
        ):
            QShortcut(QKeySequence(keys), window).activated.connect(what)

    def _button(
        self, text: str, tip: str, what: Callable[[], object] | None, *, checkable: bool = False
    ) -> QToolButton:
        made = QToolButton()
        made.setText(text)
        made.setToolTip(tip)
        made.setCheckable(checkable)
        if what is not None:
            made.clicked.connect(lambda: what())
        self.bar.addWidget(made)
        return made
