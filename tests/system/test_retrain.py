"""Scheduled retraining on a real Tiled and Prefect server: accepted maps, gate, freeze, kill, rollback, drift."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command_line import Said, in_process
from flow_runs import artifacts_of
from measured_scans import measured, own_catalog, publish, publish_many
from tiled.client.container import Container
from tiny_models import SETTINGS, STEPS, shrink_suites

from gbx_beamline import assemble, retraining
from gbx_beamline.catalog import (
    Catalog,
    DataSet,
    Member,
    TiledSink,
    find_models,
    find_retrainings,
    holding_retraining,
    load_dataset,
    newest_retraining,
    publish_dataset,
    retrainings,
)
from gbx_beamline.config import Config, ModelsConfig, parse_config
from gbx_beamline.errors import BusyError, InputError, ServiceError
from gbx_beamline.learning import embedding, evaluation, store
from gbx_beamline.learning.evaluation import gbx_family, judging
from gbx_beamline.learning.jobs import train_model
from gbx_beamline.learning.predictor import model_of
from gbx_beamline.learning.store import ModelStore, StoredModel
from gbx_tiled.embedded import CatalogAddress

pytestmark = pytest.mark.long

pytest.importorskip("torch")

TRAINING = SETTINGS["training"] | {"calibration_scans": 400}
DAY = 86400.0


@pytest.fixture(scope="module")
def reigning(tmp_path_factory: pytest.TempPathFactory) -> StoredModel:
    """The tiny model that is default before any retraining."""
    folder = tmp_path_factory.mktemp("reigning")
    return train_model(parse_config({"training": TRAINING}), folder, lambda _: None, calibrate=False)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was found of the default, once."""
    return tmp_path_factory.mktemp("judged")


@pytest.fixture(scope="module")
def suites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Virtual experiments, made once."""
    return tmp_path_factory.mktemp("suites")


@dataclass(frozen=True)
class Place:
    """A catalog and a store of a test's own."""

    catalog: Catalog
    folder: Path
    settings: dict[str, Any]
    default: str

    def configured(self, **parts: Any) -> Config:
        """The configuration with other parts, on disk too, where the environment finds it."""
        merged = self.settings | {name: self.settings.get(name, {}) | value for name, value in parts.items()}
        (self.folder / "gbx.yaml").write_text(yaml.safe_dump(merged))
        return assemble.configuration()

    @property
    def store(self) -> ModelStore:
        """Of the models."""
        return ModelStore(ModelsConfig(directory=self.folder / "models"))

    def retrain(self, config: Config | None = None, **options: Any) -> retraining.Outcome:
        """Without Prefect."""
        return retraining.retrain(self.catalog, config or self.configured(), lambda _: None, by="a test", **options)


