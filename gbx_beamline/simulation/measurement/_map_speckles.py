"""How many independent speckles a patch of pixels holds, for each kind of noise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.special
from numpy.typing import NDArray

DIAMETER = 1.029
"""Of the pupil, in units of 1 / speckle_size: its speckles' intensity autocorrelation falls to 1/2 at half a size."""

FAR = 40.0
"""Speckle sizes up to which the autocorrelation is summed."""

LARGEST_ALIASED = 2.2
"""Speckle size, pixels: beyond, the sum over pixels equals the integral for every power from 2."""


def sharing(
    speckle_size: NDArray[np.float64], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Pixels that share one speckle: ``(1 / P) sum_pp' mu(p - p')^k``, k = 2, 3, 4.

    mu is the field's autocorrelation behind a circular pupil, ``2 J1(x) / x``, x = pi r 1.029 / speckle_size (Goodman,
    Speckle Phenomena in Optics, sec. 4.4 and 5.4). A sum of P equally noisy pixels is as noisy as one of P over this
    number of independent pixels: k = 2 holds for their intensities, k = 4 for products of two independent modes.

    Args:
        speckle_size: (...) full width at half maximum, pixels; at most 1: pixels are independent.
        rows: (...) of the patch.
        columns: (...) of the patch.

    Returns:
        (3, ...) at least 1.
    """
    size = np.maximum(speckle_size, 1.0)
    sizes, lattice = _lattice_sums()
    lengths, inside = _edge_losses()
    found = np.empty((3, *np.shape(size)))
    for k in range(3):
        endless = np.interp(size, sizes, lattice[k] / sizes**2) * size**2
        for side in (rows, columns):
            endless = endless * np.interp(np.log(side / size), np.log(lengths), inside[k])
        found[k] = np.maximum(endless, 1.0)
    return np.where(speckle_size > 1.0, found, 1.0)


def _mu(r: NDArray[np.float64], speckle_size: float) -> NDArray[np.float64]:
    x = np.pi * DIAMETER / speckle_size * np.maximum(r, 1e-9)
    return 2.0 * scipy.special.j1(x) / x


@lru_cache(maxsize=1)
def _lattice_sums() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Speckle sizes and (3, sizes) sums of mu^k over all pixels of an endless patch."""
    sizes = np.linspace(1.0, LARGEST_ALIASED, 25)
    sums = np.empty((3, len(sizes)))
    for column, size in enumerate(sizes):
        side = np.arange(-np.ceil(FAR * size), np.ceil(FAR * size) + 1)
        mu = _mu(np.hypot(side[:, None], side[None, :]), float(size))
        sums[:, column] = [(mu**k).sum() for k in (2, 3, 4)]
    # Far out the sum of mu^2 goes on for ever; its limit is one over the pupil's area.
    sums[0] = 4.0 * sizes**2 / (np.pi * DIAMETER**2)
    return sizes, sums


@lru_cache(maxsize=1)
def _edge_losses() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lengths of a side in speckle sizes and (3, lengths) share of the endless sum that is left: speckles at the edge
    have fewer pixels inside."""
    lengths = np.geomspace(1.0, 4.0 * FAR, 40)
    step = 0.1
    side = np.arange(-FAR, FAR + step / 2, step)
    mu = _mu(np.hypot(side[:, None], side[None, :]), 1.0)
    inside = np.empty((3, len(lengths)))
    for row, k in enumerate((2, 3, 4)):
        marginal = (mu**k).sum(axis=0)
        overlap = np.maximum(1.0 - np.abs(side) / lengths[:, None], 0.0)
        inside[row] = overlap @ marginal / marginal.sum()
    return lengths, inside
