"""The end-of-run flow on real services: one record per scan and settings, whatever happens and however often."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bluesky.plans as bp
import httpx
import numpy as np
import pytest
from bluesky import RunEngine
from eiger_runs import GEOMETRY, movie, writer
from flow_runs import Configure, artifacts
from ophyd.sim import SynSignal
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from tiled.client.container import Container

import gbx_beamline.frames
import gbx_flows.end_of_run as flows
from gbx_beamline import assemble, pipeline
from gbx_beamline.catalog import Catalog, RecordSummary, connect, find_for_rule, find_records, load_record
from gbx_beamline.config import Config, parse_config
from gbx_beamline.errors import (
    AccessDeniedError,
    CatalogError,
    CatalogUnreachableError,
    InputError,
    RunNotFoundError,
    RunUnfinishedError,
)
from gbx_beamline.records import ScanFailure, ScanResult
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import ReplayFeed
from gbx_bluesky.plans import count_series
from gbx_flows.end_of_run import end_of_run_workflow
from gbx_flows.keys import SECRET_BLOCK
from gbx_tiled.embedded import CatalogAddress

FRAMES = 20
RING = {"rois": {"rings": [{"q": [3e-4, 6e-4]}]}}
TRIES = 5
"""The first and four more."""

Take = Callable[..., str]


@pytest.fixture(scope="module")
def catalog(catalog_address: CatalogAddress) -> Iterator[Catalog]:
    opened = connect(catalog_address.uri, catalog_address.api_key, store=catalog_address.store)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def frames_folder(catalog_directory: Path) -> Path:
    return catalog_directory / "frames" / "end_of_run"


@pytest.fixture(scope="module")
def take(raw_runs: Container, frames_folder: Path) -> Take:
    """Take a run of the simulated detector, in two data files; its uid."""

    def taken(folder: Path = frames_folder, **md: Any) -> str:
        counts, mask = movie(FRAMES, seed=11)
        feed = ReplayFeed(counts, pixel_mask=mask)
        eiger: Any = SimulatedEiger(directory=folder, feed=feed, geometry=GEOMETRY, frames_per_file=FRAMES // 2)
        engine = RunEngine()
        engine.subscribe(writer(raw_runs))
        outcome: Any = engine(count_series(eiger, frames=FRAMES, frame_time=0.5, sample="gold", md=md))
        return outcome[0]

    return taken


@pytest.fixture
def settings(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], None]:
    """Analyse with these settings for the rest of the test; one ring unless told otherwise."""
    configure(monkeypatch, RING)
    return lambda analysis: configure(monkeypatch, analysis)


@pytest.fixture
def tries(settings: None, monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Keys with which flows opened the catalog, one per try; retries come without delay."""
    seen: list[str | None] = []
    opened = assemble.open_catalog

    def counted(config: Any, *, api_key: str | None = None) -> Any:
        seen.append(api_key)
        return opened(config, api_key=api_key)

    monkeypatch.setattr(assemble, "open_catalog", counted)
    at_once = flows.analyze_scan.with_options(retry_delay_seconds=0, retry_jitter_factor=0)
    monkeypatch.setattr(flows, "analyze_scan", at_once)
    return seen


def only_record(catalog: Catalog, uid: str) -> RecordSummary:
    (record,) = find_records(catalog, run_uid=uid, with_superseded=True)
    return record


def attempts(catalog: Catalog) -> set[str]:
    folder = "attempts"
    return set(catalog.processed[folder]) if folder in catalog.processed else set()


def failed(catalog: Catalog, uid: str) -> ScanFailure:
    outcome = load_record(catalog, only_record(catalog, uid).key)
    assert isinstance(outcome, ScanFailure)
    return outcome


