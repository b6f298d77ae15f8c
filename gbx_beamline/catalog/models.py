"""Models in the catalog: every file of a model's folder, so that a lost store can be filled again.

::

    processed/
      attempts/<uuid>/<file>      bytes of one file, uint8
      models/<id>                 pointer; its metadata hold ``model.json``: parent, configuration's hash, seeds

Who is default is not told here: that is the store's lineage, and there is no second place that could disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiled.structures.core import Spec

from gbx_beamline.catalog.access import SHARED_TAG
from gbx_beamline.catalog.codec import plain
from gbx_beamline.catalog.connect import Catalog, said_in_words
from gbx_beamline.catalog.schema import ATTEMPTS
from gbx_beamline.errors import RunNotFoundError

MODELS = "models"
MODEL_SPEC = Spec("GBXModel", "1.0")


@dataclass(frozen=True)
class CatalogModel:
    """A model as the catalog keeps it."""

    id: str
    description: Mapping[str, Any]
    """Content of ``model.json``."""
    dataset: str | None
    """Id of the data set it was made with; None: with simulations alone."""
    created: float
    """Unix time at which it came into the catalog, s."""


def model_metadata(
    description: Mapping[str, Any], *, dataset: str | None, attempt: str, created: float
) -> dict[str, Any]:
    """A model as its pointer has it."""
    return {
        "id": description["id"],
        "description": plain(description),
        "dataset": dataset,
        "attempt": attempt,
        "created": created,
        "access_tags": [SHARED_TAG],
    }


def find_models(catalog: Catalog) -> list[CatalogModel]:
    """The models of a catalog, in the order in which they came into it."""
    with said_in_words(catalog.uri):
        if not catalog.has_shelf(MODELS):
            return []
        found = [_model(node.metadata) for _, node in catalog.shelf(MODELS).items()]
    return sorted(found, key=lambda model: model.created)


def load_model_files(catalog: Catalog, identity: str) -> tuple[CatalogModel, dict[str, bytes]]:
    """A model with the content of its files by name, ``model.json`` included. Nothing is believed of them yet.

    Raises:
        RunNotFoundError: no such model.
        CatalogError: the catalog is unreachable.
    """
    with said_in_words(catalog.uri):
        try:
            node: Any = catalog.shelf(MODELS)[identity]
        except KeyError as error:
            raise RunNotFoundError(
                f"no model {identity!r} in {catalog.uri}",
                needed="the whole id of one that a retraining made",
                action="list them with `gbx models history`",
            ) from error
        attempt = catalog.shelf(ATTEMPTS)[node.metadata["attempt"]]
        files = {name: attempt[name].read().tobytes() for name in attempt}
        return _model(node.metadata), files


def _model(metadata: Mapping[str, Any]) -> CatalogModel:
    return CatalogModel(metadata["id"], metadata["description"], metadata["dataset"], metadata["created"])
