"""Layout of the records in the catalog, and the way from and to our dataclasses.

::

    processed/
      attempts/<uuid>                  container; arrays of one attempt, written piece by piece
      records/<run uid>-<config hash>-<algorithm version>            pointer to the finished attempt
      records/<run uid>-<config hash>-<algorithm version>-failed     why there is none

A pointer is an empty container that is created once and never changed; its metadata hold every number of
the record but the arrays, so that a list of results reads no array. Whoever creates it first has published.
A failure does not stand in the way of a later success: where both exist, the result is what readers see.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from gbx_beamline.errors import SchemaError
from gbx_beamline.records import (
    SCHEMA_VERSION,
    DecayFit,
    Geometry,
    NonEquilibrium,
    OneTime,
    Provenance,
    RoiSet,
    ScanFailure,
    ScanInfo,
    ScanResult,
    TwoTime,
)

ATTEMPTS = "attempts"
RECORDS = "records"
RESULT_SPEC = "XPCSResult"
FAILURE_SPEC = "XPCSFailure"
SPEC_VERSION = f"{SCHEMA_VERSION}.0"

_NE_ARRAYS = ("drift", "tti")


def identity(scan: ScanInfo, provenance: Provenance) -> str:
    """Key under which readers find the record: same run, same settings, same algorithm, same record."""
    return f"{scan.run_uid}-{provenance.config_hash}-{provenance.algorithm_version}"


def pointer_key(outcome: ScanResult | ScanFailure) -> str:
    """Key of the pointer of a result or of a failure."""
    key = identity(outcome.scan, outcome.provenance)
    return key if isinstance(outcome, ScanResult) else f"{key}-failed"


def plain(value: Any) -> Any:
    """``value`` in JSON's types. NaN and infinities become None here, on purpose, not silently in the server."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def number(value: Any) -> float:
    """The float of a metadata entry, None read back as NaN."""
    return math.nan if value is None else float(value)


