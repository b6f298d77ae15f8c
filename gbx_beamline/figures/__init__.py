"""Figures: what one scan says, what a series over temperature says, and how to keep them.

Drawn with matplotlib's object interface alone: no pyplot, no global settings, safe in threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gbx_beamline._lazy import lazily

if TYPE_CHECKING:
    from gbx_beamline.figures.comparison import comparison_page as comparison_page
    from gbx_beamline.figures.overview import temperature_overview as temperature_overview
    from gbx_beamline.figures.repeats import repeats_report as repeats_report
    from gbx_beamline.figures.report import scan_report as scan_report
    from gbx_beamline.figures.saving import save as save
    from gbx_beamline.figures.saving import save_arrays as save_arrays

_HOMES = {
    "comparison_page": "comparison",
    "repeats_report": "repeats",
    "save": "saving",
    "save_arrays": "saving",
    "scan_report": "report",
    "temperature_overview": "overview",
}

__all__ = ["comparison_page", "repeats_report", "save", "save_arrays", "scan_report", "temperature_overview"]

__getattr__, __dir__ = lazily(__name__, _HOMES)
