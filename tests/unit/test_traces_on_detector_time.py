"""Readings of a run's streams: units, words, clocks, and where they land on the frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gbx_beamline.config import ChannelConfig, DoseConfig, TracesConfig
from gbx_beamline.errors import InputError
from gbx_beamline.quantities import number_and_unit, unit_of
from gbx_beamline.traces import (
    ClockFacts,
    Placed,
    Reading,
    Readings,
    exposure_of,
    first_frame,
    limit_of,
    place,
    record_of,
)

T0 = 1.7e9
FRAMES, FRAME_TIME = 100, 2.0
RUN = ClockFacts(run_start=T0 - 3.0, run_stop=T0 + 202.0, series_end=T0 + 200.0)


def reading(values: Any, times: Any, unit: str | None = None, **others: Any) -> Reading:
    stamps = T0 + np.asarray(times, dtype=np.float64)
    return Reading(source="stream/key", values=np.asarray(values), stamps=stamps, unit=unit, **others)


def placed(found: Reading, *, name: str = "temperature", clock: ClockFacts = RUN, **channel: Any) -> Placed:
    settings = TracesConfig(channels={name: ChannelConfig(stream="stream", key="key", **channel)})
    readings = Readings(channels={name: found}, clock=clock)
    return place(readings, settings, frames=FRAMES, frame_time=FRAME_TIME, set_temperature=420.0)


@pytest.mark.parametrize(
    ("unit", "si", "value"),
    [
        ("K", "K", 1.0),
        ("degC", "K", 274.15),
        ("°C", "K", 274.15),
        ("mA", "A", 1e-3),
        ("UM", "m", 1e-6),
        ("mm", "m", 1e-3),
        ("%", "1", 0.01),
        ("counts/s", "1/s", 1.0),
    ],
)
def test_units_of_archivers_become_si(unit: str, si: str, value: float) -> None:
    found = unit_of(unit)
    assert found is not None
    assert found.si == si
    assert 1.0 * found.factor + found.zero == pytest.approx(value)


def test_what_is_no_unit_is_not_guessed() -> None:
    assert unit_of("furlong") is None
    assert number_and_unit("147.9 degC") == (147.9, "degC")
    assert number_and_unit("-1.5e3") == (-1500.0, "")
    assert number_and_unit("Open") is None


@pytest.mark.parametrize("values", [np.full(11, 147.85), ["147.85"] * 11, ["147.85 degC"] * 11])
def test_celsius_as_numbers_and_as_text(values: Any) -> None:
    found = placed(reading(values, np.linspace(0, 200, 11), "C"))
    assert found.get("temperature") == pytest.approx(421.0)
    assert found.channels["temperature"].unit == "K"
    assert found.notes == ()


@pytest.mark.parametrize(
    ("values", "unit", "channel", "words"),
    [
        (147.85, None, {}, "without a unit, no temperature: state unit K or degC"),
        (147.85, "mA", {}, "in 'mA', no temperature"),
        (147.85, "K", {}, "it is 147.8 K, 273 K below the 420 K of the start document"),
        (-12.0, "K", {}, "falls to -12 K, no temperature"),
        ("n/a", "K", {}, "holds 'n/a', no number"),
        ("147.85 C", None, {"unit": "K"}, "contradicts itself: its unit is 'C' and 'K'"),
        (np.nan, "K", {}, "holds 'nan', no number"),
    ],
)
def test_a_temperature_that_cannot_be_used_says_why(
    values: Any, unit: str | None, channel: dict[str, Any], words: str
) -> None:
    found = placed(reading([values] * 11, np.linspace(0, 200, 11), unit), **channel)
    assert found.get("temperature") is None
    (note,) = found.notes
    assert words in note


def test_a_configured_unit_wins_and_that_is_said() -> None:
    found = placed(reading(np.full(11, 147.85), np.linspace(0, 200, 11), "K"), unit="degC")
    assert found.get("temperature") == pytest.approx(421.0)
    assert found.notes == ("trace temperature: stream/key is in 'K' by its stream, taken in 'degC' as configured",)


def test_readings_in_a_frame_are_averaged_and_between_frames_lie_on_a_line() -> None:
    often = np.arange(0.0, 200.0, 0.5)
    fast = placed(reading(often, often, "mA"), name="ring_current").get("ring_current")
    # Four readings a frame: its mean is that of 0, 0.5, 1, 1.5 s after its start.
    np.testing.assert_allclose(fast, (np.arange(FRAMES) * FRAME_TIME + 0.75) * 1e-3)
    seldom = np.array([0.0, 50.0, 200.0])
    slow = placed(reading(10 * seldom, seldom, "mA"), name="ring_current").get("ring_current")
    assert slow is not None
    np.testing.assert_allclose(slow[30], 10e-3 * 61.0)


def test_switches_hold_until_they_change() -> None:
    found = placed(
        reading(["Open", "Closed", "Open"], [-1.0, 40.0, 60.0]), name="shutter", states={"Open": 1, "Closed": 0}
    )
    expected = np.ones(FRAMES)
    expected[20:30] = 0.0
    np.testing.assert_array_equal(found.get("shutter"), expected)
    assert found.notes == ()


def test_a_stream_that_tells_detector_time_needs_no_clock() -> None:
    rows = np.arange(FRAMES) * FRAME_TIME
    found = placed(reading(300.0 + rows, rows + 5000.0, "K", elapsed=rows), clock=ClockFacts())
    np.testing.assert_allclose(found.get("temperature"), 300.0 + rows)
    assert found.clock == "as the stream tells it"


def test_readings_from_another_time_are_not_used() -> None:
    found = placed(reading(np.full(11, 400.0), np.linspace(0, 200, 11) + 3600.0, "K"))
    assert found.get("temperature") is None
    (note,) = found.notes
    assert "clocks disagree: the readings of stream/key lie from 3600 to 3800 s, the frames from 0 to 200 s" in note
    assert "traces.clock.offset_s" in note


def test_a_trace_that_ends_early_is_known_as_far_as_it_goes() -> None:
    times = np.arange(0.0, 101.0, 10.0)
    found = placed(reading(np.full(11, 400.0), times, "K"))
    values = found.get("temperature")
    assert values is not None
    assert np.flatnonzero(np.isfinite(values))[-1] == 59, "two readings' spacing beyond the last"
    assert found.notes == ("trace temperature: known in 60 of 100 frames",)


def test_an_array_a_reading_is_no_trace() -> None:
    found = placed(reading(np.zeros((3, 20)), [0, 1, 2], "K"))
    assert found.get("temperature") is None
    assert "holds arrays of shape (20,)" in found.notes[0]


# --- the clock


def test_the_detector_date_is_believed_within_the_run() -> None:
    date = "2023-11-14T22:13:20.000000123+00:00"
    found = first_frame(RUN, FRAMES, FRAME_TIME, collected=date)
    assert (found.time, found.notes) == (T0, ())
    wrong = first_frame(RUN, FRAMES, FRAME_TIME, collected="2023-11-14T21:13:20+00:00")
    assert wrong.time == T0
    assert wrong.words.startswith("first frame by the end of the series")
    assert wrong.notes == ("clocks disagree: by the detector's date the series begins 3597 s before the run starts",)
    without_zone = first_frame(RUN, FRAMES, FRAME_TIME, collected="2023-11-14T22:13:20")
    assert without_zone.words.startswith("first frame by the end of the series")


def test_a_run_shorter_than_its_frames_says_so() -> None:
    short = ClockFacts(run_start=T0, run_stop=T0 + 5.0, series_end=T0 + 4.0)
    found = first_frame(short, FRAMES, FRAME_TIME)
    assert found.time == T0
    assert "the frames last 200 s, the run 4 s by its documents" in found.notes[0]


def test_time_stamps_of_frames_show_gaps() -> None:
    stamps = T0 + np.arange(FRAMES) * FRAME_TIME
    stamps[40:] += 30.0
    facts = ClockFacts(run_start=T0 - 1, run_stop=T0 + 240, series_end=T0 + 239, frames=reading(stamps, [0.0]))
    found = first_frame(facts, FRAMES, FRAME_TIME)
    assert found.breaks == (40,)
    assert "frames 39 and 40 are 32 s apart" in found.notes[0]
    # A reading taken at frame 60 lands on row 60 of the maps.
    np.testing.assert_allclose(found.detector_time(stamps[[60]], FRAME_TIME), [120.0])
    few = first_frame(ClockFacts(frames=reading(stamps[:50], [0.0]), series_end=T0 + 200.0), FRAMES, FRAME_TIME)
    assert few.breaks == ()
    assert "50 time stamps for 100 frames" in few.notes[0]


# --- limits, dose, record


def test_limits_need_the_unit_of_their_trace() -> None:
    assert limit_of("100 mA", "A", "gate") == pytest.approx(0.1)
    assert limit_of(0.5, "", "gate") == 0.5
    assert limit_of("20 degC", "K", "gate") == pytest.approx(293.15)
    with pytest.raises(InputError, match=r"gate is 100, the trace is in A; .*; write it with a unit"):
        limit_of(100, "A", "gate")
    with pytest.raises(InputError, match="the trace is without a unit"):
        limit_of("100 mA", "", "gate")


def lit(ring: float = 0.4, **settings: Any) -> tuple[Placed, DoseConfig]:
    times = np.linspace(-5, 205, 43)
    return placed(reading(np.full(43, ring), times, "A"), name="ring_current"), DoseConfig(**settings)


def test_the_dose_is_transmission_times_flux_times_time() -> None:
    traces, settings = lit(0.2, flux=1e10, monitor="ring_current", reference="400 mA")
    dark = np.zeros(FRAMES, dtype=bool)
    dark[:25] = True
    found = exposure_of(traces, settings, {"transmission": 0.1}, dark=dark)
    assert found.seconds == 150.0
    assert found.full_beam == pytest.approx(0.1 * 0.5 * 150.0)
    assert found.photons == pytest.approx(1e10 * 7.5)
    assert found.unknown == ("position: no channels stated (analysis.dose.position)",)


@pytest.mark.parametrize(
    ("start", "settings", "words"),
    [
        ({}, {"flux": 1e10}, "transmission: not in the start document"),
        ({"transmission": 10.0}, {"flux": 1e10}, "transmission: 10 by the start document is no fraction"),
        ({"transmission": "10 %"}, {"flux": 1e10}, "transmission: '10 %' in the start document"),
        ({"transmission": 0.1}, {}, "flux: not stated"),
        ({"transmission": 0.1}, {"flux": 1e10, "monitor": "i0", "reference": 1.0}, "trace 'i0' is not known"),
        (
            {"transmission": 0.1},
            {"flux": 1e10, "monitor": "ring_current", "reference": "400 mm"},
            "intensity: dose.reference is '400 mm', the trace is in A",
        ),
    ],
)
def test_an_unknown_dose_is_unknown_and_says_why(start: dict[str, Any], settings: dict[str, Any], words: str) -> None:
    traces, dose = lit(**settings)
    found = exposure_of(traces, dose, start, dark=np.zeros(FRAMES, dtype=bool))
    assert np.isnan(found.photons)
    assert any(words in text for text in found.unknown)


def test_the_record_keeps_means_over_cells() -> None:
    rows = np.arange(FRAMES) * FRAME_TIME
    traces = record_of(placed(reading(300.0 + rows, rows, "K", elapsed=rows)), most_cells=30)
    assert (traces.frames_per_cell, traces.cell) == (4, 8.0)
    values = traces["temperature"].values
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, 300.0 + rows.reshape(-1, 4).mean(axis=1))
    np.testing.assert_allclose(traces.time, (np.arange(25) + 0.5) * 8.0)
    assert "ring_current" not in traces
