"""Pixel groups: speckle size, which pixels go together, and the map of each group on integer-binned counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gbx_beamline.correlation._cell_sums import CellSums, exact_products
from gbx_beamline.correlation._group_maps import FEWEST_CELLS, GroupAccumulator, build_group_maps
from gbx_beamline.correlation._groups import APART, plan_groups
from gbx_beamline.correlation._speckle_size import speckle_size
from gbx_beamline.errors import InputError, SeriesError
from gbx_beamline.simulation import SpeckleMovie

Counts = NDArray[Any]


def grid(height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    y, x = np.divmod(np.arange(height * width), width)
    return y, x


def plain(rows: Counts, edges: NDArray[np.int64], step: int, valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The definition, read aloud, in Python's whole numbers."""
    cells = len(rows) // step
    whole = rows.astype(object)
    whole[~valid] = 0
    sums = whole[: cells * step].reshape(cells, step, -1).sum(axis=1)
    good = valid[: cells * step].reshape(cells, step).sum(axis=1)
    maps = np.full((len(edges) - 1, cells, cells), np.nan)
    for group in range(len(maps)):
        mine = sums[:, edges[group] : edges[group + 1]]
        for i in range(cells):
            for j in range(cells):
                if i != j and 2 * good[i] >= step and 2 * good[j] >= step:
                    product = mine.shape[1] * int((mine[i] * mine[j]).sum())
                    maps[group, i, j] = product / (int(mine[i].sum()) * int(mine[j].sum()))
    return maps


@pytest.mark.parametrize("rate", [0.05, 0.0, 3.0], ids=["moving", "static", "fast"])
@pytest.mark.parametrize("size", [2.0, 3.0, 5.0])
def test_speckles_measure_as_they_were_made(size: float, rate: float) -> None:
    movie = SpeckleMovie((60, 60), 60, rate=rate, modes=2, mean_counts=2.0, speckle_size=size, seed=4)
    found = speckle_size(movie.read(0, 60).reshape(60, -1), *grid(60, 60))
    assert found == pytest.approx(size, rel=0.2)


def test_an_intensity_profile_is_no_speckle() -> None:
    profile = 1.0 + 4.0 * np.exp(-np.arange(80) / 25.0)[:, None] * np.ones(60)
    movie = SpeckleMovie((80, 60), 60, rate=0.05, modes=2, mean_counts=profile, speckle_size=2.0, seed=4)
    assert speckle_size(movie.read(0, 60).reshape(60, -1), *grid(80, 60)) == pytest.approx(2.0, rel=0.25)


def test_photon_noise_has_no_speckle_size() -> None:
    rng = np.random.default_rng(0)
    sizes = [speckle_size(rng.poisson(1.0, (50, 900)), *grid(30, 30)) for _ in range(20)]
    # Two directions at four standard deviations.
    assert np.isnan(sizes).sum() >= 19
    assert np.isnan(speckle_size(np.zeros((5, 900), dtype=np.uint8), *grid(30, 30)))


def test_groups_are_runs_of_rows_and_only_those_that_do_not_touch_are_paired() -> None:
    layout = plan_groups(*grid(40, 40), 1600, 2.0)
    assert layout.order is None
    assert np.array_equal(layout.edges, np.arange(0, 1601, 200))
    assert layout.notes == ()
    _, groups = build_group_maps(np.ones((10, 1600), dtype=np.uint8), y=grid(40, 40)[0], x=grid(40, 40)[1], size=2.0)
    assert groups.pairs == tuple((a, b) for a in range(8) for b in range(a + 2, 8))
    assert (groups.count, groups.pixels, groups.status) == (8, (200,) * 8, "ok")


