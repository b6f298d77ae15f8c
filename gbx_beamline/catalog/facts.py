"""The numbers of a record from its pointer alone: no array is read."""

from __future__ import annotations

from typing import Any

from gbx_beamline.catalog import schema
from gbx_beamline.catalog.codec import number, record
from gbx_beamline.catalog.read import RecordSummary
from gbx_beamline.errors import RunNotFoundError
from gbx_beamline.records import CorrectedS, Exposure, Geometry, KineticsFit, RoiFacts, ScanFacts, words_of_motion


def facts_from(summary: RecordSummary) -> ScanFacts:
    """The numbers of a record.

    Raises:
        RunNotFoundError: the run could not be analysed.
        SchemaError: written by another schema version.
    """
    meta = summary.metadata
    if summary.failed:
        raise RunNotFoundError(
            f"run {summary.run_uid[:8]} was not analysed: {meta['reason']}",
            needed="an analysed run",
            action="leave it out, or mend what is said and analyse it again",
        )
    schema.check_schema(meta, summary.key)
    made_by, exposure, analysed = meta["provenance"], meta.get("exposure"), meta.get("analysed")
    first, last = analysed or (0, meta["frames"])
    geometry = dict(meta["geometry"])
    geometry["shape"] = tuple(geometry["shape"])
    kinetics = [record(KineticsFit, fit) for fit in meta["kinetics"]]
    motion = [roi["motion"] for roi in meta["rois"] if roi["motion"] is not None]
    return ScanFacts(
        record=summary.key,
        run_uid=summary.run_uid,
        sample=meta["sample"],
        temperature=meta["temperature"],
        started=meta["started"],
        reference=meta["scan"].get("reference"),
        settings_hash=made_by.get("settings_hash") or made_by["config_hash"],
        frames=meta["frames"],
        frame_time=meta["frame_time"],
        span=(last - first) * meta["frame_time"],
        geometry=Geometry(**geometry),
        exposure=None if exposure is None else record(Exposure, exposure),
        moved=words_of_motion((check["moved"], check["status"]) for check in motion),
        rois=tuple(
            _roi(entry, tuple(fit for fit in kinetics if fit.roi == index)) for index, entry in enumerate(meta["rois"])
        ),
    )


def _roi(entry: dict[str, Any], fits: tuple[KineticsFit, ...]) -> RoiFacts:
    share = entry["nonequilibrium"]
    corrected = share["corrected"]
    return RoiFacts(
        name=entry["name"],
        q_par=number(entry["q_par"]),
        q_z=number(entry["q_z"]),
        contrast=number(share["contrast"]),
        static_baseline=number(entry["static_baseline"]),
        cell=number(share["cell"]),
        window=number(share["window"]),
        corrected=None if corrected is None else record(CorrectedS, corrected),
        corrected_status=share["corrected_status"],
        fits=fits,
    )
