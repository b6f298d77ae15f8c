"""The bar that says that there is no connection, how old what is shown is, and when it is tried again."""

from __future__ import annotations

import math
import time

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy

from gbx_viewer.model import saying
from gbx_viewer.model.session import Standing


class Banner(QFrame):
    """See module."""

    retried = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("banner")
        self._words = QLabel()
        self._words.setWordWrap(True)
        self._words.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        again = QPushButton("Try now")
        again.clicked.connect(self.retried)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(14, 8, 10, 8)
        layout.addWidget(self._words, 1)
        layout.addWidget(again)
        self.hide()

    @property
    def words(self) -> str:
        """What it says."""
        return self._words.text()

    def show_standing(self, standing: Standing) -> None:
        """Appear where something is wrong, else disappear."""
        if standing.connected or standing.trouble is None:
            self.hide()
            return
        trouble = standing.trouble
        seconds = max(0, math.ceil(standing.next_try - time.time()))
        waits = f"Next try in {seconds} s." if seconds else "Trying now …"
        shown = f"What is shown was read {_ago(standing.read)}. " if standing.stale else ""
        self._words.setText(
            f"No connection since {saying.moment(standing.since)}: {trouble.found}. {shown}{trouble.action}. {waits}"
        )
        self.show()


def _ago(moment: float) -> str:
    seconds = max(0.0, time.time() - moment)
    return f"{seconds:.0f} s ago" if seconds < 120 else f"{seconds / 60:.0f} min ago"
