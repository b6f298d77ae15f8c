"""The runbook and the alarms: one page for each, metrics that exist, and commands that work."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import in_process
from eiger_runs import take
from tiled.client import from_uri

from gbx_beamline import assemble
from gbx_beamline.catalog import RecordSummary
from gbx_beamline.config import DEFAULT_RULE, load_config
from gbx_services.serve.metrics import Metrics
from gbx_services.spool import Spool, State
from gbx_services.sweep import Swept

BUILT_IN = {"up"}
"""Metrics of Prometheus itself."""


@pytest.fixture(scope="module")
def rules(repository: Path) -> list[dict[str, Any]]:
    found = yaml.safe_load((repository / "deploy/prometheus/rules.yml").read_text())
    return [rule for group in found["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def runbook(repository: Path) -> str:
    return (repository / "docs/how-to/runbook.md").read_text()


def commands(text: str) -> list[str]:
    """Lines of the runbook's shell blocks."""
    return [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


def test_each_alarm_asks_for_metrics_that_the_service_shows(rules: list[dict[str, Any]], tmp_path: Path) -> None:
    with closing(Spool(tmp_path, repair=True)) as spool:
        spool.select("run", [DEFAULT_RULE], source="test", stopped=1.0)
        job = next(one for one in spool.jobs(run="run") if one.selected)
        metrics = Metrics(spool, lambda: {"catalog": ""})
        # Labelled counters show themselves with their first event.
        metrics.handed_over(job)
        metrics.done(job, RecordSummary("key", {"status": "failed", "kind": "InputError", "created": 2.0}))
        metrics.failed(job, "CatalogError")
        metrics.parked(job, "CatalogError")
        metrics.swept(Swept(1, 1, 0))
        shown = metrics.text().decode()
    samples = {re.split(r"[{ ]", line)[0] for line in shown.splitlines() if not line.startswith("#")}
    for rule in rules:
        asked = set(re.findall(r"\b(gbx_\w+|up)\b(?=\s*[\[{=><]|\s*-|\))", rule["expr"].replace("\n", " ")))
        assert asked, rule["alert"]
        assert asked <= samples | BUILT_IN, rule["alert"]
        for metric, chosen in re.findall(r"\b(gbx_\w+)\{([^}]*)\}", rule["expr"]):
            labels = set(re.findall(r"(\w+)=~?\"", chosen))
            assert any(
                labels <= set(re.findall(r"(\w+)=\"", line)) for line in shown.splitlines() if line.startswith(metric)
            ), rule["alert"]
        states = {state for stated in re.findall(r'state=~?"([^"]+)"', rule["expr"]) for state in stated.split("|")}
        assert states <= {str(state) for state in State}, rule["alert"]
        assert rule["labels"]["severity"] in ("page", "warning")
        assert rule["annotations"]["summary"]


def test_each_alarm_has_its_page_and_each_page_its_alarm(rules: list[dict[str, Any]], runbook: str) -> None:
    assert [rule["alert"] for rule in rules] == re.findall(r"^### (\w+)$", runbook, re.MULTILINE)


def test_units_that_the_runbook_names_are_those_of_the_deployment(repository: Path, runbook: str) -> None:
    named = {unit for line in commands(runbook) for unit in re.findall(r"^(?:systemctl \w+|journalctl -u) (\S+)", line)}
    assert named
    there = {path.name for path in (repository / "deploy/systemd").glob("*.service")}
    # A checkout without units is one where they are installed from elsewhere.
    for unit in named if there else ():
        template, _, instance = unit.partition("@")
        assert (f"{template}@.service" if instance else f"{template}.service") in there, unit


@dataclass(frozen=True)
class Place:
    """A catalog of the test's own with one run, and the queue of a service that has given it up."""

    folder: Path
    uid: str
    served: ExitStack
    """Whoever closes it stops the server."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.chdir(tmp_path)
    for name in (assemble.URI_VARIABLE, assemble.STORE_VARIABLE, "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    rings = [{"q": [3e-4, 6e-4]}]
    settings = {"analysis": {"rois": {"rings": rings}}, "models": {"infer": False}, "serve": {"health": {"port": 0}}}
    (tmp_path / "gbx.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.setenv(assemble.CONFIG_VARIABLE, str(tmp_path / "gbx.yaml"))
    config = load_config(tmp_path / "gbx.yaml")
    served = ExitStack()
    address = served.enter_context(assemble.embedded_server(config.catalog))
    root = from_uri(address.uri, api_key=address.api_key, trust_env=False)
    uid = take(root["raw"], tmp_path / "gbx-data" / "frames" / "runs", per_series=2).uid
    root.context.close()
    with closing(Spool(config.serve.directory, repair=True)) as spool:
        spool.select(uid, [DEFAULT_RULE], source="test")
    with assemble.open_catalog(config) as catalog:
        assemble.analyze_run(catalog, uid, config)
    with served:
        yield Place(tmp_path, uid, served)


def test_every_command_of_the_runbook_works(
    place: Place, runbook: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order of the page; what stops a catalog comes last there."""
    (place.folder / "BACKUPS").mkdir()
    ran = []
    for line in dict.fromkeys(commands(runbook)):
        words = [{"UID": place.uid, "SAMPLE": "gold"}.get(word, word) for word in line.split("#")[0].split()]
        if words[0] == "mv":
            # The runbook says: stop the servers first.
            place.served.close()
            shutil.move(words[1], words[2])
        elif words[0] == "gbx":
            said = in_process(monkeypatch, capsys, *words[1:])
            assert said.code == 0, f"{line}: {said.out} {said.err}"
        else:
            assert words[0] in ("systemctl", "journalctl"), line
            continue
        ran.append(" ".join(words[:2]))
    assert {"gbx doctor", "gbx queue", "gbx results", "gbx reprocess", "gbx backup", "gbx restore"} <= set(ran)
