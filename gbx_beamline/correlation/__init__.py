"""Two-time and one-time correlation of photon counts, and what is read off them along their diagonals.

The conventions are those of the field (baseline 1, each frame's own ROI mean in the denominator);
they are spelt out where they are computed: ``_two_time.py``, ``_one_time.py`` and ``_fit.py``.
"""

from __future__ import annotations

from gbx_beamline.correlation._ageing import age_slices
from gbx_beamline.correlation._engines import probe as probe_engines
from gbx_beamline.correlation._fit import fit_decay
from gbx_beamline.correlation._g4 import g4
from gbx_beamline.correlation._group_curves import curve_noise
from gbx_beamline.correlation._kinetics import fit_kinetics
from gbx_beamline.correlation._live import LiveTwoTime
from gbx_beamline.correlation._multi_tau import lag_edges, multi_tau
from gbx_beamline.correlation._one_time import one_time
from gbx_beamline.correlation._preview import GrowingPreview
from gbx_beamline.correlation._scaling import scaling
from gbx_beamline.correlation._two_time import Collected, collect_rois, correlate, two_time

__all__ = [
    "Collected",
    "GrowingPreview",
    "LiveTwoTime",
    "age_slices",
    "collect_rois",
    "correlate",
    "curve_noise",
    "fit_decay",
    "fit_kinetics",
    "g4",
    "lag_edges",
    "multi_tau",
    "one_time",
    "probe_engines",
    "scaling",
    "two_time",
]
