"""Triggers and sweep on the real things: a RunEngine, a Tiled server's stream, Kafka's protocol, SQLite."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import bluesky.plans as bp
import pytest
from bluesky import RunEngine
from eiger_runs import writer
from ophyd.sim import SynSignal
from tiled.client.container import Container

from gbx_beamline.assemble import publish_failure
from gbx_beamline.catalog import Catalog, connect
from gbx_beamline.config import KafkaConfig, parse_config
from gbx_beamline.errors import ConfigError, InputError, ServiceError
from gbx_services.spool import UNSELECTED, Spool, State
from gbx_services.sweep import Sweep
from gbx_services.triggers import SpoolTrigger
from gbx_services.triggers.inbox import Inbox
from gbx_services.triggers.kafka import KafkaTrigger
from gbx_services.triggers.tiled_stream import TiledStream
from gbx_tiled.embedded import CatalogAddress

RULES = {
    "analysis": {"rois": {"rings": [{"q": [3e-4, 6e-4]}]}},
    "selection": {
        "one": {"samples": ["swept*"]},
        "two": {"samples": ["swept*"], "analysis": {"correlation": {"groups": 4}}},
    },
}
SETTINGS: dict[str, str | int | float | bool] = {"auto.offset.reset": "earliest", "session.timeout.ms": 6000}
"""The mock cluster notices a consumer that left only by its session's end."""

SECONDS = 60.0
"""Longest wait for what takes a tenth of a second."""


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path)
    yield spool
    spool.close()


@pytest.fixture(scope="module")
def catalog(catalog_address: CatalogAddress) -> Iterator[Catalog]:
    opened = connect(catalog_address.uri, catalog_address.api_key)
    yield opened
    opened.close()


class Heard:
    """An ``Accept`` that remembers, and can be waited for."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, str, float | None]] = []
        self._changed = threading.Condition()

    def __call__(self, run: str, *, source: str, stopped: float | None = None) -> bool:
        with self._changed:
            self.runs.append((run, source, stopped))
            self._changed.notify_all()
        return True

    def wait_for(self, run: str) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: any(run == heard for heard, *_ in self.runs), SECONDS)


def take(*receivers: Any, sample: str = "other") -> dict[str, Any]:
    """A run that reads one number; its stop document."""
    current: Any = SynSignal(func=lambda: 400.0, name="ring_current")
    engine, stops = RunEngine(), list[dict[str, Any]]()
    engine.subscribe(lambda _name, doc: stops.append(doc), "stop")
    for receiver in receivers:
        engine.subscribe(receiver)

    engine(bp.count([current], md={"sample": sample}))
    return stops[0]


# --- RunEngine


def test_the_run_engine_hands_over_to_the_disk(tmp_path: Path, spool: Spool) -> None:
    trigger = SpoolTrigger(tmp_path)
    stops = [take(trigger), take(trigger)]
    trigger.close(SECONDS)
    assert [(job.run, job.rule, job.source, job.stopped) for job in spool.jobs()] == [
        (stop["run_start"], UNSELECTED, "run engine", stop["time"]) for stop in stops
    ]


def test_the_run_engine_neither_waits_for_a_disk_that_refuses_nor_falls_over_it(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    trigger = SpoolTrigger(tmp_path / "taken")
    stop = take(trigger)
    assert stop["exit_status"] == "success"
    (tmp_path / "taken").unlink()
    trigger.close(SECONDS)
    spool = Spool(tmp_path / "taken")
    assert {run for run, _ in spool.known()} == {stop["run_start"]}
    spool.close()


def test_documents_that_name_no_run_are_passed_over(tmp_path: Path, spool: Spool) -> None:
    trigger = SpoolTrigger(tmp_path)
    for stop in ({}, {"run_start": 7}, {"run_start": ""}):
        trigger("stop", stop)
    trigger("start", {"uid": "a"})
    trigger("stop", {"run_start": "b", "time": "late"})
    trigger.close(SECONDS)
    assert [(job.run, job.stopped) for job in spool.jobs()] == [("b", None)]


def test_a_report_waits_for_a_disk_until_the_service_stops(spool: Spool) -> None:
    stopping = threading.Event()
    spool.close()
    waits = threading.Thread(target=lambda: done.append(Inbox(spool, stopping)("a", source="kafka")))
    done: list[bool] = []
    waits.start()
    stopping.set()
    waits.join(SECONDS)
    assert done == [False]


# --- Tiled's stream


@pytest.fixture
def opened(catalog_address: CatalogAddress) -> Callable[[], AbstractContextManager[Catalog]]:
    @contextmanager
    def open_catalog() -> Iterator[Catalog]:
        catalog = connect(catalog_address.uri, catalog_address.api_key)
        try:
            yield catalog
        finally:
            catalog.close()

    return open_catalog


def test_tiled_reports_a_run_as_it_ends_and_again_after_the_connection_was_renewed(
    raw_runs: Container, opened: Callable[[], AbstractContextManager[Catalog]]
) -> None:
    heard, connected = Heard(), threading.Semaphore(0)
    stream = TiledStream(opened, heard, connected.release)
    stream.start()
    try:
        for _ in range(2):
            assert connected.acquire(timeout=SECONDS)
            assert stream.trouble == ""
            stop = take(writer(raw_runs))
            assert heard.wait_for(stop["run_start"])
            assert heard.runs[-1][1:] == ("tiled stream", stop["time"])
            stream.renew()
    finally:
        stream.stop()


def test_a_catalog_that_cannot_be_opened_is_tried_again(
    raw_runs: Container, opened: Callable[[], AbstractContextManager[Catalog]], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [ServiceError("no server", needed="one", action="wait")]

    def at_second_try() -> AbstractContextManager[Catalog]:
        if refusals:
            raise refusals.pop()
        return opened()

    heard, connected = Heard(), threading.Event()
    stream = TiledStream(at_second_try, heard, connected.set)
    stream.start()
    try:
        assert connected.wait(SECONDS)
        stop = take(writer(raw_runs))
        assert heard.wait_for(stop["run_start"])
    finally:
        stream.stop()


# --- Kafka


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """Address of a broker: librdkafka's own, which speaks the real protocol."""
    from confluent_kafka import Producer

    cluster = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1})
    (metadata,) = cluster.list_topics(timeout=SECONDS).brokers.values()
    yield f"{metadata.host}:{metadata.port}"
    cluster.flush()


