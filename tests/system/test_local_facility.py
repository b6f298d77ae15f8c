"""The whole facility on one machine: PostgreSQL, Redis, two Tiled servers, Prefect with workers, Dask, `gbx serve`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml
from facilities import LocalFacility, environment, listening, need_programs
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from serving import wait_for as wait_seconds_for

from gbx_beamline.catalog import (
    Catalog,
    RecordSummary,
    TiledSink,
    connect,
    find_inferences,
    find_records,
    load_inference,
)
from gbx_beamline.config import load_config
from gbx_beamline.records import Estimate, Inference
from gbx_bluesky.plans import temperature_series
from gbx_bluesky.run_engine import make_run_engine
from gbx_bluesky.simulated_chx import SimulatedChx
from gbx_services.facility.folder import Facility
from gbx_services.spool import Spool

pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]


PATIENCE = 600.0
"""Longest wait, s, for what takes a minute on a machine of one's own."""


def wait_for(what: str, ready: Callable[[], Any]) -> Any:
    """What ``ready`` gives as soon as it gives anything."""
    return wait_seconds_for(what, ready, PATIENCE)


@pytest.fixture(scope="module")
def small_demo(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """configs/demo.yaml with two temperatures, few frames and two q-ROIs."""
    config = yaml.safe_load((repository / "configs" / "demo.yaml").read_text())
    config["analysis"]["rois"]["boxes"] = config["analysis"]["rois"]["boxes"][:2]
    config["demo"] |= {"frames": 64, "frame_time_s": 39.0, "mean_counts": 4.0, "coherence_modes": 2}
    config["demo"]["dynamics"] = [config["demo"]["dynamics"][0], config["demo"]["dynamics"][3]]
    config["simulation"] = {"mode": "paper", "members": 8, "size": 16}
    path = tmp_path_factory.mktemp("configuration") / "small.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def facility(repository: Path, small_demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalFacility]:
    """Up from nothing, once for all tests; the last of them takes it down."""
    need_programs()
    local = LocalFacility(repository, tmp_path_factory.mktemp("local") / "facility")
    try:
        done = local.run("up", "--config", str(small_demo))
        assert done.returncode == 0, done.stdout + done.stderr + local.logs()
        yield local
    finally:
        local.run("down")


@pytest.fixture(scope="module")
def known(facility: LocalFacility) -> Facility:
    return facility.known


@contextmanager
def open_catalog(uri: str, known: Facility) -> Iterator[Catalog]:
    catalog = connect(uri, known.tiled_key)
    try:
        yield catalog
    finally:
        catalog.close()


@pytest.fixture(scope="module")
def prefect(known: Facility) -> Iterator[SyncPrefectClient]:
    settings: dict[Any, Any] = {PREFECT_API_URL: known.prefect, PREFECT_API_AUTH_STRING: known.prefect_auth}
    with temporary_settings(settings), get_client(sync_client=True) as client:
        yield client


class Heard:
    """What a Tiled server streams of the children of one container."""

    def __init__(self, container: Any) -> None:
        self.keys: list[str] = []
        self._subscription = container.subscribe()
        # The client holds callbacks weakly.
        self._callback = lambda update: self.keys.append(update.key)
        self._subscription.child_created.add_callback(self._callback)
        self._subscription.start_in_thread(max_size=64_000_000)

    def close(self) -> None:
        self._subscription.disconnect()


@pytest.fixture(scope="module")
def records(facility: LocalFacility, known: Facility) -> Iterator[list[RecordSummary]]:
    """The demo's scans, taken by a RunEngine that writes to one Tiled server, and their records as they are heard.

    Records are made through the other server, to which the service and the workers are configured.
    """
    config = load_config(known.directory / "gbx.yaml")
    chx = SimulatedChx(config, known.directory / "frames")
    engine, writer = make_run_engine(
        known.tiled_writing, api_key=known.tiled_key, backup_directory=known.directory / "journals"
    )
    with open_catalog(known.tiled_writing, known) as writing:
        if "records" not in writing.processed:
            writing.processed.create_container("records")
        heard = Heard(writing.processed["records"])
        try:
            demo = config.demo
            outcome: Any = engine(
                temperature_series(
                    chx.detector,
                    chx.temperature,
                    [point.temperature_k for point in demo.dynamics],
                    frames=demo.frames,
                    frame_time=demo.frame_time_s,
                    sample=demo.sample,
                    traces=chx.traces,
                )
            )
            assert writer.flush(120.0)
            uids = list(outcome)
            wait_for("a record of each scan", lambda: len(heard.keys) >= len(uids))
            assert all(any(uid in key for key in heard.keys) for uid in uids)
        finally:
            heard.close()
            writer.close()
        yield [record for uid in uids for record in find_records(writing, run_uid=uid)]


def test_every_part_answers_and_status_says_so_at_a_glance(facility: LocalFacility) -> None:
    # On a busy machine a probe may miss its turn, and is asked again.
    done = wait_for("all parts", lambda: done if (done := facility.run("status")).returncode == 0 else None)
    said = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in said[:-1]] == ["ok"] * 11
    assert done.stdout.splitlines()[-1] == "all is well"


