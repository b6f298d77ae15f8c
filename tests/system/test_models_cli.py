"""``gbx train``, ``adapt``, ``finetune``, ``evaluate`` and ``models`` as a user meets them, on tiny settings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Command, in_process
from tiny_models import STEPS, shrink_suites, write_settings

from gbx_beamline.config import ModelsConfig
from gbx_beamline.learning import embedding, evaluation
from gbx_beamline.learning.predictor import model_of
from gbx_beamline.learning.promotion import MEASURES
from gbx_beamline.learning.store import ModelStore, StoredModel, read_model, write_model

pytestmark = pytest.mark.long

pytest.importorskip("torch")

EQUAL = {measure.name: 0.5 for measure in MEASURES}


@pytest.fixture
def gbx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in ``tmp_path``, whose configuration is the tiny one and which has no models yet."""
    monkeypatch.chdir(tmp_path)
    for name in ("GBX_TILED_URI", "TILED_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GBX_CONFIG", str(write_settings(tmp_path)))
    monkeypatch.setattr("gbx_beamline.learning.store.SHIPPED", tmp_path / "shipped")
    return lambda *arguments: in_process(monkeypatch, capsys, *arguments)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """The store that the commands use."""
    return ModelStore(ModelsConfig(directory=tmp_path / "models"), shipped=tmp_path / "shipped")


def write(root: Path, seed: int) -> StoredModel:
    return write_model(
        root,
        family="gbx",
        weights={"w": np.full(3, seed, dtype=np.float32)},
        contract={"version": 1},
        parameters={},
        network={},
        training={"batch": 32},
        data={},
        seeds={"training": seed},
        metrics={"rmse": 0.25},
    )


def found(store: ModelStore, model: StoredModel, **changed: float) -> None:
    """Let an evaluation of the model be there."""
    store.keep_evaluation(model, {"suites": {"truth": "0123"}, "measures": EQUAL | changed})


# --- models


def test_without_models_it_says_how_to_get_some(gbx: Command) -> None:
    said = gbx("models", "list")
    assert (said.code, said.out) == (0, "No models, neither in the package nor in models: `gbx train` makes them.\n")
    shown = gbx("models", "show", "default")
    assert shown.code == 2
    assert "no model is default" in shown.err
    assert gbx("models", "rollback").code == 2


def test_a_model_becomes_default_when_it_is_no_worse(gbx: Command, store: ModelStore, tmp_path: Path) -> None:
    first, better, worse = (write(tmp_path / "elsewhere", seed) for seed in range(3))
    refused = gbx("models", "promote", str(first.folder))
    assert refused.code == 2
    assert f"{first.id} was not evaluated: run `gbx evaluate {first.id}`" in refused.err
    for model, changed in (
        (first, {}),
        (better, {"one.rmse.diffusivity": 0.4}),
        (worse, {"one.rmse.diffusivity": 0.3, "all.coverage.gamma": 0.2}),
    ):
        found(store, model, **changed)
    done = gbx("models", "promote", str(first.folder))
    assert done.code == 0, done.err
    assert f"{first.id} is default\nback again with: gbx models rollback\n" in done.out
    done = gbx("models", "promote", str(better.folder))
    assert f"{better.id} is default, in place of {first.id}" in done.out
    closed = gbx("models", "promote", str(worse.folder))
    assert closed.code == 2
    assert "coverage of 90 % intervals of gamma, one q-ROI: 0.2 against 0.5 of the default" in closed.err
    assert closed.out.count("worse") == 2, "in the head of the table and in one row of it"
    assert store.find("default").id == better.id
    back = gbx("models", "rollback", "--why", "jumps at 421 K")
    assert back.out == f"{first.id} is default again, in place of {better.id}\n"
    shown = gbx("models", "show", "default")
    lines = [line for line in shown.out.splitlines() if line.startswith("lineage")]
    assert len(lines) == 3
    assert lines[2].endswith(": jumps at 421 K")
    assert "evaluation   one.rmse.diffusivity 0.5" in shown.out


def test_evaluations_on_other_suites_do_not_compare(gbx: Command, store: ModelStore) -> None:
    first, second = (write(store.directory, seed) for seed in range(2))
    found(store, first)
    gbx("models", "promote", first.id)
    store.keep_evaluation(second, {"suites": {"truth": "4567"}, "measures": EQUAL})
    refused = gbx("models", "promote", second.id)
    assert refused.code == 2
    assert "were evaluated on different suites" in refused.err


