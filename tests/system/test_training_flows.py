"""The flows ``train``, ``adapt`` and ``finetune`` on a real Prefect server: progress, and going on after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_API_URL, PREFECT_HOME
from tiny_models import STEPS, shrink_suites, write_settings

from gbx_beamline import load_config
from gbx_beamline.config import ModelsConfig
from gbx_beamline.errors import InputError
from gbx_beamline.learning.jobs import train_model
from gbx_beamline.learning.store import ModelStore, read_model

pytestmark = pytest.mark.long

pytest.importorskip("torch")

KILLED = """
import os, signal, sys
from pathlib import Path
from gbx_beamline.learning.training import loop
from gbx_flows.train import train

save = loop.Training.save

def saved(training):
    save(training)
    if training.step >= 5:
        os.kill(os.getpid(), signal.SIGKILL)

loop.Training.save = saved
train(Path(sys.argv[1]), calibrate=False)
"""


@pytest.fixture
def configured(prefect_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny settings in the environment; the folder that its relative paths mean."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GBX_CONFIG", str(write_settings(tmp_path)))
    return tmp_path


@pytest.fixture
def artifacts(prefect_server: None) -> Callable[[str], list[Any]]:
    """Artifacts of this test whose key begins so, oldest first: other tests train with the same server."""

    def found(prefix: str) -> list[Any]:
        with get_client(sync_client=True) as client:
            kept = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(like_=f"{prefix}%")))
        return sorted((one for one in kept if one.created and one.created >= begun), key=lambda one: str(one.created))

    begun = datetime.now(UTC)
    return found


def test_a_training_that_was_killed_goes_on_to_the_same_model(
    configured: Path, monkeypatch: pytest.MonkeyPatch, artifacts: Callable[[str], list[Any]]
) -> None:
    from gbx_beamline.learning.training import loop
    from gbx_flows.train import train

    whole = train_model(load_config(configured / "tiny.yaml"), configured / "whole", lambda _: None, calibrate=False)
    (configured / "killed.py").write_text(KILLED)
    server = {"PREFECT_API_URL": str(PREFECT_API_URL.value()), "PREFECT_HOME": str(PREFECT_HOME.value())}
    killed = subprocess.run(
        [sys.executable, "killed.py", "out"],
        cwd=configured,
        env={**os.environ, **server},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [path.name for path in (configured / "out").iterdir()] == ["checkpoint.safetensors"]

    steps: list[int] = []
    update = loop.Training.update

    def counted(training: loop.Training, *arguments: Any) -> float:
        steps.append(training.step)
        return update(training, *arguments)

    monkeypatch.setattr(loop.Training, "update", counted)
    folder = train(Path("out"), calibrate=False, as_candidate=True)
    assert steps == list(range(5, STEPS)), "what was done is not done again"
    assert read_model(folder).id == whole.id
    assert ModelStore(ModelsConfig(directory=configured / "models")).find("candidate").id == whole.id
    first, second = artifacts("train-")
    assert first.type == second.type == "progress"
    assert 0.0 <= first.data < 100.0 == second.data
    (said,) = artifacts("model-gbx-")
    assert "next: `gbx evaluate candidate`" in said.data


def test_a_training_that_is_done_is_not_done_again(configured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gbx_beamline.learning.training import loop
    from gbx_flows.train import train

    folder = train(Path("out"), calibrate=False)
    monkeypatch.setattr(loop.Training, "update", lambda *_: pytest.fail("a step more"))
    assert train(Path("out"), calibrate=False) == folder


def test_from_the_vanilla_model_to_one_for_each_sample(
    configured: Path, monkeypatch: pytest.MonkeyPatch, artifacts: Callable[[str], list[Any]]
) -> None:
    from gbx_flows.adapt import adapt
    from gbx_flows.finetune import finetune
    from gbx_flows.train import train

    shrink_suites(monkeypatch)
    vanilla = train(Path("vanilla"), family="paper")
    adapted = adapt(str(vanilla), Path("adapted"), suite="calibration")
    assert read_model(adapted).description.parent == vanilla.name
    assert adapt(str(vanilla), Path("adapted"), suite="calibration") == adapted
    tuned = finetune(str(adapted), Path("tuned"), suite="calibration")
    assert sorted(tuned) == [f"calibration {group}" for group in range(6)]
    assert {read_model(folder).description.parent for folder in tuned.values()} == {adapted.name}
    assert [artifact.data for artifact in (*artifacts("adapt-"), *artifacts("finetune-"))] == [100.0] * 3


def test_a_flow_without_experiments_fails_at_once(configured: Path) -> None:
    from gbx_flows.adapt import adapt

    train_model(load_config(configured / "tiny.yaml"), configured / "vanilla", lambda _: None, family="paper")
    (vanilla,) = (configured / "vanilla").glob("paper-vanilla-*")
    with pytest.raises(InputError, match="no experiments"):
        adapt(str(vanilla), Path("adapted"))
    assert not (configured / "adapted").exists()
