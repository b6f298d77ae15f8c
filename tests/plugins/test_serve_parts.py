"""Parts of ``gbx serve`` that need no server: logs, pages, the check of the rules."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from gbx_beamline.catalog import Retraining
from gbx_beamline.config import Config, ModelsConfig, parse_config
from gbx_beamline.errors import ConfigError, ServiceError
from gbx_beamline.learning.store import ModelStore
from gbx_services.logs import JsonLines, RunOfFlow
from gbx_services.prefect_service import prefect_settings
from gbx_services.serve.checks import check_frozen, check_rules
from gbx_services.serve.health import json_page, served, text_page
from gbx_services.serve.kept import START_TRIES, KeptCatalogServer, keep_small
from gbx_services.serve.metrics import Metrics
from gbx_services.serve.service import run_service
from gbx_services.spool import Spool

ROIS = {"rois": {"rings": [{"q": [0.01, 0.02]}]}}


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    handler.addFilter(RunOfFlow())
    logger = logging.getLogger("gbx_test")
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


def test_a_log_line_is_json_with_the_run(said: io.StringIO) -> None:
    logger = logging.getLogger("gbx_test")
    logger.warning("scan of %s\nfailed", "gold", extra={"run": "1a2b"})
    try:
        raise ValueError("ünforeseen")
    except ValueError:
        logger.exception("broke", extra={"flow_run_name": "end-of-run 3c4d"})
    first, second = (json.loads(line) for line in said.getvalue().splitlines())
    assert first["message"] == "scan of gold\nfailed"
    assert (first["run"], first["level"], first["logger"]) == ("1a2b", "warning", "gbx_test")
    assert second["run"] == "3c4d"
    assert "ValueError: ünforeseen" in second["traceback"]


def ask(address: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def test_pages_say_what_is_well_and_a_port_in_use_is_said() -> None:
    well = True
    pages = {"/health": json_page(lambda: (well, {"status": "any"})), "/metrics": text_page(lambda: b"one 1\n")}
    with served(pages, host="127.0.0.1", port=0) as address:
        assert ask(f"{address}/health?verbose") == (HTTPStatus.OK, '{\n "status": "any"\n}')
        assert ask(f"{address}/metrics") == (HTTPStatus.OK, "one 1\n")
        assert ask(f"{address}/secret")[0] == HTTPStatus.NOT_FOUND
        well = False
        assert ask(f"{address}/health")[0] == HTTPStatus.SERVICE_UNAVAILABLE
        port = int(address.rpartition(":")[2])
        with (
            pytest.raises(ServiceError, match=r"cannot be listened on .*; set serve\.health\.port"),
            served(pages, host="127.0.0.1", port=port),
        ):
            pass


def test_prometheus_sees_drift_and_the_newest_retraining_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    metrics = Metrics(spool, dict)
    checks = [
        {"name": "contrast", "recent": 0.05, "alarm": True},
        {"name": "s_noneq", "recent": None, "alarm": False},
    ]
    metrics.retrained(Retraining(3, {"status": "kept", "begun": 1000.0, "drift": {"checks": checks}}))
    metrics.retrained(Retraining(4, {"status": "running", "begun": 2000.0}))
    said = metrics.text().decode()
    spool.close()
    assert 'gbx_drift_alarm{watched="contrast"} 1.0' in said
    assert 'gbx_drift_alarm{watched="s_noneq"} 0.0' in said
    assert 'gbx_drift_recent{watched="contrast"} 0.05' in said
    assert 'gbx_drift_recent{watched="s_noneq"}' not in said
    assert 'gbx_retraining_time_seconds{status="running"} 2000.0' in said
    assert 'status="kept"' not in said


def test_a_log_that_grows_is_put_aside_and_written_on(tmp_path: Path) -> None:
    log = tmp_path / "runner.log"
    keep_small(log)  # not there yet
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 50)
        keep_small(log, largest=100)
        assert log.stat().st_size == 50
        writer.write(b"x" * 60)
        keep_small(log, largest=100)
        writer.write(b"after\n")
    assert log.read_bytes() == b"after\n"
    assert (tmp_path / "runner.old.log").stat().st_size == 110


def test_live_analysis_without_a_folder_for_data_files_is_refused_at_the_start() -> None:
    settings = {"analysis": ROIS, "catalog": {"uri": "http://tiled.example"}, "serve": {"live": {"enabled": True}}}
    with pytest.raises(ConfigError, match=r"name them in serve\.live\.roots"):
        run_service(parse_config(settings), None, threading.Event())


def test_rules_by_which_nothing_can_be_analysed_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no q-ROI for the selection rule default; needed: at least one box"):
        check_rules(Config())
    check_rules(parse_config({"analysis": ROIS}))
    check_rules(parse_config({"selection": {"own": {"analysis": ROIS}, "off": {"enabled": False}}}))
    check_rules(parse_config({"samples": {"gold": ROIS}, "selection": {"gold": {"samples": ["gold"]}}}))
    with pytest.raises(ConfigError, match="selection rules one, two"):
        check_rules(parse_config({"selection": {"one": {}, "two": {}, "own": {"analysis": ROIS}}}))


def test_a_frozen_model_that_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    def frozen(model: str) -> ModelsConfig:
        return ModelsConfig(directory=tmp_path, frozen={"pass-1": model})

    default = ModelStore(ModelsConfig(directory=tmp_path)).find().id
    check_frozen(frozen(default))
    with pytest.raises(ConfigError, match=r"models\.frozen\.pass-1: the model 'gbx-none' is none of the"):
        check_frozen(frozen("gbx-none"))
    with pytest.raises(ConfigError, match=f"'{default[:-1]}' is the beginning of {default}; needed: the whole id"):
        check_frozen(frozen(default[:-1]))
    shutil.copytree(ModelStore().find().folder, tmp_path / "gbx-copy")
    with pytest.raises(ConfigError, match="a folder named after its model"):
        check_frozen(frozen("gbx-copy"))


@pytest.mark.parametrize(("days", "seconds"), [(2.5, 216000.0), (1e-3, 3601.0)])
def test_an_embedded_prefect_forgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: float, seconds: float
) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    settings = prefect_settings(tmp_path, "http://127.0.0.1:9/api", keep_days=days)
    ask = """if True:
        from prefect.settings import get_current_settings
        server = get_current_settings().server
        vacuum = server.services.db_vacuum
        kinds = ",".join(sorted(vacuum.enabled_vacuum_types))
        print(vacuum.retention_period.total_seconds(), kinds, server.events.retention_period.days)
    """
    said = subprocess.run(
        [sys.executable, "-c", ask], env={**os.environ, **settings}, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == [str(seconds), "events,flow_runs,orphans", "1"]


class _Address:
    uri, api_key = "http://127.0.0.1:9", "key"


@pytest.mark.parametrize("failures", [0, START_TRIES - 1, START_TRIES])
def test_a_catalog_that_is_killed_while_it_starts_is_started_again(failures: int) -> None:
    left, users = [failures], list[str]()

    @contextmanager
    def start() -> Iterator[_Address]:
        if left[0]:
            left[0] -= 1
            raise ServiceError("ended with exit code -9", needed="a running server", action="start it")
        users.append("service")
        yield _Address()
        users.remove("service")

    if failures == START_TRIES:
        with pytest.raises(ServiceError, match="exit code -9"):
            KeptCatalogServer(start)
        return
    server = KeptCatalogServer(start)
    assert users == ["service"]
    server.stop()
    assert users == []
