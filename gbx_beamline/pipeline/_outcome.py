"""Who made a result, and the record of a scan that gave none."""

from __future__ import annotations

import hashlib

import numpy as np

from gbx_beamline import __version__
from gbx_beamline.config import AnalysisConfig
from gbx_beamline.frames import Series
from gbx_beamline.pipeline._selection import CatalogArray
from gbx_beamline.records import Provenance, ScanFailure, ScanInfo


def provenance(
    settings: AnalysisConfig,
    catalog_array: CatalogArray | None = None,
    series: Series | None = None,
    *,
    rule: str = "",
) -> Provenance:
    """What makes a result with these settings by this release.

    Args:
        settings: Their hash names the record.
        catalog_array: Reads a label image kept in the catalog: drawn anew it makes another record, like a file.
        series: Where it is incomplete and analysed all the same, what exists of it counts too: restored, it makes
            another record.
        rule: Selection rule by which the run is analysed.
    """
    digest = alone = settings.hash
    if series is not None and series.missing and series.allow_incomplete:
        digest = hashlib.sha256(digest.encode() + series.present.tobytes()).hexdigest()[:12]
    if settings.rois.catalog_labels and catalog_array is not None:
        labels = np.ascontiguousarray(catalog_array(settings.rois.catalog_labels))
        digest = hashlib.sha256(f"{digest} {labels.dtype} {labels.shape}".encode() + labels.tobytes()).hexdigest()[:12]
    return Provenance(config_hash=digest, package_version=__version__, settings_hash=alone, rule=rule)


def failure(scan: ScanInfo, error: Exception, made_by: Provenance) -> ScanFailure:
    """The record of a scan that could not be analysed."""
    reason = str(error) or type(error).__name__
    return ScanFailure(scan=scan, kind=type(error).__name__, reason=reason, provenance=made_by)
