"""A scan's traces on the time cells of a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.records import Bools
from gbx_beamline.simulation.measurement._traces import Traces


@dataclass(frozen=True, kw_only=True)
class ScanCells:
    """S scans on n cells of the same number of frames. Means are over a cell's valid frames."""

    frames: int
    """Per cell."""
    good: NDArray[np.int64]
    """(S, n) valid frames."""
    weights: NDArray[np.float64]
    """(S, n, frames) share of each frame in its cell's mean; 0 where it is invalid."""
    time: NDArray[np.float64]
    """(S, n) s; the cell's middle where no frame is valid."""
    displacement: NDArray[np.float64]
    """(S, n) of the beam, in standard deviations of its profile."""
    visibility: NDArray[np.float64]
    """(S, n) without the background."""
    stripes: NDArray[np.float64]
    """(S, n) 1 + e of the monitor; NaN where no frame is valid."""
    shot: NDArray[np.float64]
    """(S, n) variance of the mean of a pixel's counts over their expectation, times its ``mean_counts``."""

    @property
    def half(self) -> Bools:
        """(S, n) at least half of the frames are valid, as maps of pixel groups want it."""
        return 2 * self.good >= self.frames


def scan_cells(traces: Sequence[Traces], size: int) -> ScanCells:
    """Traces of scans of the same number N of frames on ``size`` cells of ``N // size`` frames; the rest is dropped."""
    frames = len(traces[0].t) // size

    def stacked(name: str) -> NDArray[np.float64]:
        values = np.stack([getattr(one, name)[: size * frames] for one in traces])
        return values.reshape(len(traces), size, frames)

    valid = stacked("valid")
    good = valid.sum(axis=2)
    # An invalid cell is NaN in the end; until then it is computed like the others, from all of its frames.
    used = np.where((good > 0)[..., None], valid, True)
    weights = used / used.sum(axis=2, keepdims=True)

    def mean(name: str) -> NDArray[np.float64]:
        return (weights * stacked(name)).sum(axis=2)

    return ScanCells(
        frames=frames,
        good=good,
        weights=weights,
        time=mean("t"),
        displacement=mean("displacement"),
        visibility=mean("visibility"),
        stripes=np.where(good > 0, 1.0 + mean("monitor"), np.nan),
        # Each frame is divided by its own mean, so a bright one counts no more than a dim one.
        shot=(weights**2 / stacked("flux")).sum(axis=2),
    )
