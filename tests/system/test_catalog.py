"""Publication on a real server: complete or absent, once, and read back as it was."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tiled.client.container import Container

from gbx_beamline import analyze, open_series
from gbx_beamline.catalog import (
    Catalog,
    TiledSink,
    connect,
    find_record,
    find_records,
    find_terminal,
    load_record,
)
from gbx_beamline.config import AnalysisConfig, parse_config
from gbx_beamline.errors import (
    AccessDeniedError,
    CatalogError,
    CatalogUnreachableError,
    InputError,
    RunNotFoundError,
    SchemaError,
)
from gbx_beamline.pipeline import describe, failure, provenance
from gbx_beamline.records import ScanFailure, ScanInfo, ScanResult
from gbx_beamline.simulation import SpeckleMovie
from gbx_tiled.embedded import CatalogAddress


@pytest.fixture(scope="module", params=["over-http", "on-disk"])
def catalog(
    catalog_address: CatalogAddress, tiled_root: Container, request: pytest.FixtureRequest
) -> Iterator[Catalog]:
    """Results of their own for each way that arrays take into the catalog."""
    store = catalog_address.store if request.param == "on-disk" else None
    with contextlib.closing(_apart(catalog_address, tiled_root, request.param, store)) as opened:
        yield opened


@pytest.fixture(scope="module")
def on_disk(catalog_address: CatalogAddress, tiled_root: Container) -> Iterator[Catalog]:
    """Results whose arrays lie in a folder that no others use."""
    assert catalog_address.store is not None
    with contextlib.closing(_apart(catalog_address, tiled_root, "store", catalog_address.store / "apart")) as opened:
        yield opened


def _apart(address: CatalogAddress, root: Container, name: str, store: Path | None) -> Catalog:
    root["processed"].create_container(name)
    return connect(address.uri, address.api_key, processed=f"processed/{name}", store=store)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> AnalysisConfig:
    labels = np.zeros((32, 32), dtype=np.int32)
    labels[2:14, 2:30], labels[18:30, 2:30] = 1, 2
    path = tmp_path_factory.mktemp("rois") / "rois.npy"
    np.save(path, labels)
    return parse_config({"analysis": {"rois": {"labels": str(path)}, "correlation": {"bad_frames": [3]}}}).analysis


@pytest.fixture(scope="module")
def result(settings: AnalysisConfig) -> ScanResult:
    movie = SpeckleMovie((32, 32), 24, rate=0.05, modes=2, mean_counts=3.0, seed=1)
    series = open_series(movie.read(0, 24), frame_time=0.5)
    return analyze(series, settings)


def of_run(result: ScanResult, uid: str, **scan: Any) -> ScanResult:
    return dataclasses.replace(result, scan=dataclasses.replace(result.scan, run_uid=uid, **scan))


def attempts(catalog: Catalog) -> set[str]:
    return set(catalog.processed["attempts"]) if "attempts" in catalog.processed else set()


def assert_same(found: Any, expected: Any) -> None:
    """Equal field by field, arrays bit by bit."""
    if dataclasses.is_dataclass(expected):
        assert type(found) is type(expected)
        for part in dataclasses.fields(expected):
            assert_same(getattr(found, part.name), getattr(expected, part.name))
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    elif isinstance(expected, tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, float) and np.isnan(expected):
        assert np.isnan(found)
    else:
        assert found == expected


def test_a_record_comes_back_as_it_was(catalog: Catalog, result: ScanResult) -> None:
    given = of_run(result, "round-trip", sample="Si", temperature=421.0, started=1.5, truth={"s_noneq": [0.1, 0.2]})
    key = TiledSink(catalog).publish(given)
    assert_same(load_record(catalog, key), given)
    assert np.isnan(given.two_time.g2[0, 3]).all(), "the bad frame is a NaN row, stored as such"


def test_two_time_has_one_chunk_per_roi(catalog: Catalog, result: ScanResult) -> None:
    key = TiledSink(catalog).publish(of_run(result, "chunks"))
    attempt = find_record(catalog, "chunks").metadata["attempt"]
    node = catalog.processed["attempts"][attempt]["two_time"]
    assert node.chunks == ((1, 1), (24,), (24,))
    assert key.startswith("chunks-")


def test_publishing_again_leaves_one_record(catalog: Catalog, result: ScanResult) -> None:
    given = of_run(result, "again")
    first = TiledSink(catalog).publish(given)
    before = attempts(catalog)
    assert TiledSink(catalog).publish(given) == first
    assert attempts(catalog) == before
    assert len(find_records(catalog, run_uid="again")) == 1


def test_of_two_at_once_one_wins_and_the_other_cleans_up(catalog: Catalog, result: ScanResult) -> None:
    """Both workers pass the first look before either has published: only the pointer decides."""
    given = of_run(result, "race")
    before = attempts(catalog)
    start = threading.Barrier(4)
    keys: list[str] = []

    def work() -> None:
        sink = TiledSink(catalog)
        start.wait()
        keys.append(sink.publish(given))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(keys) == 4
    assert len(set(keys)) == 1
    record = find_record(catalog, "race")
    assert attempts(catalog) - before == {record.metadata["attempt"]}
    assert_same(load_record(catalog, keys[0]), given)


@pytest.fixture
def broken_off(catalog: Catalog, result: ScanResult, monkeypatch: pytest.MonkeyPatch) -> str:
    """A worker that dies halfway through its arrays: the attempt it leaves behind."""
    from gbx_beamline.catalog import attempts as writing

    written = []
    send = writing._send

    def dies(folder: Any, name: str, *rest: Any) -> None:
        if len(written) == 3:
            raise ConnectionError("the worker died")
        written.append(name)
        send(folder, name, *rest)

    over_http = dataclasses.replace(catalog, store=None)
    before = attempts(catalog)
    monkeypatch.setattr(writing, "_send", dies)
    with pytest.raises(ConnectionError):
        TiledSink(over_http).publish(of_run(result, "dies"))
    monkeypatch.undo()
    (left,) = attempts(catalog) - before
    return left


def test_a_broken_off_attempt_is_never_seen_and_swept_later(
    catalog: Catalog, result: ScanResult, broken_off: str
) -> None:
    assert find_records(catalog, run_uid="dies") == []
    sink = TiledSink(catalog)
    published = find_records(catalog)
    assert sink.sweep() == 0, "somebody may still be writing it"
    assert broken_off in attempts(catalog)
    assert sink.sweep(older_than=0.0) == 1
    assert broken_off not in attempts(catalog)
    assert find_records(catalog) == published
    for record in published:
        load_record(catalog, record.key)


def test_files_that_were_never_registered_are_swept_later(on_disk: Catalog, result: ScanResult) -> None:
    """A worker that dies between the two: no attempt is there to tell of its files."""
    assert on_disk.store is not None
    sink = TiledSink(on_disk)
    key = sink.publish(of_run(result, "beside the lost"))
    lost, foreign = on_disk.store / str(uuid.uuid4()), on_disk.store / "somebody's own"
    for folder in (lost, foreign):
        (folder / "two_time").mkdir(parents=True)
    sink.sweep()
    assert lost.is_dir(), "somebody may still be writing it"
    sink.sweep(older_than=-60.0)
    assert not lost.exists()
    assert foreign.is_dir()
    assert_same(load_record(on_disk, key), of_run(result, "beside the lost"))


def test_an_attempt_that_lost_takes_its_files_with_it(on_disk: Catalog, result: ScanResult) -> None:
    assert on_disk.store is not None
    before, start = attempts(on_disk), threading.Barrier(3)

    def work() -> None:
        sink = TiledSink(on_disk)
        start.wait()
        sink.publish(of_run(result, "files"))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    won = find_record(on_disk, "files").metadata["attempt"]
    assert attempts(on_disk) - before == {won}
    assert {place.name for place in on_disk.store.iterdir()} >= {won}
    assert {place.name for place in on_disk.store.iterdir() if place.name != "somebody's own"} == attempts(on_disk)


@pytest.mark.long
def test_a_store_that_the_server_cannot_read_is_told(on_disk: Catalog, result: ScanResult, tmp_path: Path) -> None:
    elsewhere = dataclasses.replace(on_disk, store=tmp_path / "elsewhere")
    sink, before = TiledSink(elsewhere), attempts(on_disk)
    with pytest.raises(CatalogError, match=r"the server cannot read .*elsewhere.*readable_storage.*leave it out"):
        sink.publish(of_run(result, "nowhere"))
    assert attempts(on_disk) == before
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert find_records(on_disk, run_uid="nowhere") == []


def test_a_store_that_takes_nothing_is_told(on_disk: Catalog, result: ScanResult, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    blocked = TiledSink(dataclasses.replace(on_disk, store=tmp_path / "file"))
    with pytest.raises(CatalogError, match=r"nothing can be written to .*MB of room, which may be written"):
        blocked.publish(of_run(result, "blocked"))
    with pytest.raises(CatalogError, match="the catalog takes no results: nothing can be written to"):
        blocked.try_writing()


def test_a_failure_is_a_record_and_a_later_result_replaces_it(catalog: Catalog, result: ScanResult) -> None:
    scan = ScanInfo(run_uid="fails-first", sample="Si")
    error = InputError("nothing there", needed="something", action="look again")
    sink = TiledSink(catalog)
    failed = failure(scan, error, result.provenance)
    key = sink.publish(failed)
    stored = load_record(catalog, key)
    assert isinstance(stored, ScanFailure)
    assert stored == failed
    assert stored.reason == "nothing there; needed: something; look again."
    terminal = find_terminal(catalog, scan, failed.provenance)
    assert terminal is not None
    assert terminal.failed
    assert sink.publish(failed) == key
    other = failure(scan, InputError("still nothing", needed="something", action="look again"), result.provenance)
    assert sink.publish(other) == key
    assert load_record(catalog, key) == other, "the newest reason is the one to read"
    assert catalog.processed["records"][key].metadata_revisions[0]["attributes"]["metadata"]["reason"] == failed.reason
    good = sink.publish(of_run(result, "fails-first"))
    assert [record.key for record in find_records(catalog, run_uid="fails-first")] == [good]
    assert len(find_records(catalog, run_uid="fails-first", with_superseded=True)) == 2
    assert find_record(catalog, "fails-first").key == good


def test_other_settings_make_another_record(catalog: Catalog, result: ScanResult, settings: AnalysisConfig) -> None:
    sink = TiledSink(catalog)
    sink.publish(of_run(result, "twice"))
    other = dataclasses.replace(result.provenance, config_hash="0123456789ab")
    sink.publish(dataclasses.replace(of_run(result, "twice"), provenance=other))
    assert len(find_records(catalog, run_uid="twice")) == 2


def test_records_carry_the_access_tags_of_their_run(catalog: Catalog, result: ScanResult) -> None:
    """A server without an access policy keeps no tags; the record says them all the same."""
    run = SimpleNamespace(item={"attributes": {"access_tags": ["proposal-1"]}})
    tags = catalog.access_tags(run)
    assert tags == ("proposal-1",)
    assert catalog.access_tags(catalog.raw) == ()
    key = TiledSink(catalog).publish(of_run(result, "of-proposal-1", access_tags=tags))
    assert find_record(catalog, "of-proposal-1").metadata["access_tags"] == ["proposal-1"]
    stored = load_record(catalog, key)
    assert stored.scan.access_tags == tags


def test_records_are_found_by_sample(catalog: Catalog, result: ScanResult) -> None:
    TiledSink(catalog).publish(of_run(result, "of-gold", sample="gold of the catalog"))
    assert [record.run_uid for record in find_records(catalog, sample="gold of the catalog")] == ["of-gold"]


def test_a_foreign_schema_version_is_refused(catalog: Catalog, result: ScanResult) -> None:
    key = TiledSink(catalog).publish(of_run(result, "from-the-future"))
    catalog.processed["records"][key].update_metadata({"schema_version": 99}, drop_revision=True)
    with pytest.raises(SchemaError, match=r"has schema version 99; needed: version 2 or 3; .*analyse the run again"):
        load_record(catalog, key)


def test_unknown_uids_say_what_to_do(catalog: Catalog) -> None:
    with pytest.raises(RunNotFoundError, match="no run 'feedbeef' in"):
        catalog.run("feedbeef")
    with pytest.raises(RunNotFoundError, match=r"no run 'ab' in .*at least its first 4 characters"):
        catalog.run("ab")
    with pytest.raises(RunNotFoundError, match="no analysed runs start with 'feedbeef'"):
        find_record(catalog, "feedbeef")
    with pytest.raises(RunNotFoundError, match="no record 'feedbeef'"):
        load_record(catalog, "feedbeef")


def test_a_wrong_key_and_no_key_are_refused_in_words(catalog_address: CatalogAddress) -> None:
    with pytest.raises(AccessDeniedError, match=r"refuses the API key \(401\).*TILED_API_KEY"):
        connect(catalog_address.uri, "wrong")
    with pytest.raises(AccessDeniedError, match=r"wants an API key and got none|refuses the API key"):
        connect(catalog_address.uri, None)


def test_nobody_there_is_said_in_words() -> None:
    with pytest.raises(CatalogUnreachableError, match=r"no Tiled server answers at http://127\.0\.0\.1:9"):
        connect("http://127.0.0.1:9", "key")
    with pytest.raises(CatalogUnreachableError, match="'tiled' is no address"):
        connect("tiled", "key")


def test_a_server_without_our_containers_is_told(catalog_address: CatalogAddress) -> None:
    with pytest.raises(CatalogError, match=r"has no container 'chx/raw'"):
        connect(catalog_address.uri, catalog_address.api_key, raw="chx/raw")


def test_labels_in_the_catalog_are_read_and_drawn_anew_make_another_record(catalog: Catalog) -> None:
    labels = np.arange(6, dtype=np.int32).reshape(2, 3)
    catalog.processed.write_array(labels, key="my-rois")
    path = "/".join([*catalog.processed.path_parts, "my-rois"])
    np.testing.assert_array_equal(catalog.array(path), labels)
    settings = parse_config({"analysis": {"rois": {"catalog_labels": path}}}).analysis
    before = provenance(settings, catalog.array)
    assert provenance(settings, catalog.array) == before
    catalog.processed["my-rois"].write(labels[::-1])
    assert provenance(settings, catalog.array).config_hash != before.config_hash


def test_other_frames_are_another_run(result: ScanResult) -> None:
    movie = SpeckleMovie((32, 32), 24, rate=0.05, modes=2, mean_counts=3.0, seed=2)
    other = describe(open_series(movie.read(0, 24), frame_time=0.5))
    assert other.run_uid != result.scan.run_uid
    assert describe(open_series(movie.read(0, 24), frame_time=0.5)) == other
