"""The plans on the simulated beamline: what a run says of itself, and how it ends when something breaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import FailedStatus
from bluesky_queueserver.manager.profile_ops import (
    existing_plans_and_devices_from_nspace,
    prepare_plan,
    validate_plan,
)

from gbx_beamline.errors import GbxError
from gbx_beamline.frames import open_series
from gbx_beamline.simulation import GrainBoundary
from gbx_beamline.simulation.measurement import Measurement
from gbx_beamline.simulation.movie import GrainBoundaryMovie
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import Conditions, ReplayFeed
from gbx_bluesky.grain_boundary_feed import GrainBoundaryFeed, GrainBoundaryTable
from gbx_bluesky.plans import count_series, temperature_series
from gbx_bluesky.speckle_feed import Relaxation, RelaxationTable, SpeckleFeed
from gbx_bluesky.temperature import SampleTemperature
from gbx_bluesky.traces import SideTraces, SmoothTraces

Q = 4.5e8
TABLE = RelaxationTable({300.0: Relaxation(rate=1e-3, q_reference=Q), 400.0: Relaxation(rate=1e-2, q_reference=Q)})


@pytest.fixture(scope="module")
def engine() -> RunEngine:
    return RunEngine({"cycle": "2026-3", "data_session": "pass-318000"})


@pytest.fixture
def documents(engine: RunEngine) -> Any:
    collected: list[tuple[str, Any]] = []
    token = engine.subscribe(lambda name, doc: collected.append((name, doc)))
    yield collected
    engine.unsubscribe(token)


@pytest.fixture
def movie() -> np.ndarray:
    return np.random.default_rng(5).poisson(3.0, (12, 40, 50)).astype(np.uint16)


@pytest.fixture
def detector(tmp_path: Path, movie: np.ndarray) -> SimulatedEiger:
    return SimulatedEiger(directory=tmp_path, feed=ReplayFeed(movie), frames_per_file=5)


@pytest.fixture
def stage() -> SampleTemperature:
    return SampleTemperature(temperature=299.5, acceleration=1e4)


def _of(documents: list[tuple[str, Any]], kind: str) -> list[Any]:
    return [doc for name, doc in documents if name == kind]


def _master(documents: list[tuple[str, Any]]) -> Path:
    return Path(_of(documents, "stream_resource")[0]["uri"].removeprefix("file://localhost"))


def test_a_run_says_what_chx_says_and_holds_the_frames(
    engine: RunEngine, documents: Any, detector: SimulatedEiger, stage: SampleTemperature, movie: np.ndarray
) -> None:
    plan = count_series(
        detector, frames=6, triggers=2, frame_time=0.5, sample="Si 42", transmission=0.1, temperature=stage
    )
    (uid,) = engine(plan)

    (start,) = _of(documents, "start")
    assert start["uid"] == uid
    assert start["sample"] == "Si 42"
    assert (start["exposure time"], start["acquire period"], start["number of images"]) == (0.5, 0.5, 6)
    assert (start["transmission"], start["cycle"], start["data_session"]) == (0.1, "2026-3", "pass-318000")
    assert start["temperature"] == pytest.approx(299.5)
    assert start["T_sample"] == "26.350"
    assert start["data path"] == str(detector.directory)
    assert _master(documents).name == f"{start['file prefix']}_master.h5"
    assert "truth" not in start
    assert "detector geometry" not in start, "this detector knows nothing of it"
    (stop,) = _of(documents, "stop")
    assert stop["exit_status"] == "success"
    assert stop["num_events"] == {"baseline": 2, "primary": 2}
    series = open_series(_master(documents))
    assert series.frame_time == pytest.approx(0.5)
    np.testing.assert_array_equal(np.concatenate([frames for _, frames in series.blocks()]), movie)


def test_a_movie_that_ends_early_fails_the_run_and_frees_the_detector(
    engine: RunEngine, documents: Any, detector: SimulatedEiger, stage: SampleTemperature
) -> None:
    with pytest.raises(FailedStatus, match=r"20 frames asked for, 12 of the movie's 12 are left"):
        engine(count_series(detector, frames=20, frame_time=1.0, sample="Si", temperature=stage))

    (stop,) = _of(documents, "stop")
    assert stop["exit_status"] == "fail"
    assert "12 of the movie's 12 are left" in stop["reason"]
    engine(count_series(detector, frames=12, frame_time=1.0, sample="Si", temperature=stage))
    assert _of(documents, "stop")[-1]["exit_status"] == "success"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"frames": 1}, "frames is 1; needed: an integer >= 2"),
        ({"frames": 10.0}, "frames is 10.0; needed: an integer"),
        ({"frame_time": 0}, "frame_time is 0; needed: seconds > 0"),
        ({"frame_time": float("nan")}, "frame_time is nan"),
        ({"triggers": 0}, "triggers is 0"),
        ({"transmission": 100}, "transmission is 100; needed: a fraction"),
        ({"sample": " "}, "sample is ' '"),
    ],
)
def test_impossible_arguments_are_refused_before_anything_moves(
    engine: RunEngine, documents: Any, detector: SimulatedEiger, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(GbxError, match=words):
        engine(count_series(detector, **{"frames": 5, "frame_time": 1.0, "sample": "Si", **arguments}))
    assert documents == []
    assert detector.cam.num_images.get() == 1


def test_setpoints_in_celsius_are_refused_before_the_first_move(
    engine: RunEngine, documents: Any, detector: SimulatedEiger, stage: SampleTemperature
) -> None:
    with pytest.raises(GbxError, match="temperature -20"):
        engine(temperature_series(detector, stage, [320.0, -20], frames=5, frame_time=1.0, sample="Si"))
    assert documents == []
    assert stage.setpoint.get() == 299.5


def test_each_temperature_is_a_run_of_its_own_after_settling(
    engine: RunEngine, documents: Any, tmp_path: Path, stage: SampleTemperature
) -> None:
    q = np.full((16, 16), 2 * Q)
    feed = SpeckleFeed(q, TABLE, modes=3, mean_counts=2.0, seed=8)
    detector = SimulatedEiger(directory=tmp_path, feed=feed)
    side = SideTraces(SmoothTraces(seed=1), temperature=stage)

    uids = engine(
        temperature_series(
            detector, stage, [400.0, 350.0], frames=4, triggers=2, frame_time=2.0, sample="Si", traces=side
        )
    )

    starts = _of(documents, "start")
    assert [start["uid"] for start in starts] == list(uids)
    assert [start["plan_name"] for start in starts] == ["temperature_series"] * 2
    for start, setpoint in zip(starts, (400.0, 350.0), strict=True):
        assert start["temperature"] == pytest.approx(setpoint, abs=stage.tolerance)
        assert start["temperature_setpoint"] == setpoint
        assert float(start["T_sample"]) + 273.15 == pytest.approx(start["temperature"], abs=1e-3)
        # Arrhenius between the points of the table, an independent route: rate = A exp(-B / T).
        slope = np.log(10.0) / (1 / 300.0 - 1 / 400.0)
        rate = 1e-3 * np.exp(slope * (1 / 300.0 - 1 / start["truth"]["temperature"]))
        assert start["truth"]["rate"] == pytest.approx(rate, rel=1e-9)
        assert start["truth"]["frame_time"] == 2.0
    for page in _of(documents, "event_page"):
        np.testing.assert_allclose(np.diff(page["timestamps"]["beam_x"]), 2.0, rtol=0, atol=1e-5)
    hot, warm = (page["data"]["sample_temperature"] for page in _of(documents, "event_page")[::2])
    assert np.mean(hot) == pytest.approx(400.0, abs=0.3)
    assert np.mean(warm) == pytest.approx(350.0, abs=0.3)
    assert [page["seq_num"] for page in _of(documents, "event_page")] == [[1, 2, 3, 4], [5, 6, 7, 8]] * 2
    assert _of(documents, "event_page")[1]["data"]["elapsed"] == pytest.approx([8.0, 10.0, 12.0, 14.0], abs=1e-6)


def test_the_truth_of_a_run_makes_its_frames_again(
    engine: RunEngine, documents: Any, tmp_path: Path, stage: SampleTemperature
) -> None:
    q = np.linspace(0.5, 2.0, 20 * 24).reshape(20, 24) * Q
    feed = SpeckleFeed(q, TABLE, modes=3, mean_counts=2.0, seed=8)
    detector = SimulatedEiger(directory=tmp_path, feed=feed)
    engine(count_series(detector, frames=4, frame_time=2.0, sample="Si", temperature=stage))

    truth = _of(documents, "start")[0]["truth"]
    again = SpeckleFeed(q, TABLE, modes=truth["modes"], mean_counts=2.0, seed=truth["seed"])
    again.set(Conditions(**{name: truth[name] for name in ("temperature", "frame_time", "frames", "triggers")}))
    taken = np.concatenate([frames for _, frames in open_series(_master(documents)).blocks()])
    np.testing.assert_array_equal(taken, np.stack(list(again.movie(4, truth["series"]))))


def test_the_truth_of_grain_boundaries_makes_their_frames_again(
    engine: RunEngine, documents: Any, tmp_path: Path, stage: SampleTemperature
) -> None:
    sample = GrainBoundaryTable(
        {
            299.0: GrainBoundary(gamma=4e18, diffusivity=2e-23, gb_fraction=0.4, temperature=299.0, bow=4e-8),
            471.0: GrainBoundary(gamma=2e17, diffusivity=3e-22, gb_fraction=0.5, temperature=471.0, bow=4e-8),
        }
    )
    seen = Measurement(contrast=(0.5,), mean_counts=(2.0,), speckle_size=1.5, background=(0.1,))
    q = np.linspace(0.9, 1.1, 20 * 24).reshape(20, 24) * Q
    detector = SimulatedEiger(directory=tmp_path, feed=GrainBoundaryFeed(q, sample, seen, seed=8))
    engine(temperature_series(detector, stage, [400.0, 299.5], frames=4, frame_time=50.0, sample="Si"))

    masters = [Path(doc["uri"].removeprefix("file://localhost")) for doc in _of(documents, "stream_resource")]
    truths = [start["truth"] for start in _of(documents, "start")]
    assert [truth["series"] for truth in truths] == [0, 1]
    for truth, master in zip(truths, masters, strict=True):
        told = {name: truth[name] for name in ("diffusivity", "gb_fraction", "temperature", "bow")}
        assert "gamma" not in truth, "what TiledWriter would cut down is not told"
        again = GrainBoundaryMovie(
            q,
            GrainBoundary(
                gamma=1.0 / truth["mobility"],
                **told,
                q_convention=truth["q_convention"],
                boundaries=truth["boundaries"],
            ),
            Measurement(
                frames=truth["frames"],
                frame_time=truth["frame_time"],
                speckle_size=truth["speckle_size"],
                **{name: (truth[name],) for name in ("contrast", "mean_counts", "background")},
            ),
            seed=truth["draw_seed"],
        )
        taken = np.concatenate([frames for _, frames in open_series(master).blocks()])
        np.testing.assert_array_equal(taken, np.stack(list(again)))
    assert truths[0]["draw_seed"] != truths[1]["draw_seed"]
    assert truths[0]["model"] == "grain_boundary"


def test_the_queue_server_accepts_the_plans_and_finds_the_devices(
    detector: SimulatedEiger, stage: SampleTemperature
) -> None:
    namespace = {
        "eiger4m_single": detector,
        "T_sample": stage,
        "traces": SideTraces(SmoothTraces(seed=1)),
        "count_series": count_series,
        "temperature_series": temperature_series,
    }
    plans, devices, plans_in_nspace, devices_in_nspace = existing_plans_and_devices_from_nspace(nspace=namespace)
    assert set(plans) == {"count_series", "temperature_series"}
    assert set(devices) == {"eiger4m_single", "T_sample", "traces"}
    series = {"frames": 5, "frame_time": 1.0, "sample": "Si", "traces": "traces"}
    item = {"name": "temperature_series", "args": ["eiger4m_single", "T_sample", [300.0]], "kwargs": series}
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
    # Names became devices, which is what `typing.Any` and stringised annotations silently prevent.
    assert prepared["args"][:2] == [detector, stage]
    assert prepared["kwargs"]["traces"] is namespace["traces"]


def test_importing_the_startup_module_touches_nothing(tmp_path: Path) -> None:
    script = (
        "import gbx_bluesky.startup as s, sys;"
        "print(sorted(s.__all__), 'prefect' in sys.modules, 'torch' in sys.modules, s.catalog_writer.left_behind)"
    )
    environment = {**os.environ, "GBX_DIRECTORY": str(tmp_path / "data"), "GBX_TILED_URI": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("]")[0].count("'") == 24
    assert done.stdout.rstrip().endswith("False False []")
    assert list(tmp_path.iterdir()) == []
