"""The viewer's window against a real Tiled server with real results, driven as a person would."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)

import pandas as pd
import viewing
from eiger_runs import take
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from viewing import ROIS, Wire, wire_to

from gbx_beamline import assemble
from gbx_beamline.catalog import Catalog, LiveSink, TiledSink, connect, end_live, live_key
from gbx_beamline.config import Config, parse_config
from gbx_beamline.errors import InputError
from gbx_beamline.exchange import read_result
from gbx_beamline.records import ScanResult
from gbx_tiled.embedded import CatalogAddress, embedded_catalog
from gbx_viewer.model.runs import Status
from gbx_viewer.model.session import Session
from gbx_viewer.ui.application import make_application
from gbx_viewer.ui.window import ViewerWindow

SECONDS = 120_000
"""ms: longest wait for what takes a tenth of a second."""


@dataclass
class Beamline:
    """A server of these tests' own, the catalog as a writer sees it, and the wire over which viewers look."""

    directory: Path
    wire: Wire
    address: CatalogAddress
    catalog: Catalog
    like: ScanResult
    began: float
    _open: ExitStack
    _odd: bool = False

    def restart(self) -> None:
        """The server goes, and comes back elsewhere."""
        self.catalog.close()
        self.wire.cut()
        self._open.close()
        self.start()

    def start(self) -> None:
        self.address = self._open.enter_context(embedded_catalog(self.directory))
        os.environ["TILED_API_KEY"] = self.address.api_key
        self.catalog = connect(self.address.uri, self.address.api_key)
        self.wire.mend(self.address.uri)

    def config(self) -> Config:
        # No service: the queue's line says so.
        return parse_config({"catalog": {"uri": self.wire.uri}, "serve": {"health": {"port": 1}}})

    def two_scans(self) -> None:
        """viewed-0001, with an inference, and viewed-0002."""
        key = self.publish("viewed-0001", 1)
        scan = replace(self.like.scan, run_uid="viewed-0001")
        TiledSink(self.catalog).publish_inference(viewing.inference(key, scan))
        self.publish("viewed-0002", 2)

    def odd_scans(self) -> None:
        """A failure, a record of another release, one without its maps, one of NaN: viewed-0003 to viewed-0006."""
        self.two_scans()
        if self._odd:
            return
        self._odd = True
        viewing.publish(self.catalog, viewing.failure(self.like, "viewed-0003", started=self.began + 180))
        viewing.publish_foreign(self.catalog, self.like, "viewed-0004", started=self.began + 240)
        viewing.drop_array(self.catalog, self.publish("viewed-0005", 5), "two_time")
        viewing.publish(self.catalog, viewing.all_nan(self.like, "viewed-0006", started=self.began + 360))

    def publish(self, uid: str, minutes: float, **changed: Any) -> str:
        """A result, or one with other fields; its key."""
        scan = replace(self.like.scan, run_uid=uid, started=self.began + 60 * minutes)
        return viewing.publish(self.catalog, replace(self.like, scan=scan, **changed))


@pytest.fixture(scope="module")
def beamline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beamline]:
    directory = tmp_path_factory.mktemp("viewed")
    before = os.environ.get("TILED_API_KEY")
    with ExitStack() as stack:
        address = stack.enter_context(embedded_catalog(directory))
        os.environ["TILED_API_KEY"] = address.api_key
        began = time.time() - 86400.0
        like = viewing.result("never-published", viewing.settings(directory), started=began)
        with wire_to(address.uri) as wire:
            made = Beamline(directory, wire, address, connect(address.uri, address.api_key), like, began, stack)
            yield made
            made.catalog.close()
    if before is None:
        os.environ.pop("TILED_API_KEY", None)
    else:
        os.environ["TILED_API_KEY"] = before


@pytest.fixture
def open_window(qtbot: QtBot, beamline: Beamline, tmp_path: Path) -> Iterator[Callable[[], ViewerWindow]]:
    """Windows on the beamline; they remember in one file."""
    make_application()
    windows: list[ViewerWindow] = []

    def opened() -> ViewerWindow:
        window = ViewerWindow(Session(beamline.config()), tmp_path / "viewer.json")
        windows.append(window)
        qtbot.addWidget(window)
        window.show()
        window.begin()
        return window

    yield opened
    for window in windows:
        window.close()


