"""What the viewer shows, without Qt and without a server."""

from __future__ import annotations

import io
import math
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gbx_beamline.catalog import Entry, LiveSummary
from gbx_beamline.config import parse_config
from gbx_beamline.errors import CatalogError, GbxError, InputError
from gbx_beamline.geometry import q_maps
from gbx_beamline.records import (
    SCHEMA_VERSION,
    Estimate,
    Flag,
    FloorRoi,
    Geometry,
    Inference,
    InstrumentFloor,
    NoFloor,
    Refusal,
    ScanInference,
    ScanInfo,
)
from gbx_viewer.model import saying
from gbx_viewer.model.detector import Detector, picture, q_at, under
from gbx_viewer.model.export import COLUMNS, OnScreen, as_csv, as_report
from gbx_viewer.model.filtering import Filter
from gbx_viewer.model.focus import Focus, wanted
from gbx_viewer.model.headline import figures
from gbx_viewer.model.inference import contours, verdict, way
from gbx_viewer.model.kept import Kept, load_kept, save_kept
from gbx_viewer.model.maps import NO_VALUE, age_cut, auto_limits, lag_cut, tile, value_at
from gbx_viewer.model.phase_map import PhaseMap, conditions_of, grid, keep, kept
from gbx_viewer.model.queue import _queue, read_queue
from gbx_viewer.model.runs import RunBook, RunRow, Status
from gbx_viewer.model.scan import TimeMap
from gbx_viewer.model.session import FIRST_WAIT, Session
from gbx_viewer.model.trend import Against, trend, with_floor

NAN = math.nan


def run_entry(uid: str, *, started: float = 1000.0, stopped: float | None = 1100.0, **facts: Any) -> Entry:
    known = {"uid": uid, "time": started, "sample": "gold", "temperature": 400.0, "stopped": stopped, "exit": "success"}
    return Entry(uid, known | facts)


def roi_facts(**changed: Any) -> dict[str, Any]:
    by_age = [{"start": 0.0, "stop": 50.0, "value": 0.2, "low": 0.1, "high": 0.3}]
    return {
        "name": "ring",
        "q_par": 4.5e8,
        "q_z": 0.0,
        "pixels": 400,
        "mean_counts": 0.5,
        "contrast": 0.1,
        "status": "ok",
        "s_noneq": 0.6,
        "s_noneq_norm": 0.77,
        "bare_drift": 0.2,
        "corrected_status": "ok",
        "value": 0.4,
        "low": 0.3,
        "high": 0.5,
        "drift": 0.15,
        "by_age": by_age,
    } | changed


def record_entry(uid: str, *, key: str = "", created: float = 2000.0, **facts: Any) -> Entry:
    known: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "run": uid,
        "sample": "gold",
        "temperature": 400.0,
        "started": 1000.0,
        "created": created,
        "status": "complete",
        "rois": [roi_facts()],
        "flags": ["3 frames left out: empty"],
    }
    return Entry(key or f"{uid}-settings-2", known | facts)


def failure_entry(uid: str, *, created: float = 2000.0, reason: str = "no q-ROI is configured") -> Entry:
    return record_entry(uid, key=f"{uid}-settings-2-failed", created=created, status="failed", reason=reason, rois=None)


def live_summary(uid: str, *, state: str = "running", frames: int = 40, reason: str = "") -> LiveSummary:
    facts: Mapping[str, Any] = {
        "run_uid": uid,
        "rule": "default",
        "state": state,
        "reason": reason,
        "revision": 7,
        "changed": 1500.0,
        "frames": frames,
        "expected": 100,
        "scan": {"sample": "gold", "temperature": 400.0, "started": 1000.0},
        "names": ["ring"],
        "shares": [],
        "flags": [],
    }
    return LiveSummary(uid, facts)


def only(book: RunBook) -> RunRow:
    (row,) = book.rows()
    return row


def map_of(values: np.ndarray, **changed: Any) -> TimeMap:
    known: dict[str, Any] = {"kind": "g2", "cell": 2.0, "frames_per_cell": 1, "contrast": 0.2, "baseline": 1.0}
    return TimeMap(values=values.astype(np.float32), diagonal="left out", **(known | changed))


def test_the_model_loads_without_qt() -> None:
    names = (
        "session",
        "feed",
        "loops",
        "reading",
        "detector",
        "inference",
        "phase_map",
        "comparing",
        "export",
        "queue",
    )
    loading = f"for name in {names!r}: __import__('gbx_viewer.model.' + name)"
    code = f"import sys\n{loading}\nprint([name for name in sys.modules if 'Qt' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- the list of runs


