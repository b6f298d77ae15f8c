"""The numbers that networks see of maps on time cells."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.learning._input_cells import RoiFacts

REFERENCE_CONTRAST = 0.14
"""The paper's: unit of every correlation."""

REFERENCE_Q = 4.5e8
"""1/m, the paper's."""

CHANNELS = ("correlation", "residual", "known")
"""``c``, 0 where unknown; ``asinh((c - TTI) / sigma)``, 0 where unknown; 1 where known, so never on the diagonal. TTI
is the mean of c along each diagonal (Eq. 1). asinh is the number itself where it is noise, its logarithm where it is
large: a clip would make strong drifts of bright scans alike."""

CURVES = ("baseline", "log10_error", "log10_decay", "log10_noise_of_decay")
"""In bins of lag: TTI; log10 of its standard error from the scatter within each bin, taken as independent; log10 of by
how much of its level at the first lags TTI has fallen, and of that number's own noise, which is where it ends. Small
decays go as ``q^2 D tau``: D shows as a shift of the logarithm, which a network need not find for itself."""

BINS = 24


FEWEST_CELLS = 32
"""Per side of a map: with fewer there are no 24 bins of lags."""


@lru_cache(maxsize=4)
def lag_bins(cells: int) -> tuple[int, ...]:
    """(L + 1,) borders: bin b holds the lags from border b to the one before border b + 1, in cells.

    They widen as a logarithm would, where that leaves a bin at least one lag.
    """
    wanted = np.rint(np.geomspace(1.0, cells, BINS + 1)).astype(np.int64)
    rising = np.arange(BINS + 1)
    return tuple((np.maximum.accumulate(wanted - rising) + rising).tolist())


SCALARS = (
    "log10_sigma",
    "log10_pixels",
    "log10_counts_per_cell",
    "q",
    "first_lags",
    "last_lags",
    "log10_residual",
    "log10_smooth_residual",
    "log10_white_noise",
    "log10_speckle_size",
    "speckle_size_known",
    "static_baseline",
    "known",
    "window",
    "temperature",
    "inverse_temperature",
)
"""Per q-ROI. sigma as the contract has it; q / 4.5e8 1/m - 1; mean c of the first two and of the last third of lags;
log10 of 1 + the residual's mean square over sigma^2; the same of its products between neighbours along the diagonal,
in which noise of single cells averages to nothing; log10 of the noise of single cells over sigma; log10 of the
speckle's size in pixels, 0 and a flag of 0 where it is not known; 100 (static_baseline - 1); share of known cells;
window / 2500 s - 1; (T - 400 K) / 100 K; 1000 K / T - 2.5."""

SMALLEST = 1e-3
"""Of a mean square over sigma^2 or an error, where its logarithm ends."""

LOWEST_LEVEL = 0.02
"""Of TTI at the first lags, in units of the reference contrast: below there is no decay to be seen."""

WORST_ERROR = 10.0
"""Standard error of a bin of lags without a known cell."""


