"""Frames that arrive one after another: what appending them costs at 50,000 pixels."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.counts import SHAPES, write_counts
from benchmarks.rounds import Way, busy_note, clocked, interleave
from benchmarks.table import Table
from gbx_beamline.correlation import LiveTwoTime

PIXELS = 50_000
MEAN = 0.1
BATCHES = (1, 16, 64)
TITLE = f"Live: appending frames of one ROI of {PIXELS} pixels"


def run(folder: Path, *, quick: bool) -> Table:
    """Append a series frame by frame and in micro-batches.

    Args:
        folder: For the counts.
        quick: 500 frames instead of 2,500.
    """
    frames = 500 if quick else 2_500
    file = write_counts(folder, frames, PIXELS, [MEAN])[MEAN]
    counts = np.load(file)
    file.unlink()
    ways: dict[str, Way] = {
        f"{batch} frames at a time" if batch > 1 else "one by one": clocked(partial(append_all, counts, batch))
        for batch in BATCHES
    }
    measured = interleave(ways, 2 if quick else 3, say="live")
    rows = [(name, str(seconds), f"{1e3 * seconds.median / frames:.2f}") for name, seconds in measured.items()]
    return Table(
        title=f"{TITLE}, {frames} frames, {MEAN:g} counts",
        columns=("what", "seconds", "ms a frame"),
        rows=tuple(rows),
        notes=(
            "Mean over the series: appending a frame costs more the more frames stand before it.",
            busy_note(measured.values()),
        ),
    )


def append_all(counts: NDArray[Any], batch: int) -> object:
    """Append (N, y, x) counts in batches."""
    shape = SHAPES[PIXELS]
    counts = counts.reshape(len(counts), *shape)
    running = LiveTwoTime(np.ones(shape, dtype=np.int32), frames=len(counts), shape=shape, dtype=counts.dtype)
    for start in range(0, len(counts), batch):
        running.append(counts[start : start + batch])
    return running
