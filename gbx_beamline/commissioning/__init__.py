"""Reasons to trust an installation at its beamline, or not: trials whose answer is known before.

``TRIALS`` says what they are, ``judge`` compares what the catalog holds of their runs with what was expected,
``injection`` makes faults of recorded frames. No Qt, no Prefect, no RunEngine; plans are in ``gbx_bluesky``.
"""

from __future__ import annotations

from gbx_beamline.commissioning._liquid import stokes_einstein
from gbx_beamline.commissioning.findings import Finding, Part, TrialOutcome, Verdict
from gbx_beamline.commissioning.trials import (
    BOUNDARIES,
    CAPABILITIES,
    COLLOID,
    SAMPLE,
    STATIC,
    TRIALS,
    Trial,
    Trust,
    judge,
    trials_named,
    trust,
)

__all__ = [
    "BOUNDARIES",
    "CAPABILITIES",
    "COLLOID",
    "SAMPLE",
    "STATIC",
    "TRIALS",
    "Finding",
    "Part",
    "Trial",
    "TrialOutcome",
    "Trust",
    "Verdict",
    "judge",
    "stokes_einstein",
    "trials_named",
    "trust",
]
