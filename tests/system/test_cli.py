"""The ``gbx`` command: what it shows, writes and keeps, and how it ends."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from command_line import (
    COLUMNS,
    FRAMES,
    RING,
    ROWS,
    Said,
    as_process,
    contents,
    in_process,
    speckles,
    write_eiger,
)
from eiger_runs import Taken, take
from tiled.client.container import Container

from gbx_beamline import analyze, open_series
from gbx_beamline.config import load_config
from gbx_beamline.frames import EigerHeader
from gbx_services.doctor import QT_LIBRARIES
from gbx_tiled.embedded import CatalogAddress

PNG = b"\x89PNG\r\n\x1a\n"
OWN_COMMANDS = (
    "analyze",
    "results",
    "groups",
    "compare",
    "floor",
    "report",
    "doctor",
    "commission",
    "demo",
    "import",
    "export",
    "serve",
    "view",
    "queue",
    "reprocess",
    "access",
    "average",
    "backup",
    "restore",
    "sample",
    "simulate",
    "figures",
    "models",
    "train",
    "adapt",
    "finetune",
    "evaluate",
    "accept",
    "drift",
    "retrain",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's working folder and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("GBX_CONFIG", "GBX_TILED_URI", "TILED_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def gbx(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command in ``folder``."""

    def run(*arguments: str | Path) -> Said:
        return in_process(monkeypatch, capsys, *arguments)

    return run


@pytest.mark.parametrize("command", OWN_COMMANDS)
def test_every_command_has_help_with_an_example(gbx: Any, command: str) -> None:
    said = gbx(command, "--help")
    assert said.code == 0
    assert f"Example: gbx {command}" in said.out
    assert gbx(command, "-h").out == said.out


def test_the_list_of_commands_is_the_one_tested_here(gbx: Any) -> None:
    listed = gbx("--help").out.split("Commands:\n")[1].splitlines()
    assert {line.split()[0] for line in listed if line.startswith("  ") and line[2] != " "} == set(OWN_COMMANDS)


# --- gbx analyze FILE


def test_a_file_gives_a_table_a_picture_and_arrays(gbx: Any, folder: Path) -> None:
    master = write_eiger(folder / "raw")
    said = gbx("analyze", master, "--ring", RING, "--out", "results")
    assert said.code == 0, said.err
    assert said.err == ""
    assert "report results/scan_1_gbx.png\narrays results/scan_1_gbx.npz\n" in said.out
    assert (folder / "results/scan_1_gbx.png").read_bytes().startswith(PNG)
    low, high = map(float, RING.split(":"))
    config = yaml.safe_dump({"analysis": {"rois": {"rings": [{"q": [low, high]}]}}})
    (folder / "same.yaml").write_text(config)
    expected = analyze(open_series(master), load_config(folder / "same.yaml"))
    with np.load(folder / "results/scan_1_gbx.npz") as arrays:
        np.testing.assert_array_equal(arrays["two_time"], expected.two_time.g2)
        np.testing.assert_array_equal(arrays["one_time"], expected.one_time.g2)
    row = next(line for line in said.out.splitlines() if line.rstrip().endswith("ok"))
    assert f"{expected.rois.q_par[0] * 1e-10:.4f}" in row
    assert expected.nonequilibrium[0].s_noneq_corrected is not None
    assert f"{expected.nonequilibrium[0].s_noneq_corrected:.3f} ±" in row


def test_a_second_analysis_is_refused_and_changes_nothing(gbx: Any, folder: Path) -> None:
    master = write_eiger(folder)
    assert gbx("analyze", master, "--ring", RING).code == 0
    before = contents(folder)
    said = gbx("analyze", master, "--ring", RING)
    assert said.code == 2
    assert said.err.startswith("error: scan_1_gbx.npz exists already; needed: a free name; ")
    assert "--overwrite" in said.err
    assert said.out == ""
    assert contents(folder) == before


