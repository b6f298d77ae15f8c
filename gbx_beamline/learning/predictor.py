"""A trained model at work: from two-time maps to a posterior and what speaks for and against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from gbx_beamline.errors import ContractError, InputError
from gbx_beamline.learning._store_parts import part_of
from gbx_beamline.learning._torch import check_torch, fill, tensors
from gbx_beamline.learning.belief import Belief, check_prediction
from gbx_beamline.learning.competing import CLASSES
from gbx_beamline.learning.contract import CellMaps, InputContract, cell_maps, cells_input
from gbx_beamline.learning.embedding import Embedding, picture_of
from gbx_beamline.learning.group import Grouping, SharedBy, combined
from gbx_beamline.learning.parameters import ParameterBox
from gbx_beamline.learning.posterior import Floats, Posterior
from gbx_beamline.learning.store import ModelStore, StoredModel
from gbx_beamline.records import PARAMETERS, Estimate, Flag, Inference, Scaling, TwoTime

if TYPE_CHECKING:
    from torch import Tensor

    from gbx_beamline.learning.networks import PosteriorNetwork

BELIEF = "belief.safetensors"
"""File of a model's folder; absent where it was not calibrated yet."""

SAMPLES = 2000

REPLICATES = 40
"""Scans that a posterior predictive check simulates."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What the network makes of one scan."""

    context: NDArray[np.float32]
    """(d,) features: what strangeness is measured in."""
    logits: Floats
    """(K,) of the kinds of dynamics."""
    posterior: Posterior


