"""What the pages about an ensemble say in words: their head, and what to know before believing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from matplotlib.figure import Figure

from gbx_beamline.figures import style, words
from gbx_beamline.figures._simulation_ensemble import EnsembleView

SQUARE_ANGSTROM = 1e20
"""Å^2 in a m^2."""

MEASURE_TITLES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "s_noneq_norm": ("√S_noneq, a ratio of norms", "as the paper's Fig. 3c and its code"),
        "s_noneq": ("S_noneq, a share of variance", "Eq. 3 as printed: the square"),
    }
)

LABELS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "diffusivity": ("D", "m²/s"),
        "gamma": ("GB friction γ = 1/M", "J s m⁻⁴"),
        "gb_fraction": ("λ_GB", ""),
        "temperature": ("T", "K"),
    }
)
"""Symbol and unit of each parameter."""


def page(ensemble: EnsembleView, width: float, bottom: float, asides: Sequence[str]) -> Figure:
    """A page with nothing but its head and what stands at its foot.

    Args:
        ensemble: which the page is about.
        width: inches.
        bottom: where the foot begins, inches from the upper edge.
        asides: what the foot says before the ensemble's own cautions.
    """
    characters = int((width - 0.7) / 0.078)
    foot = "\n".join(words.wrapped(line, characters) for line in (*asides, *_cautions(ensemble)))
    figure = style.blank_page(width, bottom + 0.22 * (foot.count("\n") + 1) + 0.2)
    title = f"Simulated ensemble  ·  {ensemble.mode} mode  ·  {len(ensemble.members):,} members"
    style.page_text(figure, 0.35, 0.3, title, fontsize=style.HEAD, fontweight="bold")
    style.page_text(figure, 0.35, 0.8, words.joined(_facts(ensemble), characters), color=style.QUIET)
    style.page_text(figure, 0.35, bottom, foot, fontsize=style.SMALL, color=style.QUIET)
    return figure


def _facts(ensemble: EnsembleView) -> list[str]:
    """What numbers of S_noneq belong to."""
    said = [
        f"q∥ = {words.number(ensemble.q * 1e-10)} 1/Å"
        + (f" (q-ROI {ensemble.roi + 1} of {ensemble.rois})" if ensemble.rois > 1 else ""),
        f"window {words.duration(ensemble.window)}",
        f"time cells of {words.duration(ensemble.cell)}",
    ]
    if ensemble.mode == "paper":
        steps = {"euler": "Euler-Maruyama steps", "exact": "exact sampling"}[ensemble.choices["method"]]
        return [*said, "no measurement noise", steps]
    return said


def _cautions(ensemble: EnsembleView) -> list[str]:
    """What a reader should know before he believes a page."""
    said: list[str] = []
    if ensemble.mode != "paper":
        said.append(
            "Bare S_noneq of maps as measured: photon and speckle noise, stripes and drifts of the beam count as "
            "non-stationary and raise it."
        )
    elif ensemble.choices["noise"] == "fixed":
        said.append("All members share one noise, as in the paper's released code: S_noneq belongs to that one noise.")
    if ensemble.left_out:
        said.append(f"{ensemble.left_out} members left out: their maps have no S_noneq.")
    return said + [f"{note[0].upper()}{note[1:]}." for note in ensemble.notes]


def with_unit(name: str, value: float) -> str:
    """A parameter's value as people say it."""
    label, unit = LABELS[name]
    said = f"{label} {words.number(value)} {unit}".rstrip()
    return f"{said} ({words.number(value * SQUARE_ANGSTROM, 2)} Å²/s)" if name == "diffusivity" else said
