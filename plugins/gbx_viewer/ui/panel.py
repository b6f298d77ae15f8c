"""The frame around each panel: a title, a quiet line beside it, tools, and a calm place for what cannot be shown."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QStackedLayout, QVBoxLayout, QWidget

from gbx_beamline.errors import GbxError
from gbx_viewer.ui.theme import Theme


class Elided(QLabel):
    """A line of text that gives way where there is no room; the tool tip has all of it."""

    def __init__(self, name: str = "quiet") -> None:
        super().__init__()
        self.setObjectName(name)
        self._whole = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def say(self, text: str) -> None:
        """Show this."""
        self._whole = text
        self.setToolTip(text)
        self._fit()

    @property
    def whole(self) -> str:
        """All of the text."""
        return self._whole

    def resizeEvent(self, event: object) -> None:  # noqa: N802
        """Fit the text again."""
        super().resizeEvent(event)  # type: ignore[arg-type]
        self._fit()

    def _fit(self) -> None:
        room = max(self.width() - 2, 0)
        self.setText(self.fontMetrics().elidedText(self._whole, Qt.TextElideMode.ElideRight, room))


class Panel(QFrame):
    """A titled panel. Subclasses put a widget into it with ``hold``.

    Args:
        title: Its name.
        waiting: What it says before there is anything to show.
    """

    enlarged = Signal(object)
    """A double click on the title: this panel alone, or all again."""

    def __init__(self, title: str, waiting: str) -> None:
        super().__init__()
        self.setObjectName("panel")
        self.name = title
        self._title = QLabel(title)
        self._title.setObjectName("title")
        self.note = Elided()
        self.note.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self._head = QWidget()
        head = QHBoxLayout(self._head)
        head.setContentsMargins(12, 8, 10, 2)
        head.setSpacing(8)
        head.addWidget(self._title)
        head.addWidget(self.note, 1)
        self.tools = head
        self._message = QLabel(waiting)
        self._message.setObjectName("calm")
        self._message.setWordWrap(True)
        self._message.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._body = QWidget()
        self._stack = QStackedLayout(self._body)
        self._stack.addWidget(self._message)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(1, 1, 1, 1)
        layout.setSpacing(0)
        layout.addWidget(self._head)
        layout.addWidget(self._body, 1)

    def hold(self, content: QWidget) -> None:
        """The widget that is shown where there is something to show."""
        self._stack.addWidget(content)

    @property
    def said(self) -> str:
        """What the panel says in place of its content; empty while it shows it."""
        return self._message.text() if self._stack.currentIndex() == 0 else ""

    def calm(self, why: str | GbxError) -> None:
        """Say why there is nothing to show."""
        self._message.setText(spoken(why))
        self._stack.setCurrentIndex(0)

    def content(self) -> None:
        """Show the content."""
        self._stack.setCurrentIndex(1)

    def dress(self, theme: Theme) -> None:
        """Take on a theme. Subclasses add their plots."""

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """See ``enlarged``."""
        if event.position().y() < self._head.height():
            self.enlarged.emit(self)


def spoken(why: str | GbxError) -> str:
    """An error as a few calm lines: what is, and what to do."""
    if isinstance(why, str):
        return why
    first = why.found[:1].upper() + why.found[1:]
    return f"{first}.\n\nWhat to do: {why.action}."
