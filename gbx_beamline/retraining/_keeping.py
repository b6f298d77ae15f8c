"""Models between the store and the catalog."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gbx_beamline.catalog import TiledSink, load_model_files
from gbx_beamline.errors import InputError

if TYPE_CHECKING:
    from gbx_beamline.catalog import Catalog
    from gbx_beamline.learning.store import ModelStore, StoredModel

LARGEST_FILE = 200_000_000
"""Bytes. Ours have five million."""


def keep_model(catalog: Catalog, model: StoredModel, *, dataset: str | None = None) -> None:
    """Put a model into the catalog, every file compared with its hash; one that is there stays as it is.

    Args:
        catalog: Where to.
        model: of any family.
        dataset: id of the data set that it was made with.

    Raises:
        InputError: a damaged model.
        CatalogError: the catalog is unreachable, or takes none.
    """
    from gbx_beamline.learning.store import DESCRIPTION

    files = {name: model.content(name) for name in model.description.files}
    files[DESCRIPTION] = (model.folder / DESCRIPTION).read_bytes()
    TiledSink(catalog).publish_model(model.description.model_dump(mode="json"), files, dataset=dataset)


def restore_model(catalog: Catalog, store: ModelStore, identity: str) -> StoredModel:
    """Take a model out of the catalog into the store. What the catalog says is believed as little as any folder.

    Args:
        catalog: Where it is.
        store: Where to.
        identity: whole id.

    Raises:
        RunNotFoundError: the catalog has no such model.
        InputError: its files are not what its description says, or the store cannot be written.
    """
    from gbx_beamline.learning.store import read_model

    _, files = load_model_files(catalog, identity)
    with tempfile.TemporaryDirectory(prefix="gbx-model-") as temporary:
        folder = Path(temporary) / "model"
        folder.mkdir()
        for name, content in files.items():
            if Path(name).name != name or len(content) > LARGEST_FILE:
                raise InputError(
                    f"model {identity} of the catalog has a file {name!r} of {len(content)} bytes",
                    needed="files of the model's own folder",
                    action="do not use it; look who wrote it",
                )
            (folder / name).write_bytes(content)
        model = read_model(folder)
        if model.id != identity:
            raise InputError(
                f"the catalog's model {identity} is {model.id}",
                needed="the model of this id",
                action="do not use it; look who wrote it",
            )
        return store.add(model)
