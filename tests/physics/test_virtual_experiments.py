"""Virtual experiments: frozen plans, Arrhenius groups, effects that no prior holds, and shots that survive anything."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.errors import ConfigError, InputError
from gbx_beamline.learning._virtual_draws import draw_shot, ramped, stretched, with_bulk
from gbx_beamline.learning._virtual_plan import BOLTZMANN_EV, PlannedShot, at_severity
from gbx_beamline.learning.virtual import (
    FOREIGN,
    PreparedSuite,
    SuiteSettings,
    load_suite,
    only_rois,
    plan_suite,
    prepare_suite,
    suite_names,
)
from gbx_beamline.simulation.measurement import EFFECTS, Measurement, draw_seen, measured_two_time

SMALL = SuiteSettings(
    name="small", what="Three shots of few pixels.", seed=3, groups=1, shots=3, rois=(3,), pixels=(300, 400), frames=64
)

FROZEN = {
    "calibration": "8eb4b0201f028c99",
    "foreign": "0cff636a90e1a5d1",
    "outside": "94ea2256b71b062a",
    "severities": "3f54f355c8fa528a",
    "truth": "61f58ed0a65acf32",
}
"""Digests of the plans as they were when models were first judged on them."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> PreparedSuite:
    return prepare_suite(SMALL, tmp_path_factory.mktemp("suites"))


@pytest.fixture(scope="module")
def truth() -> list[PlannedShot]:
    return plan_suite(load_suite("truth"))