Until = Callable[[Callable[[], object]], None]


@pytest.fixture
def until(qtbot: QtBot) -> Until:
    """Wait, with the window alive."""
    return lambda ready: qtbot.waitUntil(lambda: bool(ready()), timeout=SECONDS)


def shows(window: ViewerWindow, uid: str) -> bool:
    """Whether all of a final record is on screen."""
    return (
        window.view is not None
        and window.view.scan.run_uid == uid
        and window.two_time.drawn is not None
        and not window.two_time.said
        and window.detector.picture is not None
    )


def test_an_empty_catalog_says_so_and_the_first_scan_appears_by_itself(
    open_window: Callable[[], ViewerWindow], beamline: Beamline, until: Until
) -> None:
    window = open_window()
    until(lambda: "No runs" in window.runs._nothing.text())
    assert all(panel.said for panel in window.panels)
    beamline.two_scans()
    until(lambda: shows(window, "viewed-0002"))
    assert window.focus.following
    assert [window.two_time.rois.itemText(i) for i in range(2)] == list(window.view.names if window.view else ())
    assert "No model was asked" in window.inference.said
    assert "no `gbx serve`" in window.runs.queue.text()
    assert not window.banner.isVisible()


def test_every_panel_shows_the_scan(open_window: Callable[[], ViewerWindow], beamline: Beamline, until: Until) -> None:
    beamline.two_scans()
    window = open_window()
    until(lambda: window.runs.model.place("viewed-0001").isValid())
    window.choose("viewed-0001")
    until(lambda: shows(window, "viewed-0001"))
    until(lambda: window.inference.verdict is not None and window.two_time.decay is not None)
    like, name = beamline.like, window.two_time.rois.currentText()
    index = list(like.two_time.names).index(name)
    shown = window.two_time.shown
    assert shown is not None
    off = ~np.eye(viewing.FRAMES, dtype=bool)
    np.testing.assert_array_equal(shown.values[off], like.two_time.g2[index][off])
    np.testing.assert_allclose(np.diagonal(shown.values), like.two_time.diagonal[index], rtol=1e-6)
    measured = like.nonequilibrium[index]
    if measured.s_noneq_corrected is not None:
        assert window.headline.numbers[0].value == f"{measured.s_noneq_corrected:.2f}"
    assert "frames" in window.detector.note.whole
    assert window.trend.trend is not None
    assert [one.uid for one in window.trend.trend.points][:2] == ["viewed-0001", "viewed-0002"]
    assert "undetermined" in window.inference.words.toPlainText()
    window.two_time.point_at(4.0, 10.0)
    assert "lag 6 s" in window._pointed.whole
    window.two_time.kinds.toggle()
    until(lambda: window.two_time.shown is not None and window.two_time.shown.kind == "drift")
    window.two_time.next_roi(1)
    other = next(one for one in like.two_time.names if one != name)
    until(lambda: window.two_time.rois.currentText() == other)
    window.trend.against.setCurrentText("temperature")
    assert window.trend.trend.label == "temperature (K)"
    window.detector.mask_on.toggle()
    window.other_theme()
    window.zoom_text(1.3)
    assert not window.two_time.said


def test_a_scan_is_shown_among_those_that_its_model_knows(
    open_window: Callable[[], ViewerWindow], beamline: Beamline, until: Until
) -> None:
    beamline.two_scans()
    window = open_window()
    until(lambda: window.runs.model.place("viewed-0001").isValid())
    window.choose("viewed-0001")
    window.inference.alike.toggle()
    likeness = window.inference.likeness
    until(lambda: likeness.picture is not None and likeness.isVisible())
    known, found = viewing.picture(), likeness.picture
    assert found is not None
    assert len(found.simulated) + len(found.measured) == len(known.kind) > 500
    assert np.isfinite(found.log_d).mean() > 0.9
    (here,) = (one for one in likeness.placed if one.uid == "viewed-0001")
    np.testing.assert_allclose((here.x, here.y), known.coordinates[0], rtol=1e-6)
    assert likeness.note.words.startswith("1.2 times the usual distance")
    assert f"{len(found.measured)} virtual experiments" in likeness.note.words


