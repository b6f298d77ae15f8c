"""|g1|^2 of a draw on time cells, without its full-resolution map where that is faster.

With ``g1 = e^(-|H - H'|) [lambda sum_b w_b a_b a_b'* + (1 - lambda) e^(-kappa |t - t'|)]`` the square is a sum of three
terms, each of real products ``F_r(t) F_r(t')`` damped by ``exp(-|phi(t) - phi(t')|)`` with a clock phi that never goes
back. Between two cells, one after the other, such a term is the product of a sum over each cell, its factors damped
towards the border that faces the other cell, and of the damping from border to border: no exponent is ever positive,
so nothing overflows whatever the rates. Within a cell a running sum gives all pairs at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gbx_beamline.simulation.resample import Cells

MOST_PAIRED = 14
"""Boundaries up to which their pairs, B^2 of them, are cheaper than the full map; measured at 256 and 1,250 times."""

_TILE = 64
"""Rows and columns mirrored together: both triangles of a tile stay in cache."""

BLOCK = 2**16
"""Most entries of a full map at once: 1 MiB of complex numbers."""


@dataclass(frozen=True)
class Field:
    """What |g1|^2 of one q is made of."""

    t: NDArray[np.float64]
    """(n,) s."""
    amplitudes: NDArray[np.complex128]
    """(B, n) a_b(t)."""
    weights: NDArray[np.float64]
    """(B,)."""
    gb_fraction: float
    bulk_rate: float
    """kappa, 1/s."""
    renewals: NDArray[np.float64]
    """(n,) H(t)."""

    def at_equal_times(self) -> NDArray[np.float64]:
        """(n,) g1(t, t)."""
        return self.gb_fraction * (self.weights @ np.abs(self.amplitudes) ** 2) + (1.0 - self.gb_fraction)


def write_map(field: Field, cells: Cells, contrast: float, normalised: bool, out: NDArray[np.float32]) -> None:
    """g2 on cells.

    Args:
        field: of n times.
        cells: of n frames.
        contrast: beta.
        normalised: divide |g1|^2 by g1(t, t) g1(t', t').
        out: (size, size) written: 1 + beta times the weighted mean of |g1|^2.
    """
    scale = 1.0 / np.sqrt(field.at_equal_times()) if normalised else np.ones(len(field.t))
    if len(field.weights) > MOST_PAIRED:
        out[:] = 1.0 + contrast * _through_full_map(field, cells, scale)
        return
    factors = _factors(field, scale)
    bounds = np.cumsum([0, *(len(each) for each in factors)])
    shape = bounds[-1], len(cells)
    left, right, within = np.empty(shape), np.empty(shape), np.zeros(len(cells))
    clocks = 2.0 * field.renewals, field.bulk_rate * (field.t - field.t[0])
    frame_to_frame = np.exp(-np.diff(clocks, axis=1, prepend=np.zeros((2, 1))))
    for power, each in enumerate(factors):
        part = slice(bounds[power], bounds[power + 1])
        steps = frame_to_frame[0] * frame_to_frame[1] ** power
        _cell_sums(each, steps, cells.first, cells.last, cells.offset, cells.weights, left[part], right[part], within)
    links, gaps = np.ones((2, len(cells))), np.ones((2, len(cells)))
    for place, clock in enumerate(clocks):
        first = clock[cells.first]
        links[place, :-1] = np.exp(-np.maximum(first[1:] - clock[cells.last[:-1]], 0.0))
        gaps[place, :-1] = np.exp(-np.diff(first))
    _assemble(left, right, bounds, links, gaps, bool(field.renewals[-1] > 0.0), within, contrast, out)


def _factors(
    field: Field, scale: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(R, n) factors of the boundaries' own term, the cross term and the bulk's: damped by bulk^0, bulk^1, bulk^2."""
    part = field.gb_fraction
    waves = field.amplitudes * scale
    alone = field.weights[:, None] * (waves.real**2 + waves.imag**2)
    if len(waves) > 1:
        one, two = np.triu_indices(len(waves), 1)
        pairs = waves[one] * waves[two].conj() * np.sqrt(2.0 * field.weights[one] * field.weights[two])[:, None]
        alone = np.concatenate([alone, pairs.real, pairs.imag])
    cross = waves * np.sqrt(2.0 * part * (1.0 - part) * field.weights)[:, None] * scale
    return part * alone, np.concatenate([cross.real, cross.imag]), (1.0 - part) * scale[None, :] ** 2


