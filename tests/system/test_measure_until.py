"""The adaptive plan with analysis in the loop: real RunEngine, Eiger files, Tiled server and results."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from tiled.queries import Key

from gbx_beamline import assemble
from gbx_beamline.catalog import Catalog, connect
from gbx_beamline.catalog.connect import said_in_words
from gbx_beamline.config import Config, parse_config
from gbx_beamline.errors import GbxError
from gbx_bluesky.adaptive import measure_until
from gbx_bluesky.analysed import AnalysedScans
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.run_engine import CatalogWriter, make_run_engine
from gbx_bluesky.speckle_feed import Relaxation, RelaxationTable, SpeckleFeed
from gbx_bluesky.temperature import SampleTemperature
from gbx_tiled.embedded import CatalogAddress, embedded_catalog

pytestmark = pytest.mark.long

Q = 4.5e8
RELAXATION = 10.0
"""s, of the simulated sample."""

SCAN: dict[str, Any] = {"frames": 100, "frame_time": 1.0}


@contextmanager
def opened(address: CatalogAddress) -> Iterator[Catalog]:
    with closing(connect(address.uri, address.api_key, store=address.store)) as catalog:
        yield catalog


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    labels = np.zeros((40, 64), dtype=np.int32)
    labels[2:38, 2:62] = 1
    path = tmp_path_factory.mktemp("rois") / "rois.npy"
    np.save(path, labels)
    return parse_config({"analysis": {"rois": {"labels": str(path)}, "correlation": {"age_windows": 0}}})


class Beamline:
    """A simulated sample in front of a detector, whose runs reach a catalog."""

    def __init__(self, address: CatalogAddress, folder: Path, journals: Path, *, rate: float) -> None:
        sample = RelaxationTable({300.0: Relaxation(rate=rate, q_reference=Q)})
        feed = SpeckleFeed(np.full((40, 64), Q), sample, modes=2, mean_counts=2.0, seed=3)
        self.detector: Any = SimulatedEiger(directory=folder, feed=feed)
        self.stage: Any = SampleTemperature(temperature=300.0)
        self.writer: CatalogWriter
        self.engine: RunEngine
        self.engine, self.writer = make_run_engine(address.uri, api_key=address.api_key, backup_directory=journals)
        self.starts: list[Any] = []
        self.engine.subscribe(lambda _name, doc: self.starts.append(doc), "start")

    def measure(self, analysed: AnalysedScans, **arguments: Any) -> tuple[str, ...]:
        outcome: Any = self.engine(
            measure_until(self.detector, analysed, temperature=self.stage, **{**SCAN, **arguments})
        )
        return outcome


@pytest.fixture
def beamline(
    catalog_address: CatalogAddress, catalog_directory: Path, tmp_path: Path
) -> Iterator[Callable[[float], Beamline]]:
    made: list[Beamline] = []

    def make(rate: float) -> Beamline:
        made.append(Beamline(catalog_address, catalog_directory / "frames" / "until", tmp_path / "journals", rate=rate))
        return made[-1]

    yield make
    for one in made:
        one.writer.close()


@contextmanager
def analysing(open_catalog: Callable[[], Any], config: Config, sample: str) -> Iterator[None]:
    """Analyses each run of a sample once it has ended, as the service does, until the block ends."""
    over = threading.Event()

    def work() -> None:
        done: set[str] = set()
        while not over.wait(0.2):
            try:
                with open_catalog() as catalog, said_in_words(catalog.uri):
                    for uid, run in catalog.raw.search(Key("start.sample") == sample).items():
                        if uid not in done and run.metadata.get("stop"):
                            assemble.analyze_run(catalog, uid, config)
                            done.add(uid)
            except GbxError as error:
                logging.getLogger(__name__).info("the analysis waits: %s", error)

    thread = threading.Thread(target=work, name="analysis", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)


def test_it_stops_when_the_relaxation_time_is_known_well_enough(
    beamline: Callable[[float], Beamline],
    catalog_address: CatalogAddress,
    config: Config,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scans = beamline(1.0 / RELAXATION)
    analysed = AnalysedScans(lambda: opened(catalog_address), config)
    with (
        analysing(lambda: opened(catalog_address), config, "until known"),
        caplog.at_level("INFO", logger="gbx_bluesky"),
    ):
        uids = scans.measure(
            analysed, figure="relaxation_time", width=0.15, sample="until known", max_scans=12, result_timeout=120.0
        )
    assert 3 <= len(uids) < 12
    answer = analysed.answer
    assert answer is not None
    assert answer.judgement is not None
    assert answer.judgement.counted == uids
    (said,) = answer.judgement.said.values()
    assert said.width <= 0.15
    assert said.low - said.value * 0.15 < RELAXATION < said.high + said.value * 0.15
    assert f"stops after {len(uids)} scans: the aim is reached" in caplog.text
    told = scans.starts[-1]["measure_until"]
    assert told["counted"] == list(uids[:-1])
    assert "relaxation_time from" in told["so_far"]
    assert not [key for start in scans.starts for key in start["measure_until"] if key == "late"]


def test_an_s_noneq_of_zero_alone_stops_nothing(
    beamline: Callable[[float], Beamline], catalog_address: CatalogAddress, config: Config
) -> None:
    """Speckles that hardly move within the scan: whatever S is, and however sharp, it says nothing of equilibrium."""
    scans = beamline(1.0 / 250.0)
    analysed = AnalysedScans(lambda: opened(catalog_address), config)
    with analysing(lambda: opened(catalog_address), config, "until zero"):
        uids = scans.measure(
            analysed, figure="s_noneq", width=1.9, sample="until zero", max_scans=4, result_timeout=120.0
        )
    assert len(uids) == 4, "the limit ended it"
    assert analysed.answer is not None
    judged = analysed.answer.judgement
    assert judged is not None
    assert len(judged.counted) == 4
    (said,) = judged.said.values()
    assert said.low < 0.0 < said.high
    assert said.width < 1.9
    assert "a sample that does not move" in said.doubt
    assert "a sample that does not move" in judged.words


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_catalog_that_dies_between_scans_ends_no_measurement(
    blow: signal.Signals, tmp_path: Path, config: Config
) -> None:
    """The Tiled server's own process: killed it refuses, stopped it takes connections and never answers."""
    directory = tmp_path / "catalog"
    with embedded_catalog(directory) as address:
        scans = Beamline(address, directory / "frames" / "until", tmp_path / "journals", rate=1.0 / RELAXATION)
        pid = int(json.loads((directory / "server.json").read_text())["pid"])
        analysed = AnalysedScans(lambda: opened(address), config)
        stops: list[str] = []

        def strike(_name: str, doc: Any) -> None:
            stops.append(doc["run_start"])
            if len(stops) == 2:
                os.kill(pid, blow)

        scans.engine.subscribe(strike, "stop")
        try:
            with analysing(lambda: opened(address), config, "until dead"):
                uids = scans.measure(
                    analysed,
                    figure="relaxation_time",
                    width=1e-3,
                    sample="until dead",
                    max_scans=4,
                    result_timeout=30.0,
                )
        finally:
            if blow is signal.SIGSTOP:
                os.kill(pid, signal.SIGCONT)
        assert len(uids) == 4
        second, third, fourth = (start["measure_until"] for start in scans.starts[1:])
        assert second["counted"] == [uids[0]]
        assert "late" not in second
        for said in (third, fourth):
            assert said["late"]
            assert said["counted"] == [uids[0]]
        scans.writer.close()
    # Nothing is lost: what the catalog did not take lies on disk, and comes in once it is back.
    with embedded_catalog(directory) as address, opened(address) as catalog:
        later = make_run_engine(address.uri, api_key=address.api_key, backup_directory=tmp_path / "journals")[1]
        later.catch_up()
        assert later.flush(120.0)
        later.close()
        assert all(uid in catalog.raw and catalog.raw[uid].metadata["stop"] for uid in uids)