def test_a_second_up_finds_the_first(facility: LocalFacility) -> None:
    before = {part["name"]: part["pid"] for part in facility.status()["parts"]}
    done = facility.run("up")
    assert done.returncode == 0
    assert "runs in" in done.stdout
    assert {part["name"]: part["pid"] for part in facility.status()["parts"]} == before


def test_scans_written_to_one_server_are_analysed_through_the_other(
    known: Facility, records: list[RecordSummary]
) -> None:
    assert len(records) == 2
    assert not any(record.failed for record in records)
    with open_catalog(known.tiled_reading, known) as reading:
        for record in records:
            (inference,) = wait_for(
                "an inference", lambda record=record: find_inferences(reading, run_uid=record.run_uid)
            )
            assert inference.record == record.key
    # The stream of the server that the documents did not go to, so through Redis, was in time before the sweep.
    spool = Spool(known.directory / "serve")
    try:
        assert {job.source for record in records for job in spool.jobs(run=record.run_uid)} == {"tiled stream"}
    finally:
        spool.close()


def test_parameters_of_any_size_are_stored_and_listed(known: Facility, records: list[RecordSummary]) -> None:
    """PostgreSQL writes a float of 2e20 out as a whole number, of which the server could tell nobody."""
    with open_catalog(known.tiled_reading, known) as reading:
        (said,) = find_inferences(reading, record=records[0].key)
        whole = load_inference(reading, said.key)
        assert isinstance(whole.outcome, Inference)
        large = Estimate(median=1.5e20, low=9.3e18, high=3.0e20)
        outcome = replace(
            whole.outcome, model_id="gbx-ffffffffff", parameters={**whole.outcome.parameters, "gamma": large}
        )
        key = TiledSink(reading).publish_inference(replace(whole, outcome=outcome))
        assert {one.model_id for one in find_inferences(reading, record=records[0].key)} == {
            said.model_id,
            "gbx-ffffffffff",
        }
        again = load_inference(reading, key).outcome
        assert isinstance(again, Inference)
        assert again.parameters["gamma"] == large


def test_a_worker_did_it_and_postgresql_knows(
    known: Facility, records: list[RecordSummary], prefect: SyncPrefectClient
) -> None:
    deployment = prefect.read_deployment_by_name("end-of-run/chx-end-of-run-workflow-process")

    def finished() -> list[FlowRun] | None:
        found = prefect.read_flow_runs(deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])))
        return found if len(found) == 2 and all(one.state and one.state.is_final() for one in found) else None

    runs = wait_for("the flow runs' end", finished)
    assert all(run.state.is_completed() for run in runs)
    assert {run.work_pool_name for run in runs} == {"chx-work-pool-process"}
    names = {row["name"] for row in asyncio.run(_rows(known, "gbx_prefect", "SELECT name FROM flow_run"))}
    assert {run.name for run in runs} <= names
    catalog = asyncio.run(_rows(known, "gbx_tiled", "SELECT key FROM nodes"))
    assert {record.run_uid for record in records} <= {row["key"] for row in catalog}


