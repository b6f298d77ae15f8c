"""``gbx serve`` as a whole: every scan gets its record by itself, whoever is killed meanwhile."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from bluesky.plans import count
from ophyd.sim import SynSignal
from serving import FRAMES, Beamline, Service, wait_for

from gbx_beamline.catalog import load_live
from gbx_beamline.config import parse_config
from gbx_beamline.errors import RunNotFoundError, ServiceError
from gbx_beamline.records import LiveState
from gbx_services.serve import run_service
from gbx_services.spool import Spool, State


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("service"), live={"enabled": True}) as service:
        service.wait_until_ready()
        yield service
        assert service.stop() == 0


@pytest.fixture(scope="module")
def beamline(service: Service) -> Iterator[Beamline]:
    beamline = Beamline(service)
    yield beamline
    beamline.close()


@pytest.fixture
def spool(service: Service) -> Iterator[Spool]:
    spool = Spool(service.directory)
    yield spool
    spool.close()


def test_scans_are_analysed_by_themselves_and_all_pages_tell_of_it(
    service: Service, beamline: Beamline, spool: Spool
) -> None:
    runs = [beamline.take(), beamline.take()]
    for run, (record,) in beamline.records(*runs).items():
        assert (record.run_uid, record.failed) == (run, False)
        assert record.metadata["provenance"]["rule"] == "default"
    wait_for("an empty queue", lambda: spool.counts()[State.DONE] == 2)

    health = service.health()
    assert (health["status"], health["paused"]) == ("ok", None)
    assert set(health["components"].values()) == {"ok"}
    assert health["queue"]["done"] == 2
    metrics = service.page("/metrics")
    assert 'gbx_records_total{outcome="result"} 2.0' in metrics
    assert "gbx_lag_seconds_count 2.0" in metrics
    assert 'gbx_queue_jobs{state="parked"} 0.0' in metrics
    assert 'gbx_component_up{component="runner"} 1.0' in metrics
    assert "/health /metrics" in service.page("/")
    told = [line["message"] for line in service.log() if line.get("run") == runs[0]]
    assert told == ["run has ended", "handed over", "record is there"]


def test_each_scan_has_a_live_record_that_ends_with_the_final_one(service: Service, beamline: Beamline) -> None:
    log = service.directory / "logs" / "live.log"
    wait_for("the live service", lambda: log.exists() and "the stream of runs is heard" in log.read_text())
    run = beamline.take()
    (record,) = beamline.records(run)[run]

    def settled() -> LiveState | None:
        with beamline.catalog() as catalog:
            try:
                state = load_live(catalog, run)
            except RunNotFoundError:
                return None
        return state if state.record else None

    state = wait_for("the final record's name", settled)
    assert (state.state, state.record, state.frames, state.reason) == ("ended", record.key, FRAMES, "")


@pytest.mark.slow
def test_whoever_is_killed_each_scan_gets_one_record(service: Service, beamline: Beamline, spool: Spool) -> None:
    runs = [beamline.take()]
    os.kill(service.pid_of("runner"), signal.SIGKILL)
    runs.append(beamline.take())
    os.kill(service.pid_of("prefect server"), signal.SIGKILL)
    runs.append(beamline.take())
    assert beamline.flush()
    os.kill(service.tiled_pid(), signal.SIGKILL)
    runs.append(beamline.take())
    wait_for("the documents", beamline.flush)
    wait_for("an empty queue", lambda: {run for run, _ in spool.known()} >= set(runs) and _all_done(spool))
    for records in beamline.records(*runs).values():
        assert [record.failed for record in records] == [False]
    assert wait_for("health", lambda: service.health()["status"] == "ok")


def test_the_switch_works_while_the_service_runs(service: Service, beamline: Beamline, spool: Spool) -> None:
    spool.pause("beam studies")
    run = beamline.take()
    wait_for("the rules", lambda: (run, "default") in spool.known())
    assert service.health()["status"] == "paused"
    (waiting,) = spool.jobs(State.WAITING)
    assert (waiting.run, waiting.handovers) == (run, 0)
    spool.resume()
    assert len(beamline.records(run)[run]) == 1


def test_runs_that_cannot_be_analysed_get_a_record_with_the_reason(
    service: Service, beamline: Beamline, spool: Spool
) -> None:
    ring: Any = SynSignal(func=lambda: 400.0, name="ring_current")
    outcome: Any = beamline.engine(count([ring], md={"sample": {"name": 7}, "temperature": "absurd"}))
    (record,) = beamline.records(outcome[0])[outcome[0]]
    assert record.failed
    assert "no image series" in record.metadata["reason"]
    wait_for("the queue", lambda: _all_done(spool))
    assert 'gbx_failures_total{reason="SeriesError"} 1.0' in service.page("/metrics")
    assert service.health()["status"] == "ok", "a scan's own fault is no trouble of the service"


def test_a_second_service_in_the_folder_is_refused(service: Service) -> None:
    config = parse_config(
        {
            "analysis": {"rois": {"rings": [{"q": [3e-4, 6e-4]}]}},
            "serve": {"directory": str(service.directory), "health": {"port": 0}},
        }
    )
    with pytest.raises(ServiceError, match=r"a service runs in .* already; needed: a folder without one"):
        run_service(config, None, threading.Event())


def _all_done(spool: Spool) -> bool:
    return all(job.state is State.DONE for job in spool.jobs())


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts a service of the test's own, with these settings."""
    with ExitStack() as stack:

        def start(**settings: Any) -> Service:
            service = stack.enter_context(Service(tmp_path, **settings))
            service.wait_until_ready()
            return service

        yield start


