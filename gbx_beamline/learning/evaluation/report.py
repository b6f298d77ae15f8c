"""All that an evaluation found of one model, as one object that JSON holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.learning.evaluation.answers import Answers, in_json
from gbx_beamline.learning.evaluation.calibration import (
    DoubtRates,
    RankHistogram,
    UndeterminedRates,
    doubt_rates,
    rank_histogram,
    undetermined_rates,
)
from gbx_beamline.learning.evaluation.paper_measures import SConsistency, s_consistency
from gbx_beamline.learning.evaluation.truth import TruthRow, truth_row, truth_rows
from gbx_beamline.records import PARAMETERS

FORMAT = 1
"""Of the JSON."""

ONE, ALL = "truth, one q-ROI", "truth, three q-ROIs"
GROUPED_ONE, GROUPED_ALL = f"{ONE}, samples together", f"{ALL}, samples together"
CALIBRATION, SEVERITIES, OUTSIDE, FOREIGN = "calibration", "severities", "outside", "foreign"
"""Views: which suite, and how much of each shot the model saw."""

JUDGED_ON = "D >= 1e-22"
"""Range that the shipped model's aims are about."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Where scans lie in a model's feature space, drawn in two dimensions."""

    simulated: NDArray[np.float64]
    """(n, 2) of the model's training domain."""
    measured: NDArray[np.float64]
    """(m, 2) of virtual experiments."""
    what: str
    """Of the axes, e.g. "UMAP"."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationReport:
    """One model judged on suites of virtual experiments."""

    model_id: str
    family: str
    """In words, for tables and figures."""
    suites: Mapping[str, str]
    """Key of each suite by its name: numbers of other keys do not compare."""
    views: Mapping[str, Answers]
    """By the names above."""
    simulation_r2: Mapping[str, float] = field(default_factory=dict)
    """R^2 of each parameter on held-out scans of the model's own training domain; empty where it gives none."""
    probe: float | None = None
    """Accuracy with which its features tell simulations from virtual experiments."""
    shift: float | None = None
    """Distance of the means of their features, over the spread of the simulations'."""
    features: Features | None = None

    def truth(self, view: str = ONE) -> list[TruthRow]:
        """Errors by range of D; nothing where the view was not evaluated."""
        return truth_rows(self.views[view]) if view in self.views else []

    def row(self, view: str, name: str = JUDGED_ON) -> TruthRow | None:
        """One range of D."""
        return next((row for row in self.truth(view) if row.name == name), None)

    def by_severity(self) -> list[tuple[float, TruthRow]]:
        """Errors over all D by the strength of nuisances."""
        answers = self.views.get(SEVERITIES)
        if answers is None:
            return []
        return [
            (severity, truth_row(answers.where(answers.severity == severity), f"severity {severity:g}"))
            for severity in np.unique(answers.severity).tolist()
        ]

    def by_effect(self) -> list[TruthRow]:
        """Errors over all D for each effect that no prior holds."""
        answers = self.views.get(OUTSIDE)
        if answers is None:
            return []
        kinds = np.array(answers.kind)
        return [truth_row(answers.where(kinds == kind), kind) for kind in dict.fromkeys(answers.kind)]

    def undetermined(self, view: str = ONE) -> dict[str, UndeterminedRates]:
        """How often "undetermined" is said, against the Cramér-Rao bound."""
        return undetermined_rates(self.views[view]) if view in self.views else {}

    def doubts(self) -> dict[str, DoubtRates]:
        """How each kind of sample was received, grain boundaries included."""
        found: dict[str, DoubtRates] = {}
        for view in (FOREIGN, OUTSIDE, ONE):
            if view in self.views:
                found |= doubt_rates(self.views[view])
        return found

    def ranks(self, view: str = ONE) -> dict[str, RankHistogram]:
        """Simulation-based calibration of each parameter; nothing for a model without posterior samples."""
        answers = self.views.get(view)
        if answers is None or not np.isfinite(answers.rank).any():
            return {}
        return {name: rank_histogram(answers.rank[:, column], answers.group) for column, name in enumerate(PARAMETERS)}

    def s_consistency(self, view: str = ONE) -> dict[str, SConsistency]:
        """S implied by the answers against S "measured" (noise counts) and "corrected"."""
        if view not in self.views:
            return {}
        answers = self.views[view]
        return {
            "measured": s_consistency(answers.answer_s, answers.measured_s),
            "corrected": s_consistency(answers.answer_s, answers.corrected_s),
        }

    def seconds_per_scan(self) -> float:
        """Median over the scans with one q-ROI, else over those of the first view."""
        answers = self.views.get(ONE) or next(iter(self.views.values()))
        return float(np.median(answers.seconds))

    def measures(self) -> dict[str, float | None]:
        """The numbers that a gate may look at, by fixed names; None where one is not known.

        ``one.`` and ``three.`` are errors over D >= 1e-22 m^2/s with so many q-ROIs, ``all.`` over all D with one, and
        ``one.group.`` and ``three.group.`` those of samples judged together: ``rmse.PARAMETER``, ``rank.PARAMETER``,
        ``coverage.PARAMETER``. ``calibration.coverage.PARAMETER`` is on the
        calibration suite; ``undetermined.above.PARAMETER`` and ``.below.``, ``foreign.doubted``,
        ``grain_boundary.doubted`` are shares.
        """
        found: dict[str, float] = {}
        for short, view, name in (
            ("one", ONE, JUDGED_ON),
            ("three", ALL, JUDGED_ON),
            ("one.group", GROUPED_ONE, JUDGED_ON),
            ("three.group", GROUPED_ALL, JUDGED_ON),
            ("all", ONE, "all"),
            ("calibration", CALIBRATION, "all"),
        ):
            row = self.row(view, name)
            for parameter, values in row.parameters.items() if row is not None else ():
                for measure in ("rmse", "rank", "coverage"):
                    found[f"{short}.{measure}.{parameter}"] = getattr(values, measure)
        for parameter, rates in self.undetermined().items():
            found[f"undetermined.above.{parameter}"] = rates.above
            found[f"undetermined.below.{parameter}"] = rates.below
        if FOREIGN in self.views:
            rates = doubt_rates(self.views[FOREIGN])
            found["foreign.doubted"] = min(rate.doubted for rate in rates.values())
        if ONE in self.views:
            found["grain_boundary.doubted"] = doubt_rates(self.views[ONE])["grain_boundary"].doubted
        if self.probe is not None:
            found["probe"] = self.probe
        for name, consistency in self.s_consistency().items():
            found[f"s_error.{name}"] = consistency.error
        found["seconds"] = self.seconds_per_scan()
        return {name: value if np.isfinite(value) else None for name, value in found.items()}

    def to_json(self) -> dict[str, Any]:
        """Everything; what follows from the answers is written too, for readers without this package."""
        return in_json(
            {
                "format": FORMAT,
                "model_id": self.model_id,
                "family": self.family,
                "suites": dict(self.suites),
                "measures": self.measures(),
                "truth": {view: [asdict(row) for row in self.truth(view)] for view in self.views if view != FOREIGN},
                "simulation_r2": dict(self.simulation_r2),
                "probe": self.probe,
                "shift": self.shift,
                "features": None if self.features is None else asdict(self.features),
                "views": {view: answers.to_json() for view, answers in self.views.items()},
            }
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> EvaluationReport:
        """The inverse of ``to_json``.

        Raises:
            InputError: something else, or of another format.
        """
        if values.get("format") != FORMAT:
            raise InputError(
                f"an evaluation of format {values.get('format')}",
                needed=f"format {FORMAT}",
                action="evaluate the model again with this release",
            )
        features = values["features"]
        return cls(
            model_id=values["model_id"],
            family=values["family"],
            suites=dict(values["suites"]),
            views={view: Answers.from_json(answers) for view, answers in values["views"].items()},
            simulation_r2=dict(values["simulation_r2"]),
            probe=values["probe"],
            # Evaluations of before it was measured lack it.
            shift=values.get("shift"),
            features=None
            if features is None
            else Features(
                simulated=np.array(features["simulated"], dtype=np.float64).reshape(-1, 2),
                measured=np.array(features["measured"], dtype=np.float64).reshape(-1, 2),
                what=features["what"],
            ),
        )
