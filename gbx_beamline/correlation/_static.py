"""Uneven intensity inside a q-ROI: what it adds to the baseline of g2."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

SMOOTHING = 8.0
"""Standard deviation of the Gaussian, pixels: a kernel of 4 pi 8^2 = 800 pixels against a few for a speckle."""

REACH = int(3 * SMOOTHING)
"""Pixels beyond which the Gaussian is cut."""

TILE = 128
"""Rows and columns smoothed at once, so that the work space does not grow with the detector."""

TILE_PIXELS = (TILE + 2 * REACH) ** 2
"""Most pixels that one tile and its neighbours have."""

SLOPE_FLOOR = 0.1
"""Square pixels added to the spread of the neighbours: a ROI one pixel wide has no slope across it."""


def static_baseline(y: NDArray[np.int64], x: NDArray[np.int64], total: NDArray[np.float64]) -> float:
    """``<S^2> / <S>^2`` over the pixels of a ROI, S its time-averaged image smoothed over many speckles.

    A static profile s(p) under speckles makes ``C = <s^2> / <s>^2 (1 + beta |f|^2)``. Taking the time average itself
    for s would swallow the contrast of a sample that hardly moves, so it is smoothed over about 800 pixels. Of such
    a sample about (speckle area / 800 pixels) of the contrast is still taken for profile, more in a ROI that is
    narrower than the smoothing.

    Args:
        y: (P,) row of each pixel.
        x: (P,) column.
        total: (P,) counts added over the valid frames, at least one of them positive.

    Returns:
        1 for even intensity.
    """
    smooth = smoothed(y, x, total / total.mean())
    return float(np.mean(smooth**2) / np.mean(smooth) ** 2)


def smoothed(y: NDArray[np.int64], x: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit a plane to the Gaussian-weighted neighbours of each pixel and take its value there.

    Only the listed pixels count as neighbours. A plane, not a mean: at the rim of a ROI, and across a narrow ring,
    neighbours lie to one side and a mean would flatten the profile (normalised differential convolution, Knutsson
    and Westin, CVPR 1993; local linear regression, Fan and Gijbels, 1996). A linear profile is reproduced exactly
    but for ``SLOPE_FLOOR``.

    Args:
        y: (P,) row of each pixel.
        x: (P,) column.
        values: (P,).

    Returns:
        (P,).
    """
    out = np.empty_like(values)
    for top in range(int(y.min()), int(y.max()) + 1, TILE):
        band = np.flatnonzero((y >= top - REACH) & (y < top + TILE + REACH))
        if not band.size:
            continue
        for left in range(int(x[band].min()), int(x[band].max()) + 1, TILE):
            near = band[(x[band] >= left - REACH) & (x[band] < left + TILE + REACH)]
            inner = (y[near] >= top) & (y[near] < top + TILE) & (x[near] >= left) & (x[near] < left + TILE)
            if inner.any():
                out[near[inner]] = _planes(y[near], x[near], values[near], inner)
    return out


def _planes(
    y: NDArray[np.int64], x: NDArray[np.int64], values: NDArray[np.float64], inner: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(inner.sum(),) value of the local plane at the inner pixels of one tile."""
    y, x = y - y.min(), x - x.min()
    # Which pixels exist, and their values: the same sums over both.
    images = np.zeros((2, int(y.max()) + 1, int(x.max()) + 1))
    images[0, y, x], images[1, y, x] = 1.0, values
    offset = np.arange(-REACH, REACH + 1, dtype=np.float64)
    kernels = [np.exp(-0.5 * (offset / SMOOTHING) ** 2) * offset**power for power in range(3)]
    sums: dict[tuple[int, int], NDArray[np.float64]] = {}
    for down in range(3):
        columns = correlate1d(images, kernels[down], axis=1, mode="constant")
        for across in range(3 - down):
            moment = correlate1d(columns, kernels[across], axis=2, mode="constant")
            sums[down, across] = moment[:, y[inner], x[inner]]
    weight = {powers: moment[0] for powers, moment in sums.items()}
    floor = SLOPE_FLOOR * weight[0, 0]
    matrix = np.array(
        [
            [weight[0, 0], weight[1, 0], weight[0, 1]],
            [weight[1, 0], weight[2, 0] + floor, weight[1, 1]],
            [weight[0, 1], weight[1, 1], weight[0, 2] + floor],
        ]
    )
    right = np.array([sums[0, 0][1], sums[1, 0][1], sums[0, 1][1]])
    return np.linalg.solve(matrix.transpose(2, 0, 1), right.T[:, :, None])[:, 0, 0]
