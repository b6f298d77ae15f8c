"""Two-time correlation against a float64 reference in every regime: kernels, normalisations, counts up to 2^20."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from every_engine import every_engine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gbx_beamline.correlation import two_time
from gbx_beamline.correlation._engines import engines
from gbx_beamline.errors import InputError

# int8 is among them where torch is (tests/unit/test_correlation_products.py sees to that).
with every_engine():
    KERNELS = ("events", *engines())


@pytest.fixture(autouse=True, scope="module")
def every_engine_is_tested() -> Iterator[None]:
    with every_engine():
        yield


def reference(pixels: NDArray[Any], bad: list[int]) -> NDArray[np.float64]:
    """C(t1, t2) of one ROI (N, P) in float64, bad frames NaN, in the words of convention 1."""
    counts = pixels.astype(np.float64)
    counts[bad] = np.nan
    mean = counts.mean(axis=1)
    mean[mean == 0] = np.nan
    return (counts @ counts.T / counts.shape[1]) / (mean[:, None] * mean[None, :])


@st.composite
def scans(draw: st.DrawFn) -> tuple[NDArray[Any], NDArray[np.int32], list[int]]:
    """Frames, labels of two ROIs with holes, and bad frames."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    frames, rows, columns = draw(st.integers(3, 40)), draw(st.integers(2, 9)), draw(st.integers(2, 9))
    mean = draw(st.sampled_from([0.05, 0.7, 40.0, 110.0, 900.0]))
    counts = rng.poisson(mean, size=(frames, rows, columns)).astype(np.uint32)
    hot = draw(st.sampled_from([0, 128, 300, 70_000, 2**20]))
    if hot:
        counts[rng.integers(frames), rng.integers(rows), rng.integers(columns)] = hot
    labels = rng.integers(0, 3, size=(rows, columns)).astype(np.int32)
    labels.ravel()[:2] = 1, 2
    counts[:, 0, :2] += 1
    bad = draw(st.lists(st.integers(0, frames - 1), max_size=frames - 2, unique=True))
    return counts, labels, bad


@settings(max_examples=60, deadline=None)
@given(scan=scans(), kernel=st.sampled_from(KERNELS))
def test_every_kernel_equals_the_float64_reference(
    scan: tuple[NDArray[Any], NDArray[np.int32], list[int]], kernel: str
) -> None:
    counts, labels, bad = scan
    tt = two_time(counts, labels, bad_frames=bad, kernel=kernel, groups=0)
    off = ~np.eye(len(counts), dtype=bool)
    for roi in (1, 2):
        expected = reference(counts[:, labels == roi], bad)
        np.testing.assert_allclose(tt.g2[roi - 1][off], expected[off], rtol=1e-6)
        assert np.array_equal(tt.g2[roi - 1], tt.g2[roi - 1].T, equal_nan=True)


@pytest.mark.parametrize("mean", [0.01, 1.0, 100.0, 3000.0])
def test_all_kernels_give_the_same_bits(mean: float) -> None:
    counts = np.random.default_rng(1).poisson(mean, size=(300, 700)).astype(np.uint16)
    counts[:, 0] += 1
    maps = [two_time(counts, np.ones(700, dtype=int), kernel=kernel, groups=0) for kernel in KERNELS]
    for other in maps[1:]:
        assert np.array_equal(other.g2, maps[0].g2)
        assert np.array_equal(other.diagonal, maps[0].diagonal)


