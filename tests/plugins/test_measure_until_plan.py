"""The adaptive plan before any beam, and what it asks of the catalog; loops with results are in tests/system."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.simulators import summarize_plan
from bluesky.utils import RunEngineInterrupted
from bluesky_queueserver.manager.profile_ops import (
    existing_plans_and_devices_from_nspace,
    prepare_plan,
    validate_plan,
)

from gbx_beamline.config import Config
from gbx_beamline.errors import CatalogUnreachableError, GbxError
from gbx_beamline.repeats import Aim
from gbx_bluesky import adaptive
from gbx_bluesky.adaptive import measure_until
from gbx_bluesky.analysed import AnalysedScans, Question
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import ReplayFeed

SCAN = {"frames": 2, "frame_time": 0.5, "sample": "Si"}
AIM = {"figure": "s_noneq", "width": 0.1, "max_scans": 3}


@contextmanager
def nowhere() -> Iterator[Any]:
    """A catalog whose server is down."""
    raise CatalogUnreachableError("no Tiled server answers", needed="a running one", action="start it")
    yield


@pytest.fixture
def analysed() -> AnalysedScans:
    return AnalysedScans(nowhere, Config())


@pytest.fixture
def detector(tmp_path: Path) -> SimulatedEiger:
    counts = np.random.default_rng(5).poisson(3.0, (40, 24, 24)).astype(np.uint16)
    return SimulatedEiger(directory=tmp_path, feed=ReplayFeed(counts))


@pytest.fixture
def documents() -> list[tuple[str, Any]]:
    return []


@pytest.fixture
def engine(documents: list[tuple[str, Any]]) -> RunEngine:
    engine = RunEngine()
    engine.subscribe(lambda name, doc: documents.append((name, doc)))
    return engine


def starts(documents: list[tuple[str, Any]]) -> list[Any]:
    return [doc for name, doc in documents if name == "start"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"max_dose": 1e12}, r"a dose limit of 1e\+12 photons, and no flux.*leave max_dose out and limit by max_scans"),
        ({"max_dose": 9.9e8, "flux": 1e9}, r"one scan brings 1e\+09 photons.*take fewer frames"),
        ({"max_dose": 1.9e9, "flux": 1e9, "dose_before": 1e9}, r"a spot that has had 1e\+09"),
        ({"max_dose": -1.0, "flux": 1e9}, "max_dose is -1.0"),
        ({"flux": 0.0}, "flux is 0.0; needed: photons per second"),
        ({"flux": float("nan")}, "flux is nan"),
        ({"dose_before": -1.0}, "dose_before is -1.0"),
        ({"max_scans": 0}, "max_scans is 0; needed: an integer >= 1"),
        ({"max_seconds": float("inf")}, "max_seconds is inf"),
        ({"result_timeout": 0}, "result_timeout is 0"),
        ({"figure": "S"}, "figure 'S'; needed: one of relaxation_time, s_noneq"),
        ({"width": 0}, "width is 0; needed: a number above 0 for the 95 % interval of the corrected S_noneq"),
        ({"figure": "gamma", "roi": "side"}, "gamma of q-ROI 'side'.*leave roi out"),
        ({"least_scans": 0}, "least_scans is 0"),
        ({"frames": 1}, "frames is 1"),
        ({"transmission": 50}, "transmission is 50; needed: a fraction"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_any_beam(
    engine: RunEngine,
    documents: list[Any],
    detector: SimulatedEiger,
    analysed: AnalysedScans,
    arguments: dict[str, Any],
    words: str,
) -> None:
    with pytest.raises(GbxError, match=words):
        engine(measure_until(detector, analysed, **{**SCAN, **AIM, **arguments}))
    assert documents == []
    assert detector.cam.num_images.get() == 1


def test_without_a_catalog_it_measures_to_its_limit_and_says_so(
    engine: RunEngine,
    documents: list[Any],
    detector: SimulatedEiger,
    analysed: AnalysedScans,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO", logger="gbx_bluesky"):
        uids = engine(measure_until(detector, analysed, **SCAN, **AIM, result_timeout=0.2))
    assert [start["uid"] for start in starts(documents)] == list(uids)
    assert len(uids) == 3
    first, second, third = (start["measure_until"] for start in starts(documents))
    assert "late" not in first
    for said in (second, third):
        assert said["late"].startswith("the catalog did not answer within 0.2 s: no Tiled server answers")
    assert [start["plan_name"] for start in starts(documents)] == ["measure_until"] * 3
    assert "measuring goes on to its limits: the catalog did not answer" in caplog.text
    assert "stops after 3 scans: the limit of 3 scans is met" in caplog.text


def test_no_scan_goes_beyond_the_dose_limit_and_documents_say_the_dose(
    engine: RunEngine, documents: list[Any], detector: SimulatedEiger, analysed: AnalysedScans
) -> None:
    """2 frames of 0.5 s at 0.1 of 1e16 photons/s: 1e15 a scan; 0.5e15 before, so two more fit under 3e15."""
    engine(
        measure_until(
            detector,
            analysed,
            **{**SCAN, **AIM, "max_scans": 9},
            transmission=0.1,
            flux=1e16,
            dose_before=0.5e15,
            max_dose=3e15,
            result_timeout=0.1,
        )
    )
    told = [start["measure_until"] for start in starts(documents)]
    assert [said["gigaphotons_before"] for said in told] == pytest.approx([0.5e6, 1.5e6])
    assert [said["gigaphotons_of_scan"] for said in told] == pytest.approx([1e6, 1e6])
    assert told[0]["limits"] == {"scans": 9, "gigaphotons": pytest.approx(3e6)}
    assert told[0]["gigaphotons_per_s"] == pytest.approx(1e7)
    largest = [value for value in told[0].values() if isinstance(value, float)]
    assert max(largest) < 2**53, "TiledWriter cuts larger whole numbers"


def test_no_scan_begins_that_would_end_after_the_time_limit(
    engine: RunEngine, documents: list[Any], detector: SimulatedEiger, analysed: AnalysedScans
) -> None:
    engine(measure_until(detector, analysed, **{**SCAN, **AIM}, max_seconds=0.05, result_timeout=0.1))
    assert len(starts(documents)) == 1, "the wait for its result alone is longer than the limit"


def test_the_wait_for_a_dead_catalog_is_long_only_once(
    engine: RunEngine, detector: SimulatedEiger, analysed: AnalysedScans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adaptive, "LATE_SECONDS", 0.01)
    asked: list[Question] = []
    ask = analysed.set
    monkeypatch.setattr(analysed, "set", lambda question: asked.append(question) or ask(question))
    uids = engine(measure_until(detector, analysed, **SCAN, **AIM, result_timeout=0.2))
    assert [question.timeout for question in asked] == [0.2, 0.01, 0.01]
    assert [set(question.overdue) for question in asked] == [set(), {uids[0]}, set(uids[:2])]


def test_the_engine_goes_on_while_the_catalog_hangs(
    engine: RunEngine, documents: list[Any], detector: SimulatedEiger
) -> None:
    """A catalog that neither answers nor refuses: the engine's loop runs meanwhile, and the plan ends."""
    release, beats = threading.Event(), 0

    @contextmanager
    def hanging() -> Iterator[Any]:
        release.wait(60)
        raise CatalogUnreachableError("gone", needed="a server", action="start it")
        yield

    def beat() -> None:
        nonlocal beats
        beats += 1
        engine.loop.call_later(0.02, beat)

    engine.loop.call_soon_threadsafe(beat)
    try:
        uids = engine(measure_until(detector, AnalysedScans(hanging, Config()), **SCAN, **AIM, result_timeout=1.0))
    finally:
        release.set()
    assert len(uids) == 3
    assert beats > 5, "the engine's loop stood still while the plan waited"
    assert "has not been reached" in starts(documents)[1]["measure_until"]["late"]


