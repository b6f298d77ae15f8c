"""Decorrelation jumps: found where and as large as they are, and not made of ageing, settling or noise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.care import CareConfig, find_jumps
from gbx_beamline.correlation import two_time
from gbx_beamline.errors import InputError, MapError
from gbx_beamline.simulation import SpeckleMovie, field_correlation, pixel_counts

FRAMES, MODES = 128, 7


def jump_at(frame: int, loss: float = 0.03, frames: int = FRAMES) -> NDArray[np.float64]:
    """(N, N) field correlation of a static sample that loses ``loss`` of its contrast before ``frame``."""
    after = np.arange(frames) >= frame
    return np.where(after[:, None] == after[None, :], 1.0, np.sqrt(1.0 - loss))


def noisy(field: NDArray[np.float64], noise: float, seed: int) -> NDArray[np.float64]:
    """(N, N) map with white noise on every pair."""
    error = np.random.default_rng(seed).normal(0.0, noise, field.shape)
    return 1.0 + field**2 / MODES + (error + error.T) / np.sqrt(2.0)


def movie_map(rate: float, profile: NDArray[np.float64] | None, counts: float, seed: int) -> NDArray[np.float32]:
    """(N, N) map of a simulated movie of 1,600 pixels, about 350 speckles."""
    movie = SpeckleMovie(
        (40, 40), FRAMES, rate=rate, profile=profile, modes=MODES, mean_counts=counts, speckle_size=2.0, seed=seed
    )
    return two_time(np.stack(list(movie)), np.ones((40, 40), dtype=int)).g2[0]


@pytest.mark.parametrize("frame", [12, 40, 64, 120])
def test_a_jump_is_found_at_its_frame_with_its_size(frame: int) -> None:
    found = find_jumps(noisy(jump_at(frame), 1e-3, 1), 1 / MODES, frame_time=0.5)
    assert [jump.frame for jump in found.jumps] == [frame]
    jump = found.jumps[0]
    assert jump.time == 0.5 * frame
    assert jump.amplitude == pytest.approx(0.03, abs=4 * jump.error)
    assert jump.error < 0.004
    assert jump.words.startswith(f"decorrelation jump of {100 * jump.amplitude:.2g} % of the contrast at")
    assert jump.words.endswith("sample motion or instrument, not ageing")


def test_errors_of_the_amplitude_are_true() -> None:
    amplitude, error = [], []
    for seed in range(24):
        jump = find_jumps(noisy(jump_at(64), 4e-3, seed), 1 / MODES).jumps[0]
        amplitude.append(jump.amplitude)
        error.append(jump.error)
    assert np.mean(amplitude) == pytest.approx(0.03, abs=0.002)
    assert np.std(amplitude) == pytest.approx(np.mean(error), rel=0.6)


def test_bad_frames_and_several_jumps() -> None:
    field = jump_at(30, 0.05) * jump_at(90, 0.03)
    g2 = noisy(field, 1e-3, 2)
    g2[[5, 29, 60]] = g2[:, [5, 29, 60]] = np.nan
    found = find_jumps(g2, 1 / MODES)
    assert [jump.frame for jump in found.jumps] == [30, 90]
    assert found.jumps[0].amplitude == pytest.approx(0.05, abs=0.01)


def test_a_long_series_is_searched_in_cells() -> None:
    found = find_jumps(noisy(jump_at(300, frames=500), 0.01, 3), 1 / MODES, frame_time=0.1)
    assert len(found.jumps) == 1
    assert abs(found.jumps[0].frame - 300) <= 4
    assert found.jumps[0].time_error == pytest.approx(0.2)


def test_no_jump_in_smooth_maps_without_noise() -> None:
    t = np.arange(FRAMES) / FRAMES
    for rate in (0.0 * t, 0.01 + 0.0 * t, 0.05 / (1 + 16 * t), 0.01 * np.exp(-4 * t), 0.02 + 0.01 * np.sin(6 * t)):
        field = field_correlation(rate)
        assert find_jumps(noisy(field, 1e-3, 4), 1 / MODES).jumps == ()


@pytest.mark.parametrize("counts", [1.0, 10.0])
def test_a_static_sample_with_a_jump_of_three_percent_is_flagged(counts: float) -> None:
    """12,800 pixels at 1 count, 1,600 at 10: both beyond doubt."""
    pixels = 12_800 if counts == 1.0 else 1_600
    for seed in range(4):
        rows = pixel_counts(jump_at(64), pixels, modes=MODES, mean_counts=counts, seed=seed)
        tt = two_time(rows, np.ones(pixels, dtype=int))
        found = find_jumps(tt.g2[0], float(tt.contrast[0]))
        assert [abs(jump.frame - 64) <= 1 for jump in found.jumps] == [True]
        assert found.jumps[0].amplitude == pytest.approx(0.03, abs=0.015)


@pytest.mark.parametrize("counts", [1.0, 10.0])
@pytest.mark.parametrize("kind", ["static", "stationary", "ageing", "settling"])
def test_movies_without_a_jump_are_not_flagged(kind: str, counts: float) -> None:
    t = np.arange(FRAMES)
    rate, profile = {
        "static": (0.0, None),
        "stationary": (0.01, None),
        "ageing": (0.05, (1 + t / 8) ** -1.0),
        # 3 % of the contrast, most of it in the first quarter.
        "settling": (0.015 / 32, np.exp(-t / 32)),
    }[kind]
    for seed in range(3):
        assert find_jumps(movie_map(rate, profile, counts, seed), 1 / MODES).jumps == ()


@pytest.mark.slow
def test_rates_of_false_and_missed_jumps() -> None:
    t = np.arange(FRAMES)
    kinds = {
        "static": (0.0, None),
        "stationary": (0.01, None),
        "ageing": (0.02, (1 + t / 30) ** -1.0),
        "settling": (0.015 / 32, np.exp(-t / 32)),
    }
    false = [
        bool(find_jumps(movie_map(rate, profile, counts, seed), 1 / MODES).jumps)
        for rate, profile in kinds.values()
        for counts in (1.0, 10.0)
        for seed in range(100, 130)
    ]
    assert np.mean(false) <= 0.02
    seen = []
    for seed in range(20):
        rows = pixel_counts(jump_at(40), 1_600, modes=MODES, mean_counts=10.0, seed=seed)
        found = find_jumps(two_time(rows, np.ones(1_600, dtype=int)).g2[0], 1 / MODES)
        seen.append(any(abs(jump.frame - 40) <= 1 for jump in found.jumps))
    assert np.mean(seen) >= 0.95


def test_what_cannot_be_searched_says_why() -> None:
    g2 = noisy(jump_at(64), 1e-3, 5)
    assert find_jumps(g2, 0.0).status == "no contrast (0) to lose"
    assert find_jumps(g2, np.nan).status.startswith("no contrast")
    assert find_jumps(g2[:10, :10], 0.1).status == "10 valid time cells; at least 24 are needed"
    assert find_jumps(np.full((40, 40), np.nan), 0.1).status.startswith("0 valid time cells")
    assert find_jumps(g2, 0.1, settings=CareConfig(without=("jumps",))).status == "switched off"
    assert find_jumps(np.ones((40, 40)), 0.1).jumps == ()
    with pytest.raises(MapError, match=r"shape \(3, 4\)"):
        find_jumps(np.ones((3, 4)), 0.1)
    with pytest.raises(InputError, match="frame_time -1"):
        find_jumps(g2, 0.1, frame_time=-1.0)