def test_a_pinned_scan_stays_and_following_goes_on(
    open_window: Callable[[], ViewerWindow], beamline: Beamline, until: Until
) -> None:
    beamline.publish("pinned-1", 500)
    window = open_window()
    until(lambda: shows(window, "pinned-1"))
    window.pin()
    beamline.publish("pinned-2", 501)
    until(lambda: window.runs.model.place("pinned-2").isValid())
    assert window.focus.uid == "pinned-1"
    assert not window.commands.follow.isChecked()
    window.commands.follow.toggle()
    until(lambda: shows(window, "pinned-2"))
    window.copy_uid()
    assert QApplication.clipboard().text() == "pinned-2"


def test_what_cannot_be_shown_says_why_in_its_place(
    open_window: Callable[[], ViewerWindow], beamline: Beamline, until: Until
) -> None:
    beamline.odd_scans()
    window = open_window()
    until(lambda: window.runs.model.place("viewed-0006").isValid())
    for uid, words in (
        ("viewed-0003", "q-ROI ring lies off the detector"),
        ("viewed-0004", "schema version 99"),
        ("viewed-0005", "lacks its array 'two_time'"),
        ("viewed-0006", "No pair of valid frames"),
        ("viewed-0002", ""),
    ):
        window.choose(uid)
        until(lambda words=words: words in window.two_time.said if words else shows(window, "viewed-0002"))
        assert window.row is not None
        assert window.row.uid == uid
    by_uid = {row.uid: row for row in window.rows}
    assert by_uid["viewed-0003"].status is Status.FAILED
    assert by_uid["viewed-0004"].status is Status.UNREADABLE
    window.choose("viewed-0005")
    until(lambda: window.view is not None and window.view.scan.run_uid == "viewed-0005" and window.detector.picture)


def test_the_list_is_filtered_as_one_types(
    open_window: Callable[[], ViewerWindow], beamline: Beamline, until: Until, qtbot: QtBot
) -> None:
    beamline.odd_scans()
    window = open_window()
    until(lambda: window.runs.model.place("viewed-0006").isValid())
    qtbot.keyClicks(window.runs.typed, "status:failed")
    assert [row.uid for row in window.runs.model.rows] == ["viewed-0003"]
    window.runs.typed.setText("T>")
    assert window.runs._wrong.isVisible()
    window.runs.typed.setText("nothing of this kind")
    assert "No run passes" in window.runs._nothing.text()
    window.runs.typed.clear()
    assert window.runs.model.rowCount() == len(window.rows)


def test_scans_are_compared_side_by_side(
    open_window: Callable[[], ViewerWindow], beamline: Beamline, until: Until, qtbot: QtBot
) -> None:
    beamline.odd_scans()
    window = open_window()
    until(lambda: window.runs.model.place("viewed-0006").isValid())
    window.compare_selected()
    assert "Select two" in window.compare.said
    window.compare_runs(["viewed-0001", "viewed-0002", "viewed-0003"])
    until(lambda: window.compare.compared)
    newest, middle, oldest = window.compare.compared
    assert (newest.tile, "off the detector" in newest.why) == (None, True)
    assert middle.tile is not None
    assert oldest.tile is not None
    assert middle.tile.limits == oldest.tile.limits
    window.back()
    assert window._middle.currentWidget() is window.two_time