def digest(plan: list[PlannedShot]) -> str:
    """Of every truth, seed and measurement, to six digits."""
    lines = [
        f"{shot.kind} {shot.seed} {np.array2string(shot.truth, precision=5)} {shot.scan.boundary.temperature:.4f} "
        f"{shot.scan.measurement.pixels} {[f'{value:.5g}' for value in shot.scan.measurement.mean_counts]}"
        for shot in plan
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def by_group(plan: list[PlannedShot]) -> Iterator[list[PlannedShot]]:
    for group in sorted({shot.group for shot in plan}):
        yield [shot for shot in plan if shot.group == group]


def contents(suite: PreparedSuite) -> dict[str, str]:
    files = sorted((suite.folder / "shots").iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("name", sorted(FROZEN))
def test_shipped_suites_are_those_that_models_were_judged_on(name: str) -> None:
    assert digest(plan_suite(load_suite(name))) == FROZEN[name]


def test_all_shipped_suites_are_frozen() -> None:
    assert set(suite_names()) == set(FROZEN)


def test_suites_share_no_seed() -> None:
    seeds = [{shot.seed for shot in plan_suite(load_suite(name))} for name in suite_names()]
    assert len(set().union(*seeds)) == sum(map(len, seeds))


def test_truth_suite_is_what_the_aims_speak_of(truth: list[PlannedShot]) -> None:
    assert len(truth) >= 600
    assert all(len(shots) == 9 for shots in by_group(truth))
    d = np.log10([shot.truth[0] for shot in truth])
    counts, _ = np.histogram(d, np.linspace(np.log10(3e-24), np.log10(3e-21), 7))
    assert counts.sum() == len(truth)
    assert counts.min() > 0.8 * len(truth) / 6
    for shot in truth:
        assert 299.0 <= shot.scan.boundary.temperature <= 471.0
        assert all(6_000 <= pixels <= 20_000 for pixels in shot.scan.measurement.pixels)
        assert all(0.5 <= counts <= 5.0 for counts in shot.scan.measurement.mean_counts)
        assert shot.scan.measurement.frames == 256
        assert shot.scan.measurement.frames * shot.scan.measurement.frame_time == pytest.approx(2500.0)
    single = [len(shot.scan.measurement.pixels) == 1 for shot in truth]
    assert sum(single) == len(truth) // 2


def test_shots_of_a_sample_share_what_physics_lets_them_share(truth: list[PlannedShot]) -> None:
    for shots in by_group(truth):
        assert len({shot.truth[2] for shot in shots}) == 1
        assert len({shot.scan.measurement.static_fraction for shot in shots}) == 1
        assert len({shot.seed for shot in shots}) == 9
        cold = np.array([1.0 / (BOLTZMANN_EV * shot.scan.boundary.temperature) for shot in shots])
        logs = np.log([shot.truth[:2] for shot in shots])
        if shots[0].isothermal:
            assert np.ptp(cold) == 0.0
            assert not np.ptp(logs, axis=0).any()
        else:
            energy_d, energy_gamma = np.polyfit(cold, logs, 1)[0]
            line = np.column_stack([np.polyval(np.polyfit(cold, log, 1), cold) for log in logs.T])
            np.testing.assert_allclose(logs, line)
            assert 0.2 <= -energy_d <= 0.6
            assert 0.2 <= energy_gamma <= 0.6


def test_severities_measure_the_same_samples_worse_and_worse() -> None:
    plan = plan_suite(load_suite("severities"))
    for shots in by_group(plan):
        clean, *_, worst = ([shot for shot in shots if shot.severity == severity] for severity in (0.0, 0.5, 1.0, 2.0))
        assert [shot.seed for shot in clean] == [shot.seed for shot in worst]
        for quiet, loud in zip(clean, worst, strict=True):
            assert quiet.scan.boundary == loud.scan.boundary
            assert quiet.scan.measurement.contrast == loud.scan.measurement.contrast
            for name, effect in EFFECTS.items():
                if name not in ("contrast", "mean_counts"):
                    assert set(np.atleast_1d(getattr(quiet.scan.measurement, name))) == {effect.neutral}


def test_nuisances_grow_within_their_physical_domain() -> None:
    measurement = Measurement(background=(0.6,), speckle_size=2.0, static_fraction=(0.3,))
    doubled = at_severity(measurement, 2.0)
    assert doubled.background == (0.999,)
    assert doubled.speckle_size == 3.0
    assert doubled.static_fraction == (0.6,)


def test_a_bulk_of_any_dynamics_replaces_the_simple_one() -> None:
    shot = next(shot for shot in plan_suite(load_suite("outside")) if shot.kind == "stretched_bulk")
    draw = draw_seen(shot.scan.boundary, shot.scan.measurement, 1)
    changed = with_bulk(draw, lambda rate: stretched(draw.t, rate, 0.7))
    share = draw.gb_fraction
    boundary = np.einsum("b,qbt,qbs->qts", draw.weights, draw.amplitudes, draw.amplitudes.conj())
    bulk = np.stack([stretched(draw.t, rate, 0.7) for rate in draw.bulk_rates])
    kept = np.exp(-np.abs(draw.renewals[:, None] - draw.renewals))
    expected = (share * boundary + (1.0 - share) * bulk) * kept
    np.testing.assert_allclose(changed.field_correlation(), expected, atol=1e-6)
    assert changed.weights.sum() == pytest.approx(1.0)


def test_a_ramp_has_the_mean_rate_of_the_truth() -> None:
    t = np.linspace(0.0, 2500.0, 2501)
    progress = ramped(t, 5.0)
    rate = np.gradient(progress, t)
    assert progress[-1] == pytest.approx(2500.0)
    assert rate[-2] / rate[1] == pytest.approx(5.0, rel=0.01)


def seen_of(kind: str) -> NDArray[np.float64]:
    """(N, N) squared field correlation of a foreign sample at its middle q."""
    shot = next(shot for shot in plan_suite(load_suite("foreign")) if shot.kind == kind)
    draw, measurement = draw_shot(shot)
    assert len(draw.amplitudes) == len(measurement.pixels)
    return np.abs(draw.field_correlation()[len(measurement.pixels) // 2]) ** 2


def test_foreign_samples_are_no_grain_boundaries() -> None:
    assert seen_of("static") == pytest.approx(1.0)
    colloid, ballistic = seen_of("colloid")[0], seen_of("ballistic")[0]
    # Simple exponentials are straight lines on a logarithmic scale; ballistic decays begin flat.
    lags = np.array([10, 20, 40])
    slope = np.log(colloid[lags]) / lags
    assert np.ptp(slope) < 1e-6 * abs(slope[0])
    assert np.log(ballistic[20]) / np.log(ballistic[10]) > 2.0**1.5 * 0.999
    colloids = [shot for shot in plan_suite(load_suite("foreign")) if shot.kind == "colloid"]
    assert all(max(np.atleast_1d(shot.scan.boundary.q)) < 1e8 for shot in colloids)
    assert all(np.isnan(shot.truth).all() for shot in plan_suite(load_suite("foreign")))
    assert set(load_suite("foreign").kinds) == set(FOREIGN)


def test_a_shot_on_disk_is_the_measured_one(small: PreparedSuite) -> None:
    shot = small[1]
    draw, measurement = draw_shot(shot.plan)
    again = measured_two_time(draw, measurement, shot.plan.seed, groups=8, max_cells=64, q_par=[3.9e8, 4.5e8, 5.1e8])
    for name in ("g2", "diagonal", "group_maps", "valid_frames", "frame_means", "static_baseline", "pixels", "q_par"):
        np.testing.assert_array_equal(getattr(shot.two_time, name), getattr(again.two_time, name))
    assert shot.two_time.groups[0].pairs == again.two_time.groups[0].pairs
    assert shot.two_time.frame_time == measurement.frame_time


def test_photons_scatter_about_the_maps_of_a_changed_bulk(tmp_path: Path) -> None:
    settings = SMALL.model_copy(update={"kinds": ("stretched_bulk",), "rois": (1,), "pixels": (4000, 4000)})
    shot = prepare_suite(settings, tmp_path)[0]
    draw, measurement = draw_shot(shot.plan)
    expected = measured_two_time(draw, measurement, 1, groups=0).expected[0]
    rows, columns = np.triu_indices(64, 4)
    off = shot.two_time.g2[0][rows, columns] - expected[rows, columns]
    # Stripes and drifts are those of another seed, but they are small; pairs share speckles.
    assert abs(np.nanmean(off)) < 0.2 * np.nanmean(expected[rows, columns] - 1.0)


@pytest.mark.slow
def test_two_processes_measure_the_same_bytes(small: PreparedSuite, tmp_path: Path) -> None:
    assert contents(prepare_suite(SMALL, tmp_path, workers=2)) == contents(small)


def test_an_interrupted_suite_goes_on_where_it_stopped(small: PreparedSuite, tmp_path: Path) -> None:
    def interrupt(done: int, _all: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_suite(SMALL, tmp_path, progress=interrupt)
    told: list[int] = []
    resumed = prepare_suite(SMALL, tmp_path, progress=lambda done, _all: told.append(done))
    assert told == [2, 3]
    assert contents(resumed) == contents(small)


def test_one_q_roi_of_a_shot(small: PreparedSuite) -> None:
    single = small[0].single()
    assert single.rois == 1
    assert single.two_time.q_par == pytest.approx([4.5e8])
    assert len(single.two_time.groups) == 1
    np.testing.assert_array_equal(single.two_time.g2[0], small[0].two_time.g2[1])
    with pytest.raises(InputError, match="from 0 to 2"):
        only_rois(small[0].two_time, [3])


def test_words_do_not_change_the_experiments_but_numbers_do() -> None:
    assert SMALL.model_copy(update={"what": "others"}).key == SMALL.key
    assert SMALL.model_copy(update={"seed": 4}).key != SMALL.key


def test_wrong_suites_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one of calibration, foreign"):
        load_suite("truths")
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: broken\nwhat: x\nseed: 1\ngroups: 1\ndiffusivity: [3.0e-21, 3.0e-24]\n")
    with pytest.raises(ConfigError, match="smaller number goes first"):
        load_suite(broken)


def test_a_damaged_shot_says_what_to_do(small: PreparedSuite, tmp_path: Path) -> None:
    copied = prepare_suite(SMALL.model_copy(update={"shots": 3, "seed": 5}), tmp_path)
    (copied.folder / "shots" / "000000.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match="delete it and prepare the suite again"):
        copied[0]
