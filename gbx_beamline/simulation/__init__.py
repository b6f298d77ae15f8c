"""Simulated experiments with known truth.

Movies of frames are in ``movie``, Eiger masters in ``eiger_scan``, the measurement model in ``measurement``, ensembles
in ``ensemble``: modules of their own, because they load more than a model needs.
"""

from __future__ import annotations

from gbx_beamline.simulation._batch import two_time_batch, two_time_blocks
from gbx_beamline.simulation._stability import StabilityWarning, excess_variance
from gbx_beamline.simulation.alternatives import alternative, draw_alternative
from gbx_beamline.simulation.grain_boundary import Draw, GrainBoundary
from gbx_beamline.simulation.paper import PaperEnsemble
from gbx_beamline.simulation.pixels import pixel_counts
from gbx_beamline.simulation.resample import area_mean
from gbx_beamline.simulation.speckle import SpeckleMovie, field_correlation

__all__ = [
    "Draw",
    "GrainBoundary",
    "PaperEnsemble",
    "SpeckleMovie",
    "StabilityWarning",
    "alternative",
    "area_mean",
    "draw_alternative",
    "excess_variance",
    "field_correlation",
    "pixel_counts",
    "two_time_batch",
    "two_time_blocks",
]