async def _rows(known: Facility, database: str, query: str) -> list[Any]:
    connection = await asyncpg.connect(
        host="127.0.0.1",
        port=known.ports["postgres"],
        user="gbx",
        password=known.postgres_password,
        database=database,
    )
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


def test_a_flow_on_a_worker_computes_on_the_dask_cluster(known: Facility, prefect: SyncPrefectClient) -> None:
    from distributed import Client

    out = known.directory / "frames" / "ensemble"
    run = _run(prefect, "simulate/chx-simulate-process", out=str(out), n=8, mode="paper", size=16, dask=known.dask)
    assert run.state is not None
    assert run.state.is_completed(), run.state.message
    assert json.loads((out / "ensemble.json").read_text())
    with Client(known.dask, timeout=20) as client:
        assert len(client.scheduler_info()["workers"]) == 2
        finished: Any = client.run_on_scheduler(
            lambda dask_scheduler: sum(
                prefix.state_counts["memory"] for prefix in dask_scheduler.task_prefixes.values()
            )
        )
    assert finished > 0


def _run(prefect: SyncPrefectClient, name: str, **parameters: Any) -> FlowRun:
    """A flow run of a deployment, once it has ended."""
    created = prefect.create_flow_run_from_deployment(prefect.read_deployment_by_name(name).id, parameters=parameters)

    def ended() -> FlowRun | None:
        run = prefect.read_flow_run(created.id)
        return run if run.state and run.state.is_final() else None

    return wait_for(f"the end of {name}", ended)


def test_retraining_is_fired_by_its_schedule(
    known: Facility, records: list[RecordSummary], prefect: SyncPrefectClient
) -> None:
    """Every few seconds in place of every night. Two scans are no data set, which is an outcome and no error."""
    deployment = prefect.read_deployment_by_name("retrain/chx-retrain-process")
    assert [str(one.schedule.cron) for one in deployment.schedules if isinstance(one.schedule, CronSchedule)] == [
        "0 3 * * *"
    ]
    often = IntervalSchedule(interval=timedelta(seconds=10), anchor_date=datetime.now(UTC))
    (schedule,) = prefect.create_deployment_schedules(deployment.id, [(often, True)])

    def fired() -> FlowRun | None:
        found = prefect.read_flow_runs(deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])))
        return next((run for run in found if run.auto_scheduled and run.state and run.state.is_completed()), None)

    try:
        run = wait_for("a retraining that nobody started", fired)
    finally:
        prefect.delete_deployment_schedule(deployment.id, schedule.id)
    assert run.work_pool_name == "chx-work-pool-process"
    (artifact, *_) = prefect.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["retraining"])))
    assert artifact.description is not None
    assert artifact.description.startswith("nothing to do: ")


