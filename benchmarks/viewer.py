"""The viewer's window: how late its events are while maps come, and whether it grows.

A real Tiled server and a writer of live records in processes of their own. A thread posts a stamped event into the
window's loop every ten milliseconds; how late each arrives is what a hand at the mouse feels. Which screen is measured
is Qt's choice: QT_QPA_PLATFORM=offscreen, or a display (Xvfb).
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PySide6.QtCore import QEventLoop, QObject, QTimer, Signal
from PySide6.QtWidgets import QApplication

from benchmarks.rounds import tell
from benchmarks.table import Table
from gbx_beamline import open_series, pipeline
from gbx_beamline.catalog import Catalog, Entry, LiveSink, TiledSink, connect
from gbx_beamline.config import parse_config
from gbx_beamline.records import SCHEMA_VERSION, LiveState, ScanInfo, ScanResult
from gbx_beamline.simulation import SpeckleMovie
from gbx_tiled.embedded import CatalogAddress, embedded_catalog
from gbx_viewer.model.runs import RunBook
from gbx_viewer.model.session import Session
from gbx_viewer.ui.application import make_application
from gbx_viewer.ui.window import ViewerWindow

SIDE, FRAMES, FULL, PREVIEW = 48, 60, 2_500, 512
RUNS = 10_000
PROBE_SECONDS = 0.01
WRITER_SECONDS = 0.16
"""From one revision of the live record to the next; `gbx serve` takes 0.4 s."""
SECONDS = 120.0
"""Longest wait for anything."""


class Probe(QObject):
    """Posts stamped events from a thread, and notes how late they are handled."""

    posted = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        self.late: list[float] = []
        self._stopping = threading.Event()
        self.posted.connect(self._handled)
        threading.Thread(target=self._post, daemon=True).start()

    def stop(self) -> None:
        """Post no more."""
        self._stopping.set()

    def words(self) -> str:
        """Median, 95th percentile and maximum, ms; begins anew."""
        late, self.late = np.array(self.late) * 1e3, []
        return f"{np.median(late):.1f} / {np.percentile(late, 95):.1f} / {late.max():.0f}" if late.size else "none"

    def _post(self) -> None:
        while not self._stopping.wait(PROBE_SECONDS):
            self.posted.emit(time.perf_counter())

    def _handled(self, at: float) -> None:
        self.late.append(time.perf_counter() - at)


def run(folder: Path, *, quick: bool) -> Table:
    """Measure one window.

    Args:
        folder: For the catalog.
        quick: Fewer scans and seconds.
    """
    # Read as Tiled's client is imported; `gbx view` does the same.
    os.environ.setdefault("TILED_RETRY_ATTEMPTS", "2")
    application = make_application()
    with embedded_catalog(folder) as address:
        os.environ["TILED_API_KEY"] = address.api_key
        catalog = connect(address.uri, address.api_key)
        like = _analysed()
        _publish(catalog, like, "full", _full(like), 0)
        for number in range(3):
            _publish(catalog, like, f"small-{number}", like, number + 1)
        with _window(address) as window:
            probe = Probe()
            rows = [
                _full_map(window, probe),
                *_previews(window, probe, address, seconds=5.0 if quick else 20.0),
                _many_runs(window, probe),
                _memory(window, scans=20 if quick else 500),
            ]
            probe.stop()
        catalog.close()
    return Table(
        title=f"The viewer's window ({application.platformName()})",
        columns=("what", "asked", "found", "events late, ms: median / 95 % / most"),
        rows=tuple(rows),
        notes=("Server, writer and window share this machine's cores; the window is 1680 x 1020 pixels.",),
    )


def _full_map(window: ViewerWindow, probe: Probe) -> tuple[str, ...]:
    """From the click on a run to its drawn map."""
    tell("viewer: the full map")
    took = []
    for number in range(5):
        _choose(window, f"small-{number % 3}")
        probe.words()
        began = time.perf_counter()
        _choose(window, "full")
        took.append(time.perf_counter() - began)
    found = f"{np.median(took):.2f} s ({max(took):.2f} at most)"
    return f"map of {FULL} x {FULL} with NaN rows, click to drawn", "1 s", found, probe.words()


def _previews(
    window: ViewerWindow, probe: Probe, address: CatalogAddress, *, seconds: float
) -> Iterator[tuple[str, ...]]:
    """Revisions of a running scan, as fast as a writer makes them."""
    tell("viewer: live previews")
    window.commands.follow.setChecked(True)
    seen: list[tuple[float, int]] = []
    window.two_time.settled.connect(lambda: seen.append((time.perf_counter(), _revision(window))))
    with _writer(address):
        _wait(lambda: window.view is not None and window.view.live is not None and len(seen) > 2, "a live record")
        seen.clear()
        probe.words()
        _linger(seconds)
        late = probe.words()
    drawn = len({revision for _, revision in seen}) / seconds
    newest = max(revision for _, revision in seen) - min(revision for _, revision in seen)
    rate = f"{drawn:.1f} a second of {newest / seconds:.1f} written"
    yield f"previews of {PREVIEW} x {PREVIEW}, three q-ROIs", "5 a second, events within 50 ms at 95 %", rate, late


def _many_runs(window: ViewerWindow, probe: Probe) -> tuple[str, ...]:
    """A list of thousands, scrolled."""
    tell("viewer: ten thousand runs")
    rows = _long_book().rows()
    # What came in while they were made is not the list's doing.
    QApplication.processEvents()
    probe.words()
    began = time.perf_counter()
    window.runs.show_rows(rows)
    shown = time.perf_counter() - began
    painted = []
    bar = window.runs.view.verticalScrollBar()
    for step in range(200):
        began = time.perf_counter()
        bar.setValue(round(bar.maximum() * step / 199))
        window.runs.view.viewport().repaint()
        painted.append(time.perf_counter() - began)
        QApplication.processEvents()
    late = probe.words()
    window.runs.show_rows(window.rows)
    found = f"shown in {1e3 * shown:.0f} ms, a scrolled page in {1e3 * np.percentile(painted, 95):.1f} ms (95 %)"
    return f"{RUNS} runs in the list", "scrolls smoothly", found, late


def _memory(window: ViewerWindow, *, scans: int) -> tuple[str, ...]:
    """Resident memory while one scan after the other is shown."""
    tell(f"viewer: {scans} scans")
    process, sizes = psutil.Process(), []
    for number in range(scans):
        _choose(window, f"small-{number % 3}")
        sizes.append(process.memory_info().rss / 2**20)
    early, late = (float(np.median(part)) for part in (sizes[scans // 5 : 2 * scans // 5], sizes[-scans // 5 :]))
    return f"memory over {scans} scans", "flat", f"{early:.0f} MiB, then {late:.0f} MiB", ""


def _choose(window: ViewerWindow, uid: str) -> None:
    """Choose a run and wait until its map is drawn."""
    came: list[bool] = []

    def settled() -> None:
        came.append(window.view is not None and window.view.scan.run_uid == uid and window.two_time.shown is not None)

    window.two_time.settled.connect(settled)
    window.choose(uid)
    _wait(lambda: any(came), f"the map of {uid}")
    window.two_time.settled.disconnect(settled)


def _revision(window: ViewerWindow) -> int:
    return -1 if window.view is None else window.view.revision


@contextmanager
def _window(address: CatalogAddress) -> Iterator[ViewerWindow]:
    config = parse_config({"catalog": {"uri": address.uri}, "serve": {"health": {"port": 1}}})
    with tempfile.TemporaryDirectory() as memory:
        window = ViewerWindow(Session(config), Path(memory) / "viewer.json")
        window.show()
        window.begin()
        _wait(lambda: len(window.rows) >= 4 and window.two_time.drawn is not None, "the first scan")
        yield window
        window.close()


def _wait(ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {SECONDS:.0f} s for {what}")
        _linger(0.01)


def _linger(seconds: float) -> None:
    """Let the window live for a while, as ``exec`` would."""
    loop = QEventLoop()
    QTimer.singleShot(round(1e3 * seconds), loop.quit)
    loop.exec()


def _analysed() -> ScanResult:
    """A small scan, really analysed."""
    labels = np.zeros((SIDE, SIDE), dtype=np.int32)
    for number, start in enumerate((2, 17, 32), start=1):
        labels[start : start + 13, 2:-2] = number
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "rois.npy", labels)
        settings = parse_config({"analysis": {"rois": {"labels": f"{folder}/rois.npy"}}}).analysis
        movie = SpeckleMovie((SIDE, SIDE), FRAMES, rate=0.05, modes=2, mean_counts=5.0, seed=1)
        series = open_series(movie.read(0, FRAMES), frame_time=1.0)
        return pipeline.analyze(series, settings, scan=ScanInfo(run_uid="like", sample="bench", temperature=400.0))


def _full(like: ScanResult) -> ScanResult:
    """The same with maps of a long scan, of which some frames are bad."""
    times, tt = np.arange(FULL), like.two_time
    decay = 1.0 + 0.1 * np.exp(-np.abs(times[:, None] - times[None]) / 300.0)
    noise = np.random.default_rng(0).normal(0.0, 0.01, (FULL, FULL))
    one = (decay + noise + noise.T).astype(np.float32)
    one[100:120], one[:, 100:120] = np.nan, np.nan
    rois = len(tt.names)
    maps = replace(
        tt,
        g2=np.repeat(one[None], rois, axis=0),
        diagonal=np.full((rois, FULL), 1.1),
        frame_means=np.full((rois, FULL), 5.0),
        valid_frames=~np.isnan(one).all(axis=1),
        group_maps=None,
        groups=(),
    )
    return replace(like, two_time=maps)


def _publish(catalog: Catalog, like: ScanResult, uid: str, result: ScanResult, minute: int) -> None:
    scan = replace(like.scan, run_uid=uid, started=time.time() - 3600.0 + 60.0 * minute)
    TiledSink(catalog).publish(replace(result, scan=scan))


def _long_book() -> RunBook:
    """Thousands of runs as the catalog's list would tell them."""
    book, now = RunBook(), time.time()
    ages = [{"start": 300.0 * n, "stop": 300.0 * n + 600, "value": 0.5 + 0.4 * math.sin(n)} for n in range(7)]
    roi = {"name": "ring", "q_par": 4.5e8, "q_z": 0.0, "pixels": 400, "mean_counts": 0.5, "contrast": 0.1}
    roi |= {"s_noneq": 0.6, "corrected_status": "ok", "value": 0.4, "low": 0.3, "high": 0.5, "drift": 0.1}
    for number in range(RUNS):
        uid = f"{number:08d}-run"
        facts: dict[str, Any] = {"schema": SCHEMA_VERSION, "run": uid, "sample": f"sample {number % 17}"}
        facts |= {"started": now - 300.0 * number, "created": now, "temperature": 300.0 + number % 200}
        book.hear_records([Entry(uid, facts | {"status": "complete", "rois": [roi | {"by_age": ages}], "flags": []})])
    return book