@pytest.mark.parametrize("shape", [(40, 40), (20, 40), (40, 21), (17, 33), (60, 13), (9, 300)])
@pytest.mark.parametrize("size", [1.0, 2.0, 3.0, 4.5])
def test_paired_groups_are_speckles_apart(shape: tuple[int, int], size: float) -> None:
    y, x = grid(*shape)
    layout = plan_groups(y, x, y.size, size)
    order = np.arange(y.size) if layout.order is None else layout.order
    assert np.array_equal(np.sort(order), np.arange(y.size))
    for a in range(layout.count):
        for b in range(a + 2, layout.count):
            mine, other = (order[layout.edges[k] : layout.edges[k + 1]] for k in (a, b))
            squares = (y[mine, None] - y[other]) ** 2 + (x[mine, None] - x[other]) ** 2
            assert np.sqrt(squares.min()) >= APART * size
    if layout.count < 8:
        assert layout.notes


def test_a_roi_that_is_wider_than_high_is_split_along_its_columns() -> None:
    y, x = grid(10, 200)
    layout = plan_groups(y, x, 2000, 2.0)
    assert layout.count == 8
    assert layout.order is not None
    assert [int(x[layout.order[k]].max()) for k in np.split(np.arange(2000), 8)] == list(range(24, 200, 25))


def test_too_small_a_roi_falls_back_and_says_so() -> None:
    fewer = plan_groups(*grid(17, 17), 289, 2.0)
    assert fewer.count == 4
    assert "4 of 8 pixel groups" in fewer.notes[0]
    none = plan_groups(*grid(10, 10), 100, 2.0)
    assert none.count == 0
    assert "100 pixels hold fewer than 4 groups" in none.notes[0]
    y, x = grid(10, 10)
    maps, groups = build_group_maps(np.ones((20, 100), dtype=np.uint8), y=y, x=x)
    assert (maps.shape, groups.count, groups.pairs) == ((0, 20, 20), 0, ())
    assert "no pixel groups" in groups.status


def test_listed_pixels_are_cut_as_they_come() -> None:
    layout = plan_groups(None, None, 401, float("nan"))
    assert (layout.count, layout.order) == (8, None)
    assert "without positions" in layout.notes[0]


def test_an_unknown_speckle_size_is_said() -> None:
    layout = plan_groups(*grid(40, 40), 1600, float("nan"))
    assert layout.count == 8
    assert layout.notes == ("speckle size not measured, taken as 2 pixels",)


def test_fewer_than_four_groups_are_refused() -> None:
    with pytest.raises(InputError, match="3 pixel groups"):
        plan_groups(*grid(40, 40), 1600, 2.0, 3)


