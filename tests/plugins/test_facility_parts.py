"""A local facility's folder, guest process and search for processes, without any of its services."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from gbx_beamline.config import load_config
from gbx_beamline.errors import ServiceError
from gbx_services.facility import folder, postgres, processes_of, programs
from gbx_services.facility.report import PartState, Report, read_report, write_report

GUEST = [sys.executable, "-m", "gbx_services.facility.guest"]


@pytest.fixture
def config_path(repository: Path) -> Path:
    return repository / "configs" / "demo.yaml"


def wait_for(ready: Callable[[], object]) -> None:
    """The test's own timeout is the limit."""
    while not ready():
        os.sched_yield()


def test_a_new_folder_has_secrets_that_only_its_owner_reads(tmp_path: Path, config_path: Path) -> None:
    made = folder.prepare(tmp_path / "facility", config_path)
    secrets = {made.postgres_password, made.redis_password, made.tiled_key, made.prefect_password}
    assert len(secrets) == 4
    assert not any(secret in repr(made) for secret in secrets)
    for path in (tmp_path / "facility").iterdir():
        if path.is_file() and any(secret in path.read_text() for secret in secrets):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
    folder.remove(made)


def test_analysis_is_as_configured_and_its_places_are_the_facilitys(tmp_path: Path, config_path: Path) -> None:
    made = folder.prepare(tmp_path / "facility", config_path)
    own, given = load_config(made.directory / folder.CONFIGURATION), load_config(config_path)
    assert own.analysis == given.analysis
    assert own.demo == given.demo
    assert own.catalog.uri == made.tiled_reading
    assert own.catalog.store == made.directory / "results"
    assert not own.serve.runner
    writes_into = (own.catalog.directory, own.serve.directory, own.models.directory, own.models.suites)
    assert own.retraining.directory.is_relative_to(made.directory)
    assert all(place.is_relative_to(made.directory) for place in writes_into)
    assert folder.remove(made) == []
    assert not made.directory.exists()


def test_a_kept_folder_keeps_secrets_and_data_on_other_ports(tmp_path: Path, config_path: Path) -> None:
    first = folder.prepare(tmp_path / "facility", config_path)
    again = folder.prepare(tmp_path / "facility", config_path)
    assert again.tiled_key == first.tiled_key
    assert again.postgres_data == first.postgres_data
    assert len(set(again.ports.values())) == len(again.ports)
    # Servers on a kept folder are on new ports, and the configuration follows.
    uri = yaml.safe_load((again.directory / folder.CONFIGURATION).read_text())["catalog"]["uri"]
    assert uri == again.tiled_reading
    folder.remove(again)


def test_a_folder_of_somebody_else_is_refused_and_what_is_not_ours_stays(tmp_path: Path, config_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ServiceError, match="holds something that is no facility's"):
        folder.prepare(tmp_path, config_path)
    made = folder.prepare(tmp_path / "facility", config_path)
    (made.directory / "notes.txt").touch()
    assert folder.remove(made) == ["notes.txt"]


def test_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / folder.STATE).write_text('{"directory": "/x"')
    with pytest.raises(ServiceError, match=r"facility\.json is unreadable"):
        folder.read(tmp_path)


def test_one_keeper_at_a_time(tmp_path: Path) -> None:
    assert folder.keeper(tmp_path) is None
    with folder.kept_alone(tmp_path):
        assert folder.keeper(tmp_path) == os.getpid()
        with pytest.raises(ServiceError, match="runs in"), folder.kept_alone(tmp_path):
            pass
    assert folder.keeper(tmp_path) is None


def test_a_report_is_read_back_and_a_torn_one_is_none(tmp_path: Path) -> None:
    report = Report(True, "", 1.5, (PartState("redis", "127.0.0.1:1", "does not answer", 7),))
    write_report(tmp_path, report)
    assert read_report(tmp_path) == report
    (tmp_path / "parts.json").write_text('{"ready": tr')
    assert read_report(tmp_path) is None


def test_the_guest_passes_on_the_programs_own_signal_and_exit_code(tmp_path: Path) -> None:
    script = f"trap 'exit 7' INT; touch {tmp_path}/up; while :; do sleep 0.05; done"
    with subprocess.Popen([*GUEST, "--stop", "SIGINT", "bash", "-c", script]) as guest:
        wait_for((tmp_path / "up").exists)
        guest.send_signal(signal.SIGTERM)
        assert guest.wait() == 7


def test_a_killed_guest_takes_its_program_along(tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; exec sleep 300"
    with subprocess.Popen([*GUEST, "bash", "-c", script]) as guest:
        wait_for((tmp_path / "pid").exists)
        program = Path("/proc") / (tmp_path / "pid").read_text().strip()
        assert program.exists()
        guest.kill()
    wait_for(lambda: not program.exists() or "Z" in (program / "stat").read_text().split()[2])


def test_what_carries_the_mark_is_found_and_ended(tmp_path: Path) -> None:
    environment = {**os.environ, processes_of.MARK: str(tmp_path)}
    with subprocess.Popen(["sleep", "300"], env=environment) as ours, subprocess.Popen(["sleep", "300"]) as other:
        wait_for(lambda: ours.pid in processes_of.running(tmp_path))
        assert processes_of.running(tmp_path) == [ours.pid]
        # A child that nobody waits for stays as a zombie, which carries nothing any more.
        reaping = threading.Thread(target=ours.wait)
        reaping.start()
        os.kill(ours.pid, signal.SIGTERM)
        processes_of.end(tmp_path)
        assert processes_of.running(tmp_path) == []
        reaping.join()
        assert other.poll() is None
        other.kill()


def test_what_is_absent_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "DEBIAN", tmp_path)
    with pytest.raises(programs.DependencyError, match="apt-get install postgresql redis-server util-linux"):
        programs.check_programs()


def test_postgresqls_data_go_where_its_user_may_go(tmp_path: Path) -> None:
    me = postgres.server_user()
    tmp_path.chmod(0o700)
    inside = postgres.data_folder(tmp_path, None)
    assert inside == tmp_path / "postgres"
    if me is not None:
        # Root keeps this folder for itself.
        elsewhere = postgres.data_folder(tmp_path, me)
        assert elsewhere.parent == Path("/var/tmp")
        elsewhere.rmdir()