def test_a_run_goes_from_running_to_analysed() -> None:
    book = RunBook()
    book.hear_runs([run_entry("a", stopped=None)])
    assert only(book).status is Status.RUNNING
    book.hear_live([live_summary("a")])
    assert "40 of 100 frames" in saying.second_line(only(book))
    book.hear_runs([run_entry("a")])
    assert only(book).status is Status.WAITING
    assert book.hear_records([record_entry("a")]) == {"a"}
    row = only(book)
    assert (row.status, row.sample, row.temperature, row.record) == (Status.ANALYSED, "gold", 400.0, "a-settings-2")
    assert "S 0.40 ± 0.10" in saying.second_line(row)
    assert book.hear_records([record_entry("a")]) == set(), "nothing new is no change"


def test_a_result_comes_before_a_failure_and_a_newer_one_before_an_older() -> None:
    book = RunBook()
    book.hear_records([failure_entry("a", created=1.0)])
    assert (only(book).status, only(book).why) == (Status.FAILED, "no q-ROI is configured")
    book.hear_records([record_entry("a", created=2.0), failure_entry("a", created=9.0)])
    book.hear_records([record_entry("a", key="a-other-2", created=3.0)])
    assert (only(book).record, only(book).records) == ("a-other-2", 3)


@pytest.mark.parametrize("version", [None, 1, 99, "two"])
def test_a_record_of_another_schema_says_so(version: Any) -> None:
    book = RunBook()
    book.hear_records([record_entry("a", schema=version, rois=None)])
    row = only(book)
    assert row.status is Status.UNREADABLE
    assert str(version) in row.why
    assert wanted(row).message == row.why


def test_a_run_that_stopped_sending_is_stale_and_says_why() -> None:
    book = RunBook()
    book.hear_runs([run_entry("a", stopped=None)])
    book.hear_live([live_summary("a", state="stale", frames=0, reason="no file for 120 s")])
    assert only(book).status is Status.STALE
    assert "no file for 120 s" in wanted(only(book)).message
    assert book.hear_live([]) == {"a"}, "swept away"


def test_what_a_run_does_not_say_is_no_obstacle() -> None:
    book = RunBook()
    bare = {"uid": "a", "time": None, "sample": {"name": "gold"}, "temperature": "hot", "stopped": None, "exit": None}
    book.hear_runs([Entry("a", bare), Entry("b", {})])
    book.hear_records([record_entry("c", rois=None, flags=None), Entry("d", {})])
    rows = {row.uid: row for row in book.rows()}
    assert set(rows) == {"a", "c"}
    assert rows["a"].sample == "gold"
    assert math.isnan(rows["a"].temperature)
    assert math.isnan(rows["a"].started)
    for row in rows.values():
        assert saying.tip(row)
        assert figures(row, row.headline)


def test_celsius_in_a_string_is_understood_as_chx_writes_it() -> None:
    book = RunBook()
    book.hear_runs([run_entry("a", temperature=None, T_sample="151.85")])
    assert only(book).temperature == pytest.approx(425.0)


# --- the filter


@pytest.fixture
def row() -> RunRow:
    book = RunBook()
    book.hear_records([record_entry("abcd-1", started=time.time())])
    return only(book)


@pytest.mark.parametrize(
    "typed",
    ["", "gold", "GOLD", "abcd", "T>399", "T<=400", "T:390-410", "S>0.3", "status:analysed", "status:an", "today"],
)
def test_filters_that_let_a_run_through(row: RunRow, typed: str) -> None:
    assert Filter(typed)(row)


@pytest.mark.parametrize("typed", ["silver", "gold T>400", "T:401-500", "S<0.3", "status:failed", "since:2100-01-01"])
def test_filters_that_do_not(row: RunRow, typed: str) -> None:
    assert not Filter(typed)(row)


@pytest.mark.parametrize("typed", ["T>hot", "T:", "status:wrong", "since:yesterday", "on:2026-13-45", "S="])
def test_a_condition_that_is_none_is_refused_with_the_way_to_write_it(typed: str) -> None:
    with pytest.raises(InputError, match="needed"):
        Filter(typed)


# --- which run is on screen


