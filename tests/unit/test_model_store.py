"""Models as folders: written whole, believed by their hashes, promoted through a gate, one at a time."""

from __future__ import annotations

import json
import math
import multiprocessing
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gbx_beamline.config import ModelsConfig, parse_config
from gbx_beamline.errors import ConfigError, InputError
from gbx_beamline.learning import _store_writing
from gbx_beamline.learning._store_lineage import store_lock
from gbx_beamline.learning.promotion import Measure, Verdict, gate
from gbx_beamline.learning.store import ModelStore, StoredModel, read_model, write_model

safetensors = pytest.importorskip("safetensors")

OPEN = Verdict(passed=True, reasons=(), comparisons=())
SHUT = Verdict(passed=False, reasons=("worse",), comparisons=())


def passes(candidate: StoredModel, default: StoredModel | None) -> Verdict:
    return OPEN


def write(root: Path, seed: int = 0, **changed: Any) -> StoredModel:
    """A model that differs with its seed."""
    rng = np.random.default_rng(seed)
    facts: dict[str, Any] = {
        "family": "posterior",
        "weights": {"layer.weight": rng.normal(size=(3, 4)).astype(np.float32), "layer.bias": np.zeros(3, np.float16)},
        "contract": {"version": 1, "cells": 64, "window": (2000.0, 2600.0)},
        "parameters": {"log10_diffusivity": {"low": -23.7, "high": -20.3, "unit": "m^2/s"}},
        "network": {"context": 160},
        "training": {"batch": 32, "rate": 3e-4},
        "data": {"kind": "simulated"},
        "seeds": {"training": seed},
        "metrics": {"rmse": np.float32(0.25), "rmse_low_d": math.nan},
    }
    return write_model(root, **(facts | changed))


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """An empty one, with no model in the package."""
    return ModelStore(ModelsConfig(directory=tmp_path / "models"), shipped=tmp_path / "shipped")


def names(store: ModelStore) -> dict[str, tuple[str, ...]]:
    return {entry.id: entry.aliases for entry in store.entries()}


# --- folders


def test_a_model_comes_back_as_it_was_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    weights = {"a": rng.normal(size=(5, 7)).T, "b": rng.normal(size=(2, 3, 4)).astype(np.float32), "c": np.array(3)}
    extras = {"belief.safetensors": {"mean": np.arange(3.0)}, "embedding.json": {"seed": 7}}
    model = write(tmp_path, weights=weights, extras=extras, parent=None, notes=("tiny",))
    found = read_model(model.folder)
    assert found.description == model.description
    assert found.folder.name == found.id
    back = found.weights()
    assert set(back) == set(weights)
    for name, array in weights.items():
        np.testing.assert_array_equal(back[name], array)
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found.arrays("belief.safetensors")["mean"], np.arange(3.0))
    assert found.json("embedding.json") == {"seed": 7}
    assert found.description.contract == {"version": 1, "cells": 64, "window": [2000.0, 2600.0]}
    assert found.description.metrics == {"rmse": 0.25, "rmse_low_d": None}, "JSON has no NaN"
    assert found.description.notes == ("tiny",)


def test_the_id_follows_from_the_content(tmp_path: Path) -> None:
    one, again = write(tmp_path / "one"), write(tmp_path / "two")
    assert one.id == again.id, "when it was made does not matter"
    assert write(tmp_path / "one").folder == one.folder, "the same model twice is one folder"
    others = [
        write(tmp_path, seed=1),
        write(tmp_path, contract={"version": 1, "cells": 32}),
        write(tmp_path, training={"batch": 64}),
        write(tmp_path, parent=one.id),
        write(tmp_path, name="other"),
    ]
    assert len({one.id, *(other.id for other in others)}) == 6
    assert write(tmp_path, metrics={}).id == one.id


def edit(folder: Path, **changed: Any) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def damage(folder: Path, how: str) -> None:
    weights = folder / "weights.safetensors"
    if how == "a flipped bit":
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    elif how == "cut short":
        weights.write_bytes(weights.read_bytes()[:-4])
    elif how == "gone":
        weights.unlink()
    elif how == "a link elsewhere":
        outside = folder.parent / "outside.safetensors"
        weights.rename(outside)
        weights.symlink_to(outside)
    elif how == "a path elsewhere":
        edit(folder, files={"../outside.safetensors": {"sha256": "0" * 64, "bytes": 1}})
    elif how == "another contract":
        edit(folder, contract={"version": 1, "cells": 128})
    elif how == "a foreign version":
        edit(folder, format_version=2)
    elif how == "a foreign format":
        edit(folder, format="pickle")
    elif how == "an unknown key":
        edit(folder, surprise=1)
    elif how == "no JSON":
        (folder / "model.json").write_text("{")
    elif how == "no description":
        (folder / "model.json").unlink()


