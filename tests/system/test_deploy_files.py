"""What deploy/ holds, read by the programs that it is for. A container cannot run here: its steps run without one."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gbx_beamline.frames.mimetype import EIGER_MIMETYPE
from gbx_services.facility import postgres
from gbx_services.prefect_service import prefect_settings

pytestmark = pytest.mark.system

UNITS = ("gbx-tiled@8001", "gbx-prefect", "gbx-worker@1", "gbx-serve")
LARGEST_EXPOSURE = 2.5
"""Of 10, by systemd's own reckoning; a service without any hardening has 9.6."""


@pytest.fixture
def deploy(repository: Path) -> Path:
    return repository / "deploy"


def program(name: str, package: str) -> str:
    """A program of the system; without it the test skips, unless it is to be there."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("GBX_SYSTEM") == "1":
            pytest.fail(f"no {name}: apt-get install {package}")
        pytest.skip(f"no {name}: apt-get install {package}")
    return found


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=120)


@pytest.fixture
def units(deploy: Path, tmp_path: Path) -> str:
    """The units with this environment's programs in place of /opt/gbx; systemd's search path for them."""
    shutil.copytree(deploy / "systemd", tmp_path, dirs_exist_ok=True)
    for unit in tmp_path.glob("*.service"):
        unit.write_text(unit.read_text().replace("/opt/gbx/bin", str(Path(sys.executable).parent)))
    return f"{tmp_path}:/lib/systemd/system"


def test_systemd_takes_the_units_and_their_programs_exist(units: str) -> None:
    verify = [program("systemd-analyze", "systemd"), "verify", "--man=no"]
    names = [*(f"{unit}.service" for unit in UNITS), "gbx.target"]
    done = run(*verify, *names, SYSTEMD_UNIT_PATH=units)
    # Of a key that it does not know it speaks without failing.
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS)
def test_the_units_are_hardened(units: str, unit: str) -> None:
    security = [program("systemd-analyze", "systemd"), "security", "--offline=yes", "--no-pager"]
    done = run(*security, f"{unit}.service", SYSTEMD_UNIT_PATH=units)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= LARGEST_EXPOSURE


def test_the_environment_files_give_tiled_what_its_configuration_asks(deploy: Path) -> None:
    asked = set(re.findall(r"\$\{(\w+)\}", (deploy / "tiled.yml").read_text()))
    given = {
        line.partition("=")[0]
        for line in (deploy / "environment" / "tiled.env").read_text().splitlines()
        if "=" in line
    }
    compose = yaml.safe_load((deploy / "compose.yaml").read_text())["x-tiled"]["environment"]
    assert asked <= given
    assert asked <= set(compose)


def test_prefect_forgets_as_the_embedded_one_does(deploy: Path, tmp_path: Path) -> None:
    embedded = {name: value for name, value in prefect_settings(tmp_path, "").items() if "_SERVER_" in name}
    given = dict(re.findall(r"^(\w+)=(.*)$", (deploy / "environment" / "prefect.env").read_text(), re.MULTILINE))
    compose = yaml.safe_load((deploy / "compose.yaml").read_text())["services"]["prefect"]["environment"]
    assert embedded.items() <= given.items()
    assert embedded.items() <= compose.items()


def test_tiled_reads_eiger_masters_as_the_embedded_server_does(deploy: Path) -> None:
    catalog = yaml.safe_load((deploy / "tiled.yml").read_text())["catalog"]
    assert catalog["adapters_by_mimetype"] == {EIGER_MIMETYPE: "gbx_tiled.adapter:EigerAdapter"}


def test_the_databases_are_those_of_the_local_facility(deploy: Path) -> None:
    made = re.findall(r"CREATE DATABASE (\w+);", (deploy / "databases.sql").read_text())
    assert tuple(made) == postgres.DATABASES


SECRETS = ("GBX_TILED_KEY", "GBX_PREFECT_PASSWORD", "GBX_POSTGRES_PASSWORD", "GBX_REDIS_PASSWORD")


def compose(deploy: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [program("docker-compose", "docker-compose"), "-f", str(deploy / "compose.yaml"), "config"]
    return run(*command, **environment)


def test_compose_takes_the_file(deploy: Path) -> None:
    places = {"GBX_SHARED": "/srv/gbx", "GBX_FRAMES": "/data"}
    done = compose(deploy, **places, **{name: name.lower() for name in SECRETS})
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) == {
        *("postgres", "redis", "tiled-1", "tiled-2", "prefect", "worker", "serve", "prometheus"),
    }
    # Whoever is outside the machine reaches none of them.
    assert all(str(port).startswith("127.0.0.1:") for service in services.values() for port in service.get("ports", ()))


@pytest.mark.parametrize("absent", SECRETS)
def test_compose_names_a_secret_that_is_absent(deploy: Path, absent: str) -> None:
    given = {name: name.lower() for name in SECRETS if name != absent}
    done = compose(deploy, GBX_SHARED="/srv/gbx", GBX_FRAMES="/data", **given)
    assert done.returncode != 0
    assert absent in done.stderr


def test_hadolint_finds_nothing_in_the_containerfile(deploy: Path) -> None:
    done = run(str(Path(sys.executable).parent / "hadolint"), str(deploy / "Containerfile"))
    assert (done.returncode, done.stdout) == (0, "")


def test_prometheus_takes_its_configuration(deploy: Path) -> None:
    promtool = program("promtool", "prometheus")
    # The key's file exists at the facility only.
    done = run(promtool, "check", "config", "--syntax-only", str(deploy / "prometheus" / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_what_the_container_is_built_of_works_without_it(deploy: Path, tmp_path: Path) -> None:
    """The Containerfile's own copies and its pip command, in a folder in place of /src and a fresh /opt/gbx."""
    text = (deploy / "Containerfile").read_text().replace("\\\n", " ")
    source, target = tmp_path / "src", tmp_path / "gbx"
    source.mkdir()
    for words in (line.split()[1:] for line in text.splitlines() if line.startswith("COPY ")):
        for name in words[:-1]:
            there = deploy.parent / name
            if there.is_dir():
                shutil.copytree(there, source / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(there, source)
    (steps,) = (line for line in text.splitlines() if line.startswith("RUN ") and "venv" in line)
    steps = steps.removeprefix("RUN ").replace("/opt/gbx", shlex.quote(str(target)))
    done = subprocess.run(
        ["bash", "-euc", steps.replace("python3 -m venv", f"{sys.executable} -m venv")],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for command in (
        ["gbx", "--help"],
        ["tiled", "serve", "config", "--help"],
        ["prefect", "version"],
        ["gbx", "doctor"],
    ):
        done = run(str(target / "bin" / command[0]), *command[1:], PREFECT_HOME=str(tmp_path / "prefect"))
        assert done.returncode == 0, done.stdout + done.stderr
