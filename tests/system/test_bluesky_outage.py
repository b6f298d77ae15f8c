"""Tiled goes away before, during and after runs: the scans go on, and no document is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiled.client.utils
from bluesky import RunEngine
from serving import wait_for

from gbx_beamline.catalog.connect import connect
from gbx_beamline.errors import CatalogUnreachableError
from gbx_bluesky import run_engine
from gbx_bluesky.backup import Journal, replay
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import ReplayFeed
from gbx_bluesky.plans import count_series
from gbx_bluesky.run_engine import CatalogWriter, make_run_engine
from gbx_bluesky.temperature import SampleTemperature
from gbx_bluesky.traces import UNITS, SideTraces, SmoothTraces
from gbx_tiled.embedded import CatalogAddress, embedded_catalog

pytestmark = pytest.mark.long

MOVIE = np.random.default_rng(6).poisson(2.0, (40, 32, 48)).astype(np.uint16)


class Server:
    """An embedded catalog that can be taken away and brought back, at another address."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open = ExitStack()
        self._address: CatalogAddress | None = None

    def start(self) -> None:
        self._address = self._open.enter_context(embedded_catalog(self._directory))

    def stop(self) -> None:
        self._open.close()

    def raw(self) -> Any:
        """Open the raw runs; the caller closes."""
        if self._address is None:
            raise CatalogUnreachableError("no server yet", needed="a server", action="start it")
        return connect(self._address.uri, self._address.api_key).raw

    @contextmanager
    def opened(self) -> Iterator[Any]:
        raw = self.raw()
        yield raw
        raw.context.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "catalog")
    yield server
    server.stop()


@pytest.fixture
def engine(server: Server, tmp_path: Path) -> Iterator[tuple[RunEngine, CatalogWriter]]:
    engine, writer = make_run_engine(server.raw, backup_directory=tmp_path / "journals")
    yield engine, writer
    writer.close()


@pytest.fixture
def run(tmp_path: Path, engine: tuple[RunEngine, CatalogWriter]) -> Callable[[], str]:
    feed = ReplayFeed(MOVIE)
    detector = SimulatedEiger(directory=tmp_path / "catalog" / "frames", feed=feed, frames_per_file=3)
    stage = SampleTemperature(temperature=421.0)
    side = SideTraces(SmoothTraces(seed=2), temperature=stage)

    def take() -> str:
        feed.rewind()
        plan = count_series(
            detector, frames=20, triggers=2, frame_time=4.0, sample="Si", temperature=stage, traces=side
        )
        return engine[0](plan)[0]

    return take


def _assert_complete(run: Any) -> None:
    assert run.metadata["stop"]["exit_status"] == "success"
    assert run.metadata["stop"]["num_events"] == {"baseline": 2, "primary": 2, "traces": 40}
    np.testing.assert_array_equal(run["primary"]["eiger4m_single_image"].read(), MOVIE)
    table = run["traces"].base["internal"].read()
    assert list(table["seq_num"]) == list(range(1, 41))
    assert set(UNITS) <= set(table.columns)
    np.testing.assert_allclose(table["elapsed"], 4.0 * np.arange(40), atol=1e-5)
    np.testing.assert_allclose(np.diff(table["ts_beam_x"]), 4.0, atol=1e-5)
    assert list(run["baseline"].base["internal"].read()["T_sample"]) == pytest.approx([421.0, 421.0], abs=0.01)


def test_an_outage_costs_a_delay_and_no_document(
    server: Server,
    engine: tuple[RunEngine, CatalogWriter],
    run: Callable[[], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The client's own patience, 45 s a request, would only make this test longer.
    monkeypatch.setattr(tiled.client.utils, "TILED_RETRY_ATTEMPTS", 1)
    # Nor may the writer come before what is looked at.
    for waiting in ("FIRST_RETRY_SECONDS", "LONGEST_RETRY_SECONDS"):
        monkeypatch.setattr(run_engine, waiting, 1e4)
    _, writer = engine

    before = run()
    assert not writer.flush(timeout=60)
    assert writer.left_behind == [before]

    server.start()
    live = run()
    # The first run that gets through takes the one left behind along.
    assert writer.flush(timeout=60)
    with server.opened() as raw:
        for uid in (before, live):
            _assert_complete(raw[uid])

    token = engine[0].subscribe(lambda _name, _doc: (writer.flush(60), server.stop()), "event")
    during = run()
    engine[0].unsubscribe(token)
    assert not writer.flush(timeout=60)

    server.start()
    files = sorted((tmp_path / "catalog" / "frames").iterdir())
    with server.opened() as raw:
        assert "stop" not in raw[during].metadata
        assert [(r.uid, r.outcome) for r in replay(tmp_path / "journals", raw)] == [(during, "written")]
        _assert_complete(raw[during])
        assert sorted((tmp_path / "catalog" / "frames").iterdir()) == files
        assert replay(tmp_path / "journals", raw) == []
        assert sorted(raw.keys()) == sorted([before, live, during])
        _crashed_runs_are_told_apart(raw, tmp_path / "crashed")

    server.stop()
    monkeypatch.setattr(run_engine, "FIRST_RETRY_SECONDS", 0.1)
    last = run()
    assert not writer.flush(timeout=60)
    server.start()
    # Nobody takes another scan or asks for it: the run comes home by itself.
    wait_for("the run left behind", lambda: not writer.left_behind)
    with server.opened() as raw:
        _assert_complete(raw[last])


def _crashed_runs_are_told_apart(raw: Any, directory: Path) -> None:
    """Journals of a living process, of one that died, and one that is torn at its last line."""
    start = {"uid": "00000000-0000-4000-8000-000000000001", "time": 1.0, "plan_name": "count_series"}
    torn = {"uid": "00000000-0000-4000-8000-000000000002", "time": 2.0, "plan_name": "count_series"}
    alive = Journal(directory, start["uid"])
    alive.append("start", {**start, "gain": np.float64(2.5)})
    (directory / f"{torn['uid']}.jsonl").write_text(json.dumps({"name": "start", "doc": torn}) + '\n{"name": "desc')
    (directory / "damaged.jsonl").write_text('{"name": "descriptor", "doc": {}}\n')

    outcomes = {r.uid: r for r in replay(directory, raw)}
    assert outcomes[start["uid"]].outcome == "in progress"
    assert outcomes[torn["uid"]].outcome == "unfinished"
    assert outcomes["damaged"].outcome == "failed"
    assert "begins with a descriptor" in outcomes["damaged"].detail

    alive.close(delivered=False)
    outcomes = {r.uid: r for r in replay(directory, raw, close_unfinished=True)}
    for document in (start, torn):
        assert outcomes[document["uid"]].outcome == "written"
        assert raw[document["uid"]].metadata["stop"]["exit_status"] == "abort"
    assert raw[start["uid"]].metadata["start"]["gain"] == 2.5
    assert [path.name for path in directory.iterdir()] == ["damaged.jsonl"]
