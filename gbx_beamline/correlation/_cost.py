"""Which kernel multiplies one ROI's rows fastest: what each would cost, from what is in the rows.

A dense product costs N (N + height) / 2 * P multiplications whatever the counts, at a rate that is measured once per
process on a small product. The event kernel costs one look at every count, one step per event and one per pair of
events in a pixel; its rates are constants, measured on one core of a Zen 4 processor (2,500 frames, 500 to 50,000
pixels, 0.003 to 0.1 counts per pixel; within 30 %). All kernels give the same integers, so a wrong guess costs time
and nothing else. With the rates of that processor (440e9 int8 operations a second) the two cost the same near 0.08
events per pixel and frame at N = 2500 (0.065 at 50,000 pixels); with matrix units four times as fast, near 0.03.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from gbx_beamline.correlation._engines import Engine, engines, probe_engines, seconds, usable
from gbx_beamline.correlation._products import HEIGHT
from gbx_beamline.errors import InputError

Kernel = Literal["cuda-int8", "int8", "float32", "float64", "events"]

_PER_COUNT = 0.15e-9
"""s to look at one count twice: survey and scan."""
_PER_EVENT = 15e-9
"""s to append one event and to start on its pixel's list."""
_PER_PAIR = 0.6e-9
"""s to add one pair of events of a pixel, from lists that are in cache."""
_PER_PAIR_PER_EVENT = 0.045e-15
"""s more for every event there is: the lists leave the caches one by one."""
_PER_PAIR_MOST = 1.5e-9
"""s to add one pair at worst."""
_PER_SUM = 0.1e-9
"""s to empty one sum of the lower triangle."""
_ROWS = 512
"""Frames of the product on which rates are measured, a few ms each."""
_PIXELS = (512, 4096)
"""Pixels of those products: short rows leave the matrix units waiting."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The kernel for one ROI, and why."""

    kernel: Kernel
    """Engine of ``symmetric_products``, or "events" for ``event_blocks``."""
    seconds: float
    """Estimated s, on the threads asked for."""
    reason: str
    """What was compared, in words with numbers; a faster engine that is out of use is named."""


def choose(
    frames: int,
    pixels: int,
    *,
    events: int,
    pairs: int,
    kernel: Kernel | None = None,
    threads: int = 1,
) -> Choice:
    """Choose the kernel that multiplies (frames, pixels) rows with each other.

    Args:
        frames: N.
        pixels: P of the ROI.
        events: Counts that are not zero (``Survey.events``).
        pairs: Sum over pixels of n (n + 1) / 2 for n events (``Survey.pairs``).
        kernel: Take this one; None = the cheapest.
        threads: Threads that either kernel may use.

    Returns:
        The choice.

    Raises:
        InputError: a kernel that is not usable here.
    """
    notes = "".join(f"; {note}" for note in probe_engines().notes)
    if kernel is not None and kernel != "events" and kernel not in engines():
        raise InputError(
            f"kernel {kernel!r} is not usable here{notes}",
            needed=" or ".join(("events", *engines())),
            action="leave the choice to the cost model",
        )
    best = usable(None, frames * pixels)
    sparse, dense = event_seconds(frames, pixels, events, pairs) / threads, dense_seconds(frames, pixels, best, threads)
    if kernel is not None:
        known = sparse if kernel == "events" else dense_seconds(frames, pixels, kernel, threads)
        return Choice(kernel=kernel, seconds=known, reason=f"{kernel}: as asked for{notes}")
    texts = {
        "events": f"events: {pairs:.2g} pairs ~ {sparse:.2g} s",
        best: f"{best}: {frames * (frames + 1) / 2 * pixels:.2g} products ~ {dense:.2g} s",
    }
    chosen: Kernel = "events" if sparse < dense else best
    other = best if chosen == "events" else "events"
    return Choice(kernel=chosen, seconds=min(sparse, dense), reason=f"{texts[chosen]}, against {texts[other]}{notes}")


def event_seconds(frames: int, pixels: int, events: int, pairs: int) -> float:
    """s that the event kernel takes on one thread."""
    per_pair = min(_PER_PAIR + events * _PER_PAIR_PER_EVENT, _PER_PAIR_MOST)
    return frames * pixels * _PER_COUNT + events * _PER_EVENT + pairs * per_pair + frames * (frames + 1) / 2 * _PER_SUM


def dense_seconds(frames: int, pixels: int, engine: Engine, threads: int = 1) -> float:
    """s that a dense engine takes for the lower triangle, from its measured rate.

    BLAS and a GPU keep their own number of threads: ``threads`` counts for int8 only.
    """
    height = min(HEIGHT[engine], frames)
    work = frames * (frames + height) / 2 * pixels
    return (
        work
        / rate(engine, min(_PIXELS, key=lambda known: abs(np.log(known / max(1, pixels)))))
        / (threads if engine == "int8" else 1)
    )


@lru_cache(maxsize=16)
def rate(engine: Engine, pixels: int) -> float:
    """Multiplications per second of an engine on rows of this many pixels; measured once per process, best of three."""
    rows = np.ones((_ROWS, pixels), dtype=np.uint8)
    return _ROWS**2 * pixels / min(seconds(engine, rows, threads=1) for _ in range(3))
