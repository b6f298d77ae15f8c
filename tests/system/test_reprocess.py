"""Old runs analysed again: new records beside the old ones, only what is missing, and one that fails stops no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import bluesky.plans as bp
import pytest
import yaml
from asked import listening_client
from bluesky import RunEngine
from command_line import Said, in_process
from distributed import Client, LocalCluster
from eiger_runs import GEOMETRY, movie, writer
from ophyd.sim import SynSignal
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_API_URL, temporary_settings
from tiled.client.container import Container
from tiny_models import twin_of_the_default

import gbx_flows.reprocess as flows
from gbx_beamline import assemble, pipeline, reprocessing
from gbx_beamline.catalog import Catalog, TiledSink, connect, find_inferences, find_records
from gbx_beamline.config import Config, parse_config
from gbx_beamline.errors import CatalogError, CatalogUnreachableError, ConfigError, InputError, RunNotFoundError
from gbx_beamline.learning.store import ModelStore
from gbx_beamline.reprocessing import Choice, Reprocessed, Request
from gbx_beamline.reprocessing._at_workers import catalog_here, opened_at_workers
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import ReplayFeed
from gbx_bluesky.plans import count_series
from gbx_tiled.embedded import CatalogAddress

pytestmark = pytest.mark.long

FRAMES = 20
NARROW, WIDE = [3e-4, 6e-4], [3e-4, 9e-4]
KELVIN = 421.0

Take = Callable[..., str]


def settings(ring: list[float] = NARROW, *, infer: bool = False, **more: Any) -> dict[str, Any]:
    return {"analysis": {"rois": {"rings": [{"q": ring}]}}, "models": {"infer": infer}, **more}


@pytest.fixture(scope="module")
def catalog(catalog_address: CatalogAddress) -> Iterator[Catalog]:
    opened = connect(catalog_address.uri, catalog_address.api_key, store=catalog_address.store)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def take(raw_runs: Container, catalog_directory: Path) -> Take:
    """Take a run of the simulated detector, in two data files; its uid."""

    def taken(sample: str, /, folder: Path = catalog_directory / "frames" / "reprocess", **md: Any) -> str:
        counts, mask = movie(FRAMES, seed=11)
        feed = ReplayFeed(counts, pixel_mask=mask)
        eiger: Any = SimulatedEiger(directory=folder, feed=feed, geometry=GEOMETRY, frames_per_file=FRAMES // 2)
        engine = RunEngine()
        engine.subscribe(writer(raw_runs))
        plan = count_series(eiger, frames=FRAMES, frame_time=0.5, sample=sample, md={"temperature": KELVIN, **md})
        outcome: Any = engine(plan)
        return outcome[0]

    return taken


@pytest.fixture
def reachable(catalog_address: CatalogAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    """For whoever opens the catalog by itself."""
    monkeypatch.setenv(assemble.URI_VARIABLE, catalog_address.uri)
    monkeypatch.setenv("TILED_API_KEY", catalog_address.api_key)


def again(
    catalog: Catalog, config: Config, choice: Choice, *, dask: str | None = None, **request: Any
) -> list[Reprocessed]:
    jobs = reprocessing.choose(catalog, config, choice).jobs
    return list(reprocessing.work(catalog, jobs, Request(config, **request).checked(), dask=dask))


def records(catalog: Catalog, *uids: str) -> dict[str, Any]:
    """Everything that is there of some runs, failures that were overcome too."""
    return {
        record.key: record.metadata
        for uid in uids
        for record in find_records(catalog, run_uid=uid, with_superseded=True)
    }


def test_todays_settings_make_a_record_beside_the_old_one_once(catalog: Catalog, take: Take) -> None:
    uids = [take("re-settings"), take("re-settings")]
    old = parse_config(settings())
    keys = [assemble.analyze_run(catalog, uid, old).key for uid in uids]
    before = records(catalog, *uids)
    today = parse_config(settings(WIDE))
    rows = again(catalog, today, Choice(sample="re-settings"))
    assert [(row.job.run, row.job.rule, row.status) for row in rows] == [(uid, "default", "new record") for uid in uids]
    assert [row.before for row in rows] == [(key,) for key in keys]
    assert all(row.s_before and row.s_now for row in rows)
    after = records(catalog, *uids)
    assert set(after) - set(before) == {row.record for row in rows}
    assert {key: after[key] for key in before} == before, "nothing is rewritten"

    rows = again(catalog, today, Choice(sample="re-settings"))
    assert [row.status for row in rows] == ["there already"] * 2
    assert records(catalog, *uids) == after
    assert [row.status for row in again(catalog, old, Choice(sample="re-settings"))] == ["there already"] * 2


def test_a_new_model_makes_one_more_inference_and_the_named_one_is_asked(
    catalog: Catalog, take: Take, tmp_path: Path
) -> None:
    uid = take("re-model", data_session="pass-77")
    twin = twin_of_the_default(tmp_path / "models")
    default = ModelStore().find().id
    models = {"infer": True, "directory": str(tmp_path / "models")}
    config = parse_config(settings() | {"models": models})
    (row,) = again(catalog, config, Choice(uids=(uid,)))
    assert (row.status, row.model) == ("new record", default)
    (first,) = find_inferences(catalog, run_uid=uid)

    (row,) = again(catalog, config, Choice(uids=(uid,)), model=twin.id)
    assert (row.status, row.model) == ("new inference", twin.id)
    assert [found.model_id for found in find_inferences(catalog, run_uid=uid)] == [default, twin.id]
    assert find_inferences(catalog, run_uid=uid)[0] == first
    (row,) = again(catalog, config, Choice(uids=(uid,)), model=twin.folder)
    assert row.status == "there already"

    frozen = parse_config(settings(WIDE) | {"models": {**models, "frozen": {"pass-77": twin.id}}})
    (row,) = again(catalog, frozen, Choice(uids=(uid,)))
    assert (row.status, row.model) == ("new record", twin.id), "the proposal's model, not the default"
    with pytest.raises(InputError, match="'gbx-none' is none of the"):
        again(catalog, config, Choice(uids=(uid,)), model="gbx-none")


def test_a_run_that_fails_keeps_no_other_from_its_record(catalog: Catalog, take: Take, tmp_path: Path) -> None:
    lost = take("re-lost", tmp_path)
    (file,) = tmp_path.glob("*_data_000002.h5")
    kept = file.read_bytes()
    file.unlink()
    well = take("re-lost")
    config = parse_config(settings())
    rows = {row.job.run: row for row in again(catalog, config, Choice(sample="re-lost"))}
    assert (rows[lost].status, rows[well].status) == ("failed", "new record")
    assert file.name in rows[lost].reason
    (failure,) = find_records(catalog, run_uid=lost)
    assert (failure.key, failure.failed) == (rows[lost].record, True)

    file.write_bytes(kept)
    rows = {row.job.run: row for row in again(catalog, config, Choice(sample="re-lost"))}
    assert (rows[lost].status, rows[well].status) == ("new record", "there already")


def test_a_mistake_of_ours_is_a_row_and_a_record(catalog: Catalog, take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    uids = [take("re-mistake"), take("re-mistake")]
    analyze = pipeline.analyze

    def breaks_once(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(pipeline, "analyze", analyze)
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(pipeline, "analyze", breaks_once)
    rows = again(catalog, parse_config(settings()), Choice(sample="re-mistake"))
    assert [row.status for row in rows] == ["failed", "new record"]
    assert "ZeroDivisionError: a mistake of ours" in rows[0].reason
    (failure,) = find_records(catalog, run_uid=uids[0])
    assert failure.metadata["reason"] == rows[0].reason


def test_a_catalog_that_takes_nothing_ends_the_work(
    catalog: Catalog, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    take("re-full")

    def full(*_: Any) -> None:
        raise CatalogError("500 Internal Server Error", needed="room", action="make some")

    monkeypatch.setattr(TiledSink, "publish", full)
    monkeypatch.setattr(TiledSink, "try_writing", full)
    with pytest.raises(CatalogError, match="500"):
        again(catalog, parse_config(settings()), Choice(sample="re-full"))


def test_which_runs_are_meant(catalog: Catalog, take: Take, raw_runs: Container) -> None:
    begun = time.time()
    first = take("re-choice")
    middle = time.time()
    second = take("re-choice", sample={"name": "re-choice", "batch": 7})
    documents: list[tuple[str, Any]] = []
    RunEngine()(bp.count([reading()], md={"sample": "re-choice"}), lambda *item: documents.append(item))
    unfinished = writer(raw_runs)
    for name, document in documents:
        if name != "stop":
            unfinished(name, document)
    config = parse_config(
        settings(
            selection={
                "eiger": {"detectors": ["eiger4m_*"]},
                "wide": {"detectors": ["eiger4m_*"], "analysis": {"rois": {"rings": [{"q": WIDE}]}}},
                "other": {"samples": ["none"]},
            }
        )
    )

    def chosen(**choice: Any) -> list[tuple[str, str]]:
        found = reprocessing.choose(catalog, config, Choice(**choice))
        return [(job.run, job.rule) for job in found.jobs]

    both = [(first, "eiger"), (first, "wide"), (second, "eiger"), (second, "wide")]
    assert chosen(sample="re-choice") == both
    assert chosen(sample="re-choice", since=begun) == both
    assert chosen(sample="re-choice", since=middle, rule="wide") == [(second, "wide")]
    assert chosen(sample="re-choice", until=middle) == both[:2]
    assert chosen(uids=(second[:8], second), rule="eiger") == [(second, "eiger")]
    assert chosen(uids=(second,), until=middle) == []
    assert chosen(since=middle, until=time.time(), rule="other") == []
    whole = reprocessing.choose(catalog, config, Choice(sample="re-choice", rule="other"))
    assert (whole.jobs, whole.unfinished, set(whole.unwanted)) == ((), 1, {first, second})
    with pytest.raises(InputError, match="no runs are named"):
        chosen(until=middle)
    with pytest.raises(ConfigError, match="no selection rule 'narrow'"):
        chosen(sample="re-choice", rule="narrow")
    with pytest.raises(RunNotFoundError, match="deadbeef"):
        chosen(uids=("deadbeef",))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_workers_of_a_cluster_do_the_same(
    catalog: Catalog, take: Take, reachable: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = take("re-dask", tmp_path)
    next(tmp_path.glob("*_data_000002.h5")).unlink()
    well = [take("re-dask") for _ in range(3)]
    config = parse_config(settings())
    rows = {row.job.run: row for row in again(catalog, config, Choice(sample="re-dask"), dask="local")}
    assert rows[lost].failed
    assert [rows[uid].status for uid in well] == ["new record"] * 3
    assert len(records(catalog, lost, *well)) == 4
    rows = {row.job.run: row for row in again(catalog, config, Choice(sample="re-dask"))}
    assert [rows[uid].status for uid in well] == ["there already"] * 3, "the same settings, whoever computed"


AT_WORK, GO_ON = threading.Event(), threading.Event()


def runs_seen(name: str, *, wait: bool = False) -> int:
    """A task: how many runs the catalog has that its worker keeps open."""
    with catalog_here(name) as opened:
        if wait:
            AT_WORK.set()
            assert GO_ON.wait(60.0)
        return len(opened.raw)


def test_each_worker_opens_the_catalog_once_and_closes_it_when_nobody_needs_it(
    reachable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, opening = [], assemble.open_catalog

    @contextmanager
    def watched(config: Config, **how: Any) -> Iterator[Catalog]:
        with opening(config, **how) as opened:
            seen.append("opened")
            yield opened
        seen.append("closed")

    monkeypatch.setattr(assemble, "open_catalog", watched)
    # A worker of this process, which it can look into.
    asked: Any = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": None}
    client: Any
    with LocalCluster(**asked) as cluster, Client(cluster) as client:
        with opened_at_workers(client, Config(), None) as name:
            counts = client.gather([client.submit(runs_seen, name, pure=False) for _ in range(4)])
            assert len(set(counts)) == 1
            late = client.submit(runs_seen, name, wait=True, pure=False)
            assert AT_WORK.wait(60.0)
            assert seen == ["opened"]
        assert seen == ["opened"], "a run that nobody waits for any more goes on to its end"
        GO_ON.set()
        assert late.result(60.0) == counts[0]
        assert seen == ["opened", "closed"]


def test_a_small_scan_costs_the_server_few_requests(
    catalog: Catalog, take: Take, catalog_address: CatalogAddress
) -> None:
    """Each takes it some 20 ms, more than the analysis of a small scan."""
    uids = [take("re-requests") for _ in range(2)]
    config = parse_config(settings())
    jobs = reprocessing.choose(catalog, config, Choice(sample="re-requests")).jobs
    with listening_client(catalog_address) as (fresh, asked):
        work = reprocessing.work(fresh, jobs, Request(config))
        assert next(work).status == "new record"
        asked.clear()
        assert next(work).status == "new record"
    assert 0 < len(asked) <= 22, asked
    assert len(records(catalog, *uids)) == 2


# --- the flow


@pytest.fixture
def own_config(tmp_path: Path, reachable: None) -> Callable[..., Path]:
    def written(content: dict[str, Any]) -> Path:
        path = tmp_path / "own.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return written


def test_the_flow_leaves_a_table_and_goes_on_where_its_task_stopped(
    prefect_server: None,
    catalog: Catalog,
    take: Take,
    own_config: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uids = [take("re-flow") for _ in range(3)]
    monkeypatch.setattr(flows, "BATCH", 2)
    monkeypatch.setattr(flows, "reprocess_batch", flows.reprocess_batch.with_options(retry_delay_seconds=0))
    work = reprocessing.work

    def interrupted(*args: Any, **kwargs: Any) -> Iterator[Reprocessed]:
        monkeypatch.setattr(reprocessing, "work", work)
        yield next(work(*args, **kwargs))
        raise CatalogUnreachableError("no Tiled server answers", needed="one", action="start it")

    monkeypatch.setattr(reprocessing, "work", interrupted)
    rows = flows.reprocess(sample="re-flow", config=own_config(settings()))
    assert [(row.job.run, row.status) for row in rows] == [(uid, "new record") for uid in uids]
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(like_="reprocess-%")))
    assert 100.0 in [artifact.data for artifact in found if artifact.type == "progress"]
    tables = [str(artifact.data) for artifact in found if artifact.type == "markdown"]
    assert any(said.startswith("**3 new record**") and all(uid[:8] in said for uid in uids) for said in tables)


# --- the command


@pytest.fixture
def gbx(
    tmp_path: Path, own_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """Runs ``gbx reprocess``, without Prefect unless asked."""
    monkeypatch.chdir(tmp_path)

    def run(config: dict[str, Any], *arguments: str, prefect: bool = False) -> Said:
        path = own_config(config)
        # Another test's server may be in the settings.
        with nullcontext() if prefect else temporary_settings(restore_defaults={PREFECT_API_URL}):
            return in_process(monkeypatch, capsys, "reprocess", *arguments, "--config", path)

    return run


def test_the_command_shows_what_it_would_do_does_it_and_tells_of_failures(
    gbx: Callable[..., Said], catalog: Catalog, take: Take, tmp_path: Path
) -> None:
    lost = take("re-command", tmp_path / "lost")
    next((tmp_path / "lost").glob("*_data_000002.h5")).unlink()
    well = take("re-command")
    assemble.analyze_run(catalog, well, parse_config(settings(WIDE)))
    before = records(catalog, lost, well)

    said = gbx(settings(), "--sample", "re-command", "--dry-run")
    assert said.code == 0, said.err
    assert "2 to do; nothing was done" in said.out
    assert records(catalog, lost, well) == before

    said = gbx(settings(), "--sample", "re-command")
    assert said.code == 2
    row = next(line for line in said.out.splitlines() if line.startswith(well[:8]))
    assert row.rstrip().endswith("new record")
    assert f"{lost[:8]} (default): " in said.out
    assert "restore the data files" in said.out
    assert "1 failed, 1 new record" in said.out

    said = gbx(settings(), "--uid", well[:8])
    assert said.code == 0
    assert "1 there already" in said.out
    assert "No runs" in gbx(settings(), "--sample", "re-nothing").out


def test_where_prefect_has_a_server_the_command_is_a_flow_run(
    prefect_server: None, gbx: Callable[..., Said], take: Take
) -> None:
    uid = take("re-prefect")
    said = gbx(settings(), "--sample", "re-prefect", prefect=True)
    assert said.code == 0, said.err
    assert "1 new record" in said.out
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(like_="reprocess-%")))
    assert any(uid[:8] in str(artifact.data) for artifact in found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no runs are named"),
        (["--since", "yesterday"], "'yesterday' does not match"),
        (["--sample", "re-command", "--rule", "none"], "no selection rule 'none'"),
        (["--sample", "re-command", "--model", "gbx-none"], "'gbx-none' is none of the"),
        (["--uid", "deadbeef"], "no run 'deadbeef'"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(gbx: Callable[..., Said], arguments: list[str], words: str) -> None:
    said = gbx(settings(), *arguments)
    assert said.code == 2
    assert words in said.err
    assert "Traceback" not in said.err


def reading() -> Any:
    """A detector of a single number."""
    return SynSignal(func=lambda: 400.0, name="ring_current")