def test_following_takes_the_newest_run_that_has_something_to_show() -> None:
    book, focus = RunBook(), Focus()
    book.hear_runs([run_entry("old", started=1.0), run_entry("new", started=2.0, stopped=None)])
    book.hear_records([record_entry("old")])
    assert focus.settle(book.rows()) is book.row("old")
    book.hear_live([live_summary("new")])
    assert focus.settle(book.rows()) is book.row("new")
    newest = book.row("new")
    assert newest is not None
    assert wanted(newest).live == ("new", "default")
    focus.pin("old")
    book.hear_records([record_entry("new", created=5.0)])
    assert focus.settle(book.rows()) is book.row("old")
    focus.follow()
    assert focus.settle(book.rows()) is book.row("new")
    assert focus.settle(()) is None


# --- maps


def test_a_tile_holds_area_means_and_its_colours_are_within_a_step_of_them() -> None:
    values = np.add.outer(np.arange(100.0), np.arange(100.0))
    shown = map_of(values)
    drawn = tile(shown, (0.0, 254.0), most=25)
    means = values.reshape(25, 4, 25, 4).mean(axis=(1, 3))
    assert (drawn.frames_per_cell, drawn.span) == (4, (200.0, 200.0))
    assert np.abs(drawn.image - means).max() < 1.0


def test_a_tile_of_a_part_lies_where_the_part_lies() -> None:
    drawn = tile(map_of(np.eye(100)), (0.0, 1.0), t1=(20.0, 60.0), t2=(-5.0, 30.0))
    assert drawn.image.shape == (20, 15)
    assert (drawn.start, drawn.span) == ((20.0, 0.0), (40.0, 30.0))
    assert drawn.image[5, 15 - 1] == 0
    assert drawn.image[0, 10] == 254, "t1 = t2 = 20 s"


def test_frames_without_a_value_have_a_colour_of_their_own() -> None:
    values = np.ones((40, 40))
    values[10:20], values[:, 10:20] = NAN, NAN
    drawn = tile(map_of(values), (0.0, 1.0))
    assert (drawn.image[10:20] == NO_VALUE).all()
    assert (drawn.image[:10, :10] == 254).all()
    assert tile(map_of(np.full((40, 40), NAN))).empty


def test_limits_are_not_moved_by_a_hot_cell_or_the_diagonal() -> None:
    rng = np.random.default_rng(1)
    values = 1.1 + 0.05 * rng.random((200, 200))
    before = auto_limits(map_of(values))
    values[3, 7] = values[7, 3] = 1e6
    np.fill_diagonal(values, 50.0)
    assert auto_limits(map_of(values)) == pytest.approx(before, abs=0.005)
    low, high = auto_limits(map_of(values - 1.1, kind="drift"))
    assert low == -high
    assert all(math.isfinite(limit) for limit in auto_limits(map_of(np.full((5, 5), NAN))))


def test_cuts_follow_a_closed_form() -> None:
    time_axis = 2.0 * np.arange(400)
    values = 1.0 + 0.2 * np.exp(-np.abs(time_axis[:, None] - time_axis[None]) / 60.0)
    shown = map_of(values)
    cut = lag_cut(shown, 200.0)
    np.testing.assert_allclose(cut.values, 1.0 + 0.2 * np.exp(-cut.along / 60.0), rtol=2e-3)
    assert cut.along.min() == 2.0
    over_age = age_cut(shown, -100.0)
    np.testing.assert_allclose(over_age.values, 1.0 + 0.2 * math.exp(-100.0 / 60.0), rtol=1e-6)
    assert value_at(shown, 10.0, 30.0) == pytest.approx(1.0 + 0.2 * math.exp(-20.0 / 60.0))
    assert math.isnan(value_at(shown, -1.0, 30.0))


def test_cuts_through_nothing_are_empty() -> None:
    shown = map_of(np.full((30, 30), NAN))
    assert not lag_cut(shown, 10.0).values.size
    assert not age_cut(shown, 10.0).values.size


# --- the detector


@pytest.fixture
def geometry() -> Geometry:
    return Geometry(
        shape=(30, 40),
        mode="gisaxs",
        beam_center_x=-7.5,
        beam_center_y=12.0,
        distance=10.0,
        wavelength=1.28e-10,
        pixel_size_x=75e-6,
        pixel_size_y=75e-6,
        incidence=0.004,
        tilt=0.01,
        flip_y=True,
    )


