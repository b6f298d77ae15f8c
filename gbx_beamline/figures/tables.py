"""Results as rows: one per q-ROI, for terminals, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from gbx_beamline.figures import beside, inference_tables
from gbx_beamline.figures.beside import Beside

if TYPE_CHECKING:
    from gbx_beamline.catalog import InferenceSummary, RecordSummary

ANGSTROM = 1e-10

FILE_WIDTH = 200
"""Columns of a table that goes into a file or a pipe, where no terminal tells its width."""

Row = dict[str, Any]

COLUMNS = (
    *("run_uid", "sample", "temperature_K"),
    *("roi", "q_par_1/A", "q_z_1/A", "frames", "s_corrected", "s_low", "s_high", "s_status"),
    *("s_noneq", "s_noneq_norm", "s_true"),
    *("drift/contrast", "drift_bare/contrast", "tau_s", "status", "record"),
    *beside.COLUMNS,
    *inference_tables.COLUMNS,
)
"""Keys of a row, in order."""


def rows(
    records: Iterable[RecordSummary], inferences: Iterable[InferenceSummary] = (), around: Beside | None = None
) -> list[Row]:
    """One row per q-ROI of each result and one per failure; q in 1/Angstrom, times in s, None = not measured.

    What a model says is of the whole scan: it stands in each of its rows. ``around`` is what stands beside the records.
    """
    said = inference_tables.newest(inferences)
    around = around or Beside()
    return [
        row | inference_tables.row(said.get(record.key))
        for record in records
        for row in (_failure(record) if record.failed else _result(record, around))
    ]


def _common(record: RecordSummary) -> Row:
    meta = record.metadata
    return {
        "run_uid": meta["run_uid"],
        "sample": meta["sample"],
        "temperature_K": meta["temperature"],
    }


def _failure(record: RecordSummary) -> list[Row]:
    blank: Row = dict.fromkeys(COLUMNS)
    return [blank | _common(record) | {"status": f"failed: {record.metadata['reason']}", "record": record.key}]


def _result(record: RecordSummary, around: Beside) -> list[Row]:
    meta = record.metadata
    truth = (meta["scan"].get("truth") or {}).get("s_noneq") or []
    found = []
    for i, roi in enumerate(meta["rois"]):
        ne, rate = roi["nonequilibrium"], roi["fit"]["rate"]
        status = "ok" if ne["status"] == "ok" else ne["status"]
        corrected = ne["corrected"] or {}
        known = corrected.get("status") == "ok"
        found.append(
            _common(record)
            | {
                "roi": roi["name"],
                "q_par_1/A": _scaled(roi["q_par"]),
                "q_z_1/A": _scaled(roi["q_z"]),
                "frames": meta["frames"],
                "s_corrected": corrected["value"] if known else None,
                "s_low": corrected["low"] if known else None,
                "s_high": corrected["high"] if known else None,
                "s_status": ne["corrected_status"],
                "s_noneq": ne["s_noneq"],
                "s_noneq_norm": ne["s_noneq_norm"],
                "s_true": truth[i] if i < len(truth) else None,
                "drift/contrast": corrected.get("drift_rms_over_contrast"),
                "drift_bare/contrast": ne["drift_rms_over_contrast"],
                "tau_s": 1.0 / rate if rate else None,
                "status": "; ".join([status, *meta["flags"]]),
                "record": record.key,
            }
            | around.row(record.key, i)
        )
    return found


def _scaled(q: float | None) -> float | None:
    return None if q is None else round(q * ANGSTROM, 12)


def as_text(
    records: Iterable[RecordSummary],
    form: Literal["csv", "json"],
    inferences: Iterable[InferenceSummary] = (),
    around: Beside | None = None,
) -> str:
    """All rows as CSV (one header line) or as a JSON list."""
    content = rows(records, inferences, around)
    if form == "json":
        return json.dumps(content, indent=1)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(content)
    return buffer.getvalue().rstrip("\n")


def print_table(
    records: Sequence[RecordSummary], inferences: Iterable[InferenceSummary] = (), around: Beside | None = None
) -> None:
    """Print the table of ``as_table`` on standard output, and what models say of the scans below it.

    Lines below the table are left to the terminal to wrap, so that a path in them can be copied whole; in a file
    nothing is cut, and there are no colour codes.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(FILE_WIDTH, console.width))
    console.print(_table(records))
    for note in _notes(records, around):
        console.print(note, soft_wrap=True)
    inferred = inference_tables.inference_table(records, inferences)
    if inferred is not None:
        console.print()
        for part in inferred.renderables:
            console.print(part, soft_wrap=isinstance(part, Text))


