"""The pages are right: their commands exist, their settings load, and what a reader is told to run, runs.

Pages are read as they are; where a reader would put the uid that was printed, so does the test.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import types
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import yaml
from command_line import in_process
from eiger_runs import take
from pages import SHELL, Block, blocks, commands
from serving import wait_for
from test_measure_until import analysing, opened
from tiled.client.container import Container
from tiled.queries import Key

import gbx_beamline
from gbx_beamline import analyze, open_series
from gbx_beamline.cli import gbx
from gbx_beamline.config import Config, load_config, parse_config
from gbx_beamline.frames import EigerHeader, EigerWriter
from gbx_beamline.learning.training.batches import contract_of
from gbx_beamline.records import Inference, Refusal, ScanInfo
from gbx_tiled.embedded import CatalogAddress

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += sorted((ROOT / "deploy").rglob("*.md"))
PAGES = [page for page in PAGES if "_build" not in page.parts]
UID = "1a2b3c4d"
"""What pages write where a reader writes the uid that he was told."""


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


# --- every page


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_of_a_page_can_be_what_it_says(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            ast.parse(block.code, filename=block.place)
        elif block.language == "yaml":
            _load(block, tmp_path)
        elif block.language in SHELL:
            for arguments in commands(block.code, "gbx"):
                _parse(arguments, block)


def _load(block: Block, folder: Path) -> None:
    content = yaml.safe_load(block.code)
    if isinstance(content, dict) and content.keys() <= Config.model_fields.keys():
        (folder / "page.yaml").write_text(block.code)
        load_config(folder / "page.yaml")


def _parse(arguments: list[str], block: Block) -> None:
    """Refused as the command line would refuse it, before anything is done."""
    command: click.Command = gbx
    name: str | None = "gbx"
    context: click.Context | None = None
    while True:
        try:
            context = command.make_context(name, list(arguments), parent=context)
        except click.exceptions.Exit:  # --help
            return
        except click.ClickException as error:
            pytest.fail(f"{block.place}: gbx {' '.join(arguments)}: {error.format_message()}")
        if not isinstance(command, click.Group):
            return
        name, found, arguments = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        command = found


def test_a_wrong_option_or_key_of_a_page_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n```bash\ngbx analyze x.h5 --rings 1:2\n```\n## B\n```yaml\nanalysis: {roi: {}}\n```\n")
    shell, settings = blocks(page)
    assert (shell.section, settings.section, settings.line) == ("A", "B", 6)
    with pytest.raises(pytest.fail.Exception, match="--rings"):
        _parse(next(commands(shell.code, "gbx")), shell)
    with pytest.raises(Exception, match=r"unknown key 'analysis\.roi'"):
        _load(settings, tmp_path)


def test_links_from_pages_outside_the_site_lead_somewhere() -> None:
    """Sphinx checks those of docs/."""
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "deploy").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page}: {target}"


# --- running pages


def run_shell(code: str, folder: Path, **environment: str) -> str:
    """What a block of shell says; ``gbx`` is the installed one, nothing of ours points it at another catalog."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(("GBX_", "TILED_", "PREFECT_"))}
    known |= {"PATH": f"{Path(sys.executable).parent}:{known['PATH']}", "COLUMNS": "120"}
    # Without a display: a test must not open windows.
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        known.pop(name, None)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        env=known | environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_python(found: list[Block], folder: Path, patch: pytest.MonkeyPatch, **names: Any) -> dict[str, Any]:
    """Names that the blocks leave behind, run one after the other in a folder."""
    patch.chdir(folder)
    # A module that can be found, as dataclasses ask for.
    page = types.ModuleType("page")
    patch.setitem(sys.modules, page.__name__, page)
    vars(page).update(names)
    for block in found:
        exec(compile(block.code, block.place, "exec"), vars(page))
    return vars(page)


TUTORIAL = ROOT / "docs" / "tutorial.md"


