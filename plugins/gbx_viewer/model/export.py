"""What is on screen as data and as a report that can be sent to somebody."""

from __future__ import annotations

import base64
import csv
import html
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gbx_viewer.model import headline, saying
from gbx_viewer.model.inference import Verdict
from gbx_viewer.model.maps import age_cut, lag_cut
from gbx_viewer.model.regions import ANGSTROM
from gbx_viewer.model.runs import RunRow
from gbx_viewer.model.scan import Decay, ScanView, TimeMap
from gbx_viewer.model.trend import Trend

COLUMNS = ("quantity", "run_uid", "q_roi", "x", "x_unit", "y", "y_unit", "low", "high")

_Line = tuple[str | float, ...]


@dataclass(frozen=True, eq=False)
class OnScreen:
    """What there is to export. None where nothing of the kind is shown."""

    row: RunRow
    view: ScanView | None
    index: int
    shown: TimeMap | None
    cross: tuple[float, float] | None
    """t1 and t2 of the cross-hair, s."""
    decay: Decay | None
    trend: Trend | None
    verdict: Verdict | None


def as_csv(screen: OnScreen) -> str:
    """All curves on screen in one tidy table: ``pandas.read_csv`` reads it as it is.

    ``low`` and ``high`` are the ends of a standard error for g2, of the 95 % interval for S_noneq; empty = not known.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(value) for value in line] for line in _lines(screen))
    return buffer.getvalue()


def _lines(screen: OnScreen) -> Iterator[_Line]:
    uid = screen.row.uid
    roi = screen.view.names[screen.index] if screen.view is not None and screen.view.names else ""
    if (decay := screen.decay) is not None:
        for tau, g2, error in zip(decay.tau, decay.g2, decay.error, strict=True):
            yield "g2", uid, roi, tau, "s", g2, "1", g2 - error, g2 + error
        for tau, g2 in zip(*(decay.fitted or ((), ())), strict=True):
            yield "g2_fit", uid, roi, tau, "s", g2, "1", math.nan, math.nan
    if screen.shown is not None and screen.cross is not None:
        t1, t2 = screen.cross
        kind = screen.shown.kind
        for name, cut in (
            (f"{kind}_over_lag_at_age_{t1:.6g}_s", lag_cut(screen.shown, t1)),
            (f"{kind}_over_age_at_lag_{abs(t2 - t1):.6g}_s", age_cut(screen.shown, t2 - t1)),
        ):
            for x, y in zip(cut.along, cut.values, strict=True):
                yield name, uid, roi, x, "s", y, "1", math.nan, math.nan
    if (view := screen.view) is not None and screen.index < len(view.frame_means):
        for frame, counts in enumerate(view.frame_means[screen.index]):
            yield "counts_per_pixel", uid, roi, (frame + 0.5) * view.step, "s", counts, "1", math.nan, math.nan
    if screen.trend is not None:
        unit = {"time": "unix s", "temperature": "K", "age": "s"}.get(str(screen.trend.against), "1")
        for one in screen.trend.points:
            yield "s_noneq_corrected", one.uid, roi, one.x, unit, one.value, "1", one.low, one.high
            yield "drift_rms_over_contrast", one.uid, roi, one.x, unit, one.drift, "1", math.nan, math.nan


def _cell(value: str | float) -> str | float:
    return "" if isinstance(value, float) and not math.isfinite(value) else value


def as_report(screen: OnScreen, pictures: Mapping[str, bytes]) -> str:
    """One HTML file with everything inside it.

    Args:
        screen: What is shown.
        pictures: PNG of each panel, by its title.
    """
    row, view = screen.row, screen.view
    name, about = headline.title(row, view)
    roi = view.roi(screen.index) if view is not None else row.headline
    numbers = "".join(
        f"<td><small>{_safe(one.name)}</small><br><b>{_safe(one.value)}</b><br><small>{_safe(one.below)}</small></td>"
        for one in headline.figures(row, roi)
    )
    shown = "".join(
        f'<h2>{_safe(title)}</h2><img alt="{_safe(title)}" src="{_inline(png)}">' for title, png in pictures.items()
    )
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_safe(name)}</title><style>{_STYLE}</style>'
        f"<h1>{_safe(name)}</h1><p>{_safe(about)}<br>run {_safe(row.uid)}<br>{_safe(headline.state(row, view))}</p>"
        f"<table><tr>{numbers}</tr></table>{_list('To know before believing it', _flags(screen))}{shown}"
        f"{_list('Made by', _made_by(screen))}<p><small>{made}, GBX viewer</small></p></html>"
    )


_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:1100px;margin:32px auto;padding:0 16px;color:#15191e}"
    "td{padding:8px 28px 8px 0;vertical-align:top}b{font-size:26px}small{color:#5a6572}img{max-width:100%}"
    "h2{font-size:17px;margin:28px 0 6px}"
)


def _flags(screen: OnScreen) -> Sequence[str]:
    flags = list(screen.view.flags if screen.view is not None else screen.row.flags)
    if screen.verdict is not None:
        flags += [f"the model does not judge this scan: {screen.verdict.refused}"] if screen.verdict.refused else []
        flags += screen.verdict.flags
    return flags


def _made_by(screen: OnScreen) -> Sequence[str]:
    view = screen.view
    lines = [] if view is None or view.made_by is None else [f"{name}: {value}" for name, value in view.made_by.items()]
    if view is not None and (roi := view.roi(screen.index)) is not None:
        q = f"{roi.q_par * ANGSTROM:.4g} 1/Å" if math.isfinite(roi.q_par) else "not known"
        lines.append(f"q-ROI {roi.name}: q∥ {q}, {roi.pixels} pixels")
    if screen.verdict is not None:
        lines.append(f"model: {screen.verdict.model}")
    lines.append(saying.warmth(screen.row.temperature))
    return lines


def _list(title: str, items: Sequence[str]) -> str:
    return f"<h2>{title}</h2><ul>{''.join(f'<li>{_safe(item)}</li>' for item in items)}</ul>" if items else ""


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _safe(words: str) -> str:
    return html.escape(words)
