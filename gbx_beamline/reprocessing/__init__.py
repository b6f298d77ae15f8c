"""Old runs analysed again with today's settings and models; what was there before stays beside it."""

from gbx_beamline.reprocessing._choosing import Choice, Chosen, Job, choose
from gbx_beamline.reprocessing._outcome import Reprocessed
from gbx_beamline.reprocessing._table import COLUMNS, cells, counted, reasons
from gbx_beamline.reprocessing._working import Request, foresee, work

__all__ = [
    "COLUMNS",
    "Choice",
    "Chosen",
    "Job",
    "Reprocessed",
    "Request",
    "cells",
    "choose",
    "counted",
    "foresee",
    "reasons",
    "work",
]
