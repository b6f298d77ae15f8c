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

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gbx_beamline.catalog.codec import number, plain, record
from gbx_beamline.errors import SchemaError
from gbx_beamline.records import (
    G4,
    READABLE_SCHEMAS,
    SCHEMA_VERSION,
    DecayFit,
    Exclusions,
    Exposure,
    FineLags,
    Geometry,
    JumpCheck,
    KineticsFit,
    MotionCheck,
    Movement,
    NonEquilibrium,
    OneTime,
    PixelGroups,
    Provenance,
    RoiSet,
    Scaling,
    ScanFailure,
    ScanInfo,
    ScanResult,
    SegmentMeasure,
    Trace,
    Traces,
    TwoTime,
)

ATTEMPTS = "attempts"
RECORDS = "records"
RESULT_SPEC = "XPCSResult"
FAILURE_SPEC = "XPCSFailure"
SPEC_VERSION = f"{SCHEMA_VERSION}.0"

_FAILED = "-failed"
_NE_ARRAYS = ("drift", "tti")
_G4_ARRAYS = ("tau", "raw", "pairs", "tau_groups", "noise_free", "error")


def identity(scan: ScanInfo, provenance: Provenance) -> str:
    """Key under which readers find the record: same run, same settings, same algorithm, same record."""
    return f"{scan.run_uid}-{provenance.config_hash}-{provenance.algorithm_version}"


def pointer_key(outcome: ScanResult | ScanFailure) -> str:
    """Key of the pointer of a result or of a failure."""
    key = identity(outcome.scan, outcome.provenance)
    return key if isinstance(outcome, ScanResult) else f"{key}{_FAILED}"


def is_failure_key(key: str) -> bool:
    """Whether a key of a record is that of a failure."""
    return key.endswith(_FAILED)


def versions(key: str) -> str:
    """What tells a record from others of its run: hash of the settings, version of the algorithm."""
    name = key.removesuffix(_FAILED)
    # The uid before it may have dashes of its own.
    return "-".join(name.rsplit("-", 2)[-2:]) + key[len(name) :]


def result_arrays(result: ScanResult) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of a record, by key in the catalog."""
    tt, ot = result.two_time, result.one_time
    arrays: dict[str, np.ndarray[Any, Any]] = {
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
    if tt.group_maps is not None:
        arrays["group_maps"] = tt.group_maps
    if tt.fine is not None:
        arrays |= {"fine_tau": tt.fine.tau, "fine_ratio_of_sums": tt.fine.ratio_of_sums, "fine_pychx": tt.fine.pychx}
    if result.traces is not None and result.traces.traces:
        arrays["traces"] = np.stack([trace.values for trace in result.traces.traces])
    for name in _G4_ARRAYS:
        arrays |= _by_roi(f"g4_{name}", [getattr(one, name) for one in result.g4])
    for reason, pixels in result.exclusions.pixels.items():
        if pixels.size:
            arrays[_excluded_key(reason)] = pixels
    return arrays


def _by_roi(key: str, arrays: Sequence[np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of each q-ROI as one (Q, ...) where they are alike, else by themselves; empty ones are none.

    Each array costs the server as much as a megabyte of values does.
    """
    if arrays and arrays[0].size and len({(one.shape, one.dtype) for one in arrays}) == 1:
        return {key: np.stack(arrays)}
    return {f"{key}_{roi}": one for roi, one in enumerate(arrays) if one.size}


def _of_roi(key: str, arrays: Mapping[str, Any], roi: int) -> Any:
    """One q-ROI's part of what ``_by_roi`` gave."""
    return arrays[key][roi] if key in arrays else arrays.get(f"{key}_{roi}", np.empty(0))


def _excluded_key(reason: str) -> str:
    return f"excluded_pixels_{reason.replace(' ', '_')}"


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
            "kernel": tt.kernels[i] if tt.kernels else "",
            "groups": plain(tt.groups[i]) if tt.groups else None,
            "nonequilibrium": plain(result.nonequilibrium[i], without=_NE_ARRAYS),
            "fit": plain(result.fits[i]),
            "g4": plain(result.g4[i], without=_G4_ARRAYS) if result.g4 else None,
            "motion": plain(result.motion[i]) if result.motion else None,
            "jumps": plain(result.jumps[i]) if result.jumps else None,
        }
        for i, name in enumerate(result.rois.names)
    ]
    return _head(result, created) | {
        "status": "complete",
        "attempt": attempt,
        "rois": rois,
        "frames": int(tt.g2.shape[-1]),
        "frame_time": tt.frame_time,
        "frames_per_cell": tt.frames_per_cell,
        "normalisation": tt.normalisation,
        "notes": list(tt.notes),
        "one_time_convention": result.one_time.convention,
        "kinetics": plain(result.kinetics),
        "scaling": plain(result.scaling),
        "geometry": plain(result.geometry),
        "excluded": plain(result.excluded),
        "exclusions": plain(result.exclusions, without=("pixels",))
        | {"pixels": {reason: int(pixels.size) for reason, pixels in result.exclusions.pixels.items()}},
        "flags": list(result.flags),
        "analysed": plain(result.analysed),
        "segments": plain(result.segments),
        "traces": _traces_metadata(result.traces),
        "exposure": plain(result.exposure),
        "movement": plain(result.movement),
        "units": {"q_par": "1/m", "q_z": "1/m", "frame_time": "s", "tau": "s", "rate": "1/s", "temperature": "K"},
    }


