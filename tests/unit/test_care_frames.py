"""Bad frames and stretches without beam: what must be found, and what clean data must keep."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.care import CareConfig, Exclusions, find_segments, judge_frames
from gbx_beamline.config import parse_config
from gbx_beamline.errors import ConfigError, InputError
from gbx_beamline.simulation import SpeckleMovie

PIXELS = np.array([900, 700])


def means(frames: int, counts: float, *, seed: int, flux: NDArray[np.float64] | float = 1.0) -> NDArray[np.float64]:
    """(2, N) means of two ROIs of independent Poisson pixels."""
    expected = np.outer(PIXELS, np.ones(frames)) * counts * flux
    return np.random.default_rng(seed).poisson(expected) / PIXELS[:, None]


@pytest.mark.parametrize("counts", [1e-4, 1e-3, 0.01, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("flux", ["even", "drift", "oscillating", "steps"])
def test_clean_frames_are_left_alone(counts: float, flux: str) -> None:
    t = np.arange(4000)
    factor = {
        "even": np.ones(4000),
        "drift": 1.0 - 0.1 * t / 4000,
        "oscillating": 1.0 + 0.04 * np.sin(t / 2.3),
        "steps": np.where(t // 500 % 2 == 1, 0.6, 1.0),
    }[flux]
    found = judge_frames(means(4000, counts, seed=3, flux=factor), PIXELS)
    # Chance is allowed one frame in a million, and 24 cases hold 96,000.
    assert len(found.frames) <= 1


def test_speckle_movies_of_few_speckles_are_left_alone() -> None:
    flagged = total = 0
    for seed, rate, counts in ((1, 0.02, 1.0), (2, 0.2, 0.1), (3, 2.0, 3.0), (4, 0.0, 0.3)):
        # 144 pixels, about 25 speckles of full contrast.
        movie = np.stack(list(SpeckleMovie((12, 12), 1000, rate=rate, mean_counts=counts, seed=seed)))
        flagged += len(judge_frames(movie.mean(axis=(1, 2))[None], np.array([144])).frames)
        total += 1000
    assert flagged <= 1e-3 * total


@pytest.mark.parametrize("counts", [0.05, 1.0, 20.0])
def test_odd_frames_are_found_and_named(counts: float) -> None:
    roi = means(600, counts, seed=5)
    roi[:, 100] *= 0.0
    roi[:, [200, 599]] = np.round(0.3 * roi[:, [200, 599]] * PIXELS[:, None]) / PIXELS[:, None]
    roi[:, [0, 300]] *= 3.0
    present = np.ones(600, dtype=bool)
    present[400:403] = False
    roi[:, 400:403] = np.nan
    saturated = np.zeros(600, dtype=int)
    saturated[450], saturated[451] = 40, 3
    found = judge_frames(roi, PIXELS, present=present, saturated=saturated)
    assert found.bad == {
        "absent": (400, 401, 402),
        "saturated": (450,),
        "empty": (100,),
        "intensity outlier": (0, 200, 300, 599),
    }
    assert found.frames == (0, 100, 200, 300, 400, 401, 402, 450, 599)
    off = CareConfig(without=("empty", "intensity outlier", "saturated"))
    assert judge_frames(roi, PIXELS, present=present, saturated=saturated, settings=off).bad == {
        "absent": (400, 401, 402)
    }


def test_an_empty_frame_that_chance_explains_is_no_bad_frame() -> None:
    # 1600 pixels x 0.001 counts: a fifth of the frames holds no photon.
    roi = means(500, 1e-3, seed=6)
    assert (roi.sum(axis=0) == 0).sum() > 50
    assert judge_frames(roi, PIXELS).bad == {}
    # 20 photons on average: never by chance.
    roi = means(500, 20 / 1600, seed=6)
    roi[:, 77] = 0
    assert judge_frames(roi, PIXELS).bad == {"empty": (77,)}


def test_a_frame_off_in_one_roi_is_noted_and_kept() -> None:
    roi = means(300, 1.0, seed=7)
    roi[1, 120] *= 1.2
    found = judge_frames(roi, PIXELS)
    assert found.bad == {}
    assert found.notes == ("ROI 2 alone is off in intensity in frame 120; kept",)


def test_lasting_steps_are_noted_in_true_time() -> None:
    flux = np.where(np.arange(500) < 200, 1.0, 0.5)
    found = judge_frames(means(500, 1.0, seed=8, flux=flux), PIXELS, frame_time=0.1)
    assert found.bad == {}
    assert len(found.notes) == 1
    assert re.match(r"intensity falls by (49|50|51)% at 20 s \(frame 200\): attenuator", found.notes[0])


@pytest.mark.parametrize("counts", [0.02, 1.0, 10.0])
def test_beam_dumps_are_cut_out_in_true_time(counts: float) -> None:
    t = np.arange(1200)
    dark = ((t >= 300) & (t < 420)) | (t >= 1000)
    # 0.1 % of the beam is left: cosmic rays, stray light.
    roi = means(1200, counts, seed=9, flux=np.where(dark, 1e-3, 1.0 - 0.1 * t / 1200))
    parts = find_segments((roi * PIXELS[:, None]).sum(axis=0), 0.5)
    assert [part.kind for part in parts] == ["beam", "no beam", "beam", "no beam"]
    # 32 photons a frame are averaged over two or three frames before they tell.
    slack = 1 if counts < 0.1 else 0
    edges = np.array([part.start for part in parts])
    assert np.abs(edges - [0, 300, 420, 1000]).max() <= slack
    assert parts[1].start_time == 0.5 * parts[1].start
    assert parts[-1].stop_time == 600.0
    found = judge_frames(roi, PIXELS, segments=parts)
    assert set(found.bad["no beam"]) >= set(np.flatnonzero(dark)) - {299, 300, 419, 420, 999, 1000}
    assert len(found.frames) <= dark.sum() + 2
    said = Exclusions(frames=found.bad, segments=parts).words()
    spans = ", ".join(f"{part.start_time:g} to {part.stop_time:g} s" for part in parts if part.kind == "no beam")
    assert f"{len(found.bad['no beam'])} frames left out: no beam ({spans})" in said


def test_no_dump_is_made_of_chance_fading_or_absent_frames() -> None:
    few = np.random.default_rng(1).poisson(2.0, 2000).astype(float)
    assert [part.kind for part in find_segments(few, 1.0)] == ["beam"]
    # Radiation damage: a hundredth of the intensity is left at the end.
    fading = np.random.default_rng(2).poisson(1e4 * np.exp(-np.arange(1000) / 217.0)).astype(float)
    assert [part.kind for part in find_segments(fading, 1.0)] == ["beam"]
    gone = np.full(200, 1000.0)
    gone[50:80] = np.nan
    assert [part.kind for part in find_segments(gone, 1.0)] == ["beam"]
    assert [part.kind for part in find_segments(np.zeros(50), 1.0)] == ["beam"]
    assert [part.kind for part in find_segments(np.full(50, np.nan), 1.0)] == ["beam"]


def test_mostly_dark_series_still_know_the_beam() -> None:
    photons = np.random.default_rng(3).poisson(np.where(np.arange(500) // 50 % 4 == 1, 2000.0, 0.5)).astype(float)
    parts = find_segments(photons, 1.0)
    assert [(part.start, part.stop) for part in parts if part.kind == "beam"] == [(50, 100), (250, 300), (450, 500)]
    off = find_segments(photons, 1.0, settings=CareConfig(without=("no beam",)))
    assert [part.kind for part in off] == ["beam"]


def test_bad_input_says_what_is_needed() -> None:
    with pytest.raises(InputError, match=r"ROI means of shape \(5,\)"):
        judge_frames(np.ones(5), np.array([3]))
    with pytest.raises(InputError, match="negative counts in frame 2"):
        judge_frames(np.array([[1.0, 1.0, -1.0]]), np.array([3]))
    with pytest.raises(InputError, match="presence of shape"):
        find_segments(np.ones(5), 1.0, present=np.ones(4, dtype=bool))
    with pytest.raises(InputError, match="frame_time 0"):
        find_segments(np.ones(5), 0.0)
    with pytest.raises(InputError, match="saturated pixels of shape"):
        judge_frames(np.ones((1, 5)), np.array([3]), saturated=np.zeros(4, dtype=int))
    for wrong, message in (
        ({"without": ["hto"]}, r"analysis\.care\.without\.0: Input should be 'empty'"),
        ({"jump_sigmas": 0.0}, r"analysis\.care\.jump_sigmas: .* greater than 0"),
        ({"window": 3}, r"analysis\.care\.window: .* greater than or equal to 5"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse_config({"analysis": {"care": wrong}})


def test_short_series_are_not_judged_by_intensity() -> None:
    assert judge_frames(np.array([[1.0, 9.0, 1.0]]), np.array([100])).bad == {}
    assert judge_frames(np.full((1, 4), np.nan), np.array([100])).bad == {"absent": (0, 1, 2, 3)}
