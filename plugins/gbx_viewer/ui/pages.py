"""What a model says as a page of rich text."""

from __future__ import annotations

import html

from gbx_viewer.model.inference import Verdict
from gbx_viewer.ui.theme import Theme

_KEY = (
    "Contours hold 50 % (line) and 90 % (dashes) of the posterior; dots are the sample's scans, brighter where warmer."
)


def page(verdict: Verdict, theme: Theme) -> str:
    """Parameters with intervals, the preferred model, flags."""
    parts = [
        _entry(theme, one.name, one.value, one.below, theme.ink if one.determined else theme.quiet)
        for one in verdict.lines
    ]
    if verdict.kinds:
        name, share = verdict.kinds[0]
        others = ", ".join(f"{kind} {_percent(value)}" for kind, value in verdict.kinds[1:4] if value >= 0.005)
        parts.append(_entry(theme, "preferred model", f"{name}, {_percent(share)}", others, theme.ink, size=11))
    parts += [_paragraph(f"▲ {flag}", theme.warn, theme.points(9)) for flag in verdict.flags]
    parts.append(_paragraph(_KEY, theme.quiet, theme.points(8.5)))
    return "".join(parts)


def _entry(theme: Theme, name: str, value: str, below: str, colour: str, *, size: float = 13) -> str:
    small = f"color:{theme.quiet};font-size:{theme.points(9):.1f}pt"
    return (
        f'<p style="margin:0 0 6px 0"><span style="{small}">{html.escape(name)}</span><br>'
        f'<span style="color:{colour};font-size:{theme.points(size):.1f}pt;font-weight:600">{html.escape(value)}</span>'
        f'<br><span style="{small}">{html.escape(below)}</span></p>'
    )


def _paragraph(words: str, colour: str, size: float) -> str:
    return f'<p style="margin:0 0 4px 0;color:{colour};font-size:{size:.1f}pt">{html.escape(words)}</p>'


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\u00a0%"
