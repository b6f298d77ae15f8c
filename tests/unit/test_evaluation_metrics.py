"""Judging: every measure against numbers by hand, one report through JSON, tables and figures."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from gbx_beamline.errors import ContractError, InputError
from gbx_beamline.figures.evaluation import save_evaluation_figures
from gbx_beamline.learning.evaluation import PRIOR_SD, Answers, EvaluationReport, ask, evaluate, evaluation_tables
from gbx_beamline.learning.evaluation.answers import ask_groups
from gbx_beamline.learning.evaluation.bounds import suite_bounds
from gbx_beamline.learning.evaluation.calibration import (
    conformal_from,
    doubt_rates,
    rank_histogram,
    said_of,
    sbc_ranks,
    undetermined_rates,
)
from gbx_beamline.learning.evaluation.paper_measures import (
    answer_s,
    domain_probe,
    domain_shift,
    r_squared,
    s_consistency,
)
from gbx_beamline.learning.evaluation.report import ALL, FOREIGN, GROUPED_ONE, ONE, OUTSIDE, SEVERITIES
from gbx_beamline.learning.evaluation.truth import clustered, truth_row, truth_rows
from gbx_beamline.learning.parameters import ParameterBox
from gbx_beamline.learning.virtual import PreparedSuite, SuiteSettings, prepare_suite
from gbx_beamline.records import PARAMETERS, Estimate, Flag, Floats, Inference, TwoTime

BOX = ParameterBox()


def answers(count: int = 90, *, error: float = 0.1, seed: int = 0, **changed: Any) -> Answers:
    """Answers of a calibrated Gaussian posterior of this width in every parameter, nine shots a sample."""
    rng = np.random.default_rng(seed)
    group = np.arange(count) // 9
    u = np.column_stack([rng.uniform(-23.4, -20.6, count), rng.uniform(17.1, 19.9, count), rng.uniform(0, 0.5, count)])
    median = u + error * rng.normal(size=u.shape)
    samples = median[:, None] + error * rng.normal(size=(count, 500, 3))
    values: dict[str, Any] = {
        "number": np.arange(count),
        "group": group,
        "kind": ("grain_boundary",) * count,
        "severity": np.ones(count),
        "rois": np.ones(count, dtype=np.int64),
        "temperature": np.full(count, 400.0),
        "truth": BOX.to_physical(u),
        "median": BOX.to_physical(median),
        "low": BOX.to_physical(median - 1.645 * error),
        "high": BOX.to_physical(median + 1.645 * error),
        "spread": np.full((count, 3), error),
        "rank": sbc_ranks(samples, u),
        "ood": np.full(count, 0.5),
        "grain_boundary": np.full(count, 0.9),
        "refused": ("",) * count,
        "flags": ((),) * count,
        "seconds": np.full(count, 0.01),
        "measured_s": rng.uniform(0.8, 0.9, count),
        "corrected_s": rng.uniform(0.1, 0.5, count),
        "answer_s": rng.uniform(0.1, 0.5, count),
        "bound": np.full((count, 3), 0.5 * error),
        "level": 0.9,
    }
    return Answers(**(values | changed))


def report(family: str = "test", **views: Answers) -> EvaluationReport:
    named = {"one": ONE, "three": ALL, "severities": SEVERITIES, "outside": OUTSIDE, "foreign": FOREIGN}
    return EvaluationReport(
        model_id="m",
        family=family,
        suites={"truth": "0123456789abcdef"},
        views={named[name]: view for name, view in views.items()},
    )


# Truth


def test_errors_of_a_known_posterior() -> None:
    row = truth_row(answers(1800, error=0.2), "all")
    assert (row.shots, row.groups, row.refused) == (1800, 200, 0)
    for values in row.parameters.values():
        assert values.rmse == pytest.approx(0.2, rel=0.05)
        assert values.coverage == pytest.approx(0.9, abs=0.03)
        assert values.width == pytest.approx(2 * 1.645 * 0.2)
        assert values.bound == pytest.approx(0.1)
        assert values.ratio == pytest.approx(values.rmse / 0.1)
        assert abs(values.bias) < 0.02
    assert row.parameters["diffusivity"].rank > 0.9


def test_rows_part_the_decades_of_d() -> None:
    found = {row.name: row for row in truth_rows(answers(900))}
    decades = ("D < 1e-23", "1e-23..1e-22", "1e-22..1e-21", "D >= 1e-21")
    assert sum(found[name].shots for name in decades) == found["all"].shots == 900
    assert found["D >= 1e-22"].shots == found["1e-22..1e-21"].shots + found["D >= 1e-21"].shots


def test_too_few_shots_give_no_number() -> None:
    assert np.isnan(truth_row(answers(9), "few").parameters["gamma"].rmse)


def test_refused_shots_are_counted_and_not_averaged() -> None:
    made = answers(90)
    median = made.median.copy()
    median[:9] = np.nan
    row = truth_row(replace(made, median=median, refused=("no",) * 9 + ("",) * 81), "all")
    assert (row.shots, row.refused) == (81, 9)
    assert np.isfinite(row.parameters["diffusivity"].rmse)


def test_a_constant_answer_has_no_rank_and_point_answers_no_coverage() -> None:
    made = answers(90)
    nothing = np.full((90, 3), np.nan)
    point = replace(made, median=np.tile(made.median[:1], (90, 1)), low=nothing, high=nothing)
    values = truth_row(point, "all").parameters["diffusivity"]
    assert np.isnan(values.rank)
    assert np.isnan(values.coverage)
    assert np.isfinite(values.rmse)


def test_shots_of_a_sample_count_as_one_where_they_are_alike() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(400), 9)
    alike = rng.normal(size=400)[groups]
    independent = rng.normal(size=3600)
    assert clustered(alike, groups)[1] == pytest.approx(1.0 / np.sqrt(400), rel=0.15)
    assert clustered(independent, groups)[1] == pytest.approx(1.0 / np.sqrt(3600), rel=0.15)


# Calibration


def test_ranks_are_shares_below_the_truth() -> None:
    samples = np.arange(10.0).reshape(1, 10, 1)
    assert sbc_ranks(samples, [[2.5]])[0, 0] == pytest.approx(0.3)
    with pytest.raises(InputError, match="correct them"):
        sbc_ranks(samples, [[1.0, 2.0]])


def test_calibrated_ranks_are_uniform_and_narrow_ones_are_not() -> None:
    good = rank_histogram(answers(900).rank[:, 0], np.arange(900))
    assert sum(good.counts) == 900
    assert good.p_value > 0.01
    assert good.observed[-2] == pytest.approx(0.9, abs=0.04)
    rng = np.random.default_rng(1)
    # A posterior half as wide as its error.
    narrow = rank_histogram((rng.normal(size=900)[:, None] < 2.0 * rng.normal(size=(900, 1))).mean(1), np.arange(900))
    assert narrow.p_value < 1e-6


def test_alike_shots_are_worth_fewer_ranks() -> None:
    groups = np.repeat(np.arange(50), 9)
    rng = np.random.default_rng(2)
    alike = rank_histogram(rng.random(50)[groups], groups)
    assert alike.independent == pytest.approx(50, rel=0.2)
    assert alike.p_value > 0.01
    assert rank_histogram(rng.random(450), groups).independent > 300


def test_undetermined_is_wanted_above_and_not_below() -> None:
    made = answers(100)
    bound = np.tile(0.9 * PRIOR_SD, (100, 1))
    bound[50:] = 0.1 * PRIOR_SD
    said = (("undetermined:gamma",),) * 48 + ((),) * 2 + (("undetermined:gamma",),) * 5 + ((),) * 45
    rates = undetermined_rates(replace(made, bound=bound, flags=said))["gamma"]
    assert (rates.shots_above, rates.shots_below) == (50, 50)
    assert rates.above == pytest.approx(0.96)
    assert rates.below == pytest.approx(0.1)
    assert np.isnan(undetermined_rates(made)["gamma"].above)


def test_doubts_are_refusals_and_flags_that_deny_the_answer() -> None:
    kinds = ("static",) * 4 + ("grain_boundary",) * 4
    flags = (("unlike_simulations",), ("not_preferred:static",), ("undetermined:gamma",), (), (), (), (), ())
    made = answers(8, kind=kinds, flags=flags, refused=("",) * 3 + ("q too small",) + ("",) * 4)
    rates = doubt_rates(made)
    assert (rates["static"].refused, rates["static"].doubted, rates["static"].flagged) == (0.25, 0.75, 1.0)
    assert rates["grain_boundary"].doubted == 0.0
    assert said_of(made) == {"not_preferred:static": 1, "undetermined": 1, "unlike_simulations": 1}


def test_conformal_factors_mend_intervals_that_are_too_narrow() -> None:
    # Half as wide as they should be: errors 0.1 dex, intervals for 0.05.
    made = answers(1800)
    u = BOX.to_u(made.median)
    halved = replace(made, low=BOX.to_physical(u - 1.645 * 0.05), high=BOX.to_physical(u + 1.645 * 0.05))
    conformal = conformal_from(halved, BOX)
    intervals = np.stack([BOX.to_u(halved.low), u, BOX.to_u(halved.high)], axis=-1)
    low, _, high = np.moveaxis(conformal.stretch(intervals, BOX), -1, 0)
    truth = BOX.to_u(made.truth)
    assert ((truth >= low) & (truth <= high)).mean() == pytest.approx(0.9, abs=0.03)


# The paper's measures


def test_r_squared_by_hand() -> None:
    assert r_squared([1.0, 2.0, 3.0], [1.0, 2.0, 4.0]) == pytest.approx(0.5)
    assert np.isnan(r_squared([1.0, 1.0], [1.0, 2.0]))
    with pytest.raises(InputError, match="equal shapes"):
        r_squared([1.0], [1.0, 2.0])


def test_a_shift_is_counted_in_spreads_of_the_simulations() -> None:
    rng = np.random.default_rng(21)
    here, there = rng.normal(size=(20_000, 4)), rng.normal(size=(20_000, 4))
    # sqrt(4) is the spread of four features of unit variance.
    assert domain_shift(3.0 * here, 3.0 * (there + [8.0, 0, 0, 0])) == pytest.approx(4.0, rel=0.02)
    assert domain_shift(here, there) < 0.05
    assert np.isnan(domain_shift(np.ones((5, 2)), here[:5, :2]))


def test_probe_tells_domains_apart_only_where_they_part() -> None:
    rng = np.random.default_rng(0)
    here = rng.normal(size=(300, 6))
    assert domain_probe(here, rng.normal(size=(200, 6))) == pytest.approx(0.5, abs=0.08)
    assert domain_probe(here, rng.normal(size=(200, 6)) + 4.0) > 0.98
    # One shift by d of a unit Gaussian: the best accuracy is Phi(d / 2).
    assert domain_probe(here, rng.normal(size=(2000, 6)) + [2.0, 0, 0, 0, 0, 0]) == pytest.approx(0.841, abs=0.05)


def test_probe_does_not_learn_near_duplicates_by_heart() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(12, 40))
    shots = np.repeat(centres, 9, axis=0) + 1e-3 * rng.normal(size=(108, 40))
    groups = np.repeat(np.arange(12), 9).tolist()
    other = rng.normal(size=(108, 40))
    assert domain_probe(other, shots, measured_groups=groups) < domain_probe(other, shots) - 0.1


def test_probe_wants_enough_groups() -> None:
    with pytest.raises(InputError, match="at least 5 groups"):
        domain_probe(np.zeros((10, 2)), np.zeros((10, 2)), measured_groups=[0] * 10)


def test_consistency_of_s_leaves_out_what_is_not_known() -> None:
    found = s_consistency([0.5, 0.7, np.nan], [0.4, 0.9, 0.3])
    assert (found.shots, found.error, found.bias) == (2, pytest.approx(0.15), pytest.approx(-0.05))
    assert s_consistency([np.nan], [0.1]).shots == 0


def test_s_of_an_answer_rises_with_lambda_and_falls_with_d() -> None:
    made = answers(3, median=np.array([[1e-22, 1e18, 0.1], [1e-22, 1e18, 0.45], [2e-21, 1e18, 0.1]]))
    low, high, fast = answer_s(made)
    assert fast < low < high < 1.0
    assert np.isnan(answer_s(replace(made, median=np.full((3, 3), np.nan)))).all()


# A model, suites, and everything through one report


class KnowsTheMean:
    """Answers with the prior; refuses one scan in a row, and flags what it says."""

    id = "prior"

    def __init__(self) -> None:
        self.asked = 0

    def predict(self, tt: TwoTime, *, temperature: float, q: Floats | None = None) -> Inference:
        self.asked += 1
        if self.asked == 2:
            raise ContractError("window too short", needed="2,000 s", action="measure longer")
        samples = BOX.to_physical(BOX.sample(np.random.default_rng(0), 400))
        low, median, high = np.quantile(samples, [0.05, 0.5, 0.95], axis=0)
        return Inference(
            model_id=self.id,
            parameters={
                name: Estimate(median=median[column], low=low[column], high=high[column])
                for column, name in enumerate(PARAMETERS)
            },
            samples=samples,
            flags=(Flag(code="undetermined:gamma", text="gamma is undetermined"),),
            probabilities={"grain_boundary": 0.8, "static": 0.2},
            temperature=temperature,
            q=np.ones(len(tt.pixels)),
            q_convention="parallel",
        )

    def predict_group(self, scans: Sequence[TwoTime], temperatures: Sequence[float]) -> list[Inference]:
        return [self.predict(scan, temperature=t) for scan, t in zip(scans, temperatures, strict=True)]

    def features(self, tt: TwoTime, *, temperature: float, q: Floats | None = None) -> NDArray[np.float64]:
        return np.array([float(np.nanmean(tt.g2)), temperature / 400.0])

    def simulated_features(self, count: int) -> NDArray[np.float64]:
        return np.random.default_rng(0).normal(size=(count, 2))

    def simulation_test(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        truth = BOX.sample(np.random.default_rng(0), 50)
        return truth, truth + [0.01, np.nan, 0.0]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> PreparedSuite:
    settings = SuiteSettings(
        name="truth", what="Few photons.", seed=1, groups=6, shots=3, rois=(1, 3), pixels=(60, 80), frames=64
    )
    return prepare_suite(settings, tmp_path_factory.mktemp("suites"))


def test_asking_one_by_one_and_by_sample(suite: PreparedSuite) -> None:
    model = KnowsTheMean()
    told: list[int] = []
    found = ask(model, suite, told.append)
    assert told == list(range(1, 19))
    assert [place for place, reason in enumerate(found.refused) if reason] == [1]
    assert "window too short" in found.refused[1]
    assert np.isnan(found.median[1]).all()
    assert found.undetermined[0].tolist() == [False, True, False]
    assert found.rois.tolist() == ([1] * 3 + [3] * 3) * 3
    np.testing.assert_allclose(found.truth, [shot.truth for shot in suite.plan])
    together = ask_groups(KnowsTheMean(), suite)
    assert [bool(reason) for reason in together.refused] == [True] * 3 + [False] * 15


def test_bounds_are_computed_once(suite: PreparedSuite, monkeypatch: pytest.MonkeyPatch) -> None:
    part = suite.only(lambda shot: shot.group == 1)
    found = suite_bounds(part, single=True)
    assert found.shape == (3, 3)
    assert (found <= PRIOR_SD * 1.001).all()
    monkeypatch.setattr("gbx_beamline.learning.evaluation.bounds.cramer_rao", None)
    np.testing.assert_array_equal(suite_bounds(part, single=True), found)


def test_one_model_through_everything(suite: PreparedSuite, tmp_path: Path) -> None:
    told: set[str] = set()
    made = evaluate(
        KnowsTheMean(),
        {"truth": suite},
        lambda what, _done, _all: told.add(what),
        family="Prior",
        bounds=False,
        project=lambda simulated, measured: (simulated, measured),
    )
    assert told == {ONE, ALL, GROUPED_ONE, "truth, three q-ROIs, samples together"}
    assert len(made.views[ALL]) == 9
    assert made.simulation_r2["gb_fraction"] == pytest.approx(1.0)
    assert "gamma" not in made.simulation_r2
    assert made.probe is not None
    assert made.probe > 0.8
    assert made.shift is not None
    text = json.dumps(made.to_json(), allow_nan=False)
    again = EvaluationReport.from_json(json.loads(text))
    assert json.dumps(again.to_json(), allow_nan=False) == text
    measures = again.measures()
    assert measures["all.coverage.gamma"] == pytest.approx(16 / 17)
    assert measures["undetermined.above.gamma"] is None
    shown = StringIO()
    for table in evaluation_tables([made, again]):
        Console(file=shown, width=180).print(table)
    assert "Prior" in shown.getvalue()
    assert save_evaluation_figures([made, again], tmp_path / "figures")[0].is_file()


def test_unknown_suites_are_refused(suite: PreparedSuite) -> None:
    with pytest.raises(InputError, match="at least one of truth"):
        evaluate(KnowsTheMean(), {"others": suite})


def test_reports_of_another_format_are_refused() -> None:
    with pytest.raises(InputError, match="evaluate the model again"):
        EvaluationReport.from_json({"format": 99})
    with pytest.raises(InputError, match=r"what Answers\.to_json wrote"):
        Answers.from_json({"number": [1], "level": 0.9})


def test_measures_have_fixed_names_for_the_gate() -> None:
    measures = report(one=answers(), three=answers(seed=1), foreign=answers(9, kind=("static",) * 9)).measures()
    for name in ("one.rmse.diffusivity", "three.coverage.gb_fraction", "all.rank.gamma", "foreign.doubted", "seconds"):
        assert measures[name] is not None
    assert measures["foreign.doubted"] == 0.0


def test_figures_hold_the_numbers_that_are_drawn(tmp_path: Path) -> None:
    severities = answers(90, severity=np.repeat([0.0, 1.0, 2.0], 30))
    outside = answers(90, kind=("ramp",) * 45 + ("pareto",) * 45)
    foreign = answers(18, kind=("static",) * 9 + ("colloid",) * 9, flags=(("unlike_simulations",),) * 18)
    nothing = np.full((90, 3), np.nan)
    full = report("GBX", one=answers(), three=answers(seed=1), severities=severities, outside=outside, foreign=foreign)
    point = report("Vanilla", one=answers(error=0.5, low=nothing, high=nothing, rank=nothing, bound=nothing))
    paths = save_evaluation_figures([point, full], tmp_path)
    assert sorted(path.name for path in paths) == [
        "answers.csv", "calibration_gbx.png", "doubts.csv", "families.png", "robustness.png", "truth.csv", "truth.png",
    ]  # fmt: skip
    with (tmp_path / "truth.csv").open() as file:
        rows = list(csv.DictReader(file))
    one = next(row for row in rows if (row["family"], row["range"], row["parameter"]) == ("GBX", "all", "diffusivity"))
    assert float(one["rmse"]) == pytest.approx(truth_row(answers(), "all").parameters["diffusivity"].rmse)
    assert {row["range"] for row in rows if row["view"] == "severities"} >= {"severity 0", "severity 2"}
    with (tmp_path / "answers.csv").open() as file:
        assert sum(row["family"] == "Vanilla" and row["low_gamma"] == "" for row in csv.DictReader(file)) == 90
    with pytest.raises(InputError, match="exists already"):
        save_evaluation_figures([full], tmp_path)


def test_figures_want_the_truth_suite(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="on the truth suite"):
        save_evaluation_figures([report(three=answers())], tmp_path)
