"""The strip at the top: which scan, how final, and its numbers, large."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QSizePolicy, QVBoxLayout, QWidget

from gbx_viewer.model import headline
from gbx_viewer.model.headline import Figure
from gbx_viewer.model.runs import RunRow
from gbx_viewer.model.scan import ScanView
from gbx_viewer.ui.panel import Elided
from gbx_viewer.ui.theme import LIGHT, Theme, font

_FLAGS = 3


class _Number(QWidget):
    """One number with its name and what belongs to it."""

    def __init__(self, looks: str) -> None:
        super().__init__()
        self._name, self._value, self._below = QLabel(), QLabel("–"), QLabel()
        for text, style in ((self._name, "quiet"), (self._value, looks), (self._below, "quiet")):
            text.setObjectName(style)
        self._below.setMaximumWidth(260)
        self._below.setWordWrap(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._name)
        layout.addWidget(self._value, 1, Qt.AlignmentFlag.AlignVCenter)
        layout.addWidget(self._below)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)

    @property
    def value(self) -> str:
        """What is read from afar."""
        return self._value.text()

    def say(self, figure: Figure) -> None:
        """Show this."""
        self._name.setText(figure.name)
        self._value.setText(figure.value)
        below = figure.below if len(figure.below) <= 34 else f"{figure.below[:33]}…"
        self._below.setText(below)
        self.setToolTip("\n".join(filter(None, (figure.below if below != figure.below else "", figure.explained))))


class Headline(QFrame):
    """See module."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("panel")
        self._theme: Theme = LIGHT
        self._name, self._about = Elided("large"), Elided()
        self._state = QLabel()
        self._progress = QProgressBar()
        self._progress.setTextVisible(False)
        self._progress.setFixedWidth(120)
        self._progress.hide()
        self.numbers = [_Number(looks) for looks in ("huge", "large", "large", "large")]
        self._flags = [Elided("flag") for _ in range(_FLAGS)]
        layout = QHBoxLayout(self)
        layout.setContentsMargins(16, 10, 16, 10)
        layout.setSpacing(28)
        layout.addWidget(self._who(), 5)
        for number in self.numbers:
            layout.addWidget(number)
        flags = QVBoxLayout()
        flags.setSpacing(1)
        for flag in self._flags:
            flags.addWidget(flag)
        flags.addStretch(1)
        layout.addLayout(flags, 4)

    def _who(self) -> QWidget:
        who = QWidget()
        layout = QVBoxLayout(who)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self._name)
        layout.addWidget(self._about)
        row = QHBoxLayout()
        row.setSpacing(10)
        row.addWidget(self._state)
        row.addWidget(self._progress)
        row.addStretch(1)
        layout.addLayout(row)
        layout.addStretch(1)
        return who

    def dress(self, theme: Theme) -> None:
        """Take on a theme."""
        self._theme = theme
        self._state.setFont(font(theme, 10, bold=True))

    def show_scan(self, row: RunRow | None, view: ScanView | None, roi: str | None, *, stale: bool) -> None:
        """Show a run.

        Args:
            row: The run; None without any.
            view: What is read of it so far.
            roi: Name of the chosen q-ROI.
            stale: True where nobody knows whether it still is so.
        """
        if view is not None and row is not None and view.scan.run_uid != row.uid:
            view = None
        if row is None:
            self._name.say("No scan so far")
            self._about.say("the first one appears here by itself")
            self._state.setText("")
            self._progress.hide()
        else:
            name, about = headline.title(row, view)
            self._name.say(name)
            self._about.say(about)
            said = headline.state(row, view) + ("  ·  not up to date: no connection" if stale else "")
            colour = self._theme.warn if stale else self._theme.of_status(row.status)
            self._state.setText(f'<span style="color:{colour}">●&nbsp; {said}</span>')
            running = view is not None and view.state == "running" and view.expected > 0
            self._progress.setVisible(running)
            if running and view is not None:
                self._progress.setRange(0, view.expected)
                self._progress.setValue(min(view.frames, view.expected))
        facts = None if row is None else row.roi(roi)
        if view is not None and view.rois:
            facts = view.roi(view.index(roi))
        for number, figure in zip(self.numbers, headline.figures(row, facts), strict=True):
            number.say(figure)
        self._say_flags(row, view)

    def _say_flags(self, row: RunRow | None, view: ScanView | None) -> None:
        flags = [] if row is None else list(view.flags if view is not None else row.flags)
        if row is not None and row.inference is not None:
            flags += [row.inference.refused] if row.inference.refused else list(row.inference.flags)
        for place, text in enumerate(self._flags):
            words = flags[place] if place < len(flags) else ""
            if place == _FLAGS - 1 and len(flags) > _FLAGS:
                words = f"{words}   (+{len(flags) - _FLAGS} more)"
            text.say(f"▲ {words}" if words else "")
            text.setToolTip("\n\n".join(flags))
