"""Writing a model's folder, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from gbx_beamline.learning._store_arrays import RESTORE, Arrays, as_bytes
from gbx_beamline.learning._store_description import FORMAT, FORMAT_VERSION, digest_of, in_json, settings_hash
from gbx_beamline.learning._store_files import force_to_disk, said_in_words, unfinished, write_whole
from gbx_beamline.learning._store_folder import DESCRIPTION, WEIGHTS, StoredModel, read_model


def write_model(
    root: Path,
    *,
    family: str,
    weights: Arrays,
    contract: Mapping[str, Any],
    parameters: Mapping[str, Any],
    network: Mapping[str, Any],
    training: Mapping[str, Any],
    data: Mapping[str, Any],
    seeds: Mapping[str, int],
    metrics: Mapping[str, Any],
    name: str | None = None,
    parent: str | None = None,
    status: Literal["trained", "released"] = "trained",
    notes: tuple[str, ...] = (),
    extras: Mapping[str, Arrays | Mapping[str, Any]] | None = None,
) -> StoredModel:
    """Write a model folder ``root/<id>``, whole or not at all. The same model written twice is one folder.

    Args:
        root: folder of the new folder; made when absent.
        family: which code turns the weights into a model.
        weights: arrays of the network.
        contract: the input contract.
        parameters: names, ranges and units of what is inferred.
        network: what is needed to build the network.
        training: the configuration.
        data: what it was trained on.
        seeds: of whatever was random.
        metrics: what the training's own validation found.
        name: beginning of the id; None = the family.
        parent: id of the model that it began from.
        status: released: chosen to come with the package.
        notes: what a reader must know.
        extras: more files by name: arrays for ``*.safetensors``, JSON for ``*.json``.

    Returns:
        The model, read back.

    Raises:
        InputError: a place that cannot be written, or a description that :func:`read_model` would refuse.
    """
    contents = {WEIGHTS: as_bytes(WEIGHTS, weights)}
    contents |= {file: as_bytes(file, value) for file, value in (extras or {}).items()}
    description: dict[str, Any] = in_json(
        {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "family": family,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "made_with": _versions(),
            "status": status,
            "parent": parent,
            "files": {file: _facts(content) for file, content in contents.items()},
            "contract": contract,
            "parameters": parameters,
            "network": network,
            "training": training,
            "training_hash": settings_hash(in_json(training)),
            "data": data,
            "seeds": seeds,
            "metrics": metrics,
            "notes": notes,
        }
    )
    description["id"] = f"{name or family}-{digest_of(description)}"
    contents[DESCRIPTION] = json.dumps(description, indent=2, allow_nan=False).encode()
    return _place(root, str(description["id"]), contents)


def copy_model(model: StoredModel, root: Path) -> StoredModel:
    """The same model in another root, with the files that are described and nothing else."""
    contents = {file: model.content(file) for file in model.description.files}
    with said_in_words(model.folder, action=RESTORE):
        contents[DESCRIPTION] = (model.folder / DESCRIPTION).read_bytes()
    return _place(root, model.id, contents)


def _place(root: Path, identity: str, contents: Mapping[str, bytes]) -> StoredModel:
    folder = root / identity
    with said_in_words(root, action="choose another folder, or make room"):
        root.mkdir(parents=True, exist_ok=True)
        written = unfinished(folder)
        try:
            written.mkdir()
            for file, content in contents.items():
                write_whole(written / file, content)
            checked = read_model(written)
            if not _renamed(written, folder):
                return read_model(folder)
        finally:
            shutil.rmtree(written, ignore_errors=True)
    return StoredModel(folder, checked.description)


def _renamed(written: Path, folder: Path) -> bool:
    """False where the model is there already: the same id is the same model."""
    try:
        written.rename(folder)
    except OSError:
        if (folder / DESCRIPTION).exists():
            return False
        raise
    force_to_disk(folder.parent)
    return True


def _facts(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def _versions() -> dict[str, str]:
    # Only here: it takes seconds to import, and who reads a model does not need it.
    from gbx_beamline.simulation.ensemble import SIMULATION_VERSION

    packages = ("gbx-beamline", "torch")
    return {"simulation": SIMULATION_VERSION} | {name: said for name in packages if (said := _installed(name))}


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
