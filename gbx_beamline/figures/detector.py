"""Where on the detector the q-ROIs lie: the small picture at the head of a scan report."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gbx_beamline.figures import style
from gbx_beamline.figures.reduction import cells
from gbx_beamline.figures.style import Place
from gbx_beamline.records import ScanResult


@dataclass(frozen=True)
class DetectorImage:
    """Mean image made small."""

    logarithm: NDArray[np.float64]
    """(y, x) log10 of the counts per frame; NaN where masked or dark."""
    width: int
    """Pixels per cell."""
    limits: tuple[float, float]


def detector_image(result: ScanResult) -> DetectorImage | None:
    """The mean image for a small panel, or None where there is none (as for imported maps) or it holds no photon."""
    image = result.mean_image
    if image.shape != result.rois.labels.shape or min(image.shape) < 16:
        return None
    binned, width = cells(image, 300)
    lit = binned[np.isfinite(binned) & (binned > 0)]
    if lit.size == 0:
        return None
    low, high = (float(value) for value in np.log10(np.percentile(lit, (2, 99.8))))
    logarithm = np.full_like(binned, np.nan)
    np.log10(binned, out=logarithm, where=binned > 0)
    return DetectorImage(logarithm, width, (low, max(high, low + 0.1)))


def detector_panel(
    figure: Figure, place: Place, result: ScanResult, image: DetectorImage, shown: Collection[int]
) -> None:
    """The mean image as seen from the sample, q-ROIs outlined: those on the page in their colours."""
    axes = style.page_axes(figure, place)
    low, high = image.limits
    axes.imshow(
        image.logarithm,
        origin="upper" if result.geometry.flip_y else "lower",
        cmap=style.quiet_colours(),
        vmin=low,
        vmax=high,
        interpolation="nearest",
    )
    rows, columns = image.logarithm.shape
    coarse = result.rois.labels[:: image.width, :: image.width][:rows, :columns]
    for index in range(len(result.rois)):
        inside = coarse == index + 1
        if inside.any():
            colour, width = (style.series_colour(index), 1.5) if index in shown else (style.QUIET, 0.5)
            axes.contour(inside, levels=[0.5], colors=[colour], linewidths=width)
    if result.geometry.flip_x:
        axes.invert_xaxis()
    axes.set(xticks=[], yticks=[])
    axes.set_anchor("NE")