@pytest.mark.parametrize("kept", ["scan_1_gbx.npz", "scan_1_gbx.png"])
def test_one_of_two_results_there_means_that_nothing_is_written(gbx: Any, folder: Path, kept: str) -> None:
    master = write_eiger(folder)
    (folder / kept).write_bytes(b"somebody's work")
    before = contents(folder)
    said = gbx("analyze", master, "--ring", RING)
    assert said.code == 2
    assert f"{kept} exists already" in said.err
    assert contents(folder) == before


def test_overwrite_replaces_both_and_leaves_no_rubbish(gbx: Any, folder: Path) -> None:
    master = write_eiger(folder)
    for name in ("scan_1_gbx.npz", "scan_1_gbx.png"):
        (folder / name).write_bytes(b"old")
    raw = set(contents(folder))
    assert gbx("analyze", master, "--ring", RING, "--overwrite").code == 0
    assert set(contents(folder)) == raw
    assert (folder / "scan_1_gbx.png").read_bytes().startswith(PNG)
    with np.load(folder / "scan_1_gbx.npz") as arrays:
        assert arrays["two_time"].shape == (1, FRAMES, FRAMES)


def test_an_array_is_analysed_with_the_frame_time_given(gbx: Any, folder: Path) -> None:
    np.save(folder / "scan.npy", speckles())
    labels = np.zeros((ROWS, COLUMNS), dtype=np.int32)
    labels[5:20, 5:35], labels[25:45, 5:35] = 1, 2
    np.save(folder / "labels.npy", labels)
    (folder / "gbx.yaml").write_text("analysis: {rois: {labels: labels.npy}}")
    said = gbx("analyze", "scan.npy", "--config", "gbx.yaml")
    assert said.code == 2
    assert "no frame time" in said.err
    assert "add --frame-time SECONDS" in said.err
    said = gbx("analyze", "scan.npy", "--config", "gbx.yaml", "--frame-time", "0.25")
    assert said.code == 0, said.err
    assert "label 1" in said.out
    assert "label 2" in said.out
    with np.load(folder / "scan_gbx.npz") as arrays:
        np.testing.assert_allclose(arrays["tau"], 0.25 * np.arange(FRAMES), rtol=1e-12)


def test_an_aborted_series_is_analysed_on_request_and_flagged(gbx: Any, folder: Path) -> None:
    master = write_eiger(folder)
    (folder / "scan_1_data_000003.h5").unlink()
    said = gbx("analyze", master, "--ring", RING, "--allow-incomplete")
    assert said.code == 0, said.err
    assert "scan_1_data_000003.h5 missing, 20 frames used" in said.out


def test_a_roi_across_the_reflected_beam_is_flagged(gbx: Any, folder: Path) -> None:
    """At 0.25 degrees the reflected beam is 10.08 m * tan(0.5 degrees) = 88 mm = 1173 rows above the direct one."""
    header = EigerHeader(
        frame_time=0.5,
        distance=10.08,
        wavelength=1.285e-10,
        beam_center_x=20.0,
        beam_center_y=24.0 + 1173.0,
        pixel_size_x=75e-6,
        pixel_size_y=75e-6,
    )
    master = write_eiger(folder, header=header)
    (folder / "gbx.yaml").write_text("analysis: {geometry: {mode: gisaxs, incidence_deg: 0.25}}")
    crossing = gbx("analyze", master, "--config", "gbx.yaml", "--box", "0:0.0004", "0.0423:0.0432", "--out", "on")
    assert crossing.code == 0, crossing.err
    assert "crosses the specular region" in crossing.out
    # The window around the spot is k * 0.02 degrees = 0.0017 1/Angstrom to either side: further out it is clear.
    beside = EigerHeader(**{**vars(header), "beam_center_x": -60.0})
    master = write_eiger(folder, "beside", header=beside)
    clear = gbx("analyze", master, "--config", "gbx.yaml", "--box", "0.0025:0.0035", "0.0423:0.0432", "--out", "off")
    assert clear.code == 0, clear.err
    assert "specular" not in clear.out


# --- what the streams look like


