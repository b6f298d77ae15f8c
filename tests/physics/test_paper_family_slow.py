"""The paper's family reaches the paper's numbers on its own ensemble, before and after adaptation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gbx_beamline.config._paper_family import PaperFamilyConfig

torch = pytest.importorskip("torch")

from gbx_beamline.learning.evaluation.paper_measures import domain_probe  # noqa: E402
from gbx_beamline.learning.paper import (  # noqa: E402
    ExperimentalMaps,
    ExperimentalScan,
    adapt,
    experimental_maps,
    paper_model_of,
    train_vanilla,
)
from gbx_beamline.learning.paper.training import Simulated  # noqa: E402
from gbx_beamline.learning.store import StoredModel  # noqa: E402
from gbx_beamline.learning.virtual import SuiteSettings, prepare_suite  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

CONFIG = PaperFamilyConfig()


@pytest.fixture(scope="module")
def vanilla(tmp_path_factory: pytest.TempPathFactory) -> StoredModel:
    return train_vanilla(CONFIG, tmp_path_factory.mktemp("vanilla"))


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> ExperimentalMaps:
    """126 shots of 14 virtual samples, from seeds of their own."""
    settings = SuiteSettings(name="paper", what="unlabelled experiments", seed=77001234, groups=14, rois=(1,))
    suite = prepare_suite(settings, tmp_path_factory.mktemp("suites"))
    scans = (ExperimentalScan(shot.two_time, f"{shot.plan.number}", f"{shot.plan.group}") for shot in suite)
    return experimental_maps(scans, CONFIG.data, CONFIG.crops)


def test_vanilla_reaches_the_papers_r_squared(vanilla: StoredModel) -> None:
    found = vanilla.description.metrics["r_squared"]["test"]
    assert found["diffusivity"] >= 0.99
    assert found["gb_fraction"] >= 0.89


def test_adaptation_overlaps_the_domains_and_keeps_r_squared(
    vanilla: StoredModel, experiments: ExperimentalMaps, tmp_path: Path
) -> None:
    adapted = adapt(CONFIG, vanilla, experiments, tmp_path)
    metrics = adapted.description.metrics
    assert metrics["r_squared"]["test"]["diffusivity"] >= 0.95
    assert metrics["r_squared"]["test"]["gb_fraction"] >= 0.88
    assert metrics["surrogate_r_squared"] >= 0.95

    simulated = Simulated.of(CONFIG)
    members = simulated.maps.maps[simulated.split.test]
    probes = [
        domain_probe(model.features(members), model.features(experiments.maps), measured_groups=groups)
        for model in (paper_model_of(vanilla), paper_model_of(adapted))
        for groups in [np.unique(experiments.groups, return_inverse=True)[1].tolist()]
    ]
    assert probes[0] > 0.95
    assert probes[1] < probes[0]
    # It explains the bare S_noneq of the noisy maps, which the vanilla model cannot.
    assert metrics["s_error"]["test"] <= 0.15
