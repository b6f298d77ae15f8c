"""Material-dose groups, and what a model says of one, as tables, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gbx_beamline.figures.inference_tables import interval
from gbx_beamline.figures.tables import FILE_WIDTH
from gbx_beamline.records import PARAMETERS, GroupAnswer, Refusal

if TYPE_CHECKING:
    from gbx_beamline.catalog import GroupedScan, MaterialDoseGroup

Row = dict[str, Any]

_CAPTION = (
    "dose: on the spot when the scan began and when it ended, over all analysed scans of the spot; spots and ranges as "
    "`groups` of the configuration says. Ask a model about one with --infer GROUP."
)
_UM = 1e6


def group_rows(groups: Sequence[MaterialDoseGroup]) -> list[Row]:
    """One row per scan; doses in the unit that the row names, positions in um, None = unknown."""
    return [
        {
            "group": group.name,
            "sample": group.sample,
            "spot": group.spot or None,
            **{f"{axis}_um": round(value * _UM, 3) for axis, value in group.position.items()},
            "run_uid": scan.record.run_uid,
            "started": scan.record.metadata["started"],
            "temperature_K": scan.record.metadata["temperature"],
            "dose_before": _known(scan.before),
            "dose_after": _known(scan.after),
            "unknown": "; ".join(scan.unknown),
            "record": scan.record.key,
        }
        for group in groups
        for scan in group.scans
    ]


def answer_rows(answers: Sequence[GroupAnswer]) -> list[Row]:
    """One row per scan: medians and intervals in SI, or why the model refused it."""
    rows = []
    for answer in answers:
        found = answer.outcome
        row: Row = {"run_uid": answer.scan.run_uid, "temperature_K": answer.scan.temperature, "record": answer.record}
        refused = isinstance(found, Refusal)
        for name in PARAMETERS:
            one = None if refused else found.parameters[name]
            row |= {f"{name}{end}": getattr(one, part, None) for end, part in _ENDS}
        row["flags"] = "" if refused else "; ".join(flag.code for flag in found.flags)
        row["refused"] = found.reason if refused else ""
        row["model"] = found.model_id
        rows.append(row)
    return rows


_ENDS = (("", "median"), ("_low", "low"), ("_high", "high"))


def groups_as_text(groups: Sequence[MaterialDoseGroup], form: str) -> str:
    """All scans by group as CSV or as a JSON list."""
    return _text(group_rows(groups), form)


def answers_as_text(answers: Sequence[GroupAnswer], form: str) -> str:
    """What a model says of a group as CSV or as a JSON list."""
    return _text(answer_rows(answers), form)


def print_groups(groups: Sequence[MaterialDoseGroup], *, failed: int = 0) -> None:
    """Print a table on standard output, what is unknown in words below it.

    Args:
        groups: As ``material_dose_groups`` gives them.
        failed: Runs that could not be analysed: their dose is in no sum.
    """
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in ("group", "uid", "T/K", "dose before", "after"):
        table.add_column(name, justify="left" if name in ("group", "uid") else "right", no_wrap=name != "group")
    for group in groups:
        for order, scan in enumerate(group.scans):
            kelvin = scan.record.metadata["temperature"]
            table.add_row(
                "" if order else Text(group.name),
                scan.record.run_uid[:8],
                "–" if kelvin is None else f"{kelvin:.1f}",
                _dose(scan.before),
                _dose(scan.after),
                end_section=order == len(group.scans) - 1,
            )
    notes = _unknown([scan for group in groups for scan in group.scans])
    if failed:
        notes.append(f"{failed} runs could not be analysed: their dose is in no sum")
    _print(table, [*notes, _CAPTION])


def print_answers(name: str, answers: Sequence[GroupAnswer]) -> None:
    """Print what a model says of the scans of one group."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for head in ("uid", "T/K", "D m²/s", "γ J s m⁻⁴", "λ_GB"):
        table.add_column(head, justify="left" if head == "uid" else "right", no_wrap=True)
    notes: dict[str, list[str]] = {}
    for answer in answers:
        uid, found = answer.scan.run_uid[:8], answer.outcome
        kelvin = "–" if answer.scan.temperature is None else f"{answer.scan.temperature:.1f}"
        if isinstance(found, Refusal):
            table.add_row(uid, kelvin, "refused", "–", "–")
            notes.setdefault(f"refused by the model: {found.reason}", []).append(uid)
            continue
        codes = {flag.code for flag in found.flags}
        cells = []
        for parameter in PARAMETERS:
            one = found.parameters[parameter]
            said = interval(parameter, {"median": one.median, "low": one.low, "high": one.high})
            cells.append("undet." if f"undetermined:{parameter}" in codes else said)
        table.add_row(uid, kelvin, *cells)
        for flag in found.flags:
            notes.setdefault(flag.text, []).append(uid)
    models = ", ".join(dict.fromkeys(answer.outcome.model_id for answer in answers))
    _print(
        table,
        [
            *(f"{', '.join(uids)}: {text}" for text, uids in notes.items()),
            f"{name}: scans within 2 K share D and γ, all share λ; medians with 90 % intervals; model {models}.",
        ],
    )


def _unknown(scans: Sequence[GroupedScan]) -> list[str]:
    said: dict[str, list[str]] = {}
    for scan in scans:
        for text in scan.unknown:
            said.setdefault(text, []).append(scan.record.run_uid[:8])
    everyone = len({scan.record.run_uid for scan in scans})
    return [f"{'all' if len(uids) == everyone > 1 else ', '.join(uids)}: {text}" for text, uids in said.items()]


def _print(table: Table, notes: Sequence[str]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(FILE_WIDTH, console.width))
    console.print(table)
    for note in notes:
        console.print(Text(note, style="dim"), soft_wrap=True)


def _text(rows: Sequence[Row], form: str) -> str:
    if form == "json":
        return json.dumps(rows, indent=1)
    buffer = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(buffer, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().rstrip("\n")


def _dose(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.3g}"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