def test_every_deployment_of_prefect_yaml_is_taken(known: Facility, repository: Path) -> None:
    """Both kinds, by Prefect itself; a pool of containers needs no worker for that."""
    env = environment() | known.client_environment()
    env |= {"GBX_IMAGE": "gbx:test", "GBX_UID": "1000", "GBX_GID": "1000"}
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    for command in (
        ["work-pool", "create", "chx-work-pool-docker", "--type", "docker"],
        ["deploy", "--prefect-file", "deploy/prefect.yaml", "--all"],
    ):
        done = subprocess.run(
            [*prefect, *command], cwd=repository, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stdout + done.stderr
    written = yaml.safe_load((repository / "deploy" / "prefect.yaml").read_text())["deployments"]
    settings: dict[Any, Any] = {PREFECT_API_URL: known.prefect, PREFECT_API_AUTH_STRING: known.prefect_auth}
    with temporary_settings(settings), get_client(sync_client=True) as client:
        deployed = {one.name: one for one in client.read_deployments()}
    assert {one["name"] for one in written} == set(deployed)
    container = deployed["chx-end-of-run-workflow-docker"].job_variables
    assert container["image"] == "gbx:test"
    assert container["container_create_kwargs"] == {"userns_mode": "keep-id:uid=1000,gid=1000"}


def test_a_part_that_dies_is_started_anew(facility: LocalFacility) -> None:
    def part(name: str) -> dict[str, Any]:
        return next(one for one in facility.status()["parts"] if one["name"] == name)

    before = part("dask worker 2")["pid"]
    os.killpg(before, signal.SIGKILL)
    wait_for(
        "another worker", lambda: (now := part("dask worker 2"))["pid"] not in (before, None) and not now["trouble"]
    )


def test_no_key_is_in_a_command_line_or_a_log(facility: LocalFacility, known: Facility) -> None:
    secrets = [known.postgres_password, known.redis_password, known.tiled_key, known.prefect_password]
    for process in facility.running(known.postgres_data):
        words = Path(f"/proc/{process}/cmdline").read_text(errors="replace")
        assert not any(secret in words for secret in secrets), words[:80]
    for log in (known.directory / "logs").iterdir():
        text = log.read_text(errors="replace")
        assert not any(secret in text for secret in secrets), log.name
    for holding in ("facility.json", "environment", "redis.conf"):
        assert (known.directory / holding).stat().st_mode & 0o077 == 0


def test_down_leaves_nothing(facility: LocalFacility, known: Facility, records: list[RecordSummary]) -> None:
    """The last test on the facility of the others: it ends it."""
    assert facility.running(known.postgres_data)
    assert all(listening(port) for port in known.ports.values())
    done = facility.run("down")
    assert done.returncode == 0, done.stderr
    assert "nothing is left" in done.stdout
    assert_nothing_is_left(facility, known)
    assert facility.run("status").returncode == 1


def assert_nothing_is_left(local: LocalFacility, known: Facility) -> None:
    assert local.running(known.postgres_data) == []
    assert not any(listening(port) for port in known.ports.values())
    assert not local.directory.exists()
    assert not known.postgres_data.exists()


def test_what_is_kept_comes_up_again(repository: Path, tmp_path: Path, small_demo: Path) -> None:
    need_programs()
    local = LocalFacility(repository, tmp_path / "facility")
    up = ("up", "--config", str(small_demo))
    try:
        assert local.run(*up).returncode == 0, local.logs()
        first = local.known
        with open_catalog(first.tiled_writing, first) as catalog:
            catalog.processed.create_container("kept", metadata={"said": "before"})
        assert local.run("down", "--keep").returncode == 0
        assert local.running(first.postgres_data) == []
        assert local.run(*up).returncode == 0, local.logs()
        again = local.known
        with open_catalog(again.tiled_reading, again) as catalog:
            assert catalog.processed["kept"].metadata["said"] == "before"
    finally:
        local.run("down")
    assert_nothing_is_left(local, again)


def test_ctrl_c_in_the_middle_leaves_nothing(repository: Path, tmp_path: Path, small_demo: Path) -> None:
    need_programs()
    local = LocalFacility(repository, tmp_path / "facility")
    with subprocess.Popen(
        local.command("up", "--config", str(small_demo)),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert "postgresql" in first or "redis" in first
        known = local.known
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    assert_nothing_is_left(local, known)


def test_a_killed_keeper_leaves_nothing_that_down_does_not_end(
    repository: Path, tmp_path: Path, small_demo: Path
) -> None:
    need_programs()
    local = LocalFacility(repository, tmp_path / "facility")
    with subprocess.Popen(
        local.command("up", "--config", str(small_demo)), env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        known = local.known
        (keeper,) = Path(known.directory, "keeper.lock").read_text().split()
        os.kill(int(keeper), signal.SIGKILL)
        assert process.wait(PATIENCE) == 1
    done = local.run("down")
    assert done.returncode == 0, done.stderr
    assert_nothing_is_left(local, known)


def test_a_folder_of_somebody_else_is_left_alone(repository: Path, tmp_path: Path) -> None:
    need_programs()
    (tmp_path / "thesis.tex").write_text("years of work")
    local = LocalFacility(repository, tmp_path)
    done = local.run("up")
    assert done.returncode == 1
    assert "holds something that is no facility's" in done.stderr
    assert local.run("down").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
