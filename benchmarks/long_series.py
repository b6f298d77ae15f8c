"""20,000 frames of a 50,000-pixel ROI under a ceiling of memory: what is held, and what is said.

``python -m benchmarks.long_series GIB`` does one and prints bytes, seconds and notes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.memory import peak
from benchmarks.table import Table

FRAMES = 20_000
SHAPE = (200, 250)
CEILINGS = (4.0, 2.0, 1.0)
"""GiB."""


class Pool:
    """Poisson counts cut from a pool at a random place in each frame, read like a series."""

    shape = (FRAMES, *SHAPE)
    dtype = np.dtype(np.uint16)
    frame_time = 0.01

    def __init__(self) -> None:
        self.mask = np.ones(SHAPE, dtype=bool)
        self.present = np.ones(FRAMES, dtype=bool)
        self._pool = np.random.default_rng(0).poisson(0.3, 2 * self.mask.size).astype(np.uint16)

    def blocks(self, region: Any = None, max_bytes: int = 2**23) -> Iterator[tuple[int, NDArray[Any]]]:
        """All frames, whole: the ROI covers them."""
        del region
        rng = np.random.default_rng(1)
        step = max(1, max_bytes // (2 * self.mask.size))
        for start in range(0, FRAMES, step):
            places = rng.integers(0, self.mask.size, min(step, FRAMES - start))
            yield start, np.stack([self._pool[at : at + self.mask.size].reshape(SHAPE) for at in places])


def run(*, quick: bool) -> Table:
    """One process for each ceiling; ``quick`` takes the last only."""
    rows: list[tuple[str, ...]] = []
    for ceiling in CEILINGS[-1:] if quick else CEILINGS:
        command = [sys.executable, "-m", "benchmarks.long_series", str(ceiling)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        rows.append(
            (
                f"{ceiling:g} GiB",
                f"{found['anonymous'] / 2**30:.2f} GiB",
                f"{found['bytes'] / 2**30:.2f} GiB",
                f"{found['seconds']:.0f} s",
                "; ".join(found["notes"]) or "everything in memory",
            )
        )
    return Table(
        title=f"A series of {FRAMES} frames, one ROI of {SHAPE[0] * SHAPE[1]} pixels",
        columns=("ceiling", "held at the end", "peak resident", "time", "said in the result"),
        rows=tuple(rows),
        notes=(
            "Peak resident counts 0.3 GiB of libraries and what the kernel caches of the temporary file.",
            "Held at the end leaves the file out.",
        ),
    )


def main() -> None:
    """Correlate the series under one ceiling."""
    from gbx_beamline.correlation import two_time

    began = time.monotonic()
    tt = two_time(Pool(), np.ones(SHAPE, dtype=np.int32), max_bytes=int(float(sys.argv[1]) * 2**30))
    seconds = time.monotonic() - began
    print(json.dumps({"bytes": peak(), "anonymous": _anonymous(), "seconds": seconds, "notes": tt.notes}))


def _anonymous() -> int:
    """Bytes of this process that no file stands behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) * 1024


if __name__ == "__main__":
    main()
