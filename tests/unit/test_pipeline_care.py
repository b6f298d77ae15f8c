"""The whole chain on frames as they are at a beamline: dumps, knocks, bad frames and pixels are found and listed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gbx_beamline.config import AnalysisConfig, parse_config
from gbx_beamline.errors import InputError
from gbx_beamline.frames import open_series
from gbx_beamline.pipeline import analyze
from gbx_beamline.records import ScanResult
from gbx_beamline.simulation import SpeckleMovie

SHAPE = (64, 64)
FRAMES = 160
KNOCK, DUMP = 100, slice(40, 52)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> AnalysisConfig:
    path: Path = tmp_path_factory.mktemp("rois") / "rois.npy"
    labels = np.zeros(SHAPE, dtype=np.int32)
    labels[2:62, 2:62] = 1
    np.save(path, labels)
    return parse_config({"analysis": {"rois": {"labels": str(path)}}}).analysis


@pytest.fixture(scope="module")
def result(settings: AnalysisConfig) -> ScanResult:
    """A static sample that is knocked once, through a beam dump."""
    profile = np.zeros(FRAMES)
    # Between two frames the rate is the mean of both: half of the knock before frame 100, half after, 11 % in all.
    profile[KNOCK] = 0.06
    movie = SpeckleMovie(SHAPE, FRAMES, rate=1.0, profile=profile, modes=4, mean_counts=6.0, seed=5)
    frames = movie.read(0, FRAMES).astype(np.uint32)
    frames[DUMP] = 0
    frames[80] = 4 * frames[80]
    frames[90, 10:40] = np.iinfo(np.uint32).max
    frames[:, 30, 31] = 400
    frames[70] = 0
    frames[120, 20, 20] = np.iinfo(np.uint32).max
    return analyze(open_series(frames, frame_time=0.5), settings)


def test_everything_left_out_is_listed_with_its_reason(result: ScanResult) -> None:
    assert dict(result.exclusions.frames) == {
        "no beam": tuple(range(DUMP.start, DUMP.stop)),
        "saturated": (90,),
        "empty": (70,),
        "intensity outlier": (80,),
    }
    assert {reason: pixels.tolist() for reason, pixels in result.exclusions.pixels.items()} == {"hot": [30 * 64 + 31]}
    assert result.two_time.saturated.tolist() == [1]
    assert result.two_time.pixels.tolist() == [60 * 60 - 2]
    assert result.excluded["saturated_at_times"] == 1
    bad = np.flatnonzero(~result.two_time.valid_frames).tolist()
    assert bad == [*range(40, 52), 70, 80, 90]
    assert np.isnan(result.two_time.g2[0][bad]).all()
    assert "1 pixel left out: hot" in result.flags


def test_a_beam_dump_is_a_segment_in_true_time(result: ScanResult) -> None:
    found = [(part.kind, part.start, part.stop, part.start_time, part.stop_time) for part in result.exclusions.segments]
    assert found == [("beam", 0, 40, 0.0, 20.0), ("no beam", 40, 52, 20.0, 26.0), ("beam", 52, 160, 26.0, 80.0)]
    # Rows stay where they are: lags across the dump are the true ones.
    assert result.one_time.tau[100] == 50.0


def test_a_knock_is_flagged_whatever_s_says(result: ScanResult) -> None:
    jumps = result.jumps[0].jumps
    assert jumps
    assert all(abs(jump.frame - KNOCK) <= 2 for jump in jumps)
    assert sum(jump.amplitude for jump in jumps) == pytest.approx(1.0 - np.exp(-0.12), abs=0.02)
    assert any("decorrelation jump" in flag and "not ageing" in flag for flag in result.flags)


def test_switched_off_rules_leave_everything_in(settings: AnalysisConfig) -> None:
    movie = SpeckleMovie(SHAPE, 60, rate=0.01, modes=4, mean_counts=6.0, seed=6)
    frames = movie.read(0, 60)
    frames[30] = 5 * frames[30]
    off = settings.model_copy(
        update={"care": settings.care.model_copy(update={"without": ("intensity outlier", "motion")})}
    )
    kept = analyze(open_series(frames, frame_time=1.0), off)
    assert kept.two_time.valid_frames.all()
    assert kept.motion == ()
    assert not analyze(open_series(frames, frame_time=1.0), settings).two_time.valid_frames[30]


def test_a_scan_of_bad_frames_only_says_so(settings: AnalysisConfig) -> None:
    frames = np.full((20, *SHAPE), np.iinfo(np.uint32).max, dtype=np.uint32)
    frames[:, 0] = 1
    with pytest.raises(InputError, match="all 3600 pixels of the q-ROI 'label 1' are masked"):
        analyze(open_series(frames, frame_time=1.0), settings)
    dark = np.zeros((20, *SHAPE), dtype=np.uint32)
    with pytest.raises(InputError, match="no photon in any of 20 frames"):
        analyze(open_series(dark, frame_time=1.0), settings)