@pytest.mark.slow
def test_what_ended_while_no_service_ran_is_found_at_the_next_start(started: Callable[..., Service]) -> None:
    service = started(triggers={"tiled": False})
    beamline = Beamline(service)
    with beamline.catalog():  # a user of the Tiled server keeps it running
        service.kill()
        run = beamline.take()
        assert beamline.flush()
        service.start()
        (record,) = beamline.records(run)[run]
        assert not record.failed
        spool = Spool(service.directory)
        assert {job.source for job in spool.jobs(run=run)} == {"sweep"}
        spool.close()
        beamline.close()
    assert service.stop() == 0
    assert not (service.catalog_directory / "server.json").exists(), "the last user has gone, and the server with it"


SCANS = 50
STOPPED_SECONDS = 60.0


class Mishaps:
    """What may happen beside the scans, by name; ``happened`` counts what did."""

    def __init__(self, service: Service, beamline: Beamline, spool: Spool) -> None:
        self._service = service
        self._beamline = beamline
        self._spool = spool
        self._stopped: list[threading.Timer] = []
        self.runs: list[str] = []
        self.happened: Counter[str] = Counter()
        self.known: dict[str, Callable[[], object]] = {
            "runner killed": lambda: os.kill(service.pid_of("runner"), signal.SIGKILL),
            "prefect killed": lambda: os.kill(service.pid_of("prefect server"), signal.SIGKILL),
            "prefect stopped for a minute": self._stop_prefect,
            "tiled restarted": lambda: os.kill(service.tiled_pid(), signal.SIGKILL),
            "service killed": lambda: (service.kill(), service.start()),
            "reports doubled": lambda: [spool.add(run, source="doubled") for run in self.runs],
            "report dropped": self._drop_report,
        }

    def take(self) -> None:
        """One scan."""
        self.runs.append(self._beamline.take())

    def happen(self, name: str) -> bool:
        """Let it happen; False where what it needs is down already."""
        try:
            self.known[name]()
        except (ProcessLookupError, FileNotFoundError):
            return False
        self.happened[name] += 1
        return True

    def over(self) -> None:
        """Whoever was stopped goes on."""
        for timer in self._stopped:
            timer.join()

    def _stop_prefect(self) -> None:
        group = self._service.pid_of("prefect server")
        os.killpg(group, signal.SIGSTOP)
        timer = threading.Timer(STOPPED_SECONDS, _go_on, [group])
        timer.start()
        self._stopped.append(timer)

    def _drop_report(self) -> None:
        """A run whose report was lost with the queue: only the sweep can find it."""
        self._spool.pause("a report is dropped")
        self.take()
        run = self.runs[-1]
        # Tiled may be down: the run is in its journal then, and nobody can report it.
        wait_for("its documents", self._beamline.flush)
        wait_for("the report", lambda: self._spool.jobs(run=run))
        self._spool.drop(run)
        self._spool.prune(older_than=-1.0)
        self._spool.resume()


def _go_on(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_scans_in_a_row_whatever_breaks(started: Callable[..., Service]) -> None:
    """Runner, Prefect, Tiled and the service itself are killed, Prefect is stopped for a minute, reports are doubled
    and dropped, in an order and at moments drawn by seed."""
    service = started(sweep={"every_s": 20.0}, retry={"tries": 20, "first_s": 1.0, "longest_s": 5.0})
    beamline, chance = Beamline(service), random.Random(20261125)
    spool = Spool(service.directory)
    mishaps = Mishaps(service, beamline, spool)
    script = [*mishaps.known] * 4
    script += [""] * (SCANS - len(script))
    chance.shuffle(script)
    for name in script:
        mishaps.take()
        # In the middle of whatever is under way by then.
        threading.Event().wait(chance.uniform(0.0, 2.0))
        if name:
            wait_for(f"what is needed for {name!r}", lambda name=name: mishaps.happen(name))
    mishaps.over()
    assert mishaps.happened == dict.fromkeys(mishaps.known, 4)
    runs = mishaps.runs
    assert len(runs) >= SCANS
    assert set(beamline.stops) == set(runs), "the RunEngine never raised"
    wait_for("the documents", beamline.flush)
    # Jobs that were done when a report was dropped have left the queue: it is the catalog that tells.
    records = beamline.records(*runs, seconds=1800.0)
    wait_for("all jobs", lambda: _all_done(spool))
    assert all([record.failed for record in found] == [False] for found in records.values())
    assert [job for job in spool.jobs() if job.state is State.PARKED] == []
    spool.close()
    beamline.close()
    assert service.stop() == 0
