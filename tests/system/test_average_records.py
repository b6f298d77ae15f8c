"""Averages over repeats in the catalog, and `gbx average` as a user runs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import in_process

from gbx_beamline import analyze, assemble, open_series
from gbx_beamline.catalog import Catalog, TiledSink, connect, find_averages, load_average, schema
from gbx_beamline.catalog.codec import plain
from gbx_beamline.config import parse_config
from gbx_beamline.errors import InputError, RunNotFoundError, SchemaError
from gbx_beamline.records import ScanFailure, ScanResult
from gbx_beamline.repeats import average_of
from gbx_beamline.simulation import SpeckleMovie
from gbx_tiled.embedded import CatalogAddress

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def catalog(catalog_address: CatalogAddress) -> Iterator[Catalog]:
    opened = connect(catalog_address.uri, catalog_address.api_key, store=catalog_address.store)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[ScanResult]:
    """Three repeats of one measurement, of no sample yet."""
    labels = np.zeros((32, 32), dtype=np.int32)
    labels[2:30, 2:30] = 1
    path = tmp_path_factory.mktemp("rois") / "rois.npy"
    np.save(path, labels)
    settings = parse_config({"analysis": {"rois": {"labels": str(path)}}}).analysis
    movies = [SpeckleMovie((32, 32), 48, rate=0.2, modes=2, mean_counts=3.0, seed=seed) for seed in (1, 2, 3)]
    return [analyze(open_series(movie.read(0, 48), frame_time=1.0), settings) for movie in movies]


def published(catalog: Catalog, results: list[ScanResult], sample: str, **scan: Any) -> list[str]:
    """uids of runs of ``sample`` whose results are in the catalog."""
    uids = [f"{sample}-{number}" for number in range(len(results))]
    for number, (uid, result) in enumerate(zip(uids, results, strict=True)):
        known = {"temperature": 421.0, "started": 100.0 + number, **scan}
        TiledSink(catalog).publish(replace(result, scan=replace(result.scan, run_uid=uid, sample=sample, **known)))
    return uids


def test_an_average_is_kept_once_with_links_to_its_members(catalog: Catalog, results: list[ScanResult]) -> None:
    uids = published(catalog, results, "av-kept")
    made = average_of(catalog, uids=uids[::-1])
    assert not made.already_there
    again = average_of(catalog, sample="av-kept")
    assert again.key == made.key
    assert again.already_there
    for name in ("g2", "error", "noise", "curves", "two_time", "two_time_error", "tau"):
        np.testing.assert_array_equal(getattr(again.average, name), getattr(made.average, name))
    assert again.average.repeats == made.average.repeats
    assert plain(again.average.rois) == plain(made.average.rois), "NaN included"
    (summary,) = find_averages(catalog, run_uid=uids[1])
    assert summary.key == made.key
    assert set(summary.members) <= set(catalog.processed["records"])
    assert summary.metadata["run_uids"] == uids, "oldest first"
    assert find_averages(catalog, sample="av-kept")[0].metadata["temperature"] == 421.0


def test_the_sweep_leaves_averages_alone(catalog: Catalog, results: list[ScanResult]) -> None:
    made = average_of(catalog, uids=published(catalog, results, "av-sweep"))
    attempt = catalog.processed["averages"][made.key].metadata["attempt"]
    # As if the worker had died between pointer and mark.
    catalog.processed["attempts"][attempt].update_metadata({"published": False, "created": 0.0})
    TiledSink(catalog).sweep(older_than=1.0)
    assert load_average(catalog, made.key).sample == "av-sweep"


def test_a_member_that_is_analysed_anew_makes_another_average_beside_the_old(
    catalog: Catalog, results: list[ScanResult]
) -> None:
    uids = published(catalog, results, "av-anew")
    first = average_of(catalog, sample="av-anew")
    anew = replace(results[0].provenance, config_hash="0123456789ab")
    scan = replace(results[0].scan, run_uid=uids[0], sample="av-anew", temperature=421.0, started=100.0)
    TiledSink(catalog).publish(replace(results[0], scan=scan, provenance=anew))
    second = average_of(catalog, sample="av-anew")
    assert second.key != first.key
    assert [one.key for one in find_averages(catalog, sample="av-anew")] == [first.key, second.key]


def test_runs_without_a_result_are_named(catalog: Catalog, results: list[ScanResult]) -> None:
    uids = published(catalog, results, "av-failed")
    scan = replace(results[0].scan, run_uid="av-lost-run", sample="av-failed")
    failure = ScanFailure(scan=scan, kind="SeriesError", reason="no frames", provenance=results[0].provenance)
    TiledSink(catalog).publish(failure)
    with pytest.raises(RunNotFoundError, match=r"no result of run av-lost-.*leave them out"):
        average_of(catalog, uids=[*uids, "av-lost-run"])
    assert len(average_of(catalog, sample="av-failed").average.repeats) == 3, "of a sample failures are no repeats"
    with pytest.raises(RunNotFoundError, match="no results of sample 'av-failed' near 300 K"):
        average_of(catalog, sample="av-failed", temperature=300.0)
    with pytest.raises(InputError, match="no runs are named"):
        average_of(catalog)
    with pytest.raises(RunNotFoundError, match="make one with `gbx average`"):
        load_average(catalog, "nothing")


def test_an_average_of_another_version_is_refused(catalog: Catalog, results: list[ScanResult]) -> None:
    made = average_of(catalog, uids=published(catalog, results, "av-version"))
    catalog.processed["averages"][made.key].update_metadata({"average_version": 99})
    with pytest.raises(SchemaError, match="has version 99; needed: version 1"):
        load_average(catalog, made.key)
    assert schema.RECORDS in catalog.processed


def test_the_command_prints_a_row_per_q_roi_and_draws_the_page(
    catalog: Catalog,
    catalog_address: CatalogAddress,
    results: list[ScanResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(assemble.URI_VARIABLE, catalog_address.uri)
    monkeypatch.setenv("TILED_API_KEY", catalog_address.api_key)
    monkeypatch.setenv(assemble.STORE_VARIABLE, str(catalog_address.store))
    uids = published(catalog, results, "av-command")
    said = in_process(monkeypatch, capsys, "average", "--sample", "av-command", "--out", "page.png")
    assert said.code == 0, said.err
    assert "label 1" in said.out
    assert "agree" in said.out
    assert f"3 repeats: {uids[0][:8]}" in said.out
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    assert in_process(monkeypatch, capsys, "average", "--sample", "av-command", "--out", "page.png").code == 2
    again = in_process(monkeypatch, capsys, "average", "--sample", "av-command")
    assert "had been averaged before" in again.out
    key = again.out.split("average ")[-1].split()[0]
    assert (tmp_path / f"average_{key[:8]}.png").exists()
    published(catalog, results[:1], "av-hot", temperature=471.0)
    refused = in_process(monkeypatch, capsys, "average", "--uid", uids[0], "--uid", "av-hot-0")
    assert refused.code == 2
    assert "at 421 K and run av-hot-0 at 471 K" in refused.err