def test_an_abort_ends_the_wait(engine: RunEngine, detector: SimulatedEiger, analysed: AnalysedScans) -> None:
    plan = measure_until(detector, analysed, **SCAN, **AIM, result_timeout=600.0)
    taken = threading.Event()
    engine.subscribe(lambda _name, _doc: taken.set(), "stop")

    def stop() -> None:
        taken.wait(60)
        engine.request_pause()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(RunEngineInterrupted):
        engine(plan)
    thread.join()
    engine.abort()
    assert engine.state == "idle"


def test_a_dry_run_ends(detector: SimulatedEiger, analysed: AnalysedScans, capsys: pytest.CaptureFixture[str]) -> None:
    summarize_plan(measure_until(detector, analysed, **SCAN, **AIM))
    assert capsys.readouterr().out.count("Run") >= 3


def test_anything_but_a_question_is_refused(analysed: AnalysedScans) -> None:
    with pytest.raises(GbxError, match="was told 1; needed: a Question"):
        analysed.set(1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(GbxError, match="about no run"):
        Question(uids=(), aim=Aim(figure="s_noneq", width=0.1), timeout=1.0)


def test_the_queue_server_accepts_the_plan(detector: SimulatedEiger, analysed: AnalysedScans) -> None:
    namespace = {"eiger4m_single": detector, "analysed_scans": analysed, "measure_until": measure_until}
    plans, devices, plans_in_nspace, devices_in_nspace = existing_plans_and_devices_from_nspace(nspace=namespace)
    assert set(devices) == {"eiger4m_single", "analysed_scans"}
    item = {"name": "measure_until", "args": ["eiger4m_single", "analysed_scans"], "kwargs": {**SCAN, **AIM}}
    item |= {"item_type": "plan", "user_group": "primary"}
    accepted, reason = validate_plan(item, allowed_plans=plans, allowed_devices=devices)
    assert accepted, reason
    prepared = prepare_plan(
        item,
        plans_in_nspace=plans_in_nspace,
        devices_in_nspace=devices_in_nspace,
        allowed_plans={"primary": plans},
        allowed_devices={"primary": devices},
        nspace=namespace,
    )
    assert prepared["args"] == [detector, analysed]
