"""``gbx figures paper``: which scans are drawn, what captions say, and that a page keeps its sizes under a caption."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import Command, Said, in_process
from test_groups import maps
from test_inference_records import answer

from gbx_beamline import __version__, assemble
from gbx_beamline.catalog import Catalog, TiledSink, connect
from gbx_beamline.config import AnalysisConfig, SimulationConfig
from gbx_beamline.errors import InputError
from gbx_beamline.figures import style
from gbx_beamline.figures.paper import PaperSources, paper_scans
from gbx_beamline.figures.paper._pages import captioned, drawn
from gbx_beamline.figures.simulation import read_ensemble
from gbx_beamline.figures.style import Place
from gbx_beamline.pipeline import adopt
from gbx_beamline.records import Inference, Refusal, ScanInfo
from gbx_beamline.simulation.ensemble import simulate_ensemble
from gbx_tiled.embedded import CatalogAddress

pytestmark = pytest.mark.long

SAMPLE = "nc-Si for the paper"
PNG, PDF, SVG = b"\x89PNG", b"%PDF", b"<?xml"
MODEL = "gbx-0123456789"


@pytest.fixture(scope="module")
def catalog(catalog_address: CatalogAddress) -> Iterator[Catalog]:
    opened = connect(catalog_address.uri, catalog_address.api_key)
    yield opened
    opened.close()


def publish(
    catalog: Catalog, uid: str, seed: int, temperature: float | None, sample: str = SAMPLE
) -> tuple[str, ScanInfo]:
    scan = ScanInfo(run_uid=uid, sample=sample, temperature=temperature, truth={"diffusivity": 1e-22, "gamma": 1e18})
    result = adopt(maps(seed), (), scan, AnalysisConfig())
    return TiledSink(catalog).publish(result), scan


@pytest.fixture(scope="module")
def published(catalog: Catalog) -> None:
    """Two scans of one temperature, two of others, one without; an answer, a refusal, and nothing for the third."""
    sink = TiledSink(catalog)
    publish(catalog, "paper-old-400", 1, 400.0)
    cold, cold_scan = publish(catalog, "paper-cold-300", 2, 300.0)
    new, new_scan = publish(catalog, "paper-new-401", 3, 401.0)
    publish(catalog, "paper-hot-470", 4, 470.0)
    publish(catalog, "paper-unknown", 5, None)
    said = answer(cold, adopt(maps(2), (), cold_scan, AnalysisConfig()), MODEL)
    sink.publish_inference(said)
    refused = Refusal(model_id=MODEL, kind="ContractError", reason="a window that is too short")
    sink.publish_inference(replace(said, record=new, scan=new_scan, outcome=refused))


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    few = SimulationConfig(mode="paper", members=60, size=24, batch=30)
    return simulate_ensemble(few, tmp_path_factory.mktemp("ensemble"), workers=1).path


@pytest.fixture
def gbx(
    published: None,
    catalog_address: CatalogAddress,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(assemble.CONFIG_VARIABLE, raising=False)
    monkeypatch.setenv(assemble.URI_VARIABLE, catalog_address.uri)
    monkeypatch.setenv("TILED_API_KEY", catalog_address.api_key)

    def run(*arguments: str | Path) -> Said:
        return in_process(monkeypatch, capsys, *arguments)

    return run


def test_the_newest_result_at_each_temperature_with_what_the_model_says(published: None, catalog: Catalog) -> None:
    found = paper_scans(catalog, sample=SAMPLE)
    assert [scan.result.scan.run_uid for scan in found] == ["paper-cold-300", "paper-new-401", "paper-hot-470"]
    assert [type(scan.inference.outcome) if scan.inference else None for scan in found] == [Inference, Refusal, None]
    assert found[0].truth("gamma") == 1e18
    assert found[0].truth("gb_fraction") is None
    others = paper_scans(catalog, sample=SAMPLE, model="gbx-ffffffffff")
    assert [scan.inference for scan in others] == [None, None, None]


def test_a_sample_without_results_is_refused_with_what_to_do(published: None, catalog: Catalog) -> None:
    with pytest.raises(InputError, match=r"no result of the sample 'nothing'.*gbx demo"):
        paper_scans(catalog, sample="nothing")


def test_figures_in_three_formats_with_captions_that_name_their_sources(
    gbx: Command, tmp_path: Path, ensemble: Path, catalog: Catalog
) -> None:
    said = gbx("figures", "paper", "--out", "figures", "--sample", SAMPLE, "--ensemble", ensemble)
    assert said.code == 0, said.err
    names = ("figure2_measured", "figure3_maps", "figure3_phase", "figure4_inferred")
    expected = [f"figures/{name}.{form}" for name in names for form in ("pdf", "svg", "png")]
    assert said.out.splitlines() == [*expected, "figures/captions.md"]
    for name in names:
        for form, begin in (("pdf", PDF), ("svg", SVG), ("png", PNG)):
            assert (tmp_path / "figures" / f"{name}.{form}").read_bytes().startswith(begin)
    text = (tmp_path / "figures" / "captions.md").read_text()
    for scan in paper_scans(catalog, sample=SAMPLE):
        assert f"`{scan.result.scan.run_uid}`" in text
        assert f"`{scan.result.provenance.config_hash}`" in text
        assert f"`{scan.key}`" in text
    assert f"`{MODEL}`" in text
    assert __version__ in text
    assert "figure4_models\n\nNot drawn" in text
    assert "gbx evaluate" in text
    again = gbx("figures", "paper", "--out", "figures", "--sample", SAMPLE, "--ensemble", ensemble)
    assert again.code == 2
    assert "exists" in again.err


def test_an_unknown_region_is_named_with_those_there_are(gbx: Command, tmp_path: Path, ensemble: Path) -> None:
    said = gbx("figures", "paper", "--sample", SAMPLE, "--ensemble", ensemble, "--roi", "qr99")
    assert said.code == 2
    assert "no scan has a q-ROI 'qr99'; needed: one of qr45" in " ".join(said.err.split())
    assert not (tmp_path / "paper_figures").exists()


def test_without_answers_the_fourth_figure_says_so(catalog: Catalog, ensemble: Path) -> None:
    publish(catalog, "paper-alone", 6, 350.0, sample="nobody was asked")
    scans = paper_scans(catalog, sample="nobody was asked")
    pages, captions = drawn(
        PaperSources(package_version="0", catalog="here", scans=scans, ensemble=read_ensemble(ensemble))
    )
    assert list(pages) == ["figure2_measured", "figure3_maps", "figure3_phase"]
    assert captions["figure4_inferred"].full.startswith("Not drawn: no model has judged these scans.")
    assert "gbx reprocess" in captions["figure4_inferred"].full


def test_a_caption_makes_a_page_longer_and_moves_nothing() -> None:
    figure = style.blank_page(8.0, 5.0)
    axes = style.page_axes(figure, Place(1.0, 0.5, 3.0, 2.0))
    style.page_text(figure, 1.0, 3.0, "a word")
    captioned(figure, "many words " * 40)
    width, height = figure.get_size_inches()
    assert width == 8.0
    assert height > 5.5
    box = axes.get_position()
    measured = np.array([box.x0 * width, (1.0 - box.y1) * height, box.width * width, box.height * height])
    np.testing.assert_allclose(measured, (1.0, 0.5, 3.0, 2.0))
    assert (1.0 - figure.texts[0].get_position()[1]) * height == pytest.approx(3.0)
    assert (1.0 - figure.texts[1].get_position()[1]) * height == pytest.approx(5.1)