def test_the_list_shows_who_is_who_and_what_is_damaged(gbx: Command, store: ModelStore) -> None:
    models = [write(store.directory, seed) for seed in range(3)]
    found(store, models[0])
    gbx("models", "promote", models[0].id)
    assert gbx("models", "promote", models[1].id, "--to", "candidate").out == f"{models[1].id} is candidate\n"
    (models[2].folder / "weights.safetensors").unlink()
    said = gbx("models", "list")
    row = {model.id: next(line for line in said.out.splitlines() if model.id in line) for model in models}
    assert [name in row[model.id] for model, name in zip(models, ("default", "candidate", "damaged"), strict=True)] == [
        True
    ] * 3
    assert f"{models[2].id}: {models[2].folder.relative_to(store.directory.parent)}/weights.safetensors" in said.out
    listed = {row["id"]: row for row in json.loads(gbx("models", "list", "--format", "json").out)}
    assert listed[models[1].id]["aliases"] == ["candidate"]
    assert "is missing" in listed[models[2].id]["problem"]
    shown = gbx("models", "show", models[2].id)
    assert shown.code == 2
    assert "is missing; needed: it, as model.json says; restore the folder" in shown.err


def test_show_compares_hashes(gbx: Command, store: ModelStore) -> None:
    model = write(store.directory, 0)
    about = json.loads(gbx("models", "show", model.id, "--format", "json").out)
    assert about["id"] == model.id
    assert about["evaluation"] is None
    path = model.folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    refused = gbx("models", "show", model.id)
    assert refused.code == 2
    assert "do not use it: the file was changed or damaged" in refused.err


@pytest.mark.parametrize("command", ["list", "show", "promote", "rollback", "history", "restore"])
def test_models_commands_have_examples(gbx: Command, command: str) -> None:
    assert f"Example: gbx models {command}" in gbx("models", command, "--help").out


@pytest.mark.parametrize("command", ["train", "adapt", "finetune", "evaluate", "models"])
def test_commands_have_examples(gbx: Command, command: str) -> None:
    assert f"Example: gbx {command}" in gbx(command, "--help").out


# --- train


