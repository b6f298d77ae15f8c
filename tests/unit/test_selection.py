"""Selection rules: which runs they want, and what they change in the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gbx_beamline.config import Config, SelectionRule, parse_config
from gbx_beamline.errors import ConfigError

START: dict[str, Any] = {
    "uid": "0",
    "plan_name": "count_series",
    "detectors": ["eiger4m_single", "ring"],
    "sample": {"name": "Si 3"},
}


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ({}, True),
        ({"enabled": False}, False),
        ({"plans": ["count_series"]}, True),
        ({"plans": ["count"]}, False),
        ({"detectors": ["eiger*"]}, True),
        ({"detectors": ["pilatus*", "lambda*"]}, False),
        ({"samples": ["Si*"], "plans": ["count*"], "detectors": ["ring"]}, True),
        ({"samples": ["Si*"], "plans": ["scan"]}, False),
    ],
)
def test_every_condition_must_be_met(rule: dict[str, Any], wanted: bool) -> None:
    assert SelectionRule.model_validate(rule).wants(START) is wanted


@pytest.mark.parametrize(
    "start", [{}, {"plan_name": 7, "detectors": None, "sample": ["a"]}, {"detectors": 3.5}, {"detectors": [None]}]
)
def test_odd_documents_are_only_wanted_where_nothing_is_asked_of_them(start: dict[str, Any]) -> None:
    assert SelectionRule().wants(start)
    assert not SelectionRule(detectors=("*",)).wants(start)
    assert not SelectionRule(plans=("*",)).wants(start)
    assert not SelectionRule(samples=("*",)).wants(start)


def test_a_rule_overrides_what_it_names_after_the_sample_did() -> None:
    config = parse_config(
        {
            "analysis": {
                "rois": {"rings": [{"q": [0.01, 0.02]}]},
                "correlation": {"groups": 4, "age_windows": 2},
                "geometry": {"incidence_deg": 0.25, "tilt_deg": 1.0},
                "mask": {"file": "mask.npy", "true_means": "bad"},
            },
            "samples": {"gold": {"geometry": {"incidence_deg": 0.3}, "rois": {"rings": [{"q": [0.03, 0.04]}]}}},
            "selection": {
                "fine": {
                    "analysis": {
                        "rois": {"labels": "fine.npy"},
                        "correlation": {"groups": 6},
                        "geometry": {"tilt_deg": 2.0},
                    }
                },
                "plain": {},
            },
        },
        folder=Path("/place"),
    )
    settings = config.for_run("gold", "fine")
    assert settings.rois.labels == Path("/place/fine.npy")
    assert settings.rois.rings == ()
    assert (settings.correlation.groups, settings.correlation.age_windows) == (6, 2)
    assert (settings.geometry.incidence_deg, settings.geometry.tilt_deg) == (0.3, 2.0)
    assert (settings.mask.file, settings.mask.true_means) == (Path("/place/mask.npy"), "bad")
    assert config.for_run("gold", "plain") == config.for_run("gold") == config.for_sample("gold")


def test_without_rules_every_run_is_analysed_as_configured() -> None:
    config = Config()
    assert [rule.wants({}) for rule in config.selection.values()] == [True]
    assert config.for_run(None, next(iter(config.selection))).hash == config.analysis.hash


def test_a_rule_that_is_gone_is_named_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"no selection rule 'old'; needed: one of default; give the rule its old"):
        Config().for_run("gold", "old")
