"""Frozen results and the Protocols between parts: what flows through GBX, with shape, unit and dtype.

Symbols used for shapes: N frames, (y, x) detector rows and columns, Q q-ROIs, K pixel groups, n binned time cells.
Arrays inside a record are to be read, not written.
"""

from __future__ import annotations

from gbx_beamline.records._arrays import Bools, Floats, Labels, Region
from gbx_beamline.records._care import (
    Exclusions,
    FrameVerdict,
    Jump,
    JumpCheck,
    MotionCheck,
    PixelVerdict,
    Segment,
    SegmentKind,
)
from gbx_beamline.records._comparison import Between, ComparedRoi, ComparedScan, Comparison, Verdict
from gbx_beamline.records._correlation import FineLags, OneTime, PixelGroups, TwoTime
from gbx_beamline.records._detector import FrameSource, Geometry, RoiSet
from gbx_beamline.records._facts import RoiFacts, ScanFacts, facts_of, words_of_motion
from gbx_beamline.records._floor import FloorRoi, InstrumentFloor, NoFloor
from gbx_beamline.records._inference import (
    PARAMETERS,
    Estimate,
    Flag,
    GroupAnswer,
    Inference,
    Place,
    Predictor,
    Refusal,
    ScanInference,
)
from gbx_beamline.records._kinetics import G4, AgeSlices, DecayFit, ErrorSource, KineticsFit, MultiTau, Scaling
from gbx_beamline.records._live import LIVE_VERSION, Liveness, LiveShare, LiveState
from gbx_beamline.records._movement import BeamCheck, Movement, Mover
from gbx_beamline.records._non_equilibrium import AgeWindow, CorrectedS, NonEquilibrium, Share
from gbx_beamline.records._repeats import AVERAGE_VERSION, Combined, Repeat, RepeatedFigure, RepeatedRoi, RepeatsAverage
from gbx_beamline.records._scan import (
    ALGORITHM_VERSION,
    CORRELATION_VERSION,
    READABLE_SCHEMAS,
    SCHEMA_VERSION,
    Provenance,
    ResultSink,
    ScanFailure,
    ScanInfo,
    ScanResult,
)
from gbx_beamline.records._traces import Exposure, RoiMeasure, SegmentMeasure, Trace, Traces

__all__ = [
    "ALGORITHM_VERSION",
    "AVERAGE_VERSION",
    "CORRELATION_VERSION",
    "G4",
    "LIVE_VERSION",
    "PARAMETERS",
    "READABLE_SCHEMAS",
    "SCHEMA_VERSION",
    "AgeSlices",
    "AgeWindow",
    "BeamCheck",
    "Between",
    "Bools",
    "Combined",
    "ComparedRoi",
    "ComparedScan",
    "Comparison",
    "CorrectedS",
    "DecayFit",
    "ErrorSource",
    "Estimate",
    "Exclusions",
    "Exposure",
    "FineLags",
    "Flag",
    "Floats",
    "FloorRoi",
    "FrameSource",
    "FrameVerdict",
    "Geometry",
    "GroupAnswer",
    "Inference",
    "InstrumentFloor",
    "Jump",
    "JumpCheck",
    "KineticsFit",
    "Labels",
    "LiveShare",
    "LiveState",
    "Liveness",
    "MotionCheck",
    "Movement",
    "Mover",
    "MultiTau",
    "NoFloor",
    "NonEquilibrium",
    "OneTime",
    "PixelGroups",
    "PixelVerdict",
    "Place",
    "Predictor",
    "Provenance",
    "Refusal",
    "Region",
    "Repeat",
    "RepeatedFigure",
    "RepeatedRoi",
    "RepeatsAverage",
    "ResultSink",
    "RoiFacts",
    "RoiMeasure",
    "RoiSet",
    "Scaling",
    "ScanFacts",
    "ScanFailure",
    "ScanInference",
    "ScanInfo",
    "ScanResult",
    "Segment",
    "SegmentKind",
    "SegmentMeasure",
    "Share",
    "Trace",
    "Traces",
    "TwoTime",
    "Verdict",
    "facts_of",
    "words_of_motion",
]
