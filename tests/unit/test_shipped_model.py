"""The model that comes with the package: made by the committed configuration, small, and described."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gbx_beamline.config import ModelsConfig, load_config
from gbx_beamline.learning.promotion import MEASURES
from gbx_beamline.learning.store import SHIPPED, ModelStore, StoredModel

LARGEST = 5_000_000
"""Bytes of everything that comes with it."""


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(ModelsConfig(directory=tmp_path / "models"))


@pytest.fixture
def shipped(store: ModelStore) -> StoredModel:
    """The default where nothing was promoted; its files are checked against their hashes."""
    return store.find("default")


def test_the_committed_configuration_made_it(shipped: StoredModel, repository: Path) -> None:
    made_by = load_config(repository / "configs" / "default_model.yaml").training
    assert made_by.in_use() == shipped.description.training
    assert made_by.hash == shipped.description.training_hash


def test_it_is_small_and_alone() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) < LARGEST
    assert len([path for path in SHIPPED.iterdir() if path.is_dir()]) == 1


def test_its_evaluation_lets_the_gate_compare(store: ModelStore, shipped: StoredModel) -> None:
    found = store.evaluation(shipped)
    assert found is not None, "the gate would refuse every candidate"
    for measure in MEASURES:
        assert not measure.required or found["measures"][measure.name] is not None, measure.name


def test_its_card_names_it_and_its_figures(store: ModelStore, shipped: StoredModel) -> None:
    card = (SHIPPED / "README.md").read_text()
    measures = (store.evaluation(shipped) or {})["measures"]
    assert shipped.id in card
    for name in ("one.rmse.diffusivity", "three.rmse.diffusivity"):
        assert f"{measures[name]:.3f}" in card, f"{name} in the card is another model's"
    assert json.loads((SHIPPED / "aliases.json").read_text()) == {"default": shipped.id}
