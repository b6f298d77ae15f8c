"""Comparisons of scans at two attenuations as tables and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gbx_beamline.figures import words
from gbx_beamline.figures.tables import FILE_WIDTH
from gbx_beamline.records import Between, ComparedRoi, Comparison

_COLOURS = {"sample": "bold green", "beam drives it": "bold red", "undetermined": "bold yellow"}
_CAPTION = (
    "intervals of 95 %; rates: relaxation rate at the highest dose rate over that at the lowest, 1 where the beam does "
    "nothing; dose rate: transmission x relative intensity, 1 = the full beam."
)


def as_json(found: Sequence[Comparison]) -> str:
    """Everything but the curves, as a JSON list; None = not known."""
    return json.dumps([_entry(one) for one in found], indent=1)


def print_comparison(found: Comparison) -> None:
    """Print the verdict, a table with one row for each q-ROI and scan, and the notes, on standard output."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(FILE_WIDTH, console.width))
    verdict = Text(f"{found.sample or 'sample not named'}: ")
    verdict.append(found.verdict, style=_COLOURS[found.verdict])
    console.print(verdict)
    console.print(Text(found.reason), soft_wrap=True)
    console.print()
    console.print(_table(found))
    for note in (*found.notes, _CAPTION):
        console.print(Text(note, style="dim"), soft_wrap=True)


def _table(found: Comparison) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in ("q-ROI", "uid", "T", "dose rate", "τ/s", "exponent", "contrast", "S_noneq", "rates"):
        table.add_column(name, justify="left" if name in ("q-ROI", "uid") else "right", no_wrap=True)
    for roi in found.rois:
        for order, scan in enumerate(found.scans):
            last = order == len(found.scans) - 1
            table.add_row(
                Text("" if order else roi.name or "–"),
                scan.run_uid[:8],
                _number(scan.transmission),
                _number(scan.dose_rate),
                _time(roi, order),
                _half(roi.exponent[order]),
                _number(roi.contrast[order]),
                _half(roi.s_corrected[order], 3),
                _ratio(roi.rate_ratio) if last else "",
                end_section=last,
            )
    return table


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "–"


def _time(roi: ComparedRoi, order: int) -> str:
    one = roi.relaxation_time[order]
    if not math.isfinite(one.value):
        return roi.fit_status[order].partition(":")[0]
    return f"{words.number(one.value)} ({words.number(one.low)} to {words.number(one.high)})"


def _half(one: Between, places: int = 2) -> str:
    if not math.isfinite(one.value):
        return "–"
    if not math.isfinite(one.low):
        return f"{one.value:.{places}f}"
    half = max(one.value - one.low, one.high - one.value)
    return f"{round(one.value, places) + 0.0:.{places}f} ±{half:.{places}f}"


def _ratio(one: Between | None) -> str:
    if one is None:
        return "–"
    if math.isfinite(one.value):
        return f"{one.value:.3g} ({one.low:.3g} to {one.high:.3g})"
    return f"> {one.low:.3g}" if one.low > 0 else f"< {one.high:.3g}"


def _entry(found: Comparison) -> dict[str, Any]:
    return {
        "sample": found.sample,
        "verdict": found.verdict,
        "reason": found.reason,
        "dose_ratio": _known(found.dose_ratio),
        "rate_ratio": _between(found.rate_ratio),
        "beam_share": _between(found.beam_share),
        "scans": [
            {
                "run_uid": scan.run_uid,
                "record": scan.record,
                "started": scan.started,
                "temperature_K": scan.temperature,
                "transmission": _known(scan.transmission),
                "dose_rate": _known(scan.dose_rate),
            }
            for scan in found.scans
        ],
        "rois": [
            {
                "roi": roi.name,
                "q_par_1/m": _known(roi.q_par),
                "q_z_1/m": _known(roi.q_z),
                "contrast": [_known(value) for value in roi.contrast],
                "tau_s": [_between(one) for one in roi.relaxation_time],
                "exponent": [_between(one) for one in roi.exponent],
                "fit_status": list(roi.fit_status),
                "s_corrected": [_between(one) for one in roi.s_corrected],
                "s_difference": _between(roi.s_difference),
                "rate_ratio": _between(roi.rate_ratio),
            }
            for roi in found.rois
        ],
        "notes": list(found.notes),
    }


def _between(one: Between | None) -> dict[str, float | None] | None:
    return None if one is None else {"value": _known(one.value), "low": _known(one.low), "high": _known(one.high)}


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