@pytest.mark.parametrize(
    ("how", "said", "advice"),
    [
        ("a flipped bit", "has the sha256", "do not use it"),
        ("cut short", "has the sha256", "restore the folder"),
        ("gone", r"weights\.safetensors is missing", "restore the folder"),
        ("a link elsewhere", "lies outside of its folder", "in place of the link"),
        ("a path elsewhere", "should match pattern", "restore the folder"),
        ("another contract", "was changed after it was written", "contract, network or hashes may be false"),
        ("a foreign version", "of format gbx-model 2; needed: gbx-model 1", "use the release of GBX that wrote it"),
        ("a foreign format", "of format pickle 1", "train the model again"),
        ("an unknown key", "surprise", "restore the folder"),
        ("no JSON", "does not describe a model", "restore the folder"),
        ("no description", r"holds no model\.json", "check the path"),
    ],
)
def test_what_cannot_be_believed_is_refused(tmp_path: Path, how: str, said: str, advice: str) -> None:
    folder = write(tmp_path).folder
    damage(folder, how)
    with pytest.raises(InputError, match=said) as refused:
        read_model(folder)
    assert advice in str(refused.value)


def test_files_are_compared_when_they_are_read_too(tmp_path: Path) -> None:
    model = write(tmp_path)
    damage(model.folder, "a flipped bit")
    with pytest.raises(InputError, match="has the sha256"):
        model.weights()
    with pytest.raises(InputError, match=r"has no belief\.safetensors; needed: one of weights\.safetensors"):
        model.arrays("belief.safetensors")


