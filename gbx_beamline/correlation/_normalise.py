"""What each count is divided by before it is correlated (correlation.md, convention 2).

Written as a factor of each frame wherever possible, because then the sums stay integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation._static import smoothed
from gbx_beamline.correlation._store import RoiRows
from gbx_beamline.records import Bools

Normalisation = Literal["none", "time_average", "smoothed_image", "static_bins", "total_intensity"]
NORMALISATIONS: tuple[Normalisation, ...] = (
    "none",
    "time_average",
    "smoothed_image",
    "static_bins",
    "total_intensity",
)

STATIC_BINS = 8
"""Bins of equal numbers of pixels, in order of the smoothed time average."""


@dataclass(frozen=True)
class StaticBin:
    """Pixels that share one factor in each frame."""

    columns: NDArray[np.int64] | None
    """(P_b,) columns of the ROI; None = all of them."""
    pixels: int
    inverse: NDArray[np.float64]
    """(N,) factor of each frame."""


def inverse_totals(totals: NDArray[np.float64], valid: Bools, dark: float = np.nan) -> NDArray[np.float64]:
    """(N,) 1 / counts; NaN in frames that are left out, ``dark`` in frames without a photon."""
    with np.errstate(divide="ignore"):
        inverse = np.where(totals > 0, 1.0 / totals, dark)
    return np.where(valid, inverse, np.nan)


def total_intensity(totals: NDArray[np.float64], everything: NDArray[np.float64], valid: Bools) -> NDArray[np.float64]:
    """(N,) factor of each frame by the intensity in all ROIs together, instead of in the ROI itself.

    Args:
        totals: (N,) counts of the ROI in each frame.
        everything: (N,) counts of all ROIs.
        valid: (N,) frames in use.
    """
    share = totals[valid].sum() / everything[valid].sum()
    return inverse_totals(share * everything, valid)


def pixel_weights(roi: RoiRows, kind: Normalisation, y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.float64]:
    """(P_roi,) what each pixel is multiplied by: one over its (smoothed) time average; 0 where it never counted."""
    image = roi.image
    if kind == "smoothed_image":
        image = np.zeros_like(roi.image)
        image[roi.kept] = smoothed(y[roi.kept], x[roi.kept], roi.image[roi.kept])
    mean = image[roi.kept].mean()
    usable = roi.kept & (image > 1e-6 * mean)
    return np.where(usable, mean / np.where(usable, image, 1.0), 0.0)


def static_bins(
    roi: RoiRows, y: NDArray[np.int64], x: NDArray[np.int64], count: int = STATIC_BINS
) -> list[NDArray[np.int64]]:
    """Columns of each bin: pixels of similar static intensity.

    Args:
        roi: the counts.
        y: (P_roi,) rows on the detector.
        x: (P_roi,) columns on the detector.
        count: bins.
    """
    kept = np.flatnonzero(roi.kept)
    level = smoothed(y[kept], x[kept], roi.image[kept])
    order = kept[np.argsort(level, kind="stable")]
    return [np.sort(part) for part in np.array_split(order, min(count, order.size))]


def bins_of(roi: RoiRows, columns: list[NDArray[np.int64]], valid: Bools) -> list[StaticBin]:
    """Static bins with their factor in each frame: the mean of the bin itself."""
    bins: list[StaticBin] = []
    for part in columns:
        totals = roi.rows[:, part].sum(axis=1, dtype=np.float64)
        bright = np.isin(roi.bright.columns, part)
        totals += roi.bright.values[:, bright].sum(axis=1, dtype=np.float64)
        bins.append(StaticBin(columns=part, pixels=part.size, inverse=inverse_totals(totals, valid, dark=0.0)))
    return bins
