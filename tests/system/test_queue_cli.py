"""``gbx queue`` as people use it at night."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from gbx_beamline.errors import InputError
from gbx_services.queue_commands import queue
from gbx_services.spool import Spool, State

GOOD, BAD = "1a2b3c4d-good", "5e6f7a8b-bad"


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spool]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GBX_CONFIG", str(tmp_path / "gbx.yaml"))
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "gbx.yaml").write_text(yaml.safe_dump({"serve": {"directory": "queue"}}))
    spool = Spool(tmp_path / "queue")
    for run in (GOOD, BAD):
        spool.select(run, ["rule"], source="sweep", stopped=1.0)
    good, bad = spool.claim(2, selected=True, lease=100.0)
    spool.finish(good, "record of good")
    spool.park(bad, "Crashed: the runner was killed")
    yield spool
    spool.close()


def gbx(*arguments: str) -> Result:
    return CliRunner().invoke(queue, arguments)


def states(spool: Spool) -> dict[str, State]:
    return {job.run: job.state for job in spool.jobs() if job.selected}


def test_the_list_shows_what_needs_attention_and_all_of_it_when_asked(spool: Spool) -> None:
    said = gbx("list").output
    assert "5e6f7a8b" in said
    assert "Crashed: the runner was killed" in said
    assert "1a2b3c4d" not in said
    assert "0 waiting, 0 handed over, 1 done, 1 parked" in said
    assert "gbx queue retry UID" in said
    everything = gbx("list", "--all").output
    assert "record of good" in everything


def test_retry_and_drop(spool: Spool) -> None:
    assert "1 jobs wait for another try" in gbx("retry", "--all").output
    assert states(spool) == {GOOD: State.DONE, BAD: State.WAITING}
    assert "1 jobs dropped" in gbx("drop", "5e6f").output
    assert states(spool) == {GOOD: State.DONE, BAD: State.DONE}
    assert gbx("retry", GOOD, "--rule", "rule").exit_code == 0
    assert states(spool)[GOOD] is State.WAITING


def test_pause_is_shown_with_its_reason_until_resume(spool: Spool) -> None:
    gbx("pause", "--reason", "beam studies")
    assert spool.paused is not None
    assert ": beam studies. Next: gbx queue resume" in gbx("list").output
    assert "Analysis is switched on." in gbx("resume").output
    assert spool.paused is None
    assert "was not switched off" in gbx("resume").output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["retry"], "neither a run nor --all; needed: one of them"),
        (["retry", "5e6f", "--all"], "the run '5e6f' and --all"),
        (["drop", "nothing"], "no runs of the queue start with 'nothing'"),
    ],
)
def test_what_is_unclear_is_refused(spool: Spool, arguments: list[str], words: str) -> None:
    said = gbx(*arguments)
    assert isinstance(said.exception, InputError)
    assert words in str(said.exception)


def test_a_folder_without_queue_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GBX_CONFIG", raising=False)
    said = gbx("list")
    assert isinstance(said.exception, InputError)
    assert "no queue in" in str(said.exception)
    assert list(tmp_path.iterdir()) == [], "looking leaves nothing behind"
