"""Exact integer products of count rows: ``sum_p a[i, p] b[j, p]``.

All engines give the same integers; they differ in speed only. Counts of these rows go from 0 to 127;
``wide_products`` takes any.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np

from gbx_beamline.correlation._engines import (
    INT32_PIXELS,
    LARGEST,
    Counts,
    Engine,
    Integers,
    device_blocks,
    engines,
    multiply,
    usable,
)
from gbx_beamline.correlation._wide import wide_products
from gbx_beamline.errors import InputError

__all__ = ["dense_products", "engines", "product_dtype", "symmetric_products", "wide_products"]

HEIGHT: dict[Engine, int] = {"cuda-int8": 2048, "int8": 256, "float32": 256, "float64": 256}
"""Rows per block: lower blocks skip more of the upper triangle, higher ones keep the matrix units busier. 128 to 320
measured equal (within 3 %) from 500 to 50,000 pixels on a Zen 4 processor, where skipping saves 42 % of the time."""


def product_dtype(pixels: int) -> type[np.int32] | type[np.int64]:
    """Type that holds every sum over this many pixels of products of counts up to 127."""
    return np.int32 if pixels <= INT32_PIXELS else np.int64


def dense_products(
    a: Counts,
    b: Counts,
    *,
    engine: Engine | None = None,
    threads: int | None = None,
    largest: int | None = None,
    pixel_block: int | None = None,
    out: Integers | None = None,
) -> Integers:
    """Multiply every row of ``a`` with every row of ``b``.

    Args:
        a: (m, P) uint8 counts from 0 to 127; rows may lie apart, pixels must be contiguous (else they are copied).
        b: (n, P) likewise.
        engine: One of ``engines()``; None = the best.
        threads: For int8: threads of torch; None = as torch is set. BLAS keeps its own number.
        largest: Largest count of both where the caller knows it; None looks. A too small one gives wrong products.
        pixel_block: Most pixels to multiply at a time; None = as many as stay exact.
        out: (m, n) contiguous array of ``product_dtype(P)`` to write to; None = a new one.

    Returns:
        (m, n) exact sums over pixels, ``product_dtype(P)``.

    Raises:
        InputError: rows that are not uint8 or not equally long, a count above 127, or an engine that is not usable.
    """
    a, b = _checked(a), _checked(b)
    if a.shape[1] != b.shape[1]:
        raise InputError(
            f"rows of {a.shape[1]} and of {b.shape[1]} pixels", needed="the same pixels", action="pick one ROI"
        )
    largest = _checked_largest(max(_largest(a), _largest(b)) if largest is None else largest)
    chosen = usable(engine, a.nbytes + b.nbytes)
    dtype = product_dtype(a.shape[1])
    if out is None:
        out = cast("Integers", np.empty((len(a), len(b)), dtype=dtype))
    elif out.shape != (len(a), len(b)) or out.dtype != dtype or not out.flags.c_contiguous:
        raise InputError(
            f"out is {out.dtype} of shape {out.shape}",
            needed=f"contiguous {np.dtype(dtype)} of shape {(len(a), len(b))}",
            action="let it be made",
        )
    multiply(a, b, chosen, largest**2, threads, out, pixel_block)
    return out


def symmetric_products(
    rows: Counts,
    *,
    engine: Engine | None = None,
    threads: int | None = None,
    height: int | None = None,
    largest: int | None = None,
    pixel_block: int | None = None,
) -> Iterator[tuple[int, int, Integers]]:
    """Multiply the rows with each other: lower triangle, block of rows by block of rows.

    What lies above the diagonal block is the mirror image of what came before, and is not computed.

    Args:
        rows: (N, P) uint8 counts from 0 to 127; rows may lie apart.
        engine: As in ``dense_products``.
        threads: As in ``dense_products``.
        height: Rows per block; None = what measured fastest.
        largest: As in ``dense_products``.
        pixel_block: As in ``dense_products``; not for cuda-int8.

    Yields:
        ``i0, i1, products``: products (i1 - i0, i1) of rows[i0:i1] with rows[:i1], ``product_dtype(P)``. The array
        is overwritten by the next block: use it up or copy it.

    Raises:
        InputError: as ``dense_products``.
    """
    rows = _checked(rows)
    largest = _checked_largest(_largest(rows) if largest is None else largest)
    chosen = usable(engine, rows.nbytes)
    step = height or HEIGHT[chosen]
    if step < 1:
        raise InputError(f"height {height}", needed="at least one row", action="leave it out")
    return _row_blocks(rows, chosen, step, largest, threads, pixel_block)


def _row_blocks(
    rows: Counts, engine: Engine, height: int, largest: int, threads: int | None, pixel_block: int | None
) -> Iterator[tuple[int, int, Integers]]:
    count, pixels = rows.shape
    buffer = np.empty(min(height, count) * count, dtype=product_dtype(pixels))
    if engine == "cuda-int8":
        yield from device_blocks(rows, height, "cuda", buffer.dtype)
        return
    for i0 in range(0, count, height):
        i1 = min(i0 + height, count)
        block = cast("Integers", buffer[: (i1 - i0) * i1].reshape(i1 - i0, i1))
        multiply(rows[i0:i1], rows[:i1], engine, largest**2, threads, block, pixel_block)
        yield i0, i1, block


def _checked(rows: Counts) -> Counts:
    if rows.ndim != 2 or rows.dtype != np.uint8:
        raise InputError(
            f"counts of type {rows.dtype} and shape {rows.shape}",
            needed="uint8 of shape (frames, pixels)",
            action="limit counts to 127 and send the rest through wide_products",
        )
    apart = rows.strides[1] == 1 and rows.strides[0] >= rows.shape[1]
    return rows if rows.flags.c_contiguous or apart else np.ascontiguousarray(rows)


def _largest(rows: Counts) -> int:
    return int(rows.max(initial=0))


def _checked_largest(largest: int) -> int:
    if not 0 <= largest <= LARGEST:
        raise InputError(
            f"a count of {largest}",
            needed=f"counts up to {LARGEST}",
            action="send pixels with larger counts through wide_products",
        )
    return largest
