"""The measurement model: what detector, beam and photons make of the sample's field correlation.

Two levels share settings, traces and expected maps: ``measured_two_time`` counts photons in pixels and correlates
them as an analysis does, ``measured_maps`` draws maps of the same mean, covariance and S_noneq in a millisecond.
"""

from __future__ import annotations

from gbx_beamline.simulation.measurement._expected import expected_two_time
from gbx_beamline.simulation.measurement._maps import Maps, measured_maps, measured_maps_batch
from gbx_beamline.simulation.measurement._photons import MeasuredScan, measured_two_time, photon_counts
from gbx_beamline.simulation.measurement._prior import SamplePrior, VirtualScan, draw_measurement, draw_sample_group
from gbx_beamline.simulation.measurement._q_nodes import draw_seen
from gbx_beamline.simulation.measurement._settings import EFFECTS, Effect, Measurement
from gbx_beamline.simulation.measurement._traces import Traces, traces_of

__all__ = [
    "EFFECTS",
    "Effect",
    "Maps",
    "MeasuredScan",
    "Measurement",
    "SamplePrior",
    "Traces",
    "VirtualScan",
    "draw_measurement",
    "draw_sample_group",
    "draw_seen",
    "expected_two_time",
    "measured_maps",
    "measured_maps_batch",
    "measured_two_time",
    "photon_counts",
    "traces_of",
]
