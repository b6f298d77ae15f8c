"""Cuts through a record as CSV: each file one table, units in the names of its columns, one line of pandas to load.

Empty cells are what was not measured. Where a record comes from, and what speaks against it, stands in a JSON file
beside them.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gbx_beamline.exchange._record import WholeRecord, iso_time
from gbx_beamline.records import Inference, NonEquilibrium, Refusal, ScanInference

PROVENANCE = "provenance.json"

_UNIT_WORDS = {"1": "relative", "1/s": "per_s"}
"""Units that make no name of a column as they are."""

Row = Mapping[str, Any]

_PARAMETERS = {"diffusivity": "diffusivity_m2_per_s", "gamma": "gamma_J_s_per_m4", "gb_fraction": "gb_fraction"}


def write_tables(record: WholeRecord, folder: Path) -> tuple[str, ...]:
    """Fill a folder with tables.

    Args:
        record: What to write.
        folder: An empty one.

    Returns:
        What was written, in words.
    """
    tables = {
        "one_time.csv": _one_time(record),
        "ages.csv": _ages(record),
        "s_noneq.csv": _s_noneq(record),
        "s_noneq_ages.csv": _s_noneq_ages(record),
        "kinetics.csv": _kinetics(record),
        "frames.csv": _frames(record),
        "segments.csv": _segments(record),
        "traces.csv": _traces(record),
        "inference.csv": (_inference(inference) for inference in record.inferences),
    }
    written = []
    for name, rows in tables.items():
        count = _write(folder / name, rows)
        if count:
            written.append(f"{name}: {count} rows")
    (folder / PROVENANCE).write_text(json.dumps(_provenance(record), indent=1, allow_nan=False) + "\n")
    return (*written, PROVENANCE)


def _write(path: Path, rows: Iterable[Row]) -> int:
    """One table; no file for one without rows, which pandas could not read.

    Returns:
        The number of rows.
    """
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return 0
    count = 1
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(first), lineterminator="\n")
        writer.writeheader()
        writer.writerow(_cells(first))
        for row in rows:
            writer.writerow(_cells(row))
            count += 1
    return count


def _cells(row: Row) -> dict[str, Any]:
    return {name: "" if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def _roi(record: WholeRecord, roi: int) -> dict[str, Any]:
    return {
        "roi": record.result.rois.names[roi],
        "q_par_1_per_angstrom": float(record.q_par[roi]),
        "q_z_1_per_angstrom": float(record.q_z[roi]),
    }


def _one_time(record: WholeRecord) -> Iterator[Row]:
    curve = record.result.one_time
    for roi in range(len(record.result.rois)):
        for tau, g2, error in zip(curve.tau.tolist(), curve.g2[roi].tolist(), curve.error[roi].tolist(), strict=True):
            yield _roi(record, roi) | {"tau_s": tau, "g2": g2, "g2_error": error}


def _ages(record: WholeRecord) -> Iterator[Row]:
    parts = list(record.of_ages())
    for roi in range(len(record.result.rois)):
        for start, stop, curve in parts:
            age = {"age_start_s": start, "age_stop_s": stop}
            values = zip(curve.tau.tolist(), curve.g2[roi].tolist(), curve.error[roi].tolist(), strict=True)
            for tau, g2, error in values:
                yield _roi(record, roi) | age | {"tau_s": tau, "g2": g2, "g2_error": error}


def _s_noneq(record: WholeRecord) -> Iterator[Row]:
    tt = record.maps
    for roi, one in enumerate(record.result.nonequilibrium):
        yield (
            _roi(record, roi)
            | _corrected(one)
            | {
                "s_noneq": one.s_noneq,
                "s_noneq_norm": one.s_noneq_norm,
                "status": one.status,
                "drift_rms_over_contrast": one.drift_rms_over_contrast,
                "contrast": float(tt.contrast[roi]),
                "cell_s": one.cell,
                "window_s": one.window,
                "pixels": int(tt.pixels[roi]),
                "mean_counts_per_pixel_and_frame": float(tt.mean_counts[roi]),
            }
        )


def _corrected(one: NonEquilibrium) -> dict[str, Any]:
    known = one.corrected if one.corrected is not None and one.corrected.status == "ok" else None
    return {
        "s_corrected": math.nan if known is None else known.value,
        "s_corrected_low95": math.nan if known is None else known.low,
        "s_corrected_high95": math.nan if known is None else known.high,
        "s_corrected_status": one.corrected_status,
        "s_ageing": math.nan if known is None else known.ageing.value,
        "s_intermittent": math.nan if known is None else known.intermittent.value,
    }


def _s_noneq_ages(record: WholeRecord) -> Iterator[Row]:
    for roi, one in enumerate(record.result.nonequilibrium):
        for window in one.corrected.by_age if one.corrected is not None else ():
            yield _roi(record, roi) | {
                "age_start_s": window.start,
                "age_stop_s": window.stop,
                "s_corrected": window.value,
                "s_corrected_low95": window.low,
                "s_corrected_high95": window.high,
                "status": window.status,
            }


def _kinetics(record: WholeRecord) -> Iterator[Row]:
    for fit in record.result.kinetics:
        values: dict[str, Any] = {"age_start_s": fit.window[0], "age_stop_s": fit.window[1], "whole": fit.whole}
        for name, column in (
            *(("contrast", "contrast"), ("relaxation_time", "relaxation_time_s")),
            *(("exponent", "exponent"), ("baseline", "baseline")),
        ):
            error = fit.errors.get(name)
            values |= {column: getattr(fit, name), f"{column}_error": math.nan if error is None else error}
        yield _roi(record, fit.roi) | values | {"status": fit.status}


def _frames(record: WholeRecord) -> Iterator[Row]:
    tt = record.result.two_time
    for roi in range(len(record.result.rois)):
        for cell, (mean, valid) in enumerate(zip(tt.frame_means[roi].tolist(), tt.valid_frames.tolist(), strict=True)):
            yield _roi(record, roi) | {
                "time_s": cell * tt.frame_time,
                "counts_per_pixel": mean,
                "valid": valid,
            }


def _segments(record: WholeRecord) -> Iterator[Row]:
    for part in record.result.exclusions.segments:
        yield {
            "start_s": part.start_time,
            "stop_s": part.stop_time,
            "kind": part.kind,
            "temperature_K": part.temperature,
            "reason": part.reason,
        }


def _traces(record: WholeRecord) -> Iterator[Row]:
    traces = record.result.traces
    if traces is None:
        return
    names = {trace.name: f"{trace.name}_{_UNIT_WORDS.get(trace.unit, trace.unit)}" for trace in traces.traces}
    for cell, time in enumerate(traces.time.tolist()):
        yield {"time_s": time} | {names[trace.name]: float(trace.values[cell]) for trace in traces.traces}


def _inference(said: ScanInference) -> Row:
    row: dict[str, Any] = {"model": said.model_id}
    outcome = said.outcome
    told = outcome if isinstance(outcome, Inference) else None
    row["temperature_K"] = math.nan if told is None else told.temperature
    for name, column in _PARAMETERS.items():
        estimate = None if told is None else told.parameters[name]
        row |= {
            column: math.nan if estimate is None else estimate.median,
            f"{column}_low": math.nan if estimate is None else estimate.low,
            f"{column}_high": math.nan if estimate is None else estimate.high,
        }
    row["level"] = math.nan if told is None else told.level
    row["ood_score"] = math.nan if told is None or told.ood_score is None else told.ood_score
    row["preferred"] = "" if told is None else told.preferred or ""
    row["flags"] = "" if told is None else "; ".join(flag.code for flag in told.flags)
    row["refused"] = outcome.reason if isinstance(outcome, Refusal) else ""
    return row


def _provenance(record: WholeRecord) -> dict[str, Any]:
    result = record.result
    return {
        "program": "GBX",
        "version": result.provenance.package_version,
        "run_uid": result.scan.run_uid,
        "record": record.key,
        "analysed": iso_time(record.created),
        "measured": None if result.scan.started is None else iso_time(result.scan.started),
        "sample": result.scan.sample,
        "temperature_K": result.scan.temperature,
        "config_hash": result.provenance.config_hash,
        "algorithm_version": result.provenance.algorithm_version,
        "schema_version": result.provenance.schema_version,
        "models": [inference.model_id for inference in record.inferences],
        "g2_convention": result.one_time.convention,
        "g2_error": "standard error with pairs of frames taken as independent: a lower bound",
        "geometry": result.geometry.mode,
        "flags": list(result.flags),
        "excluded": dict(result.excluded),
    }
