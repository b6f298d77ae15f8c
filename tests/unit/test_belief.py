"""Belief: intervals that cover, "undetermined" where nothing can be known, strangers told from what was trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from gbx_beamline.errors import InputError
from gbx_beamline.learning._belief_familiarity import _shrunk_covariance
from gbx_beamline.learning._belief_prediction import STATISTICS, TOGETHER
from gbx_beamline.learning.belief import (
    Accepted,
    Belief,
    Conformal,
    Familiarity,
    Prediction,
    check_prediction,
    choose_limits,
    conformal_quantile,
    doubted,
    statistics,
    undetermined,
    width_of,
)
from gbx_beamline.learning.competing import Comparison, compare
from gbx_beamline.learning.contract import CellMaps, RoiFacts, cells_input, cells_of_maps
from gbx_beamline.learning.parameters import ParameterBox
from gbx_beamline.simulation import GrainBoundary
from gbx_beamline.simulation.measurement import Measurement, measured_maps_batch

BOX = ParameterBox()


def in_box(unit: NDArray[np.float64]) -> NDArray[np.float64]:
    return BOX.low + unit * BOX.width


def posteriors(
    rng: np.random.Generator, truth: NDArray[np.float64], noise: NDArray[np.float64], count: int = 400
) -> NDArray[np.float64]:
    """(n, count, 3) exact posteriors, in u over the box, of one Gaussian datum each under the uniform prior."""
    seen = truth + noise * rng.normal(size=truth.shape)
    low, high = -seen / noise, (1.0 - seen) / noise
    quantiles = rng.random((count, *truth.shape))
    draws = stats.truncnorm.ppf(quantiles, low, high, loc=seen, scale=noise)
    return np.moveaxis(np.clip(draws, 0.0, 1.0), 0, 1)


# ---- unlike everything known


def ring(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Features on a ring, in three dimensions."""
    angle = rng.uniform(0, 2 * np.pi, count)
    x = rng.normal(scale=0.1, size=(count, 3))
    x[:, 0] += np.cos(angle)
    x[:, 1] += np.sin(angle)
    return x


@pytest.fixture(scope="module")
def familiarity() -> Familiarity:
    rng = np.random.default_rng(0)
    return Familiarity.fit(ring(rng, 1500), ring(rng, 1000))


def test_p_values_of_the_same_kind_are_uniform(familiarity: Familiarity) -> None:
    p = familiarity.p_values(ring(np.random.default_rng(1), 2000))
    for level in (0.01, 0.1, 0.5):
        assert (p <= level).mean() == pytest.approx(level, abs=0.04 if level > 0.01 else 0.01)


def test_strangers_outside_and_in_the_hole_are_found(familiarity: Familiarity) -> None:
    outside, hole = np.zeros((1, 3)), np.zeros((1, 3))
    outside[0, 0] = 4.0
    far, near = familiarity.distances(outside)[0], familiarity.distances(hole)[0]
    assert familiarity.p_values(outside)[0] == pytest.approx(1 / 1001)
    assert familiarity.p_values(hole)[0] < 0.01
    # The hole is the middle of everything: Mahalanobis alone would call it the most familiar place.
    assert near[0] < 0.1
    assert far[0] > 5.0


def test_a_feature_that_never_varies_does_no_harm() -> None:
    rng = np.random.default_rng(2)
    constant = Familiarity.fit(np.c_[ring(rng, 500), np.ones(500)], np.c_[ring(rng, 300), np.ones(300)])
    p = constant.p_values(np.c_[ring(rng, 200), np.ones(200)])
    assert np.isfinite(p).all()
    assert (p <= 0.01).mean() < 0.05


def test_covariances_from_few_scans_are_drawn_to_the_unit_matrix() -> None:
    rng = np.random.default_rng(3)
    few = rng.normal(size=(30, 40))
    sample = np.cov(few.T, bias=True)
    unit = np.eye(40)
    assert np.linalg.norm(_shrunk_covariance(few) - unit) < 0.3 * np.linalg.norm(sample - unit)
    wide = rng.normal(size=(20_000, 3)) * [1.0, 2.0, 3.0]
    np.testing.assert_allclose(_shrunk_covariance(wide), np.cov(wide.T, bias=True), atol=0.02)


