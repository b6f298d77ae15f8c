"""The adaptive plan as a user runs it: a simulated CHX, `gbx serve` beside it, the posterior of the default model."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import pytest
import yaml
from serving import Service, wait_for

from gbx_beamline.catalog import Catalog, connect
from gbx_beamline.config import load_config
from gbx_bluesky.adaptive import measure_until
from gbx_bluesky.analysed import AnalysedScans
from gbx_bluesky.run_engine import make_run_engine
from gbx_bluesky.simulated_chx import SimulatedChx

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
"""Its own waits add up to more than the usual limit where the machine is busy."""

KELVIN = 421.0


@pytest.fixture
def service(tmp_path: Path, repository: Path) -> Iterator[Service]:
    """On a small version of configs/demo.yaml: 64 frames of 39 s fill the default model's window."""
    service = Service(tmp_path)
    path = tmp_path / "gbx.yaml"
    demo = yaml.safe_load((repository / "configs" / "demo.yaml").read_text())
    demo["demo"] |= {"frames": 64, "frame_time_s": 39.0, "mean_counts": 4.0, "coherence_modes": 2}
    own = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**own, "analysis": demo["analysis"], "demo": demo["demo"]}))
    with service:
        service.wait_until_ready()
        yield service


def test_it_stops_at_the_posteriors_width_and_outlives_the_catalog(service: Service) -> None:
    """First with everything alive; then the catalog's own process is killed between two scans."""
    config = load_config(service.folder / "gbx.yaml")

    @contextmanager
    def opened() -> Iterator[Catalog]:
        # Where the service's server is now: killed and started again, it has another address and key.
        state = json.loads((service.catalog_directory / "server.json").read_text())
        with closing(connect(state["uri"], state["api_key"])) as catalog:
            yield catalog

    def raw() -> Any:
        state = json.loads((service.catalog_directory / "server.json").read_text())
        return connect(state["uri"], state["api_key"]).raw

    chx = SimulatedChx(config, service.catalog_directory / "frames" / "chx")
    engine, writer = make_run_engine(raw, backup_directory=service.folder / "journals")
    starts: list[Any] = []
    engine.subscribe(lambda _name, doc: starts.append(doc["measure_until"]), "start")
    analysed = AnalysedScans(opened, config)
    scan: dict[str, Any] = {
        "frames": 64,
        "frame_time": 39.0,
        "sample": "nanocrystalline-Si",
        "temperature": chx.temperature,
    }
    engine(bps.mv(chx.temperature, KELVIN))
    uids: Any = engine(
        measure_until(
            chx.detector, analysed, figure="gamma", width=0.2, max_scans=8, result_timeout=180.0, least_scans=2, **scan
        )
    )
    assert 2 <= len(uids) < 8
    assert analysed.answer is not None
    assert analysed.answer.reached
    assert analysed.answer.judgement is not None
    said = analysed.answer.judgement.said["gamma"]
    assert f"gamma from {len(uids) - 1} scan" in starts[-1]["so_far"]
    assert said.width <= 0.2
    # 0.15 is what scans without end would come to: a plan that asks for less is told so as it goes.
    limit = re.search(r"repeats alone make it about (\S+) decades wide at best", analysed.answer.judgement.words)
    assert limit is not None
    assert 0.1 < float(limit[1]) < 0.17
    assert said.low / 2.0 < 4.1e17 < said.high * 2.0

    killed: list[int] = []

    def kill(_name: str, _doc: Any) -> None:
        if not killed:
            killed.append(service.tiled_pid())
            os.kill(killed[0], signal.SIGKILL)

    engine.subscribe(kill, "stop")
    again: Any = engine(
        measure_until(chx.detector, analysed, figure="gamma", width=1e-3, max_scans=3, result_timeout=240.0, **scan)
    )
    assert len(again) == 3
    # The service has started its catalog anew; documents and results come home, and were counted in the end.
    wait_for("results of all scans", lambda: _judged(analysed, opened, again))
    writer.close()
    assert service.stop() == 0


def _judged(analysed: AnalysedScans, opened: Any, uids: tuple[str, ...]) -> bool:
    from gbx_beamline.catalog import find_records

    with opened() as catalog:
        return all(find_records(catalog, run_uid=uid) for uid in uids)
