"""The commissioning suite: one trial as at a beamline, from plan to page; and, slow, all of it on embedded services."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import Command, Said, in_process

from gbx_beamline import assemble
from gbx_beamline.catalog import Catalog, connect, find_records
from gbx_beamline.catalog.campaigns import find_campaign
from gbx_beamline.config import Config, parse_config
from gbx_bluesky.run_engine import make_run_engine
from gbx_bluesky.simulated_commissioning import SimulatedSuite
from gbx_services.rehearsal import taken_with
from gbx_tiled.embedded import CatalogAddress

pytestmark = pytest.mark.long

CAMPAIGN = "as at a beamline"

SETTINGS: dict[str, Any] = {
    "analysis": {
        "geometry": {"mode": "gisaxs", "incidence_deg": 0.25},
        "rois": {
            "boxes": [
                {"q_par": [0.0381, 0.0401], "q_z": [0.0180, 0.0340]},
                {"q_par": [0.0403, 0.0424], "q_z": [0.0180, 0.0340]},
            ]
        },
    },
    "commissioning": {
        "simulated": {
            "shape": [128, 128],
            "frames": 96,
            "mean_counts": 5.0,
            "coherence_modes": 2,
            "static_transmissions": [1.0, 0.5],
        }
    },
    "models": {"infer": False},
}


@pytest.fixture(scope="module")
def config() -> Config:
    return parse_config(SETTINGS)


@pytest.fixture(scope="module")
def catalog(catalog_address: CatalogAddress) -> Any:
    opened = connect(catalog_address.uri, catalog_address.api_key, store=catalog_address.store)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def measured(
    catalog: Catalog, catalog_directory: Path, config: Config, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """A static reference at two transmissions, by its plan; uids."""
    engine, writer = make_run_engine(catalog.raw, backup_directory=tmp_path_factory.mktemp("journals"))
    suite = SimulatedSuite(config, catalog_directory / "frames" / "commissioning", CAMPAIGN, lambda _done: None)
    try:
        return [uid for scan in suite.scans({"static_reference"}) for uid in taken_with(engine, writer, scan.plan())]
    finally:
        writer.close()


@pytest.fixture
def gbx(
    catalog_address: CatalogAddress,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gbx.yaml").write_text(yaml.safe_dump(SETTINGS))
    monkeypatch.setenv(assemble.URI_VARIABLE, catalog_address.uri)
    monkeypatch.setenv("TILED_API_KEY", catalog_address.api_key)

    def run(*arguments: str | Path) -> Said:
        return in_process(monkeypatch, capsys, *arguments, "--config", "gbx.yaml")

    return run


def test_a_fault_is_put_into_a_recorded_scan_and_named(
    gbx: Command, measured: list[str], catalog: Catalog, catalog_directory: Path, tmp_path: Path
) -> None:
    frames = catalog_directory / "frames" / "commissioning"
    asked = ("commission", "--campaign", CAMPAIGN, "--trial", "shift", "--frames", frames, "--out", "out")
    said = gbx(*asked)
    assert said.code == 0, said.out + said.err
    assert "1 of 1 trials as expected: no capability is shown in full" in said.out
    (page,) = (tmp_path / "out").glob("commissioning_*.md")
    text = page.read_text()
    assert "| ✓ | by how much | rows +0, columns +1 pixels | q=0.0391: rows" in text
    assert page.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    runs = find_campaign(catalog, CAMPAIGN)
    assert [run.uid for run in runs[:2]] == measured
    (injected,) = runs[2:]
    assert injected.said["source"] == measured[0]
    assert injected.start["sample"] == "static reference [shift]"
    assert "reference" not in injected.start, "a scan with a fault is no reference"
    # What is there already is neither measured nor analysed again.
    assert gbx(*asked).code == 0
    assert len(find_campaign(catalog, CAMPAIGN)) == 3
    assert len(find_records(catalog, run_uid=injected.uid)) == 1


def test_a_trial_that_stays_open_is_no_success(gbx: Command, measured: list[str], tmp_path: Path) -> None:
    stricter = {**SETTINGS, "commissioning": {**SETTINGS["commissioning"], "expected": {"still_drift": 1e-4}}}
    (tmp_path / "gbx.yaml").write_text(yaml.safe_dump(stricter))
    said = gbx("commission", "--campaign", CAMPAIGN, "--trial", "static_reference", "--out", "strict")
    assert said.code == 1, said.out + said.err
    assert "not shown" in said.out
    assert "drift over contrast" in said.out


def test_what_is_not_there_is_refused_in_one_sentence(gbx: Command, measured: list[str]) -> None:
    said = gbx("commission", "--campaign", "no such")
    assert said.code == 2
    assert "no finished commissioning run of campaign 'no such'" in said.err
    said = gbx("commission", "--trial", "shfit")
    assert said.code == 2
    assert "no trial 'shfit'" in said.err
    said = gbx("demo", "--trial", "shift")
    assert said.code == 2
    assert "--trial without --commission" in said.err


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_whole_suite_on_the_simulated_beamline(tmp_path: Path) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("GBX_", "TILED_", "PREFECT_"))}
    command = [sys.executable, "-c", "from gbx_beamline.cli import main; main()", "demo", "--commission"]
    done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, timeout=2300, check=False)
    (page,) = (tmp_path / "gbx-data" / "reports").glob("commissioning_*.md")
    text = page.read_text()
    assert done.returncode == 0, text
    assert text.startswith("# Trust it: every trial came out as expected")
    assert text.count("\n### ✓ ") == 13
    assert "within 5% (Stokes-Einstein)" in text
    assert "| ✗ |" not in text
