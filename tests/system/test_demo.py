"""``gbx demo`` as a user runs it: real RunEngine, Eiger files, Tiled and Prefect, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

GBX = [sys.executable, "-c", "from gbx_beamline.cli import main; main()"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A folder with a small version of configs/demo.yaml: two temperatures, few frames, two q-ROIs."""
    folder = tmp_path_factory.mktemp("demo")
    config = yaml.safe_load((repository / "configs" / "demo.yaml").read_text())
    config["analysis"]["rois"]["boxes"] = config["analysis"]["rois"]["boxes"][:2]
    config["demo"] |= {"frames": 64, "frame_time_s": 39.0, "mean_counts": 4.0, "coherence_modes": 2}
    config["demo"]["dynamics"] = [config["demo"]["dynamics"][0], config["demo"]["dynamics"][3]]
    (folder / "small.yaml").write_text(yaml.safe_dump(config))
    return folder


def environment() -> dict[str, str]:
    """Ours, without what would point a command at another catalog."""
    # Without a display: a test must not open windows.
    without = ("GBX_", "TILED_", "PREFECT_", "DISPLAY", "WAYLAND_DISPLAY")
    return {name: value for name, value in os.environ.items() if not name.startswith(without)}


def gbx(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*GBX, *arguments], cwd=folder, env=environment(), capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def results(folder: Path) -> list[dict[str, Any]]:
    return json.loads(gbx(folder, "results", "--format", "json"))


def running_in(folder: Path) -> list[str]:
    """Command lines of processes that work in ``folder``, or were started for it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            place = str((process / "cwd").readlink())
        except OSError:
            continue
        if int(process.name) != os.getpid() and (str(folder) in words or place.startswith(str(folder))):
            found.append(words)
    return found


@pytest.fixture(scope="module")
def first_run(folder: Path) -> str:
    return gbx(folder, "demo", "--config", "small.yaml")


def test_each_scan_is_analysed_and_close_to_its_truth(folder: Path, first_run: str) -> None:
    rows = results(folder)
    assert len(rows) == 4
    assert {row["status"] for row in rows} == {"ok"}
    for row in rows:
        assert row["frames"] == 64
        # The interval holds 95 % of truths; three times its width on either side holds them all.
        assert row["s_status"] == "ok"
        below, above = row["s_corrected"] - row["s_low"], row["s_high"] - row["s_corrected"]
        assert row["s_corrected"] - 3 * below < row["s_true"] < row["s_corrected"] + 3 * above
        assert max(below, above) < 0.1
        # Noise adds to the bare S_noneq.
        assert row["s_true"] - 0.06 < row["s_noneq"] < row["s_true"] + 0.08
    still, straightening = rows[:2], rows[2:]
    # Draws scatter: norm ratios of 0.10 +- 0.03 at 299 K and 0.82 +- 0.01 at 471 K.
    assert max(row["s_true"] for row in still) < 0.06
    assert 0.58 < min(row["s_true"] for row in straightening) <= max(row["s_true"] for row in straightening) < 0.8
    assert min(row["drift/contrast"] for row in straightening) > 0.1
    assert [round(row["temperature_K"]) for row in rows] == [299, 299, 471, 471]


def test_the_model_is_asked_about_each_scan(folder: Path, first_run: str) -> None:
    """64 frames of 39 s are just enough for its contract; two q-ROIs of a scan share one answer."""
    rows = results(folder)
    assert all(row["model"].startswith("gbx-") for row in rows)
    for row in rows:
        assert not row["flags"].startswith("refused"), row["flags"]
        assert row["gamma_low"] < row["gamma_Js/m4"] < row["gamma_high"]
    assert rows[0]["gamma_Js/m4"] == rows[1]["gamma_Js/m4"]
    # The friction falls from 4e18 at 299 K to 2.3e17 at 471 K.
    assert rows[0]["gamma_Js/m4"] > rows[2]["gamma_Js/m4"]
    assert "What the model says of each scan" in first_run


def test_it_says_what_next_and_leaves_reports(folder: Path, first_run: str) -> None:
    assert "gbx report" in first_run
    reports = sorted((folder / "gbx-data" / "reports").glob("*.png"))
    assert len(reports) == 3, "one for each scan and an overview"
    assert all(report.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for report in reports)


def test_without_a_display_it_says_how_to_see_the_scans(first_run: str) -> None:
    assert "There is no display here" in first_run
    assert "`gbx view` shows these scans" in first_run


def test_nothing_is_left_running(folder: Path, first_run: str) -> None:
    assert running_in(folder) == []


@pytest.mark.slow
def test_a_second_run_adds_other_scans(folder: Path, first_run: str) -> None:
    before = results(folder)
    gbx(folder, "demo", "--config", "small.yaml")
    after = results(folder)
    assert len(after) == len(before) + 4
    assert after[: len(before)] == before
    assert after[-1]["s_noneq"] != before[-1]["s_noneq"], "other photons, not the same again"


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_an_end_in_the_middle_leaves_nothing_running(folder: Path, end: signal.Signals) -> None:
    with subprocess.Popen(
        [*GBX, "demo", "--config", "small.yaml"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    ) as demo:
        frames = folder / "gbx-data" / "frames"
        seen = set(frames.iterdir())
        while set(frames.iterdir()) == seen:
            assert demo.poll() is None
            os.sched_yield()
        demo.send_signal(end)
        assert demo.wait(60) == (130 if end is signal.SIGINT else -signal.SIGKILL)
    while running_in(folder):
        # The services see the end of their owner by themselves; the test's own timeout is the limit.
        os.sched_yield()
    if end is signal.SIGKILL:
        # The killed demo's journal must not be in the way of the next one.
        before = len(results(folder))
        gbx(folder, "demo", "--config", "small.yaml")
        assert len(results(folder)) >= before + 4
