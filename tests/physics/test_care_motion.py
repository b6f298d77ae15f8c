"""Motion of speckles and of the intensity: shifts that are known, and none that are not there."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.fft
from numpy.typing import NDArray

from gbx_beamline.care import BlockAdder, CareConfig, block_sums, check_motion
from gbx_beamline.errors import InputError
from gbx_beamline.simulation import SpeckleMovie

SIDE = 64
Y, X = (part.ravel() + offset for part, offset in zip(np.indices((SIDE, SIDE)), (200, 500), strict=True))


def drifting(frames: int, shift: tuple[float, float], counts: float, seed: int) -> NDArray[np.int64]:
    """(N, P) static speckles that move linearly by ``shift`` (rows, columns) until the last frame."""
    still = SpeckleMovie((SIDE, SIDE), 1, rate=0.0, modes=2, mean_counts=500.0, speckle_size=3.0, seed=seed)
    spectrum = scipy.fft.fft2(still.read(0, 1)[0] / 500.0)
    ky, kx = np.meshgrid(scipy.fft.fftfreq(SIDE), scipy.fft.fftfreq(SIDE), indexing="ij")
    rng = np.random.default_rng(seed)
    out = []
    for t in np.arange(frames) / (frames - 1):
        phase = np.exp(-2j * np.pi * t * (ky * shift[0] + kx * shift[1]))
        out.append(rng.poisson(counts * np.clip(scipy.fft.ifft2(spectrum * phase).real, 0, None)).ravel())
    return np.array(out)


@pytest.mark.parametrize(("shift", "counts"), [((2.5, -1.0), 5.0), ((0.0, 4.0), 0.2), ((-0.8, 0.0), 1.0)])
def test_a_known_shift_is_measured_within_its_error(shift: tuple[float, float], counts: float) -> None:
    found = check_motion(block_sums(drifting(160, shift, counts, 1), blocks=16), Y, X, frame_time=0.5)
    assert found.moved
    assert found.status.startswith("motion: speckles shift by")
    # From the middle of the first block to that of the last.
    expected = np.array(shift) * 150 / 159
    error = found.shift_error[-1, 0]
    assert error < 0.1
    assert found.shift_from_first[-1] == pytest.approx(expected, abs=max(0.12, 3 * error))
    assert np.nansum(found.shift_from_previous, axis=0) == pytest.approx(expected, abs=0.6)
    assert found.times[0] == pytest.approx(2.25)


@pytest.mark.parametrize("rate", [0.0, 0.003, 0.05])
def test_speckles_that_boil_in_place_do_not_move(rate: float) -> None:
    for seed in range(4):
        movie = SpeckleMovie((SIDE, SIDE), 128, rate=rate, modes=4, mean_counts=1.0, speckle_size=2.0, seed=seed)
        rows = np.stack(list(movie)).reshape(128, -1)
        found = check_motion(block_sums(rows), Y, X)
        assert not found.moved
        assert found.status == "none seen" if rate < 0.01 else found.status.startswith(("none seen", "not measurable"))
        assert found.notes == ()
        known = np.isfinite(found.shift_from_first[:, 0])
        assert known.all() if rate == 0 else known.sum() < 33
        assert np.abs(found.shift_from_first[known]).max() < 0.2


def test_speckles_that_boil_away_leave_the_last_shift_unknown() -> None:
    movie = SpeckleMovie((SIDE, SIDE), 128, rate=0.05, modes=4, mean_counts=1.0, seed=9)
    found = check_motion(block_sums(np.stack(list(movie)).reshape(128, -1)), Y, X)
    assert np.isnan(found.shift_from_first[-10:]).all()
    assert np.isfinite(found.shift_from_previous[1:]).mean() > 0.8


def test_a_moving_profile_shows_in_the_centre_of_intensity() -> None:
    rng = np.random.default_rng(2)
    place = np.linspace(0, 6, 64)
    rows = np.array([rng.poisson(4 * np.exp(-((X - 532 - at) ** 2 + (Y - 232) ** 2) / 200)) for at in place])
    found = check_motion(block_sums(rows, blocks=8), Y, X)
    assert found.moved
    assert "the centre of intensity moves by" in found.status
    assert found.centroid[-1, 1] - found.centroid[0, 1] == pytest.approx(6 * 7 / 8, abs=0.7)
    assert found.centroid[:, 0] == pytest.approx(np.full(8, 232), abs=0.3)


def test_changing_intensity_is_a_note_and_no_motion() -> None:
    rng = np.random.default_rng(3)
    rows = rng.poisson(np.linspace(2, 1, 100)[:, None] * np.ones(SIDE * SIDE))
    found = check_motion(block_sums(rows, blocks=10), Y, X)
    assert not found.moved
    assert re.fullmatch(r"intensity falls steadily by (49|50|51)% over the series", found.notes[0])
    assert found.intensity == pytest.approx(np.linspace(1.95, 1.05, 10), abs=0.02)


def test_a_tenth_of_the_flux_does_not_go_unsaid() -> None:
    rng = np.random.default_rng(4)
    rows = rng.poisson(np.linspace(2, 1.8, 200)[:, None] * np.ones(SIDE * SIDE))
    assert check_motion(block_sums(rows, blocks=16), Y, X).notes == ("intensity falls steadily by 10% over the series",)
    rows = rng.poisson(np.where(np.arange(200) // 50 % 2, 2.2, 2.0)[:, None] * np.ones(SIDE * SIDE))
    assert check_motion(block_sums(rows, blocks=16), Y, X).notes == ("intensity changes by 10% over the series",)
    rows = rng.poisson(np.linspace(2, 1.98, 200)[:, None] * np.ones(SIDE * SIDE))
    assert check_motion(block_sums(rows, blocks=16), Y, X).notes == ()


def test_a_box_larger_than_the_transform_is_binned() -> None:
    side = 700
    y, x = (part.ravel() for part in np.indices((side, side)))
    band = abs(y - x) < 60
    movie = SpeckleMovie((side, side), 2, rate=0.0, modes=1, mean_counts=3.0, speckle_size=5.0, seed=4)
    frame = movie.read(0, 2)
    moved = np.stack([frame[0], np.roll(frame[1], (6, -4), axis=(0, 1))]).reshape(2, -1)[:, band]
    found = check_motion(block_sums(moved), y[band], x[band])
    assert found.shift_from_first[1] == pytest.approx([6, -4], abs=0.3)


def test_blocks_skip_bad_frames_and_add_up_while_frames_pass_by() -> None:
    rows = np.random.default_rng(5).integers(0, 9, (50, 30)).astype(np.uint8)
    valid = np.ones(50, dtype=bool)
    valid[[3, 20, 21, 22, 23, 24]] = False
    whole = block_sums(rows, valid=valid, blocks=10)
    assert whole.frames.tolist() == [4, 5, 5, 5, 5, 5, 5, 5, 5]
    assert whole.sums[0].tolist() == rows[[0, 1, 2, 4]].sum(axis=0).tolist()
    assert whole.centres[0] == pytest.approx(7 / 4)
    adder = BlockAdder(valid, 30, blocks=10)
    for start in range(0, 50, 7):
        adder.add(start, rows[start : start + 7])
    assert np.array_equal(adder.finish().sums, whole.sums)


def test_what_cannot_be_measured_says_why() -> None:
    rows = np.ones((10, 9), dtype=int)
    y = x = np.arange(9)
    assert check_motion(block_sums(rows), y, x).status == "not measurable: 9 pixels"
    few = check_motion(block_sums(np.zeros((10, 100), dtype=int)), np.arange(100), np.arange(100))
    assert few.status.startswith("not measurable: fewer than one photon")
    assert few.notes == ("no photon",)
    off = CareConfig(without=("motion",))
    assert check_motion(block_sums(rows), y, x, settings=off).status == "not measurable: switched off"
    line = np.random.default_rng(6).poisson(5.0, (10, 100))
    assert not check_motion(block_sums(line), np.zeros(100, dtype=int), np.arange(100)).moved
    none = check_motion(block_sums(rows, valid=np.zeros(10, dtype=bool)), y, x)
    assert none.status == "not measurable: 0 block(s) of frames"
    with pytest.raises(InputError, match="positions of shapes"):
        check_motion(block_sums(rows), y[:3], x)
    with pytest.raises(InputError, match=r"rows of shape \(5,\)"):
        block_sums(np.ones(5))
    with pytest.raises(InputError, match="from frame 8 on"):
        BlockAdder(np.ones(10, dtype=bool), 9).add(8, rows)
