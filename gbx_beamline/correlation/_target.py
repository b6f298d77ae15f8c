"""Where the rows of a two-time map go as they are computed: the whole map, or cells of it where it is too large."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._kernels import add_cells, add_lags, scale_rows, write_rows, write_scaled
from gbx_beamline.correlation._lag_sums import LagSums, plain_weights


class MapTarget(Protocol):
    """Takes the rows of a map in order of frames, the lower triangle of it."""

    def take(self, products: NDArray[Any], inverse: NDArray[np.float64], scale: float, first: int) -> None:
        """Rows ``first:first + m`` as sums (m, n) of I(t1) I(t2), with the factor (N,) of each frame."""
        ...

    def take_values(self, block: NDArray[np.float32], first: int) -> None:
        """Rows ``first:first + m`` as values (m, n)."""
        ...


class FullMap:
    """Every pair of frames.

    Args:
        g2: (N, N) float32, written in place.
    """

    def __init__(self, g2: NDArray[np.float32]) -> None:
        self.g2 = g2

    def take(self, products: NDArray[Any], inverse: NDArray[np.float64], scale: float, first: int) -> None:
        """See ``MapTarget.take``."""
        write_scaled(products, inverse, scale, first, self.g2)

    def take_values(self, block: NDArray[np.float32], first: int) -> None:
        """See ``MapTarget.take_values``."""
        write_rows(block, first, self.g2)


class CellMap:
    """Area means over square cells of ``width`` frames, and the one-time sums at every lag, which cells would lose.

    Args:
        frames: N; frames beyond the last whole cell count in the one-time sums only.
        width: frames per cell.
        means: (N,) counts per pixel of each frame, filled before its rows are taken; NaN where bad.
    """

    def __init__(self, frames: int, width: int, means: NDArray[np.float64]) -> None:
        cells = frames // width
        self.width = width
        self._means = means
        self._total = np.zeros((cells, cells))
        # At most width^2 values fall into a cell, and cells have at most 64 frames.
        self._entries = np.zeros((cells, cells), dtype=np.uint16)
        self.sums = LagSums(frames)

    def take(self, products: NDArray[Any], inverse: NDArray[np.float64], scale: float, first: int) -> None:
        """See ``MapTarget.take``."""
        self.take_values(scale_rows(products, inverse, scale, first), first)

    def take_values(self, block: NDArray[np.float32], first: int) -> None:
        """See ``MapTarget.take_values``."""
        add_cells(block, first, self.width, self._total, self._entries)
        add_lags(block, self._means, first, self.sums.by_means)
        add_lags(block, plain_weights(self._means), first, self.sums.plain)

    def write(self, g2: NDArray[np.float32]) -> None:
        """Write the finished map (c, c): the mean of each cell over its pairs of different, valid frames, else NaN."""
        for row in range(len(g2)):
            entries = self._entries[row, : row + 1]
            mean = np.full(row + 1, np.nan)
            np.divide(self._total[row, : row + 1], entries, out=mean, where=entries > 0)
            g2[row, : row + 1] = g2[: row + 1, row] = mean
