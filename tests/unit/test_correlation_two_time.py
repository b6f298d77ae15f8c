"""Two-time correlation: definition, selection of pixels and frames, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.correlation import two_time
from gbx_beamline.errors import InputError, RoiError, SeriesError
from gbx_beamline.frames.series import build_series
from gbx_beamline.records import Geometry, Region, RoiSet

SHAPE = (12, 10)


def photons(frames: int = 9, mean: float = 2.0, seed: int = 0) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).poisson(mean, size=(frames, *SHAPE)).astype(np.uint16)


def two_rois() -> NDArray[np.int32]:
    labels = np.zeros(SHAPE, dtype=np.int32)
    labels[1:5, 2:9] = 1
    labels[6:11, 1:4] = 2
    return labels


def roi_set(labels: NDArray[np.int32]) -> RoiSet:
    return RoiSet(
        labels=labels, names=("near", "far"), q_par=np.array([1e8, 2e8]), q_z=np.array([0.0, 3e8]), flags=((), ())
    )


def by_definition(pixels: NDArray[Any]) -> NDArray[np.float64]:
    """C(t1, t2), pixel list by pixel list, without matrix algebra."""
    frames = len(pixels)
    c = np.empty((frames, frames))
    for t1 in range(frames):
        for t2 in range(frames):
            product = np.mean([float(a) * float(b) for a, b in zip(pixels[t1], pixels[t2], strict=True)])
            c[t1, t2] = product / (np.mean(pixels[t1]) * np.mean(pixels[t2]))
    return c


def test_equals_the_definition_summed_pixel_by_pixel() -> None:
    counts, labels = photons(), two_rois()
    tt = two_time(counts, labels)
    for roi in (1, 2):
        assert tt.g2[roi - 1] == pytest.approx(by_definition(counts[:, labels == roi]), rel=1e-7)


def test_factorial_diagonal_equals_the_definition() -> None:
    counts, labels = photons(), two_rois()
    pixels = counts[:, labels == 2].astype(float)
    expected = (pixels**2 - pixels).mean(axis=1) / pixels.mean(axis=1) ** 2
    tt = two_time(counts, labels)
    assert tt.diagonal[1] == pytest.approx(expected, rel=1e-13)
    assert np.diagonal(tt.g2_clean[1]) == pytest.approx(expected, rel=1e-6)


def test_labels_select_what_a_boolean_mask_selects() -> None:
    counts, labels = photons(), two_rois()
    tt = two_time(counts, labels)
    for roi in (1, 2):
        picked = counts[:, labels == roi]
        alone = two_time(picked, np.ones(picked.shape[1], dtype=np.int32))
        image = two_time(counts, labels == roi)
        for other in (alone, image):
            assert np.array_equal(tt.g2[roi - 1], other.g2[0])
            assert np.array_equal(tt.frame_means[roi - 1], other.frame_means[0])
            assert tt.pixels[roi - 1] == other.pixels[0] == picked.shape[1]


def test_permuting_frames_permutes_the_map_exactly() -> None:
    counts, labels = photons(), two_rois()
    order = np.random.default_rng(1).permutation(len(counts))
    straight, shuffled = two_time(counts, labels), two_time(counts[order], labels)
    assert np.array_equal(shuffled.g2, straight.g2[:, order][:, :, order])
    assert np.array_equal(shuffled.diagonal, straight.diagonal[:, order])


def test_order_of_pixels_and_size_of_blocks_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, labels = photons(), two_rois()
    order = np.random.default_rng(2).permutation(labels.size)
    whole = two_time(counts, labels)
    monkeypatch.setattr("gbx_beamline.correlation._row_blocks.ROW_BLOCK", 3)
    blocked = two_time(counts.reshape(len(counts), -1)[:, order], labels.ravel()[order])
    assert np.array_equal(whole.g2, blocked.g2)
    assert np.array_equal(whole.diagonal, blocked.diagonal)


def test_map_is_exactly_symmetric_for_real_valued_frames() -> None:
    frames = np.random.default_rng(3).gamma(2.0, size=(20, 40))
    g2 = two_time(frames, np.ones(40, dtype=int)).g2[0]
    assert np.array_equal(g2, g2.T)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint32, np.int64, np.float32, np.float64])
def test_stored_type_does_not_change_the_numbers(dtype: type[np.generic]) -> None:
    # 30 pixels of 200 counts overflow every product and sum in uint8, and the products in uint16.
    counts = np.random.default_rng(4).poisson(200, size=(5, 30)).clip(0, 255)
    expected = two_time(counts, np.ones(30, dtype=int))
    tt = two_time(counts.astype(dtype), np.ones(30, dtype=int))
    assert np.array_equal(tt.g2, expected.g2)
    assert np.array_equal(tt.diagonal, expected.diagonal)


def test_diagonal_of_values_that_are_no_counts_is_the_mean_of_its_neighbours() -> None:
    frames = photons()[:, :4, :4].astype(np.float64) + 0.25
    tt = two_time(frames, np.ones((4, 4), dtype=int), bad_frames=[4])
    c = tt.g2[0].astype(float)
    expected = [c[0, 1], *((c[t, t - 1] + c[t, t + 1]) / 2 for t in range(1, 8)), c[8, 7]]
    expected[3], expected[4], expected[5] = c[3, 2], np.nan, c[5, 6]
    assert tt.diagonal[0] == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_bad_and_empty_frames_are_nan_rows_and_columns_only() -> None:
    counts, labels = photons(), two_rois()
    counts[5][labels == 2] = 0
    tt = two_time(counts, labels, bad_frames=[2])
    expected = np.zeros((2, 9, 9), dtype=bool)
    expected[:, 2, :] = expected[:, :, 2] = True
    expected[1, 5, :] = expected[1, :, 5] = True
    assert np.array_equal(np.isnan(tt.g2), expected)
    assert np.array_equal(np.isnan(tt.diagonal), np.diagonal(expected, axis1=1, axis2=2))
    assert tt.valid_frames.tolist() == [t != 2 for t in range(9)]
    assert np.isnan(tt.frame_means[:, 2]).all()
    assert tt.frame_means[1, 5] == 0.0
    valid = np.delete(counts, 2, axis=0)
    assert tt.mean_counts == pytest.approx([valid[:, labels == 1].mean(), valid[:, labels == 2].mean()])
    rest = two_time(valid, labels)
    kept = np.delete(np.delete(tt.g2, 2, axis=1), 2, axis=2)
    assert np.array_equal(kept, rest.g2, equal_nan=True)


def test_garbage_in_bad_frames_is_not_looked_at() -> None:
    frames = photons().astype(np.float32)
    expected = two_time(frames, two_rois(), bad_frames=[0, 7])
    frames[0], frames[7] = np.nan, -3.0
    assert np.array_equal(two_time(frames, two_rois(), bad_frames=[0, 7]).g2, expected.g2, equal_nan=True)


def test_series_mask_absent_frames_and_frame_time_are_used() -> None:
    counts, labels = photons(), two_rois()
    good = np.ones(SHAPE, dtype=bool)
    good[2, 3] = good[7, 2] = False
    present = np.arange(9) != 6
    series = build_series(
        _Source(counts),
        name="test",
        geometry=Geometry(shape=SHAPE),
        frame_time=0.25,
        present=present,
        missing=("test_000002.h5",),
        mask=good,
        allow_incomplete=True,
    )
    tt = two_time(series, roi_set(labels), frame_time=99.0, bad_frames=[1])
    expected = two_time(counts, np.where(good, labels, 0), bad_frames=[1, 6])
    assert np.array_equal(tt.g2, expected.g2, equal_nan=True)
    assert tt.frame_time == 0.25
    assert tt.valid_frames.tolist() == [t not in (1, 6) for t in range(9)]
    assert tt.pixels.tolist() == [27, 14]
    assert tt.names == ("near", "far")
    assert tt.q_par is not None
    assert tt.q_z is not None
    assert (tt.q_par.tolist(), tt.q_z.tolist()) == ([1e8, 2e8], [0.0, 3e8])


def test_frame_time_of_bare_counts() -> None:
    assert two_time(photons(), two_rois()).frame_time == 1.0
    assert two_time(photons(), two_rois(), frame_time=0.1).frame_time == 0.1
    with pytest.raises(InputError, match=r"frame_time 0\.0"):
        two_time(photons(), two_rois(), frame_time=0.0)


def test_series_is_streamed_and_only_its_part_that_holds_rois_is_asked_for() -> None:
    source = _Blocks(np.ones((160, 70, 80), dtype=np.uint32))
    labels = np.zeros((70, 80), dtype=np.int32)
    labels[3:5, 2:9], labels[60, 70:75] = 1, 2
    two_time(source, labels)
    # 58 rows and 73 columns hold both ROIs: more of the frame is not asked for.
    assert source.regions == [(slice(3, 61), slice(2, 75))]
    assert 0 < source.largest <= 2**25


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.ones((3, 3), dtype=int), r"labels of shape \(3, 3\) on frames of shape \(12, 10\)"),
        (np.ones(SHAPE), "labels of dtype float64"),
        (np.zeros(SHAPE, dtype=int), "labels from 0 to 0"),
        (np.full(SHAPE, -1), "labels from -1 to -1"),
        (np.full(SHAPE, 2), "'ROI 1' has no pixel"),
    ],
)
def test_labels_that_are_none_are_refused(labels: NDArray[Any], message: str) -> None:
    with pytest.raises(RoiError, match=message):
        two_time(photons(), labels)


def test_a_fully_masked_roi_is_named() -> None:
    series = _Blocks(photons())
    series.mask[two_rois() == 2] = False
    with pytest.raises(RoiError, match="all 15 pixels of 'far' are masked"):
        two_time(series, roi_set(two_rois()))


def test_a_roi_without_a_photon_is_named() -> None:
    counts, labels = photons(), two_rois()
    counts[:, labels == 2] = 0
    counts[3, labels == 2] = 7
    with pytest.raises(InputError, match="no photon in any of 8 frames of 'ROI 2'"):
        two_time(counts, labels, bad_frames=[3])


def test_values_that_are_no_counts_are_refused_with_their_frames() -> None:
    frames = photons().astype(float)
    frames[[2, 4], 3, 3] = np.nan, np.inf
    with pytest.raises(InputError, match="not finite in frame 2, 4;"):
        two_time(frames, two_rois())
    counts = photons().astype(np.int32)
    counts[6, 3, 3:5] = -1, -2
    with pytest.raises(InputError, match=r"2 negative count\(s\) in frame 6, the lowest -2"):
        two_time(counts, two_rois())
    assert two_time(counts, two_rois() == 2).pixels.tolist() == [15]


def test_pixels_that_saturate_at_times_are_left_out_of_the_whole_series() -> None:
    counts, labels = photons(), two_rois()
    spoilt = counts.copy()
    spoilt[4, 2, 3] = spoilt[6, 4, 8] = np.iinfo(np.uint16).max
    spoilt[5, 9, 2] = np.iinfo(np.uint16).max
    spoilt[3] = np.iinfo(np.uint16).max  # a bad frame is not looked at
    good = np.ones(SHAPE, dtype=bool)
    good[2, 3] = good[4, 8] = good[9, 2] = False
    tt = two_time(_Blocks(spoilt), labels, bad_frames=[3])
    expected = two_time(counts, np.where(good, labels, 0), bad_frames=[3])
    assert tt.saturated.tolist() == [2, 1]
    assert tt.pixels.tolist() == [26, 14]
    for name in ("g2", "diagonal", "frame_means", "mean_counts", "static_baseline"):
        assert np.array_equal(getattr(tt, name), getattr(expected, name), equal_nan=True)
    assert expected.saturated.tolist() == [0, 0]


def test_bare_counts_and_real_numbers_may_reach_any_value() -> None:
    counts = np.full((5, 40), 255, dtype=np.uint8)
    tt = two_time(counts, np.ones(40, dtype=int))
    assert (tt.pixels[0], tt.saturated[0], tt.g2[0, 0, 1]) == (40, 0, 1.0)
    assert two_time(_Blocks(photons().astype(np.float32)), two_rois()).saturated.tolist() == [0, 0]


def test_a_roi_that_saturates_in_many_pixels_is_refused_with_the_frames() -> None:
    counts = photons()
    counts[[2, 7], 6:11, 1:4] = np.iinfo(np.uint16).max
    with pytest.raises(InputError, match=r"15 of 15 pixels of 'far' saturate, first in frame 2, 7; .*bad_frames"):
        two_time(_Blocks(counts), roi_set(two_rois()))
    assert two_time(_Blocks(counts), roi_set(two_rois()), bad_frames=[2, 7]).saturated.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([9], "bad frame 9 in a series of 9"),
        ([-1], "bad frame -1 in a series of 9"),
        ([1.5], "bad frames of dtype float64"),
        (range(8), r"1 valid frame\(s\) of 9 after 8 listed"),
    ],
)
def test_impossible_bad_frames_are_refused(bad: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        two_time(photons(), two_rois(), bad_frames=bad)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.ones((1, *SHAPE), dtype=int), r"1 frame\(s\)"),
        (np.ones(SHAPE[0]), r"counts of shape \(12,\)"),
        (np.ones((4, *SHAPE), dtype=complex), "frames of dtype complex128"),
        (np.ones((4, *SHAPE), dtype=bool), "frames of dtype bool"),
        ([[1, 2], [3, 4]], "an object of type list"),
    ],
)
def test_what_is_no_series_is_refused(counts: Any, message: str) -> None:
    with pytest.raises(SeriesError, match=message):
        two_time(counts, np.ones(SHAPE, dtype=int))


def test_a_series_that_ends_early_is_refused() -> None:
    with pytest.raises(SeriesError, match="frames end after 6 of 9"):
        two_time(_Blocks(photons(), stop=6), two_rois())


@dataclass
class _Source:
    frames: NDArray[Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.frames), *SHAPE

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.frames.dtype

    def read(self, start: int, stop: int, region: Region | None = None) -> NDArray[Any]:
        rows, columns = region or (slice(None), slice(None))
        return self.frames[start:stop, rows, columns].copy()


class _Blocks:
    """A series reduced to what correlation asks of it, which remembers what was asked."""

    frame_time = 1.0

    def __init__(self, frames: NDArray[Any], stop: int | None = None) -> None:
        self.frames, self.stop = frames, stop
        self.shape, self.dtype = frames.shape, frames.dtype
        self.mask = np.ones(frames.shape[1:], dtype=bool)
        self.present = np.ones(len(frames), dtype=bool)
        self.regions: list[Region | None] = []
        self.largest = 0

    def blocks(self, region: Region | None = None, max_bytes: int = 1) -> Iterator[tuple[int, NDArray[Any]]]:
        self.regions.append(region)
        rows, columns = region or (slice(None), slice(None))
        frames = self.frames[: self.stop, rows, columns]
        step = max(1, max_bytes // frames[0].nbytes)
        for start in range(0, len(frames), step):
            self.largest = max(self.largest, frames[start : start + step].nbytes)
            yield start, frames[start : start + step]