def test_an_interrupted_write_leaves_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Path] = []

    def full(path: Path, content: bytes) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise OSError(28, "No space left on device", str(path))
        path.write_bytes(content)

    monkeypatch.setattr(_store_writing, "write_whole", full)
    with pytest.raises(InputError, match="No space left on device"):
        write(tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_no_torch_is_needed(tmp_path: Path) -> None:
    model = write(tmp_path)
    code = f"""
import sys
from pathlib import Path
from gbx_beamline.learning.store import ModelStore
ModelStore().find(Path({str(model.folder)!r})).weights()
assert not {{"torch", "umap", "tiled"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# --- names


def test_models_are_found_by_alias_id_beginning_and_folder(tmp_path: Path, store: ModelStore) -> None:
    one, two = write(store.directory), write(tmp_path / "elsewhere", seed=1)
    store.promote(one.id, passes)
    store.name_candidate(two.folder, why="tried")
    assert store.find().id == store.find("default").id == store.find(one.id).id == one.id
    assert store.find("candidate").folder == store.directory / two.id, "it was copied in"
    assert store.find(two.id[:-3]).id == two.id
    assert store.find(two.folder).folder == store.find(str(two.folder)).folder == two.folder
    assert ModelStore(ModelsConfig(directory=store.directory, model="candidate")).find().id == two.id


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("default", "no model is default: none was promoted in"),
        ("candidate", "no model is candidate"),
        ("nonsense", "is none of the 2 known here"),
        ("posterior", "stands for posterior-"),
        ("../elsewhere", r"no folder \.\./elsewhere"),
    ],
)
def test_a_name_that_means_nobody_is_refused(store: ModelStore, name: str, said: str) -> None:
    write(store.directory)
    write(store.directory, seed=1)
    with pytest.raises(InputError, match=said) as refused:
        store.find(name)
    assert "gbx " in refused.value.action


def test_the_configuration_takes_no_path_for_a_model() -> None:
    assert parse_config({"models": {"directory": "/data/models", "model": "candidate"}}).models.model == "candidate"
    with pytest.raises(ConfigError, match=r"models\.model"):
        parse_config({"models": {"model": "../elsewhere"}})


def test_a_list_shows_what_is_damaged_with_its_reason(tmp_path: Path, store: ModelStore) -> None:
    good, gone, linked = (write(store.directory, seed=seed) for seed in range(3))
    damage(gone.folder, "gone")
    linked.folder.rename(tmp_path / linked.id)
    linked.folder.symlink_to(tmp_path / linked.id)
    good.folder.rename(store.directory / "mine")
    (store.directory / "notes").mkdir()
    problems = {entry.id: entry.problem for entry in store.entries()}
    assert "is missing" in problems[gone.id]
    assert "outside the store" in problems[linked.id]
    assert "rename the folder" in problems["mine"]
    assert "holds no model.json" in problems["notes"]
    with pytest.raises(InputError, match="outside the store"):
        store.find(linked.id)


# --- promotion


def test_promotions_are_taken_back_one_after_the_other(store: ModelStore) -> None:
    one, two, three = (write(store.directory, seed=seed) for seed in range(3))
    for model in (one, two, three):
        store.promote(model.id, passes)
    assert store.rollback(why="worse at night").model == two.id
    assert store.find("default").id == two.id
    store.promote(three.id, passes)
    assert store.rollback(why="again").model == two.id
    assert store.rollback(why="and further").model == one.id
    with pytest.raises(InputError, match="is the first default there was"):
        store.rollback(why="too far")
    events = store.lineage()
    assert [event.action for event in events] == ["promote"] * 3 + ["rollback", "promote", "rollback", "rollback"]
    assert [event.number for event in events] == [1, 2, 3, 4, 5, 6, 7]
    assert (events[3].model, events[3].replaces, events[3].why) == (two.id, three.id, "worse at night")
    assert names(store) == {one.id: ("default",), two.id: (), three.id: ()}, "nothing is deleted"


def test_the_package_s_default_stands_where_nothing_was_promoted(tmp_path: Path, store: ModelStore) -> None:
    shipped = write(tmp_path / "shipped", status="released")
    (tmp_path / "shipped" / "aliases.json").write_text(json.dumps({"default": shipped.id}))
    own = write(store.directory, seed=1)
    assert store.find("default").folder == shipped.folder
    assert not (store.directory / "lineage.jsonl").exists(), "looking changes nothing"
    event, _verdict = store.promote(own.id, passes)
    assert event is not None
    assert event.replaces == shipped.id
    assert names(store) == {shipped.id: (), own.id: ("default",)}
    assert store.rollback(why="back").model == shipped.id
    with pytest.raises(InputError, match="nothing was promoted"):
        store.rollback(why="further")
    store.promote(own.id, passes)
    store.promote(shipped.id, passes)
    assert not (store.directory / shipped.id).exists(), "the package's own is not copied"
    assert store.find("default").id == shipped.id


def test_a_candidate_that_is_promoted_is_candidate_no_more(store: ModelStore) -> None:
    one, two = (write(store.directory, seed=seed) for seed in range(2))
    store.name_candidate(one.id, why="new")
    store.name_candidate(two.id, why="newer")
    assert names(store) == {one.id: (), two.id: ("candidate",)}
    store.promote("candidate", passes)
    assert names(store) == {one.id: (), two.id: ("default",)}
    with pytest.raises(InputError, match="is default already"):
        store.promote(two.id, passes)


def test_a_closed_gate_changes_nothing(tmp_path: Path, store: ModelStore) -> None:
    one, two = write(store.directory), write(tmp_path / "elsewhere", seed=1)
    store.promote(one.id, passes)
    before = (store.directory / "lineage.jsonl").read_bytes()
    seen: list[tuple[str, str | None]] = []

    def shut(candidate: StoredModel, default: StoredModel | None) -> Verdict:
        seen.append((candidate.id, default and default.id))
        return SHUT

    assert store.promote(two.folder, shut) == (None, SHUT)
    assert seen == [(two.id, one.id)]
    assert (store.directory / "lineage.jsonl").read_bytes() == before
    assert set(names(store)) == {one.id}


def test_a_default_that_cannot_be_loaded_does_not_keep_its_place(store: ModelStore) -> None:
    one, two, three = (write(store.directory, seed=seed) for seed in range(3))
    store.promote(one.id, passes)
    store.promote(two.id, passes)
    damage(two.folder, "a flipped bit")
    with pytest.raises(InputError, match="has the sha256"):
        store.find("default")
    assert store.rollback(why="damaged").model == one.id
    damage(one.folder, "gone")
    event, _verdict = store.promote(three.id, lambda _candidate, default: SHUT if default else OPEN)
    assert event is not None
    assert "could not be used" in event.why
    with pytest.raises(InputError, match="is missing"):
        store.rollback(why="to a damaged one")
    assert store.find("default").id == three.id


def test_a_promotion_that_breaks_down_has_not_happened(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (write(store.directory, seed=seed) for seed in range(2))
    store.promote(one.id, passes)
    before = (store.directory / "lineage.jsonl").read_bytes()

    def broken(self: Path, target: Path) -> Path:
        raise OSError(5, "Input/output error", str(target))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", broken)
        with pytest.raises(InputError, match="nothing was changed"):
            store.promote(two.id, passes)
    assert (store.directory / "lineage.jsonl").read_bytes() == before
    assert not list(store.directory.glob(".*"))
    assert store.find("default").id == one.id


def promote_in_process(directory: Path, identity: str) -> str:
    store = ModelStore(ModelsConfig(directory=directory), shipped=directory / "none")
    event, _verdict = store.promote(identity, passes)
    assert event is not None
    return event.model


def test_promotions_at_once_come_one_after_the_other(store: ModelStore) -> None:
    models = [write(store.directory, seed=seed) for seed in range(6)]
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        done = pool.starmap(promote_in_process, [(store.directory, model.id) for model in models], chunksize=1)
    assert sorted(done) == sorted(model.id for model in models)
    events = store.lineage()
    assert len(events) == 6
    assert [event.replaces for event in events] == [None, *(event.model for event in events[:-1])]
    assert store.find("default").id == events[-1].model


def test_a_store_that_another_process_holds_is_not_changed(store: ModelStore) -> None:
    model = write(store.directory)
    with (
        store_lock(store.directory),
        pytest.raises(InputError, match="another process is changing the models"),
        store_lock(store.directory, wait=0.1),
    ):
        raise AssertionError("two at once")
    store.promote(model.id, passes)


@pytest.mark.parametrize("how", ["changed", "taken out", "put in", "no JSON"])
def test_a_lineage_that_was_tampered_with_is_refused(store: ModelStore, how: str) -> None:
    for seed in range(3):
        store.promote(write(store.directory, seed=seed).id, passes)
    path = store.directory / "lineage.jsonl"
    lines = path.read_text().splitlines()
    if how == "changed":
        lines[0] = lines[0].replace("the first default", "the best of all")
    elif how == "taken out":
        del lines[1]
    elif how == "put in":
        lines.insert(1, lines[1])
    else:
        lines[2] = lines[2][:20]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match="restore the file from a backup"):
        store.find("default")


# --- evaluations


def test_evaluations_are_kept_beside_the_models(tmp_path: Path, store: ModelStore) -> None:
    model = write(tmp_path / "elsewhere")
    assert store.evaluation(model) is None
    path = store.keep_evaluation(model, {"rmse": np.float64(0.2), "none": math.nan})
    assert store.evaluation(store.add(model)) == {"rmse": 0.2, "none": None}, "wherever the model lies"
    assert names(store) == {model.id: ()}
    other = write(store.directory, seed=1)
    path.parent.rename(path.parent.with_name(other.id))
    with pytest.raises(InputError, match=f"is the evaluation of {model.id}"):
        store.evaluation(other)
    (model.folder / "evaluation.json").write_text(json.dumps({"model": model.id, "report": {"rmse": 0.3}}))
    assert store.evaluation(model) == {"rmse": 0.3}, "one that came with the model"


# --- the gate

MEASURES = (
    Measure("error", "error of log10 D, dex", "lower", 0.01),
    Measure("rank", "rank correlation of log10 D", "higher", 0.02),
    Measure("coverage", "coverage of 90 % intervals", "near", 0.02, target=0.9),
)

REIGNING: dict[str, float | None] = {"error": 0.25, "rank": 0.9, "coverage": 0.9}


@pytest.mark.parametrize(
    ("changed", "reasons"),
    [
        ({}, []),
        ({"error": 0.2595, "rank": 0.885, "coverage": 0.881}, []),
        ({"error": 0.1, "rank": 0.99, "coverage": 0.919}, []),
        ({"error": 0.27}, ["error of log10 D, dex: 0.27 against 0.25 of the default, lower is better, worse by more"]),
        ({"error": 0.1, "rank": 0.87}, ["rank correlation of log10 D: 0.87 against 0.9"]),
        ({"coverage": 0.87}, ["coverage of 90 % intervals: 0.87 against 0.9 of the default, best at 0.9"]),
        ({"coverage": 0.93, "error": 0.3}, ["error of log10 D", "coverage of 90 % intervals: 0.93"]),
        ({"rank": None}, ["rank correlation of log10 D: not measured on the candidate"]),
        ({"rank": math.nan}, ["rank correlation of log10 D: not measured on the candidate"]),
    ],
)
def test_the_gate_lets_nothing_become_worse(changed: dict[str, float | None], reasons: list[str]) -> None:
    verdict = gate(REIGNING | changed, REIGNING, MEASURES)
    assert verdict.passed == (not reasons)
    assert len(verdict.reasons) == len(reasons)
    for said, expected in zip(verdict.reasons, reasons, strict=True):
        assert said.startswith(expected)
    assert [one.passed for one in verdict.comparisons].count(False) == len(reasons)


def test_calibration_may_come_nearer_from_the_other_side() -> None:
    overconfident = REIGNING | {"coverage": 0.8}
    assert gate(REIGNING | {"coverage": 0.98}, overconfident, MEASURES).passed
    assert not gate(REIGNING | {"coverage": 0.77}, overconfident, MEASURES).passed


def test_the_gate_without_a_default_asks_for_the_measures_only() -> None:
    assert gate(REIGNING, None, MEASURES).passed
    assert gate({}, None, MEASURES).reasons[0] == "error of log10 D, dex: not measured on the candidate"
    assert "default, which must be evaluated anew" in gate(REIGNING, {}, MEASURES).reasons[0]