def detector_of(geometry: Geometry) -> Detector:
    labels = np.zeros((30, 40), dtype=np.int32)
    labels[5:9, 10:20] = 1
    mask = np.ones((30, 40), dtype=bool)
    mask[0] = False
    mean = np.where(mask, 2.0, NAN).astype(np.float32)
    return Detector(mean=mean, mask=mask, labels=labels, outlines=(), names=("side",), geometry=geometry)


def test_q_under_the_cursor_is_that_of_the_map(geometry: Geometry) -> None:
    maps = q_maps(geometry)
    for x, y in ((0, 0), (39, 29), (13, 21)):
        assert q_at(geometry, x, y) == pytest.approx((maps.q_par[y, x], maps.q_z[y, x]), rel=1e-12)
    assert q_at(geometry.with_changes(distance=None), 1, 1) is None
    assert q_at(None, 1, 1) is None


def test_the_cursor_says_what_lies_under_it(geometry: Geometry) -> None:
    detector = detector_of(geometry)
    inside = under(detector, detector.mean, 12, 6)
    assert "q-ROI side" in inside
    assert "1/Å" in inside
    assert "masked" in under(detector, detector.mean, 3, 0)
    assert under(detector, detector.mean, 40, 0) == ""


def test_levels_of_an_image_withstand_hot_pixels(geometry: Geometry) -> None:
    detector = detector_of(geometry)
    rng = np.random.default_rng(2)
    counts = rng.uniform(1.0, 10.0, detector.mean.shape).astype(np.float32)
    calm = picture(counts, detector.mask, "").limits
    counts[4, 4] = 1e9
    drawn = picture(np.where(detector.mask, counts, np.float32(NAN)), detector.mask, "")
    assert drawn.limits == pytest.approx(calm, rel=0.1)
    assert (drawn.image[0] == NO_VALUE).all()
    assert drawn.masked[0].min() == 255
    with pytest.raises(CatalogError, match="no pixel is lit"):
        picture(np.zeros((30, 40), dtype=np.float32), detector.mask, "")


# --- non-stationarity


def test_the_trend_takes_the_sample_and_the_roi_on_screen() -> None:
    book = RunBook()
    for order, uid in enumerate("abc"):
        book.hear_runs([run_entry(uid, started=float(order), sample="gold" if uid != "c" else "silver")])
        rois = [roi_facts(value=0.1 * order), roi_facts(name="other", value=0.9)]
        book.hear_records([record_entry(uid, temperature=400.0 - order, rois=rois)])
    shown = book.row("b")
    found = trend(book.rows(), shown, "ring", Against.TEMPERATURE)
    assert [(one.uid, one.x, one.value) for one in found.points] == [("b", 399.0, 0.1), ("a", 400.0, 0.0)]
    assert [one.value for one in trend(book.rows(), shown, "other", Against.SCAN).points] == [0.9, 0.9]
    assert len(trend(book.rows(), shown, "ring", Against.TIME, every_sample=True).points) == 3
    (age,) = trend(book.rows(), shown, "ring", Against.AGE).points
    assert (age.x, age.value, age.low, age.high) == (25.0, 0.2, 0.1, 0.3)
    assert "No dose" in trend(book.rows(), shown, "ring", Against.DOSE).why
    book.hear_records([record_entry("b", photons=3e12)])
    assert [one.x for one in trend(book.rows(), book.row("b"), "ring", Against.DOSE).points] == [3e12]
    assert trend((), None, None, Against.TIME).why


def test_the_floor_of_the_instrument_stands_beside_the_trend() -> None:
    book = RunBook()
    book.hear_records([record_entry("a")])
    found = trend(book.rows(), only(book), "ring", Against.SCAN)
    assert with_floor(found, None, "ring").floor is None
    assert "no reference here" in with_floor(found, NoFloor(reason="no reference here"), "ring").floor_words
    numbers = {"s_corrected": 0.02, "low": -0.01, "high": 0.05, "drift": 0.01, "drift_high": 0.03}
    lost = {"decay": 0.0, "decay_error": 0.1, "decay_lag": 9.0}
    one = FloorRoi(name="ring", status="ok", standing="above", words="above the floor", **numbers, **lost)
    floor = InstrumentFloor(record="r", run_uid="r", sample="static", age=60.0, rois=(one,))
    beside = with_floor(found, floor, "ring")
    assert (beside.floor, beside.drift_floor, beside.floor_words) == ((-0.01, 0.05), 0.03, "above the floor")


