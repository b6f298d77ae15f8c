"""Models compared: probabilities that are as often right as they say, and outcomes in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from gbx_beamline.errors import InputError
from gbx_beamline.learning.competing import (
    CLASSES,
    NOT_DIFFUSIVE,
    VERDICTS,
    ClassCalibration,
    compare,
    even_odds,
)
from gbx_beamline.records import Scaling

TRAINING = np.array([0.8, *[0.2 / 6] * 6])
FLAT = np.full(7, 1 / 7)


def scans(rng: np.random.Generator, count: int, shares: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
    """Classes that differ in the mean of a Gaussian of 7 dimensions: (n,) truth and (n, 7) exact log likelihoods."""
    truth = rng.choice(7, count, p=shares)
    x = rng.normal(size=(count, 7)) + 1.5 * np.eye(7)[truth]
    return truth, 1.5 * x


def overconfident(likelihood: NDArray[np.float64], by: float = 3.0) -> NDArray[np.float64]:
    return by * (likelihood + np.log(TRAINING))


def names(truth: NDArray[np.int64]) -> list[str]:
    return [CLASSES[index] for index in truth]


@pytest.fixture
def calibration() -> ClassCalibration:
    return ClassCalibration.untested(TRAINING)


def scaling(diffusive: str) -> Scaling:
    nan = float("nan")
    return Scaling(
        exponent=1.0,
        error=0.1,
        interval=(0.8, 1.2),
        reference_q=4.5e8,
        relaxation_time=500.0,
        stretching=1.7,
        stretching_interval=(1.5, 1.9),
        diffusive=diffusive,  # type: ignore[arg-type]
        reason="n = 1.00 (95 %: 0.80 to 1.20), diffusion has 2",
        diffusivity=nan,
        diffusivity_error=nan,
        rois=(0, 1, 2),
        left_out=(),
        q_convention="q_par",
        error_source="groups",
    )


@pytest.mark.parametrize("shares", [TRAINING, FLAT])
def test_the_temperature_is_found_whatever_the_shares_of_the_calibration_set(shares: NDArray[np.float64]) -> None:
    truth, likelihood = scans(np.random.default_rng(0), 3000, shares)
    found = ClassCalibration.fit(overconfident(likelihood), names(truth), training=TRAINING)
    assert found.temperature == pytest.approx(3.0, rel=0.1)


def test_calibrated_probabilities_are_as_often_right_as_they_say() -> None:
    rng = np.random.default_rng(1)
    truth, likelihood = scans(rng, 3000, TRAINING)
    found = ClassCalibration.fit(overconfident(likelihood), names(truth), training=TRAINING)
    fresh, likelihood = scans(rng, 20_000, even_odds())
    sure = found.probabilities(overconfident(likelihood))
    for low in np.arange(0.05, 0.95, 0.1):
        inside = (sure[:, 0] >= low) & (sure[:, 0] < low + 0.1)
        assert (fresh[inside] == 0).mean() == pytest.approx(sure[inside, 0].mean(), abs=0.06)


def test_logits_that_say_nothing_leave_the_prior(calibration: ClassCalibration) -> None:
    np.testing.assert_allclose(calibration.probabilities(np.log(TRAINING)), even_odds(), rtol=1e-12)
    assert even_odds().sum() == pytest.approx(1.0)
    assert even_odds()[0] == 0.5


def test_equal_shares_and_no_temperature_are_a_softmax() -> None:
    plain = ClassCalibration(training=FLAT, prior=FLAT, fits=np.zeros(3))
    logits = np.random.default_rng(2).normal(size=(5, 7))
    np.testing.assert_allclose(plain.probabilities(logits), softmax(logits, axis=1))


def test_a_clear_grain_boundary_has_no_flags(calibration: ClassCalibration) -> None:
    found = compare([9.0, 0, 0, 0, 0, 0, 0], calibration)
    assert found.preferred == "grain_boundary"
    assert found.diffusive == "yes"
    assert found.flags == ()
    assert sum(found.probabilities.values()) == pytest.approx(1.0)


def test_a_rival_that_wins_is_named(calibration: ClassCalibration) -> None:
    found = compare([0.0, 0, 0, 0, 6.0, 0, 0], calibration, scaling=scaling("no"))
    assert found.preferred == "ballistic"
    assert found.diffusive == "no"
    codes = {flag.code: flag.text for flag in found.flags}
    assert set(codes) >= {"not_preferred", "not_diffusive"}
    assert "the grain-boundary model is not preferred: ballistic motion has" in codes["not_preferred"]
    assert codes["not_diffusive"].endswith("fits: n = 1.00 (95 %: 0.80 to 1.20), diffusion has 2")


def test_ageing_is_another_model_but_diffusive(calibration: ClassCalibration) -> None:
    found = compare([0.0, 0, 0, 0, 0, 0, 9.0], calibration)
    assert found.diffusive == "yes"
    assert next(flag.code for flag in found.flags) == "not_preferred"
    assert "not_diffusive" not in [flag.code for flag in found.flags]


def test_fits_shift_the_odds_and_silence_does_not(calibration: ClassCalibration) -> None:
    logits = np.log(TRAINING)
    alone, unknown = compare(logits, calibration), compare(logits, calibration, scaling=scaling("unknown"))
    assert alone.not_diffusive == unknown.not_diffusive == pytest.approx(len(NOT_DIFFUSIVE) / 12)
    assert compare(logits, calibration, scaling=scaling("yes")).not_diffusive < alone.not_diffusive
    assert compare(logits, calibration, scaling=scaling("no")).not_diffusive > alone.not_diffusive


def test_the_weight_of_fits_is_what_they_add_to_the_head() -> None:
    rng = np.random.default_rng(3)
    truth, likelihood = scans(rng, 4000, FLAT)
    other = np.isin(truth, [CLASSES.index(kind) for kind in NOT_DIFFUSIVE])
    logits = likelihood + np.log(TRAINING)
    # Independent of what the head saw: "no" for 60 % of what is not diffusive and 10 % of what is.
    draws = rng.random(len(truth))
    informed = np.where(draws < np.where(other, 0.6, 0.1), "no", "unknown")
    found = ClassCalibration.fit(logits, names(truth), training=TRAINING, verdicts=informed.tolist())
    weights = dict(zip(VERDICTS, found.fits, strict=True))
    assert weights["no"] == pytest.approx(np.log(6.0), abs=0.3)
    assert weights["unknown"] == pytest.approx(np.log(0.4 / 0.9), abs=0.25)
    assert weights["yes"] == 0.0
    # A verdict read off the head's own answer adds nothing.
    chance = np.where(rng.random(len(truth)) < 0.5, "no", "yes")
    useless = ClassCalibration.fit(logits, names(truth), training=TRAINING, verdicts=chance.tolist())
    np.testing.assert_allclose(useless.fits, 0.0, atol=0.25)


def test_static_samples_are_not_let_through() -> None:
    # Static and grain boundaries overlap; with exact likelihoods at most 1/19 of static samples are below the limit.
    rng = np.random.default_rng(4)
    calibration = ClassCalibration(training=TRAINING, prior=even_odds(), fits=np.zeros(3))
    share = []
    for apart in (0.5, 2.0, 4.0):
        x = rng.normal(size=4000)
        logits = np.full((len(x), 7), -50.0)
        logits[:, 0] = -0.5 * (x - apart) ** 2
        logits[:, 1] = -0.5 * x**2
        logits += np.log(TRAINING)
        codes = [{flag.code for flag in compare(row, calibration).flags} for row in logits[:1000]]
        share.append(np.mean([bool(one & {"static_not_excluded", "not_preferred"}) for one in codes]))
    assert min(share) > 0.94


def test_it_survives_being_stored() -> None:
    truth, likelihood = scans(np.random.default_rng(5), 200, FLAT)
    found = ClassCalibration.fit(likelihood, names(truth), training=TRAINING)
    again = ClassCalibration.from_state(found.to_state())
    np.testing.assert_array_equal(again.probabilities(likelihood), found.probabilities(likelihood))


def test_what_does_not_fit_is_refused(calibration: ClassCalibration) -> None:
    with pytest.raises(InputError, match="7 positive numbers of sum 1"):
        replace(calibration, prior=np.full(7, 0.2))
    with pytest.raises(InputError, match="use a head for these classes"):
        calibration.probabilities(np.zeros(5))
    with pytest.raises(InputError, match="compare scans one by one"):
        compare(np.zeros((2, 7)), calibration)
    with pytest.raises(InputError, match="of which brownian are not known"):
        ClassCalibration.fit(np.zeros((2, 7)), ["static", "brownian"], training=TRAINING)
    with pytest.raises(InputError, match="at least two different"):
        ClassCalibration.fit(np.zeros((2, 7)), ["static", "static"], training=TRAINING)
