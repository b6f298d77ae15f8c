"""Both families as evaluation asks them: untrained networks through the whole of it, on real shots."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("zuko")

from gbx_beamline.config import TrainingData  # noqa: E402
from gbx_beamline.config._paper_family import PaperFamilyData  # noqa: E402
from gbx_beamline.learning.belief import Belief  # noqa: E402
from gbx_beamline.learning.competing import CLASSES  # noqa: E402
from gbx_beamline.learning.contract import InputContract  # noqa: E402
from gbx_beamline.learning.evaluation import HasFeatures, HasSimulationTest, evaluate  # noqa: E402
from gbx_beamline.learning.evaluation.gbx_family import JudgedModel  # noqa: E402
from gbx_beamline.learning.evaluation.paper_family import JudgedPaperModel  # noqa: E402
from gbx_beamline.learning.evaluation.report import ALL, GROUPED_ALL, ONE  # noqa: E402
from gbx_beamline.learning.networks import NetworkSettings, PosteriorNetwork  # noqa: E402
from gbx_beamline.learning.paper.model import PaperModel  # noqa: E402
from gbx_beamline.learning.paper.networks import PaperNetwork  # noqa: E402
from gbx_beamline.learning.paper.scales import TargetScale  # noqa: E402
from gbx_beamline.learning.parameters import ParameterBox  # noqa: E402
from gbx_beamline.learning.predictor import Model  # noqa: E402
from gbx_beamline.learning.virtual import PreparedSuite, SuiteSettings, prepare_suite  # noqa: E402

SMALL = NetworkSettings(
    kinds=CLASSES, channels=(4, 8), image_features=8, roi_features=8, context=12, transforms=2, hidden=(16,), bins=4
)


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> PreparedSuite:
    settings = SuiteSettings(
        name="truth", what="Few photons.", seed=2, groups=6, shots=3, rois=(1, 3), pixels=(1300, 1400), frames=64
    )
    return prepare_suite(settings, tmp_path_factory.mktemp("suites"))


def test_a_gbx_model_is_judged_with_its_features_and_its_samples(
    suite: PreparedSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PosteriorNetwork(SMALL, ParameterBox())
    judged = JudgedModel(Model("untrained", network, InputContract(), Belief.untested()), TrainingData())
    monkeypatch.setattr("gbx_beamline.learning.evaluation.judging.SIMULATED", 20)
    monkeypatch.setattr("gbx_beamline.learning.evaluation.gbx_family.SIMULATED", 20)
    assert isinstance(judged, HasFeatures)
    assert isinstance(judged, HasSimulationTest)
    report = evaluate(judged, {"truth": suite}, bounds=False)
    assert set(report.views) >= {ONE, ALL, GROUPED_ALL}
    assert not any(report.views[ONE].refused)
    assert np.isfinite(report.views[ONE].rank).all()
    assert report.probe is not None
    # An untrained network knows nothing of D.
    assert report.simulation_r2["diffusivity"] < 0.5
    assert report.undetermined()["gamma"].shots_above == 0


def test_a_paper_model_is_judged_on_the_members_it_never_saw(
    suite: PreparedSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = PaperFamilyData(members=40, noise="independent")
    model = PaperModel("untrained", PaperNetwork(), TargetScale(), size=data.size, resize=data.resize)
    judged = JudgedPaperModel(model, data, seed=1)
    monkeypatch.setattr("gbx_beamline.learning.evaluation.paper_measures.FOLDS", 3)
    report = evaluate(judged, {"truth": suite}, bounds=False)
    truth, predicted = judged.simulation_test()
    assert truth.shape == predicted.shape == (6, 3)
    assert ((truth[:, 1] > 18.0 - 1e-9) & (truth[:, 1] < np.log10(6e18) + 1e-9)).all()
    answers = report.views[ONE]
    assert np.isfinite(answers.median).all()
    assert np.isnan(answers.low).all()
    assert not report.ranks()
    assert report.probe is not None
