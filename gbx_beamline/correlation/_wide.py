"""Exact products of counts of any size, for the few pixels that are too bright for one byte."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._engines import FLOAT_PIXELS
from gbx_beamline.errors import InputError


def wide_products(a: NDArray[Any], b: NDArray[Any], *, pixel_block: int = FLOAT_PIXELS) -> NDArray[np.int64]:
    """Multiply rows of counts of any size, exactly.

    float64 BLAS over blocks of pixels whose sums stay below 2**53, added as 64-bit integers; plain 64-bit integers
    where a single product does not fit.

    Args:
        a: (m, P) unsigned integer counts.
        b: (n, P) likewise.
        pixel_block: Most pixels to convert at a time.

    Returns:
        (m, n) int64 sums over pixels.

    Raises:
        InputError: types other than unsigned integers, rows of different lengths, or counts so large that a sum
            could exceed 2**63 - 1.
    """
    for each in (a, b):
        if each.ndim != 2 or each.dtype.kind != "u" or a.shape[1] != b.shape[1]:
            raise InputError(
                f"counts of type {each.dtype} and shape {each.shape}",
                needed="unsigned integers, (rows, the same pixels)",
                action="pick the counts of one ROI",
            )
    total = np.zeros((len(a), len(b)), dtype=np.int64)
    if not (a.size and b.size):
        return total
    product = int(a.max()) * int(b.max())
    # No row of either can add up to more than this; in Python's integers, which have no largest.
    bound = min(product * a.shape[1], *(_bound(*pair) for pair in ((a, b), (b, a))))
    if bound > 2**63 - 1:
        raise InputError(
            f"counts up to {max(int(a.max()), int(b.max()))} whose products could add up to {bound:.3g}",
            needed="sums of products up to 2^63 - 1",
            action="mask the pixels that are no photon counts",
        )
    kind: type[np.float64] | type[np.int64] = np.float64 if product <= 2**53 else np.int64
    step = max(1, min(pixel_block, 2**53 // max(1, product)))
    for start in range(0, a.shape[1], step):
        left, right = (each[:, start : start + step].astype(kind) for each in (a, b))
        total += (left @ right.T).astype(np.int64)
    return total


def _bound(a: NDArray[Any], b: NDArray[Any]) -> int:
    """Largest count of ``a`` times the largest row sum of ``b``."""
    sums = b.sum(axis=1, dtype=np.float64)
    # Rounded up by more than the rounding of the sum.
    return int(a.max()) * (int(float(sums.max()) * (1 + 1e-9)) + 1)