@pytest.mark.parametrize("columns", ["80", "200"])
def test_a_terminal_of_any_width_gets_the_whole_table(gbx: Any, folder: Path, columns: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the stream for a terminal
    said = gbx("analyze", write_eiger(folder), "--ring", RING)
    assert said.code == 0, said.err
    assert "…" not in said.out
    for name in ("uid", "q 1/Å", "S_noneq", "drift/β", "status"):
        assert name in said.out


def test_a_pipe_gets_no_colours_and_no_cut_lines(folder: Path) -> None:
    deep = folder / ("a_proposal_with_a_long_name_" * 5)
    master = write_eiger(deep)
    done = as_process("analyze", master, "--ring", RING, "--out", deep, cwd=folder, COLUMNS="40")
    assert done.code == 0, done.err
    assert "\x1b" not in done.out + done.err
    assert "…" not in done.out
    assert f"report {deep / 'scan_1_gbx.png'}\n" in done.out
    again = as_process("analyze", master, "--ring", RING, "--out", deep, cwd=folder, COLUMNS="40")
    assert again.code == 2
    assert "\x1b" not in again.err
    assert again.err.count("\n") == 1
    assert f"error: {deep / 'scan_1_gbx.npz'} exists already" in again.err


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_shows_where_it_happened(gbx: Any, folder: Path, place: str) -> None:
    command = ["analyze", "none_master.h5", "--ring", RING]
    said = gbx(*(["--debug", *command] if place == "before" else [*command, "--debug"]))
    assert said.code == 2
    assert "Traceback (most recent call last)" in said.err
    assert "open_series" in said.err
    assert said.err.splitlines()[-1].startswith("error: no file none_master.h5; needed: ")


def test_a_fault_of_ours_is_one_sentence_and_not_exit_code_2(folder: Path) -> None:
    """A script that breaks the command inside, run as the installed script runs it."""
    program = (
        "from gbx_beamline import assemble, cli\n"
        "def broken(path=None): raise KeyError('inner [bold] detail')\n"
        "assemble.configuration = broken\n"
        "cli.main()\n"
    )
    for flags, traceback in (((), False), (("--debug",), True)):
        done = subprocess.run(
            [sys.executable, "-c", program, "results", *flags],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1
        assert ("Traceback" in done.stderr) is traceback
        assert "inner [bold] detail" in done.stderr
        assert ("--debug and report" in done.stderr) is not traceback


def test_an_absent_package_is_named(gbx: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GBX_TILED_URI", "http://127.0.0.1:9")
    for name in [name for name in sys.modules if name.startswith("gbx_beamline.catalog")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tiled.client", None)
    said = gbx("results")
    assert said.code == 2
    assert said.err.startswith("error: the package 'tiled' is not installed; needed: ")
    assert "gbx doctor" in said.err


def test_ctrl_c_ends_with_130_and_leaves_nothing(folder: Path) -> None:
    """The command waits for its configuration in a named pipe, so that the signal meets it at work."""
    os.mkfifo(folder / "gbx.yaml")
    before = sorted(folder.iterdir())
    command = [str(Path(sys.executable).with_name("gbx")), "analyze", "x.npy", "--config", "gbx.yaml"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with (folder / "gbx.yaml").open("w"), process:  # opens as soon as the command reads
        # A signal just before it begins to wait is noticed at its next one, as at a keyboard.
        for _ in range(6):
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                out, err = process.communicate(timeout=10)
                break
        else:
            process.kill()
            pytest.fail("six signals did not end it")
    assert process.returncode == 130
    assert (out, err.strip()) == ("", "interrupted")
    assert sorted(folder.iterdir()) == before


# --- the catalog


@pytest.fixture
def served(folder: Path, catalog_address: CatalogAddress, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a catalog that answers."""
    monkeypatch.setenv("GBX_TILED_URI", catalog_address.uri)
    monkeypatch.setenv("TILED_API_KEY", catalog_address.api_key)
    return folder


@pytest.fixture(scope="module")
def taken(raw_runs: Container, catalog_directory: Path) -> Taken:
    """A run of 50 frames in the catalog, in two series of a file each 10 frames."""
    return take(raw_runs, catalog_directory / "frames", per_series=2, seed=20)


def table_of(text: str) -> Any:
    return pd.read_csv(io.StringIO(text))


def test_a_run_is_analysed_once_and_its_record_stands(gbx: Any, served: Path, taken: Taken) -> None:
    uid = taken.uid[:8]
    first = gbx("analyze", uid, "--ring", "0.0008:0.0012")
    assert first.code == 0, first.err
    assert f"record {taken.uid}-" in first.out
    assert f"next: gbx report {uid}" in first.out
    assert "stands" not in first.out
    second = gbx("analyze", uid, "--ring", "0.0008:0.0012")
    assert second.code == 0
    assert "the record stands" in second.out
    listed = table_of(gbx("results", "--run", uid, "--format", "csv").out)
    assert len(listed) == 1
    assert listed["run_uid"][0] == taken.uid
    assert listed["frames"][0] == 50
    assert listed["sample"][0] == "gold"
    assert 0 <= listed["s_noneq"][0] <= 1
    assert listed["q_par_1/A"][0] == pytest.approx(0.0009, abs=1e-4)
    parsed = json.loads(gbx("results", "--run", uid, "--format", "json").out)
    assert [row["record"] for row in parsed] == listed["record"].tolist()
    assert parsed[0]["s_noneq"] == pytest.approx(listed["s_noneq"][0], rel=1e-12)


def test_a_report_is_a_picture_and_never_replaces_one(gbx: Any, served: Path, taken: Taken) -> None:
    uid = taken.uid[:8]
    assert gbx("analyze", uid, "--ring", "0.0008:0.0012").code == 0
    said = gbx("report", uid)
    assert said.code == 0, said.err
    picture = served / f"{uid}_gbx.png"
    assert f"report {picture.name}\n" in said.out
    assert picture.read_bytes().startswith(PNG)
    before = contents(served)
    for arguments, words in (
        ([], ["exists already", "--overwrite"]),
        (["--out", "x.txt"], ["'.txt'", ".png"]),
        (["--roi", "9", "--out", "y.png"], ["--roi 9", "from 1 to 1"]),
    ):
        refused = gbx("report", uid, *arguments)
        assert refused.code == 2
        assert refused.out == ""
        assert refused.err.count("\n") == 1
        for word in words:
            assert word in refused.err
        assert contents(served) == before
    picture.write_bytes(b"old")
    assert gbx("report", uid, "--roi", "1", "--overwrite").code == 0
    assert picture.read_bytes().startswith(PNG)


def test_a_failed_scan_leaves_a_reason_and_succeeds_when_the_cause_is_gone(
    gbx: Any, served: Path, raw_runs: Container, catalog_directory: Path
) -> None:
    run = take(raw_runs, catalog_directory / "frames", per_series=2, seed=21)
    uid, ring = run.uid[:8], ["--ring", "0.0006:0.001"]
    lost = next(path for path in run.files if path.name.endswith("_data_000002.h5"))
    hidden = lost.rename(lost.with_suffix(".away"))
    for _ in range(2):
        failed = gbx("analyze", uid, *ring)
        assert failed.code == 2
        assert "10 of 50 frames are absent" in failed.err
        assert lost.name in failed.err
        assert "add --allow-incomplete" in failed.err
        assert failed.err.count("\n") == 1
        assert failed.out.startswith(f"record {run.uid}-")
        assert failed.out.rstrip().endswith("-failed")
    listed = table_of(gbx("results", "--run", uid, "--format", "csv").out)
    assert len(listed) == 1
    assert listed["status"][0].startswith("failed: ")
    assert lost.name in listed["status"][0]
    assert "10 of 50 frames are absent" in gbx("results", "--run", uid).out
    report = gbx("report", uid)
    assert report.code == 2
    assert f"run {uid} was not analysed: " in report.err
    assert not list(served.glob("*.png"))
    hidden.rename(lost)
    mended = gbx("analyze", uid, *ring)
    assert mended.code == 0, mended.err
    assert "stands" not in mended.out
    listed = table_of(gbx("results", "--run", uid, "--format", "csv").out)
    assert listed["status"].tolist() == ["ok"], "the failure is superseded"
    assert gbx("report", uid).code == 0


def test_results_can_be_chosen_by_sample(gbx: Any, served: Path, taken: Taken) -> None:
    assert gbx("analyze", taken.uid, "--ring", "0.0008:0.0012").code == 0
    assert taken.uid in set(table_of(gbx("results", "--sample", "gold", "--format", "csv").out)["run_uid"])
    none = gbx("results", "--sample", "unobtainium")
    assert (none.code, none.out) == (0, "No results of a sample 'unobtainium'.\n")


def test_an_empty_catalog_says_so_in_every_format(
    gbx: Any, folder: Path, tiled_root: Container, catalog_directory: Path
) -> None:
    """The embedded catalog of a folder, found through its state file: no address and no key are given."""
    tiled_root.create_container("empty")
    settings = {"catalog": {"directory": str(catalog_directory), "processed": "empty"}}
    (folder / "gbx.yaml").write_text(yaml.safe_dump(settings))
    said = gbx("results", "--config", "gbx.yaml")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("No results yet: ")
    empty = table_of(gbx("results", "--config", "gbx.yaml", "--format", "csv").out)
    assert len(empty) == 0
    assert {"run_uid", "s_noneq", "status", "record"} <= set(empty.columns)
    assert json.loads(gbx("results", "--config", "gbx.yaml", "--format", "json").out) == []


# --- gbx doctor


@pytest.fixture
def installed(served: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with all that GBX wants, whatever this one has: Qt's libraries in particular."""
    monkeypatch.setattr("ctypes.util.find_library", lambda name: f"lib{name}.so.1")
    return served


def test_doctor_passes_a_sound_installation(gbx: Any, installed: Path) -> None:
    said = gbx("doctor")
    assert said.code == 0, said.out
    others = [line for line in said.out.splitlines() if line[0] != " " and not line.startswith("ok ")]
    # Nobody serves here, and the catalog is one that a service would be running beside.
    assert [line.split()[:2] for line in others] == [["warning", "serve"]]
    assert contents(installed) == {}, "looking leaves nothing behind"


def test_doctor_names_the_debian_package_of_an_absent_qt_library(
    gbx: Any, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None if name == "EGL" else f"lib{name}.so.1")
    said = gbx("doctor")
    assert said.code == 0, "only the viewer suffers"
    assert f"warning  system libraries of Qt  absent: {QT_LIBRARIES['EGL']}\n" in said.out
    assert f"→ apt-get install {QT_LIBRARIES['EGL']}\n" in said.out


@pytest.mark.parametrize(
    ("package", "part", "line"),
    [
        ("numpy", "core", "    → pip install 'gbx-beamline'\n"),
        ("fastapi", "flows", "→ pip install 'gbx-beamline[flows]'\n"),
    ],
    ids=["core", "extra"],
)
def test_doctor_fails_for_a_wrong_version(
    gbx: Any, installed: Path, monkeypatch: pytest.MonkeyPatch, package: str, part: str, line: str
) -> None:
    from importlib.metadata import version

    monkeypatch.setattr(
        "gbx_services.doctor.installation.version", lambda name: "0.1" if name == package else version(name)
    )
    said = gbx("doctor")
    assert said.code == 2
    assert f"failure  packages: {part}" in said.out
    assert f"{package} 0.1 is not " in said.out
    assert line in said.out


def test_doctor_lets_an_absent_part_pass_with_a_word(
    gbx: Any, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import PackageNotFoundError, version

    def without_qt(name: str) -> str:
        if name.lower() == "pyside6-essentials":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("gbx_services.doctor.installation.version", without_qt)
    said = gbx("doctor")
    assert said.code == 0
    assert "warning  packages: viewer        pyside6-essentials is absent\n" in said.out.lower()
    assert "→ pip install 'gbx-beamline[viewer]'\n" in said.out


def test_doctor_fails_for_a_catalog_that_does_not_answer(
    gbx: Any, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILED_API_KEY", "0" * 64)
    said = gbx("doctor")
    assert said.code == 2
    assert "failure  catalog" in said.out
    assert "set TILED_API_KEY" in said.out