def test_the_headline_always_has_the_amplitude_beside_the_share() -> None:
    book = RunBook()
    book.hear_records([record_entry("a")])
    share, amplitude, norm, diffusivity = figures(only(book), only(book).headline)
    assert (share.value, share.below) == ("0.40", "95 %: 0.30 to 0.50")
    assert (amplitude.value, amplitude.below) == ("15 %", "rms, noise removed")
    assert (norm.name, norm.value) == ("norm ratio (paper)", "0.77")
    assert diffusivity.below == "no model asked"
    undetermined = roi_facts(corrected_status="undetermined: too few counts", value=NAN, drift=None)
    book.hear_records([record_entry("a", rois=[undetermined])])
    share, amplitude, *_ = figures(only(book), only(book).headline)
    assert (share.value, share.below) == ("?", "undetermined: too few counts")
    assert amplitude.below == "rms, noise counts as drift"


# --- inference


def inference_of(samples: np.ndarray, *flags: str) -> ScanInference:
    estimates = {
        name: Estimate(median=float(np.median(values)), low=float(np.quantile(values, 0.05)), high=float(values.max()))
        for name, values in zip(("diffusivity", "gamma", "gb_fraction"), samples.T, strict=True)
    }
    outcome = Inference(
        model_id="gbx-test",
        parameters=estimates,
        samples=samples,
        flags=tuple(Flag(code=flag, text=f"{flag} in words") for flag in flags),
        probabilities={"static": 0.1, "grain_boundary": 0.9},
        temperature=400.0,
        q=np.array([5e8, 4e8]),
        q_convention="parallel",
    )
    return ScanInference(record="a-settings-2", scan=ScanInfo(run_uid="a"), outcome=outcome, package_version="0")


def posterior(count: int = 4000) -> np.ndarray:
    rng = np.random.default_rng(3)
    log_d, fraction = rng.normal(-21.9, 0.15, count), rng.normal(0.25, 0.04, count)
    return np.column_stack([10.0**log_d, np.full(count, 2e17), np.clip(fraction, 0.0, 0.5)])


def test_contours_hold_the_share_of_the_posterior_that_they_say() -> None:
    from matplotlib.path import Path as Polygon

    samples = posterior()
    points = np.column_stack([np.log10(samples[:, 0]) + 20.0, samples[:, 2]])
    for contour in contours(samples):
        (line,) = contour.lines
        assert Polygon(line).contains_points(points).mean() == pytest.approx(contour.mass, abs=0.05)
    assert contours(np.full((100, 3), NAN)) == ()


def test_an_undetermined_parameter_shows_no_number() -> None:
    said = verdict(inference_of(posterior(), "undetermined:gamma"))
    by_name = {line.name: line for line in said.lines}
    assert by_name["γ, GB friction"].value == "undetermined"
    assert math.isnan(said.gamma)
    assert by_name["D"].value.endswith("Å²/s")
    assert by_name["D"].value.startswith("0.0126") or by_name["D"].value.startswith("0.013")
    assert said.kinds[0] == ("grain boundaries", 0.9)
    assert said.flags == ("undetermined:gamma in words",)
    assert said.q == 4e8


def test_a_refusal_shows_its_reason() -> None:
    outcome = Refusal(model_id="gbx-test", kind="ContractError", reason="the temperature of the scan is not known")
    said = verdict(ScanInference(record="a", scan=ScanInfo(run_uid="a"), outcome=outcome, package_version="0"))
    assert said.refused == outcome.reason
    assert not said.lines


def test_the_way_of_a_sample_leaves_out_what_is_undetermined() -> None:
    book = RunBook()
    estimate = {"median": 1e-22, "low": 5e-23, "high": 2e-22}
    parameters = {"diffusivity": estimate, "gamma": estimate, "gb_fraction": {"median": 0.3, "low": 0.2, "high": 0.4}}
    for order, (uid, flags) in enumerate((("a", []), ("b", ["undetermined:diffusivity"]), ("c", []))):
        book.hear_runs([run_entry(uid, started=float(order))])
        book.hear_records([record_entry(uid)])
        facts = {
            "record": f"{uid}-settings-2",
            "run": uid,
            "model": "m",
            "created": 1.0,
            "status": "complete",
            "parameters": parameters,
            "flags": [{"code": flag, "text": flag} for flag in flags],
            "probabilities": {},
        }
        book.hear_inferences([Entry(f"{uid}-m", facts)])
    steps = way(book.rows(), book.row("c"))
    assert [one.uid for one in steps] == ["a", "c"]
    assert steps[0].log_d == pytest.approx(-2.0)
    assert way(book.rows(), None) == ()


