"""Movies of grain boundaries: every pixel follows the draw at its own q, and every effect falls where it belongs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.fft
from numpy.typing import NDArray

from gbx_beamline.correlation import two_time
from gbx_beamline.errors import InputError, SeriesError, UnitError
from gbx_beamline.frames.series import build_series
from gbx_beamline.records import FrameSource, Geometry
from gbx_beamline.simulation.grain_boundary import GrainBoundary
from gbx_beamline.simulation.measurement._settings import Measurement
from gbx_beamline.simulation.movie import OUTLIER, GrainBoundaryMovie

SIDE, FRAMES, STEP = 96, 30, 50.0
SLOW, FAST = 3e8, 6e8
"""1/m, of the left and the right half of the image."""
Q = np.repeat(np.repeat([[SLOW, FAST]], SIDE, axis=0), SIDE, axis=1)

BOUNDARY = GrainBoundary(gamma=1e18, diffusivity=2e-3 / FAST**2, gb_fraction=0.4, temperature=400.0, bow=2e-8)


def settings(**changes: Any) -> Measurement:
    said: dict[str, Any] = {
        "frames": FRAMES,
        "frame_time": STEP,
        "pixels": (1,),
        "contrast": (0.5,),
        "mean_counts": (6.0,),
        "speckle_size": 1.5,
    }
    return Measurement(**(said | changes))


def movie(boundary: GrainBoundary = BOUNDARY, q: NDArray[Any] = Q, seed: int = 1, **changes: Any) -> GrainBoundaryMovie:
    maps = {name: changes.pop(name) for name in ("mean_counts_map", "q_z", "mask", "shift") if name in changes}
    if "mean_counts_map" in maps:
        maps["mean_counts"] = maps.pop("mean_counts_map")
    return GrainBoundaryMovie(q, boundary, settings(**changes), seed=seed, **maps)


def small(**changes: Any) -> GrainBoundaryMovie:
    said: dict[str, Any] = {"frames": 10, "q": Q[:20, 80:112]}
    return movie(**(said | changes))


def compared(source: GrainBoundaryMovie, q: float) -> tuple[NDArray[Any], NDArray[Any], float]:
    """Found and true map of the pixels at ``q``, valid pairs off the diagonal, and the found share of the rise."""
    bad = np.flatnonzero(~source.traces.valid)
    tt = two_time(np.stack(list(source)), np.where(q == Q, 1, 0), bad_frames=bad, groups=0)
    truth = source.true_two_time(q)
    known = np.isfinite(tt.g2[0]) & ~np.eye(len(source), dtype=bool)
    found, expected = tt.g2[0][known].astype(float) - 1, truth[known] - 1
    return found, expected, float((found * expected).sum() / (expected**2).sum())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"beam_motion": 0.6},
        {"reference": (0.3,), "speckle_size": 1.0},
        {"background": (0.2,), "static_fraction": (0.3,), "contrast_drift": 0.5, "flux_drift": 0.5},
        {"q_offset": 0.1, "beam_dump": 0.2, "bad_frames": 0.1},
    ],
    ids=["plain", "motion", "reference", "static", "offset"],
)
def test_each_pixel_follows_the_draw_at_its_own_q(changes: dict[str, Any]) -> None:
    source = movie(**changes)
    for q in (SLOW, FAST):
        found, expected, share = compared(source, q)
        # 9,216 pixels hold about 5,200 speckles of 2 modes: 2 (1/2 + 1/6) / sqrt(5200) = 0.02 per entry, shared
        # between entries.
        assert np.abs(found - expected).max() < 0.1
        assert share == pytest.approx(1.0, abs=0.12)
    slow, fast = source.true_two_time(SLOW), source.true_two_time(FAST)
    assert np.abs(slow - fast).max() > 0.03


def test_several_boundaries_avalanches_and_smooth_q_give_the_mean_of_their_maps() -> None:
    q = np.linspace(SLOW, FAST, 2 * SIDE)[None, :] * np.ones((SIDE, 1))
    boundary = replace(BOUNDARY, boundaries=4, avalanche_rate=3e-3, avalanche_share=0.3, orientations="isotropic")
    source = movie(boundary, q, contrast=(0.8,))
    tt = two_time(np.stack(list(source)), np.ones(q.shape, dtype=int), groups=0)
    truth = source.true_two_time(q)
    apart = ~np.eye(FRAMES, dtype=bool)
    assert np.abs(tt.g2[0] - truth)[apart].max() < 0.1
    rise = truth[apart] - 1
    assert ((tt.g2[0][apart] - 1) * rise).sum() / (rise**2).sum() == pytest.approx(1.0, abs=0.08)
    # 32 shares of q stand for 192 different ones.
    single = np.mean([source.true_two_time(value) for value in q[0]], axis=0)
    assert truth == pytest.approx(single, abs=1e-3)
    assert np.diagonal(tt.diagonal) == pytest.approx(1.8, abs=0.06)


def test_speckles_and_contrast_are_those_asked_for() -> None:
    fast = replace(BOUNDARY, gb_fraction=0.0, diffusivity=1.0)
    source = movie(fast, speckle_size=3.0, contrast=(0.3,), mean_counts=(50.0,))
    frames = np.stack(list(source))
    tt = two_time(frames, np.ones(Q.shape, dtype=int), groups=0)
    assert tt.diagonal.mean() - 1 == pytest.approx(0.3, rel=0.05)
    fluctuation = frames / frames.mean(axis=(1, 2), keepdims=True) - 1
    power = (np.abs(scipy.fft.rfft2(fluctuation)) ** 2).mean(axis=0)
    autocorrelation = scipy.fft.irfft2(power, s=Q.shape) / Q.size / 0.3
    for line in (autocorrelation[:, 0], autocorrelation[0, :]):
        assert np.interp(1.5, np.arange(1, 5), line[1:5]) == pytest.approx(0.5, abs=0.05)


def test_iterating_reading_and_going_back_show_the_same_movie() -> None:
    source = small(beam_motion=0.3, static_fraction=(0.2,))
    whole = np.stack(list(source))
    assert isinstance(source, FrameSource)
    assert whole.shape == source.shape == (10, 20, 32)
    assert whole.dtype == source.dtype == np.uint16
    assert np.array_equal(np.stack(list(source)), whole)
    assert np.array_equal(source.read(7, 9), whole[7:9])
    assert np.array_equal(source.read(2, 5, (slice(2, 9), slice(20, 32))), whole[2:5, 2:9, 20:32])
    other = small(beam_motion=0.3, static_fraction=(0.2,), seed=2)
    assert not np.array_equal(np.stack(list(other)), whole)
    with pytest.raises(SeriesError, match="frames 8:12 of a movie of 10"):
        source.read(8, 12)
    series = build_series(source, name="movie", geometry=Geometry(shape=(20, 32)), frame_time=source.frame_time)
    labels = np.ones((20, 32), dtype=np.int32)
    assert np.array_equal(two_time(series, labels, groups=0).g2, two_time(whole, labels, groups=0).g2)


def test_mask_stays_on_the_detector_while_the_pattern_moves() -> None:
    mask = np.ones((20, 32), dtype=bool)
    mask[:, 10:13] = False
    mean = np.full((20, 32), 3000.0)
    mean[5, 7] = 6000.0
    shift = np.zeros((10, 2))
    shift[1:] = (3, -2)
    still = replace(BOUNDARY, diffusivity=0.0, gb_fraction=0.0)
    source = small(boundary=still, mask=mask, shift=shift, mean_counts_map=mean)
    frames = np.stack(list(source)).astype(float)
    assert not frames[:, ~mask].any()
    assert frames[:, mask].min() > 0 or (frames[:, mask] == 0).mean() < 0.01
    # A static sample: later frames are the first one displaced, but for photon noise.
    expected = np.roll(frames[0], (3, -2), axis=(0, 1))
    inside = mask & np.roll(mask, (3, -2), axis=(0, 1))
    inside[:3], inside[:, -2:] = False, False
    assert np.corrcoef(frames[5][inside], expected[inside])[0, 1] > 0.99
    assert np.corrcoef(frames[5][mask], frames[0][mask])[0, 1] < 0.5
    assert source.dtype == np.uint32


def test_half_a_pixel_of_shift_is_exact_for_the_optics() -> None:
    still = replace(BOUNDARY, diffusivity=0.0, gb_fraction=0.0)
    there_and_back = np.array([[0.0, 0.0], [0.5, 0.5]])
    plain, moved = (
        small(boundary=still, frames=2, shift=shift, speckle_size=3.0, mean_counts_map=1e5)
        for shift in (None, there_and_back)
    )
    first, second = np.stack(list(moved)).astype(float)
    assert np.array_equal(first, next(iter(plain)))
    # Speckles of 3 pixels are sampled finely enough for their intensity to be displaced by its own Fourier series.
    y, x = (np.exp(-1j * np.pi * scipy.fft.fftfreq(length)) for length in (20, 32))
    expected = scipy.fft.ifft2(scipy.fft.fft2(first) * np.outer(y, x)).real
    assert second == pytest.approx(expected, abs=6 * np.sqrt(second.max()))


def test_dump_is_dark_and_lost_frames_are_dark_or_too_bright() -> None:
    source = movie(frames=200, beam_dump=0.1, bad_frames=0.2, q=Q[:16, 88:104])
    level = np.array([frame.mean() for frame in source]) / 6.0
    traces = source.traces
    assert not level[~traces.beam].any()
    lost = level[traces.beam & ~traces.valid]
    assert lost.size == 40
    dark = lost == 0
    assert 8 <= dark.sum() <= 32
    assert lost[~dark].mean() == pytest.approx(OUTLIER, rel=0.1)
    assert level[traces.valid].mean() == pytest.approx(1.0, rel=0.05)


def test_total_q_adds_the_out_of_plane_part_to_the_bulk() -> None:
    total = replace(BOUNDARY, gb_fraction=0.0, q_convention="total", q_z=FAST)
    source = movie(total)
    truth = source.true_two_time(FAST)
    assert truth[0, 5] - 1 == pytest.approx(0.5 * np.exp(-2 * 2 * 2e-3 * 5 * STEP), rel=1e-6)
    _, _, share = compared(source, FAST)
    assert share == pytest.approx(1.0, abs=0.12)
    mapped = small(boundary=total, q_z=np.full((20, 32), FAST))
    assert np.array_equal(np.stack(list(mapped)), np.stack(list(small(boundary=total))))


def test_truth_is_the_draw_that_the_frames_follow() -> None:
    source = small()
    draw = replace(BOUNDARY, q=(FAST,)).draw(np.arange(10) * STEP, 1)
    assert source.true_two_time(FAST) == pytest.approx(
        draw.two_time(contrast=0.5, normalised=True)[0].astype(float), abs=1e-6
    )
    both = source.true_two_time([SLOW, FAST, FAST])
    assert both == pytest.approx((source.true_two_time(SLOW) + 2 * source.true_two_time(FAST)) / 3)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"q": np.full(5, 1e8)}, InputError, r"a map of q of shape \(5,\)"),
        ({"q": np.full((4, 4), np.nan)}, InputError, "a map of q"),
        ({"q": np.full((4, 4), 0.045)}, UnitError, r"q up to 0\.045.* multiply 1/Angstrom by 1e10"),
        ({"mask": np.ones((3, 3), dtype=bool)}, InputError, r"a mask of shape \(3, 3\)"),
        ({"mask": np.full(Q.shape, 0.5)}, InputError, "dtype float64"),
        ({"shift": np.zeros((3, 2))}, InputError, r"shifts of shape \(3, 2\)"),
        ({"mean_counts_map": np.ones((3, 3))}, InputError, r"mean_counts of shape \(3, 3\)"),
        ({"q_z": np.ones((3, 3))}, InputError, r"q_z of shape \(3, 3\)"),
        ({"pixels": (1, 1)}, InputError, "a measurement of 2 q-ROIs"),
        ({"seed": -1}, InputError, "seed -1"),
    ],
)
def test_impossible_maps_are_refused(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        movie(**changes)
