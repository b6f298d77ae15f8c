"""A model of the GBX family as evaluation wants it: with features, scans of its training domain, and its own checks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.config import TrainingData
from gbx_beamline.learning.contract import cell_maps
from gbx_beamline.learning.evaluation.judging import SIMULATED
from gbx_beamline.learning.predictor import Model
from gbx_beamline.records import Floats, Inference, TwoTime

SEED = 511250720097
"""Of scans that are compared with virtual experiments: no training's, no suite's."""

BATCH = 64


class JudgedModel:
    """See the module.

    Args:
        model: loaded.
        data: what it was trained on; scans of its domain are drawn from it.
        check: let it simulate scans from each single answer and compare, as an analysis of a measured scan does.
    """

    def __init__(self, model: Model, data: TrainingData | None = None, *, check: bool = False) -> None:
        self._model, self._data, self._check = model, data or TrainingData(), check
        self._scans: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None = None

    @property
    def id(self) -> str:
        """Of the model."""
        return self._model.id

    def predict(self, tt: TwoTime, *, temperature: float, q: Floats | None = None) -> Inference:
        """As the model itself."""
        return self._model.predict(tt, temperature, q, check=self._check)

    def predict_group(self, scans: Sequence[TwoTime], temperatures: Sequence[float]) -> Sequence[Inference]:
        """As the model itself, with D and gamma by Arrhenius' law."""
        return self._model.predict_group(scans, temperatures, shared="arrhenius")

    def features(self, tt: TwoTime, *, temperature: float, q: Floats | None = None) -> NDArray[np.float64]:
        """(F,) context vector of one scan."""
        cells = cell_maps(tt, temperature=temperature, q=q, contract=self._model.contract)
        return self._model.look([cells], samples=1)[0].context.astype(np.float64)

    def simulated_features(self, count: int) -> NDArray[np.float64]:
        """(count, F) context vectors of fresh scans of grain boundaries from its training's prior, one q-ROI each."""
        return self._simulated(count)[0]

    def simulation_test(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n, 3) truths and posterior medians in u of the same scans."""
        _, truth, median = self._simulated(SIMULATED)
        return truth, median

    def _simulated(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        if self._scans is None or len(self._scans[0]) != count:
            self._scans = self._look_at_simulations(count)
        return self._scans

    def _look_at_simulations(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        import torch

        from gbx_beamline.learning.networks.tensors import batch_of_inputs
        from gbx_beamline.learning.training.batches import simulate_batch

        network = self._model.network
        single = self._data.model_copy(update={"shots": 1, "alternatives": 0.0, "rois": (1.0,)})
        rng = np.random.default_rng(SEED)
        contexts, truth, medians = [], [], []
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            while sum(map(len, contexts)) < count:
                scans = simulate_batch(rng, min(BATCH, count), single, cells=self._model.contract.cells)
                found = network.encoder(batch_of_inputs([scan.input for scan in scans], network.low.device))
                contexts.append(found.cpu().numpy().astype(np.float64))
                medians.append(network.sample(found, 500).median(dim=0).values.cpu().numpy().astype(np.float64))
                truth.append(self._model.box.to_u(np.stack([scan.parameters for scan in scans])))
        return tuple(np.concatenate(one)[:count] for one in (contexts, truth, medians))  # type: ignore[return-value]