@pytest.mark.parametrize(
    ("frames", "max_cells", "largest"), [(30, 512, 3), (64, 20, 200), (45, 512, 2**20), (91, 30, 2**31)]
)
def test_maps_are_the_definition(frames: int, max_cells: int, largest: int) -> None:
    rng = np.random.default_rng(frames)
    rows = rng.integers(1, min(largest, 127) + 1, (frames, 420)).astype(np.uint8)
    columns = np.array([0, 59, 60, 400])
    bright = rng.integers(1, largest, (frames, 4)).astype(np.uint32)
    valid = rng.random(frames) > 0.2
    maps, groups = build_group_maps(rows, valid=valid, wide=(columns, bright), max_cells=max_cells)
    assert (groups.count, groups.frames_per_cell) == (8, frames // (max_cells + 1) + 1)
    whole = rows.astype(np.uint32)
    whole[:, columns] = bright
    edges = np.linspace(0, 420, 9).astype(np.int64)
    expected = plain(whole, edges, groups.frames_per_cell, valid)
    np.testing.assert_allclose(maps, expected, rtol=1e-6)
    assert np.array_equal(maps, maps.transpose(0, 2, 1), equal_nan=True)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_blocks_of_any_length_give_the_same_maps(data: st.DataObject) -> None:
    frames = data.draw(st.integers(4, 90))
    seed = data.draw(st.integers(0, 2**32 - 1))
    max_cells = data.draw(st.integers(4, 60))
    rng = np.random.default_rng(seed)
    rows = rng.poisson(data.draw(st.sampled_from([0.05, 1.0, 60.0])), (frames, 400)).clip(0, 127).astype(np.uint8)
    valid = rng.random(frames) > 0.1
    wide = np.array([3, 250]), rng.integers(0, 2**20, (frames, 2)).astype(np.uint32)
    y, x = grid(20, 20)
    maps, groups = build_group_maps(rows, y=y, x=x, valid=valid, wide=wide, max_cells=max_cells, size=1.5)
    live = GroupAccumulator(plan_groups(y, x, 400, 1.5), CellSums(frames, 400, max_cells))
    at = 0
    while at < frames:
        stop = min(frames, at + data.draw(st.integers(1, 40)))
        live.feed(rows[at:stop], valid[at:stop], (wide[0], wide[1][at:stop]))
        if data.draw(st.booleans()):
            live.maps()
        at = stop
    again, split = live.maps()
    assert split == groups
    assert np.array_equal(again, maps, equal_nan=True)


def test_maps_so_far_are_those_of_the_frames_so_far() -> None:
    rows = np.random.default_rng(1).poisson(2.0, (60, 400)).astype(np.uint8)
    live = GroupAccumulator(plan_groups(None, None, 400, float("nan")), CellSums(60, 400, 20))
    live.feed(rows[:40], np.ones(40, dtype=bool))
    so_far, _ = live.maps()
    whole, _ = build_group_maps(rows, max_cells=20)
    assert so_far.shape == (8, 13, 13)
    assert np.array_equal(so_far, whole[:, :13, :13], equal_nan=True)


def test_cells_grow_until_every_group_has_a_photon_then_groups_are_joined() -> None:
    rng = np.random.default_rng(2)
    frames = 240
    few, groups = build_group_maps(rng.poisson(0.05, (frames, 400)).astype(np.uint8))
    assert groups.count == 8
    assert groups.frames_per_cell > 1
    assert few.shape[-1] == frames // groups.frames_per_cell >= FEWEST_CELLS
    assert f"cells of {groups.frames_per_cell} frames" in groups.status
    # One group sees nothing at all, but its neighbour does.
    rows = rng.poisson(1.0, (frames, 400)).astype(np.uint8)
    rows[:, 100:150] = 0
    maps, groups = build_group_maps(rows)
    assert (groups.count, groups.pixels, groups.frames_per_cell) == (4, (100,) * 4, 1)
    assert "4 of 8 pixel groups" in groups.status
    expected = plain(rows, np.arange(0, 401, 100), 1, np.ones(frames, dtype=bool))
    np.testing.assert_allclose(maps, expected, rtol=1e-6)
    rows[:, 100:200] = 0
    maps, groups = build_group_maps(rows)
    assert (groups.count, len(maps)) == (0, 0)
    assert "held no photon" in groups.status


def test_dark_frames_are_nan_and_do_not_lengthen_the_cells() -> None:
    rows = np.random.default_rng(3).poisson(2.0, (60, 400)).astype(np.uint8)
    rows[20:30] = 0
    rows[25, 7] = 1
    maps, groups = build_group_maps(rows)
    assert groups.frames_per_cell == 1
    dark = np.isnan(maps).all(axis=(0, 1))
    assert np.array_equal(np.flatnonzero(dark), np.arange(20, 30))


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 127, 128, 2**14, 2**20]))
@settings(max_examples=30, deadline=None)
def test_products_are_exact(seed: int, largest: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, largest + 1, (n, 300)).astype(np.uint32) for n in (5, 7))
    assert np.array_equal(exact_products(a, b), a.astype(np.int64) @ b.astype(np.int64).T)


def test_what_are_no_counts_is_refused() -> None:
    with pytest.raises(SeriesError, match="float64"):
        build_group_maps(np.ones((10, 400)))
    with pytest.raises(SeriesError, match="int64"):
        build_group_maps(np.full((10, 400), -1))
    with pytest.raises(SeriesError, match=r"\(10, 400\) with \(9,\)"):
        build_group_maps(np.ones((10, 400), dtype=np.uint8), valid=np.ones(9, dtype=bool))
    with pytest.raises(InputError, match="1 frames"):
        CellSums(1, 400, 512)