INTERRUPTED = """
import os, signal, sys
from gbx_beamline import cli

def main():
    from gbx_beamline.learning.training import loop

    save, ending = loop.Training.save, getattr(signal, os.environ["ENDING"])

    def saved(training):
        save(training)
        if training.step >= 5:
            # Ctrl-C reaches all processes of the terminal, a kill only this one.
            os.killpg(0, ending) if ending == signal.SIGINT else os.kill(os.getpid(), ending)

    loop.Training.save = saved
    cli.main()

if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> StoredModel:
    """The model of the tiny settings, trained without a break."""
    from gbx_beamline import load_config
    from gbx_beamline.learning.jobs import train_model

    folder = tmp_path_factory.mktemp("trained")
    return train_model(load_config(write_settings(folder)), folder / "out", lambda _: None, calibrate=False)


@pytest.mark.parametrize("ending", ["SIGINT", "SIGKILL"])
def test_an_interrupted_training_ends_with_the_same_model(
    gbx: Command, tmp_path: Path, trained: StoredModel, ending: str
) -> None:
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    # Returns when every process has closed its end of the pipes, the one that simulates too.
    ended = subprocess.run(
        [
            sys.executable,
            "interrupted.py",
            "train",
            "--out",
            "out",
            "--no-calibrate",
            "--workers",
            "1" if ending == "SIGINT" else "0",
        ],
        cwd=tmp_path,
        env={**os.environ, "ENDING": ending},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        start_new_session=True,
    )
    if ending == "SIGINT":
        assert ended.returncode == 130, ended.stderr
        assert "Go on with: gbx train --out out --no-calibrate --workers 1" in ended.stderr
        assert "Traceback" not in ended.stderr
    else:
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["checkpoint.safetensors"]
    again = gbx("train", "--out", "out", "--no-calibrate")
    assert again.code == 0, again.err
    assert again.out == (
        f"model out/{trained.id}\nnext: gbx evaluate out/{trained.id}, then gbx models promote out/{trained.id}\n"
    )
    assert read_model(tmp_path / "out" / trained.id).id == trained.id


def test_a_folder_of_another_training_is_refused(gbx: Command, tmp_path: Path, trained: StoredModel) -> None:
    del trained
    assert gbx("train", "--out", "out", "--no-calibrate").code == 0
    write_settings(tmp_path, seed=6)
    refused = gbx("train", "--out", "out", "--no-calibrate")
    assert refused.code == 2
    assert "belongs to a training with the configuration" in refused.err
    assert gbx("train", "--out", "out", "--family", "paper", "--workers", "2").code == 2


def test_a_trained_model_can_become_candidate(gbx: Command, store: ModelStore) -> None:
    said = gbx("train", "--out", "out", "--no-calibrate", "--candidate")
    assert said.out.endswith("next: gbx evaluate candidate, then gbx models promote candidate\n")
    assert store.find("candidate").description.training["steps"] == STEPS


def test_a_trained_model_is_calibrated_on_photon_level_scans(
    gbx: Command, monkeypatch: pytest.MonkeyPatch, trained: StoredModel
) -> None:
    shrink_suites(monkeypatch)
    # The bounds themselves take seconds a shot and have tests of their own.
    monkeypatch.setattr(evaluation, "suite_bounds", lambda suite, **_: np.full((len(suite), 3), 0.9))
    said = gbx("train", "--out", "out")
    assert said.code == 0, said.err
    assert "calibrating on photon-level scans 27 of 27" in said.err
    folder = Path(said.out.splitlines()[0].removeprefix("model "))
    model = read_model(folder)
    assert model.description.parent == trained.id
    assert model.description.data["calibration"]["views"] == 27
    assert model.description.metrics["calibration"]["refused"] == 0
    before, after = (model_of(one).belief for one in (trained, model))
    assert before.conformal is None
    assert after.conformal is not None
    for name, array in trained.weights().items():
        np.testing.assert_array_equal(model.weights()[name], array)
    assert gbx("train", "--out", "out").out == said.out, "again: the same model"


# --- adapt, finetune, evaluate


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "no experiments; needed: samples or runs that are analysed, or else a suite of virtual experiments"),
        (["--suite", "calibration", "--run", "1a2b3c4d"], "the suite 'calibration' and scans of the catalog"),
        (["--suite", "nonsense"], "suite 'nonsense'"),
        (["--sample", "silicon"], "no catalog in"),
    ],
)
def test_adapting_needs_experiments(gbx: Command, store: ModelStore, options: list[str], said: str) -> None:
    model = write(store.directory, 0)
    refused = gbx("adapt", model.id, "--out", "out", *options)
    assert refused.code == 2
    assert said in refused.err
    assert not Path("out").exists()


def test_from_the_vanilla_model_to_evaluated_ones(
    gbx: Command, store: ModelStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trained: StoredModel
) -> None:
    shrink_suites(monkeypatch)
    # UMAP itself takes seconds to compile and has tests of its own.
    monkeypatch.setattr(embedding, "_umap", lambda points, neighbours, seed: points[:, :2].copy())
    assert gbx("train", "--family", "paper", "--out", "paper").code == 0
    (vanilla,) = Path("paper").glob("paper-vanilla-*")
    said = gbx("adapt", str(vanilla), "--suite", "calibration", "--out", "adapted")
    assert said.code == 0, said.err
    (adapted,) = Path("adapted").glob("paper-adapted-bare-*")
    assert read_model(adapted).description.parent == vanilla.name
    assert f"model {adapted}\n" in said.out
    said = gbx("finetune", str(adapted), "--suite", "calibration", "--out", "tuned")
    assert said.code == 0, said.err
    tuned = sorted(Path("tuned").glob("paper-finetuned-*"))
    assert len(tuned) == 6
    assert "calibration 0: tuned/paper-finetuned-" in said.out
    assert gbx("adapt", str(adapted), "--suite", "calibration", "--out", "again").code == 2, "not a vanilla model"

    names = [str(trained.folder), str(vanilla), str(adapted)]
    said = gbx("evaluate", *names, "--no-bounds", "--suite", "truth", "--suite", "foreign", "--out", "figures")
    assert said.code == 0, said.err
    assert f"{trained.id}: kept in models/evaluations/{trained.id}/evaluation.json" in said.out
    report: Any = store.evaluation(trained)
    assert set(report["suites"]) == {"truth", "foreign"}
    assert report["measures"]["all.rmse.diffusivity"] > 0
    drawn = embedding.find_embedding(store.findings(read_model(adapted)))
    assert drawn is not None
    assert np.isfinite(drawn.columns["log10_diffusivity"]).all()
    assert set(drawn.kind.tolist()) == {0, 1}
    assert (tmp_path / "figures" / "families.png").stat().st_size > 10_000
    again = gbx("evaluate", *names, "--no-bounds", "--suite", "truth", "--finetuned")
    assert again.out.count("an earlier evaluation on the same suites") == 3
    assert again.out.count("fine-tuned: not kept") == 1, "of the adapted model alone"
    assert store.evaluation(trained) == report, "an evaluation on fewer suites does not replace one on more"
    assert gbx("evaluate", names[0], "--out", "figures").code == 2, "figures are not replaced unasked"
