"""The event kernel gives the integers of the dense product, whatever the rows look like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gbx_beamline.correlation._engines import INT32_PIXELS
from gbx_beamline.correlation._events import Survey, event_blocks, event_products, survey
from gbx_beamline.correlation._products import symmetric_products
from gbx_beamline.errors import InputError


def sparse(frames: int, pixels: int, mean: float, seed: int = 0, high: int = 127) -> NDArray[np.uint8]:
    """Rows that lie apart, at odd addresses."""
    rng = np.random.default_rng(seed)
    wide = rng.integers(1, high + 1, (frames, pixels + 7)) * (rng.random((frames, pixels + 7)) < mean)
    return wide.astype(np.uint8)[:, 3 : 3 + pixels]


def definition(rows: NDArray[np.uint8]) -> NDArray[np.int64]:
    return (rows.astype(np.int64)[:, None, :] * rows.astype(np.int64)[None, :, :]).sum(axis=2)


@settings(max_examples=80, deadline=None)
@given(
    frames=st.integers(1, 30),
    pixels=st.integers(1, 150),
    density=st.sampled_from([0.0, 0.01, 0.1, 1.0]),
    high=st.sampled_from([1, 2, 127]),
    threads=st.integers(1, 3),
    parts=st.integers(1, 4),
    height=st.sampled_from([None, 1, 7]),
    seed=st.integers(0, 999),
)
def test_equals_the_definition(
    frames: int, pixels: int, density: float, high: int, threads: int, parts: int, height: int | None, seed: int
) -> None:
    rows = sparse(frames, pixels, density, seed, high)
    rows[:: 1 + seed % 4] = 0
    rows.flags.writeable = False
    expected = definition(rows)
    end = 0
    for i0, i1, block in event_blocks(rows, threads=threads, parts=parts, height=height):
        assert i0 == end
        assert block.dtype == np.int32
        np.testing.assert_array_equal(block, expected[i0:i1, :i1])
        end = i1
    assert end == frames
    np.testing.assert_array_equal(event_products(rows, threads=threads), expected)


def test_same_blocks_as_the_dense_kernel() -> None:
    rows = sparse(150, 333, 0.05)
    pairs = zip(event_blocks(rows, height=64), symmetric_products(rows, height=64), strict=True)
    for (a0, a1, events), (b0, b1, dense) in pairs:
        assert (a0, a1) == (b0, b1)
        assert events.dtype == dense.dtype
        np.testing.assert_array_equal(events, dense)


@pytest.mark.parametrize("pixels", [INT32_PIXELS, INT32_PIXELS + 9])
def test_largest_counts_do_not_overflow(pixels: int) -> None:
    rows = np.full((3, pixels), 127, dtype=np.uint8)
    np.testing.assert_array_equal(event_products(rows), np.full((3, 3), pixels * 127**2))


def test_rows_whose_pixels_lie_apart_are_taken_too() -> None:
    rows = np.asfortranarray(sparse(20, 50, 0.2))
    np.testing.assert_array_equal(event_products(rows), definition(rows))
    np.testing.assert_array_equal(event_products(rows[::-1]), definition(rows[::-1]))


@settings(max_examples=40, deadline=None)
@given(frames=st.integers(1, 600), pixels=st.integers(1, 100), seed=st.integers(0, 99))
def test_survey_counts_events_and_pairs(frames: int, pixels: int, seed: int) -> None:
    rows = sparse(frames, pixels, 0.3, seed)
    found = survey(rows)
    n = (rows > 0).sum(axis=0)
    np.testing.assert_array_equal(found.per_pixel, n)
    assert found.events == n.sum()
    assert found.pairs == (n * (n + 1) // 2).sum()
    assert found.largest == rows.max()


def test_more_than_255_events_in_a_pixel_are_counted() -> None:
    found = survey(np.ones((1000, 3), dtype=np.uint8))
    assert found.per_pixel.tolist() == [1000, 1000, 1000]


def test_survey_of_some_frames_is_scaled_to_all() -> None:
    rows = np.zeros((1000, 4), dtype=np.uint8)
    rows[:500, 1] = 2
    rows[:, 2] = 1
    found = survey(rows, frames=100)
    assert found.per_pixel.tolist() == [0, 500, 1000, 0]
    assert found.largest == 2


def test_nothing_to_multiply_is_no_error() -> None:
    assert event_products(np.zeros((3, 0), dtype=np.uint8)).tolist() == [[0] * 3] * 3
    assert event_products(np.zeros((0, 5), dtype=np.uint8)).shape == (0, 0)
    assert survey(np.zeros((0, 5), dtype=np.uint8)).events == 0


def test_what_cannot_be_multiplied_is_refused() -> None:
    with pytest.raises(InputError, match="a count of 128; needed: counts up to 127"):
        event_blocks(np.full((2, 2), 128, dtype=np.uint8))
    with pytest.raises(InputError, match="uint16"):
        event_blocks(np.ones((2, 2), dtype=np.uint16))  # pyright: ignore[reportArgumentType]


def test_survey_of_other_rows_is_refused() -> None:
    # The lists have exactly the places that the survey found: other rows would be written beyond them.
    rows: Any = sparse(20, 64, 0.2)
    for wrong in (survey(rows[:10]), Survey(per_pixel=np.zeros(3, dtype=np.int64), largest=1)):
        with pytest.raises(InputError, match="survey"):
            list(event_blocks(rows, found=wrong))
