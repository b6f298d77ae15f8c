"""A catalog with something of each kind in it, and all that it holds, for tests of what brings it back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from eiger_runs import take
from test_inference_records import answer
from tiled.client import from_uri

from gbx_beamline import analyze, open_series
from gbx_beamline.catalog import TiledSink, connect
from gbx_beamline.config import AnalysisConfig, parse_config
from gbx_beamline.errors import InputError
from gbx_beamline.pipeline import failure, provenance
from gbx_beamline.records import ScanResult
from gbx_beamline.samples import Change, change_sample
from gbx_beamline.simulation import SpeckleMovie
from gbx_tiled.embedded import CatalogAddress


def small_settings(folder: Path) -> AnalysisConfig:
    """Settings with two q-ROIs on 32 x 32 pixels."""
    labels = np.zeros((32, 32), dtype=np.int32)
    labels[2:14, 2:30], labels[18:30, 2:30] = 1, 2
    np.save(folder / "rois.npy", labels)
    return parse_config({"analysis": {"rois": {"labels": str(folder / "rois.npy")}}}).analysis


def small_result(settings: AnalysisConfig, *, frames: int = 24) -> ScanResult:
    """A result in a second."""
    movie = SpeckleMovie((32, 32), frames, rate=0.05, modes=2, mean_counts=3.0, seed=1)
    return analyze(open_series(movie.read(0, frames), frame_time=0.5), settings)


def of_run(result: ScanResult, uid: str, **scan: Any) -> ScanResult:
    """The same of another run."""
    return dataclasses.replace(result, scan=dataclasses.replace(result.scan, run_uid=uid, **scan))


def fill(address: CatalogAddress, directory: Path, folder: Path) -> None:
    """A raw run with frames and a table, results on disk and through HTTP, a failure, an inference, a sample's mask."""
    settings = small_settings(folder)
    result = small_result(settings)
    root = from_uri(address.uri, api_key=address.api_key, trust_env=False)
    take(root["raw"], directory / "frames" / "runs", per_series=2)
    for way, store in (("disk", address.store), ("http", None)):
        catalog = connect(address.uri, address.api_key, store=store)
        sink = TiledSink(catalog)
        given = of_run(result, f"run-over-{way}", sample="gold")
        key = sink.publish(given)
        sink.publish_inference(answer(key, given))
        scan = of_run(result, f"failed-over-{way}").scan
        sink.publish(failure(scan, InputError("dark", needed="light", action="open"), provenance(settings)))
        mask = np.ones((32, 32), dtype=bool)
        mask[3:5, int(store is None)] = False
        change_sample(catalog, "gold", Change(mask=mask), who="night shift", why="hot pixels")
        catalog.close()
    root.context.close()


def everything(address: CatalogAddress) -> dict[str, Any]:
    """Each node of a catalog by its path: metadata, specs, and content bit by bit."""
    root = from_uri(address.uri, api_key=address.api_key, trust_env=False)
    found: dict[str, Any] = {}

    def descend(node: Any, path: str) -> None:
        attributes = node.item["attributes"]
        content: Any = None
        if attributes["structure_family"] == "array":
            array = np.asarray(node.read())
            content = array.dtype.str, array.shape, array.tobytes()
        elif attributes["structure_family"] == "table":
            content = node.read().to_json()
        found[path] = dict(node.metadata), [str(spec) for spec in node.specs], content
        if attributes["structure_family"] in ("container", "composite"):
            for key in node:
                descend(node[key], f"{path}/{key}")

    for key in ("raw", "processed"):
        descend(root[key], key)
    root.context.close()
    return found