def result_arrays(result: ScanResult) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of a record, by key in the catalog."""
    tt, ot = result.two_time, result.one_time
    return {
        "two_time": tt.g2,
        "diagonal": tt.diagonal,
        "frame_means": tt.frame_means,
        "valid_frames": tt.valid_frames,
        "tau": ot.tau,
        "one_time": ot.g2,
        "one_time_error": ot.error,
        "drift": np.stack([ne.drift for ne in result.nonequilibrium]),
        "tti": np.stack([ne.tti for ne in result.nonequilibrium]),
        "labels": result.rois.labels,
        "mask": result.mask,
        "mean_image": result.mean_image,
    }


def result_metadata(result: ScanResult, *, attempt: str, created: float) -> dict[str, Any]:
    """Everything of a record but its arrays."""
    tt = result.two_time
    rois = [
        {
            "name": name,
            "q_par": plain(result.rois.q_par[i]),
            "q_z": plain(result.rois.q_z[i]),
            "flags": list(result.rois.flags[i]),
            "pixels": int(tt.pixels[i]),
            "mean_counts": plain(tt.mean_counts[i]),
            "static_baseline": plain(tt.static_baseline[i]),
            "saturated": int(tt.saturated[i]),
            "nonequilibrium": {
                key: value for key, value in plain(result.nonequilibrium[i]).items() if key not in _NE_ARRAYS
            },
            "fit": plain(result.fits[i]),
        }
        for i, name in enumerate(result.rois.names)
    ]
    return _head(result, created) | {
        "status": "complete",
        "attempt": attempt,
        "rois": rois,
        "frames": int(tt.g2.shape[-1]),
        "frame_time": tt.frame_time,
        "one_time_convention": result.one_time.convention,
        "geometry": plain(result.geometry),
        "excluded": plain(result.excluded),
        "flags": list(result.flags),
        "units": {"q_par": "1/m", "q_z": "1/m", "frame_time": "s", "tau": "s", "rate": "1/s", "temperature": "K"},
    }


def failure_metadata(failure: ScanFailure, *, created: float) -> dict[str, Any]:
    """A failure as metadata."""
    return _head(failure, created) | {"status": "failed", "kind": failure.kind, "reason": failure.reason}


def _head(outcome: ScanResult | ScanFailure, created: float) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "identity": identity(outcome.scan, outcome.provenance),
        "run_uid": outcome.scan.run_uid,
        "sample": outcome.scan.sample,
        "temperature": plain(outcome.scan.temperature),
        "started": plain(outcome.scan.started),
        "scan": plain(outcome.scan),
        "provenance": plain(outcome.provenance),
        "access_tags": list(outcome.scan.access_tags),
        "created": created,
    }


def check_schema(metadata: Mapping[str, Any], key: str) -> None:
    """Refuse a record that this release cannot read.

    Raises:
        SchemaError: another schema version.
    """
    version = metadata.get("schema_version")
    if version != SCHEMA_VERSION:
        raise SchemaError(
            f"record {key} has schema version {version}",
            needed=f"version {SCHEMA_VERSION}",
            action="read it with the release that wrote it, or analyse the run again",
        )


def result_from(metadata: Mapping[str, Any], arrays: Mapping[str, Any]) -> ScanResult:
    """The record again, from what the catalog holds of it."""
    rois = metadata["rois"]
    roi_set = RoiSet(
        labels=arrays["labels"],
        names=tuple(roi["name"] for roi in rois),
        q_par=np.array([number(roi["q_par"]) for roi in rois]),
        q_z=np.array([number(roi["q_z"]) for roi in rois]),
        flags=tuple(tuple(roi["flags"]) for roi in rois),
    )
    geometry = dict(metadata["geometry"])
    geometry["shape"] = tuple(geometry["shape"])
    return ScanResult(
        scan=scan_from(metadata),
        rois=roi_set,
        geometry=Geometry(**geometry),
        two_time=TwoTime(
            g2=arrays["two_time"],
            diagonal=arrays["diagonal"],
            frame_time=metadata["frame_time"],
            pixels=np.array([roi["pixels"] for roi in rois], dtype=np.int64),
            mean_counts=np.array([number(roi["mean_counts"]) for roi in rois]),
            frame_means=arrays["frame_means"],
            valid_frames=arrays["valid_frames"],
            static_baseline=np.array([number(roi["static_baseline"]) for roi in rois]),
            saturated=np.array([roi["saturated"] for roi in rois], dtype=np.int64),
            q_par=roi_set.q_par,
            q_z=roi_set.q_z,
            names=roi_set.names,
        ),
        one_time=OneTime(
            tau=arrays["tau"],
            g2=arrays["one_time"],
            error=arrays["one_time_error"],
            convention=metadata["one_time_convention"],
        ),
        nonequilibrium=tuple(
            _nonequilibrium_from(roi["nonequilibrium"], arrays["drift"][i], arrays["tti"][i])
            for i, roi in enumerate(rois)
        ),
        fits=tuple(_fit_from(roi["fit"]) for roi in rois),
        mean_image=arrays["mean_image"],
        mask=arrays["mask"],
        excluded=metadata["excluded"],
        flags=tuple(metadata["flags"]),
        provenance=provenance_from(metadata),
    )


def failure_from(metadata: Mapping[str, Any]) -> ScanFailure:
    """The failure again, from its metadata."""
    return ScanFailure(
        scan=scan_from(metadata),
        kind=metadata["kind"],
        reason=metadata["reason"],
        provenance=provenance_from(metadata),
    )


def scan_from(metadata: Mapping[str, Any]) -> ScanInfo:
    """What the run said of itself."""
    scan = dict(metadata["scan"])
    scan["access_tags"] = tuple(scan["access_tags"])
    return ScanInfo(**scan)


def provenance_from(metadata: Mapping[str, Any]) -> Provenance:
    """What made the record."""
    return Provenance(**metadata["provenance"])


def _nonequilibrium_from(entry: Mapping[str, Any], drift: Any, tti: Any) -> NonEquilibrium:
    numbers = ("s_noneq", "s_noneq_norm", "drift_rms_over_contrast", "contrast", "cell", "window")
    return NonEquilibrium(**_with_numbers(entry, numbers), drift=drift, tti=tti)


def _fit_from(entry: Mapping[str, Any]) -> DecayFit:
    return DecayFit(**_with_numbers(entry, ("contrast", "rate", "exponent", "baseline")))


def _with_numbers(entry: Mapping[str, Any], numbers: tuple[str, ...]) -> dict[str, Any]:
    return {key: number(value) if key in numbers else value for key, value in entry.items()}
