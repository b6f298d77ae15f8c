"""Settings of a measurement, their priors, and what they draw frame by frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gbx_beamline.errors import InputError
from gbx_beamline.simulation.grain_boundary import GrainBoundary
from gbx_beamline.simulation.measurement._modes import mode_weights, uneven_profile
from gbx_beamline.simulation.measurement._prior import BOLTZMANN_EV, SamplePrior, draw_measurement, draw_sample_group
from gbx_beamline.simulation.measurement._q_nodes import draw_seen, roi_nodes
from gbx_beamline.simulation.measurement._settings import EFFECTS, SCAN_SETTINGS, Measurement
from gbx_beamline.simulation.measurement._traces import traces_of

SPOILT = Measurement(
    frames=1000,
    frame_time=2.0,
    flux_drift=0.4,
    flux_noise=0.05,
    contrast_drift=-0.3,
    beam_motion=0.5,
    monitor_error=0.01,
    bad_frames=0.02,
    beam_dump=0.1,
)


def test_every_effect_is_a_setting_that_is_off_by_default() -> None:
    plain = Measurement()
    for name, effect in EFFECTS.items():
        assert plain.of(name, 0) == effect.neutral
        assert effect.allowed[0] <= effect.prior[0] < effect.prior[1] <= effect.allowed[1]
        assert effect.what
    assert SCAN_SETTINGS == ("frames", "frame_time", "pixels")
    assert SPOILT.without(*EFFECTS) == replace(plain, frames=1000, frame_time=2.0)
    assert SPOILT.without("beam_motion") == replace(SPOILT, beam_motion=0.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": 1}, "frames 1"),
        ({"frame_time": 0.0}, r"frame_time 0\.0 s"),
        ({"frame_time": np.inf}, "frame_time inf s"),
        ({"pixels": ()}, r"pixels \(\)"),
        ({"pixels": (10, 0)}, r"pixels \(10, 0\)"),
        ({"contrast": (0.0,)}, r"contrast = 0 .* 0\.001 to 1; correct contrast; 0\.14 switches it off"),
        ({"contrast": (1.2,)}, r"contrast = 1\.2 "),
        ({"mean_counts": (-1.0,)}, "mean_counts = -1 "),
        ({"speckle_size": 0.5}, r"speckle_size = 0\.5 "),
        ({"background": (np.nan,)}, "background = nan "),
        ({"static_fraction": (1.5,)}, r"static_fraction = 1\.5 .* 0 to 1"),
        ({"flux_drift": -2.0}, "flux_drift = -2 "),
        ({"q_spread": 0.6}, r"q_spread = 0\.6 "),
        ({"bad_frames": 0.5, "beam_dump": 0.45}, r"bad_frames 0\.5 and beam_dump 0\.45"),
        ({"contrast": (0.1, 0.2)}, r"contrast = \(0\.1, 0\.2\) for 1 q-ROI"),
        ({"background": 0.1}, r"background = 0\.1 for 1 q-ROI"),
        ({"reference": ()}, r"reference = \(\) for 1 q-ROI"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Measurement(**changes)


def test_one_value_holds_for_all_rois_or_each_has_its_own() -> None:
    two = Measurement(pixels=(100, 200), contrast=(0.1, 0.2), background=(0.3,))
    assert [two.of("contrast", roi) for roi in (0, 1)] == [0.1, 0.2]
    assert [two.of("background", roi) for roi in (0, 1)] == [0.3, 0.3]
    assert two.of("speckle_size", 1) == 1.0
    with pytest.raises(InputError, match="effect 'contrats'"):
        two.without("contrats")


def test_traces_have_the_sizes_that_were_asked_for() -> None:
    traces = traces_of(SPOILT, 4)
    assert traces.t[:2].tolist() == [0.0, 2.0]
    ramp = np.linspace(-0.5, 0.5, 1000)
    slope, level = np.polyfit(ramp, traces.flux, 1)
    # Standard errors 0.05 sqrt(12 / 1000) and 0.05 / sqrt(1000).
    assert (slope, level) == (pytest.approx(0.4, abs=0.025), pytest.approx(1.0, abs=0.007))
    assert (traces.flux / (1 + 0.4 * ramp)).std() == pytest.approx(0.05, rel=0.1)
    contrast = traces.visibility**2
    assert contrast[0] == 1.0
    assert (contrast[-1] - contrast[0]) / contrast.mean() == pytest.approx(-0.3)
    assert np.sqrt(np.mean(traces.displacement**2)) == pytest.approx(0.5)
    assert traces.displacement.mean() == pytest.approx(0.0, abs=1e-12)
    assert (traces.monitor.std(), traces.monitor.mean()) == (pytest.approx(0.01, rel=0.1), pytest.approx(0, abs=2e-3))
    assert (~traces.beam).sum() == 100
    assert np.ptp(np.flatnonzero(~traces.beam)) == 99
    assert (~traces.valid).sum() == 120
    assert not traces.valid[~traces.beam].any()


def test_an_effect_switched_off_leaves_the_others_as_they_were() -> None:
    all_on, again, without = traces_of(SPOILT, 4), traces_of(SPOILT, 4), traces_of(SPOILT.without("flux_noise"), 4)
    for name in ("displacement", "monitor", "visibility", "beam", "valid"):
        assert np.array_equal(getattr(all_on, name), getattr(without, name))
        assert np.array_equal(getattr(all_on, name), getattr(again, name))
    assert not np.array_equal(all_on.flux, without.flux)
    assert not np.array_equal(traces_of(SPOILT, 5).displacement, all_on.displacement)
    with pytest.raises(InputError, match="seed -1"):
        traces_of(SPOILT, -1)


def test_a_plain_measurement_has_plain_traces() -> None:
    traces = traces_of(Measurement(frames=5), 0)
    for name, value in (("flux", 1.0), ("visibility", 1.0), ("displacement", 0.0), ("monitor", 0.0)):
        assert getattr(traces, name) == pytest.approx(np.full(5, value))
    assert traces.beam.all()
    assert traces.valid.all()


@pytest.mark.parametrize("contrast", [1.0, 0.8, 0.5, 0.34, 1 / 3, 0.14, 0.05, 0.001])
def test_modes_make_any_contrast(contrast: float) -> None:
    weights = mode_weights(contrast)
    assert weights.min() > 0
    assert weights.sum() == pytest.approx(1.0)
    assert (weights**2).sum() == pytest.approx(contrast)


@pytest.mark.parametrize("unevenness", [0.0, 0.05, 0.3, 1.0])
def test_uneven_profiles_are_as_uneven_as_asked_and_mirrored(unevenness: float) -> None:
    profile = uneven_profile(60, unevenness)
    assert profile.min() > 0
    assert (profile.mean(), profile.std()) == (pytest.approx(1.0), pytest.approx(unevenness))
    assert profile == pytest.approx(profile[::-1])


def test_priors_stay_in_range_and_leave_effects_out_at_times() -> None:
    rng = np.random.default_rng(1)
    drawn = [draw_measurement(rng, 3, frames=50, frame_time=3.0, pixels=(500, 900)) for _ in range(200)]
    for name, effect in EFFECTS.items():
        values = np.array([one.of(name, roi) for one in drawn for roi in range(3 if effect.per_roi else 1)])
        there = values != effect.neutral if effect.present < 1 else np.ones(values.size, dtype=bool)
        assert values[there].min() >= effect.prior[0]
        assert values[there].max() <= effect.prior[1]
        # Four standard deviations of a share of at least 200.
        assert there.mean() == pytest.approx(effect.present, abs=4 * np.sqrt(0.25 / values.size))
    assert {len(one.pixels) for one in drawn} == {3}
    assert all(500 <= pixels <= 900 for one in drawn for pixels in one.pixels)
    assert (drawn[0].frames, drawn[0].frame_time) == (50, 3.0)
    with pytest.raises(InputError, match="0 q-ROIs of 2000 to 20000 pixels"):
        draw_measurement(rng, 0)


def test_scans_of_one_sample_share_what_belongs_to_it_and_obey_arrhenius() -> None:
    temperatures = (299.0, 371.0, 421.0, 471.0)
    group = draw_sample_group(np.random.default_rng(2), temperatures, q=(3e8, 4.5e8), frames=40)
    inverse = 1 / np.array(temperatures) / BOLTZMANN_EV
    for name, sign in (("diffusivity", -1), ("gamma", 1)):
        values = np.log([getattr(scan.boundary, name) for scan in group])
        (energy, _), residual, *_ = np.polyfit(inverse, values, 1, full=True)
        assert 0.2 <= sign * energy <= 0.6
        assert residual == pytest.approx(0.0, abs=1e-12)
    first = group[0]
    for scan, temperature in zip(group, temperatures, strict=True):
        assert scan.boundary.temperature == temperature
        same = replace(first.boundary, **{name: getattr(scan.boundary, name) for name in ("diffusivity", "gamma")})
        assert replace(same, temperature=temperature) == scan.boundary
        for name in ("static_fraction", "contrast", "background", "q_offset", "speckle_size", "pixels"):
            assert getattr(scan.measurement, name) == getattr(first.measurement, name)
    assert len({scan.measurement.mean_counts for scan in group}) == 4
    assert group[0].measurement.frames == 40


def test_sample_priors_hold_one_and_many_boundaries_of_all_kinds() -> None:
    rng = np.random.default_rng(3)
    drawn = [draw_sample_group(rng, (400.0,))[0].boundary for _ in range(200)]
    prior = SamplePrior()
    for name in ("diffusivity", "gamma", "gb_fraction"):
        low, high = getattr(prior, name)
        values = [getattr(one, name) for one in drawn]
        assert low <= min(values) < max(values) <= high
    assert {min(one.boundaries, 2) for one in drawn} == {1, 2}
    assert {one.orientations for one in drawn} == {"aligned", "isotropic"}
    assert {one.bow > 0 for one in drawn} == {True, False}
    assert {one.avalanche_rate > 0 for one in drawn} == {True, False}
    with pytest.raises(InputError, match="temperatures \\[\\]"):
        draw_sample_group(rng, ())
    with pytest.raises(InputError, match=r"temperatures \[300\.0, nan\]"):
        draw_sample_group(rng, (300.0, float("nan")))


def test_a_draw_for_another_measurement_is_refused() -> None:
    boundary = GrainBoundary(gamma=3e18, diffusivity=1e-22, gb_fraction=0.2, temperature=400.0, q=(3e8, 4e8))
    wide = Measurement(frames=8, pixels=(10, 10), q_spread=0.05, q_offset=0.01)
    draw = draw_seen(boundary, wide, 1)
    assert draw.amplitudes.shape == (6, 1, 8)
    assert draw.bulk_rates[1::3] == pytest.approx(1e-22 * (1.01 * np.array([3e8, 4e8])) ** 2)
    assert roi_nodes(draw, wide, 1) == slice(3, 6)
    with pytest.raises(InputError, match=r"a draw at 6 q and 8 times .* needed: 2 q-ROIs x 1 nodes"):
        roi_nodes(draw, wide.without("q_spread"), 0)
    with pytest.raises(InputError, match="9 frames every"):
        roi_nodes(draw, replace(wide, frames=9), 0)
    with pytest.raises(InputError, match="q-ROI 2"):
        roi_nodes(draw, wide, 2)
    with pytest.raises(InputError, match="2 q and 1 q-ROIs"):
        draw_seen(boundary, replace(wide, pixels=(10,)), 1)
