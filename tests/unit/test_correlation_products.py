"""Dense products: every engine gives the integers of the definition, and says why it is not the best one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from every_engine import every_engine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gbx_beamline.correlation import _cost, _engines
from gbx_beamline.correlation._products import (
    dense_products,
    engines,
    product_dtype,
    symmetric_products,
    wide_products,
)
from gbx_beamline.correlation.threads import thread_count, torch_threads
from gbx_beamline.errors import ConfigError, InputError

BYTES = 2**31


@pytest.fixture(autouse=True, scope="module")
def every_engine_is_tested() -> Iterator[None]:
    with every_engine():
        yield


def definition(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.int64]:
    """Sums over pixels in 64-bit integers, without matrix algebra."""
    return (a.astype(np.int64)[:, None, :] * b.astype(np.int64)[None, :, :]).sum(axis=2)


def counts(shape: tuple[int, int], seed: int, low: int = 0, high: int = 127) -> NDArray[np.uint8]:
    """Rows that lie apart and do not start at a multiple of anything."""
    wide = np.random.default_rng(seed).integers(low, high + 1, (shape[0], shape[1] + 7), dtype=np.uint8)
    return wide[:, 3 : 3 + shape[1]]


def lower(rows: NDArray[np.uint8], **options: Any) -> NDArray[np.int64]:
    """The lower triangle, put together from the blocks."""
    whole = np.zeros((len(rows), len(rows)), dtype=np.int64)
    covered = 0
    for i0, i1, block in symmetric_products(rows, **options):
        assert i0 == covered
        assert block.shape == (i1 - i0, i1)
        assert block.dtype == product_dtype(rows.shape[1])
        whole[i0:i1, :i1] = block
        covered = i1
    assert covered == len(rows)
    return np.tril(whole)


@pytest.fixture
def fresh() -> Iterator[None]:
    """Engines are tested anew, now and after the test."""
    for cached in (_engines.probe_engines, _cost.rate):
        cached.cache_clear()
    yield
    for cached in (_engines.probe_engines, _cost.rate):
        cached.cache_clear()


@settings(max_examples=60, deadline=None)
@given(
    m=st.integers(1, 20),
    n=st.integers(1, 20),
    pixels=st.integers(1, 90),
    high=st.sampled_from([0, 1, 3, 127]),
    block=st.sampled_from([None, 1, 7, 64]),
    data=st.data(),
)
def test_products_equal_the_definition(
    m: int, n: int, pixels: int, high: int, block: int | None, data: st.DataObject
) -> None:
    engine = data.draw(st.sampled_from(engines()))
    seed = data.draw(st.integers(0, 999))
    a, b = counts((m, pixels), seed, high=high), counts((n, pixels), seed + 1, high=high)
    a.flags.writeable = False
    found = dense_products(a, b, engine=engine, pixel_block=block)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, definition(a, b))


@settings(max_examples=40, deadline=None)
@given(frames=st.integers(1, 40), pixels=st.integers(1, 70), height=st.sampled_from([None, 1, 6, 40]), data=st.data())
def test_blocks_of_rows_make_the_lower_triangle(
    frames: int, pixels: int, height: int | None, data: st.DataObject
) -> None:
    engine = data.draw(st.sampled_from(engines()))
    rows = counts((frames, pixels), frames * pixels)
    rows[:: data.draw(st.integers(1, 5))] = 0
    block = data.draw(st.sampled_from([None, 5]))
    found = lower(rows, engine=engine, height=height, pixel_block=block)
    np.testing.assert_array_equal(found, np.tril(definition(rows, rows)))


@pytest.mark.parametrize("pixels", [_engines.INT32_PIXELS, _engines.INT32_PIXELS + 9])
@pytest.mark.parametrize("engine", ["int8", "float32", "float64"])
def test_largest_counts_do_not_overflow(engine: _engines.Engine, pixels: int) -> None:
    if engine not in engines():
        pytest.skip("; ".join(_engines.probe_engines().notes))
    rows = np.full((3, pixels), 127, dtype=np.uint8)
    expected = np.full((3, 3), pixels * 127**2)
    assert (expected[0, 0] >= BYTES) == (pixels > _engines.INT32_PIXELS)
    np.testing.assert_array_equal(dense_products(rows, rows, engine=engine), expected)
    np.testing.assert_array_equal(lower(rows, engine=engine), np.tril(expected))


@pytest.mark.parametrize("m", [1, 2, 3, 40])
@pytest.mark.parametrize("pixels", [1, 2, 5])
def test_single_pixels_and_single_rows_are_multiplied_right(m: int, pixels: int) -> None:
    # torch 2.13 misreads a single column; numpy calls a single row contiguous whatever its strides are.
    for engine in engines():
        for seed in range(5):
            a, b = counts((m, pixels), seed), counts((7, pixels), seed + 100)
            assert np.array_equal(dense_products(a, b, engine=engine), definition(a, b)), engine
            odd = np.lib.stride_tricks.as_strided(np.ascontiguousarray(b[:1]), strides=(1, 1))
            assert np.array_equal(dense_products(odd, odd, engine=engine), definition(odd, odd)), engine


def test_int32_holds_just_the_pixels_it_says() -> None:
    assert _engines.INT32_PIXELS * 127**2 < BYTES <= (_engines.INT32_PIXELS + 1) * 127**2


def test_float32_blocks_are_short_enough_for_whole_numbers() -> None:
    # An odd sum above 2**24 has no float32 of its own: one long product would be wrong here.
    rows = np.full((2, 4000), 127, dtype=np.uint8)
    rows[0, 0] = 126
    assert float(np.float32(3999 * 127**2 + 126 * 127)) != 3999 * 127**2 + 126 * 127
    np.testing.assert_array_equal(dense_products(rows, rows, engine="float32"), definition(rows, rows))


def test_result_goes_where_it_is_wanted() -> None:
    a, b = counts((4, 30), 0), counts((5, 30), 1)
    out = np.full((4, 5), -1, dtype=np.int32)
    assert dense_products(a, b, out=out) is out
    np.testing.assert_array_equal(out, definition(a, b))
    with pytest.raises(InputError, match=r"contiguous int32 of shape \(4, 5\)"):
        dense_products(a, b, out=np.empty((4, 5), dtype=np.int64))


def test_padding_for_devices_leaves_no_trace() -> None:
    pytest.importorskip("torch")
    rows = counts((61, 13), 4)
    whole = np.zeros((61, 61), dtype=np.int64)
    for i0, i1, block in _engines.device_blocks(rows, 19, "cpu", np.dtype(np.int32)):
        whole[i0:i1, :i1] = block
    np.testing.assert_array_equal(np.tril(whole), np.tril(definition(rows, rows)))


def test_what_cannot_be_multiplied_is_refused() -> None:
    rows = counts((3, 8), 0)
    with pytest.raises(InputError, match="a count of 128; needed: counts up to 127"):
        dense_products(rows, np.full((1, 8), 128, dtype=np.uint8))
    with pytest.raises(InputError, match="a count of 200"):
        symmetric_products(np.full((2, 2), 200, dtype=np.uint8))
    with pytest.raises(InputError, match="uint16"):
        dense_products(rows.astype(np.uint16), rows)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="rows of 8 and of 7 pixels"):
        dense_products(rows, rows[:, 1:])
    with pytest.raises(InputError, match="'int4' is not usable here"):
        dense_products(rows, rows, engine="int4")  # pyright: ignore[reportArgumentType]


@settings(max_examples=60, deadline=None)
@given(
    m=st.integers(1, 8),
    n=st.integers(1, 8),
    pixels=st.integers(1, 40),
    bits=st.tuples(st.integers(0, 20), st.integers(0, 31)),
    block=st.sampled_from([1, 3, 4096]),
    seed=st.integers(0, 999),
)
def test_wide_counts_are_exact(m: int, n: int, pixels: int, bits: tuple[int, int], block: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (
        rng.integers(0, 2**k, (rows, pixels), endpoint=True).astype(np.uint32)
        for rows, k in zip((m, n), bits, strict=True)
    )
    np.testing.assert_array_equal(wide_products(a, b, pixel_block=block), definition(a, b))


def test_counts_of_a_million_over_many_pixels_are_exact() -> None:
    # The sum, 2**57 and an odd rest, is beyond what float64 tells apart.
    a = np.full((1, 2**17), 2**20, dtype=np.uint32)
    b = a.copy()
    a[0, 0], b[0, 0] = 2**20 - 1, 2**20 + 1
    assert wide_products(a, b).item() == 2**57 - 1


def test_counts_beyond_exactness_are_refused_with_the_number() -> None:
    huge = np.full((1, 4), 2**31, dtype=np.uint32)
    with pytest.raises(InputError, match=r"2147483648 whose products could add up to 1\.84e\+19"):
        wide_products(huge, huge)
    # A bright pixel in one row only: the largest counts alone would refuse it.
    sparse = np.zeros((1, 100), dtype=np.uint32)
    sparse[0, 5] = 2**31
    assert wide_products(sparse, sparse).item() == 2**62
    with pytest.raises(InputError, match="int32"):
        wide_products(huge.astype(np.int32), huge)


def test_wrong_int8_product_is_found_out(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    torch = pytest.importorskip("torch")
    right = torch._int_mm

    def saturating(a: Any, b: Any, out: Any = None) -> Any:
        # As on processors whose 16-bit sums of two products saturate: right but for the largest counts.
        return right(a, b).clamp(max=127 * 127 * 2000)

    monkeypatch.setattr(torch, "_int_mm", saturating)
    assert engines() == ("float32", "float64")
    choice = _cost.choose(100, 100, events=10_000, pairs=505_000)
    assert choice.kernel == "float32"
    assert "torch._int_mm gave" in choice.reason
    assert "wrong products on cpu" in choice.reason
    rows = counts((9, 50), 2)
    np.testing.assert_array_equal(dense_products(rows, rows), definition(rows, rows))
    with pytest.raises(InputError, match="wrong products"):
        dense_products(rows, rows, engine="int8")


def test_failing_int8_product_is_no_failure(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    torch = pytest.importorskip("torch")

    def absent(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no int8 kernel on this machine\nstack")

    monkeypatch.setattr(torch, "_int_mm", absent)
    assert engines() == ("float32", "float64")
    assert _engines.probe_engines().notes == ("int8: torch._int_mm failed on cpu: no int8 kernel on this machine",)


def test_slow_int8_product_is_not_used(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(_engines, "_seconds", {"int8": 3.0, "float32": 1.0}.__getitem__)
    assert engines() == ("float32", "float64")
    assert _engines.probe_engines().notes == ("int8: 3.0 times as slow as float32 on this processor",)


def test_without_torch_blas_does_it(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert engines() == ("float32", "float64")
    rows = counts((20, 333), 3)
    np.testing.assert_array_equal(lower(rows), np.tril(definition(rows, rows)))
    assert _cost.choose(20, 333, events=6660, pairs=70_000, kernel="float32").reason.endswith(
        "int8: torch is not installed"
    )


def test_cost_model_takes_the_cheaper_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cost, "rate", lambda engine, pixels: 220e9)
    frames, pixels = 2500, 5000

    def chosen(density: float) -> _cost.Choice:
        n = density * frames
        return _cost.choose(frames, pixels, events=int(n * pixels), pairs=int(pixels * n * (n + 1) / 2))

    assert chosen(0.01).kernel == "events"
    assert chosen(0.2).kernel == engines()[0]
    # Reason: both costs with their sizes.
    assert chosen(0.01).reason.startswith("events: 1.6e+06 pairs ~ ")
    assert f", against {engines()[0]}: 1.6e+10 products ~ 0.078 s" in chosen(0.01).reason
    assert chosen(0.2).reason.startswith(f"{engines()[0]}: 1.6e+10 products ~ 0.078 s, against events: ")
    assert chosen(0.2).seconds == pytest.approx(2500 * 2756 / 2 * 5000 / 220e9, rel=1e-3)
    assert _cost.choose(frames, pixels, events=0, pairs=0, kernel="float64").kernel == "float64"
    with pytest.raises(InputError, match="kernel 'int4' is not usable here"):
        _cost.choose(frames, pixels, events=0, pairs=0, kernel="int4")  # pyright: ignore[reportArgumentType]


def test_threads_are_what_the_caller_or_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GBX_THREADS", "3")
    assert thread_count() == 3
    assert thread_count(2) == 2
    monkeypatch.delenv("GBX_THREADS")
    assert thread_count() >= 1
    for bad in ("many", "0", "-1"):
        monkeypatch.setenv("GBX_THREADS", bad)
        with pytest.raises(ConfigError, match=f"GBX_THREADS='{bad}'; needed: a whole number of threads"):
            thread_count()
    with pytest.raises(ConfigError, match="threads=0"):
        thread_count(0)


def test_torch_gets_its_threads_back() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    with torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with torch_threads(None):
        assert torch.get_num_threads() == before
