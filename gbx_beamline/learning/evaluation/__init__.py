"""Judging models: by the truth about virtual experiments, by calibration, and by the paper's own measures.

``evaluate`` asks a model of any family about prepared suites (``learning.virtual``) and returns an
``EvaluationReport``; ``evaluation_tables`` shows several side by side.
"""

from __future__ import annotations

from gbx_beamline.learning.evaluation.answers import Answers, ask
from gbx_beamline.learning.evaluation.bounds import suite_bounds
from gbx_beamline.learning.evaluation.cramer_rao import PRIOR_SD, Bound, cramer_rao
from gbx_beamline.learning.evaluation.judging import SUITES, HasFeatures, HasSimulationTest, evaluate
from gbx_beamline.learning.evaluation.report import EvaluationReport, Features
from gbx_beamline.learning.evaluation.tables import evaluation_tables

__all__ = [
    "PRIOR_SD",
    "SUITES",
    "Answers",
    "Bound",
    "EvaluationReport",
    "Features",
    "HasFeatures",
    "HasSimulationTest",
    "ask",
    "cramer_rao",
    "evaluate",
    "evaluation_tables",
    "suite_bounds",
]
