"""The instrument's floor beside a scan, in closed form."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scan_facts import GEOMETRY, fit, roi, scan, share

from gbx_beamline.comparing import Loss, floor_beside, loss_of_contrast, why_not_beside
from gbx_beamline.config import FloorConfig

SETTINGS = FloorConfig()
STILL = fit(status="decay beyond the window: g2 keeps more than half its contrast")
REFERENCE = scan("refe", 1.0, roi(STILL, corrected=share(0.5, 0.2, drift=0.006, drift_high=0.01)), sample="aerogel")


@pytest.mark.parametrize(
    ("corrected", "standing", "words"),
    [
        (
            share(0.4, 0.05, drift=0.08, drift_high=0.1),
            "above",
            "above the instrument's floor: drift 8 % of the contrast",
        ),
        (share(0.4, 0.05, drift=0.007, drift_high=0.009), "at the floor", "at the instrument's floor: drift 0.7 %"),
        (
            share(0.01, 0.05, drift=math.nan, drift_high=0.005),
            "at the floor",
            "at the instrument's floor: drift no more than 0.5 %",
        ),
        (share(0.01, 0.05, drift=math.nan, drift_high=0.05), "not known", "no drift beyond noise"),
    ],
)
def test_a_scan_stands_above_the_floor_by_its_drift_and_not_by_s_alone(
    corrected: Any, standing: str, words: str
) -> None:
    found = floor_beside(
        REFERENCE, scan("aaaa", 0.1, roi(corrected=corrected)), SETTINGS, losses={0: Loss(0.02, 0.005, 450.0)}
    )
    one = found.rois[0]
    assert one.standing == standing
    assert words in one.words
    assert "a static reference up to 1 %" in one.words
    assert (one.s_corrected, one.low, one.high) == (0.5, pytest.approx(0.3), pytest.approx(0.7))
    assert (one.decay, one.decay_error, one.decay_lag) == (0.02, 0.005, 450.0)
    assert (found.run_uid, found.sample, found.age) == ("refe", "aerogel", 0.0)
    assert any("dose rate of the reference 1, of the scan 0.1" in note for note in found.notes)


def test_a_q_roi_that_the_reference_lacks_has_no_floor() -> None:
    found = floor_beside(REFERENCE, scan("aaaa", 1.0, roi(), roi(q=4e8, name="q2")), SETTINGS)
    assert [one.standing for one in found.rois] == ["at the floor", "not known"]
    assert found.rois[1].status == "the reference has no q-ROI at this q"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"geometry": replace(GEOMETRY, distance=5.0)}, "distance 10 and 5 m"),
        ({"geometry": replace(GEOMETRY, shape=(512, 512))}, "detector of 256 x 256 and of 512 x 512"),
        ({"geometry": replace(GEOMETRY, mode="transmission")}, "mode gisaxs and transmission"),
        ({"frame_time": 5.0}, "frame time 1 s, here 5 s"),
        ({"span": 5000.0}, "1000 s long, here 5000 s"),
        ({"started": 1000.0 + 40 * 86400.0}, "40 days before the scan"),
        ({"rois": (roi(q=4e8),)}, "no q-ROI at the same q"),
    ],
)
def test_a_reference_of_another_geometry_is_refused_by_what_differs(changes: dict[str, Any], words: str) -> None:
    assert why_not_beside(REFERENCE, scan("aaaa", 0.1), SETTINGS) == []
    assert words in why_not_beside(REFERENCE, replace(scan("aaaa", 0.1), **changes), SETTINGS)[0]


def test_what_only_one_of_them_knows_is_no_difference() -> None:
    unknown = replace(scan("aaaa", 0.1), geometry=replace(GEOMETRY, distance=None))
    assert why_not_beside(REFERENCE, unknown, SETTINGS) == []


def test_loss_of_contrast_is_read_off_the_curve() -> None:
    tau = np.arange(1001.0)
    g2 = 1.0 + 0.2 * np.exp(-2.0 * tau / 10_000.0)
    found = loss_of_contrast(tau, g2, np.full(1001, 1e-3), contrast=0.2)
    early, late = np.exp(-2.0 * tau[1:21] / 1e4).mean(), np.exp(-2.0 * tau[400:501] / 1e4).mean()
    assert found.value == pytest.approx(early - late)
    assert found.error == pytest.approx(np.hypot(1e-3, 1e-3) / 0.2)
    assert found.lag == pytest.approx(450.0)
    assert math.isnan(loss_of_contrast(tau, g2, np.full(1001, 1e-3), contrast=math.nan).value)
    assert math.isnan(loss_of_contrast(tau, np.full(1001, np.nan), np.full(1001, 1e-3), contrast=0.2).value)
