"""Live records with a real Tiled server: revised while a run goes on, never torn, replaced at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiled.client.utils
from eiger_runs import GEOMETRY, movie
from serving import wait_for
from tiled.queries import Key

from gbx_beamline import assemble
from gbx_beamline.catalog import (
    Catalog,
    LiveSink,
    connect,
    end_live,
    find_live,
    load_live,
    load_record,
    sweep_live,
)
from gbx_beamline.catalog.live import LIVE
from gbx_beamline.config import Config, parse_config
from gbx_beamline.errors import CatalogUnreachableError, GbxError, RunNotFoundError
from gbx_beamline.records import LiveState, ScanInfo, ScanResult
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import ReplayFeed
from gbx_bluesky.plans import count_series
from gbx_bluesky.run_engine import make_run_engine
from gbx_services.dispatch import KeptCatalog
from gbx_services.live.service import LiveService
from gbx_tiled.embedded import CatalogAddress, embedded_catalog

pytestmark = pytest.mark.long

FRAMES = 60
RULE = "live"
SECONDS = 120.0
"""Longest wait for what takes a tenth of a second."""

OpenCatalog = Callable[[], AbstractContextManager[Catalog]]


class Server:
    """A catalog's server that can be taken away and brought back, at another address."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._open = ExitStack()
        self._address: CatalogAddress | None = None

    def start(self) -> None:
        self._address = self._open.enter_context(embedded_catalog(self.directory))

    def stop(self) -> None:
        self._address = None
        self._open.close()

    def connected(self, *, on_disk: bool = False) -> Catalog:
        """The caller closes."""
        if (address := self._address) is None:
            raise CatalogUnreachableError("no server", needed="a server", action="start it")
        return connect(address.uri, address.api_key, store=address.store if on_disk else None)

    @contextmanager
    def catalog(self) -> Iterator[Catalog]:
        opened = self.connected()
        try:
            yield opened
        finally:
            opened.close()


class GatedFeed(ReplayFeed):
    """Frames that wait at gates until somebody opens them: a run goes on when its reader has seen enough."""

    def __init__(self, *gates: int) -> None:
        counts, mask = movie(FRAMES, seed=3)
        super().__init__(counts, pixel_mask=mask)
        self.gates = {gate: threading.Event() for gate in gates}

    def open(self) -> None:
        """All gates."""
        for gate in self.gates.values():
            gate.set()

    def frames(self, count: int) -> Iterator[Any]:
        for number, frame in enumerate(super().frames(count)):
            if number in self.gates:
                assert self.gates[number].wait(3 * SECONDS)
            yield frame


@pytest.fixture(scope="module")
def server(catalog_directory: Path, catalog_address: CatalogAddress) -> Iterator[Server]:
    server = Server(catalog_directory)
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=[False, True], ids=["over-http", "on-disk"])
def catalog(server: Server, request: pytest.FixtureRequest) -> Iterator[Catalog]:
    """A writer's, which sends what it has or writes it where the server reads; without any record of these tests."""
    opened = server.connected(on_disk=request.param)
    yield opened
    for key in [key for key in opened.processed[LIVE] if key.endswith(f".{RULE}")]:
        opened.processed[LIVE].delete_contents(key, recursive=True, external_only=False)
    opened.close()


@pytest.fixture
def reader(server: Server) -> Iterator[Catalog]:
    with server.catalog() as opened:
        yield opened


def on_disk(catalog: Catalog, uid: str) -> list[str]:
    """Folders of a live record that lie in the store."""
    place = None if catalog.store is None else catalog.store / "live" / f"{uid}.{RULE}"
    return [] if place is None or not place.exists() else sorted(path.name for path in place.iterdir())


def settings(server: Server, **live: Any) -> Config:
    """Rings, no automatic care, so that live and final maps are made alike; only runs of these tests."""
    return parse_config(
        {
            "analysis": {
                "rois": {"rings": [{"q": [3e-4, 6e-4]}, {"q": [6e-4, 9e-4]}]},
                "care": {"without": ["empty", "intensity outlier", "hot", "dead", "burst", "beam stop", "no beam"]},
            },
            "selection": {RULE: {"samples": ["live *"]}},
            "catalog": {"directory": str(server.directory)},
            "serve": {"live": {"enabled": True, "period_s": 0.05, **live}},
        }
    )