def _through_full_map(field: Field, cells: Cells, scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """(size, size) weighted mean of |g1|^2 from the full map, a block of its upper triangle's rows at a time."""
    matrix = cells.matrix()
    frames = len(field.t)
    clock = field.bulk_rate * field.t
    waves = field.amplitudes * scale
    weighted = waves.T * (field.gb_fraction * field.weights)
    waves = waves.conj()
    rows = max(1, BLOCK // frames)
    out = np.zeros((len(cells), len(cells)))
    for first in range(0, frames, rows):
        part, rest = slice(first, min(first + rows, frames)), slice(first, frames)
        g1 = weighted[part] @ waves[:, rest]
        bulk = np.exp(-np.abs(clock[part, None] - clock[rest]))
        bulk *= (1.0 - field.gb_fraction) * scale[part, None] * scale[rest]
        g1.real += bulk
        square = g1.real**2 + g1.imag**2
        square *= np.exp(-2.0 * np.abs(field.renewals[part, None] - field.renewals[rest]))
        # Entries beyond the block's own square stand for their mirror images too.
        square[:, : part.stop - first] *= 0.5
        out += matrix[:, part] @ (matrix[:, rest] @ square.T).T
    return out + out.T


@njit(cache=True, nogil=True)
def _cell_sums(
    factors: NDArray[np.float64],
    steps: NDArray[np.float64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    offset: NDArray[np.int64],
    weights: NDArray[np.float64],
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    within: NDArray[np.float64],
) -> None:
    """Sums of damped factors over cells.

    Args:
        factors: (R, n).
        steps: (n,) damping from the frame before.
        first: (size,) as in Cells, like the next three.
        last: see there.
        offset: see there.
        weights: see there.
        left: (R, size) set to the sums damped towards the end of each cell.
        right: (R, size) set to the sums damped towards its beginning.
        within: (size,) increased by the sum over pairs in each cell.
    """
    for row in range(factors.shape[0]):
        for cell in range(first.size):
            shift = offset[cell] - first[cell]
            running = 0.0
            for frame in range(first[cell], last[cell] + 1):
                value = weights[frame + shift] * factors[row, frame]
                if frame > first[cell]:
                    running *= steps[frame]
                running += value
                within[cell] += value * (2.0 * running - value)
            left[row, cell] = running
            running = 0.0
            for frame in range(last[cell], first[cell] - 1, -1):
                if frame < last[cell]:
                    running *= steps[frame + 1]
                running += weights[frame + shift] * factors[row, frame]
            right[row, cell] = running


@njit(cache=True, nogil=True)
def _assemble(
    left: NDArray[np.float64],
    right: NDArray[np.float64],
    bounds: NDArray[np.int64],
    links: NDArray[np.float64],
    gaps: NDArray[np.float64],
    renewed: bool,
    within: NDArray[np.float64],
    contrast: float,
    out: NDArray[np.float32],
) -> None:
    """Write ``1 + contrast * value``, exactly symmetric.

    Args:
        left: (R, size) sums of the factors of the three terms, damped towards the end of each cell.
        right: (R, size) the same, towards its beginning.
        bounds: (4,) where the factors of each term begin, and the end.
        links: (2, size) damping from a cell's last frame to the next cell's first, by avalanches and by the bulk.
        gaps: (2, size) damping from a cell's first frame to the next cell's first.
        renewed: whether avalanches damp anything.
        within: (size,) values on the diagonal.
        contrast: beta.
        out: (size, size).
    """
    size = within.size
    row, bulk, renewal = np.empty(size), np.empty(size), np.empty(size)
    for cell in range(size):
        row[cell] = within[cell]
        row[cell + 1 :] = 0.0
        _damp(bulk, links[1], gaps[1], cell)
        for power in range(2, -1, -1):
            for factor in range(bounds[power], bounds[power + 1]):
                value = left[factor, cell]
                for other in range(cell + 1, size):
                    row[other] += value * right[factor, other]
            if power > 0:
                for other in range(cell + 1, size):
                    row[other] *= bulk[other]
        if renewed:
            _damp(renewal, links[0], gaps[0], cell)
            for other in range(cell + 1, size):
                row[other] *= renewal[other]
        for other in range(cell, size):
            out[cell, other] = np.float32(1.0 + contrast * row[other])
    _mirror(out)


@njit(cache=True, nogil=True)
def _mirror(square: NDArray[np.float32]) -> None:
    """Copy the upper triangle of (size, size) into the lower one."""
    size = square.shape[0]
    for top in range(0, size, _TILE):
        for start in range(0, top + 1, _TILE):
            for row in range(top, min(top + _TILE, size)):
                for column in range(start, min(start + _TILE, row)):
                    square[row, column] = square[column, row]


@njit(cache=True, nogil=True)
def _damp(damping: NDArray[np.float64], links: NDArray[np.float64], gaps: NDArray[np.float64], cell: int) -> None:
    """Set ``damping`` of all cells after ``cell`` to what is left from its last frame to their first ones."""
    now = links[cell]
    for other in range(cell + 1, damping.size):
        damping[other] = now
        now *= gaps[other]
        # Further on it could only become a subnormal number, which is slow and counts for nothing.
        now = now if now > 1e-150 else 0.0
