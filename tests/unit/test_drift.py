"""The drift monitor: what it calls drift, what it leaves to chance, and what it does not know."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gbx_beamline.config import DriftConfig
from gbx_beamline.learning.promotion import Comparison, Verdict

pytest.importorskip("tiled")

from gbx_beamline.retraining import DriftReport, Outcome, drift_rows, in_markdown
from gbx_beamline.retraining._drift import STATISTICS, calibration, compare_scans, shares

SETTINGS = DriftConfig()


def scan(rng: np.random.Generator, **changed: Any) -> dict[str, Any]:
    """Facts of a record of one q-ROI."""
    roi = {
        "mean_counts": rng.lognormal(0.0, 0.2),
        "pixels": int(rng.integers(6000, 20000)),
        "contrast": rng.normal(0.14, 0.01),
        "value": rng.uniform(0.1, 0.4),
    }
    frames = {"frames": 256, "frame_time": 2500.0 / 256}
    return (
        frames
        | {name: value for name, value in changed.items() if name in frames}
        | {"rois": [roi | {name: value for name, value in changed.items() if name in roi}]}
    )


def scans(count: int, seed: int, **changed: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [scan(rng, **changed) for _ in range(count)]


def test_chance_alone_raises_hardly_an_alarm() -> None:
    """At one in a thousand reports over all comparisons, sixty reports raise none."""
    alarms = [
        check.name
        for seed in range(60)
        for check in compare_scans(scans(50, 2 * seed), scans(200, 2 * seed + 1), SETTINGS)
        if check.alarm
    ]
    assert alarms == []


@pytest.mark.parametrize(
    ("changed", "alarms"),
    [
        ({"mean_counts": 0.3}, {"noise", "counts"}),
        ({"pixels": 1300}, {"noise", "pixels"}),
        ({"contrast": 0.05}, {"contrast"}),
        ({"frame_time": 20.0}, {"window"}),
        ({"value": 0.9}, {"s_noneq"}),
    ],
)
def test_what_changed_is_named(changed: dict[str, Any], alarms: set[str]) -> None:
    checks = compare_scans(scans(30, 1, **changed), scans(100, 2), SETTINGS)
    assert {check.name for check in checks if check.alarm} == alarms


def test_a_window_that_differs_by_rounding_is_the_same() -> None:
    checks = compare_scans(scans(30, 1, frame_time=2500.0001 / 256), scans(100, 2), SETTINGS)
    assert not any(check.alarm for check in checks)


def test_what_is_not_known_is_said_and_no_alarm() -> None:
    few = compare_scans(scans(30, 1, value=None), scans(5, 2), SETTINGS)
    by_name = {check.name: check for check in few}
    assert by_name["counts"].said == "not compared: 30 and 5 scans have it, 20 are needed"
    assert by_name["s_noneq"].said == "not compared: 0 and 5 scans have it, 20 are needed"
    assert math.isnan(by_name["s_noneq"].recent)
    assert not any(check.alarm for check in few)
    assert not any(check.alarm for check in (*compare_scans([], [], SETTINGS), *shares([], SETTINGS)))


def answers(count: int, strange: int, *, refused: int = 0, code: str = "unlike_simulations") -> list[dict[str, Any]]:
    flags = [[{"code": code}]] * strange + [[{"code": "undetermined:gamma"}]] * (count - strange - refused)
    judged: list[dict[str, Any]] = [{"status": "complete", "flags": each} for each in flags]
    return judged + [{"status": "refused", "flags": None}] * refused


def test_strange_and_refused_scans_count_against_what_is_allowed() -> None:
    # A tenth is allowed: 5 of 50 are nothing, 20 of 50 come by chance once in 10^8.
    assert not any(check.alarm for check in shares(answers(50, 5), SETTINGS))
    ood, unlike = shares(answers(50, 10, refused=10), SETTINGS)
    assert (ood.alarm, ood.recent, ood.said) == (True, 0.4, "10 refused by the contract")
    assert not unlike.alarm
    ood, unlike = shares(answers(50, 25, code="unlike_experiments"), SETTINGS)
    assert (ood.alarm, unlike.alarm, unlike.recent) == (False, True, 0.5)


def test_intervals_that_hold_too_little_are_an_alarm() -> None:
    found = calibration({"all.coverage.diffusivity": 0.8, "all.coverage.gamma": 0.96}, SETTINGS)
    assert [check.alarm for check in found] == [True, False, False]
    assert found[2].said == "not known: run `gbx evaluate default`"
    assert all("not known" in check.said for check in calibration(None, SETTINGS))


def test_an_outcome_is_told_with_gate_and_drift() -> None:
    checks = (*compare_scans(scans(30, 1, contrast=0.05), scans(100, 2), SETTINGS), *calibration(None, SETTINGS))
    report = DriftReport(model="gbx-0", made=0.0, recent=30, reference=100, against="100 scans", checks=checks)
    worse = Comparison("all.rmse.gamma", "error of gamma", 0.9, 0.7, 0.02, False, "error of gamma: worse")
    outcome = Outcome(
        number=7,
        status="kept",
        reason="the default stays: error of gamma: worse",
        default="gbx-0",
        candidate="gbx-1",
        dataset="maps-0123456789",
        maps=30,
        new=21,
        left_out={"a-run": "window | too short"},
        drift=report,
        verdict=Verdict(passed=False, reasons=("worse",), comparisons=(worse,)),
    )
    said = in_markdown(outcome)
    assert said.startswith("# Retraining 7: kept\n\nthe default stays: error of gamma: worse\n")
    assert "| error of gamma | 0.9 | 0.7 | 0.02 | worse |" in said
    assert "| contrast | 0.05 | 0.1" in said
    assert "| ALARM |" in said
    assert "run `a-run`: window | too short" in said
    assert len(drift_rows(report)) == len(STATISTICS) + 3
