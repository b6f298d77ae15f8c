"""The page that says trust or do not, and why: as text, and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from gbx_beamline.commissioning._boundaries import true_values
from gbx_beamline.commissioning.findings import Interval, Part, TrialOutcome, Verdict, together
from gbx_beamline.commissioning.reading import UNITS, claims_of, shares_of, times_of
from gbx_beamline.commissioning.trials import BOUNDARIES, CAPABILITIES, COLLOID, STATIC, TRIALS, Trust, trust
from gbx_beamline.figures import style, words
from gbx_beamline.figures.style import Place
from gbx_beamline.records import ScanResult

WORDS: Mapping[Verdict | None, str] = {
    "pass": "trust",
    "fail": "do not trust",
    "undetermined": "not shown",
    None: "not tried",
}
_MARKS: Mapping[Verdict | None, tuple[str, str]] = {
    "pass": ("✓", "#00654c"),
    "fail": ("✗", "#a4003d"),
    "undetermined": ("?", style.NOTE),
    None: ("·", style.QUIET),
}
_WIDTH = 13.6
_CHARACTERS = 138


@dataclass(frozen=True, kw_only=True)
class About:
    """What was commissioned."""

    campaign: str
    simulated: bool
    version: str
    level: float
    """Of the intervals that were compared."""


def headline(outcomes: Sequence[TrialOutcome], *, simulated: bool) -> str:
    """One sentence over all."""
    found = [one for one in trust(outcomes, simulated=simulated) if one.verdict is not None or one.untried]
    bad = [one for one in found if one.verdict == "fail"]
    good = [one for one in found if one.verdict == "pass"]
    if bad:
        return f"Do not trust it: {len(bad)} of {len(found)} capabilities failed"
    if found and len(good) == len(found):
        return "Trust it: every trial came out as expected"
    if good:
        return f"Trust {len(good)} of {len(found)} capabilities: the others are not shown"
    passed = sum(one.verdict == "pass" for one in outcomes)
    return f"{passed} of {len(outcomes)} trials as expected: no capability is shown in full"


def worst(outcomes: Sequence[TrialOutcome], *, simulated: bool) -> Verdict:
    """Of all capabilities that can be shown."""
    found = [one for one in trust(outcomes, simulated=simulated) if one.verdict is not None or one.untried]
    return together(one.verdict or "undetermined" for one in found)


def _said_of(outcomes: Sequence[TrialOutcome], one: Trust) -> str:
    """Trust or not, and why not."""
    if one.verdict is None:
        return WORDS[None] if one.untried else "only a simulation knows: gbx demo --commission"
    problems = [
        f"{outcome.title}: {finding.what}"
        for outcome in outcomes
        if outcome.capability == one.capability
        for finding in outcome.findings
        if finding.verdict != "pass"
    ]
    problems += [f"not tried: {title}" for title in one.untried]
    return f"{WORDS[one.verdict]}: {'; '.join(problems[:3])}" if problems else WORDS[one.verdict]


def markdown(outcomes: Sequence[TrialOutcome], about: About) -> str:
    """Every trial with what was expected beside what came out."""
    where = "simulated beamline" if about.simulated else "beamline"
    lines = [
        f"# {headline(outcomes, simulated=about.simulated)}",
        "",
        f"Commissioning campaign {about.campaign}, {where}, GBX {about.version}. Intervals are of {about.level:.0%}.",
        "",
        "| | capability | |",
        "|---|---|---|",
    ]
    for one in trust(outcomes, simulated=about.simulated):
        lines.append(f"| {_MARKS[one.verdict][0]} | {one.capability} | {_cell(_said_of(outcomes, one))} |")
    for capability in CAPABILITIES:
        own = [one for one in outcomes if one.capability == capability]
        if own:
            lines += ["", f"## {capability}"]
        for outcome in own:
            runs = ", ".join(uid[:8] for uid in outcome.runs)
            lines += ["", f"### {_MARKS[outcome.verdict][0]} {outcome.title}", ""]
            lines += [f"`{outcome.name}`, {TRIALS[outcome.name].source}, runs {runs}", ""]
            lines += ["| | what | expected | what came out |", "|---|---|---|---|"]
            for finding in outcome.findings:
                why = f" **{_cell(finding.why)}**" if finding.why else ""
                lines.append(
                    f"| {_MARKS[finding.verdict][0]} | {_cell(finding.what)} | {_cell(finding.expected)} | "
                    f"{_cell(finding.found)}{why} |"
                )
    lines += ["", "✓ as expected, ✗ not, ? the data do not say.", ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def page(outcomes: Sequence[TrialOutcome], parts: Mapping[str, Part], about: About) -> Figure:
    """Draw the verdicts, and the numbers that they rest on.

    Args:
        outcomes: Of ``judge``.
        parts: All runs by ``"trial: part"``.
        about: What was commissioned.
    """
    rows = list(_rows(outcomes, about))
    top, panels = 1.45, 3.3
    lower = top + sum(height for *_, height in rows) + 0.9
    figure = style.blank_page(_WIDTH, lower + panels + 0.95)
    colour = _MARKS[worst(outcomes, simulated=about.simulated)][1]
    title = headline(outcomes, simulated=about.simulated)
    style.page_text(figure, 0.35, 0.3, title, fontsize=style.HEAD, fontweight="bold", color=colour)
    where = "simulated beamline" if about.simulated else "beamline"
    facts = f"Commissioning {about.campaign}  ·  {where}  ·  GBX {about.version}  ·  intervals of {about.level:.0%}"
    style.page_text(figure, 0.35, 0.85, facts, color=style.QUIET)
    for left, mark, text, looks, height in rows:
        symbol, colour = _MARKS[mark]
        style.page_text(figure, left, top, symbol, color=colour, fontweight="bold")
        style.page_text(figure, left + 0.3, top, text, **looks)
        top += height
    _draw(figure, parts, about, Place(0.95, lower, 3.1, panels))
    return figure


def _rows(
    outcomes: Sequence[TrialOutcome], about: About
) -> list[tuple[float, Verdict | None, str, dict[str, object], float]]:
    """Left edge, mark, text, looks and height of each line."""
    rows: list[tuple[float, Verdict | None, str, dict[str, object], float]] = []
    for one in trust(outcomes, simulated=about.simulated):
        told = WORDS[one.verdict] if one.verdict is not None else _said_of(outcomes, one)
        looks: dict[str, object] = {"fontweight": "bold", "color": _MARKS[one.verdict][1]}
        rows.append((0.35, one.verdict, f"{one.capability}: {told}", looks, style.LINE * 1.25))
        for outcome in outcomes:
            if outcome.capability == one.capability:
                told = words.wrapped(f"{outcome.title}.  {_summary(outcome)}", _CHARACTERS)
                looks = {"fontsize": style.SMALL, "color": style.INK}
                rows.append((0.65, outcome.verdict, told, looks, style.LINE * (told.count("\n") + 1)))
        if one.verdict is not None and one.untried:
            left_out = words.wrapped(f"Not tried: {'; '.join(one.untried)}.", _CHARACTERS)
            looks = {"fontsize": style.SMALL, "color": style.NOTE}
            rows.append((0.65, None, left_out, looks, style.LINE * (left_out.count("\n") + 1)))
        left, mark, text, looks, height = rows[-1]
        rows[-1] = (left, mark, text, looks, height + 0.12)
    return rows


def _summary(outcome: TrialOutcome) -> str:
    """The first thing that is not as expected, else what came out of the first findings."""
    for finding in outcome.findings:
        if finding.verdict != "pass":
            why = f" ({finding.why})" if finding.why else ""
            return words.shortened(f"{finding.what}: {finding.found}, expected {finding.expected}{why}", 230)
    telling = (one for one in outcome.findings if not one.found.startswith("undetermined"))
    told, count = next(telling, outcome.findings[0]), len(outcome.findings)
    said = words.shortened(f"{told.what}: {told.found}", 150)
    # A capital gamma is another quantity.
    first = said[0].upper() if said[0].isascii() else said[0]
    return f"{first}{said[1:]}  ({count} of {count} as expected)"


def _draw(figure: Figure, parts: Mapping[str, Part], about: About, first: Place) -> None:
    _times(style.page_axes(figure, first), parts, about)
    second = first.right_of(2.35, 2.5)
    _shares(style.page_axes(figure, second), parts, about)
    _answers(style.page_axes(figure, second.right_of(1.85, 2.35)), parts, about)


def _times(axes: Axes, parts: Mapping[str, Part], about: About) -> None:
    style.titled(axes, "Colloid: relaxation time", "line: Stokes and Einstein, no fit")
    drawn = [(name, part) for name, part in parts.items() if part.trial == COLLOID and _result(part) is not None]
    known = [(n, part.told["diffusivity"]) for n, part in drawn if "diffusivity" in part.told]
    if not known:
        style.sentence(axes, "no colloid in this campaign", characters=24)
        return
    low, high = np.inf, 0.0
    for order, (_, part) in enumerate(drawn):
        result = _result(part)
        assert result is not None
        q = np.asarray(result.rois.q_par)
        for index, one in enumerate(times_of(result, about.level)):
            if one is None:
                continue
            low, high = min(low, float(q[index])), max(high, float(q[index]))
            ends = [[max(one.value - one.low, 0.0)], [one.high - one.value]]
            colour, label = style.series_colour(order), part.name if index == 0 else None
            axes.errorbar(q[index] * 1e-10, one.value, yerr=ends, fmt=style.marker(order), color=colour, label=label,
                          markersize=5, capsize=2)  # fmt: skip
    if low < high:
        line = np.geomspace(low / 1.1, high * 1.1, 50)
        axes.plot(line * 1e-10, 1.0 / (float(known[0][1]) * line**2), color=style.QUIET, linewidth=1.2, zorder=1)
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        _plain(axis)
    axes.tick_params(which="both", labelsize=style.SMALL - 1)
    axes.legend(fontsize=style.SMALL, frameon=False)
    style.labelled(axes, "q (1/Å)", "τ (s)")


def _plain(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis of little more than a decade."""
    axis.set_major_formatter(lambda value, _: words.power_of_ten(value))
    axis.set_minor_formatter(lambda value, _: words.power_of_ten(value) if _leads(value) else "")


