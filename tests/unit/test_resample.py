"""Area means and the paper's bilinear picking against plain loops."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from gbx_beamline.errors import InputError, MapError
from gbx_beamline.simulation import area_mean
from gbx_beamline.simulation.resample import area_cells, bilinear_cells


@pytest.mark.parametrize(("frames", "size"), [(7, 3), (10, 5), (5, 5), (9, 1), (1250, 256)])
def test_cells_weigh_frames_by_their_overlap(frames: int, size: int) -> None:
    weights = area_cells(frames, size).matrix().toarray()
    length = Fraction(frames, size)
    for cell in {0, 1 % size, size // 2, size - 1}:
        expected = [
            float(
                max(Fraction(0), min(Fraction(k + 1), (cell + 1) * length) - max(Fraction(k), cell * length)) / length
            )
            for k in range(frames)
        ]
        assert weights[cell] == pytest.approx(expected, abs=1e-15)
    assert weights.sum(axis=1) == pytest.approx(np.ones(size))
    assert weights.sum(axis=0) == pytest.approx(np.full(frames, size / frames))


def test_area_mean_of_stacks_and_types() -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((2, 3, 10, 10)).astype(np.float32)
    means = area_mean(maps, 5)
    assert means.dtype == np.float32
    assert means == pytest.approx(maps.reshape(2, 3, 5, 2, 5, 2).mean(axis=(3, 5)), rel=1e-6)
    assert area_mean(maps, 10) == pytest.approx(maps)
    assert area_mean(np.arange(16).reshape(4, 4), 2).tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert area_mean(maps, 3).mean() == pytest.approx(maps.mean(), rel=1e-5)


def test_a_nan_stays_in_its_cells() -> None:
    square = np.ones((6, 6))
    square[1, 4] = np.nan
    assert np.argwhere(np.isnan(area_mean(square, 3))).tolist() == [[0, 2]]


def test_bilinear_follows_its_definition() -> None:
    rng = np.random.default_rng(1)
    square = rng.random((11, 11))
    size = 4
    weights = bilinear_cells(11, size).matrix()
    found = weights @ (weights @ square.T).T
    for i in range(size):
        for j in range(size):
            y, x = ((at + 0.5) * 11 / size - 0.5 for at in (i, j))
            top, left = int(y), int(x)
            v, u = y - top, x - left
            corners = square[top : top + 2, left : left + 2]
            expected = np.array([1 - v, v]) @ corners @ np.array([1 - u, u])
            assert found[i, j] == pytest.approx(expected)


def test_bilinear_takes_no_mean() -> None:
    # What torch.nn.functional.interpolate(..., mode="bilinear", align_corners=False) makes of k^2, k = 0..9.
    weights = bilinear_cells(10, 4).matrix()
    assert (weights @ (np.arange(10.0) ** 2)).tolist() == pytest.approx([0.75, 10.75, 33.25, 68.25])
    assert bilinear_cells(5, 5).matrix().toarray() == pytest.approx(np.eye(5))
    looked_at = np.flatnonzero(bilinear_cells(1250, 256).matrix().sum(axis=0))
    assert len(looked_at) <= 512


@pytest.mark.parametrize("shape", [(3,), (3, 4), (0, 0)])
def test_what_is_no_map(shape: tuple[int, ...]) -> None:
    with pytest.raises(MapError, match="square maps"):
        area_mean(np.zeros(shape), 1)


def test_sizes_that_are_none() -> None:
    for size in (0, 5):
        with pytest.raises(InputError, match=f"size = {size} cells of 4"):
            area_mean(np.zeros((4, 4)), size)
