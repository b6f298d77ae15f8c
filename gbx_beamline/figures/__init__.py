"""Figures: what one scan says, what a series over temperature says, and how to keep them.

Drawn with matplotlib's object interface alone: no pyplot, no global settings, safe in threads.
"""

from __future__ import annotations

from gbx_beamline.figures.comparison import comparison_page
from gbx_beamline.figures.overview import temperature_overview
from gbx_beamline.figures.repeats import repeats_report
from gbx_beamline.figures.report import scan_report
from gbx_beamline.figures.saving import save, save_arrays

__all__ = ["comparison_page", "repeats_report", "save", "save_arrays", "scan_report", "temperature_overview"]
