"""Two-time and one-time correlation of photon counts, and what is read off them along their diagonals.

The conventions are those of the field (baseline 1, each frame's own ROI mean in the denominator);
they are spelt out where they are computed: ``_two_time.py``, ``_one_time.py`` and ``_fit.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gbx_beamline._lazy import lazily

if TYPE_CHECKING:
    from gbx_beamline.correlation._ageing import age_slices as age_slices
    from gbx_beamline.correlation._engines import probe_engines as probe_engines
    from gbx_beamline.correlation._fit import fit_decay as fit_decay
    from gbx_beamline.correlation._g4 import g4 as g4
    from gbx_beamline.correlation._group_curves import curve_noise as curve_noise
    from gbx_beamline.correlation._kinetics import fit_kinetics as fit_kinetics
    from gbx_beamline.correlation._live import LiveTwoTime as LiveTwoTime
    from gbx_beamline.correlation._multi_tau import lag_edges as lag_edges
    from gbx_beamline.correlation._multi_tau import multi_tau as multi_tau
    from gbx_beamline.correlation._one_time import one_time as one_time
    from gbx_beamline.correlation._preview import GrowingPreview as GrowingPreview
    from gbx_beamline.correlation._scaling import scaling as scaling
    from gbx_beamline.correlation._two_time import Collected as Collected
    from gbx_beamline.correlation._two_time import collect_rois as collect_rois
    from gbx_beamline.correlation._two_time import correlate as correlate
    from gbx_beamline.correlation._two_time import two_time as two_time

_HOMES = {
    "Collected": "_two_time",
    "GrowingPreview": "_preview",
    "LiveTwoTime": "_live",
    "age_slices": "_ageing",
    "collect_rois": "_two_time",
    "correlate": "_two_time",
    "curve_noise": "_group_curves",
    "fit_decay": "_fit",
    "fit_kinetics": "_kinetics",
    "g4": "_g4",
    "lag_edges": "_multi_tau",
    "multi_tau": "_multi_tau",
    "one_time": "_one_time",
    "probe_engines": "_engines",
    "scaling": "_scaling",
    "two_time": "_two_time",
}

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

__getattr__, __dir__ = lazily(__name__, _HOMES)
