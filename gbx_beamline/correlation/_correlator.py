"""Rows of one ROI's two-time map: exact sums of products, divided by what the normalisation says."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._kernels import add_scaled
from gbx_beamline.correlation._normalise import (
    Normalisation,
    StaticBin,
    bins_of,
    inverse_totals,
    pixel_weights,
    static_bins,
    total_intensity,
)
from gbx_beamline.correlation._products import dense_products, wide_products
from gbx_beamline.correlation._store import RoiRows
from gbx_beamline.correlation._target import MapTarget
from gbx_beamline.frames.picking import LIMIT
from gbx_beamline.records import Bools

_PIXEL_BLOCK = 4096
"""Pixels converted to float64 at once."""


class RoiCorrelator:
    """Computes the rows of one ROI's map in order.

    Args:
        roi: its counts. They may still grow at the end: rows are computed for frames that are there.
        normalisation: what counts are divided by.
        positions: (P_roi,) rows and columns of the pixels on the detector.
    """

    def __init__(
        self,
        roi: RoiRows,
        normalisation: Normalisation,
        positions: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> None:
        self._roi = roi
        self._kind = normalisation
        self._weights: NDArray[np.float64] | None = None
        self._columns: list[NDArray[np.int64]] | None = None
        self._bins: list[StaticBin] | None = None
        if normalisation in ("time_average", "smoothed_image"):
            self._weights = pixel_weights(roi, normalisation, *positions)
        elif normalisation == "static_bins":
            self._columns = static_bins(roi, *positions)

    @property
    def rows(self) -> NDArray[Any]:
        """(N, P_roi) the counts."""
        return self._roi.rows

    @property
    def binned(self) -> bool:
        """True where static bins are multiplied one by one."""
        return self._columns is not None

    @property
    def in_bytes(self) -> bool:
        """True where all pixels are multiplied together as they are, so that any kernel may do it."""
        return self._weights is None and self._columns is None and self._roi.rows.dtype == np.uint8

    def prepare(self, valid: Bools, everything: NDArray[np.float64]) -> NDArray[np.float64]:
        """Factors of the frames that are there.

        Args:
            valid: (N,) frames in use so far.
            everything: (N,) counts of all ROIs in each frame.

        Returns:
            (N,) what the counts of each frame are multiplied by; NaN in frames that are left out or dark.
        """
        if self._columns is not None:
            self._bins = bins_of(self._roi, self._columns, valid)
        if self._kind == "total_intensity":
            return total_intensity(self._roi.totals, everything, valid)
        return inverse_totals(self._weighted_totals(1), valid)

    def write(
        self,
        first: int,
        last: int,
        inverse: NDArray[np.float64],
        target: MapTarget,
        sums: NDArray[Any] | None = None,
    ) -> NDArray[np.float64]:
        """Compute rows ``first:last`` of the map against all frames up to them.

        Args:
            first: first frame.
            last: after the last one.
            inverse: (N,) from ``prepare``.
            target: takes the rows.
            sums: (last - first, last) products of the rows of bytes, where a kernel has them already.

        Returns:
            (last - first, 2) diagonal: raw, and by the factorial moment ``(<I^2> - <I>) / <I>^2``, which is free of
            shot noise where counts are photons.
        """
        if self._bins is not None:
            return self._write_bins(first, last, inverse, target)
        products = self._sums(first, last, None) if sums is None else self._with_bright(sums, first, last)
        scale = float(self._roi.pixels if self._weights is None else np.count_nonzero(self._weights))
        target.take(products, inverse, scale, first)
        at = np.arange(last - first)
        squares = products[at, first + at].astype(np.float64)
        factor = scale * inverse[first:last] ** 2
        return np.stack([squares * factor, (squares - self._weighted_totals(2)[first:last]) * factor], axis=1)

    def _write_bins(
        self, first: int, last: int, inverse: NDArray[np.float64], target: MapTarget
    ) -> NDArray[np.float64]:
        assert self._bins is not None
        total, weight = np.zeros((2, last - first, last))
        diagonal = np.zeros((last - first, 2))
        at = np.arange(last - first)
        for part in self._bins:
            products = self._sums(first, last, part.columns)
            factor = np.nan_to_num(part.inverse)
            add_scaled(products, factor, float(part.pixels), first, total, weight)
            squares = products[at, first + at].astype(np.float64)
            own = part.pixels**2 * factor[first:last]
            with np.errstate(divide="ignore", invalid="ignore"):
                counts = np.where(factor[first:last] > 0, 1.0 / factor[first:last], 0.0)
            diagonal += np.stack([squares, squares - counts], axis=1) * (own * factor[first:last])[:, None]
        values = np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)
        values[np.isnan(inverse[first:last])] = np.nan
        values[:, np.isnan(inverse[:last])] = np.nan
        target.take_values(values.astype(np.float32), first)
        share = weight[at, first + at]
        known = np.isfinite(inverse[first:last]) & (share > 0)
        return np.where(known[:, None], diagonal / np.where(known, share, 1.0)[:, None], np.nan)

    def _weighted_totals(self, power: int) -> NDArray[np.float64]:
        """(N,) sum over pixels of ``weight^power * counts``."""
        if self._weights is None:
            return self._roi.totals
        weights = self._weights**power
        totals = np.zeros(len(self._roi.rows))
        for start in range(0, weights.size, _PIXEL_BLOCK):
            part = slice(start, start + _PIXEL_BLOCK)
            totals += self._roi.rows[:, part].astype(np.float64) @ weights[part]
        return totals + self._roi.bright.values @ weights[self._roi.bright.columns]

    def _sums(self, first: int, last: int, columns: NDArray[np.int64] | None) -> NDArray[Any]:
        """(last - first, last) sums over pixels of I(t1) I(t2), times the squared weights where there are any."""
        roi = self._roi
        if self._weights is not None or roi.rows.dtype.kind == "f":
            return self._real_sums(first, last)
        if columns is None:
            return self._with_bright(dense_products(roi.rows[first:last], roi.rows[:last], largest=LIMIT), first, last)
        rows = np.ascontiguousarray(roi.rows[:last, columns])
        return self._with_bright(
            dense_products(rows[first:], rows, largest=LIMIT), first, last, np.isin(roi.bright.columns, columns)
        )

    def _with_bright(
        self, sums: NDArray[Any], first: int, last: int, chosen: NDArray[np.bool_] | None = None
    ) -> NDArray[Any]:
        """The sums with those of the pixels that do not fit into bytes."""
        bright = self._roi.bright.values if chosen is None else self._roi.bright.values[:, chosen]
        return sums + wide_products(bright[first:last], bright[:last]) if bright.shape[1] else sums

    def _real_sums(self, first: int, last: int) -> NDArray[np.float64]:
        roi, weights = self._roi, self._weights
        sums = np.zeros((last - first, last))
        for start in range(0, roi.rows.shape[1], _PIXEL_BLOCK):
            part = slice(start, start + _PIXEL_BLOCK)
            block = roi.rows[:last, part].astype(np.float64)
            left = block[first:] if weights is None else block[first:] * weights[part] ** 2
            sums += left @ block.T
        wide = roi.bright.values[:last].astype(np.float64)
        if weights is not None and wide.shape[1]:
            sums += (wide[first:] * weights[roi.bright.columns] ** 2) @ wide.T
        return sums
