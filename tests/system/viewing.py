"""What the viewer's tests look at: results in a catalog, and a wire to it that can be cut, held and listened to."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from gbx_beamline import open_series, pipeline
from gbx_beamline.catalog import Catalog, TiledSink
from gbx_beamline.config import AnalysisConfig, parse_config
from gbx_beamline.errors import RoiError
from gbx_beamline.learning.embedding import Embedding, find_embedding
from gbx_beamline.learning.store import ModelStore
from gbx_beamline.records import (
    Estimate,
    Flag,
    Inference,
    LiveState,
    Place,
    ScanFailure,
    ScanInference,
    ScanInfo,
    ScanResult,
)
from gbx_beamline.simulation import SpeckleMovie

FRAMES, SIDE = 40, 32
ROIS = ("inner", "outer")


def settings(folder: Path) -> AnalysisConfig:
    """Two q-ROIs as a label image."""
    labels = np.zeros((SIDE, SIDE), dtype=np.int32)
    labels[2:16, 2:30], labels[17:30, 2:30] = 1, 2
    path = folder / "rois.npy"
    np.save(path, labels)
    return parse_config({"analysis": {"rois": {"labels": str(path)}}}).analysis


def result(
    uid: str, chosen: AnalysisConfig, *, started: float, seed: int = 1, temperature: float = 400.0
) -> ScanResult:
    """A real analysis of a simulated movie."""
    movie = SpeckleMovie((SIDE, SIDE), FRAMES, rate=0.05, modes=2, mean_counts=5.0, seed=seed)
    series = open_series(movie.read(0, FRAMES), frame_time=0.5)
    scan = ScanInfo(run_uid=uid, sample="viewed", temperature=temperature, started=started, source="test")
    return pipeline.analyze(series, chosen, scan=scan)


def failure(like: ScanResult, uid: str, *, started: float) -> ScanFailure:
    """A scan that could not be analysed."""
    error = RoiError("q-ROI ring lies off the detector", needed="a q-ROI on it", action="correct analysis.rois")
    return pipeline.failure(replace(like.scan, run_uid=uid, started=started), error, like.provenance)


def picture() -> Embedding:
    """Of the model that comes with the package."""
    store = ModelStore()
    found = find_embedding(store.findings(store.find("default")))
    assert found is not None
    return found


def inference(record: str, scan: ScanInfo) -> ScanInference:
    """An answer of the model that comes with the package, with samples, of which gamma is undetermined."""
    rng = np.random.default_rng(5)
    samples = np.column_stack(
        [10.0 ** rng.normal(-21.8, 0.2, 500), 10.0 ** rng.uniform(17, 20, 500), rng.uniform(0.1, 0.4, 500)]
    )
    estimates = {
        name: Estimate(
            median=float(np.median(one)), low=float(np.quantile(one, 0.05)), high=float(np.quantile(one, 0.95))
        )
        for name, one in zip(("diffusivity", "gamma", "gb_fraction"), samples.T, strict=True)
    }
    here = picture().coordinates[0]
    outcome = Inference(
        model_id=str(ModelStore().default_id()),
        parameters=estimates,
        samples=samples,
        flags=(Flag(code="undetermined:gamma", text="gamma is undetermined"),),
        probabilities={"grain_boundary": 0.8, "static": 0.2},
        temperature=scan.temperature or 400.0,
        q=np.array([4.5e8]),
        q_convention="parallel",
        # That of one of the model's own simulations.
        place=Place(x=float(here[0]), y=float(here[1]), remoteness=1.2),
    )
    return ScanInference(record=record, scan=scan, outcome=outcome, package_version="0")


def live_state(like: ScanResult, uid: str, frames: int) -> LiveState:
    """What is known of a scan after so many frames."""
    maps = like.two_time.g2[:, :frames, :frames].copy()
    index = np.arange(frames)
    maps[:, index, index] = np.nan
    return LiveState(
        scan=replace(like.scan, run_uid=uid),
        rule="default",
        revision=0,
        state="running",
        changed=float(like.scan.started or 0.0) + frames,
        frames=frames,
        expected=FRAMES,
        frame_time=0.5,
        names=like.two_time.names,
        q_par=np.array([4.5e8, 5e8]),
        q_z=np.array([0.0, 0.0]),
        pixels=like.two_time.pixels,
        mean_counts=like.two_time.mean_counts,
        contrast=like.two_time.contrast,
        two_time=maps,
        frame_means=like.two_time.frame_means[:, :frames].copy(),
        image=np.stack([np.full((SIDE, SIDE), float(frames)), like.rois.labels]).astype(np.float32),
        image_frame=frames - 1,
        geometry=like.geometry,
    )


def all_nan(like: ScanResult, uid: str, *, started: float) -> ScanResult:
    """A result of which no pair of frames is valid."""
    tt = like.two_time
    empty = replace(
        tt, g2=np.full_like(tt.g2, np.nan), diagonal=np.full_like(tt.diagonal, np.nan), group_maps=None, groups=()
    )
    return replace(like, two_time=empty, scan=replace(like.scan, run_uid=uid, started=started))


def publish_foreign(catalog: Catalog, like: ScanResult, uid: str, *, started: float) -> None:
    """A pointer as another release would have written it, of which nothing else can be relied on."""
    records: Any = catalog.processed["records"]
    facts = {"schema_version": 99, "run_uid": uid, "sample": "viewed", "started": started, "created": started}
    records.create_container(f"{uid}-other-9", metadata=facts | {"status": "complete", "rois": "elsewhere"})


def drop_array(catalog: Catalog, key: str, name: str) -> None:
    """Lose an array of a published record."""
    attempt: Any = catalog.processed["attempts"][catalog.processed["records"][key].metadata["attempt"]]
    attempt.delete_contents(name, recursive=True, external_only=False)


def publish(catalog: Catalog, outcome: ScanResult | ScanFailure) -> str:
    """Key of the record."""
    return TiledSink(catalog).publish(outcome)


@dataclass
class _Target:
    address: tuple[str, int]


class Wire:
    """A TCP relay to a server: what goes through it can be held back, cut, and is listened to."""

    def __init__(self, uri: str) -> None:
        self._target = _Target(_place(uri))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.open = threading.Event()
        self.open.set()
        self.methods: set[str] = set()
        self._sockets: list[socket.socket] = []
        self._cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break all connections and refuse new ones."""
        self._cut = True
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def mend(self, uri: str) -> None:
        """Carry again, to a server that may be elsewhere."""
        self._target.address = _place(uri)
        self._cut = False

    def close(self) -> None:
        self.open.set()
        self.cut()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._cut:
                    client.close()
                    continue
                server = socket.create_connection(self._target.address)
            except OSError:
                client.close()
                continue
            self._sockets += [client, server]
            threading.Thread(target=self._carry, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._carry, args=(server, client, False), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, asked: bool) -> None:
        try:
            while content := source.recv(65536):
                if asked:
                    found = re.findall(rb"(?m)^(GET|POST|PUT|PATCH|DELETE|HEAD) /", content)
                    self.methods |= {method.decode() for method in found}
                self.open.wait()
                sink.sendall(content)
        except OSError:
            pass
        finally:
            for one in (source, sink):
                with suppress(OSError):
                    one.close()


def _place(uri: str) -> tuple[str, int]:
    parts = urlsplit(uri)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


@contextmanager
def wire_to(uri: str) -> Iterator[Wire]:
    """A wire for the length of the block."""
    wire = Wire(uri)
    try:
        yield wire
    finally:
        wire.close()
