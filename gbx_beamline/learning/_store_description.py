"""What ``model.json`` says of a model, and the id that follows from it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, StringConstraints

from gbx_beamline.config._base import Strict

FORMAT = "gbx-model"
FORMAT_VERSION = 1
"""Changes when a reader must change. What the numbers going in must be like is the contract's version."""

ID_PATTERN = r"^[a-z0-9][a-z0-9_-]*-[0-9a-f]{10}$"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)]
FileName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*\.(safetensors|json)$", max_length=60)]
"""A file of the folder itself: no separator, so that no path leads elsewhere."""

Json = dict[str, Any]


class FileFacts(Strict):
    """What a file must be, to be believed."""

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=0)]


class ModelDescription(Strict):
    """One ``model.json``."""

    format: Literal["gbx-model"]
    format_version: Literal[1]
    id: Annotated[str, StringConstraints(pattern=ID_PATTERN, max_length=80)]
    """``<name>-<ten hex digits of everything that decides an answer, and of how the model was made>``."""
    family: Name
    """Which code turns the weights into a model."""
    created: str
    """ISO 8601, UTC."""
    made_with: dict[str, str]
    """Versions of this package, of the simulator and of torch."""
    status: Literal["trained", "released"]
    """trained: as training left it; released: chosen to come with the package. Who is default says the lineage."""
    parent: str | None
    """id of the model that it began from."""
    files: dict[FileName, FileFacts]
    """Everything that is loaded beside this file."""
    contract: Json
    """What a scan must be like to be judged."""
    parameters: Json
    """Names, ranges and units of what is inferred."""
    network: Json
    """What is needed to build the network before the weights are filled in."""
    training: Json
    """The configuration."""
    training_hash: str
    """Twelve hex digits of ``training``."""
    data: Json
    """What it was trained on, with what is needed to make the same again."""
    seeds: dict[str, int]
    metrics: Json
    """As the training's own validation found them; evaluations are kept beside the models."""
    notes: tuple[str, ...] = ()


_DECIDING = ("family", "made_with", "parent", "files", "contract", "parameters", "network", "training", "data", "seeds")
"""Keys whose change makes another model."""


def digest_of(content: Mapping[str, Any]) -> str:
    """Ten hex digits of what decides an answer and of how the model was made."""
    return _digest({key: content[key] for key in _DECIDING})[:10]


def settings_hash(settings: Mapping[str, Any]) -> str:
    """Twelve hex digits of settings in JSON's types."""
    return _digest(settings)[:12]


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def in_json(value: Any) -> Any:
    """``value`` in JSON's types; numbers that JSON lacks (NaN, infinities) become null."""
    if isinstance(value, Mapping):
        return {str(key): in_json(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return in_json(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [in_json(item) for item in value]
    if isinstance(value, np.generic):
        return in_json(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return value.as_posix()
    return value