@pytest.fixture
def place(
    tiled_root: Container,
    catalog_address: CatalogAddress,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reigning: StoredModel,
    suites: Path,
    judged: Path,
) -> Iterator[Place]:
    """Small suites, and judging without what has tests of its own: bounds, UMAP, many simulations."""
    # The gate asks for errors above 1e-22 m^2/s, at all temperatures of a sample.
    shrink_suites(monkeypatch, groups=8, diffusivity=(3e-22, 3e-21), activation_energy=(0.01, 0.02))
    monkeypatch.setattr(evaluation, "suite_bounds", lambda suite, **_: np.full((len(suite), 3), 0.9))
    monkeypatch.setattr(judging, "suite_bounds", lambda suite, **_: np.full((len(suite), 3), 0.9))
    monkeypatch.setattr(judging, "SIMULATED", 40)
    monkeypatch.setattr(gbx_family, "SIMULATED", 40)
    monkeypatch.setattr(embedding, "_umap", lambda points, neighbours, seed: points[:, :2].copy())
    shipped = tmp_path / "shipped"
    monkeypatch.setattr(store, "SHIPPED", shipped)
    shipped.mkdir()
    shutil.copytree(reigning.folder, shipped / reigning.id)
    (shipped / "aliases.json").write_text(json.dumps({"default": reigning.id}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(assemble.URI_VARIABLE, raising=False)
    monkeypatch.setenv("TILED_API_KEY", catalog_address.api_key)
    monkeypatch.setenv(assemble.CONFIG_VARIABLE, str(tmp_path / "gbx.yaml"))
    with own_catalog(tiled_root, catalog_address) as (catalog, where):
        settings = {
            "catalog": where,
            "models": {"directory": str(tmp_path / "models"), "suites": str(suites)},
            # Intervals of tiny models hold hardly anything: that is no drift here.
            "retraining": {"directory": str(tmp_path / "retraining"), "drift": {"shortfall": 0.95}},
            "training": TRAINING,
        }
        found = Place(catalog, tmp_path, settings, reigning.id)
        found.configured()
        kept = tmp_path / "models" / "evaluations" / reigning.id
        shutil.copytree(judged, kept)
        yield found
        shutil.copytree(kept, judged, dirs_exist_ok=True)


# --- what is accepted


def test_a_rule_accepts_and_people_have_the_last_word(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = place.catalog
    good, bad = publish_many(catalog, place.default, 2)
    sink = TiledSink(catalog)
    publish(sink, measured("doubted-0001", 3), place.default, "not_preferred")
    publish(sink, measured("doubted-0002", 4), place.default, "prediction_fails:drift")
    publish(sink, measured("refused-0001", 5), place.default, refused="window too short")
    publish(sink, replace(measured("flagged-0001", 6), flags=("beam dump",)), place.default)
    publish(sink, measured("virtual-0001", 7, truth={"gamma": 1e18}), place.default)
    found = retraining.gather(catalog, place.configured().retraining)
    assert [(scan.record, scan.why) for scan in found.scans] == [(good, "by rule"), (bad, "by rule")]
    assert found.refused == {
        "flag of the model: not_preferred": 1,
        "flag of the model: prediction_fails": 1,
        "outside of the model's contract": 1,
        "flag of the record": 1,
        "simulated": 1,
    }

    def gbx(*arguments: str) -> Said:
        return in_process(monkeypatch, capsys, *arguments)

    said = gbx("accept", "flagged-0001", "--who", "ada", "--why", "the dump was the monitor's")
    assert (said.code, said.out) == (0, "run flagged- is accepted\n"), said.err
    assert gbx("accept", "beamtime-0001", "--withdraw", "--who", "ada", "--why", "wrong sample").code == 0
    scans = retraining.gather(catalog, place.configured().retraining).scans
    assert [scan.run_uid for scan in scans] == ["beamtime-0000", "flagged-0001"]
    assert scans[1].why.startswith("accepted 20")
    assert scans[1].why.endswith(" by ada: the dump was the monitor's")
    gbx("accept", "beamtime-0001", "--who", "ada", "--why", "it was the right one")
    assert len(retraining.gather(catalog, place.configured().retraining).scans) == 3
    for arguments, reason in (
        (("accept", "nowhere-0001", "--why", "x"), "no analysed runs start with 'nowhere-0001'"),
        (("accept", "flagged-0001", "--why", " "), "no reason"),
    ):
        refused = gbx(*arguments)
        assert refused.code == 2
        assert reason in refused.err


# --- outcomes


def test_too_few_new_maps_are_an_outcome(place: Place, prefect_server: None) -> None:
    from gbx_flows.retrain import retrain_workflow

    publish_many(place.catalog, place.default, 3)
    assert retrain_workflow() == "nothing to do"
    found = newest_retraining(place.catalog)
    assert found is not None
    assert (found.number, found.status) == (1, "nothing to do")
    assert found.reason == "nothing to do: 3 accepted maps, 20 needed to compare scans with"
    assert found.reason in artifacts_of("retraining")[-1]
    assert place.store.default_id() == place.default


@pytest.mark.slow
def test_a_model_that_is_no_worse_is_promoted_and_rolled_back(
    place: Place, prefect_server: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gbx_flows.retrain import retrain_workflow

    keys = publish_many(place.catalog, place.default, 22)
    assert retrain_workflow() == "promoted"
    found = newest_retraining(place.catalog)
    assert found is not None
    assert found.candidate is not None
    assert found.dataset is not None
    assert found.metadata["gate"]["passed"]
    made, before = place.store.find("default"), place.store.find(place.default)
    assert made.id == found.candidate != before.id
    assert made.description.parent == before.id
    assert made.description.data["experiments"] == {"dataset": found.dataset, "maps": 22}
    said = artifacts_of("retraining")[-1]
    assert f"{made.id} is default, in place of {before.id} (22 new maps" in said
    assert "error of log10 D from one q-ROI" in said
    assert "## Drift" in said

    # Its answers are those of its parent; only what it compares scans with is new.
    maps = measured("another", 77).two_time
    old, new = model_of(before), model_of(made)
    first, second = old.predict(maps, 400.0), new.predict(maps, 400.0)
    assert first.parameters == second.parameters
    np.testing.assert_array_equal(first.samples, second.samples)
    assert old.belief.accepted is None
    assert new.belief.accepted is not None
    assert len(new.belief.accepted.references) == 22

    dataset = load_dataset(place.catalog, found.dataset)
    assert [one.record for one in dataset.members] == sorted(keys)
    assert dataset.id == found.dataset
    assert (dataset.new, dataset.parent) == (22, None)
    result = measured("beamtime-0000", 0)
    assert next(one for one in dataset.members if one.run_uid == "beamtime-0000").sha256 == retraining.hash_of(result)
    kept = {model.id: model for model in find_models(place.catalog)}
    assert set(kept) == {before.id, made.id}
    assert kept[made.id].description["training_hash"] == before.description.training_hash
    assert kept[made.id].dataset == dataset.id
    assert not list((place.folder / "retraining").iterdir()), "nothing is left of the work"

    again = place.retrain()
    assert (again.status, again.new) == ("nothing to do", 0)
    assert again.reason == "nothing to do: 0 new maps, 20 needed"
    # As if it had been killed between the promotion and the last word about it.
    node: Any = place.catalog.processed[retrainings.RETRAININGS]["000002"]
    said_last = {"status": "running", "dataset": dataset.id, "candidate": made.id}
    node.update_metadata(said_last, drop_revision=True)
    once_more = place.retrain()
    assert (once_more.number, once_more.status) == (3, "promoted")
    assert once_more.reason == f"{made.id} is default already (begun by retraining 2)"

    shutil.rmtree(made.folder)
    restored = in_process(monkeypatch, capsys, "models", "restore", made.id)
    assert restored.code == 0, restored.err
    assert place.store.find(made.id).description == made.description
    back = in_process(monkeypatch, capsys, "models", "rollback", "--why", "lambda jumps")
    assert back.code == 0, back.err
    assert place.store.default_id() == before.id
    history = in_process(monkeypatch, capsys, "models", "history").out.splitlines()
    assert [line.split()[0] for line in history] == ["lineage"] * 2 + ["retraining"] * 3
    assert history[1].endswith("lambda jumps")
    assert f"promoted, data set {dataset.id}" in history[2]


@pytest.mark.slow
def test_a_model_that_is_worse_is_kept_back_with_the_reasons(place: Place) -> None:
    publish_many(place.catalog, place.default, 20)
    config = place.configured(retraining={"train": True}, training={"steps": 1, "warmup": 0})
    outcome = place.retrain(config)
    assert outcome.status == "kept"
    assert outcome.verdict is not None
    assert not outcome.verdict.passed
    assert "worse by more than" in outcome.reason
    assert place.store.default_id() == place.default
    assert outcome.candidate is not None
    assert place.store.find(outcome.candidate).description.training["steps"] == 1, "it stays, to be looked at"
    assert place.retrain(config).status == "nothing to do", "the same maps are not tried again"


# --- one at a time, whatever is killed

KILLED = """
import os, signal, sys
from pathlib import Path
from gbx_beamline import assemble, retraining
from gbx_beamline.learning import evaluation_job, jobs, store
from gbx_beamline.learning.training import loop

store.SHIPPED = Path("shipped")

def end(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[1] == "training":
    save = loop.Training.save
    loop.Training.save = lambda training: (save(training), end() if training.step >= 5 else None)
else:
    jobs.train_model.__kwdefaults__["calibrate"] = False
    evaluation_job.prepare_suites = end

config = assemble.configuration()
with assemble.open_catalog(config) as catalog:
    retraining.retrain(catalog, config, lambda _: None, by="a test")
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["training", "judging"])
def test_a_retraining_that_was_killed_goes_on(place: Place, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    from gbx_beamline.learning.training import loop

    publish_many(place.catalog, place.default, 20)
    config = place.configured(retraining={"train": True})
    (place.folder / "killed.py").write_text(KILLED)
    killed = subprocess.run(
        [sys.executable, "killed.py", when],
        cwd=place.folder,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    left = newest_retraining(place.catalog)
    assert left is not None
    assert left.status == "running", "nobody could say that it was killed"
    assert left.dataset is not None
    # What came since is for the one after: this one goes on with its own data set.
    publish_many(place.catalog, place.default, 1, first=20)

    steps: list[int] = []
    update = loop.Training.update

    def counted(training: loop.Training, *arguments: Any) -> float:
        steps.append(training.step)
        return update(training, *arguments)

    monkeypatch.setattr(loop.Training, "update", counted)
    outcome = place.retrain(config)
    assert steps == (list(range(5, STEPS)) if when == "training" else []), "what was done is not done again"
    assert (outcome.number, outcome.dataset, outcome.maps) == (2, left.dataset, 20)
    assert outcome.status in ("promoted", "kept")
    newest = newest_retraining(place.catalog)
    assert newest is not None
    assert newest.metadata["continues"] == 1
    assert len(find_models(place.catalog)) == 3, "the default, the trained one, and that which knows experiments"


def test_two_at_once_are_impossible(place: Place, prefect_server: None) -> None:
    from gbx_flows.retrain import retrain_workflow

    start, entered, release, refused = threading.Barrier(4), [], threading.Event(), []

    def work() -> None:
        start.wait()
        try:
            with holding_retraining(place.catalog, by="a thread") as held:
                entered.append(held.number)
                release.wait(60)
                held.note(status="nothing to do", reason="a test")
        except BusyError as error:
            refused.append(str(error))
            if len(refused) == 3:
                everybody.set()

    everybody = threading.Event()
    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    assert everybody.wait(60)
    assert all("retraining 1 is under way (process" in said for said in refused)
    try:
        assert retrain_workflow() == "nothing to do"
        assert "retraining 1 is under way" in artifacts_of("retraining")[-1]
    finally:
        release.set()
        for worker in workers:
            worker.join()
    assert entered == [1]
    assert [one.number for one in find_retrainings(place.catalog)] == [1], "who was refused left nothing"
    with holding_retraining(place.catalog, by="the next") as held:
        assert (held.number, held.continues) == (2, None)
        held.note(status="nothing to do")


def test_a_holder_that_is_silent_is_taken_over_and_promotes_nothing(place: Place) -> None:
    with holding_retraining(place.catalog, by="asleep") as asleep:
        node: Any = place.catalog.processed[retrainings.RETRAININGS]["000001"]
        elsewhere = dict(node.metadata["holder"]) | {"host": "worker7", "place": "another machine"}
        node.update_metadata({"holder": elsewhere}, drop_revision=True)
        with (
            pytest.raises(BusyError, match=r"process .* on worker7: heard of"),
            holding_retraining(place.catalog, by="too early"),
        ):
            pass
        node.update_metadata({"beat": time.time() - retrainings.SILENT_SECONDS - 1}, drop_revision=True)
        with holding_retraining(place.catalog, by="awake") as awake:
            assert awake.number == 2
            assert awake.continues is not None
            awake.check()
            with pytest.raises(ServiceError, match=r"retraining 2 .* has taken over from this one, 1"):
                asleep.check()
            awake.note(status="nothing to do")
        asleep.note(status="nothing to do")


def test_a_failure_says_why_and_stands_in_nobodys_way(place: Place) -> None:
    publish_many(place.catalog, place.default, 20)
    (place.folder / "retraining").write_text("no folder")
    with pytest.raises(InputError, match="retraining"):
        place.retrain()
    found = newest_retraining(place.catalog)
    assert found is not None
    assert found.status == "failed"
    assert "retraining" in found.reason
    with holding_retraining(place.catalog, by="the next") as held:
        assert held.continues is not None
        assert held.continues.status == "failed"
        held.note(status="nothing to do")


# --- frozen proposals


@pytest.mark.slow
def test_nothing_is_promoted_while_a_proposal_that_froze_its_model_measures(place: Place) -> None:
    publish_many(place.catalog, place.default, 20)
    start = {"uid": "frozen-run", "time": time.time() - 3600.0, "data_session": "pass-1"}
    place.catalog.raw.create_container("frozen-run", metadata={"start": start})
    frozen = {"frozen": {"pass-1": place.default}}
    config = place.configured(models=frozen, retraining={"quiet_hours": 2.0})
    waits = place.retrain(config)
    assert waits.status == "waits"
    assert f"a proposal that has frozen {place.default} is measuring" in waits.reason
    assert place.store.default_id() == place.default
    assert waits.candidate is not None
    assert place.store.find("candidate").id == waits.candidate
    assert place.retrain(config).status == "waits"
    # Two hours after its last run others get the new model; the proposal keeps its own.
    config = place.configured(models=frozen, retraining={"quiet_hours": 0.5})
    done = place.retrain(config)
    assert (done.status, done.candidate, done.default) == ("promoted", waits.candidate, waits.candidate)
    assert config.models.judge_of(start) == place.default


# --- drift


def test_drift_is_seen_and_makes_the_next_one_early(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = place.catalog
    publish_many(catalog, place.default, 24)
    patient = {"fewest_new": 1000, "fewest_after_drift": 5, "drift": {"recent": 12, "fewest": 10, "shortfall": 0.95}}
    config = place.configured(retraining=patient)
    quiet = retraining.foresee(catalog, config, place.store)
    assert quiet.drift.alarms == ()
    assert (quiet.wanted, quiet.reason) == (False, "24 new maps, 1000 needed")
    sink = TiledSink(catalog)
    for number in range(12):
        strange = measured(f"strange-{number:04d}", 100 + number, counts=0.5)
        publish(sink, strange, place.default, "unlike_simulations", ood_score=0.999)
    loud = retraining.foresee(catalog, config, place.store)
    assert [check.name for check in loud.drift.alarms] == ["noise", "counts", "ood"]
    assert loud.wanted
    assert "early because of drift of shot noise of g2" in loud.reason
    shown = in_process(monkeypatch, capsys, "drift")
    assert shown.code == 0, shown.err
    assert shown.out.count("ALARM") == 3
    assert "12 recent scans beside the 24 judged scans before" in shown.out
    report = json.loads(in_process(monkeypatch, capsys, "drift", "--format", "json").out)
    assert report["model"] == place.default
    said = in_process(monkeypatch, capsys, "retrain", "--dry-run").out
    assert "24 accepted maps, 24 new\n  not accepted: 12 scans, flag of the model: unlike_simulations" in said
    assert "would retrain: 24 new maps, early because of drift" in said
    assert newest_retraining(catalog) is None, "a dry run leaves nothing"


def test_a_young_model_is_left_alone(place: Place) -> None:
    keys = publish_many(place.catalog, place.default, 20)
    members = tuple(Member(run_uid=key, record=key, sample="", sha256="", why="by rule") for key in sorted(keys))
    dataset = publish_dataset(
        place.catalog, DataSet(members=members, parent=None, new=20, rule={}, package_version="0.1.0")
    )
    with holding_retraining(place.catalog, by="a test") as held:
        held.note(status="promoted", dataset=dataset)
    publish_many(place.catalog, place.default, 2, first=20)
    config = place.configured(retraining={"fewest_new": 2})
    later = retraining.foresee(place.catalog, config, place.store, now=time.time() + 6 * DAY)
    assert not later.wanted
    assert later.reason == "the last model is 6.0 days old, 7 are between two, and nothing drifts"
    assert retraining.foresee(place.catalog, config, place.store, now=time.time() + 8 * DAY).reason == "2 new maps"
