"""Counts of a ROI's pixels added over cells of time, and exact products of such sums."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._products import dense_products
from gbx_beamline.errors import InputError, SeriesError
from gbx_beamline.records import Bools

Wide = tuple[NDArray[np.int64], NDArray[Any]]
"""Columns whose counts do not fit the rows' type, and their counts (frames, columns)."""

DIGIT_BITS = 7
"""Counts are multiplied digit by digit in base 128: a digit is what the int8 product takes."""

FEW_PIXELS = 16
"""Below, plain floats do: the int8 product of torch 2.13 is wrong for a single pixel."""

DIGIT_MASK = (1 << DIGIT_BITS) - 1


class CellSums:
    """Sums of counts over cells of ``step`` frames, fed with frames in order.

    Args:
        frames: N expected; sets ``step``, the smallest whole number that leaves at most ``max_cells`` cells.
        pixels: P.
        max_cells: most cells.

    Raises:
        InputError: fewer than two frames or cells.
    """

    def __init__(self, frames: int, pixels: int, max_cells: int) -> None:
        if frames < 2 or max_cells < 2:
            raise InputError(
                f"{frames} frames in at most {max_cells} cells",
                needed="at least 2 of each",
                action="correct the setting",
            )
        self.step = frames // (max_cells + 1) + 1
        self.cells = frames // self.step
        self.good: NDArray[np.int64] = np.zeros(self.cells, dtype=np.int64)
        """(n,) valid frames in each cell."""
        self._sums: NDArray[Any] = np.zeros((self.cells, pixels), dtype=np.uint16)
        self._taken = 0

    @property
    def full(self) -> int:
        """Cells that have all their frames."""
        return self._taken // self.step

    @property
    def counts(self) -> NDArray[Any]:
        """(full, P) unsigned."""
        return self._sums[: self.full]

    def feed(self, rows: NDArray[Any], valid: Bools, wide: Wide | None = None) -> None:
        """Add the next frames; those beyond the last whole cell are dropped.

        Args:
            rows: (m, P) whole counts.
            valid: (m,) False for frames that do not count.
            wide: columns to be replaced, with their counts (m, columns).

        Raises:
            SeriesError: no whole counts, or another number of pixels than expected.
        """
        rows, valid, wide = self._checked(rows, valid, wide)
        self._make_room(rows, wide)
        first = self._taken
        _add(rows, valid, first, self.step, self._sums)
        cell = (first + np.arange(len(rows))) // self.step
        np.add.at(self.good, cell[valid], 1)
        if wide is not None and wide[0].size:
            columns, counts = wide
            # Unsigned sums wrap and come back: first the rows' own part goes, then the true counts are added.
            for c in np.unique(cell):
                mine = valid & (cell == c)
                change = counts[mine].astype(np.uint64).sum(axis=0) - rows[mine][:, columns].sum(
                    axis=0, dtype=np.uint64
                )
                self._sums[c, columns] += change.astype(self._sums.dtype)
        self._taken = first + len(rows)

    def _checked(self, rows: NDArray[Any], valid: Bools, wide: Wide | None) -> tuple[NDArray[Any], Bools, Wide | None]:
        if rows.ndim != 2 or rows.shape[1] != self._sums.shape[1] or rows.shape[:1] != valid.shape:
            raise SeriesError(
                f"counts of shape {rows.shape} with {valid.shape} verdicts",
                needed=f"(frames, {self._sums.shape[1]}) and one verdict per frame",
                action="give the same pixels of every frame",
            )
        if rows.dtype.kind not in "iu" or (rows.dtype.kind == "i" and rows.size and rows.min() < 0):
            raise SeriesError(
                f"counts of dtype {rows.dtype}", needed="whole counts of 0 or more", action="convert them to unsigned"
            )
        if rows.dtype.kind == "i":
            rows = rows.view(f"u{rows.dtype.itemsize}")
        left = max(0, self.cells * self.step - self._taken)
        part = None if wide is None else (wide[0], wide[1][:left])
        return rows[:left], np.asarray(valid[:left], dtype=bool), part

    def _make_room(self, rows: NDArray[Any], wide: Wide | None) -> None:
        """A wider type for the sums where the largest count could outgrow the present one."""
        largest = np.iinfo(np.uint8).max if rows.dtype == np.uint8 else int(rows.max(initial=0))
        if wide is not None and wide[1].size:
            largest = max(largest, int(wide[1].max()))
        bound = largest * self.step
        if bound > np.iinfo(np.int64).max:
            raise SeriesError(
                f"a count of {largest}", needed=f"sums of {self.step} frames below 2^63", action="mask the pixel"
            )
        for dtype in (np.uint16, np.uint32, np.uint64):
            if bound <= np.iinfo(dtype).max:
                if np.dtype(dtype).itemsize > self._sums.dtype.itemsize:
                    self._sums = self._sums.astype(dtype)
                return


@numba.njit(cache=True, nogil=True)
def _add(
    rows: NDArray[Any], valid: NDArray[np.bool_], first: int, step: int, sums: NDArray[Any]
) -> None:  # pragma: no cover - compiled
    for frame in range(rows.shape[0]):
        if valid[frame]:
            row = rows[frame]
            cell = sums[(first + frame) // step]
            for pixel in range(row.size):
                cell[pixel] += row[pixel]


def exact_products(a: NDArray[Any], b: NDArray[Any], threads: int | None = None) -> NDArray[np.float64]:
    """``a @ b.T`` of whole numbers of any size.

    Args:
        a: (m, P) unsigned.
        b: (n, P) unsigned.
        threads: as in ``dense_products``.

    Returns:
        (m, n) float64, exact below 2^53; beyond, rounded once per pair of digits and always in the same order.
    """
    largest = int(max(a.max(initial=0), b.max(initial=0)))
    places = range(max(1, -(-largest.bit_length() // DIGIT_BITS)))
    # A high digit is 0 in most pixels: only those that have it are multiplied.
    digits = [(_digit(a, place), _digit(b, place)) for place in places]
    total = np.zeros((len(a), len(b)))
    for weight in range(2 * len(places) - 1):
        for i in places:
            j = weight - i
            if j in places:
                left, right = digits[i][0], digits[j][1]
                if i or j:
                    used = np.flatnonzero(left.any(axis=0) & right.any(axis=0))
                    # take, not an index: that may leave the elements of a row apart, which the product misreads.
                    left, right = left.take(used, axis=1), right.take(used, axis=1)
                total += float(1 << (DIGIT_BITS * weight)) * _product(left, right, threads)
    return total


def _product(left: NDArray[np.uint8], right: NDArray[np.uint8], threads: int | None) -> NDArray[Any]:
    if left.shape[1] < FEW_PIXELS:
        return left.astype(np.float64) @ right.astype(np.float64).T
    return dense_products(left, right, threads=threads)


def _digit(values: NDArray[Any], place: int) -> NDArray[np.uint8]:
    if not place:
        return (values & values.dtype.type(DIGIT_MASK)).astype(np.uint8, order="C")
    return ((values >> values.dtype.type(DIGIT_BITS * place)) & values.dtype.type(DIGIT_MASK)).astype(
        np.uint8, order="C"
    )
