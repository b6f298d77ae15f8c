"""What is analysed of a series: its mask, its geometry and the q-ROIs on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from gbx_beamline.config import AnalysisConfig, MaskConfig
from gbx_beamline.errors import ConfigError, GeometryError, RoiError
from gbx_beamline.frames import Series
from gbx_beamline.frames.numpy_files import read_array
from gbx_beamline.geometry import overlay, rois_from_config
from gbx_beamline.records import RoiSet

CatalogArray = Callable[[str], NDArray[Any]]


def select(
    series: Series, settings: AnalysisConfig, *, catalog_array: CatalogArray | None = None
) -> tuple[Series, RoiSet]:
    """What is analysed of a series: the same for one that has ended and for one that is still being taken.

    Args:
        series: Frames with what their file says of mask and geometry.
        settings: What wins over the file, and the q-ROIs.
        catalog_array: Reads a label image or a mask kept in the catalog, where the configuration names one.

    Returns:
        The series with mask and geometry as configured, and the q-ROIs on it.

    Raises:
        GbxError: the mask, the geometry or the ROIs cannot be used; the message says why.
    """
    series = replace(
        _masked(series, settings.mask, catalog_array), geometry=overlay(series.geometry, settings.geometry)
    )
    if not settings.rois.given:
        raise RoiError(
            "no q-ROI is configured",
            needed="at least one box, ring or label image",
            action="add analysis.rois to the configuration (configs/demo.yaml shows how)",
        )
    try:
        rois = rois_from_config(series.geometry, settings.rois, mask=series.mask, read_catalog_array=catalog_array)
    except GeometryError as error:
        if not series.notes:
            raise
        # Why the file's own value was not taken is what a reader needs.
        found = f"{error.found} ({'; '.join(series.notes)})"
        raise GeometryError(found, needed=error.needed, action=error.action) from error
    return series, rois


def _masked(series: Series, settings: MaskConfig, catalog_array: CatalogArray | None) -> Series:
    if settings.file is not None:
        mask = read_array(settings.file, key="mask", what="mask")
    elif settings.catalog_mask is None:
        return series
    elif catalog_array is None:
        raise ConfigError(
            f"the mask {settings.catalog_mask!r} of the catalog, where no catalog is open",
            needed="a run of the catalog for it",
            action="analyse the run by its uid, or name a mask file",
        )
    else:
        mask = catalog_array(settings.catalog_mask)
    return series.with_mask(mask if settings.true_means == "good" else mask == 0)