def test_running_again_leaves_the_one_record_and_other_settings_make_another(
    settings: Callable[[dict[str, Any]], None], take: Take, catalog: Catalog
) -> None:
    uid = take()
    before = attempts(catalog)
    key = end_of_run_workflow({"run_start": uid})
    record = only_record(catalog, uid)
    assert (record.key, record.run_uid, record.failed) == (key, uid, False)
    result = load_record(catalog, key)
    assert isinstance(result, ScanResult)
    assert result.two_time.g2.shape == (1, FRAMES, FRAMES)
    assert attempts(catalog) - before == {record.metadata["attempt"]}

    assert end_of_run_workflow({"run_start": uid}) == key
    assert only_record(catalog, uid) == record
    assert attempts(catalog) - before == {record.metadata["attempt"]}

    settings({"rois": {"rings": [{"q": [3e-4, 9e-4]}]}})
    other = assemble.analyze_run(catalog, uid, assemble.configuration()).key
    assert {found.key for found in find_records(catalog, run_uid=uid)} == {key, other}
    assert other != key


def test_a_selection_rule_makes_a_record_of_its_own_and_is_settled_by_it(
    settings: None, take: Take, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = take()
    wide = {"analysis": {"rois": {"rings": [{"q": [3e-4, 9e-4]}]}}}
    config = parse_config({"analysis": RING, "selection": {"plain": {}, "same": {}, "wide": wide}})
    monkeypatch.setattr(assemble, "configuration", lambda path=None: config)

    def settled(rule: str, config: Config = config) -> RecordSummary | None:
        return find_for_rule(catalog, uid, rule=rule, settings_hash=config.for_run("gold", rule).hash)

    assert settled("plain") is None
    key = end_of_run_workflow({"run_start": uid}, rule="plain")
    assert (found := settled("plain")) is not None
    assert (found.key, found.metadata["provenance"]["rule"]) == (key, "plain")
    assert settled("same") == found, "the same settings make no second record"
    assert settled("wide") is None
    other = end_of_run_workflow({"run_start": uid}, rule="wide")
    assert other != key
    assert (found := settled("wide")) is not None
    assert found.key == other
    changed = parse_config({"analysis": {"rois": {"rings": [{"q": [3e-4, 7e-4]}]}}, "selection": {"plain": {}}})
    assert (found := settled("plain", changed)) is not None, "a change of settings analyses nothing anew"
    assert found.key == key


def test_of_two_flows_at_once_one_result_stays(
    settings: None, take: Take, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = take()
    before = attempts(catalog)
    together = threading.Barrier(2)
    analyze = pipeline.analyze

    def both_at_work(*args: Any, **kwargs: Any) -> ScanResult:
        # Neither has published when both have looked whether there is a record.
        together.wait(timeout=60)
        return analyze(*args, **kwargs)

    monkeypatch.setattr(pipeline, "analyze", both_at_work)
    keys: list[str] = []

    def end_of_run() -> None:
        keys.append(end_of_run_workflow({"run_start": uid}))

    # Prefect's settings are context variables, which threads do not inherit.
    workers = [threading.Thread(target=contextvars.copy_context().run, args=(end_of_run,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    record = only_record(catalog, uid)
    assert keys == [record.key] * 2
    assert not record.failed
    assert attempts(catalog) - before == {record.metadata["attempt"]}


def test_a_dry_run_publishes_nothing(settings: None, take: Take, catalog: Catalog) -> None:
    uid = take()
    before = attempts(catalog)
    with listening() as said:
        assert end_of_run_workflow({"run_start": uid}, dry_run=True) == ""
    assert any(f"run {uid}: 1 q-ROIs analysed (dry run, nothing published)" in line for line in said)
    assert find_records(catalog, run_uid=uid) == []
    assert attempts(catalog) == before
    assert artifacts(uid) == []


def test_an_absent_data_file_is_the_records_reason_and_later_scans_go_on(
    settings: None, take: Take, catalog: Catalog, tmp_path: Path
) -> None:
    uid = take(tmp_path)
    (lost,) = tmp_path.glob("*_data_000002.h5")
    lost.unlink()
    before = attempts(catalog)
    key = end_of_run_workflow({"run_start": uid})
    failure = failed(catalog, uid)
    assert failure.kind == "MissingFramesError"
    assert lost.name in failure.reason
    assert "restore the data files" in failure.reason
    assert attempts(catalog) == before
    (report,) = artifacts(uid)
    assert "**Not analysed** (MissingFramesError)" in report
    assert lost.name in report
    assert end_of_run_workflow({"run_start": uid}) == key
    later = take()
    end_of_run_workflow({"run_start": later})
    assert not only_record(catalog, later).failed


def test_a_run_without_detector_gets_a_record_with_the_reason(
    settings: None, raw_runs: Container, catalog: Catalog
) -> None:
    engine = RunEngine()
    engine.subscribe(writer(raw_runs))
    outcome: Any = engine(without_detector())
    uid = outcome[0]
    end_of_run_workflow({"run_start": uid})
    failure = failed(catalog, uid)
    assert failure.kind == "SeriesError"
    assert "no image series" in failure.reason


def test_unusable_q_rois_get_records_with_the_reason(
    settings: Callable[[dict[str, Any]], None], take: Take, catalog: Catalog, tmp_path: Path
) -> None:
    uid = take()
    gap = np.zeros(GEOMETRY.shape, dtype=np.int32)
    gap[5] = 1
    np.save(tmp_path / "gap.npy", gap)
    settings({"rois": {"labels": str(tmp_path / "gap.npy")}})
    masked = load_record(catalog, end_of_run_workflow({"run_start": uid}))
    settings({"rois": {"rings": [{"q": [0.01, 0.02]}]}})
    outside = load_record(catalog, end_of_run_workflow({"run_start": uid}))
    for outcome, reason in ((masked, "all 31 pixels of the q-ROI"), (outside, "lies off the detector")):
        assert isinstance(outcome, ScanFailure)
        assert outcome.kind == "RoiError"
        assert reason in outcome.reason


def test_a_temperature_in_words_is_flagged_and_no_reason_to_fail(settings: None, take: Take, catalog: Catalog) -> None:
    uid = take(T_sample="room temperature")
    result = assemble.analyze_run(catalog, uid, assemble.configuration(), dry_run=True).outcome
    assert isinstance(result, ScanResult)
    assert result.scan.temperature is None
    assert any("T_sample is 'room temperature'" in flag for flag in result.flags)


def test_an_unforeseen_error_fails_the_flow_and_leaves_a_record(
    settings: None, take: Take, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = take()

    def breaks(*args: Any, **kwargs: Any) -> ScanResult:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(pipeline, "analyze", breaks)
    with pytest.raises(ZeroDivisionError, match="a mistake of ours"):
        end_of_run_workflow({"run_start": uid})
    assert "the analysis broke down: ZeroDivisionError: a mistake of ours" in failed(catalog, uid).reason


@pytest.mark.parametrize(
    ("variable", "value", "error", "expected_tries"),
    [
        (assemble.URI_VARIABLE, "http://127.0.0.1:9", CatalogUnreachableError, TRIES),
        # A key that is refused now is refused in a minute, too.
        ("TILED_API_KEY", "wrong", AccessDeniedError, 1),
    ],
    ids=["unreachable", "wrong key"],
)
def test_a_catalog_out_of_reach_ends_the_flow_in_our_words(
    tries: list[str | None],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    error: type[CatalogError],
    expected_tries: int,
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(error, match="; needed: "):
        end_of_run_workflow({"run_start": "6e9a5c35-0000-4000-8000-000000000000"})
    assert len(tries) == expected_tries


def test_an_unknown_run_is_waited_for_and_then_told(tries: list[str | None], catalog: Catalog) -> None:
    uid = "6e9a5c35-0000-4000-8000-000000000001"
    with pytest.raises(RunNotFoundError, match=f"no run '{uid}'"):
        end_of_run_workflow({"run_start": uid})
    assert len(tries) == TRIES
    assert find_records(catalog, run_uid=uid) == []


def test_a_run_without_stop_document_is_waited_for_and_not_analysed(
    tries: list[str | None], raw_runs: Container, catalog: Catalog
) -> None:
    documents: list[tuple[str, Any]] = []
    RunEngine()(without_detector(), lambda *item: documents.append(item))
    sink = writer(raw_runs)
    for name, document in documents:
        if name != "stop":
            sink(name, document)
    uid = documents[0][1]["uid"]
    with pytest.raises(RunUnfinishedError, match=f"run {uid} has no stop document"):
        end_of_run_workflow({"run_start": uid})
    assert len(tries) == TRIES
    assert find_records(catalog, run_uid=uid) == []


def test_a_server_that_goes_away_meanwhile_is_no_fault_of_the_scan(
    tries: list[str | None], take: Take, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = take()
    open_series = gbx_beamline.frames.open_series

    def once_interrupted(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(gbx_beamline.frames, "open_series", open_series)
        raise httpx.ReadError("connection reset by peer")

    monkeypatch.setattr(gbx_beamline.frames, "open_series", once_interrupted)
    assert end_of_run_workflow({"run_start": uid}, dry_run=True) == ""
    assert len(tries) == 2
    assert find_records(catalog, run_uid=uid) == []


def test_a_stop_document_without_run_is_refused(settings: None) -> None:
    with pytest.raises(InputError, match="run_start is None; needed: the uid of the run"):
        end_of_run_workflow({"uid": "6e9a5c35"})


def test_the_key_given_to_the_flow_is_used_and_told_nobody(
    tries: list[str | None],
    take: Take,
    catalog: Catalog,
    catalog_address: CatalogAddress,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uid = take()
    monkeypatch.delenv("TILED_API_KEY")
    key = catalog_address.api_key
    runs: list[str] = []
    monkeypatch.setattr(flows, "report_markdown", noting(flows.report_markdown, lambda: runs.append(flow_run.id)))
    with listening() as said:
        end_of_run_workflow({"run_start": uid, "exit_status": "success"}, api_key=key)
    assert set(tries) == {key}
    assert not only_record(catalog, uid).failed
    with get_client(sync_client=True) as client:
        kept = client.read_flow_run(runs[0])  # pyright: ignore[reportArgumentType]
    assert kept.parameters == {
        "stop_doc": {"run_start": uid, "exit_status": "success"},
        "api_key": None,
        "dry_run": False,
        "rule": None,
        "retry_failed": False,
    }
    assert kept.name == f"end-of-run {uid}"
    assert key not in kept.model_dump_json()
    assert said
    assert not [line for line in said if key in line]


def test_the_key_comes_from_the_prefect_secret_where_nothing_else_has_it(
    tries: list[str | None], take: Take, catalog_address: CatalogAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = take()
    monkeypatch.delenv("TILED_API_KEY")
    with pytest.raises(AccessDeniedError):
        end_of_run_workflow({"run_start": uid}, dry_run=True)
    Secret(value=catalog_address.api_key).save(SECRET_BLOCK)  # pyright: ignore[reportArgumentType]
    try:
        end_of_run_workflow({"run_start": uid}, dry_run=True)
    finally:
        Secret.delete(SECRET_BLOCK)
    assert tries == [None, catalog_address.api_key]


def without_detector() -> Any:
    """A plan that reads a single number."""
    current: Any = SynSignal(func=lambda: 400.0, name="ring_current")
    return bp.count([current])


def noting(function: Callable[..., Any], note: Callable[[], None]) -> Callable[..., Any]:
    def noted(*args: Any) -> Any:
        note()
        return function(*args)

    return noted


class listening:  # noqa: N801 - reads as a context
    """Every line that Prefect's loggers say, at any level."""

    def __enter__(self) -> list[str]:
        lines: list[str] = []
        self._handler = logging.Handler(logging.DEBUG)
        self._handler.emit = lambda record: lines.append(self._handler.format(record))
        for name in ("prefect", "prefect.flow_runs", "prefect.task_runs"):
            logging.getLogger(name).addHandler(self._handler)
        return lines

    def __exit__(self, *_: object) -> None:
        for name in ("prefect", "prefect.flow_runs", "prefect.task_runs"):
            logging.getLogger(name).removeHandler(self._handler)
