"""Frozen results and the Protocols between parts: what flows through GBX, with shape, unit and dtype.

Symbols used for shapes: N frames, (y, x) detector rows and columns, Q q-ROIs, K pixel groups, n binned time cells.
Arrays inside a record are to be read, not written.
"""

from __future__ import annotations

from gbx_beamline.records._arrays import Bools, Floats, Labels, Region
from gbx_beamline.records._care import Exclusions, FrameVerdict, Jump, JumpCheck, MotionCheck, PixelVerdict, Segment
from gbx_beamline.records._correlation import FineLags, OneTime, PixelGroups, TwoTime
from gbx_beamline.records._detector import FrameSource, Geometry, RoiSet
from gbx_beamline.records._inference import (
    PARAMETERS,
    Estimate,
    Flag,
    Inference,
    Predictor,
    Refusal,
    ScanInference,
)
from gbx_beamline.records._kinetics import G4, AgeSlices, DecayFit, ErrorSource, KineticsFit, MultiTau, Scaling
from gbx_beamline.records._live import LIVE_VERSION, Liveness, LiveShare, LiveState
from gbx_beamline.records._non_equilibrium import AgeWindow, CorrectedS, NonEquilibrium, Share
from gbx_beamline.records._repeats import AVERAGE_VERSION, Combined, Repeat, RepeatedFigure, RepeatedRoi, RepeatsAverage
from gbx_beamline.records._scan import (
    ALGORITHM_VERSION,
    SCHEMA_VERSION,
    Provenance,
    ResultSink,
    ScanFailure,
    ScanInfo,
    ScanResult,
)

__all__ = [
    "ALGORITHM_VERSION",
    "AVERAGE_VERSION",
    "G4",
    "LIVE_VERSION",
    "PARAMETERS",
    "SCHEMA_VERSION",
    "AgeSlices",
    "AgeWindow",
    "Bools",
    "Combined",
    "CorrectedS",
    "DecayFit",
    "ErrorSource",
    "Estimate",
    "Exclusions",
    "FineLags",
    "Flag",
    "Floats",
    "FrameSource",
    "FrameVerdict",
    "Geometry",
    "Inference",
    "Jump",
    "JumpCheck",
    "KineticsFit",
    "Labels",
    "LiveShare",
    "LiveState",
    "Liveness",
    "MotionCheck",
    "MultiTau",
    "NonEquilibrium",
    "OneTime",
    "PixelGroups",
    "PixelVerdict",
    "Predictor",
    "Provenance",
    "Refusal",
    "Region",
    "Repeat",
    "RepeatedFigure",
    "RepeatedRoi",
    "RepeatsAverage",
    "ResultSink",
    "RoiSet",
    "Scaling",
    "ScanFailure",
    "ScanInference",
    "ScanInfo",
    "ScanResult",
    "Segment",
    "Share",
    "TwoTime",
]
