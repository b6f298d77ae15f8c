"""``gbx serve`` on servers that others run: it starts its runner and nothing else, and a RunEngine reports to it."""

from __future__ import annotations

import json
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from bluesky import RunEngine
from eiger_runs import GEOMETRY, movie, writer
from prefect.settings import PREFECT_API_URL
from serving import wait_for
from tiled.client.container import Container

from gbx_beamline import assemble
from gbx_beamline.catalog import RecordSummary, connect, find_records
from gbx_beamline.config import load_config
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import ReplayFeed
from gbx_bluesky.plans import count_series
from gbx_services.serve import run_service
from gbx_services.spool import Spool
from gbx_services.triggers import SpoolTrigger
from gbx_tiled.embedded import CatalogAddress

pytestmark = pytest.mark.long


def test_a_run_engine_reports_to_a_service_on_servers_of_others(
    prefect_server: None,
    catalog_address: CatalogAddress,
    catalog_directory: Path,
    raw_runs: Container,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    free_port: int,
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())
    monkeypatch.setenv("TILED_API_KEY", catalog_address.api_key)
    monkeypatch.delenv(assemble.URI_VARIABLE, raising=False)
    path = tmp_path / "gbx.yaml"
    rings = {"a": [3e-4, 6e-4], "b": [3e-4, 9e-4]}
    settings = {
        "models": {"infer": False},
        "catalog": {"uri": catalog_address.uri, "directory": str(tmp_path / "none")},
        "selection": {
            name: {"samples": ["facility"], "analysis": {"rois": {"rings": [{"q": q}]}}} for name, q in rings.items()
        },
        "serve": {
            "directory": str(tmp_path / "serve"),
            "deployment": "facility-test",
            "health": {"port": free_port},
            "triggers": {"tiled": False},
            "sweep": {"every_s": 86400.0},
        },
    }
    path.write_text(yaml.safe_dump(settings))
    stopping = threading.Event()
    service = threading.Thread(target=run_service, args=(load_config(path), path, stopping))
    service.start()
    trigger = SpoolTrigger(tmp_path / "serve")
    try:
        wait_for("the first sweep", lambda: "sweep" in health(free_port))
        counts, mask = movie(20, seed=11)
        eiger: Any = SimulatedEiger(
            directory=catalog_directory / "frames" / "facility",
            feed=ReplayFeed(counts, pixel_mask=mask),
            geometry=GEOMETRY,
            frames_per_file=10,
        )
        engine = RunEngine()
        engine.subscribe(trigger)
        # The documents come after the report: the service waits for them.
        documents: list[tuple[str, Any]] = []
        engine.subscribe(lambda *item: documents.append(item))
        outcome: Any = engine(count_series(eiger, frames=20, frame_time=0.5, sample="facility"))
        sink = writer(raw_runs)
        for name, doc in documents:
            sink(name, doc)

        def both() -> list[RecordSummary] | None:
            catalog = connect(catalog_address.uri, catalog_address.api_key)
            found = find_records(catalog, run_uid=outcome[0])
            catalog.close()
            return found if len(found) == 2 else None

        records = wait_for("two records", both)
        assert {record.metadata["provenance"]["rule"] for record in records} == {"a", "b"}
        assert not any(record.failed for record in records)
        spool = Spool(tmp_path / "serve")
        # The catalog holds runs of other tests, which the sweep found.
        assert {job.source for job in spool.jobs(run=outcome[0])} == {"run engine"}
        spool.close()
        assert set(health(free_port)["components"]) == {
            *("runner", "reports", "dispatcher", "sweep", "catalog", "prefect")
        }
    finally:
        trigger.close()
        stopping.set()
        service.join(120)
    assert not service.is_alive()
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "serve" / "prefect").exists()


def health(port: int) -> dict[str, Any]:
    """What the service says of itself; nothing while it starts or is not well."""
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
            return json.loads(answer.read())
    except OSError:
        return {}


@pytest.fixture
def free_port() -> int:
    from gbx_services.prefect_service import free_port

    return free_port()
