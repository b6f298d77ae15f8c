"""All that the catalog holds of one record, and what only its run tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gbx_beamline.errors import InputError, RunNotFoundError
from gbx_beamline.exchange._record import WholeRecord
from gbx_beamline.records import ScanFailure

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog, InferenceSummary, RecordSummary


def whole_record(catalog: Catalog, key: str, *, model: str | None = None) -> WholeRecord:
    """Read a record to be exported; some seconds for large maps.

    Args:
        catalog: Where it is.
        key: Of the correlation record.
        model: Id of the model whose inference belongs to it; None = what every model said.

    Raises:
        RunNotFoundError: no such record.
        CatalogError: the catalog is unreachable, or of an unknown schema.
        InputError: the scan was not analysed, or the model was not asked about it.
    """
    # Tiled's client takes a second to import, which reading a file of others need not wait for.
    from gbx_beamline.catalog import load_inference, load_record, summary_of

    summary = summary_of(catalog, key)
    found = load_record(catalog, key)
    if isinstance(found, ScanFailure):
        raise InputError(
            f"run {summary.run_uid[:8]} was not analysed: {found.reason}",
            needed="a result",
            action="choose another scan, or analyse it anew when the cause is gone",
        )
    return WholeRecord(
        key=key,
        created=summary.metadata["created"],
        result=found,
        inferences=tuple(load_inference(catalog, one.key) for one in _chosen(catalog, summary, model)),
        document=summary.metadata,
        **_told_by_run(catalog, summary.run_uid),
    )


def _chosen(catalog: Catalog, record: RecordSummary, model: str | None) -> list[InferenceSummary]:
    from gbx_beamline.catalog import find_inferences

    inferences = find_inferences(catalog, record=record.key)
    if model is None:
        return inferences
    chosen = [inference for inference in inferences if inference.model_id == model]
    if not chosen:
        raise InputError(
            f"model {model!r} was not asked about record {record.key}",
            needed=f"one of {', '.join(one.model_id for one in inferences) or 'none: no model was asked'}",
            action="choose one of them, or ask it first with `gbx reprocess`",
        )
    return chosen


def _told_by_run(catalog: Catalog, run_uid: str) -> dict[str, Any]:
    """What the record does not hold but its run tells; nothing of maps that never were a run."""
    try:
        documents = catalog.run(run_uid).metadata
    except RunNotFoundError:
        return {}
    start, stop = documents.get("start") or {}, documents.get("stop") or {}
    exposure = start.get("exposure time")
    scan_id = start.get("scan_id")
    return {
        "scan_id": None if scan_id is None else str(scan_id),
        "count_time": float(exposure) if isinstance(exposure, int | float) else None,
        "ended": stop.get("time"),
    }