def publisher(broker: str, topic: str) -> Any:
    import msgpack
    from bluesky_kafka import Publisher

    return Publisher(topic=topic, bootstrap_servers=broker, key="chx", flush_on_stop_doc=True, serializer=msgpack.dumps)


def test_kafka_reports_runs_and_a_new_service_goes_on_where_the_old_one_was(broker: str) -> None:
    topic = "chx.bluesky.runengine.documents"
    settings = KafkaConfig(bootstrap_servers=(broker,), topics=(topic,), group_id="gbx-test", settings=SETTINGS)
    first = Heard()
    send = publisher(broker, topic)
    before = take(send)
    trigger = KafkaTrigger(settings, first)
    trigger.start()
    assert first.wait_for(before["run_start"])
    while_there = take(send)
    assert first.wait_for(while_there["run_start"])
    assert trigger.trouble == ""
    trigger.stop()
    assert first.runs[-1] == (while_there["run_start"], "kafka", while_there["time"])

    while_away = take(send)
    second = Heard()
    trigger = KafkaTrigger(settings, second)
    trigger.start()
    assert second.wait_for(while_away["run_start"])
    trigger.stop()
    assert [run for run, *_ in second.runs] == [while_away["run_start"]], "what was accepted does not come again"


def test_what_the_spool_did_not_take_is_not_committed(broker: str) -> None:
    topic = "refused.documents"
    settings = KafkaConfig(bootstrap_servers=(broker,), topics=(topic,), group_id="refused", settings=SETTINGS)
    stop = take(publisher(broker, topic))
    asked = threading.Event()

    def refuses(run: str, *, source: str, stopped: float | None = None) -> bool:
        asked.set()
        return False

    trigger = KafkaTrigger(settings, refuses)
    trigger.start()
    assert asked.wait(SECONDS)
    trigger.stop()
    heard = Heard()
    trigger = KafkaTrigger(settings, heard)
    trigger.start()
    assert heard.wait_for(stop["run_start"])
    trigger.stop()


def test_a_password_that_is_nowhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_PASSWORD", raising=False)
    settings = KafkaConfig(bootstrap_servers=("broker:9092",), topics=("t",), password_env="KAFKA_PASSWORD")
    with pytest.raises(ConfigError, match="KAFKA_PASSWORD is empty; needed: the password for Kafka"):
        KafkaTrigger(settings, Heard())


# --- sweep


def test_the_sweep_finds_what_has_ended_without_a_record(raw_runs: Container, catalog: Catalog, spool: Spool) -> None:
    config = parse_config(RULES)
    wanted = take(writer(raw_runs), sample="swept 1")["run_start"]
    take(writer(raw_runs), sample="other")
    documents: list[tuple[str, Any]] = []
    take(lambda *item: documents.append(item), sample="swept 2")
    unfinished, sink = documents[0][1]["uid"], writer(raw_runs)
    for name, doc in documents[:-1]:
        sink(name, doc)

    odd = "6e9a5c35-0000-4000-8000-00000000000c"
    raw_runs.create_container(odd, metadata={"start": {"uid": odd, "time": time.time()}, "stop": "yes"})

    sweep = Sweep(spool, config)
    assert sweep(catalog).found == 2
    assert {(job.run, job.rule) for job in spool.jobs(State.WAITING)} == {(wanted, "one"), (wanted, "two")}
    assert sweep(catalog).found == 0, "what is in the queue is no news"

    sink(*documents[-1])
    assert sweep(catalog).found == 2, "it has ended now"
    assert {job.run for job in spool.jobs(State.WAITING)} == {wanted, unfinished}


def test_a_lost_queue_is_made_again_from_the_catalog(
    raw_runs: Container, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = parse_config(RULES | {"selection": {"one": {"samples": ["swept again"]}}})
    done, open_ = (take(writer(raw_runs), sample="swept again")["run_start"] for _ in range(2))
    reason = InputError("no frames", needed="frames", action="look at the detector")
    publish_failure(catalog, done, reason, config, rule="one")
    spool = Spool(tmp_path / "new")
    assert Sweep(spool, config)(catalog).found == 1
    assert [job.run for job in spool.jobs(State.WAITING)] == [open_], "a reasoned failure is a record, too"
    spool.close()


def test_old_runs_are_left_alone(raw_runs: Container, catalog: Catalog, spool: Spool) -> None:
    run = take(writer(raw_runs), sample="swept old")["run_start"]
    # Other tests leave runs in this catalog whose times lie anywhere.
    Sweep(spool, parse_config(RULES))(catalog, now=time.time() + 30 * 86400)
    assert list(spool.jobs(run=run)) == []


def test_runs_that_no_rule_wants_are_noted_as_such(raw_runs: Container, catalog: Catalog, spool: Spool) -> None:
    run = take(writer(raw_runs), sample="unwanted")["run_start"]
    sweep = Sweep(spool, parse_config({"selection": {"none": {"samples": ["nobody"]}}}))
    assert sweep(catalog).found == 0
    assert [(job.state, job.reason) for job in spool.jobs(run=run)] == [(State.DONE, "no selection rule wants it")]
