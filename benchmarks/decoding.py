"""Decoding of Eiger frames as ``decode.py`` measures it, as a table."""

from __future__ import annotations

from benchmarks.decode import BASELINE, measure
from benchmarks.table import Table

MEANS = (0.1, 1.0)


def run(*, quick: bool) -> Table:
    """Time a frame of each way for dim and bright frames."""
    frames, rounds = (32, 3) if quick else (64, 7)
    medians = {mean: measure(mean, frames=frames, rounds=rounds) for mean in MEANS}
    rows: list[tuple[str, ...]] = []
    for name in medians[MEANS[0]]:
        cells = [name]
        for mean in MEANS:
            seconds = medians[mean][name]
            cells += [f"{1e3 * seconds:.2f}", f"{medians[mean][BASELINE] / seconds:.2f}"]
        rows.append(tuple(cells))
    return Table(
        title="Decoding Eiger 4M frames (uint32, bitshuffle-LZ4)",
        columns=("what", *(column for mean in MEANS for column in (f"ms a frame, {mean:g} counts", "h5py / this"))),
        rows=tuple(rows),
        notes=(f"Processor time of one thread, median of {rounds} interleaved rounds of {frames} frames.",),
    )