def _traces_metadata(traces: Traces | None) -> dict[str, Any] | None:
    """All but the values, which are one array (C, n)."""
    if traces is None:
        return None
    listed = [plain(trace, without=("values",)) for trace in traces.traces]
    return plain(traces, without=("traces",)) | {"traces": listed}


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
    if version not in READABLE_SCHEMAS:
        raise SchemaError(
            f"record {key} has schema version {version}",
            needed=f"version {' or '.join(map(str, READABLE_SCHEMAS))}",
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
    scaling, exposure, analysed = metadata["scaling"], metadata.get("exposure"), metadata.get("analysed")
    movement = metadata.get("movement")
    return ScanResult(
        scan=scan_from(metadata),
        rois=roi_set,
        geometry=Geometry(**geometry),
        two_time=_two_time_from(metadata, arrays, roi_set),
        one_time=OneTime(
            tau=arrays["tau"],
            g2=arrays["one_time"],
            error=arrays["one_time_error"],
            convention=metadata["one_time_convention"],
        ),
        nonequilibrium=tuple(
            record(NonEquilibrium, roi["nonequilibrium"], drift=arrays["drift"][i], tti=arrays["tti"][i])
            for i, roi in enumerate(rois)
        ),
        fits=tuple(record(DecayFit, roi["fit"]) for roi in rois),
        kinetics=tuple(record(KineticsFit, fit) for fit in metadata["kinetics"]),
        scaling=None if scaling is None else record(Scaling, scaling),
        g4=tuple(_g4_from(roi["g4"], arrays, i) for i, roi in enumerate(rois) if roi["g4"] is not None),
        mean_image=arrays["mean_image"],
        mask=arrays["mask"],
        excluded=metadata["excluded"],
        exclusions=_exclusions_from(metadata["exclusions"], arrays),
        motion=tuple(record(MotionCheck, roi["motion"]) for roi in rois if roi["motion"] is not None),
        jumps=tuple(record(JumpCheck, roi["jumps"]) for roi in rois if roi["jumps"] is not None),
        flags=tuple(metadata["flags"]),
        provenance=provenance_from(metadata),
        # Records of schema version 2 have none of these.
        analysed=None if analysed is None else (analysed[0], analysed[1]),
        segments=tuple(record(SegmentMeasure, one) for one in metadata.get("segments", ())),
        traces=traces_from(metadata.get("traces"), arrays),
        exposure=None if exposure is None else record(Exposure, exposure),
        movement=None if movement is None else record(Movement, movement),
    )


def traces_from(entry: Mapping[str, Any] | None, arrays: Mapping[str, Any]) -> Traces | None:
    """The side traces again; None where a record has none."""
    if entry is None:
        return None
    listed = [record(Trace, one, values=arrays["traces"][i]) for i, one in enumerate(entry["traces"])]
    return record(Traces, {**entry, "notes": tuple(entry["notes"])}, traces=tuple(listed))


def _two_time_from(metadata: Mapping[str, Any], arrays: Mapping[str, Any], roi_set: RoiSet) -> TwoTime:
    rois = metadata["rois"]
    return TwoTime(
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
        normalisation=metadata["normalisation"],
        kernels=tuple(roi["kernel"] for roi in rois),
        frames_per_cell=metadata["frames_per_cell"],
        notes=tuple(metadata["notes"]),
        groups=tuple(record(PixelGroups, roi["groups"]) for roi in rois if roi["groups"] is not None),
        group_maps=arrays.get("group_maps"),
        fine=None
        if "fine_tau" not in arrays
        else FineLags(tau=arrays["fine_tau"], ratio_of_sums=arrays["fine_ratio_of_sums"], pychx=arrays["fine_pychx"]),
    )


def _g4_from(entry: Mapping[str, Any], arrays: Mapping[str, Any], roi: int) -> G4:
    stored = {name: _of_roi(f"g4_{name}", arrays, roi) for name in _G4_ARRAYS}
    return record(G4, entry, **stored)


def _exclusions_from(entry: Mapping[str, Any], arrays: Mapping[str, Any]) -> Exclusions:
    nothing = np.empty(0, dtype=np.int64)
    return record(
        Exclusions, entry, pixels={reason: arrays.get(_excluded_key(reason), nothing) for reason in entry["pixels"]}
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