def test_accepted_experiments_are_a_reference_of_their_own(familiarity: Familiarity) -> None:
    rng = np.random.default_rng(4)
    quarter = ring(rng, 4000)
    quarter = quarter[(quarter[:, 0] > 0) & (quarter[:, 1] > 0)]
    accepted = Accepted.fit(familiarity, quarter[:60])
    like = accepted.p_values(familiarity.scaled(quarter[100:600]))
    assert (like <= 0.05).mean() == pytest.approx(0.05, abs=0.06)
    # Familiar to the simulations, but no experiment was ever there.
    other = -quarter[100:200]
    assert np.median(familiarity.p_values(other)) > 0.2
    assert (accepted.p_values(familiarity.scaled(other)) <= 0.05).mean() > 0.95


def test_features_that_do_not_fit_are_refused(familiarity: Familiarity) -> None:
    with pytest.raises(InputError, match="simulate more scans"):
        Familiarity.fit(np.zeros((5, 3)), np.zeros((200, 3)))
    with pytest.raises(InputError, match="7 features; needed: 3"):
        familiarity.p_values(np.zeros((1, 7)))
    with pytest.raises(InputError, match="not finite"):
        familiarity.p_values(np.full((1, 3), np.nan))
    with pytest.raises(InputError, match="3 accepted experiments; needed: at least 20"):
        Accepted.fit(familiarity, np.zeros((3, 3)))


# ---- undetermined


def test_the_prior_is_undetermined_and_has_no_information() -> None:
    width = width_of(in_box(np.random.default_rng(5).random((2000, 3))), BOX)
    np.testing.assert_allclose(width.ratio, 1.0, atol=0.03)
    np.testing.assert_allclose(width.information, 0.0, atol=0.01)
    assert not width.leaning.any()
    assert undetermined(width, [2.0, 2.0, 2.0]).all()


def test_a_gaussian_has_its_width_and_its_divergence() -> None:
    unit = np.random.default_rng(6).normal(0.5, 0.08, size=(20_000, 3))
    width = width_of(in_box(unit), BOX)
    np.testing.assert_allclose(width.ratio, 0.08 * np.sqrt(12), rtol=0.03)
    # -log(sqrt(2 pi e) sigma), in units of the box.
    np.testing.assert_allclose(width.information, -np.log(np.sqrt(2 * np.pi * np.e) * 0.08), atol=0.05)
    assert not undetermined(width, [0.55] * 3).any()


def test_a_limit_is_no_value_but_lambda_may_be_zero() -> None:
    rng = np.random.default_rng(7)
    low, high = rng.uniform(0.0, 0.25, size=(2000, 3)), rng.uniform(0.75, 1.0, size=(2000, 3))
    assert width_of(in_box(low), BOX).leaning.tolist() == [-1, -1, 0]
    assert width_of(in_box(high), BOX).leaning.tolist() == [1, 1, 1]
    # A value that was found, near the edge.
    assert not width_of(in_box(0.02 + 0.2 * low), BOX).leaning.any()


