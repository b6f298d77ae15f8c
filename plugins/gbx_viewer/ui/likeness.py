"""Simulations and experiments that a model knows, and the sample's scans among them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Signal

from gbx_beamline.errors import GbxError
from gbx_viewer.model.inference import LOG_D, in_kelvin
from gbx_viewer.model.likeness import Picture, Placed, placed, read_picture, why_none
from gbx_viewer.model.runs import RunRow
from gbx_viewer.model.saying import ANGSTROM2
from gbx_viewer.model.session import Session
from gbx_viewer.ui.plots import Note, Plot, dress, faint, label, line, plain_plot, warm_colours
from gbx_viewer.ui.theme import LIGHT, Theme
from gbx_viewer.ui.workers import Workers

_D_RANGE = (LOG_D[0] + math.log10(ANGSTROM2), LOG_D[1] + math.log10(ANGSTROM2))


class Likeness(pg.GraphicsLayoutWidget):
    """See module.

    Args:
        session: Says where models lie.
        workers: Who reads their pictures.
    """

    run_chosen = Signal(str)

    def __init__(self, session: Session, workers: Workers) -> None:
        super().__init__()
        self._session, self._workers = session, workers
        self._theme: Theme = LIGHT
        self.picture: Picture | None = None
        self.placed: tuple[Placed, ...] = ()
        self._row: RunRow | None = None
        self._asked = ""
        layout: Any = self.ci
        layout.setContentsMargins(4, 2, 8, 2)
        self.plot: Plot = plain_plot()
        for side in ("left", "bottom"):
            # Its axes have no meaning but nearness.
            self.plot.getAxis(side).setStyle(showValues=False, tickLength=0)
        self._known = pg.ScatterPlotItem(size=4, pen=None)
        self._measured = pg.ScatterPlotItem(size=7, symbol="o", brush=None)
        self._scans = pg.ScatterPlotItem(size=12)
        self._scans.sigClicked.connect(self._clicked)
        for z, item in enumerate((self._known, self._measured, self._scans)):
            item.setZValue(z)
            self.plot.addItem(item)
        layout.addItem(self.plot, 0, 0)
        self.note = Note(self.plot)

    def dress(self, theme: Theme) -> None:
        """Take on a theme."""
        self._theme = theme
        self.setBackground(theme.panel)
        dress(self.plot, theme)
        self.plot.getAxis("left").setWidth(round(22 * theme.scale))
        label(self.plot, theme, x="what is alike lies together (UMAP)", y="")
        self._draw()

    def show_scan(self, rows: Sequence[RunRow], row: RunRow | None) -> None:
        """A run, and the others of its sample."""
        self._row, self.placed = row, placed(rows, row)
        model = "" if row is None or row.inference is None else row.inference.model
        if model and model != self._asked:
            self._asked, self.picture = model, None
            self.note.say("reading the picture of what the model knows …", self._theme)
            models = self._session.config.models
            self._workers.run("likeness", lambda: read_picture(models, model), self._came, self._absent)
        self._draw()

    def _came(self, picture: Picture) -> None:
        self.picture = picture
        self._draw()
        self.plot.autoRange(padding=0.04)

    def _absent(self, error: GbxError) -> None:
        self.note.say(why_none(error), self._theme)

    def _draw(self) -> None:
        self._draw_known()
        self._draw_scans()
        if self.picture is not None:
            self.note.say(self._said(self.picture), self._theme)

    def _said(self, picture: Picture) -> str:
        current = next((one for one in self.placed if self._row is not None and one.uid == self._row.uid), None)
        known = f"{len(picture.simulated)} simulations by D, {len(picture.measured)} virtual experiments ○"
        if current is None:
            return f"this scan was not placed · {known}"
        return f"{current.said} · {known}"

    def _draw_known(self) -> None:
        picture = self.picture
        if picture is None:
            self._known.setData([], [])
            self._measured.setData([], [])
            return
        colours: Any = pg.colormap.get("viridis")
        share = (picture.log_d - _D_RANGE[0]) / (_D_RANGE[1] - _D_RANGE[0])
        table = colours.map(np.nan_to_num(np.clip(share, 0.0, 1.0), nan=0.0), mode="qcolor")
        brushes = [
            faint(colour if math.isfinite(value) else self._theme.quiet, 150)
            for colour, value in zip(table, share, strict=True)
        ]
        self._known.setData(picture.simulated[:, 0], picture.simulated[:, 1], brush=brushes)
        self._measured.setData(
            picture.measured[:, 0], picture.measured[:, 1], pen=line(faint(self._theme.ink, 150), width=1.0)
        )

    def _draw_scans(self) -> None:
        scans = self.placed if self.picture is not None else ()
        brushes = warm_colours([one.temperature for one in scans], self._theme.quiet)
        current, accent = "" if self._row is None else self._row.uid, self._theme.accent
        self._scans.setData(
            [one.x for one in scans],
            [one.y for one in scans],
            size=[17 if one.uid == current else 11 for one in scans],
            brush=brushes,
            pen=[line(accent, width=3.0) if one.uid == current else line(self._theme.ink, width=1.0) for one in scans],
            data=[one.uid for one in scans],
            hoverable=True,
            tip=lambda data, **_: _tip(scans, data),
        )

    def _clicked(self, _scatter: object, points: Any) -> None:
        if len(points):
            self.run_chosen.emit(str(points[0].data()))


def _tip(scans: Sequence[Placed], uid: str) -> str:
    one = next((scan for scan in scans if scan.uid == uid), None)
    return "" if one is None else f"{in_kelvin(one.temperature)}, {uid[:8]}, {one.said}"
