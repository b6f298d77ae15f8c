"""What was found of each model after its training, kept beside the models: a model's own folder never changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gbx_beamline.errors import InputError
from gbx_beamline.learning._store_description import in_json
from gbx_beamline.learning._store_files import inside, said_in_words, write_whole
from gbx_beamline.learning._store_folder import StoredModel
from gbx_beamline.untrusted import read_json

EVALUATIONS = "evaluations"
"""Folder of a store."""

EVALUATION = "evaluation.json"


def findings_of(directory: Path, model: StoredModel) -> tuple[Path, Path]:
    """Where to look for what was found of a model: in this store, then in the model's folder, as it came."""
    return directory / EVALUATIONS / model.id, model.folder


def read_evaluation(directory: Path, model: StoredModel) -> dict[str, Any] | None:
    """The newest evaluation of a model in this store, else the one that came with the model, else None.

    Raises:
        InputError: a file that is no evaluation of this model.
    """
    place = next((folder for folder in findings_of(directory, model) if (folder / EVALUATION).is_file()), None)
    if place is None:
        return None
    path = inside(place, EVALUATION)
    action = f"run `gbx evaluate {model.id}`"
    try:
        found = read_json(path)
        of, report = found["model"], dict(found["report"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"{path} is no evaluation", needed="what `gbx evaluate` writes", action=action) from error
    if of != model.id:
        raise InputError(f"{path} is the evaluation of {of}", needed=f"that of {model.id}", action=action)
    return report


def write_evaluation(directory: Path, model: StoredModel, report: Mapping[str, Any]) -> Path:
    """Keep what was found of a model, in place of an earlier evaluation.

    Raises:
        InputError: it cannot be written.
    """
    path = findings_of(directory, model)[0] / EVALUATION
    content = json.dumps({"model": model.id, "report": in_json(report)}, indent=1, allow_nan=False)
    with said_in_words(path, action="check models.directory in the configuration"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content.encode())
    return path
