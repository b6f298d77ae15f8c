"""How a series is cut: holds and ramps, gates, and numbers of one segment that know nothing of the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline import analyze, one_time, open_series, two_time
from gbx_beamline.care._holds import find_holds
from gbx_beamline.care._timeline import Timeline, lay_out
from gbx_beamline.config import AnalysisConfig, HoldConfig, TracesConfig, parse_config
from gbx_beamline.correlation import fit_kinetics
from gbx_beamline.errors import InputError
from gbx_beamline.exchange._record import AGES, WholeRecord
from gbx_beamline.figures import scan_report
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.pipeline import infer
from gbx_beamline.records import Predictor, Refusal, ScanResult
from gbx_beamline.simulation import SpeckleMovie
from gbx_beamline.traces import Placed, Reading, Readings
from gbx_beamline.traces._placing import Channel

Kelvins = NDArray[np.float64]
T = np.arange(2500.0)


def noisy(kelvins: Kelvins) -> Kelvins:
    return kelvins + np.random.default_rng(0).normal(0.0, 0.02, len(kelvins))


def cut(kelvins: Kelvins, **settings: float) -> list[tuple[int, int, bool]]:
    return [tuple(part) for part in find_holds(noisy(kelvins), 1.0, HoldConfig(**settings))]  # type: ignore[misc]


# --- holds and ramps


@pytest.mark.parametrize("kelvins", [300 + 0 * T, 300 + 0.8 * np.sin(T / 50), 300 + 1.5 * T / 2500])
def test_what_stays_within_the_band_is_one_hold(kelvins: Kelvins) -> None:
    assert cut(kelvins) == [(0, 2500, True)]


def test_a_stage_that_approaches_its_setpoint() -> None:
    """Within 1 K from ln(50) time constants on."""
    parts = cut(300 + 50 * (1 - np.exp(-np.maximum(T - 1200, 0) / 60)))
    assert [hold for *_, hold in parts] == [True, False, True]
    assert parts[0][1] == pytest.approx(1201, abs=2)
    assert parts[2][0] == pytest.approx(1200 + 60 * np.log(50), abs=15)


@pytest.mark.parametrize("per_minute", [0.1, 0.3, 1.0, 10.0])
def test_a_ramp_is_no_hold_however_slow(per_minute: float) -> None:
    assert cut(300 + T * per_minute / 60) == [(0, 2500, False)]


def test_a_slow_ramp_between_holds_joins_neither() -> None:
    """0.3 K a minute over 6 K: each hold ends where the ramp leaves its band, after 200 s."""
    parts = cut(300 + np.clip((T - 600) * 0.3 / 60, 0, 6))
    assert [hold for *_, hold in parts] == [True, False, True]
    np.testing.assert_allclose([parts[0][1], parts[2][0]], [800, 1600], atol=8)


def test_there_and_back_again_is_three_holds() -> None:
    parts = cut(300 + np.interp(T, [0, 800, 900, 1400, 1500, 2500], [0, 0, 20, 20, 0, 0]))
    assert [hold for *_, hold in parts] == [True, False, True, False, True]


def test_a_wrong_reading_is_no_ramp() -> None:
    kelvins = 300 + 0 * T
    kelvins[700:702] = 20.0
    assert cut(kelvins) == [(0, 2500, True)]


def test_a_hold_shorter_than_it_takes_to_settle_is_none() -> None:
    kelvins = 300 + np.interp(T, [0, 1000, 1060, 1100, 1160, 2500], [0, 0, 10, 10, 20, 20])
    assert [hold for *_, hold in cut(kelvins)] == [True, False, True]
    assert [hold for *_, hold in cut(kelvins, settle_s=30)] == [True, False, True, False, True]


def test_no_temperature_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="no temperature in any frame"):
        find_holds(np.full(10, np.nan), 1.0, HoldConfig())


# --- gates

FRAMES = 200


def timeline(
    traces: dict[str, NDArray[Any]], dark: slice = slice(0, 0), breaks: tuple[int, ...] = (), **settings: Any
) -> Timeline:
    channels = {name: {"stream": "s", "key": name} for name in traces}
    found = {
        name: Channel(values=np.asarray(values, dtype=np.float64), unit="", source=name, readings=FRAMES)
        for name, values in traces.items()
    }
    placed = Placed(frames=FRAMES, frame_time=0.5, channels=found, breaks=breaks)
    conditions = TracesConfig.model_validate({"channels": channels, **settings})
    no_beam = np.zeros(FRAMES, dtype=bool)
    no_beam[dark] = True
    return lay_out(no_beam, np.where(no_beam, 0.0, 1000.0), np.ones(FRAMES, dtype=bool), placed, conditions)


def kinds(found: Timeline) -> list[tuple[str, int]]:
    return [(part.kind, part.start) for part in found.segments]


def switch(off: slice) -> NDArray[np.float64]:
    values = np.ones(FRAMES)
    values[off] = 0.0
    return values


def test_feedback_that_was_off_cuts_and_settles() -> None:
    gate = {"trace": "feedback", "above": 0.5, "reason": "feedback off", "settle_s": 5.0}
    found = timeline({"feedback": switch(slice(80, 100))}, gates=[gate])
    assert kinds(found) == [("beam", 0), ("gated", 80), ("settling", 100), ("beam", 110)]
    assert np.flatnonzero(found.left_out["feedback off"]).tolist() == list(range(80, 100))
    assert np.flatnonzero(found.left_out["settling"]).tolist() == list(range(100, 110))
    assert found.segments[1].reason == "feedback off"


def test_a_shutter_that_saves_dose_leaves_frames_out_and_cuts_nothing() -> None:
    """Behind it the frames are dark, which is no dump: the trace says why. It lags by a frame."""
    gate = {"trace": "shutter", "above": 0.5, "reason": "shutter closed", "cuts": False}
    found = timeline({"shutter": switch(slice(81, 100))}, dark=slice(80, 100), gates=[gate])
    assert kinds(found) == [("beam", 0)]
    assert not found.left_out["no beam"].any()
    assert np.flatnonzero(found.left_out["shutter closed"]).tolist() == list(range(80, 100))
    without = timeline({"shutter": switch(slice(81, 100))}, dark=slice(80, 100))
    assert kinds(without) == [("beam", 0), ("no beam", 80), ("beam", 100)]


def test_a_dump_may_be_correlated_across_where_that_is_wanted() -> None:
    found = timeline({}, dark=slice(80, 100), dump_cuts=False)
    assert kinds(found) == [("beam", 0)]
    assert np.flatnonzero(found.left_out["no beam"]).tolist() == list(range(80, 100))
    assert found.notes == ("frames before and after a stretch without beam are correlated, as configured",)


def test_a_jump_of_the_clock_cuts() -> None:
    assert kinds(timeline({}, breaks=(90,))) == [("beam", 0), ("beam", 90)]


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ({"trace": "i0", "above": 0.5, "reason": "dim"}, "gate 'dim' not applied: no trace 'i0'"),
        (
            {"trace": "a", "above": "3 mA", "reason": "dim"},
            "gate 'dim' not applied: dim: above is '3 mA'",
        ),
    ],
)
def test_a_gate_that_cannot_be_applied_is_said(gate: dict[str, Any], words: str) -> None:
    channels = {"a": {"stream": "s", "key": "a"}, "i0": {"stream": "s", "key": "i0", "required": False}}
    placed = Placed(
        frames=4, frame_time=1.0, channels={"a": Channel(values=np.ones(4), unit="", source="s/a", readings=4)}
    )
    conditions = TracesConfig.model_validate({"channels": channels, "gates": [gate]})
    nothing = np.zeros(4, dtype=bool)
    found = lay_out(nothing, np.ones(4), ~nothing, placed, conditions)
    assert words in found.notes[0]
    assert not found.left_out["dim"].any()


# --- a part of a map


@pytest.fixture(scope="module")
def counts() -> NDArray[np.uint16]:
    return SpeckleMovie((48, 48), 96, rate=0.05, modes=2, mean_counts=2.0, seed=4).read(0, 96)


def test_the_part_of_a_map_is_the_map_of_the_part(counts: NDArray[np.uint16]) -> None:
    """Also in what follows from it: nothing of the frames outside gets in."""
    labels = np.ones((48, 48), dtype=np.int32)
    start, stop = 24, 80
    part = two_time(counts, labels, frame_time=0.5).between(start, stop)
    alone = two_time(counts[start:stop], labels, frame_time=0.5)
    np.testing.assert_array_equal(part.g2, alone.g2)
    np.testing.assert_array_equal(part.diagonal, alone.diagonal)
    np.testing.assert_array_equal(part.frame_means, alone.frame_means)
    np.testing.assert_allclose(part.mean_counts, alone.mean_counts)
    assert part.group_maps is not None
    np.testing.assert_array_equal(part.group_maps, alone.group_maps)
    np.testing.assert_array_equal(one_time(part).g2, one_time(alone).g2)
    assert nonequilibrium(part)[0].s_noneq == nonequilibrium(alone)[0].s_noneq


def test_group_cells_that_straddle_an_edge_are_left_out(counts: NDArray[np.uint16]) -> None:
    labels = np.ones((48, 48), dtype=np.int32)
    whole = two_time(counts, labels, max_cells=32)
    assert whole.groups[0].frames_per_cell == 3
    assert whole.group_maps is not None
    part = whole.between(25, 80)
    assert part.group_maps is not None
    # Frames 25 to 79 hold the cells 9 to 25 (frames 27 to 77); 55 rows make room for 18.
    assert part.group_maps.shape[-1] == 18
    np.testing.assert_array_equal(part.group_maps[..., :17, :17], whole.group_maps[..., 9:26, 9:26])
    assert np.isnan(part.group_maps[..., 17, :]).all()
    corrected = nonequilibrium(part)[0].corrected
    assert corrected is not None
    assert corrected.status == "ok"
    assert fit_kinetics(part, ages=0)[0].status == "ok"
    assert whole.between(0, 96) is whole


# --- the chain without a catalog

SETTLED = {"hold": {"within_k": 1.0, "settle_s": 4.0}}


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory, counts: NDArray[np.uint16]) -> Callable[..., ScanResult]:
    path: Path = tmp_path_factory.mktemp("rois") / "rois.npy"
    np.save(path, np.ones((48, 48), dtype=np.int32))

    def done(kelvins: Kelvins, **traces: Any) -> ScanResult:
        rows = np.arange(96.0) * 0.5
        found = Reading(source="t/T", values=kelvins, stamps=rows, elapsed=rows, unit="K")
        channels = {"temperature": {"stream": "t", "key": "T"}}
        analysis = {"rois": {"labels": str(path)}, "traces": {"channels": channels, **SETTLED, **traces}}
        settings: AnalysisConfig = parse_config({"analysis": analysis}).analysis
        return analyze(
            open_series(counts, frame_time=0.5), settings, readings=Readings(channels={"temperature": found})
        )

    return done


class _Asked:
    """A predictor that must not be asked."""

    id = "gbx-test"

    def predict(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("asked")


def test_a_series_taken_during_a_ramp_is_analysed_and_not_judged(analysed: Callable[..., ScanResult]) -> None:
    result = analysed(np.linspace(300.0, 340.0, 96))
    assert [part.kind for part in result.exclusions.segments] == ["ramp"]
    assert result.two_time.valid_frames.all()
    assert any("the temperature holds nowhere" in flag for flag in result.flags)
    assert result.scan.temperature == pytest.approx(320.0, abs=0.5)
    judge = _Asked()
    assert isinstance(judge, Predictor)
    outcome = infer(result, judge).outcome
    assert isinstance(outcome, Refusal)
    assert "the temperature changes from 300 to 340 K over the analysed frames" in outcome.reason


def test_two_holds_have_numbers_of_their_own(analysed: Callable[..., ScanResult]) -> None:
    result = analysed(np.repeat([300.0, 310.0], [40, 56]))
    assert [part.kind for part in result.exclusions.segments] == ["hold", "settling", "hold"]
    assert result.analysed == (48, 96)
    assert [(one.rows, one.chosen) for one in result.segments] == [((0, 40), False), ((48, 96), True)]
    assert result.scan.temperature == 310.0
    # The numbers are those that the part has by itself.
    alone = nonequilibrium(result.two_time.between(48, 96))[0]
    assert result.nonequilibrium[0].s_noneq == alone.s_noneq
    assert result.segments[1].rois[0].s_noneq == alone.s_noneq
    assert result.jumps[0].status == "ok" or result.jumps[0].jumps == ()


def test_segments_that_are_too_short_say_so(analysed: Callable[..., ScanResult]) -> None:
    result = analysed(np.repeat([300.0, 310.0], [40, 56]), shortest_s=22.0)
    assert result.segments == ()
    assert result.exclusions.segments[0].reason == "too short"
    assert "0 to 20 s not analysed: too short" in result.flags
    with pytest.raises(InputError, match=r"2 segments .*, the longest of 48 good frames; needed: 8 frames and 30 s"):
        analysed(np.repeat([300.0, 310.0], [40, 56]), shortest_s=30.0)


def test_without_a_hold_condition_a_step_cuts_nothing(analysed: Callable[..., ScanResult]) -> None:
    result = analysed(np.repeat([300.0, 310.0], [40, 56]), hold=None)
    assert [part.kind for part in result.exclusions.segments] == ["beam"]
    assert result.analysed is None
    assert result.scan.temperature == pytest.approx((40 * 300 + 56 * 310) / 96, abs=1e-3)


def test_what_is_exported_knows_nothing_of_the_other_hold(analysed: Callable[..., ScanResult]) -> None:
    result = analysed(np.repeat([300.0, 310.0], [40, 56]))
    whole = WholeRecord(key="", created=0.0, result=result)
    np.testing.assert_array_equal(whole.of_maps().g2, one_time(result.two_time.between(48, 96)).g2)
    assert [(start, stop) for start, stop, _ in whole.of_ages()][:: AGES - 1] == [(24.0, 28.5), (43.0, 48.0)]


def test_the_report_draws_traces_under_the_map_on_its_time_axis(analysed: Callable[..., ScanResult]) -> None:
    result = analysed(np.repeat([300.0, 310.0], [40, 56]))
    page = scan_report(result)
    maps = [axes for axes in page.axes if axes.images and axes.get_xlabel() == "t1 (s)"]
    whole = next(axes for axes in maps if axes.get_xlim() == (0.0, 48.0))
    box = whole.get_position()
    below = [
        axes
        for axes in page.axes
        if axes.lines and axes.get_position().x0 == pytest.approx(box.x0) and axes.get_position().y1 < box.y0
    ]
    strip = [axes for axes in below if axes.get_xlim() == (0.0, 48.0)]
    assert len(strip) == 2, "counts and temperature"
    assert all(axes.get_position().x1 == pytest.approx(box.x1) for axes in strip)
    assert all(len(axes.patches) == len(result.exclusions.segments) for axes in strip), "segments are shaded"
    np.testing.assert_allclose(strip[1].lines[-1].get_ydata(), np.repeat([300.0, 310.0], [40, 56]))
    # The drift belongs to the segment that was analysed, on the time of the series.
    assert any(axes.get_xlim() == (24.0, 48.0) for axes in maps)
    said = " ".join(text.get_text().replace("\n", " ") for text in page.texts)
    assert "0 to 20 s, 300.0 K: S_noneq" in said
    assert "20 to 24 s, 310.0 K: settling" in said
    assert "numbers are of 24 to 48 s" in said
