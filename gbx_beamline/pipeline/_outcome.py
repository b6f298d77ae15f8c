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
    sample_version: int | None = None,
) -> Provenance:
    """What makes a result with these settings by this release.

    Args:
        settings: Their hash names the record.
        catalog_array: Reads a label image or a mask kept in the catalog: drawn anew it makes another record, like a
            file.
        series: Where it is incomplete and analysed all the same, what exists of it counts too: restored, it makes
            another record.
        rule: Selection rule by which the run is analysed.
        sample_version: Of the sample's settings that the catalog keeps, where ``settings`` hold them; it counts.
    """
    digest = alone = settings.hash
    if series is not None and series.missing and series.allow_incomplete:
        digest = hashlib.sha256(digest.encode() + series.present.tobytes()).hexdigest()[:12]
    for path in (settings.rois.catalog_labels, settings.mask.catalog_mask):
        if path and catalog_array is not None:
            kept = np.ascontiguousarray(catalog_array(path))
            digest = hashlib.sha256(f"{digest} {kept.dtype} {kept.shape}".encode() + kept.tobytes()).hexdigest()[:12]
    if sample_version is not None:
        digest = hashlib.sha256(f"{digest} sample version {sample_version}".encode()).hexdigest()[:12]
    return Provenance(
        config_hash=digest,
        package_version=__version__,
        settings_hash=alone,
        rule=rule,
        sample_version=sample_version,
    )


def failure(scan: ScanInfo, error: Exception, made_by: Provenance) -> ScanFailure:
    """The record of a scan that could not be analysed."""
    reason = str(error) or type(error).__name__
    return ScanFailure(scan=scan, kind=type(error).__name__, reason=reason, provenance=made_by)
