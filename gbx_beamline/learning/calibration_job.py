"""The last step of training the GBX family: intervals and limits that hold on photon-level scans.

Training's own simulations are made by the fast level and by the training's prior, so that errors of both would go
unseen. The calibration suite is made photon by photon, from other seeds than the suites that models are judged by.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.config import Config
from gbx_beamline.errors import ContractError, InputError
from gbx_beamline.learning._torch import check_torch, one_thread
from gbx_beamline.learning.evaluation_job import prepare_suites
from gbx_beamline.learning.group import Grouping
from gbx_beamline.learning.jobs import Progress, Told
from gbx_beamline.learning.rebelieving import with_belief
from gbx_beamline.learning.store import StoredModel

if TYPE_CHECKING:
    from gbx_beamline.learning._belief_width import Choice
    from gbx_beamline.learning.posterior import Posterior
    from gbx_beamline.learning.predictor import Model
    from gbx_beamline.learning.virtual import PreparedSuite, Shot

SUITE = "calibration"

GROUPINGS: tuple[Grouping, ...] = ("temperature", "arrhenius")


@dataclass(frozen=True, eq=False)
class Views:
    """What a model says of the shots of a suite: of each as if the q-ROI in the middle were all there is, and of those
    with several with all of them."""

    samples: NDArray[np.float64]
    """(n, m, 3) of each posterior, SI."""
    truth: NDArray[np.float64]
    """(n, 3) SI."""
    bounds: NDArray[np.float64] | None
    """(n, 3) Cramér-Rao bound over the prior's standard deviation; None where it was not asked for."""
    groups: NDArray[np.int64]
    """(n,) sample."""
    refused: int
    """Shots that the model's contract does not cover."""


def calibrate_model(
    config: Config, model: StoredModel, directory: Path, told: Told, *, workers: int = 1, bounds: bool = True
) -> StoredModel:
    """Fit a model's intervals, and when it says "undetermined", to the calibration suite.

    Args:
        config: ``models.suites`` says where suites are kept.
        model: of the GBX family; it stays as it is.
        directory: of the calibrated model's folder.
        told: told how far it is.
        workers: processes that make the suite and the bounds.
        bounds: False leaves the limits of "undetermined" as they are: Cramér-Rao bounds take seconds a shot, once.

    Returns:
        The calibrated model, with the same weights.

    Raises:
        GbxError: a model of another family, or a folder that cannot be written.
    """
    check_torch()
    from gbx_beamline.learning.predictor import model_of

    suite = prepare_suites(config, (SUITE,), told, workers=workers)[SUITE]
    loaded = model_of(model)
    with one_thread():
        views = look_at(loaded, suite, told, bounds=bounds, workers=workers)
        together = look_at_groups(loaded, suite, told)
    belief, choice = loaded.belief.calibrated(views.samples, views.truth, bounds=views.bounds, groups=views.groups)
    if len(together.truth):
        belief = belief.calibrated_groups(together.samples, together.truth, together.groups)
    return with_belief(
        model,
        belief,
        directory,
        data={"calibration": {"suite": SUITE, "key": suite.settings.key, "views": len(views.truth)}},
        metrics={"calibration": _said(views, choice)},
    )


def look_at(model: Model, suite: PreparedSuite, told: Told, *, bounds: bool, workers: int) -> Views:
    """What the model says of a suite of grain boundaries.

    Raises:
        InputError: no shot that the model may judge.
    """
    several = [number for number, plan in enumerate(suite.plan) if len(plan.scan.measurement.pixels) > 1]
    views = [(number, True) for number in range(len(suite))] + [(number, False) for number in several]
    found = []
    for done, (number, single) in enumerate(views):
        told(Progress("calibrating on photon-level scans", done, len(views)))
        found.append(_samples(model, suite[number].single() if single else suite[number]))
    told(Progress("calibrating on photon-level scans", len(views), len(views)))
    kept = [place for place, samples in enumerate(found) if samples is not None]
    if not kept:
        raise InputError(
            f"{len(suite)} shots of the suite {suite.settings.name}, all refused by the model's contract",
            needed="shots that it may judge",
            action="calibrate on another suite",
        )
    plans = [suite.plan[views[place][0]] for place in kept]
    return Views(
        samples=np.stack([samples for samples in found if samples is not None]),
        truth=np.stack([plan.truth for plan in plans]),
        bounds=_bounds(suite, several, told, workers)[kept] if bounds else None,
        groups=np.array([plan.group for plan in plans]),
        refused=len(views) - len(kept),
    )


def look_at_groups(model: Model, suite: PreparedSuite, told: Told) -> Views:
    """What the model says of each shot given all shots of its sample, in either way of grouping; none of samples with
    a shot that it may not judge."""
    from gbx_beamline.learning.group import combined

    samples, truth, groups = [], [], []
    numbers = {group: [n for n, plan in enumerate(suite.plan) if plan.group == group] for group in _groups_of(suite)}
    refused = 0
    for done, (group, members) in enumerate(numbers.items()):
        told(Progress("calibrating on photon-level samples", done, len(numbers)))
        posteriors = [_posterior(model, suite[number]) for number in members]
        known = [one for one in posteriors if one is not None]
        if len(known) < len(members):
            refused += len(members)
            continue
        temperatures = [suite.plan[number].scan.boundary.temperature for number in members]
        for shared in GROUPINGS:
            joint = combined(known, temperatures, shared=shared, correlation=model.correlation, seed=group)
            samples += [one.samples for one in joint]
            truth += [suite.plan[number].truth for number in members]
            groups += [group] * len(members)
    return Views(
        samples=np.stack(samples) if samples else np.empty((0, 0, 3)),
        truth=np.stack(truth) if truth else np.empty((0, 3)),
        bounds=None,
        groups=np.array(groups),
        refused=refused,
    )


def _groups_of(suite: PreparedSuite) -> list[int]:
    return sorted({plan.group for plan in suite.plan})


def _samples(model: Model, shot: Shot) -> NDArray[np.float64] | None:
    """(m, 3) of the posterior; None where the contract does not cover the shot."""
    found = _posterior(model, shot)
    return None if found is None else found.samples


def _posterior(model: Model, shot: Shot) -> Posterior | None:
    """None where the contract does not cover the shot."""
    from gbx_beamline.learning.contract import cell_maps

    try:
        cells = cell_maps(shot.two_time, temperature=shot.temperature, contract=model.contract)
    except ContractError:
        return None
    return model.look([cells], seed=shot.plan.number)[0].posterior


def _bounds(suite: PreparedSuite, several: list[int], told: Told, workers: int) -> NDArray[np.float64]:
    """(n, 3) over the prior's standard deviation, in the order of the views."""
    from gbx_beamline.learning.evaluation import PRIOR_SD, suite_bounds

    def tell(done: int, total: int) -> None:
        told(Progress("what could be known", done, total))

    single = suite_bounds(suite, single=True, workers=workers, progress=tell)
    whole = suite_bounds(suite, single=False, workers=workers, progress=tell)
    return np.concatenate([single, whole[several]]) / PRIOR_SD


def _said(views: Views, choice: Choice | None) -> dict[str, Any]:
    found: dict[str, Any] = {"views": len(views.truth), "refused": views.refused}
    if choice is not None:
        found |= {
            "undetermined_above": choice.said_above,
            "undetermined_below": choice.said_below,
            "demands_met": choice.met,
        }
    return found
