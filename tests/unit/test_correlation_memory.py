"""What an analysis holds, leaves out and says: the ceiling of memory, and the flags that correlation raises."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import lmfit
import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.config import AnalysisConfig, CorrelationConfig, RoiConfig
from gbx_beamline.errors import InputError
from gbx_beamline.frames import open_series
from gbx_beamline.pipeline import analyze

assert lmfit.__version__  # analyze imports it on its first fit; a module in memory is no part of a scan


def settings(folder: Path, labels: NDArray[Any], *, gib: float = 4.0) -> AnalysisConfig:
    path = folder / "labels.npy"
    np.save(path, labels.astype(np.int32))
    return AnalysisConfig(rois=RoiConfig(labels=path), correlation=CorrelationConfig(max_memory_gib=gib))


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
    labels = np.arange(side * side).reshape(side, side) % rois + 1
    with pytest.raises(InputError, match=r"take \S+ GiB; needed: at most 9.99e-07 GiB") as refusal:
        analyze(series, settings(tmp_path, labels, gib=1e-6))
    needed = 1.005 * float(refusal.value.found.split()[-2])  # it is said with three digits
    tracemalloc.start()
    try:
        result = analyze(series, settings(tmp_path, labels, gib=needed))
        peak = tracemalloc.get_traced_memory()[1] / 2**30
    finally:
        tracemalloc.stop()
    assert 0.4 * needed < peak < needed
    assert len(result.fits) == rois
    with pytest.raises(InputError, match="raise the memory ceiling"):
        analyze(series, settings(tmp_path, labels, gib=0.98 * needed))


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
