"""When a model is made anew from what was measured since, and when drift is worth an alarm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from gbx_beamline.config._base import Strict

Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class DriftConfig(Strict):
    """The drift monitor: the newest scans beside those that the reigning model knows."""

    recent: Annotated[int, Field(ge=10, le=1000)] = 50
    """Newest judged scans that are looked at."""
    fewest: Annotated[int, Field(ge=5)] = 20
    """Scans on either side below which nothing is said."""
    surprise: Share = 0.001
    """Probability of an alarm by chance, over all comparisons together."""
    largest_ood: Share = 0.1
    """Share of recent scans that may be unlike the simulations, or outside of the model's contract."""
    shortfall: Share = 0.05
    """By how much 90 % intervals may hold less on virtual experiments."""


class RetrainingConfig(Strict):
    """Scheduled retraining. The deployment's schedule says how often it is looked at; this says when it is done."""

    directory: Path = Path("gbx-data/retraining")
    """Folder of checkpoints and of models under way; relative to the working folder, because it is written into. On a
    disk that every worker sees, an interrupted training goes on wherever it is started again."""
    fewest_new: Annotated[int, Field(ge=1)] = 20
    """Newly accepted maps since the last model."""
    fewest_after_drift: Annotated[int, Field(ge=1)] = 5
    """The same after an alarm of the drift monitor, which also cuts ``every_days`` short."""
    every_days: Annotated[float, Field(ge=0.0)] = 7.0
    """Between two models at least."""
    look_back_days: Annotated[float, Field(gt=0.0)] = 365.0
    """Scans that were judged earlier are no part of a data set."""
    most: Annotated[int, Field(ge=20, le=1500)] = 500
    """Accepted maps of a data set; of more the newest."""
    train: bool = False
    """True trains the network anew, on simulations by ``training`` with a seed of the data set's own, and calibrates
    it. False keeps the reigning network and its answers: accepted scans become what new ones are compared with."""
    workers: Annotated[int, Field(ge=1)] = 1
    """Processes that make virtual experiments and their bounds."""
    quiet_hours: Annotated[float, Field(ge=0.0)] = 24.0
    """A proposal of ``models.frozen`` is under way until so long after the start of its last run; nothing is promoted
    meanwhile."""
    drift: DriftConfig = DriftConfig()
