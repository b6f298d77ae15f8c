"""The model that comes with the package, retrained in small on virtual experiments that are taken for measured ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from measured_scans import own_catalog
from tiled.client.container import Container
from tiny_models import shrink_suites

from gbx_beamline import assemble, retraining
from gbx_beamline.catalog import TiledSink, find_inferences, mark_accepted
from gbx_beamline.config import AnalysisConfig, parse_config
from gbx_beamline.learning.predictor import model_of
from gbx_beamline.learning.promotion import MEASURES
from gbx_beamline.learning.store import SHIPPED, ModelStore
from gbx_beamline.learning.virtual import SuiteSettings, prepare_suite
from gbx_beamline.pipeline import adopt
from gbx_beamline.records import ScanInfo
from gbx_tiled.embedded import CatalogAddress

pytest.importorskip("torch")

SHOTS = 24


@pytest.mark.slow
def test_the_shipped_model_learns_which_scans_were_accepted(
    tiled_root: Container, catalog_address: CatalogAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photons, correlation, inference, acceptance, data set, evaluation with bounds and map of features, gate."""
    # The gate asks for errors above 1e-22 m^2/s, at all temperatures of a sample.
    shrink_suites(monkeypatch, groups=8, diffusivity=(3e-22, 3e-21), activation_energy=(0.01, 0.02))
    monkeypatch.setenv("TILED_API_KEY", catalog_address.api_key)
    monkeypatch.delenv(assemble.URI_VARIABLE, raising=False)
    beamtime = SuiteSettings(
        name="beamtime", what="a beamtime", seed=77, groups=SHOTS // 3, shots=3, frames=64, pixels=(1_300, 1_500)
    )
    with own_catalog(tiled_root, catalog_address) as (catalog, where):
        config = parse_config(
            {
                "catalog": where,
                "models": {"directory": str(tmp_path / "models"), "suites": str(tmp_path / "suites")},
                "retraining": {"directory": str(tmp_path / "retraining"), "fewest_new": SHOTS},
            }
        )
        for shot in prepare_suite(beamtime, tmp_path / "beamtime"):
            uid = f"shot-{shot.plan.number:04d}"
            scan = ScanInfo(run_uid=uid, sample=f"sample {shot.plan.group}", temperature=shot.temperature)
            maps = replace(shot.two_time, names=tuple(f"q{roi}" for roi in range(shot.rois)))
            key = TiledSink(catalog).publish(adopt(maps, (), scan, AnalysisConfig()))
            assemble.infer_record(catalog, key, config)
        by_rule = {scan.run_uid for scan in retraining.gather(catalog, config.retraining).scans}
        answers = find_inferences(catalog)
        assert len(answers) == SHOTS
        for answer in answers:
            if answer.metadata["run_uid"] not in by_rule and not answer.refused:
                mark_accepted(catalog, answer.metadata["run_uid"], by="the test", note="it is a grain boundary")
        outcome = retraining.retrain(catalog, config, lambda _: None, by="the test")
    store = ModelStore(config.models)
    (shipped,) = (path.name for path in SHIPPED.iterdir() if path.is_dir())
    assert outcome.status == "promoted", outcome.reason
    made, before = store.find("default"), store.find(shipped)
    assert made.id == outcome.candidate
    assert made.description.parent == shipped
    assert outcome.verdict is not None
    measured = [one for one in outcome.verdict.comparisons if one.candidate is not None]
    assert len(measured) > len(MEASURES) // 2
    assert all(one.candidate == one.reigning for one in measured), "weights and intervals are the same: so is the truth"
    known = model_of(made).belief.accepted
    assert known is not None
    assert len(known.references) == outcome.maps >= 20
    for name, array in before.weights().items():
        np.testing.assert_array_equal(made.weights()[name], array)
