"""A trained model of the paper's family at work."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from gbx_beamline.config._paper_family import Crops, PaperFamilyData, Resize
from gbx_beamline.errors import ContractError, InputError
from gbx_beamline.learning._store_parts import part_of
from gbx_beamline.learning._torch import check_torch, fill, tensors
from gbx_beamline.learning.paper.experiments import (
    CUT,
    PAPER_Q,
    Q_TOLERANCE,
    WINDOW,
    at_paper_q,
    spans_of,
)
from gbx_beamline.learning.paper.maps import cells_for, filled, on_cells
from gbx_beamline.learning.paper.networks import PaperNetwork, SurrogateNetwork, weights_from
from gbx_beamline.learning.paper.scales import SScale, TargetScale
from gbx_beamline.learning.paper.tasks import looked_at
from gbx_beamline.learning.store import ModelStore, StoredModel
from gbx_beamline.learning.training.checkpoint import prefixed, without_prefix
from gbx_beamline.records import PARAMETERS, Estimate, Flag, Inference, TwoTime
from gbx_beamline.simulation.paper import RANGES

FAMILY = "paper"
"""Of models, in model.json."""

CONTRACT_VERSION = 1
"""Changes whenever the same scan becomes another input."""

TEMPERATURE = (290.0, 510.0)
"""K. The network is not told the temperature; simulated members are at 300 to 500 K."""

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Surrogate:
    """Q of Eq. 13 with the unit that its S_noneq has."""

    network: SurrogateNetwork
    scale: SScale
    s: Literal["bare", "corrected"]
    """S_noneq of the experiments that the model was adapted to."""


class PaperModel:
    """Maps to one set of parameters: no interval, no sense of what is unlike the training, as in the paper.

    Args:
        identity: of the model.
        network: with its weights.
        scale: of the parameters.
        size: time cells per side.
        resize: how maps get that size.
        surrogate: Q; None for a vanilla model, which has none.
    """

    def __init__(
        self,
        identity: str,
        network: PaperNetwork,
        scale: TargetScale,
        *,
        size: int,
        resize: Resize,
        surrogate: Surrogate | None = None,
    ) -> None:
        self.network = copy.deepcopy(network).to(CPU).eval().requires_grad_(False)
        self.network.encoder.precision = "float32"
        self.scale, self.size, self.surrogate = scale, size, surrogate
        self.resize: Resize = resize
        self._id = identity

    @property
    def id(self) -> str:
        """Names the model in records."""
        return self._id

    @property
    def data(self) -> PaperFamilyData:
        """Size and resize, for ``experimental_maps``."""
        return PaperFamilyData(size=self.size, resize=self.resize)

    def features(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """(m, 128) features h of (m, n, n) maps."""
        return looked_at(self.network, self._checked(maps), CPU)[0].numpy()

    def unit(self, maps: NDArray[np.float32]) -> NDArray[np.float64]:
        """(m, 3) parameters on 0..1 of (m, n, n) maps, as the network gives them: they may lie outside."""
        return looked_at(self.network, self._checked(maps), CPU)[1].numpy().astype(np.float64)

    def parameters(self, maps: NDArray[np.float32]) -> NDArray[np.float64]:
        """(m, 3) parameters in SI of (m, n, n) maps, cut to the ranges of the ensemble."""
        return self.scale.to_physical(np.clip(self.unit(maps), 0.0, 1.0))

    def implied_s(self, maps: NDArray[np.float32]) -> NDArray[np.float64]:
        """(m,) S_noneq, as a ratio of norms, that the surrogate says of the predictions.

        Raises:
            InputError: a vanilla model.
        """
        surrogate = self.need_surrogate()
        with torch.no_grad():
            found = surrogate.network(torch.from_numpy(self.unit(maps).astype(np.float32)))
        return surrogate.scale.to_norm(found.numpy())

    def need_surrogate(self) -> Surrogate:
        """The surrogate.

        Raises:
            InputError: a vanilla model.
        """
        if self.surrogate is None:
            raise InputError(
                f"model {self.id} has no surrogate of S_noneq",
                needed="a model that was adapted to experiments",
                action="adapt it first (`gbx adapt`)",
            )
        return self.surrogate

    def predict(self, tt: TwoTime, temperature: float, q: ArrayLike | None = None) -> Inference:
        """The parameters of one scan, from the q-ROI nearest to the simulation's q.

        Args:
            tt: maps of Q q-ROIs.
            temperature: K. It is recorded: the network does not see it.
            q: (Q,) 1/m, where ``tt`` carries none.

        Returns:
            Medians without intervals (NaN) and one sample, flagged as such.

        Raises:
            ContractError: the scan is outside the model's contract.
            UnitError: q that looks like 1/Angstrom.
            MapError: infinite values, or nothing known, in the map.
        """
        low, high = TEMPERATURE
        if not low <= float(temperature) <= high:
            raise ContractError(
                f"temperature {float(temperature):g} K",
                needed=f"{low:g} to {high:g} K, which the ensemble covers",
                action="correct the temperature; it is in K",
            )
        part = at_paper_q(tt, q)
        frames = part.g2.shape[-1]
        ((start, stop),) = spans_of(frames, part.frame_time, Crops())
        cells = on_cells(part.between(start, stop).g2[0], cells_for(stop - start, self.size, self.resize))
        unit = self.unit(filled(cells)[None])[0]
        values = self.scale.to_physical(np.clip(unit, 0.0, 1.0))
        notes = [f"only the q-ROI at {float(np.asarray(part.q_par)[0]):.3g} 1/m was used"] if len(tt.g2) > 1 else []
        if stop - start < frames:
            notes.append(
                f"only the first {stop * part.frame_time:,.0f} s of {frames * part.frame_time:,.0f} s were used"
            )
        return Inference(
            model_id=self.id,
            parameters={
                name: Estimate(median=float(value), low=np.nan, high=np.nan)
                for name, value in zip(PARAMETERS, values, strict=True)
            },
            samples=values[None],
            flags=_flags(unit),
            probabilities={},
            temperature=float(temperature),
            q=np.asarray(part.q_par, dtype=np.float64),
            q_convention="parallel",
            notes=tuple(notes),
        )

    def state(self) -> dict[str, NDArray[Any]]:
        """Weights of all networks, for ``write_model``."""
        tensors = prefixed("network", self.network.state_dict())
        if self.surrogate is not None:
            tensors |= prefixed("surrogate", self.surrogate.network.state_dict())
        return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}

    def about(self) -> dict[str, Any]:
        """Contract, parameters and network, for ``write_model``."""
        return {
            "contract": {
                "version": CONTRACT_VERSION,
                "cells": self.size,
                "resize": self.resize,
                "window": list(WINDOW),
                "cut": CUT,
                "q": PAPER_Q,
                "q_tolerance": Q_TOLERANCE,
                "q_convention": "parallel",
                "temperature": list(TEMPERATURE),
            },
            "parameters": {
                "names": list(PARAMETERS),
                "ranges": {name: list(RANGES[name]) for name in PARAMETERS},
                "logarithmic": list(self.scale.logarithmic),
            },
            "network": {
                "kind": "paper",
                "surrogate": None
                if self.surrogate is None
                else {"scale": self.surrogate.scale.to_json(), "s": self.surrogate.s},
            },
        }

    def _checked(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        found = np.asarray(maps, dtype=np.float32)
        if found.ndim != 3 or found.shape[1:] != (self.size, self.size) or not np.isfinite(found).all():
            raise ContractError(
                f"maps of shape {found.shape}{'' if np.isfinite(found).all() else ' with values that are no numbers'}",
                needed=f"finite maps (m, {self.size}, {self.size}), which the model was trained for",
                action="make them with experimental_maps, or use a model of their size",
            )
        return found


@dataclass(frozen=True, kw_only=True)
class _Contract:
    """What ``model.json`` says of the maps."""

    cells: Annotated[int, Field(ge=1, le=1024)]
    resize: Resize


@dataclass(frozen=True, kw_only=True)
class _SurrogateSaid:
    scale: SScale
    s: Literal["bare", "corrected"]


@dataclass(frozen=True, kw_only=True)
class _Networks:
    surrogate: _SurrogateSaid | None


def load_paper_model(name: str | Path, *, store: ModelStore | None = None) -> PaperModel:
    """A model of the paper's family.

    Args:
        name: an alias, an id or the beginning of one, or a folder.
        store: where aliases and ids are looked for; None is the configured one.

    Raises:
        InputError: there is no such model, or its folder is damaged, foreign or of another family.
        ContractError: its inputs are not those of this release.
        DependencyError: torch is absent.
    """
    check_torch()
    return paper_model_of((store or ModelStore()).find(name))


def paper_model_of(stored: StoredModel) -> PaperModel:
    """The model in a folder; errors as ``load_paper_model``."""
    about = stored.of_family(FAMILY)
    if about.contract.get("version") != CONTRACT_VERSION:
        raise ContractError(
            f"an input contract of version {about.contract.get('version')}",
            needed=f"version {CONTRACT_VERSION}, which this release of gbx-beamline makes inputs for",
            action="use a model trained with this release, or the release that the model was trained with",
        )
    contract = part_of(_Contract, about.contract, "an input contract", refusal=ContractError)
    said = part_of(_Networks, about.network, "networks").surrogate
    weights = tensors(stored.weights())
    with weights_from(0):
        network, surrogate = PaperNetwork(), SurrogateNetwork()
    fill(network, without_prefix("network", weights), stored.id)
    if said is not None:
        fill(surrogate, without_prefix("surrogate", weights), stored.id)
    return PaperModel(
        stored.id,
        network,
        part_of(TargetScale, about.parameters, "parameters"),
        size=contract.cells,
        resize=contract.resize,
        surrogate=None if said is None else Surrogate(surrogate.eval().requires_grad_(False), said.scale, said.s),
    )


def _flags(unit: NDArray[np.float64]) -> tuple[Flag, ...]:
    flags = [
        Flag(
            code="no_interval",
            text="the paper's method gives one value and no interval, and does not say whether the scan is like its"
            " simulations",
        )
    ]
    for name, value in zip(PARAMETERS, unit, strict=True):
        if not 0.0 <= value <= 1.0:
            flags.append(
                Flag(
                    code=f"outside_range:{name}",
                    text=f"the network's {name} lay {'below' if value < 0 else 'above'} the range of its simulations,"
                    " and was set to the range's end",
                )
            )
    return tuple(flags)