def test_phase_maps_are_kept_by_their_conditions(tmp_path: Path) -> None:
    wanted_ones = conditions_of(2512.0, 4.04e8, 423.0, NAN)
    assert wanted_ones == conditions_of(2498.0, 4.01e8, 428.0, NAN), "scans of one kind share a map"
    assert not wanted_ones.determined
    assert kept(wanted_ones, tmp_path) is None
    exponents, fractions = grid()
    share = np.add.outer(exponents, fractions)
    keep(PhaseMap(wanted_ones, share), tmp_path)
    found = kept(wanted_ones, tmp_path)
    assert found is not None
    np.testing.assert_array_equal(found.share, share)
    next(tmp_path.iterdir()).write_bytes(b"half a fi")
    assert kept(wanted_ones, tmp_path) is None
    with pytest.raises(InputError, match="q not known"):
        conditions_of(2500.0, NAN, 400.0, 1e18)


# --- connection, memory, queue, export


def test_without_a_catalog_the_reason_stands_and_tries_come_more_rarely(tmp_path: Path) -> None:
    now = [1000.0]
    config = parse_config({"catalog": {"directory": str(tmp_path / "nowhere")}})
    session = Session(config, clock=lambda: now[0])
    with pytest.raises(GbxError, match="no catalog in"):
        session.read(lambda catalog: catalog.uri)
    first = session.standing
    assert not first.connected
    assert not first.stale, "nothing was shown yet"
    assert first.next_try == now[0] + FIRST_WAIT
    with pytest.raises(GbxError, match="no catalog in"):
        session.read(lambda catalog: catalog.uri)
    assert session.standing is first, "too early to try again"
    now[0] += FIRST_WAIT
    with pytest.raises(GbxError, match="no catalog in"):
        session.read(lambda catalog: catalog.uri)
    assert session.standing.next_try == now[0] + 2 * FIRST_WAIT
    session.close()
    with pytest.raises(GbxError, match="closing"):
        session.read(lambda catalog: catalog.uri)


def test_choices_are_remembered_and_a_damaged_memory_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "viewer.json"
    chosen = Kept(theme="dark", scale=1.4, roi="ring", levels={"g2": (1.0, 1.2)})
    save_kept(chosen, path)
    assert load_kept(path) == chosen
    for damaged in ("{", "[]", '{"scale": 90}', '{"of another": "release"}'):
        path.write_text(damaged)
        assert load_kept(path) == Kept()
    save_kept(chosen, Path("/proc/nowhere/viewer.json"))


def test_the_queue_is_told_in_one_line() -> None:
    counts = {"waiting": 2, "handed over": 1, "parked": 1, "done": 7}
    said = _queue({"components": {"prefect": "ok", "catalog": "disk full"}, "queue": counts, "paused": None})
    assert not said.well
    assert "2 waiting, 1 under way" in said.said
    assert "1 given up" in said.said
    assert "catalog: disk full" in said.said
    paused = _queue({"components": {}, "queue": counts, "paused": {"reason": "beam studies", "since": 1.0}})
    assert "switched off: beam studies" in paused.said
    health = parse_config({"serve": {"health": {"port": 1}}}).serve.health
    assert not read_queue(health).answers
    assert "127.0.0.1:1" in read_queue(health).said


def test_exported_data_load_in_one_line(geometry: Geometry) -> None:
    book = RunBook()
    book.hear_records([record_entry("a")])
    shown = map_of(1.0 + 0.2 * np.eye(50))
    screen = OnScreen(
        row=only(book),
        view=None,
        index=0,
        shown=shown,
        cross=(10.0, 40.0),
        decay=None,
        trend=trend(book.rows(), only(book), None, Against.SCAN),
        verdict=verdict(inference_of(posterior(), "undetermined:gamma")),
    )
    table = pd.read_csv(io.StringIO(as_csv(screen)))
    assert tuple(table.columns) == COLUMNS
    measured = table[table.quantity == "s_noneq_corrected"].iloc[0]
    assert (measured.y, measured.low, measured.high) == (0.4, 0.3, 0.5)
    assert (table.quantity == "g2_over_age_at_lag_30_s").sum() == 35
    page = as_report(screen, {"Two-time <map>": b"\x89PNG"})
    assert "0.40" in page
    assert "undetermined:gamma in words" in page
    assert "Two-time &lt;map&gt;" in page
    assert "<map>" not in page