@contextmanager
def following(server: Server, config: Config) -> Iterator[None]:
    """A live service in a thread of this process."""
    service, stopping = LiveService(config, server.catalog), threading.Event()
    thread = threading.Thread(target=service.go_on, args=(stopping,))
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


class Run:
    """A run of the simulated detector, and what a reader of its live record sees meanwhile."""

    def __init__(self, server: Server, feed: GatedFeed, sample: str, folder: Path) -> None:
        self.feed = feed
        self.sample = sample
        self._server = server
        self._catalog = KeptCatalog(server.catalog)
        self.uid = ""
        self.seen: list[LiveState] = []
        self.engine, self.writer = make_run_engine(lambda: server.connected().raw, backup_directory=folder)
        self.engine.subscribe(lambda _name, doc: setattr(self, "uid", doc["uid"]), "start")

    def take(self, watch: Callable[[Run], object], **options: Any) -> None:
        """Run the plan while ``watch`` looks and opens gates in a thread of its own."""
        eiger: Any = SimulatedEiger(
            directory=self._server.directory / "frames" / "live", feed=self.feed, geometry=GEOMETRY, frames_per_file=5
        )
        plan = count_series(eiger, frames=FRAMES, frame_time=0.001, sample=self.sample, **options)
        with ThreadPoolExecutor(1) as pool:
            watching = pool.submit(watch, self)
            # A run must not hang where the watcher failed.
            watching.add_done_callback(lambda _: self.feed.open())
            self.engine(plan)
            watching.result()

    def close(self) -> None:
        """Give connections back."""
        self.writer.close()
        self._catalog.close()

    def wait_for(self, what: str, wanted: Callable[[LiveState], bool]) -> LiveState:
        """The first state that is as wanted."""

        def looked() -> LiveState | None:
            try:
                with self._catalog() as catalog:
                    state = load_live(catalog, self.uid, RULE)
            except GbxError:
                return None
            self.seen.append(state)
            return state if wanted(state) else None

        return wait_for(what, looked, SECONDS)

    def wait_for_frames(self, frames: int) -> LiveState:
        """The first state of so many frames."""
        return self.wait_for(f"{frames} frames", lambda state: state.frames == frames)


