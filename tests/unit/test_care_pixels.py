"""Hot, bursting and dead pixels and beam stops: what must be found, and what speckles must keep."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gbx_beamline.care import CareConfig, Exclusions, judge_pixels
from gbx_beamline.errors import InputError
from gbx_beamline.simulation import SpeckleMovie


def box(side: int = 40) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    y, x = np.indices((side, side))
    return y.ravel() + 100, x.ravel() + 300


def speckled(side: int, modes: int, counts: float, seed: int, size: float = 2.0) -> NDArray[np.int64]:
    """Counts of one image of static speckles."""
    movie = SpeckleMovie((side, side), 1, rate=0.0, modes=modes, mean_counts=counts, speckle_size=size, seed=seed)
    return movie.read(0, 1)[0].ravel().astype(np.int64)


@pytest.mark.parametrize("counts", [0.05, 1.0, 30.0, 900.0])
def test_static_speckles_of_any_contrast_are_left_alone(counts: float) -> None:
    y, x = box()
    lost = 0
    for seed in range(24):
        totals = speckled(40, (1, 2, 7)[seed % 3], counts, seed, size=(1.5, 4.0)[seed % 2])
        lost += int((~judge_pixels(y, x, totals, 128).keep).sum())
    # A thousandth of a pixel per ROI and rule.
    assert lost <= 1


def test_partly_static_speckles_are_left_alone() -> None:
    # Averages of a static speckle under moving ones have the heaviest tail that their variance allows.
    y, x = box()
    for seed in range(10):
        still = np.random.default_rng([seed, 1]).exponential(0.3, 1600) + 0.7
        assert judge_pixels(y, x, np.random.default_rng(seed).poisson(500 * still), 500).keep.all()


def test_hot_and_dead_pixels_are_found_on_a_steep_profile() -> None:
    y, x = box()
    rng = np.random.default_rng(1)
    expected = 200.0 * np.exp(-(x - 300) / 15.0)
    totals = rng.poisson(expected)
    hot, dead = np.array([820, 821, 35]), np.array([410, 1205])
    totals[hot] = [100_000, 3000, 3000]
    totals[dead] = 0
    found = judge_pixels(y, x, totals, 100)
    assert set(found.bad) == {"hot", "dead"}
    assert found.bad["hot"].tolist() == sorted(hot)
    assert found.bad["dead"].tolist() == dead.tolist()
    assert found.keep.sum() == 1595
    assert found.contrast < 0.1
    off = CareConfig(without=("hot", "dead"))
    assert judge_pixels(y, x, totals, 100, settings=off).keep.all()


def test_many_hot_pixels_do_not_hide_each_other() -> None:
    y, x = box()
    totals = speckled(40, 4, 50.0, 3)
    hot = np.arange(7, 1600, 80)
    totals[hot] = 50 * 30
    assert set(judge_pixels(y, x, totals, 100).bad["hot"]) >= set(hot)


def test_bright_structure_is_kept_and_noted() -> None:
    y, x = box()
    totals = np.random.default_rng(4).poisson(50.0, 1600)
    totals[(abs(y - 120) < 3) & (abs(x - 320) < 3)] = 5000
    found = judge_pixels(y, x, totals, 100, largest=totals)
    assert found.keep.all()
    assert "25 pixels in spots brighter than speckles" in found.notes[0]


def test_a_burst_in_one_frame_is_found_where_its_time_average_is_normal() -> None:
    y, x = box()
    rng = np.random.default_rng(5)
    frames = rng.poisson(1.0, (500, 1600))
    frames[40, 77] = 300
    found = judge_pixels(y, x, frames.sum(axis=0), 500, largest=frames.max(axis=0))
    assert {reason: pixels.tolist() for reason, pixels in found.bad.items()} == {"burst": [77]}
    movie = np.stack(list(SpeckleMovie((40, 40), 200, rate=0.1, mean_counts=2.0, seed=6))).reshape(200, -1)
    assert judge_pixels(y, x, movie.sum(axis=0), 200, largest=movie.max(axis=0)).keep.all()


def test_a_beam_stop_is_found_and_dark_speckles_are_not() -> None:
    y, x = box(80)
    rod = (abs(x - 340) < 4) & (y > 130)
    for seed in range(4):
        totals = speckled(80, 1, 3000.0, seed, size=6.0)
        assert judge_pixels(y, x, totals, 100).bad == {}
        totals[rod] = np.random.default_rng(seed).poisson(1.0, int(rod.sum()))
        found = judge_pixels(y, x, totals, 100)
        lost = np.zeros(6400, dtype=bool)
        lost[found.bad["beam stop"]] = True
        assert (lost & rod).sum() >= 0.99 * rod.sum()
        # Dark speckles that touch the rod go with it.
        assert (lost & ~rod).sum() < 0.05 * rod.sum()


def test_hot_pixels_of_a_dark_detector_are_hot_and_the_rest_is_no_beam_stop() -> None:
    y, x = box(80)
    totals = np.zeros(6400, dtype=int)
    totals[[5, 700, 3000]] = [80_000, 1000, 40]
    totals[1234] = 1
    found = judge_pixels(y, x, totals, 21)
    assert {reason: pixels.tolist() for reason, pixels in found.bad.items()} == {"hot": [5, 700, 3000]}


def test_a_profile_that_fades_out_is_no_beam_stop() -> None:
    y, x = box(80)
    totals = np.random.default_rng(7).poisson(3000.0 * np.exp(-(x - 300) / 8.0))
    assert judge_pixels(y, x, totals, 100).keep.all()


def test_small_and_empty_rois_are_not_judged_and_say_so() -> None:
    few = judge_pixels(np.arange(9), np.arange(9), np.full(9, 5), 10)
    assert few.keep.all()
    assert few.notes == ("pixels not judged: 9 pixels",)
    y, x = box()
    assert judge_pixels(y, x, np.zeros(1600, dtype=int), 10).notes == ("pixels not judged: no photon",)


def test_bad_input_says_what_is_needed() -> None:
    y, x = box()
    with pytest.raises(InputError, match="positions and counts of shapes"):
        judge_pixels(y, x[:-1], np.ones(1600), 10)
    with pytest.raises(InputError, match="0 frames"):
        judge_pixels(y, x, np.ones(1600), 0)
    with pytest.raises(InputError, match="totals from -1"):
        judge_pixels(y, x, np.full(1600, -1.0), 10)


def test_exclusions_list_everything_in_words() -> None:
    y, x = box()
    totals = np.random.default_rng(8).poisson(100.0, 1600)
    totals[3], totals[900] = 50_000, 0
    verdict = judge_pixels(y, x, totals, 50)
    where = y * 1000 + x
    gathered = Exclusions(frames={"empty": (4,)}, notes=("seen",)).with_pixels(verdict, where, "a")
    gathered = gathered.with_pixels(verdict, where, "b")
    assert gathered.pixels["hot"].tolist() == [where[3]]
    assert gathered.counts == {"frames: empty": 1, "pixels: hot": 1, "pixels: dead": 1}
    assert gathered.words() == ("1 frame left out: empty", "1 pixel left out: hot", "1 pixel left out: dead", "seen")
