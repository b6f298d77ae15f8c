"""The expected map of each scan straight on time cells, and the field correlation behind its noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.simulation.measurement._map_arrays import Array, Arrays
from gbx_beamline.simulation.measurement._map_cells import ScanCells
from gbx_beamline.simulation.measurement._q_nodes import node_factors, node_weights
from gbx_beamline.simulation.measurement._settings import Measurement
from gbx_beamline.simulation.measurement._traces import Traces

if TYPE_CHECKING:
    from gbx_beamline.simulation.grain_boundary import Draw


@dataclass(frozen=True, kw_only=True)
class Fields:
    """What the fields of S scans with Q q-ROIs, each seen at K q's, are made of at T moments."""

    waves: NDArray[np.float32]
    """(S, Q, K, T, 2 B) sqrt(w_b) times the real, then the imaginary parts of a_b(t)."""
    rates: NDArray[np.float64]
    """(S, Q, K) 1/s, of the bulk."""
    node_weights: NDArray[np.float64]
    """(K,)."""
    gb_fraction: NDArray[np.float64]
    """(S,)."""
    static: NDArray[np.float64]
    """(S, Q) share of the field that never moves."""
    reference: NDArray[np.float64]
    """(S, Q) share of the intensity that is a uniform coherent wave."""
    renewals: NDArray[np.float64]
    """(S, T) H(t)."""
    time: NDArray[np.float64]
    """(S, T) s."""
    displacement: NDArray[np.float64]
    """(S, T)."""
    frame_time: NDArray[np.float64]
    """(S,) s."""
    frames: int
    """Frames that a moment stands for: those of a cell, or 1. Within a cell only the bulk's decay is averaged: what the
    boundaries and the beam do in so short a time shows little."""


def fields_of(
    draws: Sequence[Draw],
    measurements: Sequence[Measurement],
    traces: Sequence[Traces],
    cells: ScanCells,
) -> Fields:
    """Fields at every frame of the cells where draws hold the frames' times; else at one moment per cell."""
    rois = len(measurements[0].pixels)
    moments = cells.good.shape[1]
    by_frame = len(draws[0].t) != moments
    if by_frame:
        moments *= cells.frames
    nodes = max(len(node_factors(measurement)) for measurement in measurements)
    most = max(len(draw.weights) for draw in draws)
    waves = np.zeros((len(draws), rois, nodes, moments, 2, most), dtype=np.float32)
    rates = np.empty((len(draws), rois, nodes))
    for scan, draw in enumerate(draws):
        seen = (draw.amplitudes[..., :moments] * np.sqrt(draw.weights)[:, None]).swapaxes(1, 2)
        seen = seen.reshape(rois, -1, moments, len(draw.weights))
        waves[scan, ..., 0, : seen.shape[-1]] = seen.real
        waves[scan, ..., 1, : seen.shape[-1]] = seen.imag
        rates[scan] = draw.bulk_rates.reshape(rois, -1)
    return Fields(
        waves=waves.reshape(*waves.shape[:4], -1),
        rates=rates,
        # A scan without spread is the same at every node.
        node_weights=max((node_weights(measurement) for measurement in measurements), key=len),
        gb_fraction=np.array([draw.gb_fraction for draw in draws]),
        static=per_roi(measurements, "static_fraction"),
        reference=per_roi(measurements, "reference"),
        renewals=np.stack([draw.renewals[:moments] for draw in draws]),
        time=np.stack([one.t[:moments] for one in traces]) if by_frame else cells.time,
        displacement=np.stack([one.displacement[:moments] for one in traces]) if by_frame else cells.displacement,
        frame_time=np.array([measurement.frame_time for measurement in measurements]),
        frames=1 if by_frame else cells.frames,
    )


def per_roi(measurements: Sequence[Measurement], name: str) -> NDArray[np.float64]:
    """(S, Q) one setting of every scan and q-ROI."""
    rois = range(len(measurements[0].pixels))
    return np.array([[measurement.of(name, roi) for roi in rois] for measurement in measurements], dtype=np.float64)


