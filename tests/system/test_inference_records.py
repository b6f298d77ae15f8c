"""What models say of scans, on a real server: beside the correlation record, once, and read back as it was."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from test_catalog import assert_same

from gbx_beamline import analyze, assemble, open_series
from gbx_beamline.catalog import (
    Catalog,
    TiledSink,
    connect,
    find_inference,
    find_inferences,
    load_inference,
    load_record,
)
from gbx_beamline.config import Config
from gbx_beamline.errors import InputError, RunNotFoundError, SchemaError
from gbx_beamline.pipeline import failure, provenance
from gbx_beamline.records import Estimate, Flag, Inference, Refusal, ScanInference, ScanResult
from gbx_beamline.simulation import SpeckleMovie
from gbx_tiled.embedded import CatalogAddress


@pytest.fixture(scope="module")
def catalog(catalog_address: CatalogAddress) -> Iterator[Catalog]:
    opened = connect(catalog_address.uri, catalog_address.api_key, store=catalog_address.store)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> ScanResult:
    labels = np.zeros((32, 32), dtype=np.int32)
    labels[2:30, 2:30] = 1
    path = tmp_path_factory.mktemp("rois") / "rois.npy"
    np.save(path, labels)
    series = open_series(SpeckleMovie((32, 32), 24, rate=0.05, modes=2, seed=1).read(0, 24), frame_time=0.5)
    return analyze(series, Config.model_validate({"analysis": {"rois": {"labels": str(path)}}}))


def published(catalog: Catalog, result: ScanResult, uid: str, **scan: Any) -> tuple[str, ScanResult]:
    """A correlation record of a run with this uid, and its key."""
    given = dataclasses.replace(result, scan=dataclasses.replace(result.scan, run_uid=uid, **scan))
    return TiledSink(catalog).publish(given), given


def answer(record: str, of: ScanResult, model: str = "gbx-0123456789") -> ScanInference:
    samples = np.random.default_rng(3).uniform(size=(40, 3)) * [1e-22, 1e18, 0.5]
    found = Inference(
        model_id=model,
        parameters={
            name: Estimate(low=low, median=low * 2, high=low * 3)
            for name, low in (("diffusivity", 1e-22), ("gamma", 1e18), ("gb_fraction", 0.1))
        },
        samples=samples,
        flags=(Flag(code="undetermined:gamma", text="the GB friction gamma is undetermined"),),
        ood_score=0.25,
        probabilities={"grain_boundary": 0.9, "static": 0.1},
        temperature=421.0,
        q=np.array([4.1e8]),
        q_convention="parallel",
        notes=("only the first 2,500 s of 3,000 s were used",),
    )
    return ScanInference(record=record, scan=of.scan, outcome=found, package_version="0.1.0", seed=7)


def test_an_answer_and_a_refusal_come_back_as_they_were(catalog: Catalog, result: ScanResult) -> None:
    record, scan = published(catalog, result, "inferred", sample="Si", temperature=421.0, truth={"gamma": 1e18})
    given = answer(record, scan)
    key = TiledSink(catalog).publish_inference(given)
    assert_same(load_inference(catalog, key), given)
    refusal = dataclasses.replace(
        given, outcome=Refusal(model_id="gbx-other", kind="ContractError", reason="window too short"), checked=False
    )
    other = TiledSink(catalog).publish_inference(refusal)
    assert_same(load_inference(catalog, other), refusal)
    assert [one.key for one in find_inferences(catalog, run_uid="inferred")] == [key, other]
    assert [one.refused for one in find_inferences(catalog, record=record)] == [False, True]
    found = find_inference(catalog, record, "gbx-other")
    assert found is not None
    assert found.metadata["refusal"]["reason"] == "window too short"
    assert find_inference(catalog, record, "gbx-absent") is None


def test_a_new_model_adds_a_record_and_touches_nothing(catalog: Catalog, result: ScanResult) -> None:
    record, scan = published(catalog, result, "two models")
    before = load_record(catalog, record)
    first = TiledSink(catalog).publish_inference(answer(record, scan))
    second = TiledSink(catalog).publish_inference(answer(record, scan, "gbx-abcdef0123"))
    assert first != second
    assert_same(load_record(catalog, record), before)
    assert_same(load_inference(catalog, first), answer(record, scan))


def test_the_first_answer_stands_whoever_else_writes(catalog: Catalog, result: ScanResult) -> None:
    record, scan = published(catalog, result, "models race")
    attempts = set(catalog.processed["attempts"])
    start = threading.Barrier(3)
    keys: list[str] = []

    def work() -> None:
        sink = TiledSink(catalog)
        start.wait()
        keys.append(sink.publish_inference(answer(record, scan)))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(keys) == 3
    assert len(set(keys)) == 1
    (found,) = find_inferences(catalog, record=record)
    assert set(catalog.processed["attempts"]) - attempts == {found.metadata["attempt"]}


def test_the_sweep_spares_what_inferences_name(catalog: Catalog, result: ScanResult) -> None:
    record, scan = published(catalog, result, "swept")
    key = TiledSink(catalog).publish_inference(answer(record, scan))
    (found,) = find_inferences(catalog, record=record)
    attempt = catalog.processed["attempts"][found.metadata["attempt"]]
    # As if the worker had died between its pointer and its last word.
    attempt.update_metadata({"published": False, "created": time.time() - 1e6}, drop_revision=True)
    TiledSink(catalog).sweep()
    assert_same(load_inference(catalog, key), answer(record, scan))


def test_an_inference_about_nothing_is_refused(catalog: Catalog, result: ScanResult) -> None:
    with pytest.raises(RunNotFoundError, match="no record 'nowhere'"):
        TiledSink(catalog).publish_inference(answer("nowhere", result))
    with pytest.raises(RunNotFoundError, match="no inference 'nowhere'"):
        load_inference(catalog, "nowhere")


def test_another_releases_layout_is_refused(catalog: Catalog, result: ScanResult) -> None:
    record, scan = published(catalog, result, "later layout")
    key = TiledSink(catalog).publish_inference(answer(record, scan))
    catalog.processed["inferences"][key].update_metadata({"inference_version": 99}, drop_revision=True)
    with pytest.raises(SchemaError, match="has version 99"):
        load_inference(catalog, key)


def test_the_default_model_is_asked_once_and_its_refusal_is_data(catalog: Catalog, result: ScanResult) -> None:
    """Twelve seconds of speckle are outside of the contract; without a temperature no scan is judged."""
    record, _ = published(catalog, result, "asked", temperature=421.0)
    done = assemble.infer_record(catalog, record, Config())
    assert done.inference is not None
    assert isinstance(done.inference.outcome, Refusal)
    assert done.inference.outcome.kind == "ContractError"
    assert assemble.infer_record(catalog, record, Config()) == assemble.Inferred(done.key, None, done.model_id)
    cold, _ = published(catalog, result, "asked without temperature")
    said = assemble.infer_record(catalog, cold, Config()).inference
    assert said is not None
    assert isinstance(said.outcome, Refusal)
    assert "temperature of the scan is not known" in said.outcome.reason


def test_a_failure_is_not_judged(catalog: Catalog, result: ScanResult) -> None:
    scan = dataclasses.replace(result.scan, run_uid="failed before")
    reason = InputError("no photons", needed="some", action="open the shutter")
    key = TiledSink(catalog).publish(failure(scan, reason, provenance(Config().analysis)))
    with pytest.raises(InputError, match="could not be analysed: no photons"):
        assemble.infer_record(catalog, key, Config())