def test_what_is_on_screen_is_exported(
    open_window: Callable[[], ViewerWindow], beamline: Beamline, until: Until, tmp_path: Path
) -> None:
    beamline.two_scans()
    window = open_window()
    until(lambda: window.runs.model.place("viewed-0002").isValid())
    window.choose("viewed-0001")
    until(lambda: shows(window, "viewed-0001") and window.two_time.decay is not None)
    for kind, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("html", b"<!doctype html>")):
        window.commands.export(kind, tmp_path / f"scan.{kind}")
        assert (tmp_path / f"scan.{kind}").read_bytes().startswith(start)
    assert b"viewed-0001" in (tmp_path / "scan.html").read_bytes()
    window.commands.export("csv", tmp_path / "scan.csv")
    table = pd.read_csv(tmp_path / "scan.csv")
    name = window.two_time.rois.currentText()
    index = list(beamline.like.two_time.names).index(name)
    counts = table[table.quantity == "counts_per_pixel"]
    np.testing.assert_allclose(counts.y, beamline.like.two_time.frame_means[index])
    window.commands.export_record(tmp_path / "scan.nxs")
    until(lambda: "written" in window.statusBar().currentMessage())
    assert read_result(tmp_path / "scan.nxs").two_time.g2.shape == beamline.like.two_time.g2.shape
    with pytest.raises(InputError, match="is a folder"):
        window.commands.export("csv", tmp_path)


def test_a_running_scan_grows_and_becomes_final(
    open_window: Callable[[], ViewerWindow], beamline: Beamline, until: Until
) -> None:
    uid = "growing"
    like = replace(beamline.like, scan=replace(beamline.like.scan, started=beamline.began + 60 * 600))
    sink = LiveSink(uid)
    sink.publish(beamline.catalog, viewing.live_state(like, uid, 10))
    window = open_window()
    until(lambda: window.view is not None and window.view.state == "running" and window.two_time.drawn is not None)
    assert window.row is not None
    assert window.row.status is Status.RUNNING
    until(lambda: window.detector.picture is not None)
    assert window.detector.detector is not None
    np.testing.assert_array_equal(window.detector.detector.labels, beamline.like.rois.labels)
    for frames in (20, 30):
        sink.publish(beamline.catalog, viewing.live_state(like, uid, frames))
        until(lambda frames=frames: window.view is not None and window.view.frames == frames)
        until(
            lambda frames=frames: window.two_time.drawn is not None and window.two_time.drawn.image.shape[0] == frames
        )
        until(lambda frames=frames: window.detector.note.whole.startswith(f"newest frame, {frames} of"))
        assert window.detector.picture is not None
        assert (window.detector.picture.counts == frames).all()
    key = beamline.publish(uid, 600)
    end_live(beamline.catalog, live_key(uid), state="ended", record=key)
    until(lambda: shows(window, uid) and window.view is not None and window.view.state == "final")


def test_single_frames_are_read_by_slices(
    open_window: Callable[[], ViewerWindow], beamline: Beamline, until: Until
) -> None:
    taken = take(beamline.catalog.raw, beamline.directory / "frames", per_series=2)  # type: ignore[arg-type]
    rings = {"rois": {"rings": [{"q": [3e-4, 6e-4]}, {"q": [6e-4, 9e-4]}]}}
    done = assemble.analyze_run(beamline.catalog, taken.uid, parse_config({"analysis": rings}))
    assert done.key
    window = open_window()
    until(lambda: shows(window, taken.uid))
    window.detector.single.toggle()
    window.detector.slider.setValue(31)
    until(lambda: window.detector.picture is not None and "frame 32 of 50" in window.detector.picture.said)
    assert window.detector.picture is not None
    counts, masked = window.detector.picture.counts, taken.pixel_mask != 0
    np.testing.assert_array_equal(counts[~masked], taken.frames[31][~masked])
    assert np.isnan(counts[masked]).all()
    window.detector.slider.setValue(12)
    until(lambda: "frame 13 of 50" in (window.detector.picture.said if window.detector.picture else ""))