def cell_correlations(fields: Fields, cells: ScanCells, arrays: Arrays) -> tuple[Array, Array]:
    """What speckles of contrast 1 show on cells, and what their noise follows.

    With ``F = [s + (1 - s) g] exp(-(d - d')^2 / 8)`` and a reference x: (g2 - 1) / contrast is
    ``(1 - x)^2 |F|^2 + 2 x (1 - x) Re F``, as in ``expected_shape``.

    Args:
        fields: of the scans.
        cells: of the same scans.
        arrays: numpy or torch.

    Returns:
        (S, Q, n, n) its area mean over valid frames, those of equal times included, and (S, Q, n, n) a real field
        correlation, positive semi-definite and 1 on the diagonal, whose square follows it. Noise of third and fourth
        order is made from the latter. Phases of the field that no intensity shows are taken out of it.
    """
    real, imaginary, beyond = _field(fields, arrays)
    x = arrays.array(fields.reference)[:, :, None, None]
    nodes = arrays.array(fields.node_weights)[:, None, None]
    shape = real * real + imaginary * imaginary
    if beyond is not None:
        shape += beyond
    shape = (shape * nodes).sum(2) * (1.0 - x) ** 2
    real, imaginary = (real * nodes).sum(2), (imaginary * nodes).sum(2)
    shape += real * (2.0 * x * (1.0 - x))
    if real.shape[-1] != cells.good.shape[1]:
        shape = _area_mean(shape, cells, arrays)
        middle = slice(cells.frames // 2, None, cells.frames)
        real, imaginary = real[..., middle, middle], imaginary[..., middle, middle]
    follows = _without_phases(real, imaginary, arrays) * (1.0 - x) + x
    moment = np.arange(follows.shape[-1])
    follows[..., moment, moment] = 1.0
    return shape, follows


def _field(fields: Fields, arrays: Arrays) -> tuple[Array, Array, Array | None]:
    """(S, Q, K, T, T) real and imaginary part of F, and by how much the cell mean of |F|^2 exceeds the square of its
    cell mean; None where moments are frames."""
    xp = arrays.xp
    share = arrays.array(fields.gb_fraction)[:, None, None, None]
    static = arrays.array(fields.static)[:, :, None, None]
    waves = arrays.array(fields.waves)
    level = (1.0 - static) / (share * (waves * waves).sum(-1) + (1.0 - share))
    waves = waves * xp.sqrt(share * level)[..., None]
    bulk = xp.sqrt((1.0 - share) * level)
    half = waves.shape[-1] // 2
    turned = xp.concatenate([waves[..., half:], -waves[..., :half]], -1)
    across = waves.swapaxes(-1, -2)

    first, excess = _bulk_decay(fields, arrays)
    first *= bulk[..., :, None] * bulk[..., None, :]
    real, imaginary = waves @ across + first, turned @ across
    beyond = None if excess is None else first * first * excess
    if fields.renewals.any():
        kept = _exponential_of_distance(fields.renewals, arrays)
        real, imaginary = real * kept, imaginary * kept
        beyond = None if beyond is None else beyond * kept**2
    real += static[..., None]
    if fields.displacement.any():
        d = arrays.array(fields.displacement)[:, None, None, :]
        overlap = xp.exp((d[..., :, None] - d[..., None, :]) ** 2 * -0.125)
        real, imaginary = real * overlap, imaginary * overlap
        beyond = None if beyond is None else beyond * overlap**2
    return real, imaginary, beyond


def _bulk_decay(fields: Fields, arrays: Arrays) -> tuple[Array, Array | None]:
    """Means of ``exp(-kappa |t - t'|)`` over pairs of frames of two cells, and those of its square over theirs minus 1.

    Two sums of k terms in geometric progression: q^2 times the decay between the nearest frames, with
    ``q = (1 - e^(-k y)) / [k (1 - e^(-y))]``, y = kappa frame_time.
    """
    xp, k = arrays.xp, fields.frames
    rates = arrays.array(fields.rates)[..., None, None]
    time = arrays.array(fields.time)[:, None, None, :]
    lag = abs(time[..., :, None] - time[..., None, :])
    if k == 1:
        return xp.exp(lag * -rates), None
    y = fields.rates * fields.frame_time[:, None, None]
    once, twice = _progression(y, k), _progression(2.0 * y, k)
    within = arrays.array((k - 1) * fields.frame_time)[:, None, None, None, None]
    # Cells with invalid frames may lie nearer than that.
    lag = xp.clip(lag - within, 0.0, None)
    decay = xp.exp(lag * -rates) * arrays.array(once**2)[..., None, None]
    excess = xp.ones_like(decay) * arrays.array(twice**2 / once**4 - 1.0)[..., None, None]
    moment = np.arange(decay.shape[-1])
    own, own_square = _within_cell(y, k), _within_cell(2.0 * y, k)
    decay[..., moment, moment] = arrays.array(own)[..., None]
    excess[..., moment, moment] = arrays.array(own_square / own**2 - 1.0)[..., None]
    return decay, excess


def _progression(y: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Mean of e^(-j y), j = 0 .. k - 1."""
    return np.divide(np.expm1(-k * y), k * np.expm1(-y), out=np.ones_like(y), where=y > 0)


def _within_cell(y: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Mean of e^(-|i - j| y) over i, j = 0 .. k - 1."""
    lag = np.arange(1, k)
    return (k + 2.0 * (np.exp(-lag * y[..., None]) @ (k - lag))) / k**2


def _exponential_of_distance(values: NDArray[np.float64], arrays: Arrays) -> Array:
    """(S, 1, 1, T, T) exp(-|v - v'|) of (S, T) values."""
    v = arrays.array(values)[:, None, None, :]
    return arrays.xp.exp(-abs(v[..., :, None] - v[..., None, :]))


def _area_mean(frames: Array, cells: ScanCells, arrays: Arrays) -> Array:
    """(S, Q, n, n) means of (S, Q, T, T) over the valid frames of each pair of cells."""
    scans, size, per_cell = cells.weights.shape
    matrix = np.zeros((scans, size, size, per_cell), dtype=np.float32)
    index = np.arange(size)
    matrix[:, index, index] = cells.weights
    means = arrays.array(matrix.reshape(scans, 1, size, size * per_cell))
    return means @ frames @ means.swapaxes(-1, -2)


def _without_phases(real: Array, imaginary: Array, arrays: Arrays) -> Array:
    """Real part of ``F_ij e^(-i (p_i - p_j))``, p_i the phase of the sum of row i.

    Every closed chain F_ij F_jk .. F_li, of which speckle noise is made, stays as it was; the real part alone is
    positive semi-definite, and little is lost where p are most of the phases.
    """
    xp = arrays.xp
    cosine, sine = real.sum(-1), imaginary.sum(-1)
    length = xp.sqrt(cosine * cosine + sine * sine) + 1e-6
    cosine, sine = (cosine / length)[..., None], (sine / length)[..., None]
    same = xp.concatenate([cosine, sine], -1)
    crossed = xp.concatenate([sine, -cosine], -1).swapaxes(-1, -2)
    return real * (same @ same.swapaxes(-1, -2)) - imaginary * (same @ crossed)