def _leads(value: float) -> bool:
    return value > 0 and round(value / 10 ** np.floor(np.log10(value) + 1e-9)) in (2, 4, 6)


def _shares(axes: Axes, parts: Mapping[str, Part], about: About) -> None:
    style.titled(axes, "Corrected S_noneq", "each q-ROI must hold 0")
    rows = [
        part
        for part in parts.values()
        if part.trial in (STATIC, COLLOID, "dump", "flux_ramp") or part.told.get("each_tile")
    ]
    if not rows:
        style.sentence(axes, "nothing in this campaign must be 0", characters=24)
        return
    for place, part in enumerate(rows):
        result = _result(part)
        found = [] if result is None else shares_of(result, about.level)
        if not any(found):
            looks: dict[str, Any] = {"fontsize": style.SMALL - 2, "color": style.QUIET, "va": "center"}
            axes.text(0.03, place, "undetermined", transform=axes.get_yaxis_transform(), **looks)
        for index, one in enumerate(found):
            if one is not None:
                height = place + 0.5 * (index - 0.5 * (len(found) - 1)) / max(1, len(found))
                _bar(axes, one, height, style.MEASURED if one.holds(0.0) else style.FITTED)
    axes.axvline(0.0, color=style.QUIET, linewidth=1.0)
    axes.set(yticks=range(len(rows)), ylim=(len(rows) - 0.4, -0.6))
    axes.set_yticklabels([_label(part) for part in rows], fontsize=style.SMALL - 2)
    style.few_ticks(axes, x=4)
    axes.set_yticks(range(len(rows)))
    style.labelled(axes, "S_noneq", "")


