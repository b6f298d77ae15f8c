"""All pages with their captions, in three formats each, and one file with all captions in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from gbx_beamline.figures import style, words
from gbx_beamline.figures._simulation_ensemble import EnsembleView
from gbx_beamline.figures._simulation_examples import examples_of
from gbx_beamline.figures._simulation_examples_page import examples_page
from gbx_beamline.figures._simulation_phase_page import phase_page
from gbx_beamline.figures.paper import _words as say
from gbx_beamline.figures.paper._inferred_page import inferred_page
from gbx_beamline.figures.paper._measured_page import measured_page, place_of
from gbx_beamline.figures.paper._scans import PaperScan
from gbx_beamline.figures.reduction import best_roi
from gbx_beamline.figures.saving import save, write_whole
from gbx_beamline.whole_files import place_taken

if TYPE_CHECKING:
    from gbx_beamline.learning.evaluation import EvaluationReport

FORMATS = ("pdf", "svg", "png")
CAPTIONS = "captions.md"
_PAGES = ("figure2_measured", "figure3_maps", "figure3_phase", "figure4_models", "figure4_inferred")


@dataclass(frozen=True, kw_only=True, eq=False)
class PaperSources:
    """What the figures are made from."""

    package_version: str
    """Of what draws them."""
    catalog: str
    """Where the scans lie."""
    scans: Sequence[PaperScan]
    """Of one sample, coldest first."""
    ensemble: EnsembleView
    ensemble_origin: Mapping[str, str] = field(default_factory=dict)
    """What made the ensemble: hash of its settings, seed, versions."""
    reports: Sequence[EvaluationReport] = ()
    """Of models on the truth suite; none where no model was evaluated here."""
    roi: str | None = None
    """Name of the q-ROI of Fig. 2; None = the one that holds the most information."""


def paper_files(folder: Path) -> list[Path]:
    """Every file that :func:`save_paper_figures` may write."""
    return [*(folder / f"{name}.{form}" for name in _PAGES for form in FORMATS), folder / CAPTIONS]


def save_paper_figures(sources: PaperSources, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Draw the counterparts of Figs. 2-4 and write each as PDF, SVG and PNG.

    Args:
        sources: what they are made from.
        folder: made when absent.
        overwrite: True replaces files that are there.

    Returns:
        Paths written: the pages, and ``captions.md`` with run uids, hashes and model ids in full and with what could
        not be drawn and why.

    Raises:
        InputError: a file already there, before anything is drawn; no such q-ROI; or a folder that cannot be written.
    """
    taken = [path for path in paper_files(folder) if path.exists()]
    if taken and not overwrite:
        raise place_taken(taken[0])
    pages, captions = drawn(sources)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, figure in pages.items():
        captioned(figure, captions[name].short)
        written += [save(figure, folder / f"{name}.{form}", overwrite=overwrite) for form in FORMATS]
    text = "\n\n".join(f"## {name}\n\n{caption.full}" for name, caption in captions.items())
    content = f"# Counterparts of the paper's Figs. 2-4\n\n{say.made_by(sources)}\n\n{text}\n"
    written.append(write_whole(content.encode(), folder / CAPTIONS, overwrite))
    if overwrite:
        # A page that this call did not draw is of an earlier one: with today's captions it would be taken for theirs.
        for path in taken:
            if path not in written:
                path.unlink()
    return written


def drawn(sources: PaperSources) -> tuple[dict[str, Figure], dict[str, say.Caption]]:
    """Pages that can be drawn, and a caption for each; for what cannot be drawn the caption says why."""
    roi = sources.roi or best_roi([scan.result for scan in sources.scans])
    shown = [scan for scan in sources.scans if place_of(scan, roi) is not None]
    if not shown:
        raise say.no_such_roi(roi, sources.scans)
    pages = {
        "figure2_measured": measured_page(shown, roi),
        "figure3_maps": examples_page(sources.ensemble, examples_of(sources.ensemble)),
        "figure3_phase": phase_page(sources.ensemble),
    }
    captions = {
        "figure2_measured": say.measured(shown, roi, left_out=len(sources.scans) - len(shown)),
        "figure3_maps": say.simulated(sources, "Two-time maps of four members, with cuts at several ages (Fig. 3a, b)"),
        "figure3_phase": say.simulated(sources, "S_noneq over the parameters (Fig. 3c)"),
    }
    if sources.reports:
        from gbx_beamline.figures._evaluation_families import families_page

        pages["figure4_models"] = families_page(sources.reports)
        captions["figure4_models"] = say.judged(sources.reports)
    else:
        captions["figure4_models"] = say.NOT_EVALUATED
    if any(scan.answer is not None for scan in sources.scans):
        pages["figure4_inferred"] = inferred_page(sources.scans, sources.ensemble)
        captions["figure4_inferred"] = say.inferred(sources)
    else:
        captions["figure4_inferred"] = say.NOT_INFERRED
    return pages, captions


def captioned(figure: Figure, text: str) -> None:
    """Lengthen a page at its foot by a caption. What is on it keeps its size and its place below the upper edge."""
    width, height = figure.get_size_inches()
    lines = words.wrapped(text, int((width - 0.7) / 0.082))
    taller = height + 0.2 * (lines.count("\n") + 1) + 0.3
    figure.set_size_inches(width, taller)
    share = height / taller
    for axes in figure.axes:
        left, bottom, wide, high = axes.get_position(original=True).bounds
        axes.set_position((left, 1.0 - share + share * bottom, wide, share * high))
    for words_there in figure.texts:
        words_there.set_y(1.0 - share + share * words_there.get_position()[1])
    for line in figure.lines:
        line.set_ydata(1.0 - share + share * np.asarray(line.get_ydata(orig=True)))
    style.page_text(figure, 0.35, height + 0.1, lines, fontsize=style.SMALL, color=style.INK)