@contextmanager
def _writer(address: CatalogAddress) -> Iterator[None]:
    """A process that revises a live record until its input ends."""
    # The disk that both see, as `gbx serve` has it beside its own catalog.
    command = [sys.executable, "-m", "benchmarks.viewer", address.uri, str(address.store or "")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


def _write(uri: str, store: str) -> None:
    ending = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ending.set()), daemon=True).start()
    catalog = connect(uri, os.environ["TILED_API_KEY"], store=Path(store) if store else None)
    sink, rois = LiveSink("running"), 3
    noise = np.random.default_rng(0).normal(1.05, 0.01, (rois, PREVIEW, PREVIEW)).astype(np.float32)
    started, revision = time.time(), 0
    pause = 0.0
    while not ending.wait(pause):
        began = time.monotonic()
        revision += 1
        state = LiveState(
            scan=ScanInfo(run_uid="running", sample="bench", temperature=400.0, started=started),
            rule="default",
            revision=0,
            state="running",
            changed=time.time(),
            frames=PREVIEW,
            expected=PREVIEW,
            frame_time=1.0,
            names=("a", "b", "c"),
            q_par=np.full(rois, 4.5e8),
            q_z=np.zeros(rois),
            pixels=np.full(rois, 400),
            mean_counts=np.full(rois, 0.5),
            contrast=np.full(rois, 0.1),
            two_time=np.roll(noise, revision, axis=(1, 2)),
            frame_means=np.full((rois, PREVIEW), 0.5),
        )
        sink.publish(catalog, state)
        pause = max(0.0, began + WRITER_SECONDS - time.monotonic())
    catalog.close()


if __name__ == "__main__":
    _write(*sys.argv[1:])
