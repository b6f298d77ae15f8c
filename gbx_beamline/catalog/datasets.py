"""Data sets of accepted maps: which records, with which content, a model was made with.

::

    processed/
      datasets/maps-<digest>      metadata: members (run uid, record, sha256 of its maps, who accepted it), parent, rule

The digest is that of the members: the same maps are the same data set, whoever gathers them. Nothing is copied: records
never change, and the hash shows it if one did.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiled.client.utils import ClientError
from tiled.structures.core import Spec

from gbx_beamline.catalog.codec import plain, record
from gbx_beamline.catalog.connect import Catalog, said_in_words
from gbx_beamline.catalog.publish import container
from gbx_beamline.errors import RunNotFoundError, SchemaError

DATASETS = "datasets"
DATASET_VERSION = 1
"""Layout of these records. Changes when readers must change."""

_SPEC = Spec("GBXDataSet", f"{DATASET_VERSION}.0")
_CONFLICT = 409


@dataclass(frozen=True, kw_only=True)
class Member:
    """One accepted scan."""

    run_uid: str
    record: str
    """Key of the correlation record."""
    sample: str
    """Name of the sample; empty = not named."""
    sha256: str
    """Of the analysed maps, see ``retraining.hash_of``."""
    why: str
    """Who accepted it: "by rule", or a person, with the reason."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Accepted maps at one moment."""

    members: tuple[Member, ...]
    """In the order of their records' keys."""
    parent: str | None
    """Id of the data set before; None: the first."""
    new: int
    """Members that are not in it."""
    rule: Mapping[str, Any]
    """By which it was gathered."""
    package_version: str
    created: float = field(default_factory=time.time)
    """Unix time, s."""

    @property
    def id(self) -> str:
        """``maps-<ten hex digits of the members>``."""
        content = sorted([one.run_uid, one.record, one.sha256] for one in self.members)
        return f"maps-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:10]}"


def publish_dataset(catalog: Catalog, dataset: DataSet) -> str:
    """Store a data set, once.

    Returns:
        Its id.

    Raises:
        CatalogError: the catalog is unreachable, or takes none.
    """
    with said_in_words(catalog.uri):
        parent = container(catalog, DATASETS)
        metadata = {"dataset_version": DATASET_VERSION, "id": dataset.id, **plain(dataset)}
        try:
            parent.create_container(dataset.id, metadata=metadata, specs=[_SPEC])
        except ClientError as error:
            if error.response.status_code != _CONFLICT:
                raise
    return dataset.id


def load_dataset(catalog: Catalog, identity: str) -> DataSet:
    """A data set.

    Raises:
        RunNotFoundError: no such data set.
        SchemaError: written in another layout.
    """
    with said_in_words(catalog.uri):
        try:
            metadata = dict(catalog.shelf(DATASETS)[identity].metadata)
        except KeyError as error:
            raise RunNotFoundError(
                f"no data set {identity!r} in {catalog.uri}",
                needed="the id of one that a retraining gathered",
                action="list them with `gbx models history`",
            ) from error
    if metadata.get("dataset_version") != DATASET_VERSION:
        raise SchemaError(
            f"data set {identity} has layout {metadata.get('dataset_version')}",
            needed=f"layout {DATASET_VERSION}",
            action="use the release that wrote it",
        )
    return record(DataSet, metadata)
