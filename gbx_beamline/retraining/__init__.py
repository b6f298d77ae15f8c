"""New models from what was measured: accepted scans, data sets, the gate, and a monitor of drift."""

from gbx_beamline.retraining._accepting import AcceptedScan, Gathered, gather
from gbx_beamline.retraining._drift import DriftCheck, DriftReport
from gbx_beamline.retraining._foreseeing import Prospect, foresee
from gbx_beamline.retraining._freezing import frozen_under_way
from gbx_beamline.retraining._keeping import keep_model, restore_model
from gbx_beamline.retraining._outcome import (
    DRIFT_COLUMNS,
    KEPT,
    NOTHING,
    PROMOTED,
    WAITS,
    Outcome,
    drift_rows,
    in_markdown,
)
from gbx_beamline.retraining._reading import hash_of
from gbx_beamline.retraining._watching import drift_report
from gbx_beamline.retraining._working import retrain

__all__ = [
    "DRIFT_COLUMNS",
    "KEPT",
    "NOTHING",
    "PROMOTED",
    "WAITS",
    "AcceptedScan",
    "DriftCheck",
    "DriftReport",
    "Gathered",
    "Outcome",
    "Prospect",
    "drift_report",
    "drift_rows",
    "foresee",
    "frozen_under_way",
    "gather",
    "hash_of",
    "in_markdown",
    "keep_model",
    "restore_model",
    "retrain",
]
