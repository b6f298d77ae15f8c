"""What an analysis holds, leaves out and says: the ceiling of memory, and the flags that correlation raises."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.config import AnalysisConfig, CorrelationConfig, RoiConfig
from gbx_beamline.correlation import one_time, two_time
from gbx_beamline.correlation._memory import needed_bytes, plan
from gbx_beamline.errors import InputError
from gbx_beamline.frames import open_series
from gbx_beamline.non_equilibrium import cell_means
from gbx_beamline.pipeline import analyze


def settings(folder: Path, labels: NDArray[Any], *, gib: float = 4.0) -> AnalysisConfig:
    path = folder / "labels.npy"
    np.save(path, labels.astype(np.int32))
    return AnalysisConfig(rois=RoiConfig(labels=path), correlation=CorrelationConfig(max_memory_gib=gib))


def grid(side: int, rois: int) -> NDArray[Any]:
    return np.arange(side * side).reshape(side, side) % rois + 1


@pytest.mark.parametrize(
    ("frames", "side", "rois", "dtype"),
    [(1100, 16, 1, np.uint16), (400, 40, 5, np.uint8), (12, 300, 2, np.float32), (60, 30, 1, np.uint32)],
    ids=["long", "many ROIs", "large", "small"],
)
def test_an_analysis_stays_below_the_ceiling_that_it_asks_for(
    frames: int, side: int, rois: int, dtype: type[np.generic], tmp_path: Path
) -> None:
    counts = np.random.default_rng(0).poisson(1.0, size=(frames, side, side)).astype(dtype)
    series = open_series(counts, frame_time=1.0)
    pixels = np.bincount(grid(side, rois).ravel())[1:]
    needed = needed_bytes(frames, pixels, side * side, np.dtype(dtype), groups=8) / 2**30
    analyze(series, settings(tmp_path, grid(side, rois)))  # compiled kernels are no part of a scan
    tracemalloc.start()
    try:
        result = analyze(series, settings(tmp_path, grid(side, rois), gib=1.001 * needed))
        peak = tracemalloc.get_traced_memory()[1] / 2**30
    finally:
        tracemalloc.stop()
    assert result.two_time.notes == ()
    assert 0.2 * needed < peak < needed
    assert len(result.fits) == rois


def test_what_is_given_up_first_is_memory_then_resolution_then_the_scan() -> None:
    pixels = np.array([50_000, 50_000, 50_000])

    def way(frames: int, gib: float) -> tuple[bool, int]:
        found = plan(frames, pixels, 2167 * 2070, np.dtype(np.uint32), groups=8, max_bytes=int(gib * 2**30))
        assert found.needed <= gib * 2**30
        return found.spill, found.frames_per_cell

    assert way(2500, 4.0) == (False, 1)
    assert way(2500, 0.6) == (True, 1)
    assert way(20_000, 16.0) == (False, 1)
    assert way(20_000, 6.0) == (True, 1)
    assert way(20_000, 4.0) == (True, 2)
    assert way(20_000, 1.5) == (True, 4)
    with pytest.raises(InputError, match=r"20000 frames of 150000 ROI pixels in 3 ROIs take \S+ GiB") as refusal:
        way(20_000, 0.2)
    assert way(20_000, 1.01 * float(refusal.value.found.split()[-2]))[0]


def test_pixels_in_a_file_change_no_bit_and_are_said() -> None:
    counts = np.random.default_rng(3).poisson(1.0, size=(600, 100, 100)).astype(np.uint16)
    counts[:, 7, 7] += 300
    labels = grid(100, 2)
    held = two_time(counts, labels)
    ceiling = needed_bytes(600, np.array([5000, 5000]), 10_000, np.dtype(np.uint16), groups=8) - 1000
    spilled = two_time(counts, labels, max_bytes=ceiling)
    assert "temporary file" in spilled.notes[0]
    assert held.notes == ()
    for name in ("g2", "diagonal", "group_maps", "frame_means"):
        assert np.array_equal(getattr(held, name), getattr(spilled, name), equal_nan=True), name


def test_averaged_maps_are_the_area_means_of_the_full_one() -> None:
    rng = np.random.default_rng(4)
    counts = rng.poisson(rng.gamma(4.0, 0.5, size=(1, 12, 12)) * (1.0 + rng.random((1030, 1, 1)))).astype(np.uint8)
    labels = np.ones((12, 12), dtype=int)
    options: dict[str, Any] = {"frame_time": 0.5, "bad_frames": [5, 6, 700], "groups": 0}
    full = two_time(counts, labels, **options)
    small = needed_bytes(1030, np.array([144]), 144, np.dtype(np.uint8), groups=0, width=4)
    binned = two_time(counts, labels, max_bytes=small, **options)
    assert (binned.frames_per_cell, binned.frame_time, binned.g2.shape) == (4, 2.0, (1, 257, 257))
    assert "cells of 4 frames" in binned.notes[-1]
    off = ~np.eye(257, dtype=bool)
    np.testing.assert_allclose(binned.g2[0][off], cell_means(full.g2[0], 4)[off], rtol=1e-6)
    np.testing.assert_allclose(binned.diagonal[0], np.nanmean(full.diagonal[0][:1028].reshape(257, 4), axis=1))
    for convention in ("ratio_of_sums", "pychx"):
        want, got = one_time(full, convention), one_time(binned, convention)
        np.testing.assert_allclose(got.tau, want.tau)
        np.testing.assert_allclose(got.g2, want.g2, rtol=1e-9)
        np.testing.assert_allclose(got.error, want.error, rtol=1e-5)


def test_saturated_pixels_and_uneven_intensity_are_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    profile = np.repeat([np.ones(40), np.linspace(0.4, 1.6, 40)], 40, axis=0)
    # Speckles of four modes that change from frame to frame: contrast 1/4, and 0.126 from the second's profile.
    counts = rng.poisson(5.0 * profile * rng.gamma(4.0, 0.25, size=(30, 80, 40))).astype(np.uint16)
    counts[11, 3, 3] = counts[12, 3, 3] = counts[20, 8, 8] = np.iinfo(np.uint16).max
    labels = np.repeat([1, 2], 40)[:, None] * np.ones(40)
    result = analyze(open_series(counts, frame_time=1.0), settings(tmp_path, labels))
    first, second = result.rois.names
    assert result.flags == (
        f"q-ROI {first}: 2 pixels saturated at times, left out",
        f"q-ROI {second}: uneven intensity adds 0.13 to g2's baseline",
    )
    assert result.two_time.pixels.tolist() == [1598, 1600]
    assert result.excluded["saturated_at_times"] == 2
    # One pixel of 65,535 counts would have made it 18.
    assert result.two_time.contrast == pytest.approx([0.25, 0.25 * 1.126], rel=0.05)
