"""A model with the same weights whose answers are believed for other reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gbx_beamline.errors import InputError
from gbx_beamline.learning.belief import FEWEST_ACCEPTED, UNLIKELY_ACCEPTED, Accepted, Belief
from gbx_beamline.learning.store import WEIGHTS, StoredModel, write_model


def with_belief(
    model: StoredModel,
    belief: Belief,
    directory: Path,
    *,
    data: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> StoredModel:
    """Write a child of a model: the same weights, another belief.

    Args:
        model: of the GBX family; it stays as it is.
        belief: in place of the model's own.
        directory: of the child's folder.
        data: what it was made with, beside what the model was.
        metrics: what was found, beside what the model's training found.

    Raises:
        InputError: as ``write_model``.
    """
    from gbx_beamline.learning.predictor import BELIEF

    about = model.description
    extras: dict[str, Any] = {
        file: model.json(file) if file.endswith(".json") else model.arrays(file)
        for file in about.files
        if file != WEIGHTS
    }
    return write_model(
        directory,
        family=about.family,
        weights=model.weights(),
        contract=about.contract,
        parameters=about.parameters,
        network=about.network,
        training=about.training,
        data={**about.data, **data},
        seeds=about.seeds,
        metrics={**about.metrics, **metrics},
        parent=model.id,
        # A model that comes with the package was chosen by hand; its children were not.
        status="trained",
        notes=about.notes,
        extras={**extras, BELIEF: belief.to_state()},
    )


def with_experiments(
    model: StoredModel, belief: Belief, features: ArrayLike, samples: Sequence[str], dataset: str, directory: Path
) -> StoredModel:
    """Write a child of a model that knows accepted experiments. Weights, intervals and limits stay: so do its answers.

    Args:
        model: of the GBX family, with a familiarity.
        belief: of the model.
        features: (n, d) context vectors of the accepted scans, as this model's network gives them.
        samples: (n,) sample of each.
        dataset: id of the data set that they are of.
        directory: of the child's folder.

    Raises:
        InputError: too few experiments, or a model that was never shown what simulations look like.
    """
    if belief.familiarity is None:
        raise InputError(
            f"model {model.id} does not know what simulations look like to it",
            needed="a model that was trained with training.calibration_scans above 0",
            action="train one so, and promote it; then experiments can be compared with it",
        )
    known = Accepted.fit(belief.familiarity, features)
    said = {"dataset": dataset, "maps": len(known.references), "unlike_left_out": _left_out(belief, features, samples)}
    return with_belief(
        model,
        belief.with_parts(accepted=known),
        directory,
        data={"experiments": {"dataset": dataset, "maps": len(known.references)}},
        metrics={"experiments": said},
    )


def _left_out(belief: Belief, features: ArrayLike, samples: Sequence[str]) -> float | None:
    """Share of scans that would be called unlike the accepted ones if nothing of their sample were among them; None
    where no sample leaves enough others."""
    familiarity = belief.familiarity
    assert familiarity is not None
    values, of = np.asarray(features, dtype=np.float64), np.array(samples)
    unlike = []
    for sample in dict.fromkeys(samples):
        others = values[of != sample]
        if len(others) >= FEWEST_ACCEPTED:
            among = Accepted.fit(familiarity, others).p_values(familiarity.scaled(values[of == sample]))
            unlike += (among <= UNLIKELY_ACCEPTED).tolist()
    return float(np.mean(unlike)) if unlike else None
