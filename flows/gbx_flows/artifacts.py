"""Reports in Prefect's own pages."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable

from gbx_beamline.catalog import RecordSummary
from gbx_beamline.figures import scan_report
from gbx_beamline.figures.tables import rows
from gbx_beamline.records import ScanFailure, ScanResult

_PICTURE_DPI = 60
"""Small enough to live inside the artifact; the full picture comes from ``gbx report``."""

_COLUMNS = ("roi", "q_par_1/A", "frames", "s_noneq", "s_noneq_norm", "s_true", "drift/contrast", "tau_s", "status")


def artifact_key(uid: str) -> str:
    """Key of the artifact of one run; Prefect takes lower-case letters, digits and dashes only."""
    return f"xpcs-{re.sub('[^a-z0-9]+', '-', uid.lower())}"


def report_markdown(outcome: ScanResult | ScanFailure, summaries: Iterable[RecordSummary]) -> str:
    """Table and picture of one scan, or the reason why there is none."""
    scan = outcome.scan
    temperature = "unknown temperature" if scan.temperature is None else f"{scan.temperature:.1f} K"
    head = f"# {scan.sample or 'unnamed sample'}, {temperature}\n\nrun `{scan.run_uid}`\n\n"
    if isinstance(outcome, ScanFailure):
        return f"{head}**Not analysed** ({outcome.kind}): {outcome.reason}\n"
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|" + " --- |" * len(_COLUMNS)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in _COLUMNS) + " |" for row in rows(summaries)]
    return (
        head + "\n".join(lines) + f"\n\n![two-time correlation and drift](data:image/png;base64,{_picture(outcome)})\n"
    )


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")


def _picture(result: ScanResult) -> str:
    buffer = io.BytesIO()
    scan_report(result).savefig(buffer, format="png", dpi=_PICTURE_DPI)
    return base64.b64encode(buffer.getvalue()).decode()