def test_limits_keep_both_demands_on_scans_that_did_not_choose_them() -> None:
    rng = np.random.default_rng(8)
    prior = 1.0 / np.sqrt(12.0)

    def suite(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        truth = rng.uniform(0.05, 0.95, (count, 3))
        noise = prior * 10.0 ** rng.uniform(-1.3, 0.7, (count, 3))
        # Information of the datum and of the prior add up.
        bounds = 1.0 / np.sqrt(1.0 + (prior / noise) ** 2)
        return posteriors(rng, truth, noise), bounds

    samples, bounds = suite(600)
    choice = choose_limits(width_of(in_box(samples), BOX), bounds)
    assert choice.met
    fresh, bounds = suite(600)
    said = undetermined(width_of(in_box(fresh), BOX), choice.limits)
    for column in range(3):
        assert said[bounds[:, column] > 0.8, column].mean() >= 0.95
        assert said[bounds[:, column] < 0.3, column].mean() <= 0.20


def test_without_scans_of_a_kind_the_other_decides() -> None:
    width = width_of(in_box(np.random.default_rng(9).random((50, 200, 3))), BOX)
    none = choose_limits(width, np.full((50, 3), np.nan))
    assert none.limits == (0.55, 0.55, 0.55)
    assert np.isnan(none.said_above).all()
    assert choose_limits(width, np.full((50, 3), 0.9)).said_above == (1.0, 1.0, 1.0)
    with pytest.raises(InputError, match="give the bound of each scan"):
        choose_limits(width, np.zeros((49, 3)))


# ---- intervals


def overconfident(rng: np.random.Generator, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Posterior samples in u, half as wide as they should be and shifted, and the truth."""
    truth = in_box(rng.uniform(0.2, 0.8, (count, 3)))
    spread = BOX.width * 10.0 ** rng.uniform(-2.0, -1.0, (count, 1))
    seen = truth + spread * (0.3 + rng.normal(size=truth.shape))
    return seen[:, None] + 0.5 * spread[:, None] * rng.normal(size=(count, 300, 3)), truth


def covered(intervals: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    return ((truth >= intervals[..., 0]) & (truth <= intervals[..., 2])).mean(axis=0)


def test_corrected_intervals_cover_as_they_say() -> None:
    rng = np.random.default_rng(10)
    belief = Belief.untested(BOX)
    samples, truth = overconfident(rng, 400)
    calibrated, _ = belief.calibrated(BOX.to_physical(samples), BOX.to_physical(truth))
    fresh, fresh_truth = overconfident(rng, 2000)
    physical, physical_truth = BOX.to_physical(fresh), BOX.to_physical(fresh_truth)
    assert (covered(belief.intervals(physical), physical_truth) < 0.65).all()
    corrected = calibrated.intervals(physical)
    np.testing.assert_allclose(covered(corrected, physical_truth), 0.9, atol=0.035)
    assert (corrected[..., 0] <= corrected[..., 1]).all()
    assert (BOX.to_u(corrected[..., 2]) <= BOX.high + 1e-9).all()


def test_a_limit_is_the_calibrated_interval_s_end() -> None:
    rng = np.random.default_rng(12)
    calibrated, _ = Belief.untested(BOX).calibrated(*(BOX.to_physical(part) for part in overconfident(rng, 400)))
    leaning = BOX.to_physical(in_box(rng.uniform(0.0, 0.25, size=(2000, 3))))
    flags, _ = calibrated.assess(context=None, samples=leaning)
    said = {flag.code: flag.text for flag in flags}["undetermined:diffusivity"]
    limit = calibrated.intervals(leaning)[0, 2]
    assert limit > 1.05 * np.quantile(leaning[:, 0], 0.95), "these posteriors were found to be too narrow"
    assert f"below {limit:.2g} m^2/s" in said


def test_each_class_of_widths_is_corrected_by_itself() -> None:
    rng = np.random.default_rng(11)

    def suite(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        # Narrow intervals are four times too narrow, wide ones are right.
        kind = rng.integers(0, 3, count)
        true = np.array([0.04, 0.05, 0.08])[kind, None] * BOX.width
        said = np.array([0.01, 0.03, 0.08])[kind, None] * BOX.width * rng.uniform(0.9, 1.1, (count, 1))
        truth = in_box(rng.uniform(0.3, 0.7, (count, 3)))
        seen = truth + true * rng.normal(size=truth.shape)
        reach = 1.645 * said
        return np.stack([seen - reach, seen, seen + reach], axis=-1), truth

    intervals, truth = suite(600)
    conformal = Conformal.fit(intervals, truth, BOX)
    fresh, fresh_truth = suite(4000)
    stretched = conformal.stretch(fresh, BOX)
    width = (fresh[:, 0, 2] - fresh[:, 0, 0]) / BOX.width[0]
    for part in (width < 0.06, (width > 0.06) & (width < 0.15), width > 0.15):
        np.testing.assert_allclose(covered(stretched[part], fresh_truth[part]), 0.9, atol=0.05)


def test_the_quantile_is_that_of_a_finite_sample() -> None:
    single = np.arange(9)
    # ceil(10 * 0.9) = the 9th of 9; of 8 none would do.
    assert conformal_quantile(np.arange(9.0), single, 0.9) == 8.0
    assert conformal_quantile(np.arange(8.0), single[:8], 0.9) == np.inf
    assert conformal_quantile(np.arange(19.0), np.arange(19), 0.9) == 17.0


def test_shots_of_one_sample_count_as_one() -> None:
    rng = np.random.default_rng(12)
    kept = []
    for _ in range(300):
        shared = rng.normal(size=21)
        scores = np.abs(np.repeat(shared[:20], 9) + 0.1 * rng.normal(size=180))
        limit = conformal_quantile(scores, np.repeat(np.arange(20), 9), 0.9)
        kept.append(np.abs(shared[20] + 0.1 * rng.normal()) <= limit)
    assert np.mean(kept) >= 0.88


def test_too_few_scans_promise_only_the_box() -> None:
    samples, truth = overconfident(np.random.default_rng(13), 5)
    calibrated, choice = Belief.untested(BOX).calibrated(BOX.to_physical(samples), BOX.to_physical(truth))
    assert choice is None
    found = BOX.to_u(np.swapaxes(calibrated.intervals(BOX.to_physical(samples)), -1, -2))
    np.testing.assert_allclose(found[:, 0], np.broadcast_to(BOX.low, (5, 3)), rtol=1e-9)
    np.testing.assert_allclose(found[:, 2], np.broadcast_to(BOX.high, (5, 3)), rtol=1e-9)
    with pytest.raises(InputError, match=r"intervals of level 0\.5; needed: 0\.9"):
        calibrated.intervals(BOX.to_physical(samples), 0.5)


def test_answers_of_groups_have_a_calibration_of_their_own() -> None:
    rng = np.random.default_rng(19)
    samples, truth = overconfident(rng, 400)
    physical, physical_truth = BOX.to_physical(samples), BOX.to_physical(truth)
    single, _ = Belief.untested(BOX).calibrated(physical, physical_truth)
    codes = [flag.code for flag in single.assess(samples=physical[0], grouped=True).flags]
    assert "not_calibrated" in codes, "what holds for single scans is not known to hold for groups"
    both = single.calibrated_groups(physical, physical_truth, np.arange(400))
    assert "not_calibrated" not in [flag.code for flag in both.assess(samples=physical[0], grouped=True).flags]
    fresh, fresh_truth = overconfident(rng, 2000)
    found = both.intervals(BOX.to_physical(fresh), grouped=True)
    np.testing.assert_allclose(covered(found, BOX.to_physical(fresh_truth)), 0.9, atol=0.035)
    np.testing.assert_array_equal(both.intervals(physical), single.intervals(physical))


# ---- simulated from the answer

TRUTH = (8e-22, 1e18, 0.1)


def scan(contrast: float = 0.15) -> CellMaps:
    boundary = GrainBoundary(
        diffusivity=TRUTH[0], gamma=TRUTH[1], gb_fraction=TRUTH[2], temperature=400.0, boundaries=8
    )
    measurement = Measurement(pixels=(9000,), mean_counts=(2.0,), contrast=(contrast,), static_fraction=(0.1,))
    maps = measured_maps_batch([boundary], [measurement], [3])
    return cells_of_maps(maps, 400.0, [4.5e8], scan=0)


def around(answer: tuple[float, float, float]) -> NDArray[np.float64]:
    rng = np.random.default_rng(14)
    u = BOX.to_u(answer) + rng.normal(size=(200, 3)) * [0.1, 0.3, 0.05]
    return BOX.to_physical(np.clip(u, BOX.low, BOX.high))


def test_statistics_are_those_of_the_map() -> None:
    cells = scan()
    found = statistics(cells_input(cells))[0]
    g2 = np.where(np.eye(64, dtype=bool), np.nan, cells.g2[0].astype(np.float64))
    tti = np.array([np.nanmean(np.diagonal(g2, lag)) if lag else np.nan for lag in range(64)])
    lag = np.abs(np.subtract.outer(np.arange(64), np.arange(64)))
    drift = g2 - tti[lag]
    assert found[0] == pytest.approx(np.sqrt(np.nanmean(drift**2)), rel=1e-4)
    assert found[2] == pytest.approx(np.nanmean(drift**2) / np.nanvar(g2), rel=0.02)
    assert found[4] == pytest.approx(np.nanmean(g2[(lag > 0) & (lag < 3)]) - np.nanmean(g2[lag > 42]), rel=1e-3)


def test_a_right_answer_predicts_the_scan_and_a_wrong_one_does_not() -> None:
    cells = scan()
    right = check_prediction(cells, around(TRUTH), count=40, seed=1)
    assert [one.statistic for one in right] == [*STATISTICS, TOGETHER]
    assert all(one.fits for one in right)
    assert all(one.low <= one.median <= one.high for one in right)
    fast = {one.statistic: one for one in check_prediction(cells, around((5e-21, 1e18, 0.1)), count=40, seed=1)}
    assert not fast["decay"].fits
    assert fast["decay"].measured < fast["decay"].low
    assert right == check_prediction(cells, around(TRUTH), count=40, seed=1)


def test_the_check_is_on_the_absolute_drift() -> None:
    cells = scan()
    # Much more drift about the same baseline: more than avalanches or the beam ever make.
    g2 = cells.g2.astype(np.float64)
    lag = np.abs(np.subtract.outer(np.arange(64), np.arange(64)))
    tti = np.array([np.diagonal(g2[0], one).mean() if one else 0.0 for one in range(64)])
    wild = replace(cells, g2=(tti[lag] + 20.0 * (g2[0] - tti[lag]))[None].astype(np.float32))
    found = {one.statistic: one for one in check_prediction(wild, around(TRUTH), count=40, seed=1)}
    assert not found["drift"].fits
    assert found["drift"].measured > found["drift"].high
    assert found["decay"].fits


def test_the_check_refuses_what_it_cannot_do() -> None:
    with pytest.raises(InputError, match="at least 20 scans"):
        check_prediction(scan(), around(TRUTH), count=5)
    dim = replace(scan(), facts=RoiFacts.of(rois=1, **{**vars(scan().facts), "counts": 1e-3}))
    with pytest.raises(InputError, match="photons in a time cell"):
        check_prediction(dim, around(TRUTH), count=20)


# ---- put together


def test_flags_are_in_plain_words(familiarity: Familiarity) -> None:
    rng = np.random.default_rng(15)
    belief = Belief.untested(BOX).with_parts(familiarity=familiarity, accepted=Accepted.fit(familiarity, ring(rng, 30)))
    unit = rng.random((1000, 3))
    unit[:, 0] *= 0.3
    unit[:, 2] = rng.normal(0.5, 0.02, 1000)
    flags, score = belief.assess(
        context=np.full(3, 9.0),
        samples=BOX.to_physical(in_box(unit)),
        comparison=compare([0.0, 0, 9.0, 0, 0, 0, 0], belief.classes),
        predictions=(
            Prediction(
                statistic="drift", measured=0.031, median=0.01, low=0.008, high=0.012, p_value=0.03, z=9.0, fits=False
            ),
        ),
    )
    said = {flag.code: flag.text for flag in flags}
    assert score == pytest.approx(1 - 1 / 1001)
    assert list(said) == [
        "unlike_simulations",
        "unlike_experiments",
        "not_preferred",
        "not_diffusive",
        "prediction_fails:drift",
        "undetermined:diffusivity",
        "undetermined:gamma",
        "not_calibrated",
    ]
    assert said["unlike_simulations"].startswith("unlike anything the model was trained on: stranger than 99.9 %")
    assert "the 30 accepted experiments" in said["unlike_experiments"]
    assert said["prediction_fails:drift"] == (
        "scans simulated from this answer look different: drift (rms) is 0.031, simulated 0.008 to 0.012"
    )
    assert "undetermined but for a limit: below 1.8e-23 m^2/s (0.0018 Å^2/s) (95 %)" in said["undetermined:diffusivity"]
    assert said["undetermined:gamma"].startswith("the GB friction gamma is undetermined: the scan says hardly more")
    assert doubted(flags)


def test_a_familiar_determined_scan_has_nothing_against_it(familiarity: Familiarity) -> None:
    samples, truth = overconfident(np.random.default_rng(16), 100)
    belief, _ = (
        Belief.untested(BOX)
        .with_parts(familiarity=familiarity)
        .calibrated(BOX.to_physical(samples), BOX.to_physical(truth))
    )
    found = belief.assess(
        context=ring(np.random.default_rng(17), 1)[0],
        samples=around((5e-22, 2e18, 0.2)),
        comparison=belief.compare([9.0, 0, 0, 0, 0, 0, 0]),
    )
    assert found.flags == ()
    assert found.ood_score is not None
    assert found.ood_score < 0.99
    assert belief.assess(samples=around((5e-22, 2e18, 0.2))).ood_score is None
    limits = {"undetermined:gamma", "not_calibrated", "unlike_experiments"}
    assert not doubted(flag for flag in found.flags if flag.code in limits)


def test_it_survives_being_stored(familiarity: Familiarity, tmp_path: Path) -> None:
    rng = np.random.default_rng(18)
    samples, truth = overconfident(rng, 200)
    belief, choice = (
        Belief.untested(BOX)
        .with_parts(familiarity=familiarity, accepted=Accepted.fit(familiarity, ring(rng, 30)))
        .calibrated(
            BOX.to_physical(samples),
            BOX.to_physical(truth),
            bounds=rng.uniform(0.1, 1.0, (200, 3)),
            groups=np.repeat(np.arange(50), 4),
        )
    )
    assert choice is not None
    belief = belief.calibrated_groups(BOX.to_physical(samples), BOX.to_physical(truth), np.arange(200))
    arrays: dict[str, Any] = {**belief.to_state()}
    np.savez(tmp_path / "belief.npz", **arrays)
    with np.load(tmp_path / "belief.npz", allow_pickle=False) as stored:
        again = Belief.from_state(dict(stored))
    assert again.box == belief.box
    np.testing.assert_array_equal(again.limits, belief.limits)
    physical = BOX.to_physical(samples)
    for grouped in (False, True):
        found = again.intervals(physical, grouped=grouped)
        np.testing.assert_array_equal(found, belief.intervals(physical, grouped=grouped))
    context = ring(rng, 1)[0]
    assert again.assess(context=context, samples=physical[0]) == belief.assess(context=context, samples=physical[0])
    state = belief.to_state()
    del state["classes.prior"]
    with pytest.raises(InputError, match=r"cannot be read \(KeyError: 'prior'\)"):
        Belief.from_state(state)
    assert all(array.flags["C_CONTIGUOUS"] for array in belief.to_state().values())


def test_a_determined_d_is_a_decay_that_was_seen() -> None:
    belief = Belief.untested(BOX)
    doubtful = belief.compare([0.0, -3.0, -9.0, -9.0, -9.0, -9.0, -9.0])
    assert 0.05 < doubtful.static < 0.5
    likely = belief.compare([0.0, -0.5, -9.0, -9.0, -9.0, -9.0, -9.0])
    assert likely.static > 0.5

    def codes(answer: tuple[float, float, float], comparison: Comparison) -> set[str]:
        return {flag.code for flag in belief.assess(samples=around(answer), comparison=comparison).flags}

    moving = (8e-22, 2e18, 0.2)
    assert "static_not_excluded" not in codes(moving, doubtful)
    assert "static_not_excluded" in codes(moving, likely) or "not_preferred" in codes(moving, likely)
    rng = np.random.default_rng(19)
    unit = rng.random((1000, 3))
    unit[:, 0] *= 0.3
    limit = belief.assess(samples=BOX.to_physical(in_box(unit)), comparison=doubtful)
    assert "static_not_excluded" in {flag.code for flag in limit.flags}
