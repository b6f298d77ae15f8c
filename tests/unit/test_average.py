"""Averages over repeats: closed forms, equal axes or a refusal, and a verdict that noise alone does not trigger."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gbx_beamline import analyze, open_series
from gbx_beamline.config import AnalysisConfig, parse_config
from gbx_beamline.errors import InputError
from gbx_beamline.figures import repeats_report, save
from gbx_beamline.records import ScanResult
from gbx_beamline.repeats import average
from gbx_beamline.repeats._axes import Timing, common_axis
from gbx_beamline.simulation import SpeckleMovie

FRAMES = 80


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> AnalysisConfig:
    labels = np.zeros((32, 48), dtype=np.int32)
    labels[2:30, 2:46] = 1
    path = tmp_path_factory.mktemp("rois") / "rois.npy"
    np.save(path, labels)
    return parse_config({"analysis": {"rois": {"labels": str(path)}, "correlation": {"age_windows": 0}}}).analysis


def scan(
    settings: AnalysisConfig, seed: int, *, rate: float = 0.1, frames: int = FRAMES, step: float = 1.0
) -> ScanResult:
    movie = SpeckleMovie((32, 48), frames, rate=rate, modes=2, mean_counts=2.0 * step, frame_time=step, seed=seed)
    found = analyze(open_series(movie.read(0, frames), frame_time=step), settings)
    return replace(found, scan=replace(found.scan, run_uid=f"run-{seed}", sample="Si", temperature=300.0))


@pytest.fixture(scope="module")
def repeats(settings: AnalysisConfig) -> list[ScanResult]:
    """Three scans of equal dynamics."""
    return [scan(settings, seed) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def faster(settings: AnalysisConfig) -> ScanResult:
    return scan(settings, 4, rate=0.2)


def test_the_mean_and_its_error_are_those_of_the_repeats(repeats: list[ScanResult]) -> None:
    found = average(repeats)
    curves = np.array([one.one_time.g2[0] for one in repeats])
    np.testing.assert_allclose(found.g2[0], curves.mean(axis=0))
    np.testing.assert_allclose(found.error[0], curves.std(axis=0, ddof=1) / np.sqrt(3))
    np.testing.assert_array_equal(found.curves[:, 0], curves)
    np.testing.assert_array_equal(found.tau, repeats[0].one_time.tau)
    maps = np.array([one.two_time.g2_clean[0] for one in repeats], dtype=np.float64)
    np.testing.assert_allclose(found.two_time[0], maps.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.two_time_error[0], maps.std(axis=0, ddof=1) / np.sqrt(3), rtol=1e-4, atol=1e-7)
    assert [one.run_uid for one in found.repeats] == ["run-1", "run-2", "run-3"]
    assert (found.sample, found.temperature, found.cell) == ("Si", 300.0, 1.0)


def test_repeats_of_equal_dynamics_agree_and_their_noise_explains_the_scatter(repeats: list[ScanResult]) -> None:
    found = average(repeats)
    assert not found.different
    (roi,) = found.rois
    assert roi.p_value > 0.01
    assert len(roi.curve) == 4
    time = roi.log_relaxation_time.together
    assert time is not None
    assert time.low - 0.1 < np.log(10.0) < time.high + 0.1
    # Of three repeats the scatter itself is uncertain; at short lags it is that of the noise, not of some other size.
    assert 0.2 < np.nanmedian(found.error[0, 1:10] / found.noise[0, 1:10]) < 3.0


def test_a_repeat_that_moves_twice_as_fast_is_told_from_noise(repeats: list[ScanResult], faster: ScanResult) -> None:
    found = average([*repeats, faster])
    assert found.different
    time = found.rois[0].log_relaxation_time.together
    assert time is not None
    assert time.different
    assert time.between > 0.2


def test_an_invalid_frame_of_one_repeat_is_known_from_the_others(
    repeats: list[ScanResult], settings: AnalysisConfig
) -> None:
    correlation = settings.correlation.model_copy(update={"bad_frames": (7,)})
    one = scan(settings.model_copy(update={"correlation": correlation}), 1)
    found = average([one, repeats[1], repeats[2]])
    assert np.isfinite(found.two_time[0]).all()
    others = np.array([other.two_time.g2[0, 7, 20] for other in repeats[1:]])
    assert found.two_time[0, 7, 20] == pytest.approx(others.mean(), rel=1e-5)
    assert "different settings" in found.notes[0]


def test_frame_times_in_a_whole_ratio_meet_on_cells_of_whole_frames(
    repeats: list[ScanResult], settings: AnalysisConfig
) -> None:
    coarse = scan(settings, 5, frames=FRAMES // 2, step=2.0)
    found = average([repeats[0], coarse])
    assert (found.cell, len(found.tau)) == (2.0, FRAMES // 2)
    assert [one.frames_per_cell for one in found.repeats] == [2, 1]
    blocks = repeats[0].two_time.g2[0].reshape(40, 2, 40, 2).mean(axis=(1, 3))
    expected = (blocks[3, 9] + coarse.two_time.g2[0, 3, 9]) / 2
    assert found.two_time[0, 3, 9] == pytest.approx(expected, rel=1e-5)
    # The cells of S_noneq differ, and S with them.
    assert found.rois[0].s_noneq.together is None
    assert "different cells" in found.rois[0].s_noneq.status


def changed(result: ScanResult, uid: str = "other", **scan_info: Any) -> ScanResult:
    return replace(result, scan=replace(result.scan, run_uid=uid, **scan_info))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda one: changed(one, sample="gold"), "is of sample 'gold'.*leave one of them out"),
        (lambda one: changed(one, temperature=320.0), "at 300 K and run other at 320 K.*--temperature"),
        (lambda one: changed(one, uid="run-1"), "one run twice"),
        (
            lambda one: replace(changed(one), rois=replace(one.rois, q_par=np.full_like(one.rois.q_par, 4e8))),
            "needed: the same q-ROIs in all, q within 1%",
        ),
        (lambda one: changed(one, access_tags=("proposal",)), "none of which all share"),
    ],
)
def test_what_is_no_repeat_is_refused_with_the_reason(repeats: list[ScanResult], other: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        average([repeats[0], other(repeats[1])])


def test_a_mask_that_moves_q_a_little_is_noted_and_more_is_refused(repeats: list[ScanResult]) -> None:
    def at(result: ScanResult, q: float) -> ScanResult:
        return replace(result, rois=replace(result.rois, q_par=np.full_like(result.rois.q_par, q)))

    found = average([at(repeats[0], 4e8), at(repeats[1], 4.02e8)])
    assert "q of the q-ROIs differs by up to 0.5% between repeats" in found.notes
    with pytest.raises(InputError, match=r"at q up to 2\.4% apart"):
        average([at(repeats[0], 4e8), at(repeats[1], 4.1e8)])


def test_another_window_is_refused_or_cut(repeats: list[ScanResult], settings: AnalysisConfig) -> None:
    short = scan(settings, 6, frames=FRAMES // 2)
    with pytest.raises(InputError, match=r"spans 80 s, run run-6 40 s.*--common-window"):
        average([repeats[0], short])
    found = average([repeats[0], short], common_window=True)
    assert found.common_window
    assert len(found.tau) == FRAMES // 2
    assert found.two_time.shape[-1] == FRAMES // 2
    with pytest.raises(InputError, match="1 scans to average; needed: at least two"):
        average(repeats[:1])


@pytest.mark.parametrize(
    ("timings", "cell", "frames"),
    [
        ([(0.5, 100), (0.5, 100)], 0.5, (1, 1)),
        ([(1.0, 60), (1.5, 40)], 3.0, (3, 2)),
        ([(0.1, 1201), (0.1, 1200)], 0.1, (1, 1)),
        ([(1.0, 90), (1.5, 60), (2.5, 36)], 15.0, None),
    ],
)
def test_the_common_cell_is_the_least_common_multiple(
    timings: list[tuple[float, int]], cell: float, frames: tuple[int, ...] | None
) -> None:
    given = [Timing(f"run {index}", *one) for index, one in enumerate(timings)]
    if frames is None:
        with pytest.raises(InputError, match="6 common cells of 15 s"):
            common_axis(given)
        return
    axis = common_axis(given)
    assert axis.cell == pytest.approx(cell)
    assert axis.frames_per_cell == frames


def test_frame_times_without_a_common_multiple_are_refused() -> None:
    with pytest.raises(InputError, match="small whole numbers"):
        common_axis([Timing("run a", 1.0, 100), Timing("run b", 1.0123456, 100)])


def test_long_maps_are_kept_in_512_cells_at_most() -> None:
    axis = common_axis([Timing("run a", 1.0, 2500)] * 2)
    assert (axis.cells, axis.cells_per_map_cell) == (2500, 5)


def test_the_page_is_drawn_and_says_that_repeats_differ(
    repeats: list[ScanResult], faster: ScanResult, tmp_path: Any
) -> None:
    figure = repeats_report(average([*repeats, faster]))
    said = " ".join(text.get_text() for text in figure.texts)
    assert "Repeats differ by more than their noise (label 1)" in said
    assert save(figure, tmp_path / "page.png").stat().st_size > 10_000
    agreed = " ".join(text.get_text() for text in repeats_report(average(repeats)).texts)
    assert "Repeats agree within their noise." in agreed
