"""Judges of the commissioning suite: right answers pass, wrong ones fail, and what nobody can say stays open."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline import analyze, open_series
from gbx_beamline.commissioning import (
    BOUNDARIES,
    CAPABILITIES,
    COLLOID,
    STATIC,
    TRIALS,
    Finding,
    Part,
    TrialOutcome,
    judge,
    stokes_einstein,
    trust,
)
from gbx_beamline.commissioning.findings import Interval, Verdict, same, together, within
from gbx_beamline.commissioning.injection import FluxRamp, Injection, Permuted, Recorded, Shift
from gbx_beamline.commissioning.page import About, headline, markdown, page
from gbx_beamline.config import CommissioningConfig, parse_config
from gbx_beamline.errors import InputError
from gbx_beamline.figures import save
from gbx_beamline.records import (
    Estimate,
    Flag,
    Inference,
    Refusal,
    Scaling,
    ScanFailure,
    ScanInference,
    ScanInfo,
    ScanResult,
)
from gbx_beamline.simulation import SpeckleMovie

SHAPE, FRAMES = (96, 96), 128
SETTINGS = CommissioningConfig()
TRUTH = {"diffusivity": 1.7e-22, "mobility": 1.0 / 4e17, "gb_fraction": 0.46}


def analysed(counts: NDArray[np.uint16], folder: Path, frame_time: float = 1.0) -> ScanResult:
    labels = np.zeros(SHAPE, dtype=np.int32)
    labels[:48], labels[48:] = 1, 2
    np.save(folder / "rois.npy", labels)
    config = parse_config({"analysis": {"rois": {"labels": str(folder / "rois.npy")}}})
    return analyze(open_series(counts, frame_time=frame_time), config, scan=ScanInfo(run_uid="a" * 36))


def counts_of(rate: float, seed: int) -> NDArray[np.uint16]:
    movie = SpeckleMovie(SHAPE, FRAMES, rate=rate, modes=2, mean_counts=6.0, seed=seed)
    return movie.read(0, FRAMES).astype(np.uint16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commissioning")


@pytest.fixture(scope="module")
def still() -> NDArray[np.uint16]:
    return counts_of(0.0, 1)


@pytest.fixture(scope="module")
def static(still: NDArray[np.uint16], folder: Path) -> ScanResult:
    return analysed(still, folder)


@pytest.fixture(scope="module")
def moving(folder: Path) -> ScanResult:
    return analysed(counts_of(0.02, 2), folder)


def put_in(injection: Injection, counts: NDArray[np.uint16]) -> NDArray[np.uint16]:
    scan = Recorded(lambda index: counts[index], FRAMES, 1.0, np.ones(SHAPE, dtype=bool))
    return np.stack([injection.frame(scan, index) for index in range(FRAMES)]).astype(np.uint16)


def answer(values: Mapping[str, tuple[float, float, float]] | None, *codes: str) -> ScanInference:
    """What a model says: low, median and high of each parameter, and flags."""
    scan = ScanInfo(run_uid="a" * 36, truth=TRUTH)
    if values is None:
        outcome: Inference | Refusal = Refusal(model_id="m", kind="ContractError", reason="q; needed: another q")
    else:
        told = {
            "undetermined:diffusivity": "D is undetermined but for a limit: below 1.4e-22 m^2/s (95 %)",
            "undetermined:gamma": "gamma is undetermined: the scan says hardly more of it than was assumed before",
        }
        outcome = Inference(
            model_id="m",
            parameters={name: Estimate(median=m, low=low, high=high) for name, (low, m, high) in values.items()},
            samples=np.zeros((0, 3)),
            flags=tuple(Flag(code=code, text=told.get(code, f"{code} is said")) for code in codes),
            probabilities={},
            temperature=421.0,
            q=np.array([4e8]),
            q_convention="parallel",
        )
    return ScanInference(record="r", scan=scan, outcome=outcome, package_version="0")


GOOD = {"diffusivity": (1e-22, 1.6e-22, 2.5e-22), "gamma": (3e17, 4e17, 5e17), "gb_fraction": (0.40, 0.45, 0.49)}


def part(trial: str, outcome: ScanResult | ScanFailure, name: str = "x", said: Any = None, **told: Any) -> Part:
    return Part(
        trial=trial, name=name, run_uid=f"{trial}-{name}", outcome=outcome, inference=said or answer(None), told=told
    )


def verdicts(parts: list[Part], trial: str) -> dict[str, Verdict]:
    (outcome,) = judge(parts, SETTINGS, (trial,))
    return {finding.what: finding.verdict for finding in outcome.findings}


def test_intervals() -> None:
    one = Interval(value=1.0, low=0.9, high=1.1)
    assert one.widened(0.95).low == pytest.approx(0.9)
    # 99 % of a normal distribution lie within 2.576 standard deviations, all of ten within 3.291.
    assert one.widened(0.99).high == pytest.approx(1.0 + 0.1 * 2.5758 / 1.95996, rel=1e-4)
    assert one.widened(0.99, 10).high == pytest.approx(1.0 + 0.1 * 3.2905 / 1.95996, rel=1e-4)
    assert Interval.around(5.0, 1.0, level=0.95).high == pytest.approx(6.95996)
    assert within(one, 0.8, 1.2) == "pass"
    assert within(one, 0.95, 1.2) == "undetermined", "neither surely inside nor surely outside"
    assert within(one, 1.2, 1.4) == "fail"
    assert within(Interval(value=math.nan, low=math.nan, high=math.nan), 0, 1) == "undetermined"
    assert same(one, Interval(value=1.3, low=1.11, high=1.5)) == "fail"
    assert (together(["pass", "undetermined"]), together(["undetermined", "fail"]), together([])) == (
        "undetermined",
        "fail",
        "undetermined",
    )


def test_stokes_and_einstein() -> None:
    # Water at 25 degrees, a sphere of 100 nm: 2.45e-12 m^2/s, a textbook number.
    assert stokes_einstein(298.15, 0.89e-3, 100e-9) == pytest.approx(2.454e-12, rel=1e-3)
    with pytest.raises(InputError, match=r"viscosity 0\.0; needed: a finite number above 0"):
        stokes_einstein(298.0, 0.0, 1e-7)


def test_a_sample_at_rest_passes_and_one_that_moves_does_not(static: ScanResult, moving: ScanResult) -> None:
    bright, faint = part(STATIC, static, "transmission 1"), part(STATIC, static, "transmission 0.1")
    found = verdicts([bright, faint], STATIC)
    assert set(found.values()) == {"pass"}, found
    found = verdicts([part(STATIC, moving, "transmission 1"), part(STATIC, moving, "transmission 0.1")], STATIC)
    assert found["transmission 1: decay of g2 over half the scan"] == "fail"
    assert verdicts([bright], STATIC)["contrast at two transmissions"] == "undetermined"


def test_a_number_of_grain_boundaries_from_a_sample_at_rest_is_wrong(static: ScanResult) -> None:
    what = "transmission 1: grain-boundary answer"
    for said, verdict in (
        (answer(GOOD), "fail"),
        (answer(GOOD, "not_preferred"), "pass"),
        (answer(GOOD, *(f"undetermined:{name}" for name in GOOD)), "pass"),
        (answer(GOOD, "undetermined:gamma"), "fail"),
        (answer(None), "pass"),
    ):
        assert verdicts([part(STATIC, static, "transmission 1", said)], STATIC)[what] == verdict


def test_a_fault_must_be_named_for_what_it_is(static: ScanResult, still: NDArray[np.uint16], folder: Path) -> None:
    shifted = analysed(put_in(Shift(start=64, columns=1), still), folder)
    told = {"start_s": 64.0, "rows": 0, "columns": 1}
    assert set(verdicts([part("shift", shifted, **told)], "shift").values()) == {"pass"}
    assert verdicts([part("shift", shifted, **{**told, "columns": 2})], "shift")["by how much"] == "fail"
    assert verdicts([part("shift", shifted, **{**told, "start_s": 20.0})], "shift")["when"] == "fail"
    assert verdicts([part("flux_ramp", shifted, lost=0.1)], "flux_ramp")["what was named"] == "fail"
    assert verdicts([part("shift", static, **told)], "shift")["what was named"] == "fail", "not noticed"


def test_a_tenth_of_the_flux_is_named(static: ScanResult, still: NDArray[np.uint16], folder: Path) -> None:
    ramped = analysed(put_in(FluxRamp(lost=0.1), still), folder)
    assert any(re.match("intensity falls steadily by (9|10|11)%", flag) for flag in ramped.flags), ramped.flags
    assert set(verdicts([part("flux_ramp", ramped, lost=0.1)], "flux_ramp").values()) == {"pass"}
    assert verdicts([part("flux_ramp", ramped, lost=0.2)], "flux_ramp")["by how much"] == "fail"
    assert verdicts([part("flux_ramp", static, lost=0.1)], "flux_ramp")["what was named"] == "fail"


def test_a_liquid_of_another_viscosity_is_not_what_was_stated(moving: ScanResult) -> None:
    diffusive = Scaling(
        exponent=2.01,
        error=0.02,
        interval=(1.97, 2.05),
        reference_q=5e7,
        relaxation_time=0.2,
        stretching=1.0,
        stretching_interval=(0.97, 1.03),
        diffusive="yes",
        reason="",
        diffusivity=2.00e-15,
        diffusivity_error=1e-17,
        rois=(0, 1),
        left_out=(),
        q_convention="|q|",
        error_source="groups",
    )
    liquid = replace(moving, scaling=diffusive)
    right = verdicts([part(COLLOID, liquid, diffusivity=2.03e-15)], COLLOID)
    assert (right["D"], right["relaxation time over q"], right["grain-boundary inference"]) == ("pass",) * 3
    assert verdicts([part(COLLOID, liquid, diffusivity=2.4e-15)], COLLOID)["D"] == "fail"
    assert verdicts([part(COLLOID, liquid, diffusivity=2.12e-15)], COLLOID)["D"] == "undetermined"
    rough = {"diffusivity": 2.4e-15, "relative_error": 0.2}
    assert verdicts([part(COLLOID, liquid, **rough)], COLLOID)["D"] == "pass", "the viscosity is not known better"
    ballistic = replace(moving, scaling=replace(diffusive, exponent=1.0, diffusive="no"))
    found = verdicts([part(COLLOID, ballistic, diffusivity=2e-15)], COLLOID)
    assert (found["relaxation time over q"], found["D"]) == ("fail", "undetermined")
    assert verdicts([part(COLLOID, liquid, said=answer(GOOD), diffusivity=2e-15)], COLLOID)[
        "grain-boundary inference"
    ] == ("fail")


def test_answers_must_stay_the_same(static: ScanResult, moving: ScanResult) -> None:
    before = part(COLLOID, moving, "transmission 1", answer(GOOD))
    after = part("halved", moving, "colloid", answer(GOOD), of="colloid: transmission 1")
    assert set(verdicts([before, after], "halved").values()) == {"pass"}
    other = {**GOOD, "gamma": (3e16, 4e16, 5e16)}
    moved = replace(after, inference=answer(other))
    assert verdicts([before, moved], "halved")["colloid: γ"] == "fail"
    open_now = replace(after, inference=answer(other, "undetermined:gamma"))
    assert verdicts([before, open_now], "halved")["colloid: γ"] == "pass"
    times = [replace(fit, relaxation_time=2.0 * fit.relaxation_time) for fit in moving.kinetics]
    slower = replace(after, outcome=replace(moving, kinetics=tuple(times)))
    assert verdicts([before, slower], "halved")["colloid: relaxation times"] == "fail"
    assert set(verdicts([after], "halved").values()) == {"undetermined"}, "nothing to compare with"


def test_an_order_of_chance_has_no_relaxation_time(moving: ScanResult, folder: Path) -> None:
    counts = put_in(Permuted(seed=3), counts_of(0.02, 2))
    found = verdicts([part("permuted", analysed(counts, folder), "colloid")], "permuted")
    assert set(found.values()) == {"pass"}, found
    assert verdicts([part("permuted", moving, "colloid")], "permuted")["colloid: relaxation times"] == "fail"


def test_boundaries_are_held_against_their_truth(moving: ScanResult) -> None:
    scan = replace(moving, scan=replace(moving.scan, truth=TRUTH))

    def found(said: ScanInference) -> dict[str, Verdict]:
        return verdicts([part(BOUNDARIES, scan, "the scan", said)], BOUNDARIES)

    assert set(found(answer(GOOD)).values()) == {"pass"}
    wrong = {**GOOD, "gamma": (3e16, 4e16, 5e16)}
    assert found(answer(wrong))["γ"] == "fail"
    assert found(answer(wrong, "undetermined:gamma"))["γ"] == "pass"
    assert found(answer(wrong, "not_preferred"))["γ"] == "pass", "the model itself doubts it"
    low = {**GOOD, "diffusivity": (2e-24, 5e-24, 2e-23)}
    assert found(answer(low, "undetermined:diffusivity"))["D"] == "fail", "a limit that the truth breaks"
    every = [f"undetermined:{name}" for name in GOOD]
    assert found(answer(GOOD, *every))["parameters that one scan determines"] == "undetermined"
    assert found(answer(None))["D"] == "undetermined"


def test_a_background_may_widen_and_not_shift(moving: ScanResult) -> None:
    scan = replace(moving, scan=replace(moving.scan, truth=TRUTH))
    clean = part(BOUNDARIES, scan, "the scan", answer({**GOOD, "gb_fraction": (0.42, 0.45, 0.48)}))

    def found(low: float, median: float, high: float, *codes: str) -> Verdict:
        said = answer({**GOOD, "gb_fraction": (low, median, high)}, *codes)
        return verdicts([clean, part("static_background", scan, "with background", said)], "static_background")[
            "interval of λ"
        ]

    assert found(0.35, 0.42, 0.49) == "pass"
    assert found(0.44, 0.45, 0.46) == "fail", "narrower"
    assert found(0.10, 0.15, 0.20) == "fail", "moved"
    assert found(0.10, 0.25, 0.49, "undetermined:gb_fraction") == "pass"
    alone = [part("static_background", scan, "with background", answer(GOOD))]
    assert set(verdicts(alone, "static_background").values()) == {"undetermined"}


def test_a_scan_that_could_not_be_analysed_fails_its_trial(static: ScanResult) -> None:
    failure = ScanFailure(scan=static.scan, kind="SeriesError", reason="no frames", provenance=static.provenance)
    (outcome,) = judge([part("shift", failure)], SETTINGS)
    assert (outcome.verdict, outcome.findings[0].found) == ("fail", "no frames")


def test_unknown_trials_are_refused() -> None:
    with pytest.raises(InputError, match=r"no trial 'shfit'; needed: one of static_reference, shift"):
        judge([], SETTINGS, ("shfit",))


def test_every_trial_shows_a_capability() -> None:
    assert {trial.capability for trial in TRIALS.values()} == set(CAPABILITIES)


def about() -> About:
    return About(campaign="2026-3", simulated=False, version="0.1.0", level=0.99)


def test_the_page_says_what_not_to_trust(static: ScanResult, moving: ScanResult, tmp_path: Path) -> None:
    parts = [part(STATIC, moving, "transmission 1"), part("permuted", moving, "a|b")]
    outcomes = judge(parts, SETTINGS)
    text = markdown(outcomes, about())
    assert text.startswith("# Do not trust it: 2 of 5 capabilities failed")
    assert "| ✗ | A sample at rest is seen at rest | do not trust" in text
    assert "| less than 2 % of the contrast |" in text
    assert "a\\|b: relaxation times" in text
    assert "not tried" in text
    drawn = save(page(outcomes, {f"{one.trial}: {one.name}": one for one in parts}, about()), tmp_path / "page.png")
    assert drawn.read_bytes().startswith(b"\x89PNG")


def outcomes_of(**verdicts: Verdict) -> list[TrialOutcome]:
    """Every trial passes but those named; None leaves one out."""
    return [
        TrialOutcome(
            name=trial.name,
            title=trial.title,
            capability=trial.capability,
            findings=(Finding(what="w", expected="e", found="f", verdict=verdicts.get(trial.name, "pass")),),
            runs=("u",),
        )
        for trial in TRIALS.values()
    ]


def test_the_headline_is_as_good_as_the_worst() -> None:
    assert headline(outcomes_of(), simulated=True) == "Trust it: every trial came out as expected"
    assert headline(outcomes_of(shift="undetermined"), simulated=True).startswith("Trust 5 of 6 capabilities")
    assert headline(outcomes_of(shift="fail"), simulated=True) == "Do not trust it: 1 of 6 capabilities failed"


def test_what_was_not_tried_is_not_trusted() -> None:
    alone = [one for one in outcomes_of() if one.name == "flux_ramp"]
    assert headline(alone, simulated=True) == "1 of 1 trials as expected: no capability is shown in full"
    faults = next(one for one in trust(alone, simulated=True) if one.capability == alone[0].capability)
    assert faults.verdict == "undetermined"
    assert len(faults.untried) == 3
    assert "not tried: The pattern moves by a pixel" in markdown(alone, about())
    # At a beamline nobody knows the truth of grain boundaries: that is no gap of the campaign.
    measured = [one for one in outcomes_of() if TRIALS[one.name].source != "simulated"]
    assert headline(measured, simulated=False) == "Trust it: every trial came out as expected"
    assert headline(measured, simulated=True).startswith("Trust 4 of 6")
    assert "only a simulation knows: gbx demo --commission" in markdown(measured, about())


def test_a_scan_that_failed_elsewhere_costs_only_what_needs_it(moving: ScanResult) -> None:
    failure = ScanFailure(scan=moving.scan, kind="SeriesError", reason="no frames", provenance=moving.provenance)
    scan = replace(moving, scan=replace(moving.scan, truth=TRUTH))
    parts = [part(STATIC, failure, "transmission 1"), part(BOUNDARIES, scan, "the scan", answer(GOOD))]
    assert set(verdicts(parts, BOUNDARIES).values()) == {"pass"}, "the floor is beside the answer, no part of it"
    lost = [part(COLLOID, failure, "t"), part("halved", moving, "colloid", of="colloid: t")]
    assert verdicts(lost, "halved") == {"what it is compared with": "undetermined"}
