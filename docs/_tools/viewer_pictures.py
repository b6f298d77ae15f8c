"""Pictures of the viewer for the documentation, of the catalog that `gbx demo` makes, light and dark.

    xvfb-run -a -s "-screen 0 1920x1200x24" python docs/_tools/viewer_pictures.py gbx-data docs/images

Close a `gbx view` of the same catalog first, or its choices are kept by the one and not by the other.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Read as Tiled's client is imported; `gbx view` does the same.
os.environ.setdefault("TILED_RETRY_ATTEMPTS", "2")

from PIL import Image
from PySide6.QtCore import QEventLoop, QTimer

from gbx_beamline.config import parse_config
from gbx_viewer.model.session import Session
from gbx_viewer.ui.application import make_application
from gbx_viewer.ui.exporting import png_of
from gbx_viewer.ui.window import ViewerWindow

SECONDS = 60.0
COLOURS = 128
"""Of a picture's palette: enough for colour maps, at a third of the bytes."""


def main(catalog: Path, out: Path) -> None:
    """Draw all panels of the newest scan, and the comparison of all scans."""
    make_application()
    config = parse_config({"catalog": {"directory": str(catalog.resolve())}})
    with tempfile.TemporaryDirectory() as memory:
        window = ViewerWindow(Session(config), Path(memory) / "viewer.json")
        window.resize(1680, 1020)
        window.show()
        window.begin()
        wait(lambda: len(window.rows) > 1, "the runs")
        for theme in ("light", "dark"):
            if window.theme.name != theme:
                window.other_theme()
            pictures(window, out, theme)
        window.close()


def pictures(window: ViewerWindow, out: Path, theme: str) -> None:
    """Of one theme."""
    window.choose(window.rows[0].uid)
    wait(lambda: window.two_time.drawn is not None and window.two_time.decay is not None, "the map")
    wait(lambda: window.detector.picture is not None and window.inference.phase is not None, "the panels")
    linger(1.0)
    panels = {
        "headline": window.headline,
        "runs": window.runs,
        "two_time": window.two_time,
        "trend": window.trend,
        "inference": window.inference,
        "detector": window.detector,
    }
    for name, panel in panels.items():
        keep(png_of(panel), out / f"viewer_{name}_{theme}.png")
    window.compare_runs([row.uid for row in window.rows[:4]])
    wait(lambda: bool(window.compare.compared) and not window.compare.said, "the comparison")
    linger(1.0)
    keep(png_of(window.compare), out / f"viewer_compare_{theme}.png")
    window.back()


def keep(content: bytes, path: Path) -> None:
    """At the size of a screen, with a palette."""
    with Image.open(io.BytesIO(content)) as whole:
        half = whole.convert("RGB").resize((whole.width // 2, whole.height // 2), Image.Resampling.LANCZOS)
    half.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def wait(ready: Callable[[], bool], what: str) -> None:
    """Until ``ready``."""
    deadline = time.monotonic() + SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {SECONDS:.0f} s for {what}")
        linger(0.05)


def linger(seconds: float) -> None:
    """Let the window live for a while."""
    loop = QEventLoop()
    QTimer.singleShot(round(1e3 * seconds), loop.quit)
    loop.exec()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