def _answers(axes: Axes, parts: Mapping[str, Part], about: About) -> None:
    style.titled(axes, "Boundaries: γ", "line: true; grey: undetermined")
    scans = [
        (name, part)
        for name, part in parts.items()
        if part.trial in (BOUNDARIES, "static_background")
        or (part.trial in ("halved", "rebinned") and part.name == BOUNDARIES.replace("_", " "))
    ]
    if not scans:
        style.sentence(axes, "no grain boundaries in this campaign", characters=24)
        return
    for place, (_, part) in enumerate(scans):
        claim = claims_of(part.inference, about.level).get("gamma")
        if claim is not None:
            _bar(axes, claim.interval, place, style.MEASURED if claim.determined else style.NEUTRAL)
    truth = next((one.scan.truth for _, part in scans if (one := _result(part)) is not None and one.scan.truth), None)
    if truth is not None:
        axes.axvline(true_values(truth)["gamma"], color=style.FITTED, linewidth=1.2)
    axes.set(xscale="log", yticks=range(len(scans)), ylim=(len(scans) - 0.5, -0.5))
    _plain(axes.xaxis)
    axes.tick_params(axis="x", which="both", labelsize=style.SMALL - 2)
    axes.set_yticklabels(
        [part.trial.replace("_", " ") if part.trial != BOUNDARIES else "as measured" for _, part in scans],
        fontsize=style.SMALL - 2,
    )
    style.labelled(axes, f"γ ({UNITS['gamma']})", "")


def _label(part: Part) -> str:
    if part.told.get("each_tile"):
        return "tiles permuted"
    name = part.name.removeprefix("transmission ")
    return part.trial.replace("_", " ") + (f", {name}" if name != part.name else "")


def _bar(axes: Axes, one: Interval, height: float, colour: str) -> None:
    axes.plot([one.low, one.high], [height, height], color=colour, linewidth=2.0, solid_capstyle="butt")
    axes.plot([one.value], [height], marker="o", color=colour, markersize=4)


def _result(part: Part) -> ScanResult | None:
    return part.outcome if isinstance(part.outcome, ScanResult) else None