def uneven(frames: int = 40, seed: int = 2) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Uncorrelated photons under a profile that varies fourfold, with flux that varies, in two ROIs."""
    rng = np.random.default_rng(seed)
    profile = np.linspace(0.5, 2.0, 48)[:, None] * np.ones(30)
    flux = 1.0 + 0.3 * np.sin(np.arange(frames))
    counts = rng.poisson(20.0 * profile * flux[:, None, None]).astype(np.uint16)
    labels = np.ones((48, 30), dtype=np.int32)
    labels[:, 15:] = 2
    return counts, labels


@pytest.mark.parametrize("kind", ["time_average", "smoothed_image", "static_bins"])
def test_a_static_profile_is_divided_out(kind: Any) -> None:
    counts, labels = uneven()
    off = ~np.eye(len(counts), dtype=bool)
    plain = two_time(counts, labels, groups=0)
    assert plain.g2[0][off].mean() > 1.1
    levelled = two_time(counts, labels, normalisation=kind, groups=0)
    # Dividing by the average of N frames leaves 1/N of shot noise in it; bins leave the profile within a bin.
    assert abs(levelled.g2[0][off].mean() - 1.0) < 0.006
    assert levelled.static_baseline.tolist() == [1.0, 1.0]
    assert levelled.normalisation == kind


def test_time_average_is_what_it_says() -> None:
    counts, labels = uneven()
    pixels = counts[:, labels == 2].astype(np.float64)
    divided = pixels / pixels.mean(axis=0)
    expected = (divided @ divided.T / pixels.shape[1]) / np.outer(divided.mean(axis=1), divided.mean(axis=1))
    tt = two_time(counts, labels, normalisation="time_average", groups=0)
    np.testing.assert_allclose(tt.g2[1], expected, rtol=1e-6)
    shot = (divided / pixels.mean(axis=0)).mean(axis=1) / divided.mean(axis=1) ** 2
    np.testing.assert_allclose(tt.diagonal[1], np.diagonal(expected) - shot, rtol=1e-6)


def test_static_bins_are_what_they_say() -> None:
    counts, _ = uneven()
    # Without noise in the sorting: bins of equal rows.
    tt = two_time(
        np.repeat(counts[:, :, :1], 30, axis=2), np.ones((48, 30), int), normalisation="static_bins", groups=0
    )
    assert np.isfinite(tt.g2).all()
    rows = np.array_split(np.arange(48), 8)
    column = counts[:, :, 0].astype(np.float64)
    parts = [(column[:, r] @ column[:, r].T / 6) / np.outer(column[:, r].mean(1), column[:, r].mean(1)) for r in rows]
    np.testing.assert_allclose(tt.g2[0], np.mean(parts, axis=0), rtol=1e-5)


def test_total_intensity_keeps_what_a_single_roi_loses() -> None:
    counts, labels = uneven()
    everything = counts.reshape(len(counts), -1).sum(axis=1).astype(np.float64)
    pixels = counts[:, labels == 1].astype(np.float64)
    mean = pixels.mean() * everything / everything.mean()
    expected = (pixels @ pixels.T / pixels.shape[1]) / np.outer(mean, mean)
    tt = two_time(counts, labels, normalisation="total_intensity", groups=0)
    np.testing.assert_allclose(tt.g2[0], expected, rtol=1e-6)


def test_a_bin_that_is_dark_in_a_frame_says_nothing_there() -> None:
    counts, labels = uneven()
    counts[5, :24] = 0
    tt = two_time(counts, labels, normalisation="static_bins", groups=0)
    assert np.isfinite(tt.g2).all()
    assert abs(tt.g2[0][5, 6:].mean() - 1.0) < 0.02
    counts[7] = 0
    dark = two_time(counts, labels, normalisation="static_bins", groups=0)
    assert np.isnan(dark.g2[0][7]).all()
    assert np.isnan(dark.diagonal[0][7])


def test_unknown_settings_are_refused() -> None:
    counts, labels = uneven()
    with pytest.raises(InputError, match="normalisation 'flat'"):
        two_time(counts, labels, normalisation="flat")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="bare list of pixels"):
        two_time(counts.reshape(40, -1), labels.ravel(), normalisation="smoothed_image")
    with pytest.raises(InputError, match="kernel 'fast'"):
        two_time(counts, labels, kernel="fast")
    with pytest.raises(InputError, match="groups -1"):
        two_time(counts, labels, groups=-1)


def test_counts_beyond_exactness_are_refused_with_the_number() -> None:
    counts = np.ones((4, 30), dtype=np.int64)
    counts[2, 7] = 2**40
    with pytest.raises(InputError, match="a count of 1099511627776 in frame 2"):
        two_time(counts, np.ones(30, dtype=int))
    counts = np.full((4, 3000), 2**31, dtype=np.int64)
    with pytest.raises(InputError, match=r"counts up to 2147483648 .* sums of products up to"):
        two_time(counts, np.ones(3000, dtype=int), groups=0)
