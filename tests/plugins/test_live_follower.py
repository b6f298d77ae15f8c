"""A run is followed whatever the catalog does: files are read as they close, and revisions come when they can."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_catalog import Node

from gbx_beamline.catalog import Catalog, load_live
from gbx_beamline.config import Config, parse_config
from gbx_beamline.errors import CatalogUnreachableError, GbxError
from gbx_beamline.frames import EigerHeader, EigerWriter
from gbx_beamline.records import LiveState
from gbx_services.live import follower as live_follower
from gbx_services.live.announced import announced
from gbx_services.live.follower import RunFollower

UID = "0c5a9f4e-0000-4000-8000-0000000000c1"
FRAMES, PER_FILE, SHAPE = 30, 5, (40, 50)
SECONDS = 60.0
"""Longest wait for what takes a tenth of a second."""

START: dict[str, Any] = {
    "uid": UID,
    "time": 1e9,
    "sample": "gold",
    "number of images": FRAMES,
    "acquire period": 0.001,
    "file prefix": "run_1",
    "detector geometry": {
        "beam_center_x": 10.25,
        "beam_center_y": -3.0,
        "distance": 10.08,
        "wavelength": 1.2848e-10,
        "pixel_size_x": 75e-6,
        "pixel_size_y": 75e-6,
    },
}
GOOD, BAD = "good", "off-the-detector"


class OneCatalog:
    """A catalog with one run, which may be away."""

    def __init__(self) -> None:
        self.away = False
        self.asked = threading.Semaphore(0)
        self.run = Node(metadata={"start": START})
        self.run.item = {"attributes": {"access_tags": ["proposal_1"]}}
        root: Any = Node()
        self._catalog = _Catalog("http://tiled.example", root, self.run, root)

    @contextmanager
    def __call__(self) -> Iterator[Catalog]:
        self.asked.release()
        if self.away:
            raise CatalogUnreachableError("away", needed="a server", action="wait")
        yield self._catalog

    def live(self, rule: str = GOOD) -> LiveState | None:
        try:
            return load_live(self._catalog, UID, rule)
        except (GbxError, KeyError):
            return None

    def wait_for(self, wanted: Callable[[LiveState], bool], rule: str = GOOD) -> LiveState:
        deadline = time.monotonic() + SECONDS
        while (state := self.live(rule)) is None or not wanted(state):
            assert time.monotonic() < deadline, state
            threading.Event().wait(0.01)
        return state


class _Catalog(Catalog):
    """Every uid is that of the one run."""

    def run(self, uid: str) -> Any:
        return self.raw

    def close(self) -> None:
        """There is nothing to give back."""


class Detector:
    """Closes data files when it is told to."""

    def __init__(self, folder: Path) -> None:
        counts = np.random.default_rng(2).poisson(4.0, (FRAMES, *SHAPE)).astype(np.uint16)
        self._frames = iter(counts)
        self._writer = EigerWriter(folder, "run_1", header=EigerHeader(nimages=FRAMES), frames_per_file=PER_FILE)

    def close_files(self, count: int) -> None:
        for _ in range(count * PER_FILE):
            self._writer.append(next(self._frames))


@pytest.fixture
def detector(tmp_path: Path) -> Detector:
    return Detector(tmp_path)


@pytest.fixture
def catalog() -> OneCatalog:
    return OneCatalog()


def config(**live: Any) -> Config:
    return parse_config(
        {
            "analysis": {"rois": {"rings": [{"q": [4e-4, 1e-3]}]}},
            "selection": {GOOD: {}, BAD: {"analysis": {"rois": {"rings": [{"q": [1.0, 2.0]}]}}}},
            "serve": {"live": {"enabled": True, "period_s": 0.05, **live}},
        }
    )


@contextmanager
def following(catalog: OneCatalog, folder: Path, *rules: str, **live: Any) -> Iterator[RunFollower]:
    where = announced(START | {"data path": str(folder)})
    assert where is not None
    follower = RunFollower(START, where, rules or (GOOD,), config=config(**live), open_catalog=catalog, roots=[folder])
    follower.start()
    try:
        yield follower
    finally:
        follower.give_up("the test is over")
        follower.join(SECONDS)
        assert not follower.alive


def test_files_become_revisions_and_the_stop_document_the_end(
    catalog: OneCatalog, detector: Detector, tmp_path: Path
) -> None:
    with following(catalog, tmp_path) as follower:
        first = catalog.wait_for(lambda state: state.state == "running")
        assert (first.frames, first.expected) == (0, FRAMES)
        assert first.scan.access_tags == ("proposal_1",)
        detector.close_files(2)
        catalog.wait_for(lambda state: state.frames == 2 * PER_FILE)
        detector.close_files(4)
        whole = catalog.wait_for(lambda state: state.frames == FRAMES)
        assert whole.state == "running", "the run may go on"
        follower.run_has_ended()
        ended = catalog.wait_for(lambda state: state.state == "ended")
        assert (ended.frames, ended.shares_frames, ended.reason) == (FRAMES, FRAMES, "")
        assert ended.revision > whole.revision > first.revision
        follower.join(SECONDS)
        assert not follower.alive


def test_the_catalog_says_that_the_run_has_ended_where_nobody_else_does(
    catalog: OneCatalog, detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_follower, "END_SECONDS", 0.05)
    monkeypatch.setattr(live_follower, "DRAIN_SECONDS", 0.05)
    with following(catalog, tmp_path):
        detector.close_files(2)
        catalog.wait_for(lambda state: state.frames == 2 * PER_FILE)
        catalog.run.metadata = {"start": START, "stop": {"run_start": UID}}
        ended = catalog.wait_for(lambda state: state.state == "ended")
        assert ended.frames == 2 * PER_FILE, "an aborted run ends with the frames it has"


def test_an_outage_costs_revisions_and_no_frame(catalog: OneCatalog, detector: Detector, tmp_path: Path) -> None:
    catalog.away = True
    with following(catalog, tmp_path):
        assert catalog.asked.acquire(timeout=SECONDS)
        detector.close_files(3)
        assert catalog.asked.acquire(timeout=SECONDS), "it is tried again"
        assert catalog.live() is None
        catalog.away = False
        assert catalog.wait_for(lambda state: state.frames == 3 * PER_FILE).two_time.shape == (1, 15, 15)


def test_one_rule_that_cannot_be_followed_does_not_disturb_the_other(
    catalog: OneCatalog, detector: Detector, tmp_path: Path
) -> None:
    with following(catalog, tmp_path, BAD, GOOD) as follower:
        detector.close_files(2)
        failed = catalog.wait_for(lambda state: state.state == "failed", BAD)
        assert "off the detector" in failed.reason
        detector.close_files(4)
        catalog.wait_for(lambda state: state.frames == FRAMES)
        follower.run_has_ended()
        catalog.wait_for(lambda state: state.state == "ended")
        assert catalog.wait_for(lambda state: True, BAD).state == "failed"


def test_files_that_stop_coming_and_newer_runs_end_the_following(
    catalog: OneCatalog, detector: Detector, tmp_path: Path
) -> None:
    with following(catalog, tmp_path, stale_s=0.2):
        detector.close_files(2)
        stale = catalog.wait_for(lambda state: state.state == "stale")
        assert "no data file has closed for" in stale.reason
        assert stale.frames == 2 * PER_FILE
    with following(catalog, tmp_path) as follower:
        catalog.wait_for(lambda state: state.state == "running" and state.frames == 2 * PER_FILE)
        follower.give_up("a newer run is followed")
        assert catalog.wait_for(lambda state: state.state == "stale").reason == "a newer run is followed"


def test_a_damaged_file_is_a_reason_and_no_crash(catalog: OneCatalog, detector: Detector, tmp_path: Path) -> None:
    with following(catalog, tmp_path):
        detector.close_files(1)
        catalog.wait_for(lambda state: state.frames == PER_FILE)
        (tmp_path / "run_1_data_000002.h5").symlink_to("/dev/null")
        failed = catalog.wait_for(lambda state: state.state == "failed")
        assert "leads out of the folders for data files" in failed.reason
        assert failed.two_time.shape == (1, PER_FILE, PER_FILE), "what was seen stays to be seen"
