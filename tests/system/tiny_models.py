"""Settings with which models are trained, adapted and judged in seconds: what counts is what happens around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gbx_beamline.learning import virtual
from gbx_beamline.learning.store import ModelStore, StoredModel, write_model
from gbx_beamline.learning.virtual import SuiteSettings

STEPS = 12

SETTINGS: dict[str, Any] = {
    "models": {"directory": "models", "suites": "suites"},
    "training": {
        "steps": STEPS,
        "scans_per_step": 8,
        "warmup": 2,
        "workers": 0,
        "precision": "float32",
        "validation_scans": 16,
        "validation_steps": 6,
        "calibration_scans": 0,
        "calibration_groups": 0,
        "checkpoint_minutes": 1e-6,
        "data": {"shots": 4, "frames": 64},
        "network": {
            "channels": [4, 8],
            "image_features": 8,
            "roi_features": 8,
            "context": 8,
            "transforms": 1,
            "hidden": [8],
            "bins": 4,
        },
    },
    "paper_family": {
        "data": {"members": 40, "size": 16, "noise": "independent"},
        "vanilla": {"epochs": 2, "warmup": 1},
        "adaptation": {
            "surrogate": {"epochs": 2, "warmup": 1, "batch": 8},
            "schedule": {"epochs": 2, "warmup": 1, "batch": 8},
        },
        "finetuning": {"steps": 3},
    },
}


def write_settings(folder: Path, **changed: Any) -> Path:
    """``SETTINGS`` as a file, with other values of ``training``."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(SETTINGS | {"training": SETTINGS["training"] | changed}))
    return path


def shrink_suites(patch: pytest.MonkeyPatch, **changed: Any) -> None:
    """Let every suite of the package hold 18 small shots; or other ones, with these settings changed."""
    whole = virtual.load_suite

    def small(name: str | Path) -> SuiteSettings:
        settings = whole(name).model_dump()
        kinds = settings["kinds"][:2]
        few = {"groups": 6, "shots": 3, "frames": 64, "pixels": (1_300, 1_500), "kinds": kinds, "severities": (1.0,)}
        return SuiteSettings.model_validate(settings | few | changed)

    patch.setattr(virtual, "load_suite", small)


def twin_of_the_default(root: Path) -> StoredModel:
    """Another model that answers as the default does: a folder in ``root``."""
    default = ModelStore().find()
    about = default.description
    return write_model(
        root,
        family=about.family,
        weights=default.weights(),
        contract=about.contract,
        parameters=about.parameters,
        network=about.network,
        training=about.training,
        data=about.data,
        seeds=about.seeds,
        metrics=about.metrics,
        parent=default.id,
    )
