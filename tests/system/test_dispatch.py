"""The dispatcher on a real queue and a real catalog: what it makes of flow runs that end well, badly or not at all.

Flow runs are scripted here, so that each of their ends can be had at will; ``test_serve.py`` has Prefect's own.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tiled.client.utils
from bluesky import RunEngine
from bluesky.plans import count
from eiger_runs import writer
from ophyd.sim import SynSignal
from tiled.client.container import Container

from gbx_beamline.assemble import publish_failure
from gbx_beamline.catalog import Catalog, RecordSummary, connect, find_records
from gbx_beamline.config import Config, parse_config
from gbx_beamline.errors import CatalogUnreachableError, InputError, ServiceError
from gbx_services.dispatch import Dispatcher, FlowState, KeptCatalog
from gbx_services.spool import Job, Spool, State
from gbx_tiled.embedded import CatalogAddress

TRIES = 3
CONFIG = parse_config(
    {
        "analysis": {"rois": {"rings": [{"q": [3e-4, 6e-4]}]}},
        "selection": {"rule": {}},
        "serve": {"concurrency": 2, "retry": {"tries": TRIES, "first_s": 10.0}, "longest_analysis_s": 100.0},
    }
)
REASON = InputError("no frames", needed="frames", action="look at the detector")


class Clock:
    now = 2_000_000_000.0

    def __call__(self) -> float:
        return self.now


class Flows:
    """Flow runs that end as they are told to; ``record`` publishes as an analysis would."""

    def __init__(self) -> None:
        self.started: list[Job] = []
        self.states: dict[str, FlowState] = {}
        self.away = False

    def start(self, job: Job) -> str:
        self._answer()
        handle = f"{job.run}:{job.handovers}"
        if handle not in self.states:
            self.started.append(job)
            self.states[handle] = FlowState("under way")
        return handle

    def look(self, handles: Iterable[str]) -> dict[str, FlowState]:
        self._answer()
        return {handle: self.states.get(handle, FlowState("gone")) for handle in handles}

    def end(self, kind: Any, reason: str = "", running_s: float = 0.0) -> None:
        """All that are under way end so."""
        for handle, state in self.states.items():
            if state.kind == "under way":
                self.states[handle] = FlowState(kind, reason, running_s)

    def _answer(self) -> None:
        if self.away:
            raise ServiceError("Prefect is away", needed="it", action="wait")


class Noted:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def handed_over(self, job: Job) -> None:
        self.said.append(("handed over", job.rule))

    def done(self, job: Job, record: RecordSummary) -> None:
        self.said.append(("done", record.key))

    def failed(self, job: Job, kind: str) -> None:
        self.said.append(("failed", kind))

    def parked(self, job: Job, kind: str) -> None:
        self.said.append(("parked", kind))


class Bench:
    """A dispatcher with everything around it."""

    def __init__(self, folder: Path, address: CatalogAddress, config: Config = CONFIG) -> None:
        self.clock, self.flows, self.noted = Clock(), Flows(), Noted()
        self.spool = Spool(folder, clock=self.clock)
        self.catalog_away = False
        self.killed = 0
        self._address = address
        self.kept = KeptCatalog(self._open)
        self.dispatcher = Dispatcher(
            self.spool, config, self.catalog, self.flows, self.noted, hung=self._kill, clock=self.clock
        )

    @contextmanager
    def catalog(self) -> Iterator[Catalog]:
        if self.catalog_away:
            raise CatalogUnreachableError("no server answers", needed="one", action="start it")
        with self.kept() as catalog:
            yield catalog

    def step(self, seconds: float = 0.0) -> None:
        self.clock.now += seconds
        self.dispatcher.step()

    def record(self, run: str) -> None:
        with self.catalog() as catalog:
            publish_failure(catalog, run, REASON, CONFIG, rule="rule")

    def job(self, run: str) -> Job:
        (job,) = (job for job in self.spool.jobs(run=run) if job.selected)
        return job

    def close(self) -> None:
        self.kept.close()
        self.spool.close()

    @contextmanager
    def _open(self) -> Iterator[Catalog]:
        catalog = connect(self._address.uri, self._address.api_key)
        try:
            yield catalog
        finally:
            catalog.close()

    def _kill(self) -> None:
        self.killed += 1


@pytest.fixture
def bench(tmp_path: Path, catalog_address: CatalogAddress) -> Iterator[Bench]:
    bench = Bench(tmp_path, catalog_address)
    yield bench
    bench.close()


@pytest.fixture
def take(raw_runs: Container) -> Callable[[], str]:
    def taken() -> str:
        current: Any = SynSignal(func=lambda: 400.0, name="ring_current")
        engine = RunEngine()
        engine.subscribe(writer(raw_runs))
        outcome: Any = engine(count([current]))
        return outcome[0]

    return taken


def test_a_run_goes_from_report_to_record(bench: Bench, take: Callable[[], str]) -> None:
    run = take()
    bench.spool.add(run, source="stream")
    bench.step()
    (started,) = bench.flows.started
    assert (started.run, started.rule, started.again) == (run, "rule", False)
    bench.step()
    assert bench.job(run).state is State.HANDED_OVER
    bench.record(run)
    bench.step()
    assert bench.job(run).state is State.HANDED_OVER, "the flow has more to do than the record"
    bench.flows.end("completed")
    bench.step()
    job = bench.job(run)
    assert job.state is State.DONE
    assert bench.noted.said == [("handed over", "rule"), ("done", job.record)]
    bench.spool.add(run, source="kafka")
    bench.step(1000.0)
    assert len(bench.flows.started) == 1


def test_a_flow_run_that_says_completed_and_left_no_record_is_not_believed(
    bench: Bench, take: Callable[[], str]
) -> None:
    run = take()
    bench.spool.add(run, source="stream")
    bench.step()
    bench.flows.end("completed")
    bench.step()
    job = bench.job(run)
    assert (job.state, job.tries) == (State.WAITING, 1)
    assert "without a record" in job.reason
    bench.step(10.0)
    assert len(bench.flows.started) == 2


def test_a_scan_that_kills_its_runner_is_parked_with_its_reason_and_a_record_says_so(
    bench: Bench, take: Callable[[], str]
) -> None:
    run = take()
    bench.spool.add(run, source="stream")
    for _ in range(TRIES):
        bench.step(100.0)
        bench.flows.end("failed", "Crashed: the runner was killed")
        bench.step()
    job = bench.job(run)
    assert (job.state, job.tries, job.reason) == (State.PARKED, TRIES, "Crashed: the runner was killed")
    assert len(bench.flows.started) == TRIES
    with bench.catalog() as catalog:
        (record,) = find_records(catalog, run_uid=run)
    assert "the analysis ended 3 times without a record, last: Crashed" in record.metadata["reason"]
    assert bench.noted.said[-1] == ("parked", "Crashed")
    bench.step(1e6)
    assert len(bench.flows.started) == TRIES, "until a person says so"

    bench.spool.retry(run)
    bench.step()
    assert bench.flows.started[-1].again, "the recorded failure is to give way"
    bench.flows.end("completed")
    bench.step()
    assert bench.job(run).state is State.DONE


def test_prefect_away_costs_a_delay_and_no_try(bench: Bench, take: Callable[[], str]) -> None:
    runs = [take(), take()]
    bench.flows.away = True
    for run in runs:
        bench.spool.add(run, source="stream")
    for _ in range(10):
        bench.step(60.0)
    assert [bench.job(run).state for run in runs] == [State.WAITING, State.WAITING]
    assert "Prefect is away" in bench.dispatcher.trouble.prefect
    bench.flows.away = False
    bench.step(60.0)
    assert [(bench.job(run).state, bench.job(run).tries) for run in runs] == [(State.HANDED_OVER, 0)] * 2
    assert bench.dispatcher.trouble.prefect == ""

    bench.flows.away = True
    bench.step(10.0)
    assert bench.job(runs[0]).state is State.HANDED_OVER, "it may be at work all the same"
    bench.flows.away = False
    bench.flows.states.clear()
    bench.step(1.0)
    assert [bench.job(run).tries for run in runs] == [0, 0], "Prefect lost them: that is no fault of the scans"
    assert len(bench.flows.started) == 4


def test_the_catalog_away_costs_a_delay_and_no_try(bench: Bench, take: Callable[[], str]) -> None:
    runs = [take(), take()]
    bench.spool.add(runs[0], source="stream")
    bench.step()
    bench.record(runs[0])
    bench.flows.end("completed")
    bench.catalog_away = True
    bench.spool.add(runs[1], source="stream")
    for _ in range(10):
        bench.step(60.0)
    assert bench.job(runs[0]).state is State.HANDED_OVER
    assert "no server answers" in bench.dispatcher.trouble.catalog
    bench.catalog_away = False
    bench.step(60.0)
    assert bench.dispatcher.trouble.catalog == ""
    assert bench.job(runs[0]).state is State.DONE
    assert (bench.job(runs[1]).state, bench.job(runs[1]).tries) == (State.HANDED_OVER, 0)

    bench.flows.end("failed", "Failed: Flow run encountered an exception: CatalogUnreachableError: no Tiled server")
    bench.step()
    job = bench.job(runs[1])
    assert (job.state, job.tries) == (State.WAITING, 0), "a flow that met the outage is no fault of the scan"


def test_a_disk_of_the_catalog_that_is_full_parks_nobody(
    bench: Bench, take: Callable[[], str], catalog_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client's own patience, 45 s a request, would only make this test longer.
    monkeypatch.setattr(tiled.client.utils, "TILED_RETRY_ATTEMPTS", 1)
    run = take()
    bench.spool.add(run, source="stream")
    bench.step()
    server = int(json.loads((catalog_directory / "server.json").read_text())["pid"])
    before = resource.prlimit(server, resource.RLIMIT_FSIZE)
    said = "Failed: Flow run encountered an exception: CatalogError: http://127.0.0.1 answered Server error '500'"
    # As on a full disk, nothing larger than this can be written.
    resource.prlimit(server, resource.RLIMIT_FSIZE, (2**12, before[1]))
    try:
        for _ in range(2 * TRIES):
            bench.flows.end("failed", said)
            bench.step()
            assert (bench.job(run).state, bench.job(run).tries) == (State.WAITING, 0)
            assert "answered Server error '500" in bench.dispatcher.trouble.catalog
            bench.step(100.0)
    finally:
        resource.prlimit(server, resource.RLIMIT_FSIZE, before)
    bench.flows.end("failed", said)
    bench.step()
    assert bench.job(run).tries == 1, "a server that takes everything else has something against this scan"


def test_documents_on_their_way_are_waited_for(bench: Bench, raw_runs: Container) -> None:
    documents: list[tuple[str, Any]] = []
    current: Any = SynSignal(func=lambda: 400.0, name="ring_current")
    RunEngine()(count([current]), lambda *item: documents.append(item))
    run, sink = documents[0][1]["uid"], writer(raw_runs)
    bench.spool.add(run, source="run engine")
    bench.step()
    (waiting,) = bench.spool.jobs(State.WAITING)
    assert f"no run '{run}'" in waiting.reason
    for name, doc in documents[:-1]:
        sink(name, doc)
    bench.step(1.0)
    (waiting,) = bench.spool.jobs(State.WAITING)
    assert "has no stop document" in waiting.reason
    sink(*documents[-1])
    bench.step(10.0)
    assert bench.job(run).state is State.HANDED_OVER


def test_documents_that_are_odd_keep_nobody_else_waiting(
    bench: Bench, take: Callable[[], str], raw_runs: Container
) -> None:
    odd, good = "6e9a5c35-0000-4000-8000-00000000000b", take()
    raw_runs.create_container(odd, metadata={"start": {"uid": odd, "time": "now"}, "stop": "yes"})
    bench.spool.add(odd, source="kafka", stopped=1.0)
    bench.spool.add(good, source="kafka", stopped=2.0)
    bench.step()
    assert bench.job(good).state is State.HANDED_OVER
    (parked,) = bench.spool.jobs(State.PARKED)
    assert parked.run == odd
    assert "its documents are odd" in parked.reason


def test_a_run_that_never_comes_is_given_up_after_days(bench: Bench) -> None:
    bench.spool.add("6e9a5c35-0000-4000-8000-00000000000a", source="kafka")
    for _ in range(12):
        bench.step(86400.0)
    (job,) = bench.spool.jobs(State.PARKED)
    assert "no run '6e9a5c35" in job.reason


def test_the_switch_holds_back_what_is_collected(bench: Bench, take: Callable[[], str]) -> None:
    run = take()
    bench.spool.pause("beam studies")
    bench.spool.add(run, source="stream")
    bench.step()
    assert bench.job(run).state is State.WAITING
    bench.spool.resume()
    bench.step()
    assert bench.job(run).state is State.HANDED_OVER


def test_no_more_are_handed_over_than_are_worked_on(bench: Bench, take: Callable[[], str]) -> None:
    for _ in range(5):
        bench.spool.add(take(), source="stream")
    bench.step()
    bench.step()
    assert len(bench.flows.started) == 3, "two at work and one at hand"


def test_an_analysis_that_does_not_end_is_ended(bench: Bench, take: Callable[[], str]) -> None:
    run = take()
    bench.spool.add(run, source="stream")
    bench.step()
    bench.flows.end("under way", running_s=99.0)
    bench.step()
    assert bench.killed == 0
    bench.flows.end("under way", running_s=101.0)
    bench.step()
    assert bench.killed == 1
    job = bench.job(run)
    assert (job.state, job.tries, job.reason) == (State.WAITING, 1, "the analysis had not ended after 100 s")


def test_a_dispatcher_killed_between_claim_and_flow_run_is_made_up_for(bench: Bench, take: Callable[[], str]) -> None:
    run = take()
    bench.spool.add(run, source="stream")
    bench.spool.select(run, ["rule"], source="rules")
    (claimed,) = bench.spool.claim(1, selected=True, lease=100.0)
    bench.flows.start(claimed)  # the answer never reached the queue
    bench.step()
    assert len(bench.flows.started) == 1, "the same claim finds the same flow run"
    assert bench.job(run).handle == f"{run}:{claimed.handovers}"


def test_a_rule_that_is_gone_from_the_configuration_is_said(bench: Bench, take: Callable[[], str]) -> None:
    run = take()
    bench.spool.select(run, ["old"], source="sweep")
    bench.step()
    job = bench.job(run)
    assert job.state is State.PARKED
    assert "no selection rule 'old'; needed: one of rule" in job.reason
