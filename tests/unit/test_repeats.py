"""What several scans say together: closed forms, how often intervals hold the truth, what counts for an aim."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import t

from gbx_beamline.errors import InputError
from gbx_beamline.repeats import Aim, combine
from gbx_beamline.repeats._figures import of_rois


def test_where_noise_explains_the_scatter_the_interval_shrinks_with_the_root_of_their_number() -> None:
    single = combine(5.0, 0.3)
    assert (single.low, single.high) == pytest.approx((5.0 - 1.959964 * 0.3, 5.0 + 1.959964 * 0.3))
    assert math.isnan(single.p_value)
    assert not single.different
    nine = combine(5.0 + 0.1 * np.array([-2, -2, -1, -1, 0, 1, 1, 2, 2]), np.full(9, 0.3))
    assert nine.value == pytest.approx(5.0)
    assert nine.between == 0.0
    assert nine.error == pytest.approx(0.1)
    assert nine.high - nine.low == pytest.approx((single.high - single.low) / 3.0)


def test_scans_that_differ_keep_the_interval_wide() -> None:
    """Equal errors: the variance between scans is the sample's minus the noise, whatever the weights."""
    values = np.array([1.0, 2.0, 4.0, 9.0])
    found = combine(values, np.full(4, 0.1))
    assert found.between**2 == pytest.approx(values.var(ddof=1) - 0.01)
    assert found.value == pytest.approx(values.mean())
    assert found.error == pytest.approx(values.std(ddof=1) / 2.0)
    half = t.ppf(0.975, 3) * found.error
    assert found.high - found.value == pytest.approx(half, rel=0.01), "all of it is scatter: Student with n - 1"
    assert found.different
    assert found.chi2 == pytest.approx(((values - values.mean()) ** 2).sum() / 0.01)


def test_a_sharp_scan_counts_for_more() -> None:
    found = combine([1.0, 2.0], [1.0, 2.0])
    assert found.value == pytest.approx((1.0 * 1.0 + 2.0 * 0.25) / 1.25)
    assert found.error == pytest.approx(math.sqrt(1.0 / 1.25))


@pytest.mark.parametrize(("between", "least"), [(0.0, 0.92), (1.0, 0.87), (3.0, 0.86)])
def test_the_interval_holds_the_mean_as_often_as_said(between: float, least: float) -> None:
    """Three scans whose errors are estimated from 8 pixel groups."""
    random = np.random.default_rng(1)
    held = 0
    for _ in range(500):
        values = between * random.normal(size=3) + random.normal(size=3)
        found = combine(values, np.sqrt(random.chisquare(7, 3) / 7), 7)
        held += found.low < 0.0 < found.high
    assert held / 500 >= least


def test_equal_scans_are_called_different_as_seldom_as_said() -> None:
    random = np.random.default_rng(2)
    chances = [combine(random.normal(size=5), np.sqrt(random.chisquare(7, 5) / 7), 7).p_value for _ in range(600)]
    assert np.mean(np.array(chances) < 0.1) == pytest.approx(0.1, abs=0.035)
    assert np.mean(np.array(chances) < 0.01) < 0.03


@pytest.mark.parametrize(
    ("values", "errors"),
    [([], []), ([1.0], [0.0]), ([1.0, math.nan], [0.1, 0.1]), ([1.0], [math.inf]), ([1.0, 2.0], [0.1])],
)
def test_scans_without_a_number_are_refused(values: list[float], errors: list[float]) -> None:
    with pytest.raises(InputError, match="leave out scans"):
        combine(values, errors)


def result(
    time: float | None = 10.0, *, share: tuple[float, float, float] | None = (0.0, -0.01, 0.01), name: str = "ring"
) -> dict[str, Any]:
    """The part of a pointer's metadata that holds figures of one q-ROI."""
    fit = {
        "roi": 0,
        "whole": True,
        "status": "decay beyond the window: 40 % left" if time is None else "ok",
        "relaxation_time": time,
        "errors": {"relaxation_time": None if time is None else 0.02 * time},
        "groups": 8,
    }
    window = {**fit, "whole": False, "relaxation_time": 1e3}
    corrected = None if share is None else dict(zip(("value", "low", "high"), share, strict=True))
    status = "ok" if share is not None else "undetermined: no structure"
    non_equilibrium = {"corrected": corrected, "corrected_status": status}
    return {"rois": [{"name": name, "nonequilibrium": non_equilibrium}], "kinetics": [fit, window]}


def test_relaxation_times_are_averaged_on_a_logarithmic_scale() -> None:
    said, missing = of_rois([result(8.0), result(12.5)], "relaxation_time")
    assert missing == {}
    ring = said["ring"]
    assert ring.value == pytest.approx(10.0)
    assert ring.scans == 2
    assert ring.width == pytest.approx((ring.high - ring.low) / 10.0)
    assert "differ by more than their noise" in ring.notes[0]


def test_scans_without_a_figure_do_not_count() -> None:
    said, _ = of_rois([result(10.0), result(None), result(10.0)], "relaxation_time")
    aim = Aim(figure="relaxation_time", width=1.0)
    assert said["ring"].scans == 2
    assert not said["ring"].meets(aim), "two of the three that are needed"
    said, missing = of_rois([result(None)], "relaxation_time")
    assert said == {}
    assert missing == {"ring": "no relaxation time: decay beyond the window: 40 % left"}


def test_an_s_of_zero_counts_where_speckles_were_seen_to_relax() -> None:
    aim = Aim(figure="s_noneq", width=0.1)
    still = [result(None), result(None), result(10.0)]
    assert "a sample that does not move" in of_rois(still, "s_noneq")[0]["ring"].doubt
    assert not of_rois(still, "s_noneq")[0]["ring"].meets(aim)
    assert of_rois([*still, result(10.0)], "s_noneq")[0]["ring"].meets(aim)
    away = [result(None, share=(0.3, 0.29, 0.31))] * 3
    assert of_rois(away, "s_noneq")[0]["ring"].meets(aim), "an S_noneq that is not 0 needs no second witness"


def test_an_undetermined_s_says_why_and_another_q_roi_is_named() -> None:
    assert of_rois([result(share=None)], "s_noneq")[1] == {"ring": "no corrected S_noneq: undetermined: no structure"}
    assert of_rois([result()], "s_noneq", "box")[1] == {"box": "no such q-ROI in the results, which have ring"}
