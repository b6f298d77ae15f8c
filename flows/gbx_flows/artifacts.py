"""Reports in Prefect's own pages."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable

from PIL import Image

from gbx_beamline.catalog import RecordSummary
from gbx_beamline.figures import scan_report, words
from gbx_beamline.figures.tables import rows
from gbx_beamline.records import ScanFailure, ScanInference, ScanResult

_PICTURE_DPI = 60
"""Enough to read every number; the full picture comes from ``gbx report``."""

_LARGEST_PICTURE = 200_000
"""Bytes of PNG. The artifact lives in Prefect's database and comes with every listing of artifacts."""

_COLUMNS = (
    *("roi", "q_par_1/A", "frames", "s_corrected", "s_low", "s_high", "s_noneq", "s_noneq_norm", "s_true"),
    *("drift/contrast", "tau_s", "status"),
)


def artifact_key(uid: str) -> str:
    """Key of the artifact of one run; Prefect takes lower-case letters, digits and dashes only."""
    return f"xpcs-{re.sub('[^a-z0-9]+', '-', uid.lower())}"


def report_markdown(
    outcome: ScanResult | ScanFailure,
    summaries: Iterable[RecordSummary],
    inference: ScanInference | None = None,
    not_inferred: str = "",
) -> str:
    """Table and picture of one scan, or the reason why there is none.

    Args:
        outcome: the record.
        summaries: its line in the list of records.
        inference: what the model says.
        not_inferred: why no model was asked.
    """
    scan = outcome.scan
    temperature = "unknown temperature" if scan.temperature is None else f"{scan.temperature:.1f} K"
    head = f"# {scan.sample or 'unnamed sample'}, {temperature}\n\nrun `{scan.run_uid}`\n\n"
    if isinstance(outcome, ScanFailure):
        return f"{head}**Not analysed** ({outcome.kind}): {outcome.reason}\n"
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|" + " --- |" * len(_COLUMNS)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in _COLUMNS) + " |" for row in rows(summaries)]
    said = _inferred(inference, not_inferred)
    return (
        head
        + said
        + "\n".join(lines)
        + f"\n\n![two-time correlation and drift](data:image/png;base64,{_picture(outcome, inference)})\n"
    )


def _inferred(inference: ScanInference | None, not_inferred: str) -> str:
    """What the model says, with every flag: an answer is never shown without them."""
    if inference is None:
        return f"**No inference**: {not_inferred}\n\n" if not_inferred else ""
    said, limits = words.inferred(inference)
    return f"**{said}**\n\n" + "".join(f"- {limit}\n" for limit in limits) + "\n"


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")


def _picture(result: ScanResult, inference: ScanInference | None) -> str:
    """The scan report as a PNG in base64, shrunk until it is small enough."""
    drawn = io.BytesIO()
    scan_report(result, inference=inference).savefig(drawn, format="png", dpi=_PICTURE_DPI)
    with Image.open(drawn) as opened:
        image = opened.convert("RGB")
    while len(content := _palette_png(image)) > _LARGEST_PICTURE:
        image = image.resize((image.width * 4 // 5, image.height * 4 // 5), Image.Resampling.BOX)
    return base64.b64encode(content).decode()


def _palette_png(image: Image.Image) -> bytes:
    # Noisy maps compress badly: 256 colours take a quarter of the bytes. By coverage, so that rare colours, the
    # ends of the colour scales, stay what they are; the median cut gives them away.
    colours = image.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    content = io.BytesIO()
    colours.save(content, format="PNG", optimize=True)
    return content.getvalue()
