"""Beam or sample, in closed form: what the ratio of rates says, what only bounds say, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scan_facts import GEOMETRY, SPAN, fit, roi, scan, share

from gbx_beamline.comparing import compare_facts
from gbx_beamline.config import CompareConfig
from gbx_beamline.errors import GeometryError, InputError, RoiError
from gbx_beamline.records import Comparison, ScanFacts


def pair(slow: float, fast: float, *, relative: float = 0.02, low: float = 0.1, high: float = 1.0) -> Comparison:
    """Relaxation times at the lower and the higher transmission, the higher given first."""
    return compare_facts(
        [scan("bbbb", high, roi(fit(fast, relative))), scan("aaaa", low, roi(fit(slow, relative)))], CompareConfig()
    )


@pytest.mark.parametrize(
    ("share_of_beam", "verdict"), [(0.0, "sample"), (0.5, "beam drives it"), (1.0, "beam drives it")]
)
def test_the_beams_share_is_that_of_the_rate_that_follows_the_dose_rate(share_of_beam: float, verdict: str) -> None:
    # Rate at the full beam 1/50 s, of which the share is proportional to the transmission.
    slow = 50.0 / (1.0 - share_of_beam + 0.1 * share_of_beam)
    found = pair(slow, 50.0)
    assert found.verdict == verdict
    assert found.dose_ratio == pytest.approx(10.0)
    assert found.beam_share is not None
    assert found.rate_ratio is not None
    assert found.beam_share.value == pytest.approx(share_of_beam, abs=1e-9)
    assert found.rate_ratio.value == pytest.approx(slow / 50.0)
    assert found.beam_share.low < share_of_beam < found.beam_share.high
    assert [one.transmission for one in found.scans] == [0.1, 1.0]
    assert f"{found.rate_ratio.value:.3g}" in found.reason


def test_wide_intervals_leave_it_undetermined_and_say_what_would_help() -> None:
    found = pair(60.0, 50.0, relative=0.2)
    assert found.verdict == "undetermined"
    assert "measure longer" in found.reason


def test_wrong_verdicts_are_rarer_than_one_in_a_hundred() -> None:
    rng = np.random.default_rng(0)
    wrong = {"sample": 0, "beam": 0}
    for _ in range(400):
        times = 50.0 * np.exp(0.05 * rng.normal(size=(2, 3)))
        rois = [[roi(fit(tau, 0.05), q=q) for tau, q in zip(row, (1e8, 2e8, 3e8), strict=True)] for row in times]
        quiet = compare_facts([scan("aaaa", 0.3, *rois[0]), scan("bbbb", 1.0, *rois[1])])
        wrong["sample"] += quiet.verdict == "beam drives it"
        # Half of the rate at the full beam is the beam's: with a ratio of 1/0.3 the rate falls to 0.65.
        slower = [roi(fit(tau / 0.65, 0.05), q=q) for tau, q in zip(times[0], (1e8, 2e8, 3e8), strict=True)]
        driven = compare_facts([scan("aaaa", 0.3, *slower), scan("bbbb", 1.0, *rois[1])])
        wrong["beam"] += driven.verdict == "sample"
    # 0.05 % on one side are 0.2.
    assert wrong["sample"] <= 2
    assert wrong["beam"] == 0


def test_a_decay_beyond_the_window_bounds_the_ratio() -> None:
    beyond = fit(status="decay beyond the window: 80% of the contrast left at the longest lag of 9e+02 s")
    found = compare_facts([scan("aaaa", 0.1, roi(beyond)), scan("bbbb", 1.0, roi(fit(40.0)))])
    assert found.verdict == "beam drives it"
    assert found.rate_ratio is not None
    assert math.isnan(found.rate_ratio.value)
    # At least 0.65 of the window over 40 s, less the error of the latter.
    assert found.rate_ratio.low == pytest.approx(0.65 * SPAN / 40.0, rel=0.1)
    assert found.rate_ratio.high == math.inf
    assert "above" in found.reason
    none = compare_facts([scan("aaaa", 0.1, roi(beyond)), scan("bbbb", 1.0, roi(beyond))])
    assert none.verdict == "undetermined"
    assert "decay beyond the window" in none.reason


def test_errors_that_are_lower_bounds_count_double() -> None:
    known = pair(50.0, 50.0).rate_ratio
    bound = compare_facts(
        [scan("aaaa", 0.1, roi(fit(50.0, 0.02, groups=0))), scan("bbbb", 1.0, roi(fit(50.0, 0.02, groups=0)))]
    ).rate_ratio
    assert known is not None
    assert bound is not None
    # With 14 degrees of freedom a quantile of 2.14 against 1.96.
    assert math.log(bound.high) == pytest.approx(2.0 * math.log(known.high) * 1.96 / 2.145, rel=1e-3)


def test_ageing_within_the_scans_widens_the_interval() -> None:
    def aged(uid: str, transmission: float, tau: float) -> ScanFacts:
        early = fit(0.6 * tau, 0.03, window=(0.0, 500.0))
        late = fit(1.4 * tau, 0.03, window=(500.0, SPAN))
        return scan(uid, transmission, roi(fit(tau, 0.02), early, late))

    found = compare_facts([aged("aaaa", 0.3, 60.0), aged("bbbb", 1.0, 50.0)])
    assert found.verdict == "undetermined"
    assert "with age" in found.reason
    assert found.rate_ratio is not None
    assert found.rate_ratio.high > 1.2 * 1.4 / 0.6


def test_repeats_that_differ_keep_a_drift_from_being_the_beam() -> None:
    # Low, high, low: the sample slows down all the while, and the beam does nothing.
    slowing = [scan("aaaa", 0.1, roi(fit(40.0))), scan("bbbb", 1.0, roi(fit(50.0))), scan("cccc", 0.1, roi(fit(62.0)))]
    assert compare_facts(slowing).verdict != "beam drives it"
    assert compare_facts(slowing[1:]).verdict == "beam drives it"  # two of them cannot tell


def test_what_moved_is_no_relaxation() -> None:
    moved = scan("bbbb", 1.0, roi(fit(50.0)), moved="motion: speckles shift by 2 +- 0.1 pixels")
    found = compare_facts([scan("aaaa", 0.1, roi(fit(500.0))), moved])
    assert found.verdict == "undetermined"
    assert "speckles shift by 2" in found.reason


def test_slower_under_more_beam_is_no_beam_driven_motion() -> None:
    found = pair(50.0, 100.0)
    assert found.verdict == "undetermined"
    assert "slower under more beam" in found.reason


def test_an_unknown_transmission_is_said_and_never_guessed() -> None:
    found = compare_facts([scan("aaaa", 0.1, roi(fit(500.0))), scan("bbbb", None, roi(fit(50.0)))])
    assert found.verdict == "undetermined"
    assert "bbbb" in found.reason
    assert "transmission: not in the start document" in found.reason
    assert math.isnan(found.dose_ratio)
    assert found.rate_ratio is None
    old = compare_facts([scan("aaaa", 0.1), scan("bbbb", 1.0, exposure=None)])
    assert "analyse it again" in old.reason


def test_stated_fluxes_enter_the_ratio_and_an_unknown_flux_cancels() -> None:
    first, second = scan("aaaa", 0.5), scan("bbbb", 0.5)
    assert second.exposure is not None
    brighter = replace(second, exposure=replace(second.exposure, flux=4e11))
    assert compare_facts([first, brighter]).dose_ratio == pytest.approx(4.0)
    unknown = [
        replace(one, exposure=replace(one.exposure, flux=math.nan, transmission=t, full_beam=t * SPAN))
        for one, t in ((first, 0.1), (second, 0.5))
        if one.exposure is not None
    ]
    found = compare_facts(unknown)
    assert found.dose_ratio == pytest.approx(5.0)
    assert any("flux not stated" in note for note in found.notes)


def test_s_noneq_is_compared_with_its_interval_at_equal_cells_only() -> None:
    quiet = roi(fit(), corrected=share(0.02, 0.03))
    loud = roi(fit(), corrected=share(0.4, 0.04))
    found = compare_facts([scan("aaaa", 0.1, quiet), scan("bbbb", 1.0, loud)])
    said = found.rois[0].s_difference
    assert said is not None
    assert (said.value, said.low, said.high) == pytest.approx((0.38, 0.33, 0.43))
    assert any("corrected S_noneq is +0.380 (+0.330 to +0.430)" in note for note in found.notes)
    other = compare_facts([scan("aaaa", 0.1, quiet), scan("bbbb", 1.0, replace(loud, cell=8.0))])
    assert other.rois[0].s_difference is None


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"sample": "silicon"}, InputError, "samples 'gold', 'silicon'"),
        ({"temperature": 410.0}, InputError, "temperatures from 400.00 to 410.00 K"),
        ({"geometry": replace(GEOMETRY, distance=5.0)}, GeometryError, "distance 10 and 5 m"),
        ({"rois": (roi(q=3e8),)}, RoiError, "no q-ROI that all scans have"),
        ({"run_uid": "aaaa"}, InputError, "1 different run"),
    ],
)
def test_scans_that_may_not_be_compared_are_refused(
    changes: dict[str, Any], kind: type[InputError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        compare_facts([scan("aaaa", 0.1), replace(scan("bbbb", 1.0), **changes)])


def test_one_attenuation_is_no_pair() -> None:
    with pytest.raises(InputError, match=r"dose rates 0\.5, 0\.6 .*within a factor 1\.5"):
        compare_facts([scan("aaaa", 0.5), scan("bbbb", 0.6)])
    with pytest.raises(InputError, match="1 different run"):
        compare_facts([scan("aaaa", 0.5)])


def test_what_differs_and_is_allowed_is_said() -> None:
    other = replace(scan("bbbb", 1.0), settings_hash="xyz", temperature=None, frame_time=2.0, span=500.0)
    notes = " | ".join(compare_facts([scan("aaaa", 0.1), other]).notes)
    for words in ("different settings", "temperature of bbbb unknown", "frame times from 1 to 2 s", "500 to 1000 s"):
        assert words in notes
