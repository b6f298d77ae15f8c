"""The devices and feeds that the plans use."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gbx_beamline.config import load_config
from gbx_beamline.errors import InputError, SeriesError, UnitError
from gbx_beamline.geometry import overlay, q_maps, rois_from_config
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.records import Geometry
from gbx_beamline.simulation import GrainBoundary
from gbx_beamline.simulation.measurement import Measurement
from gbx_bluesky.feeds import Conditions, ReplayFeed
from gbx_bluesky.grain_boundary_feed import GrainBoundaryFeed, GrainBoundaryTable
from gbx_bluesky.simulated_chx import SimulatedChx
from gbx_bluesky.speckle_feed import Relaxation, RelaxationTable, SpeckleFeed
from gbx_bluesky.temperature import SampleTemperature
from gbx_bluesky.traces import RecordedTraces, SideTraces, SmoothTraces

Q = 4.5e8


def boundary(temperature: float, **changes: Any) -> GrainBoundary:
    said: dict[str, Any] = {"gamma": 1e18, "diffusivity": 1e-22, "gb_fraction": 0.4, "bow": 4e-8}
    return GrainBoundary(temperature=temperature, **(said | changes))


WARM = GrainBoundaryTable(
    {
        300.0: boundary(300.0),
        400.0: boundary(400.0, gamma=1e17, diffusivity=2e-21, gb_fraction=0.5, bow=2e-8),
    }
)


def test_the_stage_approaches_exponentially_and_reports_arrival_within_tolerance() -> None:
    stage = SampleTemperature(temperature=300.0, time_constant=50.0, tolerance=0.5, acceleration=1e3)
    before = time.time()
    status = stage.set(400.0)
    after = time.time()
    # One time constant is 50 ms of wall time; `set` happened somewhere between the two readings of the clock.
    assert 400.0 - 100.0 * np.exp(-0.05 / 0.05) == pytest.approx(363.212, abs=1e-3)
    assert stage.at(before + 0.05) <= 363.2121 <= stage.at(after + 0.05)
    status.wait(timeout=10)
    assert abs(stage.readback.get() - 400.0) <= 0.5
    assert stage.read()["T_sample"]["value"] == pytest.approx(400.0, abs=0.5)
    assert stage.describe()["T_sample"]["units"] == "K"
    assert stage.settling_time(450.0) == pytest.approx(50.0 * np.log(50.0 / 0.5), rel=0.02)


def test_a_new_setpoint_fails_the_move_under_way() -> None:
    stage = SampleTemperature(temperature=300.0, time_constant=1e6, acceleration=1.0)
    first = stage.set(400.0)
    second = stage.set(300.0)
    with pytest.raises(InputError, match="interrupted by a new setpoint, 300 K"):
        first.wait(timeout=10)
    second.wait(timeout=10)
    third = stage.set(500.0)
    stage.stop()
    with pytest.raises(InputError, match="interrupted by a stop"):
        third.wait(timeout=10)
    assert stage.readback.get() == pytest.approx(300.0, abs=0.1)


def test_celsius_and_nonsense_are_refused() -> None:
    stage = SampleTemperature()
    for value in (-20.0, float("nan"), "400", True):
        with pytest.raises(UnitError, match="give kelvin"):
            stage.set(value)  # type: ignore[arg-type]


def test_a_replay_ends_where_the_movie_ends(tmp_path: Path) -> None:
    movie = np.arange(5 * 3 * 4, dtype=np.uint8).reshape(5, 3, 4)
    np.savez(tmp_path / "movie.npz", movie=movie, frame_time=0.1)
    feed = ReplayFeed.from_file(tmp_path / "movie.npz")
    np.testing.assert_array_equal(np.stack(list(feed.frames(3))), movie[:3])
    with pytest.raises(SeriesError, match=r"3 frames asked for, 2 of the movie's 5 are left"):
        feed.frames(3)
    np.testing.assert_array_equal(np.stack(list(feed.frames(2))), movie[3:])
    feed.rewind()
    assert feed.remaining == 5


def test_measured_frames_are_replayed_as_they_are(shared_data: Path) -> None:
    path = shared_data / "frames" / "bulk_water_cropA_u8.npz"
    feed = ReplayFeed.from_file(path)
    with np.load(path) as content:
        (movie,) = (content[key] for key in content.files if content[key].ndim == 3)
    assert (feed.shape, feed.dtype, feed.remaining) == ((256, 256), np.uint8, 300)
    np.testing.assert_array_equal(np.stack(list(feed.frames(10))), movie[:10])


def test_signed_movies_are_refused() -> None:
    with pytest.raises(SeriesError, match=r"dtype int32; needed: .* unsigned"):
        ReplayFeed(np.zeros((3, 4, 4), np.int32))


def test_ageing_dynamics_reach_the_pixels_as_the_closed_form_says() -> None:
    relaxation = Relaxation(rate=5e-3, q_reference=Q, ageing=0.5, age=100.0)
    feed = SpeckleFeed(np.full((8, 8), 2 * Q), RelaxationTable({400.0: relaxation}), modes=2, mean_counts=1.0, seed=1)
    feed.set(Conditions(temperature=400.0, frame_time=2.0, frames=101))
    movie = feed.movie(101, 0)
    # The integral of rate (q / q0)^2 (1 + t / age)^(-1/2) from 0 to t is 4 rate 2 age [(1 + t / age)^(1/2) - 1].
    t = 2.0 * np.arange(101)
    exponent = 4 * 5e-3 * 2 * 100.0 * (np.sqrt(1 + t / 100.0) - 1.0)
    expected = 1.0 + np.exp(-2.0 * np.abs(exponent[:, None] - exponent[None, :])) / 2
    np.testing.assert_allclose(movie.true_two_time(4 * 5e-3), expected, atol=1e-5)


def test_two_series_of_one_feed_show_different_spots() -> None:
    table = RelaxationTable({300.0: Relaxation(rate=1e-3, q_reference=Q)})
    feed = SpeckleFeed(np.full((16, 16), Q), table, modes=1, mean_counts=5.0, seed=1)
    with pytest.raises(SeriesError, match="knows no temperature"):
        feed.frames(2)
    feed.set(Conditions(temperature=300.0, frame_time=1.0, frames=2))
    first, second = (np.stack(list(feed.frames(2))) for _ in range(2))
    assert abs(np.corrcoef(first[0].ravel(), second[0].ravel())[0, 1]) < 0.4
    assert np.corrcoef(first[0].ravel(), first[1].ravel())[0, 1] > 0.6


@pytest.mark.parametrize("q_reference", [0.045, 4.5])
def test_a_reference_q_in_inverse_angstrom_is_refused_with_the_fix(q_reference: float) -> None:
    with pytest.raises(UnitError, match=re.escape(f"multiply 1/Angstrom by 1e10: {q_reference * 1e10:g}")):
        Relaxation(rate=1.0, q_reference=q_reference)


def test_dynamics_outside_the_table_are_refused() -> None:
    table = RelaxationTable({300.0: Relaxation(rate=1e-3, q_reference=Q), 400.0: Relaxation(rate=1e-2, q_reference=Q)})
    assert table.at(300.5).rate == pytest.approx(1e-3, rel=0.05)
    with pytest.raises(InputError, match="dynamics at 470 K; needed: a temperature between 300 and 400 K"):
        table.at(470.0)


def test_grain_boundaries_are_activated_thermally_between_their_points() -> None:
    assert WARM.at(400.0) == WARM.points[400.0]
    between = WARM.at(340.0)
    # Arrhenius by an independent route: the share of the way in 1/T.
    share = (1 / 300.0 - 1 / 340.0) / (1 / 300.0 - 1 / 400.0)
    assert between.gamma == pytest.approx(1e18 * 0.1**share)
    assert between.diffusivity == pytest.approx(1e-22 * 20.0**share)
    assert between.gb_fraction == pytest.approx(0.44)
    assert between.bow == pytest.approx(3.2e-8)
    assert between.temperature == 340.0
    beyond = WARM.at(400.8)
    assert (beyond.gamma, beyond.temperature) == (pytest.approx(1e17), 400.8)
    with pytest.raises(InputError, match=r"dynamics at 298\.9 K; needed: a temperature between 300 and 400 K"):
        WARM.at(298.9)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ({}, r"a sample of {}; needed: at least one point"),
        ({300.0: boundary(300.0), 400.0: boundary(400.0, boundaries=2)}, "one value of .*boundaries"),
        ({300.0: boundary(300.0, diffusivity=0.0)}, "gamma and diffusivity above 0"),
        ({300.0: boundary(301.0)}, "a boundary of 301 K at 300 K"),
        ({26.85: boundary(26.85), -1.0: boundary(26.85)}, "temperature -1"),
    ],
)
def test_points_that_are_no_one_sample_are_refused(points: dict[float, GrainBoundary], words: str) -> None:
    with pytest.raises((InputError, UnitError), match=words):
        GrainBoundaryTable(points)


def test_grain_boundaries_on_the_detector_are_those_of_the_table_each_series_another_draw() -> None:
    feed = GrainBoundaryFeed(np.full((8, 8), Q), WARM, Measurement(contrast=(0.5,), mean_counts=(2.0,)), seed=1)
    assert feed.truth is None
    with pytest.raises(SeriesError, match="the grain boundary feed knows no temperature"):
        feed.frames(2)
    feed.set(Conditions(temperature=340.0, frame_time=20.0, frames=50))
    movie = feed.movie(50, 0)
    truth = feed.truth
    assert truth is not None
    assert (feed.shape, feed.dtype, movie.shape) == ((8, 8), np.uint16, (50, 8, 8))
    assert movie.boundary == WARM.at(340.0)
    draw = GrainBoundary(
        gamma=1.0 / truth["mobility"],
        **{name: truth[name] for name in ("diffusivity", "gb_fraction", "bow", "temperature")},
        q=Q,
    )
    maps = draw.two_time(truth["draw_seed"], size=None, t=20.0 * np.arange(50), normalised=True)
    np.testing.assert_allclose(movie.true_two_time(Q) - 1.0, (maps - 1.0) * 0.5 / draw.contrast, atol=1e-6)
    assert np.abs(feed.movie(50, 1).true_two_time(Q) - movie.true_two_time(Q)).max() > 1e-3
    next(feed.frames(50))
    assert feed.series == 1
    with pytest.raises(InputError, match="dynamics at 500 K"):
        feed.set(Conditions(temperature=500.0, frame_time=20.0, frames=50))


def test_the_simulated_chx_tells_the_true_s_of_each_q_roi(tmp_path: Path, repository: Path) -> None:
    config = load_config(repository / "configs" / "demo.yaml")
    feed = SimulatedChx(config, tmp_path).detector.feed
    truths = []
    for point in config.demo.dynamics:
        feed.set(Conditions(temperature=point.temperature_k, frame_time=25.0, frames=100))
        truths.append(feed.truth)
    # The paper's norm ratios are 0.097, 0.771 and 0.837 at 299, 421 and 471 K; draws scatter about ours.
    norms = np.sqrt([truth["s_noneq"] for truth in truths])
    assert norms.shape == (4, 3)
    for found, (low, high) in zip(norms, [(0.03, 0.2), (0.4, 0.7), (0.7, 0.82), (0.78, 0.87)], strict=True):
        assert low < found.min() <= found.max() < high

    # By another route: the mean of the maps of many pixels' q, from the draw alone.
    analysed = overlay(Geometry(shape=(512, 512), flip_y=True), config.demo.geometry)
    analysed = overlay(analysed, config.analysis.geometry)
    rois = rois_from_config(analysed, config.analysis.rois)
    q = np.sort(np.abs(q_maps(analysed).q_par[rois.labels == 2]))[150::300]
    sample = ("diffusivity", "gb_fraction", "temperature", "bow", "boundaries")
    told = {name: truths[3][name] for name in sample}
    maps = GrainBoundary(gamma=1.0 / truths[3]["mobility"], **told, q=tuple(q)).two_time(
        truths[3]["draw_seed"], size=None, t=25.0 * np.arange(100), normalised=True
    )
    expected = nonequilibrium(maps.mean(axis=0))
    assert truths[3]["s_noneq"][1] == pytest.approx(expected.s_noneq, abs=1e-4)

    # More than one trigger is more than one draw: no single truth.
    feed.set(Conditions(temperature=471.0, frame_time=25.0, frames=100, triggers=2))
    assert "s_noneq" not in feed.truth


def test_smooth_traces_have_the_covariance_they_promise() -> None:
    model = SmoothTraces(seed=4, beam_rms=2.0, correlation_time=10.0)
    elapsed = np.arange(200_000) * 1.0
    beam = model.values(elapsed, 300.0, 0)["beam_x"]
    # The mean of products of a process correlated over 10 samples: standard error about 4 sqrt(2 x 10 / N) = 0.04.
    for lag in (0, 5, 20):
        assert np.mean(beam[: len(beam) - lag] * beam[lag:]) == pytest.approx(4.0 * np.exp(-lag / 10.0), abs=0.2)


def test_recorded_traces_go_on_where_they_stopped_and_end() -> None:
    columns = {key: np.arange(10.0) + i for i, key in enumerate(("sample_temperature", "ring_current"))}
    columns |= {"beam_x": np.zeros(10), "beam_y": np.zeros(10)}
    side = SideTraces(RecordedTraces(columns))
    side.prepare((4, 0.5))
    rows: list[Any] = []
    for _ in range(2):
        side.kickoff()
        rows += [row for page in side.collect_pages() for row in page["data"]["ring_current"]]
    assert rows == [1, 2, 3, 4, 5, 6, 7, 8]
    assert list(side.collect_pages()) == []
    with pytest.raises(SeriesError, match="rows 8 to 11"):
        side.kickoff()
