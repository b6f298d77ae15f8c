"""Colours, sizes and colour maps, in light and in dark."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtGui import QColor, QFont

from gbx_viewer.model.runs import Status

UNIFORM = ("viridis", "cividis", "inferno", "magma")
"""Perceptually uniform colour maps for g2 and frames; all of pyqtgraph's own."""

DIVERGING = "CET-D1"
"""Blue, white, red: for the drift. Kovesi, arXiv:1509.03700."""


@dataclass(frozen=True)
class Theme:
    """One look. ``scale`` is that of the text."""

    name: str
    page: str
    panel: str
    raised: str
    ink: str
    quiet: str
    line: str
    accent: str
    on_accent: str
    warn: str
    bad: str
    good: str
    empty: str
    """Cells without a value."""
    series: tuple[str, ...]
    """Okabe and Ito's, as light or dark as the page needs."""
    scale: float = 1.0

    def points(self, size: float) -> float:
        """A font size in pt at this scale."""
        return size * self.scale

    def scaled(self, scale: float) -> Theme:
        """The same with larger or smaller text."""
        return replace(self, scale=scale)

    def colour(self, order: int) -> QColor:
        """Of the n-th series."""
        return QColor(self.series[order % len(self.series)])

    def of_status(self, status: Status) -> str:
        """Colour that a run's standing has."""
        return {
            Status.RUNNING: self.accent,
            Status.STALE: self.warn,
            Status.WAITING: self.quiet,
            Status.ANALYSED: self.good,
            Status.FAILED: self.bad,
            Status.UNREADABLE: self.warn,
        }[status]


LIGHT = Theme(
    name="light",
    page="#eef0f3",
    panel="#ffffff",
    raised="#f6f7f9",
    ink="#15191e",
    quiet="#5a6572",
    line="#d3d9e0",
    accent="#0067a8",
    on_accent="#ffffff",
    warn="#9a5200",
    bad="#b3261e",
    good="#1a7f4b",
    empty="#b8bdc4",
    series=("#0072b2", "#d55e00", "#008a65", "#b5609a", "#2f9bd4", "#806000"),
)

DARK = Theme(
    name="dark",
    page="#0f1215",
    panel="#181c20",
    raised="#20262b",
    ink="#e9ecef",
    quiet="#9aa5b1",
    line="#333b43",
    accent="#4db2ec",
    on_accent="#06222f",
    warn="#f0a63a",
    bad="#ff7a6e",
    good="#53c98c",
    empty="#454d56",
    series=("#56b4e9", "#ff8f4a", "#2fc79b", "#e08fc4", "#8fd0f5", "#d9b64a"),
)

THEMES = {theme.name: theme for theme in (LIGHT, DARK)}


def colour_table(theme: Theme, name: str) -> NDArray[np.uint8]:
    """(256, 4) colours of a map's indices: 0 to 254 from low to high, 255 for cells without a value."""
    colours = pg.colormap.get(name)
    assert colours is not None
    table = np.empty((256, 4), dtype=np.uint8)
    table[:255] = np.asarray(colours.getLookupTable(0.0, 1.0, 255, alpha=True))
    empty = QColor(theme.empty)
    table[255] = (empty.red(), empty.green(), empty.blue(), 255)
    return table


def font(theme: Theme, size: float, *, bold: bool = False) -> QFont:
    """The application's font in another size, pt."""
    made = QFont()
    made.setPointSizeF(theme.points(size))
    made.setBold(bold)
    return made


def style_sheet(theme: Theme) -> str:
    """Of all widgets but plots."""
    t = theme
    return f"""
    * {{ font-size: {t.points(10):.1f}pt; color: {t.ink}; }}
    QMainWindow, QWidget#page {{ background: {t.page}; }}
    QToolTip {{ background: {t.raised}; color: {t.ink}; border: 1px solid {t.line}; padding: 4px; }}
    QFrame#panel {{ background: {t.panel}; border: 1px solid {t.line}; border-radius: 8px; }}
    QLabel {{ background: transparent; }}
    QLabel#title {{ font-size: {t.points(11):.1f}pt; font-weight: 600; }}
    QLabel#quiet, QLabel#calm {{ color: {t.quiet}; }}
    QLabel#calm {{ font-size: {t.points(11):.1f}pt; padding: 16px; }}
    QLabel#huge {{ font-size: {t.points(30):.1f}pt; font-weight: 700; }}
    QLabel#large {{ font-size: {t.points(18):.1f}pt; font-weight: 600; }}
    QLabel#flag {{ color: {t.warn}; }}
    QLabel#wrong {{ color: {t.bad}; }}
    QFrame#banner {{ background: {t.warn}; border-radius: 6px; }}
    QFrame#banner QLabel, QFrame#banner QPushButton {{ color: {t.panel}; font-weight: 600; }}
    QFrame#banner QPushButton {{ background: transparent; border: 1px solid {t.panel}; }}
    QToolBar {{ background: {t.page}; border: 0; spacing: 6px; padding: 6px 10px; }}
    QToolButton, QPushButton, QComboBox {{
        background: {t.raised}; border: 1px solid {t.line}; border-radius: 5px; padding: 4px 10px; }}
    QToolButton:hover, QPushButton:hover, QComboBox:hover {{ border-color: {t.accent}; }}
    QToolButton:checked, QPushButton:checked {{
        background: {t.accent}; color: {t.on_accent}; border-color: {t.accent}; }}
    QToolButton:disabled, QPushButton:disabled, QComboBox:disabled {{ color: {t.quiet}; }}
    QToolButton::menu-indicator {{ image: none; }}
    QComboBox::drop-down {{ border: 0; width: 16px; }}
    QComboBox QAbstractItemView, QMenu {{
        background: {t.raised}; border: 1px solid {t.line}; selection-background-color: {t.accent};
        selection-color: {t.on_accent}; }}
    QMenu::item {{ padding: 5px 22px; }}
    QMenu::item:selected {{ background: {t.accent}; color: {t.on_accent}; }}
    QMenu::item:disabled {{ color: {t.quiet}; }}
    QLineEdit {{ background: {t.raised}; border: 1px solid {t.line}; border-radius: 5px; padding: 5px 8px; }}
    QLineEdit:focus {{ border-color: {t.accent}; }}
    QListView {{ background: {t.panel}; border: 0; outline: 0; }}
    QSplitter::handle {{ background: transparent; }}
    QSplitter::handle:hover {{ background: {t.line}; }}
    QStatusBar {{ background: {t.page}; color: {t.quiet}; }}
    QStatusBar QLabel {{ color: {t.quiet}; }}
    QScrollBar:vertical {{ background: transparent; width: 10px; }}
    QScrollBar::handle:vertical {{ background: {t.line}; border-radius: 5px; min-height: 28px; }}
    QScrollBar::add-line, QScrollBar::sub-line {{ height: 0; }}
    QScrollArea, QScrollArea > QWidget > QWidget {{ background: transparent; border: 0; }}
    QSlider::groove:horizontal {{ background: {t.line}; height: 4px; border-radius: 2px; }}
    QSlider::handle:horizontal {{ background: {t.accent}; width: 14px; margin: -5px 0; border-radius: 7px; }}
    QProgressBar {{ background: {t.line}; border: 0; border-radius: 3px; max-height: 6px; }}
    QProgressBar::chunk {{ background: {t.accent}; border-radius: 3px; }}
    QTextBrowser {{ background: {t.panel}; border: 0; }}
    """
