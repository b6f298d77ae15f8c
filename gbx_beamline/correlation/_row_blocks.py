"""Which kernel multiplies one ROI, and its products block of rows by block of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from gbx_beamline.correlation._correlator import RoiCorrelator
from gbx_beamline.correlation._cost import Kernel, choose
from gbx_beamline.correlation._events import event_blocks, survey
from gbx_beamline.correlation._memory import ROW_BLOCK
from gbx_beamline.correlation._products import symmetric_products
from gbx_beamline.correlation.threads import thread_count

_LOOKED_AT = 128
"""Frames whose density tells whether events are worth counting at all."""

_CROWDED = 0.3
"""Events per pixel and frame, far beyond where event lists pay."""

Blocks = Iterator[tuple[int, int, NDArray[Any] | None]]


def row_blocks_of(correlator: RoiCorrelator, *, kernel: Kernel | None, threads: int | None) -> tuple[str, Blocks]:
    """The kernel with its reason in words, and ``first, last, products``; None where the correlator multiplies itself.

    Args:
        correlator: of the ROI.
        kernel: take this one; None = the cheapest.
        threads: that may multiply; None = as many as there are.

    Raises:
        InputError: a kernel that is not usable here.
    """
    rows = correlator.rows
    frames, pixels = rows.shape
    workers = thread_count(threads)
    if not correlator.in_bytes:
        if kernel is not None:
            choose(frames, pixels, events=0, pairs=0, kernel=kernel)  # an unknown one is refused all the same
        return _own(correlator), (
            (first, min(first + ROW_BLOCK, frames), None) for first in range(0, frames, ROW_BLOCK)
        )
    found = survey(rows, frames=_LOOKED_AT)
    full = kernel == "events" or (kernel is None and found.events <= _CROWDED * frames * pixels)
    if full:
        found = survey(rows)
    choice = choose(frames, pixels, events=found.events, pairs=found.pairs, kernel=kernel, threads=workers)
    if choice.kernel == "events":
        return choice.reason, event_blocks(rows, found=found, threads=workers)
    return choice.reason, symmetric_products(
        rows, engine=choice.kernel, threads=workers, largest=found.largest if full else None
    )


def _own(correlator: RoiCorrelator) -> str:
    if correlator.rows.dtype.kind == "f":
        return "float64: values are real numbers"
    return "int8 or its stand-in in each static bin" if correlator.binned else "float64: pixels are weighted one by one"