def as_table(records: Sequence[RecordSummary], *, title: str = "") -> Group:
    """The rows as a table for terminals of 80 columns, with samples, flags and failures in words below it."""
    return Group(*([Text(title, style="bold")] if title else []), _table(records), *_notes(records))


def _table(records: Sequence[RecordSummary]) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in ("uid", "T/K", "q 1/Å", "frames", "S_noneq", "true S", "drift/β", "τ/s", "status"):
        table.add_column(name, justify="left" if name in ("uid", "status") else "right", no_wrap=True)
    for record in records:
        content = rows([record])
        for i, row in enumerate(content):
            first = i == 0
            table.add_row(
                row["run_uid"][:8] if first else "",
                _show(row["temperature_K"], ".1f") if first else "",
                Text(_show(row["q_par_1/A"], ".4f") if row["q_par_1/A"] is not None else row["roi"] or "–"),
                _show(row["frames"], "d"),
                _share(row),
                _show(row["s_true"], ".3f"),
                _show(row["drift/contrast"], ".3f"),
                _show(row["tau_s"], ".3g"),
                "failed" if record.failed else "ok" if row["s_corrected"] is not None else "no S",
                # A line between records of one q-ROI would only double the length of a list.
                end_section=i == len(content) - 1 > 0,
            )
    return table


def _share(row: Row) -> str:
    """S_noneq with its interval, or what there is instead."""
    if row["s_corrected"] is not None:
        value = round(row["s_corrected"], 3) + 0.0  # no minus before nothing
        return f"{value:.3f} ±{max(value - row['s_low'], row['s_high'] - value):.3f}"
    return "–" if row["s_noneq"] is None else f"bare {row['s_noneq']:.3f}"


def _notes(records: Sequence[RecordSummary], around: Beside | None = None) -> list[Text]:
    """What the columns cannot hold: samples, and flags and reasons with the runs they belong to."""
    said: dict[str, list[str]] = {}
    for record in records:
        meta = record.metadata
        texts = [f"failed: {meta['reason']}"] if record.failed else list(meta["flags"])
        texts.append(f"sample {meta['sample'] or 'unnamed'}")
        if not record.failed:
            measures = [roi["nonequilibrium"] for roi in meta["rois"]]
            texts += [f"no S_noneq: {state}" for state in sorted({one["status"] for one in measures} - {"ok"})]
            reasons = {one["corrected_status"] for one in measures if one["status"] == "ok"} - {"ok"}
            texts += [f"no corrected S_noneq: {reason}" for reason in sorted(reasons)]
            texts += [] if around is None else around.remarks(record.key)
        for text in texts:
            said.setdefault(text, []).append(record.run_uid[:8])
    everywhere = len({record.run_uid for record in records})
    notes = []
    for text, uids in said.items():
        runs = list(dict.fromkeys(uids))
        notes.append(Text(f"{'all' if len(runs) == everywhere > 1 else ', '.join(runs)}: {text}", style="dim"))
    return [*notes, Text(_CAPTION, style="dim")] if records else notes


_CAPTION = (
    "S_noneq: share of g2's variance that breaks time-translation invariance (Eq. 3), freed of noise, with the wider "
    "side of its 95 % interval; bare: noise counts as well; true S: of the simulated run without noise; drift/β: rms "
    "drift without noise over contrast; τ: 1 / rate of the fitted decay."
)


def _show(value: float | int | None, form: str) -> str:
    return "–" if value is None or (isinstance(value, float) and math.isnan(value)) else format(value, form)
