"""Dynamics that are no grain boundaries: closed forms, and the same maps from photons and from the map level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.errors import InputError, UnitError
from gbx_beamline.simulation.alternatives import (
    KINDS,
    REFERENCE_Q,
    alternative,
    draw_alternative,
    prior_parameters,
    seen_by,
)
from gbx_beamline.simulation.measurement import Measurement, expected_two_time, measured_maps, traces_of
from gbx_beamline.simulation.measurement._photons import measured_two_time

WINDOW = 2500.0
T = np.linspace(0.0, WINDOW, 40)
LAG = np.abs(T[:, None] - T)

EXAMPLES: dict[str, dict[str, Any]] = {
    "static": {},
    "stretched": {"relaxation_time": 600.0, "exponent": 0.5},
    "compressed": {"relaxation_time": 900.0, "exponent": 1.6},
    "ballistic": {"relaxation_time": 1200.0, "exponent": 2.0},
    "heterodyne": {"static_share": 0.4, "velocities": (1.5e-11, -2.2e-11), "rate": 2e-4},
    "ageing": {"rate": 4e-3, "age": 200.0, "power": 1.3},
}


def squared(kind: str, t: NDArray[Any], q: float = REFERENCE_Q) -> NDArray[Any]:
    """(n, n) |f|^2 written out once more, by hand."""
    u, lag = q / 4.5e8, np.abs(t[:, None] - t)
    if kind == "static":
        return np.ones_like(lag)
    if kind == "stretched":
        return np.exp(-2.0 * np.sqrt(lag * u**2 / 600.0))
    if kind == "compressed":
        return np.exp(-2.0 * (lag * u**2 / 900.0) ** 1.6)
    if kind == "ballistic":
        return np.exp(-2.0 * (lag * u / 1200.0) ** 2)
    if kind == "heterodyne":
        # x + (1 - x) m (cos a e^{i b}), a and b half the difference and half the sum of the two phases.
        both, apart = (q * 1e-11 * (1.5 + sign * 2.2) * lag / 2.0 for sign in (-1.0, 1.0))
        flow = np.exp(-2e-4 * u**2 * lag) * np.cos(apart)
        return 0.16 + 2.0 * 0.4 * 0.6 * flow * np.cos(both) + 0.36 * flow**2
    spent = 4e-3 * u**2 * 200.0 / 0.3 * (1.0 - (1.0 + t / 200.0) ** -0.3)
    return np.exp(-2.0 * np.abs(spent[:, None] - spent))


@pytest.mark.parametrize("kind", KINDS)
def test_the_draw_has_the_correlation_of_its_kind_at_every_q(kind: str) -> None:
    q = (3.8e8, 4.5e8, 5.2e8)
    draw = alternative(kind, EXAMPLES[kind], q, T)
    assert draw.gb_fraction == 1.0
    assert not draw.renewals.any()
    assert draw.weights.sum() == pytest.approx(1.0)
    field = draw.field_correlation()
    for index, one in enumerate(q):
        np.testing.assert_allclose(np.diagonal(field[index]), 1.0, atol=1e-5)
        np.testing.assert_allclose(np.abs(field[index]) ** 2, squared(kind, T, one), atol=2e-5)


def test_a_static_sample_is_one_term() -> None:
    assert alternative("static", {}, REFERENCE_Q, T).amplitudes.shape == (1, 1, len(T))


def test_times_go_with_q_as_the_kind_says() -> None:
    # At twice the q a diffusive time is a quarter, a ballistic one half.
    for kind, power in (("stretched", 2), ("compressed", 2), ("ballistic", 1)):
        field = alternative(kind, EXAMPLES[kind], (REFERENCE_Q, 2 * REFERENCE_Q), T).field_correlation().real
        slower = alternative(kind, EXAMPLES[kind], REFERENCE_Q, T * 2.0**power).field_correlation().real
        np.testing.assert_allclose(field[1], slower[0], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_fast_maps_are_the_area_mean_of_the_closed_form(kind: str) -> None:
    # So many pixels that no noise is left; cells of four frames.
    measurement = Measurement(pixels=(10**16, 10**16), contrast=(0.2,), q_offset=0.02)
    q = np.array([4e8, 5e8])
    frames = np.arange(256.0) * measurement.frame_time
    draw = alternative(kind, EXAMPLES[kind], **seen_by(measurement, q))
    at_cells = alternative(kind, EXAMPLES[kind], **seen_by(measurement, q, size=64))
    found = measured_maps(draw, measurement, seed=1).g2
    quick = measured_maps(at_cells, measurement, seed=1).g2
    off = ~np.eye(64, dtype=bool)
    for roi in range(2):
        theory = squared(kind, frames, 1.02 * q[roi]).reshape(64, 4, 64, 4).mean(axis=(1, 3))
        np.testing.assert_allclose(found[roi][off], 1.0 + 0.2 * theory[off], atol=5e-6)
        # Turning within a cell falls short of it; nothing else does.
        tolerance = 0.2 * 2e-2 if kind == "heterodyne" else 1e-5
        np.testing.assert_allclose(quick[roi][off], 1.0 + 0.2 * theory[off], atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_photons_show_the_closed_form(kind: str) -> None:
    settings = Measurement(frames=24, frame_time=100.0, pixels=(40_000,), contrast=(1.0,), mean_counts=(8.0,))
    draw = alternative(kind, EXAMPLES[kind], **seen_by(settings, REFERENCE_Q))
    scan = measured_two_time(draw, settings, seed=2, groups=0)
    theory = squared(kind, draw.t)
    np.testing.assert_allclose(scan.expected[0], 1.0 + theory, atol=2e-5)
    off = ~np.eye(24, dtype=bool)
    apart = (scan.two_time.g2[0] - scan.expected[0])[off]
    # Static speckles scatter most, all together: sqrt(beta^2 (2 + 2 beta) / P) = 0.01.
    assert abs(apart.mean()) < 0.03
    assert apart.std() < 0.03


@pytest.mark.parametrize("kind", ["stretched", "heterodyne", "ageing"])
def test_both_levels_agree_under_every_effect(kind: str) -> None:
    settings = Measurement(
        frames=64,
        frame_time=WINDOW / 64,
        pixels=(10**16,),
        background=(0.1,),
        static_fraction=(0.2,),
        reference=(0.1,),
        beam_motion=0.2,
        contrast_drift=0.1,
        bad_frames=0.05,
        q_offset=0.02,
        q_spread=0.05,
    )
    draw = alternative(kind, EXAMPLES[kind], **seen_by(settings, REFERENCE_Q))
    expected = expected_two_time(draw, settings, traces_of(settings, 4), 0)
    found = measured_maps(draw, settings, seed=4).g2[0]
    off = ~np.eye(64, dtype=bool)
    np.testing.assert_allclose(found[off], expected[off], atol=5e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_of_the_prior_are_seen_and_repeat_themselves(kind: str) -> None:
    first, again = (draw_alternative(np.random.default_rng(3), kind, REFERENCE_Q, T) for _ in range(2))
    np.testing.assert_array_equal(first.amplitudes, again.amplitudes)
    for seed in range(20):
        draw = draw_alternative(np.random.default_rng(seed), kind, REFERENCE_Q, T)
        seen = np.abs(draw.field_correlation()[0]) ** 2
        moved = 1.0 - seen.min()
        assert moved == pytest.approx(0.0, abs=1e-5) if kind == "static" else moved > 0.3


def test_the_prior_leaves_simple_diffusion_to_the_grain_boundaries() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        for kind in ("stretched", "compressed", "ballistic"):
            assert abs(prior_parameters(rng, kind, WINDOW)["exponent"] - 1.0) >= 0.1  # type: ignore[operator]
        ageing = prior_parameters(rng, "ageing", WINDOW)
        assert (1.0 + WINDOW / ageing["age"]) ** ageing["power"] > 2.0  # type: ignore[operator]
        turns = np.abs(prior_parameters(rng, "heterodyne", WINDOW)["velocities"]) * REFERENCE_Q * WINDOW / (2 * np.pi)
        assert turns.min() >= 1.0
        assert turns.max() <= 6.0 + 1e-9


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        ("brownian", {}, "static, stretched, compressed, ballistic, heterodyne, ageing"),
        ("static", {"rate": 1.0}, "parameters rate of kind static; needed: none"),
        ("stretched", {"relaxation_time": 10.0}, "relaxation_time .*exponent"),
        ("stretched", {"relaxation_time": 10.0, "exponent": 1.0}, "exponent = 1 .*0.3 to 0.9"),
        ("ballistic", {"relaxation_time": 0.0, "exponent": 2.0}, "relaxation_time = 0 .*above 0"),
        ("compressed", {"relaxation_time": (1.0, 2.0), "exponent": 1.5}, r"relaxation_time of shape \(2,\)"),
        ("heterodyne", {"static_share": 0.5, "velocities": (), "rate": 0.0}, r"velocities of shape \(0,\)"),
        ("ageing", {"rate": 1e-3, "age": np.nan, "power": 1.0}, "age = nan"),
    ],
)
def test_parameters_of_another_kind_are_refused(kind: str, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        alternative(kind, parameters, REFERENCE_Q, T)


def test_q_and_times_of_another_measurement_are_refused() -> None:
    with pytest.raises(UnitError, match=r"write 4.5e\+08"):
        alternative("static", {}, 0.045, T)
    with pytest.raises(InputError, match="finite, positive numbers in 1/m"):
        alternative("static", {}, (4e8, np.nan), T)
    with pytest.raises(InputError, match="2 q and 1 q-ROIs"):
        seen_by(Measurement(), (4e8, 5e8))
    with pytest.raises(InputError, match="size 300; needed: 2 to 256"):
        seen_by(Measurement(), 4e8, size=300)
    with pytest.raises(InputError, match="a window of 0"):
        prior_parameters(np.random.default_rng(0), "stretched", 0.0)
