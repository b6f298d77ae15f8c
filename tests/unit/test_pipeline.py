"""The chain on a series in memory: identity of what comes out, and scans that cannot be analysed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from gbx_beamline import analyze, open_series
from gbx_beamline.config import AnalysisConfig, parse_config
from gbx_beamline.errors import MissingFramesError, RoiError
from gbx_beamline.frames import Series
from gbx_beamline.pipeline import describe, describe_start, provenance
from gbx_beamline.simulation import SpeckleMovie


@pytest.fixture(scope="module")
def series() -> Series:
    movie = SpeckleMovie((24, 24), 20, rate=0.05, modes=2, mean_counts=3.0, seed=1)
    return open_series(movie.read(0, 20), frame_time=0.5)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> AnalysisConfig:
    path: Path = tmp_path_factory.mktemp("rois") / "rois.npy"
    labels = np.zeros((24, 24), dtype=np.int32)
    labels[2:22, 2:22] = 1
    np.save(path, labels)
    return parse_config({"analysis": {"rois": {"labels": str(path)}}}).analysis


def test_the_same_series_and_settings_give_the_same_record(series: Series, settings: AnalysisConfig) -> None:
    first, second = analyze(series, settings), analyze(series, settings)
    np.testing.assert_array_equal(first.two_time.g2, second.two_time.g2)
    assert first.provenance == second.provenance
    assert first.scan == second.scan
    assert first.nonequilibrium[0].s_noneq == second.nonequilibrium[0].s_noneq


def test_frames_that_come_back_make_another_record(series: Series, settings: AnalysisConfig) -> None:
    present = np.ones(20, dtype=bool)
    present[12:] = False
    part = dataclasses.replace(series, present=present, missing=("late.h5",), allow_incomplete=True)
    whole, incomplete = provenance(settings, series=series), provenance(settings, series=part)
    assert whole == provenance(settings)
    assert incomplete.config_hash != whole.config_hash
    result = analyze(part, settings)
    assert result.provenance == incomplete
    assert any("late.h5 missing, 12 frames used" in flag for flag in result.flags)
    assert np.isnan(result.two_time.g2[0, 12:]).all()


def test_a_series_of_which_nothing_exists_names_its_files(series: Series, settings: AnalysisConfig) -> None:
    nothing = dataclasses.replace(
        series, present=np.zeros(20, dtype=bool), missing=("a_000001.h5",), allow_incomplete=True
    )
    with pytest.raises(MissingFramesError, match=r"a_000001\.h5"):
        analyze(nothing, settings)


def test_without_a_roi_it_says_where_to_state_one(series: Series) -> None:
    with pytest.raises(RoiError, match="no q-ROI is configured"):
        analyze(series, AnalysisConfig())


def test_a_user_mask_of_chx_or_its_opposite(series: Series, settings: AnalysisConfig, tmp_path: Path) -> None:
    good = np.ones((24, 24), dtype=bool)
    good[5] = False
    np.save(tmp_path / "good.npy", good)
    np.save(tmp_path / "bad.npy", ~good)
    results = [
        analyze(
            series,
            settings.model_copy(
                update={"mask": settings.mask.model_copy(update={"file": tmp_path / name, "true_means": meaning})}
            ),
        )
        for name, meaning in (("good.npy", "good"), ("bad.npy", "bad"))
    ]
    for result in results:
        np.testing.assert_array_equal(result.mask, good)
        assert result.two_time.pixels[0] == 19 * 20
        assert result.excluded["user_mask"] == 24


@pytest.mark.parametrize(
    ("start", "kelvin"),
    [
        ({"temperature": 421.0, "T_sample": "20"}, 421.0),
        ({"T_sample": "147.85"}, 421.0),
        ({}, None),
        ({"T_sample": "room"}, None),
    ],
)
def test_temperature_is_kelvin_whatever_the_run_says(start: dict[str, object], kelvin: float | None) -> None:
    found = describe_start({"uid": "u", **start}, source="test").temperature
    assert found == (kelvin if kelvin is None else pytest.approx(kelvin))


def test_series_without_a_run_are_told_apart_by_their_frames(series: Series) -> None:
    other = open_series(series.read(0, 20)[::-1].copy(), frame_time=0.5)
    assert describe(series) == describe(series)
    assert describe(other).run_uid != describe(series).run_uid
