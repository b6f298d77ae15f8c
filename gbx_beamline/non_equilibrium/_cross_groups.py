"""Products between the maps of pixel groups, in which noise that is independent between groups averages to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation.diagonals import by_lag, lag_means

DEGREE = 3
"""Highest power of age that counts as ageing; higher ones, and jumps, as intermittent."""

FEWEST_CELLS = 10
"""Off the diagonal, valid in every group: with fewer there is nothing to compare."""


@dataclass(frozen=True, kw_only=True)
class CrossProducts:
    """Means over cells of products between groups; the entries (a, a) hold noise and are not to be used."""

    drift: NDArray[np.float64]
    """(K, K) ``<R_a R_b>``, R = C - TTI."""
    structure: NDArray[np.float64]
    """(K, K) ``<d_a d_b>``, d = C - <C>."""
    ageing: NDArray[np.float64]
    """(K, K) the part of ``drift`` that is smooth in age."""
    cells: int
    """Cells above the diagonal that took part."""


def cross_products(maps: NDArray[np.floating[Any]], min_pairs: int) -> CrossProducts:
    """Drift and structure of the maps of K groups, multiplied with each other.

    The means of Eq. 1 and of Eq. 3 are taken within each group, over the cells that are valid in all of them: so the
    product of two groups has the expectation of the same product of the noiseless map.

    Args:
        maps: (K, n, n) symmetric, NaN where there is no value; the diagonal is not used.
        min_pairs: diagonals with fewer valid cells than this are left out.

    Returns:
        Sums of zero with ``cells`` = 0 where nothing is valid.
    """
    count, size = len(maps), maps.shape[-1]
    valid = np.isfinite(by_lag(maps.min(axis=0)))  # a NaN of any group stays
    valid[:, 0] = False
    valid &= valid.sum(axis=0) >= min_pairs
    cells = int(valid.sum())
    if cells < FEWEST_CELLS:
        zero = np.zeros((count, count))
        return CrossProducts(drift=zero, structure=zero, ageing=zero, cells=0)
    drift, structure = np.empty((count, cells)), np.empty((count, cells))
    smooth = np.empty((count, DEGREE, size))
    ages = _age_polynomials(valid)
    for group, square in enumerate(maps):
        sheared = np.where(valid, by_lag(square), np.nan)
        residual = np.where(valid, sheared - lag_means(sheared)[0], 0.0)
        drift[group] = residual[valid]
        structure[group] = sheared[valid] - sheared[valid].mean()
        smooth[group] = np.einsum("dtl,tl->dl", ages, residual)
    smooth = smooth.reshape(count, -1)
    return CrossProducts(
        drift=drift @ drift.T / cells,
        structure=structure @ structure.T / cells,
        ageing=smooth @ smooth.T / cells,
        cells=cells,
    )


def _age_polynomials(valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(DEGREE, n, n) polynomials in t, for each lag orthonormal over its valid cells and to a constant.

    Along a diagonal t and age (t1 + t2) / 2 differ by a constant. A diagonal too short for a degree has zeros there,
    and at least one cell is left to what is not smooth.
    """
    size = len(valid)
    pairs = valid.sum(axis=0)
    time = np.where(valid, np.linspace(-1.0, 1.0, size)[:, None], 0.0)
    basis = [np.divide(valid, np.sqrt(pairs), out=np.zeros(valid.shape), where=valid)]
    for degree in range(1, DEGREE + 1):
        power = time * basis[-1]
        # Twice: once leaves rounding that is not small against a short diagonal's own spread.
        for _ in range(2):
            for lower in basis:
                power -= lower * (lower * power).sum(axis=0)
        norm = np.sqrt((power**2).sum(axis=0))
        known = (pairs >= degree + 2) & (norm > 1e-12)
        basis.append(np.divide(power, norm, out=np.zeros(valid.shape), where=known[None, :] & valid))
    return np.array(basis[1:])
