"""Decay fits: closed forms come back, impossible data say why."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.correlation import fit_decay
from gbx_beamline.errors import InputError

TAU = np.arange(200) * 0.1
NO_DECAY = "no decay|not determined|do not determine"


def decay(rate: float, exponent: float = 1.0, contrast: float = 0.2, baseline: float = 1.03) -> NDArray[np.float64]:
    return baseline + contrast * np.exp(-2 * (rate * TAU) ** exponent)


@pytest.mark.parametrize("rate", [0.1, 0.5, 3.0])
def test_exact_exponential_comes_back(rate: float) -> None:
    fit = fit_decay(TAU, decay(rate), np.full(200, 1e-3))
    assert fit.status == "ok"
    assert (fit.contrast, fit.rate, fit.baseline) == pytest.approx((0.2, rate, 1.03), rel=1e-4)
    assert fit.exponent == 1.0
    assert fit.errors["exponent"] is None


@pytest.mark.parametrize("exponent", [0.6, 1.0, 1.8])
def test_exact_stretched_exponential_comes_back(exponent: float) -> None:
    fit = fit_decay(TAU, decay(0.5, exponent), np.full(200, 1e-3), exponent=None)
    assert fit.status == "ok"
    assert (fit.contrast, fit.rate, fit.exponent, fit.baseline) == pytest.approx((0.2, 0.5, exponent, 1.03), rel=1e-3)


def test_held_exponent_is_used() -> None:
    fit = fit_decay(TAU, decay(0.5, 2.0), np.full(200, 1e-3), exponent=2.0)
    assert fit.exponent == 2.0
    assert fit.rate == pytest.approx(0.5, rel=1e-4)


def test_quoted_errors_cover_independent_noise() -> None:
    rng = np.random.default_rng(0)
    error = np.full(200, 0.01)
    pulls = []
    for _ in range(60):
        fit = fit_decay(TAU, decay(0.5) + rng.normal(0, error), error, exponent=None)
        assert fit.status == "ok"
        for name, truth in (("contrast", 0.2), ("rate", 0.5), ("exponent", 1.0), ("baseline", 1.03)):
            spread = fit.errors[name]
            assert spread is not None
            pulls.append((getattr(fit, name) - truth) / spread)
    # 240 pulls of width 1, four by four correlated.
    assert 0.8 < np.std(pulls) < 1.25


def test_lag_zero_and_unmeasured_lags_take_no_part() -> None:
    error = np.full(200, 1e-3)
    g2 = decay(0.5)
    g2[0], g2[50], error[60], g2[60] = 11.0, np.nan, np.nan, 5.0
    assert fit_decay(TAU, g2, error).rate == pytest.approx(0.5, rel=1e-4)


def test_a_chance_tiny_error_does_not_seize_the_fit() -> None:
    error = np.full(200, 0.01)
    g2 = decay(0.5)
    # Two standard errors off, with a standard error that claims 1e-9: taken at its word it pins the baseline.
    error[-1], g2[-1] = 1e-9, 1.05
    fit = fit_decay(TAU, g2, error)
    assert (fit.rate, fit.baseline) == pytest.approx((0.5, 1.03), rel=0.015)


@pytest.mark.parametrize(
    ("g2", "error", "reason"),
    [
        (np.full(200, np.nan), np.full(200, 0.01), r"only 0 lags with a known error"),
        (decay(0.5), np.zeros(200), "only 0 lags with a known error"),
        (np.ones(200) + np.random.default_rng(5).normal(0, 0.01, 200), np.full(200, 0.01), NO_DECAY),
        (np.ones(200), np.full(200, 0.01), NO_DECAY),
        (decay(1e-5), np.full(200, 0.01), NO_DECAY),
        (decay(1e3), np.full(200, 0.01), NO_DECAY),
    ],
    ids=["no data", "no errors", "noise", "flat", "too slow", "too fast"],
)
def test_impossible_fits_say_why_instead_of_numbers(
    g2: NDArray[np.float64], error: NDArray[np.float64], reason: str
) -> None:
    fit = fit_decay(TAU, g2, error)
    assert fit.status != "ok"
    assert re.search(reason, fit.status)
    assert np.isnan([fit.contrast, fit.rate, fit.exponent, fit.baseline]).all()
    assert set(fit.errors.values()) == {None}


def test_misuse_is_refused() -> None:
    with pytest.raises(InputError, match=r"of shapes \(200,\), \(2, 200\) and"):
        fit_decay(TAU, np.ones((2, 200)), np.ones((2, 200)))
    with pytest.raises(InputError, match="exponent 0"):
        fit_decay(TAU, decay(1.0), np.ones(200), exponent=0.0)
