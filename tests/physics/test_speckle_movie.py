"""Speckle movies: the dynamics, contrast, speckle size and counts are those that were asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.fft

from gbx_beamline.correlation import one_time, two_time
from gbx_beamline.errors import InputError, SeriesError
from gbx_beamline.frames.series import build_series
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.records import FrameSource, Geometry
from gbx_beamline.simulation import SpeckleMovie, field_correlation

SHAPE = (24, 40)


def small(**changes: Any) -> SpeckleMovie:
    settings: dict[str, Any] = {"rate": 0.2, "modes": 2, "mean_counts": 3.0, "seed": 1}
    return SpeckleMovie(SHAPE, 12, **(settings | changes))


def test_field_correlation_of_an_ageing_rate_has_its_closed_form() -> None:
    # rate = r / (1 + t/age) integrates to r age ln(1 + t/age).
    rate, age, step = 0.05, 20.0, 0.1
    t = np.arange(400) * step
    aged = 1 + t / age
    low, high = np.minimum.outer(aged, aged), np.maximum.outer(aged, aged)
    np.testing.assert_allclose(field_correlation(rate / aged, step), (low / high) ** (rate * age), rtol=1e-5)


@pytest.mark.parametrize("static", [0.0, 0.4])
def test_ageing_movie_follows_its_exact_map_at_every_rate(static: float) -> None:
    frames, modes = 40, 2
    rates = np.repeat(np.array([[0.05, 0.4]], dtype=np.float32), 96, axis=0).repeat(48, axis=1)
    movie = SpeckleMovie(
        (96, 96),
        frames,
        rate=rates,
        profile=(1 + np.arange(frames) / 8) ** -1.0,
        modes=modes,
        speckle_size=1.5,
        mean_counts=5.0,
        static_fraction=static,
        seed=4,
    )
    tt = two_time(np.stack(list(movie)), np.where(rates < 0.1, 1, 2))
    apart = ~np.eye(frames, dtype=bool)
    for roi, rate in enumerate((0.05, 0.4)):
        truth = movie.true_two_time(rate)
        # 4608 pixels hold about 1,800 independent speckles per mode; an entry is uncertain by about
        # 2 (1/M + 1/<I>) / sqrt(1800) = 0.03 where it is correlated, and the entries share their fluctuations.
        assert tt.g2[roi][apart] == pytest.approx(truth[apart], abs=0.09)
        assert (tt.g2[roi][apart] - truth[apart]).mean() == pytest.approx(0.0, abs=0.03)
        expected = nonequilibrium(truth)
        measured = nonequilibrium(tt)[roi]
        assert expected.s_noneq > 0.05
        assert measured.s_noneq == pytest.approx(expected.s_noneq, abs=0.06)


def test_constant_rate_gives_a_translation_invariant_truth() -> None:
    truth = small(static_fraction=0.3).true_two_time(0.2)
    assert np.diagonal(truth) == pytest.approx(1.5)
    assert truth[0, 5] == pytest.approx(1 + (0.3 + 0.7 * np.exp(-1.0)) ** 2 / 2)
    assert nonequilibrium(truth).s_noneq < 1e-20
    both = small().true_two_time([0.1, 0.1, 0.4])
    assert both == pytest.approx((2 * small().true_two_time(0.1) + small().true_two_time(0.4)) / 3)


@pytest.mark.parametrize("modes", [1, 4])
def test_contrast_is_one_over_the_modes_and_counts_follow_the_mean_image(modes: int) -> None:
    mean = np.linspace(1, 9, 128)[None, :] * np.ones((128, 1))
    movie = SpeckleMovie((128, 128), 50, rate=3.0, modes=modes, mean_counts=mean, speckle_size=1.5, seed=2)
    frames = np.stack(list(movie))
    assert frames.mean(axis=(0, 1)) == pytest.approx(mean[0], rel=0.15)
    # Columns of equal mean counts, so that no intensity profile adds to the contrast.
    pixels = frames[:, :, 60:68].reshape(50, -1)
    assert two_time(pixels, np.ones(1024, dtype=int)).contrast[0] == pytest.approx(1 / modes, rel=0.1)


@pytest.mark.parametrize("size", [2.0, 4.0])
def test_speckles_have_the_width_asked_for(size: float) -> None:
    movie = SpeckleMovie((128, 256), 30, rate=5.0, mean_counts=100.0, speckle_size=size, seed=3)
    fluctuation = np.stack(list(movie)).astype(np.float64) / 100.0 - 1
    power = (np.abs(scipy.fft.rfft2(fluctuation)) ** 2).mean(axis=0)
    autocorrelation = scipy.fft.irfft2(power, s=(128, 256)) / fluctuation[0].size
    for line in (autocorrelation[:, 0], autocorrelation[0, :]):
        # Lag 0 holds photon noise: only lags from 1 are compared with the Airy pattern that falls to 1/2 at size/2.
        assert np.interp(size / 2, np.arange(1, 10), line[1:10]) == pytest.approx(0.5, abs=0.05)


def test_iterating_reading_and_going_back_show_the_same_movie() -> None:
    movie = small(profile=np.linspace(1, 2, 12), static_fraction=0.2)
    whole = np.stack(list(movie))
    assert whole.shape == movie.shape == (12, 24, 40)
    assert whole.dtype == movie.dtype == np.uint16
    assert np.array_equal(np.stack(list(movie)), whole)
    assert np.array_equal(movie.read(0, 3), whole[:3])
    assert np.array_equal(movie.read(7, 9), whole[7:9])
    iterator = iter(movie)
    assert np.array_equal(next(iterator), whole[0])
    region = (slice(2, 9), slice(30, 40))
    assert np.array_equal(movie.read(9, 12, region), whole[9:12, 2:9, 30:40])
    assert np.array_equal(movie.read(1, 12), whole[1:])
    assert np.array_equal(next(iterator), whole[1])
    assert not np.array_equal(np.stack(list(small(profile=np.linspace(1, 2, 12), static_fraction=0.2, seed=2))), whole)


def test_a_movie_is_a_frame_source_that_a_series_can_hold() -> None:
    movie = small(frame_time=0.5)
    assert isinstance(movie, FrameSource)
    series = build_series(movie, name="movie", geometry=Geometry(shape=SHAPE), frame_time=movie.frame_time)
    labels = np.zeros(SHAPE, dtype=np.int32)
    labels[3:20, 5:35] = 1
    expected = two_time(np.stack(list(movie)), labels, frame_time=0.5)
    assert np.array_equal(two_time(series, labels).g2, expected.g2)


def test_a_static_movie_never_decays() -> None:
    frames = np.stack(list(small(static_fraction=1.0, mean_counts=50.0, rate=10.0)))
    g2 = one_time(two_time(frames, np.ones(SHAPE, dtype=int))).g2[0]
    assert g2 == pytest.approx(np.full(12, g2[0]), rel=0.01)
    assert g2[0] > 1.3


def test_bright_movies_use_a_wider_type() -> None:
    movie = small(mean_counts=20_000.0, modes=1)
    assert movie.dtype == np.uint32
    assert movie.read(0, 1).max() > 65_535


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": np.ones((3, 3))}, r"rate of shape \(3, 3\)"),
        ({"rate": -1.0}, "rate of shape .* from -1 to -1"),
        ({"mean_counts": np.nan}, "mean_counts"),
        ({"profile": np.ones(11)}, r"a time profile of shape \(11,\)"),
        ({"static_fraction": 1.5}, r"static_fraction 1\.5"),
        ({"speckle_size": 0.5}, r"speckle_size 0\.5"),
        ({"modes": 0}, "modes 0"),
        ({"seed": -1}, "seed -1"),
        ({"frame_time": 0.0}, r"frame_time 0\.0"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        small(**changes)


def test_frames_outside_the_movie_are_refused() -> None:
    with pytest.raises(SeriesError, match="frames 10:13 of a movie of 12"):
        small().read(10, 13)
