"""A scan while it runs: its numbers are those of the frames so far, and at the end those of the final analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline import pipeline
from gbx_beamline.config import AnalysisConfig, parse_config
from gbx_beamline.correlation import GrowingPreview, two_time
from gbx_beamline.correlation.diagonals import cell_means
from gbx_beamline.errors import GeometryError, InputError, SeriesError
from gbx_beamline.frames import EigerHeader, EigerWriter, open_series
from gbx_beamline.frames.following import DataFiles
from gbx_beamline.live import LiveScan, expected_frames
from gbx_beamline.non_equilibrium import nonequilibrium

SHAPE = (40, 50)
FRAMES = 60
GEOMETRY = {
    "beam_center_x": 10.25,
    "beam_center_y": -3.0,
    "distance": 10.08,
    "wavelength": 1.2848e-10,
    "pixel_size_x": 75e-6,
    "pixel_size_y": 75e-6,
}
START: dict[str, Any] = {
    "uid": "0c5a9f4e-0000-4000-8000-000000000001",
    "time": 1e9,
    "sample": "gold",
    # As CHX writes numbers.
    "number of images": str(FRAMES),
    "acquire period": "0.5",
    "num_points": 1,
    "detector geometry": GEOMETRY,
}
SETTINGS: dict[str, Any] = {
    "rois": {"rings": [{"name": "inner", "q": [4e-4, 8e-4]}, {"name": "outer", "q": [9e-4, 1.4e-3]}]},
    "care": {"without": ["empty", "intensity outlier", "hot", "dead", "burst", "beam stop", "no beam"]},
    "nonequilibrium": {"max_cells": 8},
}


def settings(**changes: Any) -> AnalysisConfig:
    return parse_config({"analysis": SETTINGS | changes}).analysis


def photons(frames: int = FRAMES, mean: float = 3.0) -> tuple[NDArray[np.uint16], NDArray[np.uint32]]:
    rng = np.random.default_rng(4)
    slow = np.repeat(rng.exponential(mean, (frames // 5 + 1, *SHAPE)), 5, axis=0)[:frames]
    mask = np.zeros(SHAPE, dtype=np.uint32)
    mask[20], mask[9, 7] = 1, 16
    return rng.poisson(slow).astype(np.uint16), mask


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts, mask = photons()
    header = EigerHeader(frame_time=0.5, count_time=0.5, nimages=FRAMES, shape=SHAPE, **GEOMETRY)
    folder = tmp_path_factory.mktemp("series")
    with EigerWriter(folder, "scan_1", header=header, frames_per_file=16, pixel_mask=mask) as writer:
        writer.append(counts)
    return writer.master


def files(master: Path) -> DataFiles:
    return DataFiles(master.parent, "scan_1", roots=[master.parent])


def fed(scan: LiveScan, source: DataFiles, most: int = 99) -> LiveScan:
    while most and (file := source.next()) is not None:
        scan.take(file)
        most -= 1
    return scan


def test_the_maps_of_a_running_scan_are_those_of_the_final_analysis_bit_for_bit(master: Path) -> None:
    done = pipeline.analyze(open_series(master), settings())
    assert not done.exclusions.counts
    tt = fed(LiveScan(START, settings()), files(master)).so_far()
    assert tt is not None
    assert tt.names == done.two_time.names == ("inner", "outer")
    for name in ("g2", "diagonal", "frame_means", "pixels", "mean_counts", "contrast", "static_baseline"):
        assert np.array_equal(getattr(tt, name), getattr(done.two_time, name), equal_nan=True), name
    assert tt.frame_time == done.two_time.frame_time


def test_the_state_is_that_of_the_frames_so_far(master: Path) -> None:
    scan = LiveScan(START, settings(), rule="gold")
    source = files(master)
    before = scan.state()
    assert (before.state, before.frames, before.expected, before.names) == ("running", 0, FRAMES, ())
    assert before.two_time.shape == (0, 0, 0)
    fed(scan, source, 2)
    state = scan.state()

    series, rois = pipeline.select(open_series(master), settings())
    early = two_time(series.read(0, 32), np.where(series.mask, rois.labels, 0), frame_time=0.5, max_cells=8)
    assert (state.frames, state.frame_time, state.frames_per_cell) == (32, 0.5, 1)
    assert (state.scan.run_uid, state.scan.sample, state.rule) == (START["uid"], "gold", "gold")
    assert np.array_equal(state.frame_means, early.frame_means)
    assert np.array_equal(state.total_counts, (series.read(0, 32) * (series.mask & (rois.labels > 0))).sum(axis=(1, 2)))
    assert np.array_equal(state.time, np.arange(32) * 0.5)
    assert np.array_equal(state.contrast, early.contrast)
    off = ~np.eye(32, dtype=bool)
    assert np.array_equal(state.two_time[:, off], early.g2[:, off])
    assert np.isnan(state.two_time[:, ~off]).all(), "shot noise is no correlation"
    # The final record's cells: 60 frames in at most 8 cells are 7 frames each.
    expected = nonequilibrium(early, max_cells=4)
    for share, one in zip(state.shares, expected, strict=True):
        assert share.cell == one.cell == 3.5
        assert share.s_noneq == one.s_noneq
        assert share.drift_rms_over_contrast == one.drift_rms_over_contrast
        assert share.corrected_status == one.corrected_status
    assert state.shares_frames == 32

    last = fed(scan, source).state()
    assert last.frames == FRAMES
    assert last.two_time.shape == (2, FRAMES, FRAMES)


def test_the_newest_frame_is_there_with_the_q_rois_in_it(master: Path) -> None:
    scan, source = LiveScan(START, settings()), files(master)
    assert not scan.state().image.size
    series, rois = pipeline.select(open_series(master), settings())
    for reached in (16, 32):
        state = fed(scan, source, 1).state()
        assert (state.image_frame, state.image_pixels) == (reached - 1, 1)
        seen, labels = state.image
        np.testing.assert_array_equal(labels, rois.labels)
        expected = np.where(series.mask, series.read(reached - 1, reached)[0], np.nan)
        np.testing.assert_array_equal(seen, expected.astype(np.float32))
    assert state.geometry == series.geometry


def test_a_large_detector_is_shown_by_area_means(tmp_path: Path) -> None:
    shape = (810, 1203)
    counts = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape) % 7
    labels = np.zeros(shape, dtype=np.int32)
    labels[100:200, 300:600], labels[400:500, 300:600] = 1, 2
    np.save(tmp_path / "rois.npy", labels)
    mask = np.zeros(shape, dtype=np.uint32)
    mask[4:8, 8:12], mask[0, 0] = 1, 1
    header = EigerHeader(frame_time=0.5, count_time=0.5, nimages=2, shape=shape, **GEOMETRY)
    with EigerWriter(tmp_path, "scan_1", header=header, frames_per_file=2, pixel_mask=mask) as writer:
        writer.append(np.stack([counts, counts]))
    chosen = settings(rois={"labels": str(tmp_path / "rois.npy")})
    state = fed(LiveScan(START | {"number of images": 2}, chosen), files(writer.master)).state()
    seen, shown = state.image
    assert state.image_pixels == 4
    assert seen.shape == (202, 300)
    assert np.isnan(seen[1, 2])
    np.testing.assert_allclose(seen[0, 0], counts[:4, :4].ravel()[1:].mean(), rtol=1e-6)
    np.testing.assert_allclose(seen[50, 70], counts[200:204, 280:284].mean(), rtol=1e-6)
    assert [(shown == number).sum() for number in (0, 1, 2)] == [202 * 300 - 2 * 25 * 75, 25 * 75, 25 * 75]


def test_s_noneq_waits_where_it_takes_long_and_says_which_frames_it_belongs_to(master: Path) -> None:
    ticks = iter([0.0, 2.0, 9.0, 10.1, 11.0, 11.1, 11.2])
    scan = LiveScan(START, settings(), clock=lambda: next(ticks))
    source = files(master)
    assert fed(scan, source, 1).state().shares_frames == 16  # took 2 s
    state = fed(scan, source, 1).state()  # at 9 s: too early
    assert (state.frames, state.shares_frames) == (32, 16)
    assert fed(scan, source, 1).state().shares_frames == 48
    assert fed(scan, source, 1).state(last=True).shares_frames == FRAMES, "the last word is about all frames"


def test_corrected_shares_come_with_their_interval(master: Path) -> None:
    shares = fed(LiveScan(START, settings(nonequilibrium={"max_cells": 256})), files(master)).state().shares
    assert [share.corrected_status for share in shares] == ["ok", "ok"]
    for share in shares:
        assert share.low < share.s_noneq_corrected < share.high
        assert np.isfinite(share.drift_rms_over_contrast_corrected)


def test_a_preview_is_the_area_mean_whatever_the_steps() -> None:
    rng = np.random.default_rng(1)
    g2 = rng.normal(1.1, 0.05, (2, 50, 50)).astype(np.float32)
    g2 = g2 + g2.transpose(0, 2, 1)
    g2[0, 7] = g2[0, :, 7] = np.nan
    preview = GrowingPreview(2, 100, most=25)
    assert preview.frames_per_cell == 4
    for reached in (3, 10, 11, 37, 50):
        seen = preview.update(g2[:, :reached, :reached])
    whole = np.stack([cell_means(square, 4) for square in g2])
    assert seen.shape == (2, 12, 12)
    np.testing.assert_allclose(seen, whole, rtol=1e-6)


def test_what_cannot_be_followed_is_refused_with_the_reason(master: Path) -> None:
    with pytest.raises(InputError, match=r"'number of images' None .* needed: the number of frames"):
        expected_frames({})
    assert expected_frames({"number of images": 20, "num_points": 3}) == 60
    small = LiveScan(START | {"number of images": 100_000}, settings(), max_bytes=2**30)
    with pytest.raises(InputError, match=r"100000 frames of .* take .* GiB; needed: at most 1 GiB"):
        fed(small, files(master))
    without = {key: value for key, value in START.items() if key != "detector geometry"}
    with pytest.raises(GeometryError, match="distance_m"):
        fed(LiveScan(without, settings()), files(master))
    with pytest.raises(SeriesError, match="no frame time"):
        fed(LiveScan(START | {"acquire period": "soon"}, settings()), files(master))
    with pytest.raises(SeriesError, match="frame 32 of 20"):
        fed(LiveScan(START | {"number of images": 20}, settings()), files(master))


def test_odd_geometry_in_a_document_is_passed_over(master: Path) -> None:
    odd = {"detector geometry": GEOMETRY | {"distance": "far", "wavelength": True, "colour": 3}}
    with pytest.raises(GeometryError, match=r"distance_m.*wavelength_angstrom"):
        fed(LiveScan(START | odd, settings()), files(master))


def test_a_roi_without_a_photon_waits_for_one(tmp_path: Path) -> None:
    counts, _ = photons()
    counts[:16] = 0
    header = EigerHeader(frame_time=0.5, nimages=FRAMES, shape=SHAPE)
    with EigerWriter(tmp_path, "scan_1", header=header, frames_per_file=16) as writer:
        writer.append(counts)
    scan, source = LiveScan(START, settings()), DataFiles(tmp_path, "scan_1", roots=[tmp_path])
    dark = fed(scan, source, 1).state()
    assert (dark.state, dark.frames, dark.names) == ("running", 16, ())
    assert "no photon in any of 16 frames" in dark.flags[-1]
    assert fed(scan, source, 1).state().names == ("inner", "outer")


def test_what_the_final_record_does_otherwise_is_said(master: Path) -> None:
    correlation = {"normalisation": "smoothed_image", "bad_frames": [3]}
    state = fed(LiveScan(START, settings(correlation=correlation)), files(master)).state()
    assert any("the final record has smoothed_image" in flag for flag in state.flags)
    assert any("in the final record only" in flag for flag in state.flags)
