"""What the pages about evaluations have in common: head, foot, and the names of things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gbx_beamline.figures import style, words
from gbx_beamline.learning.evaluation import EvaluationReport
from gbx_beamline.learning.evaluation.cramer_rao import PRIOR_SD
from gbx_beamline.records import PARAMETERS

SYMBOLS: Mapping[str, str] = MappingProxyType(
    {"diffusivity": "log₁₀ D (m²/s)", "gamma": "log₁₀ γ (J s m⁻⁴)", "gb_fraction": "λ_GB"}
)
SHORT: Mapping[str, str] = MappingProxyType({"diffusivity": "log₁₀ D", "gamma": "log₁₀ γ", "gb_fraction": "λ_GB"})
UNITS: Mapping[str, str] = MappingProxyType({"diffusivity": "dex", "gamma": "dex", "gb_fraction": ""})
RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"diffusivity": (-23.9, -20.1), "gamma": (16.9, 20.1), "gb_fraction": (-0.02, 0.52)}
)
"""What is drawn of each parameter."""

GUESS: Mapping[str, float] = MappingProxyType(dict(zip(PARAMETERS, PRIOR_SD.tolist(), strict=True)))
"""Error of an answer that is always the prior's mean."""


def page(title: str, reports: Sequence[EvaluationReport], width: float, bottom: float, asides: Sequence[str]) -> Figure:
    """A page with its head and foot.

    Args:
        title: of the page.
        reports: that it shows.
        width: inches.
        bottom: where the foot begins, inches from the upper edge.
        asides: what the foot says.
    """
    characters = int((width - 0.7) / 0.078)
    foot = "\n".join(words.wrapped(line, characters) for line in asides)
    figure = style.blank_page(width, bottom + 0.22 * (foot.count("\n") + 1) + 0.2)
    style.page_text(figure, 0.35, 0.3, title, fontsize=style.HEAD, fontweight="bold")
    suites = dict.fromkeys(f"{name} {key[:8]}" for report in reports for name, key in report.suites.items())
    facts = ["photon-level virtual experiments of known truth", *suites]
    style.page_text(figure, 0.35, 0.8, words.joined(facts, characters), color=style.QUIET)
    style.page_text(figure, 0.35, bottom, foot, fontsize=style.SMALL, color=style.QUIET)
    return figure


def legend(figure: Figure, left: float, top: float, reports: Sequence[EvaluationReport], *, step: float = 3.0) -> None:
    """Colour and marker of each family, in a row."""
    width, height = figure.get_size_inches()
    for order, report in enumerate(reports):
        x = left + order * step
        mark = Line2D(
            [(x + 0.1) / width],
            [1.0 - (top + 0.1) / height],
            color=style.series_colour(order),
            marker=style.marker(order),
            markersize=8,
            transform=figure.transFigure,
            figure=figure,
        )
        figure.lines.append(mark)
        style.page_text(figure, x + 0.28, top, words.shortened(report.family, int((step - 0.3) / 0.09)))


def said(axes: Axes, text: str, *, x: float = 0.04, y: float = 0.95) -> None:
    """A line or two inside a panel, on a ground that keeps them legible."""
    axes.text(
        x,
        y,
        text,
        transform=axes.transAxes,
        ha="left",
        va="top",
        fontsize=style.SMALL,
        color=style.INK,
        parse_math=False,
        bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5},
        zorder=6,
    )