def test_levels_roi_and_layout_survive_a_change_of_scan_and_a_restart(
    open_window: Callable[[], ViewerWindow], beamline: Beamline, until: Until
) -> None:
    beamline.two_scans()
    window = open_window()
    until(lambda: window.runs.model.place("viewed-0002").isValid())
    window.choose("viewed-0001")
    until(lambda: shows(window, "viewed-0001"))
    name = window.two_time.rois.itemText(1)
    window.choose_roi(name)
    window.two_time.bar.setLevels((1.01, 1.07))
    window.two_time.bar.sigLevelsChangeFinished.emit(window.two_time.bar)
    window.other_theme()
    window.trend.against.setCurrentText("temperature")
    window.runs.typed.setText("viewed")
    window.choose("viewed-0002")
    until(lambda: shows(window, "viewed-0002") and window.two_time.drawn is not None)
    assert window.two_time.drawn is not None
    assert window.two_time.drawn.limits == (1.01, 1.07)
    window.close()
    again = open_window()
    until(lambda: again.runs.model.place("viewed-0002").isValid())
    again.choose("viewed-0001")
    until(lambda: shows(again, "viewed-0001"))
    assert again.theme.name == "dark"
    assert again.two_time.rois.currentText() == name
    assert again.two_time.drawn is not None
    assert again.two_time.drawn.limits == (1.01, 1.07)
    assert again.trend.against.currentText() == "temperature"
    assert again.runs.typed.text() == "viewed"
    assert set(again.kept.splitters) == set(again.splitters)


@pytest.mark.slow
def test_a_server_that_restarts_is_found_again_and_nothing_shown_is_lost(
    open_window: Callable[[], ViewerWindow], beamline: Beamline, until: Until
) -> None:
    beamline.two_scans()
    window = open_window()
    until(lambda: window.runs.model.place("viewed-0002").isValid())
    window.choose("viewed-0001")
    until(lambda: shows(window, "viewed-0001"))
    beamline.wire.cut()
    until(lambda: window.banner.isVisible())
    assert "No connection" in window.banner.words
    assert "was read" in window.banner.words
    assert "not up to date" in window.headline._state.text()
    assert shows(window, "viewed-0001"), "what was read stays"
    window.choose("viewed-0002")
    until(lambda: "No Tiled server answers" in window.two_time.said)
    assert window.headline.numbers[0].value != "–", "the list knows the scan's numbers"
    beamline.restart()
    beamline.publish("viewed-0008", 8)
    window.banner.retried.emit()
    until(lambda: not window.banner.isVisible())
    until(lambda: window.runs.model.place("viewed-0008").isValid())
    until(lambda: shows(window, "viewed-0002"))


def test_a_slow_server_does_not_hold_the_window(
    open_window: Callable[[], ViewerWindow], beamline: Beamline, until: Until, qtbot: QtBot
) -> None:
    beamline.two_scans()
    window = open_window()
    until(lambda: window.runs.model.place("viewed-0002").isValid())
    window.choose("viewed-0001")
    until(lambda: shows(window, "viewed-0001"))
    beamline.wire.open.clear()
    try:
        window.two_time.point_at(3.0, 8.0)
        assert "lag 5 s" in window._pointed.whole
        window.choose("viewed-0002")
        assert "Reading viewed" in window.two_time.said, "nothing of one scan below the name of another"
        theme = window.theme.name
        qtbot.mouseClick(window.commands.theme, Qt.MouseButton.LeftButton)
        assert window.theme.name != theme
        window.zoom_text(1.1)
        qtbot.mouseMove(window.two_time.canvas, QPoint(300, 300))
        assert window.workers.busy
    finally:
        beamline.wire.open.set()
    until(lambda: shows(window, "viewed-0002"))


def test_a_wrong_key_is_said_and_not_mistaken_for_an_empty_catalog(
    open_window: Callable[[], ViewerWindow], beamline: Beamline, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILED_API_KEY", "wrong")
    window = open_window()
    until(lambda: "refuses the API key" in window.runs.said)
    assert "TILED_API_KEY" in window.runs.said
    assert "refuses the API key" in window.banner.words


def test_the_viewer_only_ever_reads(beamline: Beamline) -> None:
    # All windows of this file looked through this wire; their writers did not.
    assert beamline.wire.methods <= {"GET", "HEAD"}
    assert "GET" in beamline.wire.methods
    assert len(ROIS) == 2
