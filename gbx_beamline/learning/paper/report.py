"""The paper's numbers about a model: R^2 on the ensemble, and how well predictions explain the experiments' S_noneq."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.learning.evaluation.paper_measures import r_squared
from gbx_beamline.learning.paper.experiments import ExperimentalMaps
from gbx_beamline.learning.paper.model import PaperModel
from gbx_beamline.learning.paper.splits import Split
from gbx_beamline.records import PARAMETERS

PARTS = ("train", "validation", "test")


def r_squared_by_part(
    model: PaperModel, maps: NDArray[np.float32], unit: NDArray[np.float32], split: Split
) -> dict[str, dict[str, float]]:
    """R^2 of each parameter in each part of the ensemble, of the units that the network sees (log10 D, not D).

    Args:
        model: to report on.
        maps: (m, n, n) of the ensemble.
        unit: (m, 3) their parameters on 0..1.
        split: of the members.
    """
    report: dict[str, dict[str, float]] = {}
    for part in PARTS:
        rows: NDArray[np.int64] = getattr(split, part)
        found = r_squared(unit[rows], model.unit(maps[rows]))
        report[part] = dict(zip(PARAMETERS, found.tolist(), strict=True))
    return report


def s_error(model: PaperModel, experiments: ExperimentalMaps) -> float:
    """Mean absolute difference of the surrogate's S_noneq of predictions and the measured one of the kind that the
    model was adapted to, as ratios of norms; NaN where no S_noneq is known.

    Raises:
        InputError: a vanilla model, which has no surrogate.
    """
    measured = experiments.target(model.need_surrogate().s)
    rows = np.flatnonzero(np.isfinite(measured))
    if not len(rows):
        return float("nan")
    return float(np.abs(model.implied_s(experiments.maps[rows]) - measured[rows]).mean())


def s_error_by_part(model: PaperModel, experiments: ExperimentalMaps, split: Split) -> dict[str, float]:
    """``s_error`` of each part of the experiments."""
    return {part: s_error(model, experiments.rows(getattr(split, part))) for part in PARTS}