@pytest.fixture
def run(server: Server, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Makes a run with gates at these frames."""
    made: list[Run] = []

    def make(*gates: int, sample: str, on: Server | None = None) -> Run:
        made.append(Run(on or server, GatedFeed(*gates), sample, tmp_path / "journals"))
        return made[-1]

    yield make
    for one in made:
        one.close()


# --- the record


def filled(uid: str, number: int) -> LiveState:
    """A state in which every part tells the same number; as large as to be torn."""
    return LiveState(
        scan=ScanInfo(run_uid=uid, sample="live", access_tags=()),
        rule=RULE,
        revision=0,
        state="running",
        changed=time.time(),
        frames=number,
        expected=1000,
        frame_time=0.5,
        names=("a", "b"),
        pixels=np.full(2, number),
        contrast=np.full(2, float(number)),
        two_time=np.full((2, 150, 150), number, dtype=np.float32),
        frame_means=np.full((2, 500), float(number)),
    )


def test_a_reader_never_sees_a_torn_record_and_nothing_grows(server: Server, catalog: Catalog) -> None:
    uid = "0c5a9f4e-0000-4000-8000-0000000000a1"
    sink, last = LiveSink(uid, RULE), 20
    states: list[LiveState] = []

    def read() -> None:
        with server.catalog() as own:
            while not states or states[-1].frames < last:
                try:
                    states.append(load_live(own, uid, RULE))
                except RunNotFoundError:
                    continue

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(1, last + 1):
        assert sink.publish(catalog, filled(uid, number)) == number
    for reader in readers:
        reader.join()
    assert any(0 < state.frames < last for state in states), "somebody read while it was written"
    for state in states:
        assert state.revision == state.frames
        for values in (state.two_time, state.frame_means, state.contrast, state.pixels):
            assert np.all(values == state.frames), state.frames
    node: Any = catalog.processed[LIVE, f"{uid}.{RULE}"]
    assert sorted(node) == ["r000009", "r000017"]
    assert on_disk(catalog, uid) == ([] if catalog.store is None else ["r000009", "r000017"])
    assert len(node.metadata_revisions[:]) == 0


def test_a_writer_that_comes_later_goes_on_counting(catalog: Catalog) -> None:
    uid = "0c5a9f4e-0000-4000-8000-0000000000a2"
    assert LiveSink(uid, RULE).publish(catalog, filled(uid, 1)) == 1
    later = LiveSink(uid, RULE)
    empty = replace(filled(uid, 0), two_time=np.empty((0, 0, 0), np.float32), frame_means=np.empty((0, 0)))
    assert later.publish(catalog, empty) == 2
    assert load_live(catalog, uid, RULE).two_time.size == 0
    assert later.publish(catalog, filled(uid, 3)) == 3
    assert load_live(catalog, uid, RULE).two_time.max() == 3


def test_what_has_ended_names_the_final_record_and_is_swept_after_a_day(catalog: Catalog) -> None:
    uid, old = (f"0c5a9f4e-0000-4000-8000-0000000000{n}" for n in ("a3", "a4"))
    for one, changed in ((uid, time.time()), (old, time.time() - 90_000.0)):
        LiveSink(one, RULE).publish(catalog, replace(filled(one, 5), changed=changed))
    assert {uid, old} <= {summary.run_uid for summary in find_live(catalog, unsettled=True)}
    end_live(catalog, f"{uid}.{RULE}", state="ended", record="the-final-one")
    ended = load_live(catalog, uid, RULE)
    assert (ended.state, ended.record, ended.revision, ended.frames) == ("ended", "the-final-one", 2, 5)
    assert (ended.two_time.size, ended.frame_means.size, ended.total_counts.size) == (0, 0, 0)
    assert list(catalog.processed[LIVE, f"{uid}.{RULE}"]) == []
    assert on_disk(catalog, uid) == []
    assert uid not in {summary.run_uid for summary in find_live(catalog, unsettled=True)}
    assert sweep_live(catalog) == 1
    assert on_disk(catalog, old) == []
    with pytest.raises(RunNotFoundError, match=r"no live record '.*a4\.live' in .*; needed: a run that is"):
        load_live(catalog, old, RULE)


def test_a_record_that_was_removed_is_made_again(catalog: Catalog) -> None:
    uid = "0c5a9f4e-0000-4000-8000-0000000000a5"
    sink = LiveSink(uid, RULE)
    sink.publish(catalog, filled(uid, 1))
    catalog.processed[LIVE].delete_contents(f"{uid}.{RULE}", recursive=True, external_only=False)
    with pytest.raises(GbxError):
        sink.publish(catalog, filled(uid, 2))
    assert sink.publish(catalog, filled(uid, 3)) == 3
    assert load_live(catalog, uid, RULE).frames == 3


# --- the service


def test_a_run_is_followed_from_its_first_file_to_its_final_record(
    server: Server, reader: Catalog, run: Callable[..., Run]
) -> None:
    config = settings(server)
    one = run(20, 40, sample="live whole")

    def watch(one: Run) -> None:
        for gate, opened in one.feed.gates.items():
            one.wait_for_frames(gate)
            opened.set()

    with following(server, config):
        one.take(watch)
        assert one.writer.flush(SECONDS)
        ended = one.wait_for("the end", lambda state: state.state == "ended")
        assert (ended.frames, ended.expected, ended.record, ended.reason) == (FRAMES, FRAMES, "", "")
        assert ended.shares_frames == FRAMES
        numbers = [state.revision for state in one.seen]
        assert numbers == sorted(numbers)
        assert {20, 40, FRAMES} <= {state.frames for state in one.seen}
        for state in one.seen:
            assert state.two_time.shape[-1] == state.frame_means.shape[-1] == state.frames

        done = assemble.analyze_run(reader, one.uid, config, rule=RULE)
        settled = one.wait_for("the final record", lambda state: state.record == done.key)
        assert (settled.state, settled.two_time.size) == ("ended", 0)
    result = load_record(reader, done.key)
    assert isinstance(result, ScanResult)
    assert ended.names == result.two_time.names
    off = ~np.eye(FRAMES, dtype=bool)
    assert np.array_equal(ended.two_time[:, off], result.two_time.g2[:, off]), "bit for bit"
    assert np.array_equal(ended.frame_means, result.two_time.frame_means)
    assert np.array_equal(ended.contrast, result.two_time.contrast)
    for share, final in zip(ended.shares, result.nonequilibrium, strict=True):
        assert share.s_noneq == final.s_noneq
        assert share.s_noneq_corrected == final.s_noneq_corrected or np.isnan(share.s_noneq_corrected)


def test_paths_that_lead_elsewhere_and_long_scans_are_refused_with_the_reason(
    server: Server, run: Callable[..., Run], tmp_path: Path
) -> None:
    with following(server, settings(server, max_memory_gib=1e-4)):
        long = run(20, sample="live long")
        long.take(lambda one: one.wait_for("a refusal", lambda state: state.state == "failed"))
        elsewhere = run(20, sample="live elsewhere")
        md = {"data path": str(tmp_path)}
        elsewhere.take(lambda one: one.wait_for("a refusal", lambda state: state.state == "failed"), md=md)
    assert "needed: at most 0.0001 GiB: a live map" in long.seen[-1].reason
    assert "leads out of the folders for data files" in elsewhere.seen[-1].reason
    assert elsewhere.seen[-1].frames == 0


def test_a_run_whose_files_stop_is_stale_and_a_newer_one_takes_its_place(
    server: Server, run: Callable[..., Run]
) -> None:
    with following(server, settings(server, stale_s=0.3)):
        slow = run(20, sample="live slow")
        slow.take(lambda one: one.wait_for("staleness", lambda state: state.state == "stale"))
        assert slow.seen[-1].frames == 20
        assert "no data file has closed for" in slow.seen[-1].reason
    with following(server, settings(server)):
        # Two RunEngines on one detector folder: the older run waits at its gate until the newer one is through.
        older, newer = run(20, sample="live older"), run(sample="live newer")

        def take_another(one: Run) -> None:
            one.wait_for_frames(20)
            newer.engine.context_managers = []
            newer.take(lambda _: None)
            newer.wait_for_frames(FRAMES)
            one.wait_for("giving way", lambda state: state.state == "stale")

        older.take(take_another)
        assert older.seen[-1].reason == "a newer run is followed"


def test_a_run_that_began_before_the_service_is_taken_up(server: Server, run: Callable[..., Run]) -> None:
    one = run(20, sample="live early")

    def watch(one: Run) -> None:
        def begun() -> bool:
            with server.catalog() as catalog:
                return bool(one.uid) and len(catalog.raw.search(Key("start.uid") == one.uid)) == 1

        wait_for("the start document", begun)
        with following(server, settings(server)):
            one.wait_for_frames(20)
        # The service has stopped; the next one takes over.
        assert one.wait_for("the word", lambda state: state.state == "stale").reason == "the live service was stopped"
        with following(server, settings(server)):
            one.wait_for("20 frames again", lambda state: state.state == "running" and state.frames == 20)
            one.feed.gates[20].set()
            one.wait_for_frames(FRAMES)

    one.take(watch)
    numbers = [state.revision for state in one.seen]
    assert numbers == sorted(numbers)


def test_an_outage_of_tiled_costs_revisions_and_no_frame(
    run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client's own patience, 45 s a request, would only make this test longer.
    monkeypatch.setattr(tiled.client.utils, "TILED_RETRY_ATTEMPTS", 1)
    own = Server(tmp_path / "catalog")
    own.start()
    one = run(20, 40, sample="live outage", on=own)

    def watch(one: Run) -> None:
        one.wait_for_frames(20)
        own.stop()
        one.feed.gates[20].set()
        files = own.directory / "frames" / "live"
        wait_for("files written meanwhile", lambda: len(list(files.glob("*_data_*.h5"))) == 8)
        own.start()
        assert one.wait_for("what came meanwhile", lambda state: state.frames == 40).state == "running"
        one.feed.gates[40].set()

    try:
        with following(own, settings(own)):
            one.take(watch)
            one.writer.catch_up()
            assert one.writer.flush(SECONDS)
            ended = one.wait_for("the end", lambda state: state.state == "ended")
            assert (ended.frames, ended.two_time.shape) == (FRAMES, (2, FRAMES, FRAMES))
    finally:
        one.close()
        own.stop()
