"""Configuration files: what is refused, and what a change of settings does to a record's identity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gbx_beamline.config import AnalysisConfig, Config, load_config, parse_config
from gbx_beamline.errors import ConfigError

INVALID = sorted((Path(__file__).parents[2] / "configs" / "invalid").glob("*.yaml"))


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid_configurations_say_what_is_wrong(path: Path) -> None:
    """The first line of each file holds the words that the message must contain."""
    expected = path.read_text().splitlines()[0].removeprefix("# says: ")
    with pytest.raises(ConfigError) as refused:
        load_config(path)
    assert expected in str(refused.value)


def test_there_are_invalid_configurations() -> None:
    assert len(INVALID) >= 6


@pytest.mark.parametrize("name", ["demo", "chx", "commission"])
def test_shipped_configurations_are_valid(repository: Path, name: str) -> None:
    config = load_config(repository / "configs" / f"{name}.yaml")
    assert config.analysis.rois.given


def test_the_demo_file_states_the_built_in_experiment(repository: Path) -> None:
    assert load_config(repository / "configs" / "demo.yaml").demo == Config().demo


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: No such file"):
        load_config(tmp_path / "absent.yaml")


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config({"analysis": {"nonequilibrium": {"max_cells": 1}}, "colour": "red"})
    assert "analysis.nonequilibrium.max_cells" in str(refused.value)
    assert "unknown key 'colour'" in str(refused.value)


def test_sample_overrides_only_what_it_names() -> None:
    config = parse_config(
        {
            "analysis": {
                "geometry": {"incidence_deg": 0.25, "tilt_deg": 1.0},
                "rois": {"rings": [{"q": [0.01, 0.02]}]},
            },
            "samples": {"gold": {"geometry": {"incidence_deg": 0.3}}},
        }
    )
    gold = config.for_sample("gold")
    assert gold.geometry.incidence_deg == 0.3
    assert gold.geometry.tilt_deg == 1.0
    assert gold.rois == config.analysis.rois
    assert config.for_sample("silicon") == config.analysis
    assert config.for_sample(None) == config.analysis


def test_hash_follows_settings_and_content_not_paths(tmp_path: Path) -> None:
    first, second = tmp_path / "mask.npy", tmp_path / "elsewhere.npy"
    np.save(first, np.ones((2, 2), dtype=bool))
    np.save(second, np.ones((2, 2), dtype=bool))
    base = AnalysisConfig()

    def with_mask(path: Path) -> AnalysisConfig:
        return base.model_copy(update={"mask": base.mask.model_copy(update={"file": path})})

    assert with_mask(first).hash == with_mask(second).hash != base.hash
    before = with_mask(first).hash
    np.save(first, np.zeros((2, 2), dtype=bool))
    assert with_mask(first).hash != before
    assert base.hash == Config().analysis.hash


def test_hash_follows_what_changes_numbers_only() -> None:
    base = AnalysisConfig()
    busy = parse_config({"analysis": {"correlation": {"threads": 3}}}).analysis
    assert busy.hash == base.hash
    # Beyond the ceiling maps are averaged.
    roomy = parse_config({"analysis": {"correlation": {"max_memory_gib": 64.0}}}).analysis
    assert roomy.hash != base.hash
    assert parse_config({"analysis": {"correlation": {"bad_frames": [1]}}}).analysis.hash != base.hash
    assert parse_config({"analysis": {"frame_time_s": 2.0}}).analysis.hash != base.hash


def test_hash_names_an_absent_file(tmp_path: Path) -> None:
    base = AnalysisConfig()
    lost = base.model_copy(update={"mask": base.mask.model_copy(update={"file": tmp_path / "lost.npy"})})
    with pytest.raises(ConfigError, match=r"lost\.npy"):
        _ = lost.hash


def test_relative_paths_are_those_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("analysis: {rois: {labels: rois.npy}, mask: {file: mask.npy}}\n")
    config = load_config(tmp_path / "site.yaml")
    assert config.analysis.rois.labels == tmp_path / "rois.npy"
    assert config.analysis.mask.file == tmp_path / "mask.npy"


@pytest.mark.parametrize(
    ("start", "judge"),
    [
        ({"data_session": "pass-123456"}, "gbx-frozen"),
        ({"data_session": "pass-1", "proposal": {"proposal_id": "318000", "title": "grains"}}, "gbx-other"),
        ({"proposal": 318000}, "gbx-other"),
        ({"data_session": "pass-1"}, "candidate"),
        ({}, "candidate"),
        ({"data_session": ["pass-123456"], "proposal": {"id": None}}, "candidate"),
    ],
)
def test_a_proposal_keeps_its_model(start: dict[str, Any], judge: str) -> None:
    frozen = {"pass-123456": "gbx-frozen", "318000": "gbx-other"}
    config = parse_config({"models": {"model": "candidate", "frozen": frozen}})
    assert config.models.judge_of(start) == judge


def test_a_configuration_for_another_working_folder_names_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "place").mkdir()
    np.save(tmp_path / "place" / "labels.npy", np.ones((2, 2), dtype=np.int32))
    (tmp_path / "place" / "own.yaml").write_text(
        "analysis: {rois: {labels: labels.npy}}\nselection: {a: {analysis: {rois: {labels: labels.npy}}}}\n"
    )
    monkeypatch.chdir(tmp_path)
    here = load_config(Path("place") / "own.yaml")
    anywhere = here.absolute()
    monkeypatch.chdir("/")
    assert anywhere.for_run(None, "a").rois.labels == tmp_path / "place" / "labels.npy"
    assert anywhere.catalog.directory == tmp_path / "gbx-data"
    assert anywhere.models.directory == tmp_path / "gbx-data" / "models"
    monkeypatch.chdir(tmp_path)
    assert anywhere.for_run(None, "a").hash == here.for_run(None, "a").hash


def test_frames_with_something_done_to_them_are_analysed_as_their_sample() -> None:
    ring = {"rings": [{"q": [0.003, 0.004]}]}
    own = {"rings": [{"q": [0.004, 0.005]}]}
    config = parse_config({"samples": {"Si": {"rois": ring}, "Si [dump]": {"rois": own}, "a [b": {"rois": own}}})
    assert config.for_sample("Si [shift]") == config.for_sample("Si") != config.for_sample("Ge [shift]")
    assert config.for_sample("Si [dump]").rois.rings[0].q == (0.004, 0.005), "settings of its own win"
    assert config.for_sample("a [b").rois.rings[0].q == (0.004, 0.005)
    assert config.for_sample(None) == config.analysis
