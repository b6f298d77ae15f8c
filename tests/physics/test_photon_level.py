"""Virtual experiments: every effect leaves its own signature, of its own size, in the two-time maps of the photons."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.correlation import two_time
from gbx_beamline.simulation.grain_boundary import Draw, GrainBoundary
from gbx_beamline.simulation.measurement._expected import expected_two_time
from gbx_beamline.simulation.measurement._field_parts import field_parts
from gbx_beamline.simulation.measurement._photons import measured_two_time, patch_shape, photon_counts
from gbx_beamline.simulation.measurement._q_nodes import draw_seen
from gbx_beamline.simulation.measurement._settings import Measurement
from gbx_beamline.simulation.measurement._traces import Traces, traces_of

FRAMES, SEED = 24, 5
STEP = 50.0
BULK_RATE = 2e-3
"""1/s: the field of the bulk falls to exp(-2.3) in the scan."""
Q = 4.5e8


def measurement(**changes: Any) -> Measurement:
    settings: dict[str, Any] = {
        "frames": FRAMES,
        "frame_time": STEP,
        "pixels": (60_000,),
        "contrast": (1.0,),
        "mean_counts": (4.0,),
    }
    return Measurement(**(settings | changes))


def sample(**changes: Any) -> GrainBoundary:
    settings: dict[str, Any] = {
        "gamma": 1e18,
        "diffusivity": BULK_RATE / Q**2,
        "gb_fraction": 0.0,
        "temperature": 400.0,
    }
    return GrainBoundary(**(settings | changes))


def static_sample() -> GrainBoundary:
    return sample(diffusivity=0.0)


def fast_sample() -> GrainBoundary:
    """Decorrelated from one frame to the next."""
    return sample(diffusivity=1.0 / Q**2)


def measured(boundary: GrainBoundary, settings: Measurement, seed: int = SEED) -> tuple[NDArray[Any], NDArray[Any]]:
    """(N, N) map of the photons with the factorial-moment diagonal, and its expectation."""
    draw = draw_seen(boundary, settings, seed)
    scan = measured_two_time(draw, settings, seed, groups=0)
    return scan.two_time.g2_clean[0].astype(float), scan.expected[0]


def slope(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """How much of the expected rise above the baseline was found."""
    known = np.isfinite(expected)
    rise = expected[known] - 1.0
    return float(((found[known] - 1.0) * rise).sum() / (rise**2).sum())


def test_without_nuisance_the_photons_show_the_theory() -> None:
    settings = measurement(contrast=(0.14,), mean_counts=(6.0,), pixels=(150_000,))
    boundary = sample(gb_fraction=0.3, bow=2e-8)
    draw = draw_seen(boundary, settings, 1)
    scan = measured_two_time(draw, settings, 1, groups=0)
    g2 = scan.two_time.g2[0].astype(float)
    theory = draw.two_time(contrast=0.14, normalised=True)[0].astype(float)
    lags = range(1, FRAMES // 2)
    tti, true_tti = (np.array([np.diagonal(m, lag).mean() for lag in lags]) - 1 for m in (g2, theory))
    assert tti == pytest.approx(true_tti, rel=0.02)
    diagonal = np.diagonal(g2) - 1.0
    assert diagonal.mean() == pytest.approx(0.14 + 1 / scan.two_time.mean_counts[0], rel=0.02)
    assert scan.two_time.diagonal[0].mean() - 1 == pytest.approx(0.14, rel=0.02)
    assert scan.expected[0] == pytest.approx(theory, abs=1e-6)


def test_background_takes_its_square_from_the_contrast() -> None:
    found, expected = measured(sample(), measurement(background=(0.3,)))
    assert slope(found, expected) == pytest.approx(1.0, abs=0.03)
    lag = np.abs(np.subtract.outer(np.arange(FRAMES), np.arange(FRAMES))) * STEP
    assert expected == pytest.approx(1 + 0.7**2 * np.exp(-2 * BULK_RATE * lag))
    assert slope(found, 1 + np.exp(-2 * BULK_RATE * lag)) == pytest.approx(0.49, rel=0.03)


def test_a_reference_adds_a_term_that_decays_half_as_fast() -> None:
    x = 0.3
    found, expected = measured(sample(), measurement(reference=(x,)))
    f = np.exp(-BULK_RATE * STEP * np.abs(np.subtract.outer(np.arange(FRAMES), np.arange(FRAMES))))
    assert expected == pytest.approx(1 + (1 - x) ** 2 * f**2 + 2 * x * (1 - x) * f)
    squared, crossed = np.linalg.lstsq(np.stack([f.ravel() ** 2, f.ravel()], axis=1), (found - 1).ravel())[0]
    assert squared == pytest.approx((1 - x) ** 2, abs=0.05)
    assert crossed == pytest.approx(2 * x * (1 - x), abs=0.05)


def test_a_reference_sees_the_phase_of_the_boundary_with_finite_speckles_too() -> None:
    settings = measurement(reference=(0.4,), speckle_size=2.0, pixels=(160_000,))
    found, expected = measured(sample(gb_fraction=1.0, bow=4e-8), settings)
    homodyne = measured(sample(gb_fraction=1.0, bow=4e-8), settings.without("reference"))[1]
    # With one boundary alone |g| is 1: all that happens is the phase's.
    assert homodyne == pytest.approx(np.full_like(homodyne, 2.0))
    assert np.ptp(expected) > 0.1
    assert slope(found, expected) == pytest.approx(1.0, abs=0.03)
    change = found - found[0, 0] - (expected - expected[0, 0])
    assert np.abs(change).max() < 0.03


def test_static_scatterers_leave_a_plateau() -> None:
    s = 0.6
    found, expected = measured(fast_sample(), measurement(static_fraction=(s,)))
    apart = ~np.eye(FRAMES, dtype=bool)
    assert expected[apart] == pytest.approx(np.full(apart.sum(), 1 + s**2))
    assert found[apart].mean() - 1 == pytest.approx(s**2, rel=0.03)
    assert np.diagonal(found).mean() - 1 == pytest.approx(1.0, rel=0.03)


def test_unevenness_raises_the_baseline() -> None:
    settings = measurement(unevenness=(0.4,), contrast=(0.1,))
    draw = draw_seen(fast_sample(), settings, SEED)
    scan = measured_two_time(draw, settings, SEED, groups=0)
    apart = ~np.eye(FRAMES, dtype=bool)
    assert scan.expected[0][apart] == pytest.approx(np.full(apart.sum(), 1.16))
    assert scan.two_time.g2[0][apart].mean() - 1 == pytest.approx(0.16, rel=0.01)
    # Smoothing over some 20 pixels takes a little off a profile of one period in 245 columns.
    assert scan.two_time.static_baseline[0] == pytest.approx(1.16, abs=0.008)
    assert np.diagonal(scan.expected[0]) == pytest.approx(np.full(FRAMES, 1.16 * 1.1))
    assert scan.two_time.contrast[0] == pytest.approx(0.116, rel=0.05)


def test_beam_motion_decorrelates_by_its_overlap() -> None:
    settings = measurement(beam_motion=1.0)
    found, expected = measured(static_sample(), settings)
    d = traces_of(settings, SEED).displacement
    assert expected == pytest.approx(1 + np.exp(-((d[:, None] - d) ** 2) / 4))
    assert expected.min() < 1.4
    # 60,000 pixels of contrast 1 + 1/4 counts: one entry is uncertain by about 0.01.
    assert np.abs(found - expected).max() < 0.05
    assert slope(found, expected) == pytest.approx(1.0, abs=0.02)


def test_dump_and_lost_frames_are_nan_and_true_time_goes_on() -> None:
    settings = measurement(beam_dump=0.25, bad_frames=0.1)
    found, expected = measured(sample(), settings)
    valid = traces_of(settings, SEED).valid
    assert (~valid).sum() == 8
    assert np.isfinite(found).sum() == valid.sum() ** 2
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    whole, _ = measured(sample(), measurement())
    # The same photons as without gaps, except where the gaps are.
    both = np.outer(valid, valid)
    assert found[both] == pytest.approx(whole[both], abs=0.1)
    assert slope(found, expected) == pytest.approx(1.0, abs=0.03)


def test_monitor_errors_draw_stripes() -> None:
    settings = measurement(monitor_error=0.05, bad_frames=0.1, mean_counts=(1.0,), pixels=(20_000,))
    draw = draw_seen(sample(), settings, SEED)
    striped, plain = (
        measured_two_time(draw, one, SEED, groups=4, max_cells=8)
        for one in (settings, settings.without("monitor_error"))
    )
    factors = 1 + striped.traces.monitor
    assert striped.two_time.g2[0] / plain.two_time.g2[0] == pytest.approx(
        np.where(np.isfinite(plain.two_time.g2[0]), np.outer(factors, factors), np.nan), rel=1e-5, nan_ok=True
    )
    assert striped.expected / plain.expected == pytest.approx(striped.two_time.g2 / plain.two_time.g2, nan_ok=True)
    assert striped.two_time.contrast != pytest.approx(plain.two_time.contrast, rel=1e-4)
    maps, bare = striped.two_time.group_maps, plain.two_time.group_maps
    assert maps is not None
    assert bare is not None
    valid = striped.traces.valid.reshape(8, 3)
    cells = (factors.reshape(8, 3) * valid).sum(axis=1) / valid.sum(axis=1)
    known = np.isfinite(bare[0, 0])
    assert (maps[0] / bare[0])[:, known] == pytest.approx(
        np.broadcast_to(np.outer(cells, cells)[known], (4, known.sum())), rel=1e-5
    )


def test_contrast_drifts_between_the_frames_it_says() -> None:
    found, expected = measured(static_sample(), measurement(contrast_drift=-1.0))
    diagonal = np.diagonal(found) - 1
    assert np.diagonal(expected) - 1 == pytest.approx(np.linspace(1.0, 1 / 3, FRAMES))
    assert diagonal == pytest.approx(np.linspace(1.0, 1 / 3, FRAMES), rel=0.06)
    assert slope(found, expected) == pytest.approx(1.0, abs=0.02)


def test_flux_cancels_but_for_its_photon_noise() -> None:
    settings = measurement(flux_drift=1.0, flux_noise=0.2)
    draw = draw_seen(sample(), settings, SEED)
    scan = measured_two_time(draw, settings, SEED, groups=0)
    plain = expected_two_time(draw, settings, traces_of(settings.without("flux_drift", "flux_noise"), SEED), 0)
    assert scan.expected[0] == pytest.approx(plain)
    assert slope(scan.two_time.g2_clean[0], plain) == pytest.approx(1.0, abs=0.02)
    assert scan.two_time.frame_means[0] == pytest.approx(4.0 * scan.traces.flux, rel=0.02)
    noise = np.diagonal(scan.two_time.g2[0]) - scan.two_time.diagonal[0]
    assert noise == pytest.approx(1 / (4.0 * scan.traces.flux), rel=0.02)


def test_q_offset_and_spread_change_the_decay_as_the_pixels_do() -> None:
    settings = measurement(q_offset=0.2, q_spread=0.3)
    found, expected = measured(sample(), settings)
    lag = np.abs(np.subtract.outer(np.arange(FRAMES), np.arange(FRAMES))) * STEP
    u = np.linspace(-1, 1, 2001)[:, None, None]
    truth = 1 + np.exp(-2 * BULK_RATE * (1.2 * (1 + 0.3 * u)) ** 2 * lag).mean(axis=0)
    assert expected == pytest.approx(truth, abs=2e-3)
    assert slope(found, truth) == pytest.approx(1.0, abs=0.03)
    assert slope(found, 1 + np.exp(-2 * BULK_RATE * lag)) < 0.93


def test_speckles_have_the_size_asked_for_and_pixels_else_nothing_in_common() -> None:
    for size, expected in ((1.0, None), (3.0, 3.0)):
        settings = measurement(speckle_size=size, pixels=(10_000,), contrast=(0.5,))
        scan = measured_two_time(draw_seen(fast_sample(), settings, SEED), settings, SEED)
        (groups,) = scan.two_time.groups
        assert groups.count == 8
        if expected is not None:
            assert groups.speckle_size == pytest.approx(expected, rel=0.1)
    # Not periodic: the first and the last row of a patch are as independent as any two far apart.
    counts = photon_counts(draw_seen(fast_sample(), settings, SEED), settings, 0, SEED).reshape(FRAMES, 100, 100)
    first, last, near = (counts[:, row].astype(float).ravel() for row in (0, -1, 1))
    assert np.corrcoef(first, near)[0, 1] > 0.3
    # 24 frames of about 100 / 3 speckles each: 0.04 is a standard deviation.
    assert abs(np.corrcoef(first, last)[0, 1]) < 0.13


@pytest.mark.parametrize("contrast", [0.8, 0.3, 0.14])
def test_any_contrast_can_be_had(contrast: float) -> None:
    settings = measurement(contrast=(contrast,), frames=12, mean_counts=(20.0,))
    found, _ = measured(fast_sample(), settings)
    assert np.diagonal(found).mean() - 1 == pytest.approx(contrast, rel=0.02)


def test_everything_at_once_with_many_boundaries_and_avalanches() -> None:
    boundary = sample(
        gb_fraction=0.5, bow=2e-8, boundaries=5, size_spread=0.2, avalanche_rate=2e-3, avalanche_share=0.2
    )
    settings = measurement(
        pixels=(120_000,),
        contrast=(0.6,),
        background=(0.1,),
        unevenness=(0.2,),
        static_fraction=(0.2,),
        reference=(0.1,),
        flux_drift=0.3,
        contrast_drift=0.2,
        beam_motion=0.4,
        monitor_error=0.02,
        bad_frames=0.1,
        q_offset=-0.03,
        q_spread=0.06,
    )
    found, expected = measured(boundary, settings)
    known = np.isfinite(expected)
    assert slope(found, expected) == pytest.approx(1.0, abs=0.02)
    assert np.abs(found - expected)[known].max() < 0.03
    assert np.ptp(expected[known]) > 0.3


def test_parts_of_the_field_add_up_to_its_correlation() -> None:
    # By hand, so that it does not hang on what a boundary draws: two boundaries, two q, an avalanche.
    t = np.arange(6, dtype=np.float64) * 10.0
    rng = np.random.default_rng(1)
    amplitudes = (0.8 * np.exp(0.5j * np.cumsum(rng.standard_normal((2, 2, 6)), axis=-1))).astype(np.complex128)
    renewals = np.array([0.0, 0.0, 0.3, 0.3, 0.3, 1.0])
    draw = Draw(
        t=t,
        amplitudes=amplitudes,
        weights=np.array([0.25, 0.75]),
        bulk_rates=np.array([0.01, 0.02]),
        renewals=renewals,
        gb_fraction=0.6,
    )
    d = np.array([0.0, 0.5, -1.0, 2.0, 0.1, 0.0])
    parts = field_parts(draw, slice(None), static_fraction=0.3, displacement=d)
    kernel = np.exp(-((d[:, None] - d) ** 2) / 8)
    for q in range(2):
        g1 = draw.field_correlation()[q]
        level = np.sqrt(np.diagonal(g1.real))
        truth = (0.3 + 0.7 * g1 / np.outer(level, level)) * kernel
        total = np.zeros((6, 6), dtype=complex)
        for part in parts:
            growth = part.renewed if part.rates is None else part.renewed + part.rates[q] * 10.0
            age = np.concatenate([[0.0], np.cumsum(growth)])
            phi = part.factors[q]
            total += phi @ phi.conj().T * np.exp(-np.abs(age[:, None] - age))
        assert total == pytest.approx(truth, abs=2e-4)
        assert np.diagonal(total) == pytest.approx(np.ones(6))


def test_same_seed_same_photons_and_rois_are_independent() -> None:
    settings = measurement(pixels=(3000, 3000), mean_counts=(4.0, 2000.0))
    draw = draw_seen(sample(q=(Q, Q)), settings, 1)
    first = [photon_counts(draw, settings, roi, 1) for roi in (0, 1)]
    again = photon_counts(draw, settings, 0, 1)
    other = photon_counts(draw, settings, 0, 2)
    assert np.array_equal(first[0], again)
    assert not np.array_equal(first[0], other)
    assert first[0].shape == (FRAMES, 3000)
    assert [counts.dtype for counts in first] == [np.uint16, np.uint32]
    assert abs(np.corrcoef(first[0].ravel(), first[1].ravel())[0, 1]) < 0.05
    scan = measured_two_time(draw, settings, 1, groups=0, q_par=(Q, Q))
    assert scan.two_time.pixels.tolist() == [3000, 3000]
    assert scan.two_time.q_par is not None
    assert scan.two_time.q_par.tolist() == [Q, Q]
    listed = two_time(np.ascontiguousarray(first[0]), np.ones(3000, dtype=int), groups=0)
    assert np.array_equal(listed.g2[0], scan.two_time.g2[0])
    assert patch_shape(3000) == (55, 55)


def test_frames_without_beam_count_nothing_and_traces_are_the_scans_own() -> None:
    settings = measurement(pixels=(500,), beam_dump=0.2, bad_frames=0.1)
    counts = photon_counts(draw_seen(sample(), settings, 3), settings, 0, 3)
    traces: Traces = traces_of(settings, 3)
    assert not counts[~traces.valid].any()
    assert counts[traces.valid].any(axis=1).all()