def test_the_tutorial_analyses_a_scan_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(section: str) -> str:
        """In this process; in shells of their own the slow test runs all of them."""
        (shell,) = blocks(TUTORIAL, "bash", section=section)
        (arguments,) = commands(shell.code, "gbx")
        said = in_process(monkeypatch, capsys, *arguments)
        assert said.code == 0, said.err
        return said.out

    monkeypatch.delenv("GBX_CONFIG", raising=False)
    run_python(blocks(TUTORIAL, "python", section="2. A scan of your own"), tmp_path, monkeypatch)
    said = run("2. A scan of your own")
    assert [q for q in ("0.0023", "0.0031") if q in said] == ["0.0023", "0.0031"], "mean q of the rings, 1/Å"
    assert (tmp_path / "scan_1_gbx.png").is_file()
    (settings,) = blocks(TUTORIAL, "yaml")
    (tmp_path / "my.yaml").write_text(settings.code)
    said = run("3. Say what the file does not know")
    assert said.count("  ok ") == 2
    capsys.readouterr()
    names = run_python(blocks(TUTORIAL, "python", section="5. The same in Python"), tmp_path, monkeypatch)
    assert names["tt"].g2.shape == (2, 200, 200)
    # The page promises it: the sample is in equilibrium.
    for record in gbx_beamline.nonequilibrium(names["tt"]):
        assert record.interval is not None
        assert record.interval[0] < 0.0 < record.interval[1]
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_tutorial_from_its_first_line_to_its_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # `make demo` would leave its catalog in the checkout: what it runs there runs here.
    planned = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert planned.splitlines()[-1].endswith("gbx demo")
    there = {"make demo": "gbx demo", "source .venv/bin/activate\n": ""}
    uid = ""
    for block in blocks(TUTORIAL, "bash", "python", "yaml"):
        if block.language == "python":
            run_python([block], tmp_path, monkeypatch)
            continue
        if block.language == "yaml":
            (tmp_path / "my.yaml").write_text(block.code)
            continue
        code = block.code.replace(UID, uid)
        for written, meant in there.items():
            code = code.replace(written, meant)
        said = run_shell(code, tmp_path)
        if block.section.startswith("1."):
            rows = json.loads(run_shell("gbx results --format json", tmp_path))
            assert {row["status"] for row in rows} == {"ok"}
            uid = rows[-1]["run_uid"][:8]
        elif "gbx import" in block.code:
            (uid,) = re.findall(r"imported as ([0-9a-f]{8})", said)
    assert sorted(path.name for path in (tmp_path / "figures").iterdir() if path.suffix == ".pdf") == [
        "figure2_measured.pdf",
        "figure3_maps.pdf",
        "figure3_phase.pdf",
        "figure4_inferred.pdf",
    ]
    assert (tmp_path / "results.csv").read_text().count("my sample") == 2
    assert (tmp_path / "my_scan.h5").is_file()


HOW_TO = ROOT / "docs" / "how-to"


def test_how_to_own_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run_python(blocks(HOW_TO / "own-detector.md", "python"), tmp_path, monkeypatch)
    np.testing.assert_array_equal(names["series"].read(3, 7), names["frames"][3:7])
    assert names["tt"].g2.shape == (1, 100, 100)


def test_how_to_own_model_answers_or_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    definition, use = blocks(HOW_TO / "own-model.md", "python")
    run_python(blocks(TUTORIAL, "python", section="2. A scan of your own"), tmp_path, monkeypatch)
    (settings,) = blocks(TUTORIAL, "yaml")
    scan = ScanInfo(run_uid="0" * 8, temperature=300.0)
    result = analyze(open_series("scan_1_master.h5"), parse_config(yaml.safe_load(settings.code)), scan=scan)
    # Its speckles relax at one rate at every q, which is no diffusion.
    names = run_python([definition, use], tmp_path, monkeypatch, result=result)
    assert isinstance(names["said"].outcome, Refusal)
    assert result.scaling is not None
    diffusing = replace(result.scaling, diffusive="yes", diffusivity=3e-16, diffusivity_error=2e-17)
    names = run_python([definition, use], tmp_path, monkeypatch, result=replace(result, scaling=diffusing))
    said = names["said"].outcome
    assert isinstance(said, Inference)
    assert said.parameters["diffusivity"].median == pytest.approx(3e-16, rel=0.02)
    assert said.parameters["diffusivity"].high == pytest.approx(3e-16 + 1.645 * 2e-17, rel=0.02)
    assert {flag.code for flag in said.flags} == {"undetermined:gamma", "undetermined:gb_fraction", "not_calibrated"}


