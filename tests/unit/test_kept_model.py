"""A model stays in memory from scan to scan, and whatever becomes of its folder counts for the next one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from gbx_beamline.config import ModelsConfig
from gbx_beamline.correlation import two_time
from gbx_beamline.errors import InputError
from gbx_beamline.learning import kept
from gbx_beamline.learning.kept import kept_model
from gbx_beamline.learning.store import SHIPPED, ModelStore

pytest.importorskip("torch")
pytest.importorskip("zuko")
pytest.importorskip("safetensors")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """A copy of the package's models, and nothing in memory."""
    monkeypatch.setattr(kept, "_models", type(kept._models)())
    shutil.copytree(SHIPPED, tmp_path / "shipped")
    return ModelStore(ModelsConfig(directory=tmp_path / "models"), shipped=tmp_path / "shipped")


def test_a_model_is_built_once_and_found_again_under_its_id(store: ModelStore, tmp_path: Path) -> None:
    model = kept_model(store.find(), store)
    assert kept_model(store.find(), store) is model
    folder = store.find().folder
    shutil.copytree(folder, tmp_path / "elsewhere" / folder.name)
    assert kept_model(store.find(tmp_path / "elsewhere" / folder.name), store) is model, (
        "the same content is the same model"
    )


def test_a_folder_that_was_damaged_meanwhile_is_refused(store: ModelStore) -> None:
    kept_model(store.find(), store)
    weights = store.find().folder / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match="do not use it: the file was changed or damaged"):
        kept_model(store.find(), store)


def test_the_one_that_was_asked_longest_ago_goes_first(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST", 1)
    stored = store.find()
    model = kept_model(stored, store)
    described = stored.description.model_copy(update={"id": "gbx-another"})
    kept_model(type(stored)(stored.folder, described), store)
    assert list(kept._models) == ["gbx-another"]
    assert kept_model(stored, store) is not model


def test_it_places_scans_in_the_picture_that_came_with_it(store: ModelStore) -> None:
    model = kept_model(store.find(), store)
    counts = np.random.default_rng(2).poisson(3.0, (128, 40, 40))
    tt = two_time(counts, np.ones((40, 40), dtype=int), frame_time=20.0)
    place = model.predict(tt, 421.0, q=[4.5e8]).place
    assert place is not None
    assert np.isfinite([place.x, place.y]).all()
    assert place.remoteness > 2.0, "photons without speckles are like no scan that it knows"
