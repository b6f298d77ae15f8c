"""The counterparts of the paper's Figs. 2-4, made from what a catalog, a model store and an ensemble hold.

Fig. 2: measured two-time maps over temperature, their drift, cuts at several ages, S_noneq. Fig. 3: simulated maps,
cuts and S_noneq over the parameters. Fig. 4: models on virtual experiments,
and what the model says of the measured scans.
"""

from __future__ import annotations

from gbx_beamline.figures.paper._pages import FORMATS, PaperSources, paper_files, save_paper_figures
from gbx_beamline.figures.paper._scans import PaperScan, paper_scans

__all__ = ["FORMATS", "PaperScan", "PaperSources", "paper_files", "paper_scans", "save_paper_figures"]
