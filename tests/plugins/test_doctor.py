"""The doctor, held against services that are well, ill, absent and silent."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from gbx_beamline import __version__
from gbx_beamline.config import Config, KafkaConfig, parse_config
from gbx_beamline.errors import ServiceError
from gbx_beamline.learning.store import SHIPPED, WEIGHTS
from gbx_services.doctor.checking import Check, Level, good, within
from gbx_services.doctor.models import check_models
from gbx_services.doctor.places import check_frames, check_place
from gbx_services.doctor.services import check_dask, check_kafka, check_prefect, check_serve
from gbx_services.serve.health import json_page, served


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where somebody takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def absent() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def named(checks: Iterator[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def assert_says_what_to_do(check: Check) -> None:
    assert check.level is not Level.OK
    assert check.found
    assert check.needed
    assert check.action


def test_what_hangs_is_left_behind_and_the_rest_is_said() -> None:
    ever = threading.Event()

    def hangs() -> Iterator[Check]:
        yield good("first", "well")
        ever.wait()

    first, second = within(0.05, "disk", hangs)
    ever.set()
    assert first == good("first", "well")
    assert_says_what_to_do(second)
    assert "no answer within" in second.found


def test_what_breaks_down_is_a_finding() -> None:
    def refuses() -> Iterator[Check]:
        yield good("first", "well")
        raise ServiceError("found", needed="needed", action="do this")

    def breaks() -> Iterator[Check]:
        raise ValueError("odd")
        yield

    assert list(within(5.0, "one", refuses))[1] == Check("one", Level.FAILURE, "found", "needed", "do this")
    (check,) = within(5.0, "two", breaks)
    assert check.found == "ValueError: odd"
    assert_says_what_to_do(check)


def test_a_folder_is_tried_out_and_left_as_it_was(tmp_path: Path) -> None:
    checks = named(check_place("catalog", tmp_path / "not" / "yet"))
    assert checks["folder: catalog"].level is Level.OK
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    (check,) = check_place("catalog", tmp_path / "file" / "below")
    assert_says_what_to_do(check)
    (check, _) = check_place("catalog", Path("/proc"))
    assert_says_what_to_do(check)


def test_it_says_where_frames_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GBX_TILED_URI", "GBX_DATA_ROOTS"):
        monkeypatch.delenv(name, raising=False)
    (embedded,) = check_frames(parse_config({"catalog": {"directory": str(tmp_path)}}))
    assert embedded.level is Level.OK
    elsewhere = parse_config({"catalog": {"uri": "http://127.0.0.1:1"}})
    (over_http,) = check_frames(elsewhere)
    assert over_http.level is Level.WARNING
    assert "over HTTP" in over_http.found
    assert_says_what_to_do(over_http)
    monkeypatch.setenv("GBX_DATA_ROOTS", f"{tmp_path}:{tmp_path / 'absent'}")
    there, absent_folder = check_frames(elsewhere)
    assert there.level is Level.OK
    assert absent_folder.level is Level.FAILURE
    assert "absent" in absent_folder.found
    assert_says_what_to_do(absent_folder)


def test_a_component_that_does_not_work_is_named(tmp_path: Path) -> None:
    said = {
        "version": "0.0.1",
        "status": "degraded",
        "components": {"catalog": "the disk is full", "runner": "ok"},
        "queue": {"parked": 2, "waiting": 0},
        "paused": {"reason": "beam is down", "since": 1.0},
    }
    with served({"/health": json_page(lambda: (False, said))}, host="127.0.0.1", port=0) as where:
        config = parse_config({"serve": {"health": {"port": int(where.rsplit(":", 1)[1])}}})
        checks = list(check_serve(config))
    for check in checks:
        assert_says_what_to_do(check)
    found = {check.name: check.found for check in checks}
    assert found["serve: catalog"] == "the disk is full"
    assert "2 jobs" in found["serve: queue"]
    assert any("beam is down" in check.found for check in checks)
    assert any("0.0.1" in check.found for check in checks)
    well = {"version": __version__, "status": "ok", "components": {"runner": "ok"}, "queue": {}, "paused": None}
    with served({"/health": json_page(lambda: (True, well))}, host="127.0.0.1", port=0) as where:
        config = parse_config({"serve": {"health": {"port": int(where.rsplit(":", 1)[1])}}})
        assert [check.level for check in check_serve(config)] == [Level.OK]


def test_servers_that_are_absent_or_silent_are_said_within_seconds(
    silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gbx_services.doctor.services.ANSWER_SECONDS", 0.5)
    monkeypatch.setenv("GBX_TILED_URI", "http://127.0.0.1:1")
    began = time.monotonic()
    for port in (absent(), silent):
        served_there = parse_config({"serve": {"health": {"port": port}}})
        brokers = KafkaConfig(bootstrap_servers=(f"127.0.0.1:{port}",), topics=("documents",))
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
            (prefect,) = check_prefect(Config())
        assert_says_what_to_do(prefect)
        for checks in (
            check_serve(served_there),
            check_kafka(brokers),
            # Its client waits for ever for a scheduler that says nothing; the doctor does not.
            within(3.0, "dask", partial(check_dask, f"tcp://127.0.0.1:{port}")),
        ):
            (check,) = checks
            assert_says_what_to_do(check)
    assert time.monotonic() - began < 60.0


def test_kafka_is_asked_for_its_topics() -> None:
    from confluent_kafka import Producer

    # librdkafka's own cluster, which speaks the real protocol.
    broker = Producer({"test.mock.num.brokers": 1})
    metadata = broker.list_topics(timeout=10)
    address = ",".join(f"{one.host}:{one.port}" for one in metadata.brokers.values())
    broker.produce("documents", b"x")
    broker.flush(10)
    (check,) = check_kafka(KafkaConfig(bootstrap_servers=(address,), topics=("documents",)))
    assert check.level is Level.OK
    (check,) = check_kafka(KafkaConfig(bootstrap_servers=(address,), topics=("documents", "nowhere")))
    assert_says_what_to_do(check)
    assert "nowhere" in check.found


def test_a_damaged_model_is_named(tmp_path: Path) -> None:
    chosen = json.loads((SHIPPED / "aliases.json").read_text())["default"]
    shutil.copytree(SHIPPED / chosen, tmp_path / "models" / "gbx-0000000000")
    config = parse_config({"models": {"directory": str(tmp_path / "models")}})
    assert named(check_models(config))["model"].level is Level.OK
    weights = tmp_path / "models" / "gbx-0000000000" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1])
    listed = named(check_models(config))
    assert listed["model"].level is Level.OK, "the default is another"
    assert_says_what_to_do(listed["models"])
    asked = parse_config({"models": {"directory": str(tmp_path / "models"), "model": "gbx-0000000000"}})
    assert_says_what_to_do(named(check_models(asked))["model"])
