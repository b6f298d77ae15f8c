"""`gbx serve` on a folder of its own, as a user starts it, and a beamline beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from gbx_beamline.catalog import Catalog, connect
from gbx_beamline.records import Geometry
from gbx_beamline.simulation import SpeckleMovie
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import ReplayFeed
from gbx_bluesky.plans import count_series
from gbx_bluesky.run_engine import make_run_engine
from gbx_services.spool import Spool, State

START_SECONDS = 240.0
TEMPERATURE = 421.0
"""K."""

PIXEL = 150e-6
"""m: 256 of them see what 512 of the Eiger's do."""


class Scan(NamedTuple):
    """One run of the beamline. Times are Unix times, s."""

    uid: str
    stopped: float
    """When the RunEngine handed out the stop document."""
    seconds: float
    """From the first message of the plan to its end."""


class Place(NamedTuple):
    """Where a beamline leaves what it measures."""

    frames: Path
    journals: Path
    raw: Callable[[], Any]
    """The catalog's container of raw runs. A function: who starts the catalog anew gives it another address."""


class Service:
    """A running `gbx serve` and the servers that it started."""

    def __init__(self, folder: Path, *, rois: int, **serve: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.directory = folder / "serve"
        self.catalog_directory = folder / "catalog"
        self._log = folder / "serve.jsonl"
        config = folder / "gbx.yaml"
        places = {
            "catalog": {"directory": str(self.catalog_directory)},
            "models": {"directory": str(folder / "models")},
            "serve": {"directory": str(self.directory), "health": {"port": 0}} | serve,
        }
        config.write_text(yaml.safe_dump({"analysis": analysis(rois)} | places))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(Path(sys.executable).with_name("gbx")), "serve", "--config", str(config)],
                stdout=log,
                stderr=log,
                # A service has the cores of its machine; one thread is for timing our kernels beside those of peers.
                env={
                    name: value
                    for name, value in os.environ.items()
                    if not name.startswith("PREFECT") and not name.endswith("_THREADS")
                },
            )
        self._ready()
        self.spool = Spool(self.directory)

    @property
    def place(self) -> Place:
        """For a beamline beside it."""
        return Place(self.catalog_directory / "frames" / "scans", self.folder / "journals", self._raw)

    def close(self) -> None:
        """End it in order."""
        self.spool.close()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60.0)

    def pids(self) -> dict[str, int]:
        """Processes by what they are."""
        said = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        started = {line["message"].removesuffix(" is started"): line["pid"] for line in said if "pid" in line}
        return {"service": self._process.pid, **started, "tiled server": int(self._server()["pid"])}

    @contextmanager
    def catalog(self) -> Iterator[Catalog]:
        """Its catalog, as a reader sees it."""
        server = self._server()
        catalog = connect(server["uri"], server["api_key"])
        try:
            yield catalog
        finally:
            catalog.close()

    def done(self, uid: str) -> bool:
        """Whether the queue has nothing more to do for a run: its report is drawn."""
        return any(job.selected and job.state is State.DONE for job in self.spool.jobs(run=uid))

    def _raw(self) -> Any:
        server = self._server()
        return connect(server["uri"], server["api_key"]).raw

    def _server(self) -> dict[str, Any]:
        return json.loads((self.catalog_directory / "server.json").read_text())

    def _ready(self) -> None:
        log = self.directory / "logs" / "runner.log"
        wait_for(lambda: log.exists() and "ready for flow runs" in log.read_text(), START_SECONDS)


class Beamline:
    """A RunEngine with a simulated Eiger that shows the same movie in each scan.

    Args:
        place: Where it writes to.
        movie: (N, y, x) counts.
        frame_time: s of the detector's clock.
        acceleration: Detector seconds per real second; None is as fast as the disk allows.
    """

    def __init__(
        self, place: Place, movie: NDArray[np.uint16], *, frame_time: float, acceleration: float | None
    ) -> None:
        self._movie = movie
        self._frame_time = frame_time
        self._feed = ReplayFeed(movie)
        shape = movie.shape[1:]
        self._eiger: Any = SimulatedEiger(
            directory=place.frames,
            feed=self._feed,
            geometry=_geometry((shape[0], shape[1])),
            acceleration=acceleration,
        )
        self._engine, self._writer = make_run_engine(place.raw, backup_directory=place.journals)
        self._stopped: dict[str, float] = {}
        self._engine.subscribe(lambda _name, doc: self._stopped.__setitem__(doc["run_start"], time.time()), "stop")

    def take(self, sample: str) -> Scan:
        """One scan."""
        self._feed.rewind()
        began = time.monotonic()
        plan = count_series(
            self._eiger,
            frames=len(self._movie),
            frame_time=self._frame_time,
            sample=sample,
            md={"temperature": TEMPERATURE},
        )
        outcome: Any = self._engine(plan)
        return Scan(outcome[0], self._stopped[outcome[0]], time.monotonic() - began)

    def close(self) -> None:
        """Let the writer end."""
        self._writer.close()


def speckles(frames: int, side: int, *, frame_time: float) -> NDArray[np.uint16]:
    """(frames, side, side) counts of speckles that move slowly."""
    movie = SpeckleMovie(
        (side, side), frames, rate=2e-3, modes=4, mean_counts=0.3, frame_time=frame_time, seed=20261125
    )
    return np.concatenate([movie.read(start, min(start + 100, frames)) for start in range(0, frames, 100)]).astype(
        np.uint16
    )


def wait_for(ready: Callable[[], object], seconds: float, *, every: float = 0.1) -> float:
    """Wait until ``ready``; the Unix time, s.

    Raises:
        TimeoutError: it was not within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not ready within {seconds:.0f} s")
        threading.Event().wait(every)
    return time.time()


def analysis(rois: int) -> dict[str, Any]:
    """Settings of an analysis in this many q-ROIs, with the model that comes with GBX."""
    edges = np.linspace(0.0385, 0.0515, rois + 1).round(6).tolist()
    boxes = [{"q_par": [low, high], "q_z": [0.0225, 0.0325]} for low, high in pairwise(edges)]
    return {
        "geometry": {"mode": "gisaxs", "incidence_deg": 0.25, "critical_angle_deg": 0.186},
        "rois": {"boxes": boxes},
    }


def _geometry(shape: tuple[int, int]) -> Geometry:
    """Where the demo's detector stands, beside the beam."""
    return Geometry(
        shape=shape,
        beam_center_x=-500.0,
        beam_center_y=506.0,
        distance=10.08,
        wavelength=1.285e-10,
        pixel_size_x=PIXEL,
        pixel_size_y=PIXEL,
    )
