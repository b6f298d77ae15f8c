"""Maps that grow with the scan, as small as a screen needs them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation.diagonals import cell_means


class GrowingPreview:
    """Area means of two-time maps over square cells of a whole number of frames.

    The cell follows from the frames that are expected, so it stays while the maps grow, and only rows that are new are
    averaged. As in ``cell_means`` the diagonal, which holds shot noise, takes no part: a cell on it is the mean of its
    other entries, and NaN where a cell is one frame.

    Args:
        rois: Q.
        frames: N expected.
        most: most cells along an axis.
    """

    def __init__(self, rois: int, frames: int, most: int = 512) -> None:
        self.frames_per_cell = frames // (most + 1) + 1
        cells = frames // self.frames_per_cell
        self._means = np.empty((rois, cells, cells), dtype=np.float32)
        self._done = 0

    def update(self, g2: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take the maps so far.

        Args:
            g2: (Q, m, m), the same for frames that were there before.

        Returns:
            (Q, n, n) float32 copy, n = m // frames_per_cell.
        """
        first, cells = self._done, g2.shape[-1] // self.frames_per_cell
        if cells > first:
            for square, means in zip(g2, self._means, strict=True):
                new = cell_means(square, self.frames_per_cell, first)
                means[first:cells, :cells] = new
                means[:cells, first:cells] = new.T
            self._done = cells
        return self._means[:, : self._done, : self._done].copy()