@lru_cache(maxsize=4)
def _upper(cells: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Indices into a flattened map of the cells above its diagonal, sorted by lag, of the next cells along their
    diagonals (themselves at the end of one), and where each lag begins."""
    row, column = np.triu_indices(cells, 1)
    order = np.lexsort((row, column - row))
    row, column = row[order], column[order]
    last = column == cells - 1
    flat = row * cells + column
    return flat, np.where(last, flat, flat + cells + 1), np.searchsorted(column - row, np.arange(1, cells))


def sigma_of(facts: RoiFacts) -> NDArray[np.float64]:
    """(R,) noise of a cell in units of c; see ``contract``."""
    beta, mu = REFERENCE_CONTRAST, facts.counts
    return np.sqrt((1.0 / mu**2 + 2.0 * beta / mu) / facts.pixels) / beta


def roi_features(
    g2: NDArray[np.floating], facts: RoiFacts
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """What networks see of R maps, each by itself.

    Args:
        g2: (R, n, n) symmetric, NaN where unknown; the diagonal is not looked at.
        facts: of the same maps.

    Returns:
        (R, C, n, n) channels, (R, 4, L) curves and (R, S) scalars, float32, finite.
    """
    count, cells = g2.shape[:2]
    flat, following, starts = _upper(cells)
    sigma = sigma_of(facts)
    c = g2.reshape(count, -1)[:, flat].astype(np.float64)
    c = (c / facts.static_baseline[:, None] - 1.0) / REFERENCE_CONTRAST
    known = np.isfinite(c)
    c[~known] = 0.0

    pairs = np.add.reduceat(known, starts, axis=1, dtype=np.int64)
    total = np.add.reduceat(c, starts, axis=1)
    tti = np.divide(total, pairs, out=np.zeros_like(total), where=pairs > 0)
    lengths = np.diff(np.append(starts, len(flat)))
    residual = np.where(known, c - np.repeat(tti, lengths, axis=1), 0.0)

    channels = np.zeros((count, len(CHANNELS), cells * cells), dtype=np.float32)
    mirrored = flat % cells * cells + flat // cells
    scaled = np.arcsinh(residual / sigma[:, None])
    for channel, values in enumerate((c, scaled, known)):
        channels[:, channel, flat] = values
        channels[:, channel, mirrored] = values
    squares = np.add.reduceat(residual**2, starts, axis=1)
    curves = _curves(total, pairs, squares, sigma)
    smooth = _between_neighbours(residual, known, flat, following, cells)
    scalars = _scalars(facts, sigma, pairs, total, squares, smooth)
    return channels.reshape(count, len(CHANNELS), cells, cells), curves, scalars


def _curves(
    total: NDArray[np.float64], pairs: NDArray[np.int64], squares: NDArray[np.float64], sigma: NDArray[np.float64]
) -> NDArray[np.float32]:
    """(R, 4, L) from sums over each lag.

    The scatter has one pair of noise sigma in addition: a bin of one pair has none of its own.
    """
    first = np.array(lag_bins(total.shape[1] + 1)[:-1]) - 1
    n = np.add.reduceat(pairs, first, axis=1)
    level = np.divide(np.add.reduceat(total, first, axis=1), n, out=np.zeros((len(n), BINS)), where=n > 0)
    scatter = np.add.reduceat(squares, first, axis=1) + sigma[:, None] ** 2
    error = np.divide(np.sqrt(scatter), n, out=np.full(level.shape, WORST_ERROR), where=n > 0)
    error = np.clip(error, SMALLEST * 0.1, WORST_ERROR)
    top = level[:, :2].mean(axis=1, keepdims=True)
    height = np.maximum(top, LOWEST_LEVEL)
    noise = np.hypot(error, error[:, :1]) / height
    decay = np.hypot(np.maximum(top - level, 0.0) / height, noise)
    return np.stack([level, np.log10(error), np.log10(decay), np.log10(noise)], axis=1).astype(np.float32)


def _between_neighbours(
    residual: NDArray[np.float64],
    known: NDArray[np.bool_],
    flat: NDArray[np.int64],
    following: NDArray[np.int64],
    cells: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(R,) mean product of the residuals of neighbours along the diagonals, and half the mean square of their
    difference: what is smooth in time, and what is not."""
    place = np.full(cells * cells, -1)
    place[flat] = np.arange(len(flat))
    here = np.flatnonzero(flat != following)
    there = place[following[here]]
    both = known[:, here] & known[:, there]
    n = np.maximum(both.sum(axis=1), 1)
    first, second = residual[:, here], residual[:, there]
    product = (np.where(both, first * second, 0.0)).sum(axis=1) / n
    difference = (np.where(both, (first - second) ** 2, 0.0)).sum(axis=1) / (2.0 * n)
    return product, difference


def _scalars(
    facts: RoiFacts,
    sigma: NDArray[np.float64],
    pairs: NDArray[np.int64],
    total: NDArray[np.float64],
    squares: NDArray[np.float64],
    neighbours: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.float32]:
    """(R, S) in the order of ``SCALARS``."""
    lags = pairs.shape[1]
    n = np.maximum(pairs.sum(axis=1), 1)
    variance = sigma**2
    size_known = np.isfinite(facts.speckle_size)
    long = slice(2 * lags // 3, None)

    def level(part: slice) -> NDArray[np.float64]:
        return total[:, part].sum(axis=1) / np.maximum(pairs[:, part].sum(axis=1), 1)

    smooth, white = neighbours
    columns = {
        "log10_sigma": np.log10(sigma),
        "log10_pixels": np.log10(facts.pixels) - 4.0,
        "log10_counts_per_cell": np.log10(facts.counts),
        "q": facts.q / REFERENCE_Q - 1.0,
        "first_lags": level(slice(0, 2)),
        "last_lags": level(long),
        "log10_residual": np.log10(1.0 + squares.sum(axis=1) / n / variance),
        "log10_smooth_residual": np.log10(1.0 + np.maximum(smooth, 0.0) / variance),
        "log10_white_noise": 0.5 * np.log10(np.maximum(white / variance, SMALLEST)),
        "log10_speckle_size": np.log10(np.where(size_known, np.maximum(facts.speckle_size, 0.5), 1.0)),
        "speckle_size_known": size_known,
        "static_baseline": 100.0 * (facts.static_baseline - 1.0),
        "known": pairs.sum(axis=1) / (lags * (lags + 1) / 2),
        "window": facts.window / 2500.0 - 1.0,
        "temperature": (facts.temperature - 400.0) / 100.0,
        "inverse_temperature": 1000.0 / facts.temperature - 2.5,
    }
    return np.stack([columns[name] for name in SCALARS], axis=1).astype(np.float32)
