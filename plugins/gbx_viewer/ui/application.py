"""Starting the application."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pyqtgraph as pg
from PySide6.QtCore import QStandardPaths, QTimer
from PySide6.QtWidgets import QApplication

from gbx_beamline.config import Config
from gbx_viewer.model.session import Session
from gbx_viewer.ui.window import ViewerWindow

MEMORY = "viewer.json"


def run(config: Config) -> int:
    """Show the window until it is closed.

    Args:
        config: Says which catalog.

    Returns:
        Exit status.
    """
    application = make_application()
    window = ViewerWindow(Session(config), memory_file())
    window.show()
    window.begin()
    # Python sees Ctrl-C only while it runs: Qt's loop lets it, now and then.
    breath = QTimer()
    breath.timeout.connect(lambda: None)
    breath.start(200)
    signal.signal(signal.SIGINT, lambda *_: window.close())
    signal.signal(signal.SIGTERM, lambda *_: window.close())
    status = application.exec()
    # A thread may be waiting for a server that does not answer: nothing is lost by not waiting for it.
    sys.stdout.flush()
    os._exit(status)


def make_application() -> QApplication:
    """The application object, with what all windows share."""
    existing = QApplication.instance()
    application = existing if isinstance(existing, QApplication) else QApplication(["gbx"])
    application.setApplicationName("gbx")
    application.setApplicationDisplayName("GBX")
    application.setStyle("Fusion")
    pg.setConfigOptions(antialias=True, imageAxisOrder="row-major")
    return application


def memory_file() -> Path:
    """Where the viewer remembers layout and choices."""
    place = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.AppConfigLocation)
    return Path(place) / MEMORY
