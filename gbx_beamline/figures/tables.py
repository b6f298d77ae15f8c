"""Results as rows: one per q-ROI, for terminals, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable
from typing import Any, Literal

from rich.table import Table

from gbx_beamline.catalog.read import RecordSummary

ANGSTROM = 1e-10

Row = dict[str, Any]


def rows(records: Iterable[RecordSummary]) -> list[Row]:
    """One row per q-ROI of each result and one per failure; q in 1/Angstrom, times in s, None = not measured."""
    return [row for record in records for row in (_failure(record) if record.failed else _result(record))]


def _common(record: RecordSummary) -> Row:
    meta = record.metadata
    return {
        "run_uid": meta["run_uid"],
        "sample": meta["sample"],
        "temperature_K": meta["temperature"],
    }


def _failure(record: RecordSummary) -> list[Row]:
    blank = dict.fromkeys(
        ("roi", "q_par_1/A", "q_z_1/A", "frames", "s_noneq", "s_noneq_norm", "s_true", "drift/contrast", "tau_s")
    )
    return [_common(record) | blank | {"status": f"failed: {record.metadata['reason']}", "record": record.key}]


def _result(record: RecordSummary) -> list[Row]:
    meta = record.metadata
    truth = (meta["scan"].get("truth") or {}).get("s_noneq") or []
    found = []
    for i, roi in enumerate(meta["rois"]):
        ne, rate = roi["nonequilibrium"], roi["fit"]["rate"]
        status = "ok" if ne["status"] == "ok" else ne["status"]
        found.append(
            _common(record)
            | {
                "roi": roi["name"],
                "q_par_1/A": _scaled(roi["q_par"]),
                "q_z_1/A": _scaled(roi["q_z"]),
                "frames": meta["frames"],
                "s_noneq": ne["s_noneq"],
                "s_noneq_norm": ne["s_noneq_norm"],
                "s_true": truth[i] if i < len(truth) else None,
                "drift/contrast": ne["drift_rms_over_contrast"],
                "tau_s": 1.0 / rate if rate else None,
                "status": "; ".join([status, *meta["flags"]]),
                "record": record.key,
            }
        )
    return found


def _scaled(q: float | None) -> float | None:
    return None if q is None else round(q * ANGSTROM, 12)


def as_text(records: Iterable[RecordSummary], form: Literal["csv", "json"]) -> str:
    """All rows as CSV (one header line) or as a JSON list."""
    content = rows(records)
    if form == "json":
        return json.dumps(content, indent=1)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(content[0]) if content else ["run_uid"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(content)
    return buffer.getvalue().rstrip("\n")


def as_table(records: Iterable[RecordSummary], *, title: str = "") -> Table:
    """The rows as a table for terminals."""
    table = Table(title=title or None, title_justify="left", caption=_CAPTION, caption_justify="left")
    for name, justify in _COLUMNS:
        table.add_column(name, justify=justify, no_wrap=name != "status", overflow="fold")
    previous = None
    for row in rows(records):
        uid = row["run_uid"]
        if previous not in (None, uid):
            table.add_section()
        first = uid != previous
        previous = uid
        table.add_row(
            uid[:8] if first else "",
            (row["sample"] or "") if first else "",
            _show(row["temperature_K"], ".0f") if first else "",
            row["roi"] or "",
            _show(row["q_par_1/A"], ".4f"),
            _show(row["frames"], "d"),
            _show(row["s_noneq"], ".3f"),
            _show(row["s_true"], ".3f"),
            _show(row["drift/contrast"], ".3f"),
            _show(row["tau_s"], ".3g"),
            row["status"],
        )
    return table


_COLUMNS: list[tuple[str, Literal["left", "right"]]] = [
    ("uid", "left"),
    ("sample", "left"),
    ("T/K", "right"),
    ("q-ROI", "left"),
    ("q_par 1/Å", "right"),
    ("frames", "right"),
    ("S_noneq", "right"),
    ("true S", "right"),
    ("drift/β", "right"),
    ("τ/s", "right"),
    ("status", "left"),
]
_CAPTION = (
    "S_noneq: share of g2's variance that breaks time-translation invariance (Eq. 3); "
    "true S: of the simulated run without noise; drift/β: rms drift over contrast."
)


def _show(value: float | int | None, form: str) -> str:
    return "–" if value is None or (isinstance(value, float) and math.isnan(value)) else format(value, form)
