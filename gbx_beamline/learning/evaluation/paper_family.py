"""A model of the paper's family as evaluation wants it: with features, and the ensemble's members it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.config._paper_family import PaperFamilyData, PaperFinetuning
from gbx_beamline.learning.evaluation.answers import to_u
from gbx_beamline.learning.paper.experiments import ExperimentalScan, at_paper_q, experimental_maps
from gbx_beamline.learning.paper.finetuning import finetuned
from gbx_beamline.learning.paper.maps import simulated_maps
from gbx_beamline.learning.paper.model import PaperModel
from gbx_beamline.learning.paper.splits import split_by_run
from gbx_beamline.records import Floats, Inference, TwoTime


class JudgedPaperModel:
    """See the module.

    Args:
        model: loaded.
        data: the ensemble that it was trained on.
        seed: of its training, which decides who was a test member.
    """

    def __init__(self, model: PaperModel, data: PaperFamilyData, seed: int) -> None:
        self._model, self._data, self._seed = model, data, seed

    @property
    def id(self) -> str:
        """Of the model."""
        return self._model.id

    def predict(self, tt: TwoTime, *, temperature: float, q: Floats | None = None) -> Inference:
        """As the model itself."""
        return self._model.predict(tt, temperature, q)

    def features(self, tt: TwoTime, *, temperature: float, q: Floats | None = None) -> NDArray[np.float64]:  # noqa: ARG002 - the network does not see the temperature
        """(128,) features h of one scan."""
        scan = ExperimentalScan(at_paper_q(tt, q), run="", group="")
        return self._model.features(experimental_maps([scan], self._data).maps)[0].astype(np.float64)

    def simulated_features(self, count: int) -> NDArray[np.float64]:
        """(up to ``count``, 128) features of test members of the ensemble."""
        return self._model.features(self._test_maps[0][:count]).astype(np.float64)

    def simulation_test(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n, 3) truths and predictions of the test members, in log10 D, log10 gamma and lambda."""
        maps, parameters = self._test_maps
        return to_u(parameters), to_u(self._model.parameters(maps))

    @cached_property
    def _test_maps(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        every = simulated_maps(self._data)
        rows = split_by_run(range(len(every)), self._seed).test
        return every.maps[rows], every.parameters[rows]


class JudgedFinetuned:
    """An adapted model that is fine-tuned to the scans of each sample before it judges them, as the paper does.

    It has no ``predict``: a single scan is no group.

    Args:
        model: adapted.
        data: form of the maps.
        settings: of the fine-tuning.
    """

    def __init__(self, model: PaperModel, data: PaperFamilyData, settings: PaperFinetuning) -> None:
        self._model, self._data, self._settings = model, data, settings

    @property
    def id(self) -> str:
        """Of the adapted model, and what was done to it."""
        return f"{self._model.id} fine-tuned"

    def predict_group(self, scans: Sequence[TwoTime], temperatures: Sequence[float]) -> Sequence[Inference]:
        """One value for each scan, by a predictor that fits the S_noneq of all of them."""
        each = [ExperimentalScan(at_paper_q(tt), run=str(number), group="") for number, tt in enumerate(scans)]
        tuned = finetuned(self._model, experimental_maps(each, self._data), self._settings)
        return [tuned.predict(tt, kelvin) for tt, kelvin in zip(scans, temperatures, strict=True)]
