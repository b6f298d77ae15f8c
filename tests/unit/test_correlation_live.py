"""Frames that arrive one batch after another give the bits of the finished series."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gbx_beamline.correlation import LiveTwoTime, one_time, two_time
from gbx_beamline.errors import InputError, SeriesError
from gbx_beamline.frames import open_series
from gbx_beamline.non_equilibrium import nonequilibrium
from gbx_beamline.records import TwoTime

SHAPE = (24, 20)


def photons(frames: int = 60, mean: float = 2.0, seed: int = 0, dtype: type[np.generic] = np.uint16) -> NDArray[Any]:
    return np.random.default_rng(seed).poisson(mean, size=(frames, *SHAPE)).astype(dtype)


def two_rois() -> NDArray[np.int32]:
    labels = np.zeros(SHAPE, dtype=np.int32)
    labels[1:21, 2:9] = 1
    labels[2:24, 11:20] = 2
    return labels


def fed(counts: NDArray[Any], cuts: list[int], **options: Any) -> LiveTwoTime:
    live = LiveTwoTime(two_rois(), frames=len(counts), shape=SHAPE, dtype=counts.dtype, **options)
    for part in np.split(counts, cuts):
        live.append(part)
    return live


def assert_same_bits(one: TwoTime, other: TwoTime) -> None:
    for name in ("g2", "diagonal", "frame_means", "mean_counts", "static_baseline", "pixels", "valid_frames"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True), name
    assert np.array_equal(one.group_maps, other.group_maps, equal_nan=True)  # type: ignore[arg-type]
    assert repr(one.groups) == repr(other.groups)  # NaN is not equal to itself


@settings(max_examples=15, deadline=None)
@given(
    mean=st.sampled_from([0.02, 1.0, 90.0, 5000.0]),
    cuts=st.lists(st.integers(1, 59), max_size=5, unique=True).map(sorted),
    seed=st.integers(0, 99),
)
def test_batch_live_and_two_halves_are_the_same_bits(mean: float, cuts: list[int], seed: int) -> None:
    counts = photons(mean=mean, seed=seed)
    counts[:, 3, 3] += 1  # no ROI is dark for ever
    counts[:, 3, 12] += 1
    assert_same_bits(fed(counts, cuts).finish(), two_time(counts, two_rois()))


def test_bad_frames_and_late_saturation_are_corrected_once_and_said() -> None:
    counts = photons()
    counts[41, 5, 5] = counts[7, 12, 15] = np.iinfo(np.uint16).max
    live = fed(counts, [13, 30])
    done = live.finish(bad_frames=[3, 50])
    series = open_series(counts, frame_time=1.0)
    assert_same_bits(done, two_time(series, two_rois(), bad_frames=[3, 50]))
    assert done.saturated.tolist() == [1, 1]
    assert any("once more at the end" in note and "2 pixels saturated" in note for note in done.notes)
    assert fed(photons(), [20]).finish().notes == ()


def test_a_normalisation_by_averages_waits_for_the_end() -> None:
    counts = photons()
    live = fed(counts, [20], normalisation="smoothed_image")
    early = live.so_far()
    assert early is not None
    assert early.normalisation == "none"
    done = live.finish()
    assert_same_bits(done, two_time(counts, two_rois(), normalisation="smoothed_image"))
    assert any("normalisation smoothed_image" in note for note in done.notes)


def test_what_is_known_so_far_is_what_the_frames_so_far_give() -> None:
    counts = photons()
    live = LiveTwoTime(two_rois(), frames=60, shape=SHAPE, dtype=counts.dtype, frame_time=0.5)
    assert live.so_far() is None
    live.append(counts[:25])
    early = live.so_far()
    assert early is not None
    before = early.g2.copy()
    live.append(counts[25:])
    assert np.array_equal(early.g2, before, equal_nan=True)
    expected = two_time(counts[:25], two_rois(), frame_time=0.5)
    assert np.array_equal(early.g2, expected.g2)
    assert np.array_equal(one_time(early).g2, one_time(expected).g2, equal_nan=True)
    assert nonequilibrium(early)[0].s_noneq == nonequilibrium(expected)[0].s_noneq


def test_reading_does_not_stop_the_stream() -> None:
    counts = photons(frames=120)
    live = LiveTwoTime(two_rois(), frames=120, shape=SHAPE, dtype=counts.dtype)
    seen: list[int] = []
    fed_all = threading.Event()

    def look() -> None:
        while not fed_all.is_set():
            now = live.so_far()
            if now is not None:
                seen.append(now.g2.shape[-1])
                assert np.isfinite(now.g2).all()

    reader = threading.Thread(target=look)
    reader.start()
    for start in range(0, 120, 4):
        live.append(counts[start : start + 4])
    fed_all.set()
    reader.join()
    assert seen == sorted(seen)
    assert_same_bits(live.finish(), two_time(counts, two_rois()))


def test_a_scan_that_ends_early_is_analysed_as_far_as_it_came() -> None:
    counts = photons()
    live = LiveTwoTime(two_rois(), frames=100, shape=SHAPE, dtype=counts.dtype)
    live.append(counts)
    assert_same_bits(live.finish(), two_time(counts, two_rois()))


def test_what_does_not_belong_to_the_scan_is_refused() -> None:
    live = LiveTwoTime(two_rois(), frames=10, shape=SHAPE, dtype=np.uint16)
    with pytest.raises(SeriesError, match=r"frames of uint16 and shape \(3, 3\)"):
        live.append(np.zeros((2, 3, 3), dtype=np.uint16))
    with pytest.raises(SeriesError, match="frames of uint32"):
        live.append(np.zeros((2, *SHAPE), dtype=np.uint32))
    with pytest.raises(SeriesError, match="frame 11 of 10"):
        live.append(photons(11))
    with pytest.raises(InputError, match="dtype float64"):
        LiveTwoTime(two_rois(), frames=10, shape=SHAPE, dtype=np.float64)
    with pytest.raises(InputError, match="9000 frames of 338 ROI pixels in 2 ROIs take"):
        LiveTwoTime(two_rois(), frames=9000, shape=SHAPE, max_bytes=2**28)
    live.append(photons(1))
    with pytest.raises(SeriesError, match=r"1 frame\(s\)"):
        live.finish()