def test_how_to_own_model_says_what_the_model_will_judge() -> None:
    (settings, _) = blocks(HOW_TO / "own-model.md", "yaml")
    config = parse_config(yaml.safe_load(settings.code))
    contract = contract_of(config.training.data)
    assert contract.temperature == (290.0, 700.0)
    assert contract.q == (3e8, 6e8)
    assert contract.window == (2000.0, 2600.0)


def test_how_to_new_material(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = HOW_TO / "new-material.md"
    names = run_python(blocks(page, "python"), tmp_path, monkeypatch)
    assert names["g2"].shape == (128, 128)
    own = parse_config(yaml.safe_load(blocks(page, "yaml")[0].code)).for_sample("nanocrystalline-Cu")
    assert [box.name for box in own.rois.boxes] == ["q40", "q45", "q50"]
    assert (own.geometry.incidence_deg, own.geometry.critical_angle_deg) == (0.25, 0.32)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_how_to_new_material_simulates_what_a_measurement_could_tell(tmp_path: Path) -> None:
    page = HOW_TO / "new-material.md"
    # A few members in place of the page's hundreds.
    settings = blocks(page, "yaml")[1].code.replace("members: 500", "members: 12\n  size: 16")
    (tmp_path / "cu.yaml").write_text(settings)
    shell = next(block for block in blocks(page, "bash") if "gbx simulate" in block.code)
    assert "phase_maps.png" in run_shell(shell.code, tmp_path)


def test_how_to_python(
    catalog_address: CatalogAddress,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GBX_TILED_URI", catalog_address.uri)
    monkeypatch.setenv("TILED_API_KEY", catalog_address.api_key)
    run_python(blocks(TUTORIAL, "python", section="2. A scan of your own"), tmp_path, monkeypatch)
    (settings,) = blocks(TUTORIAL, "yaml")
    (tmp_path / "my.yaml").write_text(settings.code)
    names = run_python(blocks(HOW_TO / "python.md", "python"), tmp_path, monkeypatch)
    assert len(names["result"].rois) == 2
    assert "needed:" in capsys.readouterr().out, "the model refuses another q and window, in a sentence"


def test_how_to_simulate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = run_python(blocks(HOW_TO / "simulate.md", "python"), tmp_path, monkeypatch)
    assert names["g2"].shape == (256, 256)


def test_how_to_databroker(
    raw_runs: Container,
    catalog_address: CatalogAddress,
    catalog_directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GBX_TILED_URI", catalog_address.uri)
    monkeypatch.setenv("TILED_API_KEY", catalog_address.api_key)
    table, frames, legacy = blocks(HOW_TO / "databroker.md", "python")
    taken = take(raw_runs, catalog_directory / "frames" / "documentation", per_series=2, seed=11)
    names = run_python([table, frames], tmp_path, monkeypatch, uid=taken.uid)
    np.testing.assert_array_equal(names["first"], taken.frames[:1])
    folder = catalog_directory / "frames" / "old"
    header = EigerHeader(frame_time=0.1, count_time=0.09, nimages=20, ntrigger=1, wavelength=1.2848e-10, distance=10.08)
    for sequence in (412, 413):
        with EigerWriter(folder, f"c1f3_{sequence}", header=header, frames_per_file=8) as eiger:
            eiger.append(np.full((20, 8, 9), sequence, dtype=np.uint16))
    text = (Path(__file__).parent / "legacy_chx_documents.json").read_text().replace("@ROOT@", str(folder))
    own = str(uuid.uuid4())
    documents = json.loads(text.replace("7f6c0d1e-3a51-4f0c-9d34-8a6c52f1b7aa", own))
    run_python([legacy], tmp_path, monkeypatch, raw=raw_runs, documents=documents)
    series = open_series(raw_runs[own])
    assert series.read(0, 40)[:, 0, 0].tolist() == [412] * 20 + [413] * 20


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_how_to_adaptive_plan(
    catalog_address: CatalogAddress, catalog_directory: Path, tmp_path: Path, repository: Path, raw_runs: Container
) -> None:
    plan = blocks(HOW_TO / "adaptive-plan.md", "python")[0]
    configuration = repository / "configs" / "demo.yaml"
    environment = {
        "GBX_CONFIG": str(configuration),
        "GBX_DIRECTORY": str(catalog_directory),
        "GBX_TILED_URI": catalog_address.uri,
        "TILED_API_KEY": catalog_address.api_key,
    }
    (tmp_path / "plan.py").write_text(plan.code)
    with analysing(lambda: opened(catalog_address), load_config(configuration), "adaptive"):
        said = run_shell(f"{sys.executable} plan.py", tmp_path, **environment)
    assert re.fullmatch(r"[3-6] scans", said.splitlines()[-1]), "three at least, six are the limit"
    starts = [one.metadata["start"] for one in raw_runs.search(Key("start.sample") == "adaptive").values()]
    assert any("relaxation_time" in start["measure_until"].get("so_far", "") for start in starts), "results came back"
    average = blocks(HOW_TO / "adaptive-plan.md", "bash")[-1]
    run_shell(average.code, tmp_path, **environment)
    assert (tmp_path / "repeats.png").is_file()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_how_to_queue_server(
    catalog_address: CatalogAddress, catalog_directory: Path, tmp_path: Path, raw_runs: Container
) -> None:
    """Redis, the manager and its worker, as the page starts them, on ports of our own."""
    if shutil.which("redis-server") is None:
        assert os.environ.get("GBX_SYSTEM") != "1", "GBX_SYSTEM=1 promises redis-server"
        pytest.skip("redis-server is absent (Debian: apt-get install redis-server)")
    page = ROOT / "deploy" / "queueserver" / "README.md"
    services, measure_until = blocks(page, "bash", section="Queue server")
    redis, control, info = _free_ports(3)
    code = services.code.replace("6391", str(redis)).replace("60615", str(control)).replace("60625", str(info))
    started, _, asked = code.partition("qserver ")
    environment = {
        "GBX_DIRECTORY": str(catalog_directory),
        "GBX_TILED_URI": catalog_address.uri,
        "TILED_API_KEY": catalog_address.api_key,
        "QSERVER_ZMQ_CONTROL_ADDRESS": f"tcp://127.0.0.1:{control}",
        "PYTHONUNBUFFERED": "1",
    }
    known = {**os.environ, **environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with (
        (tmp_path / "manager.log").open("w") as log,
        subprocess.Popen(
            ["bash", "-c", f"cd {page.parent}\n{started}\nwait"],
            env=known,
            start_new_session=True,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            questions = [f"qserver {line}" for line in asked.splitlines()]
            questions = [
                line.removeprefix("qserver ") if line.startswith("qserver qserver") else line for line in questions
            ]
            _ask_the_queue(questions, measure_until, environment, tmp_path)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    (run,) = [
        one
        for one in raw_runs.search(Key("start.sample") == "Si").values()
        if one.metadata["start"]["plan_name"] == "count_series"
    ]
    assert run.metadata["stop"]["exit_status"] == "success"


def _ask_the_queue(questions: list[str], measure_until: Block, environment: Mapping[str, str], folder: Path) -> None:
    """The page's calls one after the other; where a person would look whether it is ready, so does the test."""

    def status() -> str:
        try:
            return run_shell("qserver status", folder, **environment)
        except AssertionError:
            return ""

    wait_for("the manager", lambda: "'manager_state': 'idle'" in status())
    for question in questions:
        if "queue add" in question or "queue start" in question:
            wait_for("the environment", lambda: "'worker_environment_state': 'idle'" in status())
        if "history" in question:
            wait_for(
                "an empty queue", lambda: "'items_in_queue': 0" in status() and "'manager_state': 'idle'" in status()
            )
        if "environment close" in question:
            added = run_shell(measure_until.code, folder, **environment)
            assert "'success': True" in added, "the permissions of the folder let it in"
        said = run_shell(question, folder, **environment)
        if "history" in question:
            assert "'exit_status': 'completed'" in said


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
