"""What stood around the frames: a run's event streams on detector time, and the dose that follows from them.

``read_channels`` takes the configured data keys out of a run that is opened in Tiled, ``place`` puts them onto the
frames, ``exposure_of`` adds up the dose and ``record_of`` makes them small enough to keep.
"""

from __future__ import annotations

from gbx_beamline.traces._clock import FirstFrame, first_frame
from gbx_beamline.traces._exposure import exposure_of
from gbx_beamline.traces._placing import Placed, place, record_of
from gbx_beamline.traces._reading import ClockFacts, Reading, Readings, read_channels
from gbx_beamline.traces._values import limit_of

__all__ = [
    "ClockFacts",
    "FirstFrame",
    "Placed",
    "Reading",
    "Readings",
    "exposure_of",
    "first_frame",
    "limit_of",
    "place",
    "read_channels",
    "record_of",
]
