"""Scans as a beamtime leaves them: records with a model's answers beside them, in a catalog of their own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from tiled.client.container import Container

from gbx_beamline.catalog import Catalog, TiledSink, connect
from gbx_beamline.config import AnalysisConfig
from gbx_beamline.pipeline import adopt
from gbx_beamline.records import Estimate, Flag, Inference, Refusal, ScanInference, ScanInfo, ScanResult, TwoTime
from gbx_beamline.simulation import GrainBoundary
from gbx_tiled.embedded import CatalogAddress

FRAMES, WINDOW = 64, 2500.0
Q_PAR, Q_Z = 4.5e8, 2.7e8


@contextmanager
def own_catalog(root: Container, address: CatalogAddress) -> Iterator[tuple[Catalog, dict[str, str]]]:
    """A catalog in which nobody else writes, and its part of the configuration."""
    name = f"own-{uuid.uuid4().hex[:8]}"
    parent: Any = root.create_container(name)
    parent.create_container("raw")
    parent.create_container("processed")
    paths = {"raw": f"{name}/raw", "processed": f"{name}/processed"}
    catalog = connect(address.uri, address.api_key, raw=paths["raw"], processed=paths["processed"], store=address.store)
    try:
        yield catalog, {"uri": address.uri, "store": str(address.store), **paths}
    finally:
        catalog.close()


@cache
def _measured() -> ScanResult:
    """A scan of grain boundaries without noise."""
    boundary = GrainBoundary(gamma=1e18, diffusivity=1e-22, gb_fraction=0.3, temperature=400.0, bow=4e-8)
    tt = TwoTime(
        g2=boundary.two_time(seed=1, size=FRAMES).astype(np.float32)[None],
        diagonal=np.full((1, FRAMES), 1.0 + boundary.contrast),
        frame_time=WINDOW / FRAMES,
        pixels=np.array([8000]),
        mean_counts=np.array([2.0]),
        frame_means=np.full((1, FRAMES), 2.0),
        valid_frames=np.ones(FRAMES, dtype=bool),
        static_baseline=np.ones(1),
        saturated=np.zeros(1, dtype=np.int64),
        q_par=np.array([Q_PAR]),
        q_z=np.array([Q_Z]),
        names=("qr45",),
    )
    result = adopt(tt, (), ScanInfo(run_uid="measured", temperature=400.0), AnalysisConfig())
    return replace(result, flags=(), rois=replace(result.rois, q_par=np.array([Q_PAR]), q_z=np.array([Q_Z])))


def measured(uid: str, seed: int, *, counts: float = 2.0, **scan: Any) -> ScanResult:
    """One scan with noise of its own."""
    known = _measured()
    noise = np.random.default_rng(seed).normal(0.0, 4e-3 / counts, (FRAMES, FRAMES))
    g2 = (known.two_time.g2 + (noise + noise.T)[None] / np.sqrt(2.0)).astype(np.float32)
    tt = replace(known.two_time, g2=g2, mean_counts=np.array([counts]), frame_means=np.full((1, FRAMES), counts))
    info = ScanInfo(run_uid=uid, **{"sample": f"Si {seed % 2}", "temperature": 400.0, "started": 1e9 + seed} | scan)
    return replace(known, scan=info, two_time=tt)


def publish(
    sink: TiledSink, result: ScanResult, model: str, *codes: str, refused: str = "", ood_score: float = 0.5
) -> str:
    """A record and what a model says of it, with these flags; key of the record."""
    key = sink.publish(result)
    outcome: Inference | Refusal = Refusal(model_id=model, kind="ContractError", reason=refused)
    if not refused:
        estimates = {"diffusivity": 1e-22, "gamma": 1e18, "gb_fraction": 0.1}
        outcome = Inference(
            model_id=model,
            parameters={name: Estimate(low=it, median=2 * it, high=3 * it) for name, it in estimates.items()},
            samples=np.array([[1e-22, 1e18, 0.2]]),
            flags=tuple(Flag(code=code, text=code) for code in codes),
            ood_score=ood_score,
            probabilities={"grain_boundary": 0.9, "static": 0.1},
            temperature=400.0,
            q=np.array([Q_PAR]),
            q_convention="parallel",
        )
    said = ScanInference(record=key, scan=result.scan, outcome=outcome, package_version="0.1.0")
    sink.publish_inference(said)
    return key


def publish_many(catalog: Catalog, model: str, count: int, *, first: int = 0, **facts: Any) -> list[str]:
    """So many scans that the rule accepts; keys of their records."""
    sink = TiledSink(catalog)
    return [
        publish(sink, measured(f"beamtime-{number:04d}", number, **facts), model, "undetermined:gamma")
        for number in range(first, first + count)
    ]
