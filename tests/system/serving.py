"""A whole service in processes of its own, with a RunEngine beside it; and what may happen to them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from eiger_runs import GEOMETRY, movie

from gbx_beamline.catalog import Catalog, RecordSummary, connect, find_records
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import ReplayFeed
from gbx_bluesky.plans import count_series
from gbx_bluesky.run_engine import make_run_engine
from gbx_services.spool import Spool
from gbx_tiled.embedded import embedded_catalog

FRAMES = 20
SECONDS = 180.0
"""Longest wait for what takes some seconds on a machine of one's own."""

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_for(what: str, ready: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """What ``ready`` gives as soon as it gives anything."""
    deadline = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        threading.Event().wait(0.2)
    return found


class Service:
    """``gbx serve`` on one folder."""

    def __init__(self, folder: Path, *, catalog: dict[str, Any] | None = None, **serve: Any) -> None:
        self.folder = folder
        self.directory = folder / "serve"
        self.catalog_directory = folder / "catalog"
        self._config = folder / "gbx.yaml"
        settings = {
            "analysis": {"rois": {"rings": [{"q": [3e-4, 6e-4]}]}},
            "models": {"infer": False},
            "catalog": {"directory": str(self.catalog_directory), **(catalog or {})},
            "serve": {
                "directory": str(self.directory),
                "health": {"port": 0},
                "retry": {"first_s": 1.0, "longest_s": 5.0},
                **serve,
            },
        }
        self._config.write_text(yaml.safe_dump(settings))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Service:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        # A test that failed leaves nothing running.
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def start(self) -> None:
        """Start it; its log goes to ``serve.jsonl``."""
        with (self.folder / "serve.jsonl").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gbx_services.serve", "--config", str(self._config)],
                stdout=log,
                stderr=log,
                env={name: value for name, value in os.environ.items() if not name.startswith("PREFECT")},
            )

    def stop(self) -> int:
        """End it in order; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(SECONDS)

    def kill(self) -> None:
        """End it the hard way."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(SECONDS)

    def log(self) -> list[dict[str, Any]]:
        """What it has said so far; every line is JSON."""
        text = (self.folder / "serve.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines() if line]

    def page(self, path: str) -> str:
        """What it answers at ``path``."""
        address = [line["address"] for line in self.log() if "address" in line][-1]
        try:
            with _DIRECT.open(f"{address}{path}", timeout=10) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.read().decode()

    def health(self) -> dict[str, Any]:
        """/health."""
        return json.loads(self.page("/health"))

    def pid_of(self, part: str) -> int:
        """Of the part that was started last."""
        return [line["pid"] for line in self.log() if line["message"] == f"{part} is started"][-1]

    def tiled_pid(self) -> int:
        """Of the Tiled server."""
        return int(json.loads((self.catalog_directory / "server.json").read_text())["pid"])

    def wait_until_ready(self) -> None:
        """Until it analyses: its runner has registered itself."""
        wait_for("the runner", lambda: "ready for flow runs" in self._runner_log())

    def _runner_log(self) -> str:
        log = self.directory / "logs" / "runner.log"
        return log.read_text() if log.exists() else ""


class Beamline:
    """A RunEngine that writes into the service's catalog, and the catalog as a reader sees it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._frames = movie(FRAMES, seed=11)
        self.engine, self._writer = make_run_engine(self._raw, backup_directory=service.folder / "journals")
        self.stops: dict[str, float] = {}
        self.engine.subscribe(lambda _name, doc: self.stops.__setitem__(doc["run_start"], doc["time"]), "stop")

    def take(self) -> str:
        """One scan; its uid."""
        counts, mask = self._frames
        feed = ReplayFeed(counts, pixel_mask=mask)
        folder = self._service.catalog_directory / "frames" / "scans"
        eiger: Any = SimulatedEiger(directory=folder, feed=feed, geometry=GEOMETRY, frames_per_file=FRAMES // 2)
        outcome: Any = self.engine(count_series(eiger, frames=FRAMES, frame_time=0.5, sample="gold"))
        return outcome[0]

    def flush(self) -> bool:
        """Bring what is left behind into the catalog; True where nothing is."""
        self._writer.catch_up()
        return self._writer.flush(SECONDS)

    def close(self) -> None:
        """Let the writer end."""
        self._writer.close()

    @contextmanager
    def catalog(self) -> Iterator[Catalog]:
        """Open as long as the block lasts."""
        with embedded_catalog(self._service.catalog_directory) as address:
            catalog = connect(address.uri, address.api_key)
            try:
                yield catalog
            finally:
                catalog.close()

    def records(self, *runs: str, seconds: float = SECONDS) -> dict[str, list[RecordSummary]]:
        """All records of the runs, failures that were overcome, too; as soon as each run has one."""

        def found() -> dict[str, list[RecordSummary]] | None:
            with self.catalog() as catalog:
                records = {run: find_records(catalog, run_uid=run, with_superseded=True) for run in runs}
            return records if all(records.values()) else None

        return wait_for(f"records of {len(runs)} runs", found, seconds)

    def _raw(self) -> Any:
        # The server is the service's: a writer that started one would hold up the scan's documents.
        state = json.loads((self._service.catalog_directory / "server.json").read_text())
        return connect(state["uri"], state["api_key"]).raw


def drained(spool: Spool) -> Callable[[], bool]:
    """Whether everything in the queue is done."""
    return lambda: all(job.state == "done" for job in spool.jobs())
