"""Scans side by side in place of the two-time panel: maps on one colour scale, their one-time g2 in one plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyqtgraph as pg
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QToolButton

from gbx_beamline.figures.words import time_unit, wrapped
from gbx_viewer.model import saying
from gbx_viewer.model.comparing import MOST_SCANS, Compared, read_compared, window
from gbx_viewer.model.runs import RunRow
from gbx_viewer.model.scan import MapKind
from gbx_viewer.model.session import Session
from gbx_viewer.ui.panel import Panel
from gbx_viewer.ui.plots import Note, Plot, dress, label, line, plain_plot
from gbx_viewer.ui.theme import DIVERGING, LIGHT, Theme, colour_table
from gbx_viewer.ui.workers import Workers


class ComparePanel(Panel):
    """See module.

    Args:
        session: Where scans are read.
        workers: Who reads them.
    """

    closed = Signal()
    settled = Signal()
    """All scans were drawn."""

    def __init__(self, session: Session, workers: Workers) -> None:
        super().__init__("Compare", f"Select two to {MOST_SCANS} runs in the list (Ctrl or Shift and click).")
        self._session, self._workers = session, workers
        self._theme: Theme = LIGHT
        self.compared: tuple[Compared, ...] = ()
        self._rows: tuple[RunRow, ...] = ()
        self._roi: str | None = None
        self._notes: list[Note] = []
        self.kinds = QToolButton()
        self.kinds.setText("Drift")
        self.kinds.setCheckable(True)
        self.kinds.toggled.connect(lambda _: self._ask())
        back = QToolButton()
        back.setText("Back to one scan")
        back.setToolTip("Esc")
        back.clicked.connect(self.closed)
        for button in (self.kinds, back):
            self.tools.addWidget(button)
        self.canvas = pg.GraphicsLayoutWidget()
        self.hold(self.canvas)

    @property
    def uids(self) -> set[str]:
        """Runs under comparison."""
        return {row.uid for row in self._rows}

    def dress(self, theme: Theme) -> None:
        """Take on a theme."""
        self._theme = theme
        self.canvas.setBackground(theme.panel)
        if self.compared:
            self._draw(self.compared)

    def show_rows(self, rows: Sequence[RunRow], roi: str | None) -> None:
        """Compare these; nothing is asked for where they are shown already."""
        if tuple(rows) == self._rows and roi == self._roi and self.compared:
            return
        self._rows, self._roi = tuple(rows), roi
        self._ask()

    def clear(self) -> None:
        """Compare nothing."""
        self._workers.drop("compare")
        self._rows, self.compared = (), ()

    def _ask(self) -> None:
        rows, roi = self._rows, self._roi
        kind: MapKind = "drift" if self.kinds.isChecked() else "g2"
        left_out = f"; the first {MOST_SCANS} of {len(rows)} selected" if len(rows) > MOST_SCANS else ""
        self.note.say(f"reading …{left_out}")
        self._workers.run(
            "compare",
            lambda: self._session.read(lambda catalog: read_compared(catalog, rows, roi, kind)),
            self._came,
            self.calm,
        )

    def _came(self, compared: tuple[Compared, ...]) -> None:
        self.compared = compared
        self._draw(compared)
        left_out = f"  ·  first {MOST_SCANS} of {len(self._rows)} selected" if len(self._rows) > MOST_SCANS else ""
        self.note.say(f"one colour scale{left_out}")
        self.content()
        self.settled.emit()

    def _draw(self, compared: Sequence[Compared]) -> None:
        layout: Any = self.canvas.ci
        layout.clear()
        self._notes.clear()
        layout.setContentsMargins(6, 4, 8, 4)
        layout.setSpacing(6)
        unit, name = time_unit(window(compared)) if math.isfinite(window(compared)) else (1.0, "s")
        per_row = 2 if len(compared) > 1 else 1
        for place, one in enumerate(compared):
            layout.addItem(self._map(one, place, unit, name), place // per_row, place % per_row)
        last = math.ceil(len(compared) / per_row)
        layout.addItem(self._decays(compared), last, 0, 1, per_row)
        for row in range(last):
            layout.layout.setRowStretchFactor(row, 3)
        layout.layout.setRowStretchFactor(last, 2)

    def _note(self, plot: Plot, words: str) -> None:
        """A line above a plot, kept for as long as the plot is."""
        note = Note(plot)
        note.say(words, self._theme)
        self._notes.append(note)

    def _map(self, one: Compared, place: int, unit: float, name: str) -> Plot:
        theme, plot = self._theme, plain_plot()
        dress(plot, theme)
        drawn = one.tile
        roi = one.view.roi(one.index) if one.view is not None else None
        said = [saying.kelvin(one.row.temperature), saying.share(roi), saying.diffusivity(one.row)]
        words = (*said, one.row.sample or "unnamed", saying.moment(one.row.started))
        self._note(plot, "  ·  ".join(filter(None, words)))
        plot.getAxis("left").setPen(line(theme.colour(place), width=3.0))
        label(plot, theme, x=f"t1 ({name})", y=f"t2 ({name})")
        for side in ("left", "bottom"):
            plot.getAxis(side).setScale(1.0 / unit)
        if drawn is None or drawn.empty:
            text = pg.TextItem(wrapped(one.why or "No pair of valid frames.", 40), color=theme.quiet, anchor=(0.5, 0.5))
            plot.addItem(text)
            text.setPos(0.5, 0.5)
            plot.setRange(xRange=(0, 1), yRange=(0, 1))
            return plot
        image = pg.ImageItem(axisOrder="col-major")
        image.setLookupTable(colour_table(theme, DIVERGING if self.kinds.isChecked() else "viridis"))
        image.setImage(drawn.image, autoLevels=False, levels=None)
        image.setRect(*drawn.start, *drawn.span)
        plot.addItem(image)
        plot.setAspectLocked(True)
        plot.setRange(xRange=(0, drawn.span[0]), yRange=(0, drawn.span[1]), padding=0.0)
        return plot

    def _decays(self, compared: Sequence[Compared]) -> Plot:
        theme, plot = self._theme, plain_plot(log_x=True)
        dress(plot, theme)
        plot.showGrid(x=True, y=True, alpha=0.15)
        label(plot, theme, x="lag τ (s)", y="(g2 − 1) / contrast")
        self._note(plot, "one-time g2 of each, over its contrast; colours as the maps' left axes")
        for place, one in enumerate(compared):
            roi = one.view.roi(one.index) if one.view is not None else None
            if one.decay is None or roi is None:
                continue
            scale = roi.contrast if roi.contrast > 0 else 1.0
            colour, symbol = theme.colour(place), "ostd"[place % 4]
            for data, pen, mark in (
                ((one.decay.tau, one.decay.g2), None, symbol),
                (one.decay.fitted, line(colour), None),
            ):
                if data is not None:
                    plot.plot(
                        data[0],
                        (data[1] - 1.0) / scale,
                        pen=pen,
                        symbol=mark,
                        symbolSize=6,
                        symbolBrush=colour,
                        symbolPen=None,
                    )
        return plot
