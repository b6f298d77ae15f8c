"""One model through all suites."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.learning.evaluation.answers import Answering, Answers, GroupPredictor, ask, ask_groups, with_bounds
from gbx_beamline.learning.evaluation.bounds import suite_bounds
from gbx_beamline.learning.evaluation.paper_measures import answer_s, domain_probe, domain_shift, r_squared
from gbx_beamline.learning.evaluation.report import (
    ALL,
    CALIBRATION,
    FOREIGN,
    GROUPED_ALL,
    GROUPED_ONE,
    ONE,
    OUTSIDE,
    SEVERITIES,
    EvaluationReport,
    Features,
)
from gbx_beamline.learning.virtual import PreparedSuite, Shot
from gbx_beamline.records import PARAMETERS, Floats, TwoTime

Progress = Callable[[str, int, int], None]
"""Told (what is being done, how many of it are done, of how many)."""

Projection = Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]
"""From features of simulated and of measured scans to (n, 2) and (m, 2) coordinates in one plane."""

SUITES = ("truth", "calibration", "severities", "outside", "foreign")

SIMULATED = 648
"""Scans of the training domain that the probe is given."""


@runtime_checkable
class HasFeatures(Protocol):
    """A model whose features can be compared between domains."""

    def features(self, tt: TwoTime, *, temperature: float, q: Floats | None = None) -> NDArray[np.floating]:
        """(F,) features of one scan."""
        ...

    def simulated_features(self, count: int) -> NDArray[np.floating]:
        """(count, F) features of held-out scans of the domain that the model was trained on."""
        ...


@runtime_checkable
class HasSimulationTest(Protocol):
    """A model that was tested on held-out scans of its own training domain."""

    def simulation_test(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """(n, 3) truths and (n, 3) predictions of log10 D, log10 gamma and lambda; NaN columns where not predicted."""
        ...


def evaluate(
    model: Answering | GroupPredictor,
    suites: Mapping[str, PreparedSuite],
    progress: Progress | None = None,
    *,
    family: str | None = None,
    bounds: bool = True,
    project: Projection | None = None,
    workers: int = 1,
) -> EvaluationReport:
    """Judge a model by the truth about virtual experiments, and by the paper's measures.

    Args:
        model: of any family. What it has of ``GroupPredictor``, ``HasFeatures`` and ``HasSimulationTest`` is asked for
            too. One that judges samples only as a whole is asked for those.
        suites: prepared, by the names of ``SUITES``; those that are absent are left out. "truth" is evaluated with the
            q-ROI in the middle of every shot, and again with all of those shots that have three.
        progress: told how far it is.
        family: in words; None is the model's id.
        bounds: compute the Cramér-Rao bounds of the truth suite beside the answers (kept with the suite).
        project: draws features in a plane, e.g. UMAP; None leaves the picture out.
        workers: processes for the bounds.

    Returns:
        The report.

    Raises:
        InputError: no suite that is known.
    """
    unknown = set(suites) - set(SUITES)
    if unknown or not suites:
        raise InputError(
            f"suites {sorted(suites) or 'none'}",
            needed=f"at least one of {', '.join(SUITES)}",
            action="prepare them with prepare_suite",
        )
    tell = progress or (lambda _what, _done, _all: None)
    views: dict[str, Answers] = {}
    for view, shots, total in _views(suites):
        asked = _asked(model, shots, lambda done, view=view, total=total: tell(view, done, total))
        views[view] = replace(asked, answer_s=answer_s(asked)) if view == ONE else asked
    if isinstance(model, GroupPredictor) and isinstance(model, Answering):
        for view, shots, total in _grouped_views(suites):
            views[view] = ask_groups(model, shots, lambda done, view=view, total=total: tell(view, done, total))
    if bounds:
        views |= _beside_bounds(views, suites, tell, workers)
    probe, shift, features = _features(model, suites, project)
    return EvaluationReport(
        model_id=model.id,
        family=family or model.id,
        suites={name: suite.settings.key for name, suite in suites.items()},
        views=views,
        simulation_r2=_simulation_r2(model),
        probe=probe,
        shift=shift,
        features=features,
    )


def _asked(model: Answering | GroupPredictor, shots: Iterable[Shot], told: Callable[[int], None]) -> Answers:
    """Shot by shot where the model can, else sample by sample."""
    return ask(model, shots, told) if isinstance(model, Answering) else ask_groups(model, shots, told)


def _views(suites: Mapping[str, PreparedSuite]) -> Iterable[tuple[str, Iterable[Shot], int]]:
    if "truth" in suites:
        truth = suites["truth"]
        yield ONE, (shot.single() for shot in truth), len(truth)
        several = _several(truth)
        if len(several):
            yield ALL, several, len(several)
    for name, view in (
        ("calibration", CALIBRATION),
        ("severities", SEVERITIES),
        ("outside", OUTSIDE),
        ("foreign", FOREIGN),
    ):
        if name in suites:
            yield view, suites[name], len(suites[name])


def _grouped_views(suites: Mapping[str, PreparedSuite]) -> Iterable[tuple[str, Iterable[Shot], int]]:
    if "truth" in suites:
        truth = suites["truth"]
        yield GROUPED_ONE, (shot.single() for shot in truth), len(truth)
        several = _several(truth)
        if len(several):
            yield GROUPED_ALL, several, len(several)


def _several(suite: PreparedSuite) -> PreparedSuite:
    return suite.only(lambda shot: len(shot.scan.measurement.pixels) > 1)


def _beside_bounds(
    views: Mapping[str, Answers], suites: Mapping[str, PreparedSuite], tell: Progress, workers: int
) -> dict[str, Answers]:
    """Each shot's own bound, also where a sample's shots were judged together and may do better."""
    found = {}
    for view, name, single in (
        (ONE, "truth", True),
        (GROUPED_ONE, "truth", True),
        (ALL, "truth", False),
        (GROUPED_ALL, "truth", False),
        (CALIBRATION, "calibration", False),
    ):
        if view in views:
            suite = _several(suites[name]) if view in (ALL, GROUPED_ALL) else suites[name]
            values = suite_bounds(
                suite,
                single=single,
                workers=workers,
                progress=lambda done, total, view=view: tell(f"bounds of {view}", done, total),
            )
            found[view] = with_bounds(views[view], values)
    return found


def _features(
    model: Any, suites: Mapping[str, PreparedSuite], project: Projection | None
) -> tuple[float | None, float | None, Features | None]:
    """Probe, shift and picture of the domains; None where the model has no features."""
    if not isinstance(model, HasFeatures) or "truth" not in suites:
        return None, None, None
    measured, groups = [], []
    for shot in suites["truth"]:
        seen = shot.single()
        try:
            measured.append(np.asarray(model.features(seen.two_time, temperature=seen.temperature), dtype=np.float64))
        except InputError:
            continue
        groups.append(shot.plan.group)
    simulated = np.asarray(model.simulated_features(SIMULATED), dtype=np.float64)
    if not measured:
        return None, None, None
    there = np.stack(measured)
    probe = domain_probe(simulated, there, measured_groups=groups)
    shift = domain_shift(simulated, there)
    if project is None:
        return probe, shift, None
    first, second = project(simulated, there)
    return probe, shift, Features(simulated=np.asarray(first), measured=np.asarray(second), what="UMAP")


def _simulation_r2(model: Any) -> dict[str, float]:
    if not isinstance(model, HasSimulationTest):
        return {}
    truth, predicted = (np.asarray(one, dtype=np.float64) for one in model.simulation_test())
    return {
        name: float(r_squared(truth[:, [column]], predicted[:, [column]])[0])
        for column, name in enumerate(PARAMETERS)
        if np.isfinite(predicted[:, column]).all()
    }
