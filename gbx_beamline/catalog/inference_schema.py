"""Layout of what models say in the catalog, and the way from and to our dataclasses.

::

    processed/
      attempts/<uuid>/samples                                  of the posterior, as for results
      inferences/<key of the correlation record>-<model id>    pointer to the attempt, or a reasoned refusal

A new model never touches a correlation record: it adds a pointer of its own. Pointers are created once and never
changed, as those of results are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiled.structures.core import Spec

from gbx_beamline.catalog.codec import plain, record
from gbx_beamline.catalog.schema import scan_from
from gbx_beamline.errors import SchemaError
from gbx_beamline.records import Inference, Refusal, ScanInference

INFERENCES = "inferences"

INFERENCE_VERSION = 1
"""Layout of inference records, apart from that of correlation records. Changes when readers must change."""

INFERENCE_SPEC = Spec("XPCSInference", f"{INFERENCE_VERSION}.0")
REFUSAL_SPEC = Spec("XPCSInferenceRefusal", f"{INFERENCE_VERSION}.0")

_UNITS = {"diffusivity": "m^2/s", "gamma": "J s m^-4", "gb_fraction": "1", "q": "1/m", "temperature": "K"}


def inference_key(record_key: str, model_id: str) -> str:
    """Same correlation record, same model, same inference record."""
    return f"{record_key}-{model_id}"


def inference_metadata(inference: ScanInference, *, attempt: str, created: float) -> dict[str, Any]:
    """Everything of an answer but the samples."""
    return _head(inference, created) | {
        "status": "complete",
        "attempt": attempt,
        "inference": plain(inference.outcome, without=("samples",)),
        "units": _UNITS,
    }


def refusal_metadata(inference: ScanInference, *, created: float) -> dict[str, Any]:
    """A refusal as metadata."""
    return _head(inference, created) | {"status": "refused", "refusal": plain(inference.outcome)}


def _head(inference: ScanInference, created: float) -> dict[str, Any]:
    scan = inference.scan
    return {
        "inference_version": INFERENCE_VERSION,
        "record": inference.record,
        "model_id": inference.model_id,
        "run_uid": scan.run_uid,
        "sample": scan.sample,
        "temperature": plain(scan.temperature),
        "scan": plain(scan),
        "package_version": inference.package_version,
        "seed": inference.seed,
        "checked": inference.checked,
        "access_tags": list(scan.access_tags),
        "created": created,
    }


def check_version(metadata: Mapping[str, Any], key: str) -> None:
    """Refuse an inference record that this release cannot read.

    Raises:
        SchemaError: another version.
    """
    version = metadata.get("inference_version")
    if version != INFERENCE_VERSION:
        raise SchemaError(
            f"inference record {key} has version {version}",
            needed=f"version {INFERENCE_VERSION}",
            action="read it with the release that wrote it, or infer again with this one",
        )


def inference_from(metadata: Mapping[str, Any], arrays: Mapping[str, Any]) -> ScanInference:
    """The record again, from what the catalog holds of it."""
    outcome: Inference | Refusal
    if metadata["status"] == "refused":
        outcome = record(Refusal, metadata["refusal"])
    else:
        outcome = record(Inference, metadata["inference"], samples=arrays["samples"])
    return ScanInference(
        record=metadata["record"],
        scan=scan_from(metadata),
        outcome=outcome,
        package_version=metadata["package_version"],
        seed=metadata["seed"],
        checked=metadata["checked"],
    )