class Model:
    """A posterior network with its contract and belief. Thread-safe as far as torch's inference is.

    Args:
        identity: of the model.
        network: with its weights.
        contract: which scans it may judge.
        belief: what its answers are worth.
        correlation: rho of the errors of scans of one sample, see ``posterior``.
        picture: of the scans that it was judged with; None = none was drawn.
    """

    def __init__(
        self,
        identity: str,
        network: PosteriorNetwork,
        contract: InputContract,
        belief: Belief,
        correlation: float = 0.0,
        picture: Embedding | None = None,
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.contract, self.belief, self.correlation = contract, belief, correlation
        self._picture = picture
        self._id = identity

    @property
    def id(self) -> str:
        """Names the model in records."""
        return self._id

    @property
    def box(self) -> ParameterBox:
        """Of the prior."""
        return self.network.box

    def predict(
        self,
        tt: TwoTime,
        temperature: float,
        q: ArrayLike | None = None,
        *,
        scaling: Scaling | None = None,
        check: bool = False,
        samples: int = SAMPLES,
        seed: int = 0,
    ) -> Inference:
        """The posterior of one scan, with its flags.

        Args:
            tt: maps of Q q-ROIs.
            temperature: K.
            q: (Q,) 1/m, where ``tt`` carries none.
            scaling: classical fits of the scan's record; they are a second witness of what kind of dynamics it is.
            check: simulate scans from the answer and compare; takes a second or so.
            samples: of the posterior.
            seed: of the samples: same seed, same answer.

        Raises:
            ContractError: the scan is outside the model's contract.
            UnitError: q that looks like 1/Angstrom.
            MapError: infinite values in the maps.
        """
        cells = cell_maps(tt, temperature=temperature, q=q, contract=self.contract)
        return self.predict_cells(cells, scaling=scaling, check=check, samples=samples, seed=seed)

    def predict_cells(
        self,
        cells: CellMaps,
        *,
        scaling: Scaling | None = None,
        check: bool = False,
        samples: int = SAMPLES,
        seed: int = 0,
    ) -> Inference:
        """As ``predict``, from maps that are on the network's time cells already."""
        seen = self.look([cells], samples=samples, seed=seed)[0]
        return self._inference(cells, seen, seen.posterior.samples, scaling=scaling, check=check, seed=seed)

    def predict_group(
        self,
        scans: Sequence[TwoTime],
        temperatures: Sequence[float],
        q: ArrayLike | None = None,
        *,
        shared: Grouping = "temperature",
        check: bool = False,
        samples: int = SAMPLES,
        seed: int = 0,
    ) -> tuple[Inference, ...]:
        """Posteriors of scans of one sample that know of each other.

        Args:
            scans: of one sample.
            temperatures: K, of each.
            q: (Q,) 1/m, where the scans carry none.
            shared: "temperature": scans within 2 K share D and gamma, all share lambda. "arrhenius": D and gamma follow
                Arrhenius' law over the temperatures as well, each with an energy of its own.
            check: as in ``predict``, like the others.
            samples: see there.
            seed: see there.

        Returns:
            One for each scan, in their order.

        Raises:
            InputError: no scans, or another number of temperatures; else as ``predict``.
        """
        if not scans or len(scans) != len(temperatures):
            raise InputError(
                f"{len(scans)} scans and {len(temperatures)} temperatures",
                needed="at least one scan and a temperature for each",
                action="correct the group",
            )
        cells = [
            cell_maps(tt, temperature=temperature, q=q, contract=self.contract)
            for tt, temperature in zip(scans, temperatures, strict=True)
        ]
        return self.predict_cells_group(cells, shared=shared, check=check, samples=samples, seed=seed)

    def predict_cells_group(
        self,
        scans: Sequence[CellMaps],
        *,
        shared: Grouping = "temperature",
        check: bool = False,
        samples: int = SAMPLES,
        seed: int = 0,
    ) -> tuple[Inference, ...]:
        """As ``predict_group``, from maps that are on the network's time cells already."""
        seen = self.look(scans, samples=samples, seed=seed)
        together = combined(
            [one.posterior for one in seen],
            [float(cells.facts.temperature[0]) for cells in scans],
            shared=shared,
            correlation=self.correlation,
            samples=samples,
            seed=seed,
        )
        return tuple(
            self._inference(
                cells, one, joint.samples, check=check, seed=seed, grouped=len(scans) > 1, flags=_of_group(joint)
            )
            for cells, one, joint in zip(scans, seen, together, strict=True)
        )

    def look(self, scans: Sequence[CellMaps], *, samples: int = SAMPLES, seed: int = 0) -> list[Seen]:
        """What the network makes of scans, without any judgement.

        Args:
            scans: on the network's time cells.
            samples: of each posterior.
            seed: of the samples.

        Raises:
            ContractError: the network gives something that is no number.
        """
        import torch

        from gbx_beamline.learning.networks.tensors import batch_of_inputs

        device = self.network.low.device
        with torch.no_grad():
            contexts = self.network.encoder(batch_of_inputs([cells_input(cells) for cells in scans], device))
            logits = self.network.kinds(contexts).cpu().numpy().astype(np.float64)
        posteriors = posteriors_of(self.network, contexts, samples=samples, seed=seed)
        return [
            Seen(context.cpu().numpy(), each, posterior)
            for context, each, posterior in zip(contexts, logits, posteriors, strict=True)
        ]

    def _inference(
        self,
        cells: CellMaps,
        seen: Seen,
        samples: Floats,
        *,
        scaling: Scaling | None = None,
        check: bool,
        seed: int,
        grouped: bool = False,
        flags: tuple[Flag, ...] = (),
    ) -> Inference:
        comparison = self.belief.compare(seen.logits, scaling=scaling)
        predictions = check_prediction(cells, samples, count=REPLICATES, seed=seed) if check else ()
        said, score = self.belief.assess(
            context=seen.context,
            samples=samples,
            comparison=comparison,
            predictions=predictions,
            grouped=grouped,
        )
        estimates = self.belief.intervals(samples, grouped=grouped)
        return Inference(
            model_id=self.id,
            parameters={
                name: Estimate(low=float(low), median=float(median), high=float(high))
                for name, (low, median, high) in zip(PARAMETERS, estimates, strict=True)
            },
            samples=samples,
            flags=(*flags, *said),
            ood_score=score,
            probabilities=comparison.probabilities,
            temperature=float(cells.facts.temperature[0]),
            q=np.array(cells.facts.q),
            q_convention=self.contract.q_convention,
            notes=cells.notes,
            place=None if self._picture is None else self._picture.place_of(seen.context),
        )


def posteriors_of(network: PosteriorNetwork, contexts: Tensor, *, samples: int, seed: int) -> list[Posterior]:
    """Posteriors of (B, d) contexts.

    Raises:
        ContractError: the network gives something that is no number.
    """
    import torch

    box = network.box
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drawn = network.sample(contexts, samples).cpu().numpy().astype(np.float64)
    if not np.isfinite(drawn).all():
        raise ContractError(
            "the network's answer is no number",
            needed="a scan that resembles what it was trained on",
            action="look at the maps: something in them is far outside of what the contract can check",
        )
    physical = box.to_physical(np.clip(drawn, box.low, box.high))
    return [Posterior(physical[:, index], box, _Density(network, context)) for index, context in enumerate(contexts)]


@dataclass(frozen=True, eq=False)
class _Density:
    """Log density of one scan's posterior, per unit of u."""

    network: PosteriorNetwork
    context: Tensor

    def __call__(self, u: Floats) -> Floats:
        import torch

        points = torch.as_tensor(u, dtype=torch.float32, device=self.context.device)
        with torch.no_grad():
            found = self.network.log_prob(self.context.expand(len(points), -1), points)
        return found.cpu().numpy().astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class _Parameters:
    """What ``model.json`` says of the parameters."""

    box: ParameterBox
    shot_correlation: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0


def load_model(name: str | Path | None = None, *, store: ModelStore | None = None) -> Model:
    """A model of the GBX family.

    Args:
        name: an alias ("default", "candidate"), an id or the beginning of one, or a folder; None = as configured.
        store: where aliases and ids are looked for; None is the configured one.

    Raises:
        InputError: there is no such model, or its folder is damaged, foreign or of another family.
        ContractError: its inputs are not those of this release.
        DependencyError: torch, zuko or safetensors is absent.
    """
    check_torch()
    store = store or ModelStore()
    found = store.find(name)
    return model_of(found, store.findings(found))


def model_of(stored: StoredModel, findings: Sequence[Path] = ()) -> Model:
    """The model in a folder, with the picture that the first of the folders of findings holds; errors as
    ``load_model``."""
    import torch

    from gbx_beamline.learning.networks import NetworkSettings, PosteriorNetwork

    about = stored.of_family(FAMILY)
    contract = InputContract.from_json(about.contract)
    parameters = part_of(_Parameters, about.parameters, "parameters")
    settings = NetworkSettings.from_json(about.network)
    if settings.kinds != CLASSES:
        raise InputError(
            f"model {stored.id} tells apart {', '.join(settings.kinds)}",
            needed=", ".join(CLASSES),
            action="use the release that the model was trained with, or train it again",
        )
    with torch.random.fork_rng(devices=[]):
        network = PosteriorNetwork(settings, parameters.box)
    fill(network, tensors(stored.weights()), stored.id)
    belief = Belief.untested(parameters.box)
    if BELIEF in about.files:
        belief = Belief.from_state(cast("dict[str, Any]", stored.arrays(BELIEF)))
    picture = picture_of(findings, settings.context)
    return Model(stored.id, network, contract, belief, parameters.shot_correlation, picture)


def _of_group(joint: SharedBy) -> tuple[Flag, ...]:
    """What the group says of itself."""
    if joint.log_evidence > CONTRADICTION:
        return ()
    return (
        Flag(
            code="group_contradicts",
            text=f"the scans of the group contradict each other (factor {np.exp(joint.log_evidence):.1g}): "
            "not one sample, a wrong temperature, or something that changed between them",
        ),
    )


FAMILY = "gbx"
"""Of models, in model.json."""

CONTRADICTION = -4.6
"""Natural log of the evidence for shared parameters below which a group contradicts itself: odds of 1 to 100."""
