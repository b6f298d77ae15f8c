"""A run's documents with one part changed."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.values import mutate_value, ours

_START = {
    "uid": "11111111-2222-3333-4444-555555555555",
    "time": 1.7e9,
    "plan_name": "xpcs",
    "detectors": ["eiger4m_single"],
    "sample": {"name": "Si wafer"},
    "temperature": 400.0,
    "T_sample": "126.85",
    "data path": "/data",
    "file prefix": "scan_1",
    "sequence id": "1234.0",
    "data_session": "pass-100001",
    "tiled_access_tags": ["pass-100001"],
    "truth": {"gamma": 3e18},
}
_STOP = {"uid": "s", "run_start": _START["uid"], "time": 1.7e9, "exit_status": "success", "num_events": {"primary": 1}}
_DESCRIPTOR = {
    "uid": "d",
    "data_keys": {"eiger_image": {"shape": [4, 5, 7], "dtype": "array", "dtype_numpy": "<u2", "external": "STREAM:"}},
}
_RESOURCE = {
    "uid": "r",
    "data_key": "eiger_image",
    "mimetype": "application/x-hdf5;type=eiger-master",
    "uri": "file://localhost/data/scan_1_master.h5",
    "parameters": {
        "dataset": "images",
        "spec": "AD_EIGER2",
        "seq_id": 3,
        "images_per_file": 4,
        "header": {"notes": []},
    },
}
_DATUM = {"uid": "x", "stream_resource": "r", "indices": {"start": 0, "stop": 1}, "seq_nums": {"start": 0, "stop": 0}}


def write_documents(draw: random.Random, folder: Path) -> Path:
    """The documents of a run, one of them changed; the seed goes along, since not all of it is JSON."""
    path = folder / "documents.json"
    state = base64.b64encode(draw.randbytes(16)).decode()
    path.write_text(json.dumps({"seed": state}))
    return path


def read_documents(path: Path, root: Path) -> None:
    """As triggers, selection rules, the live service, the run's writer and the server do."""
    from tiled.structures.core import StructureFamily
    from tiled.structures.data_source import Asset, DataSource, Management

    from gbx_beamline import pipeline
    from gbx_beamline.catalog.access import run_tags
    from gbx_beamline.config import SelectionRule
    from gbx_bluesky.consolidator import EigerConsolidator
    from gbx_services.live.announced import announced
    from gbx_services.triggers.run_engine import reported
    from gbx_tiled.adapter import EigerAdapter

    draw = random.Random(json.loads(path.read_text())["seed"])
    whole = {
        "start": {**_START, "data path": str(root)},
        "stop": _STOP,
        "descriptor": _DESCRIPTOR,
        "resource": _RESOURCE,
    }
    changed: Any = mutate_value(draw, whole)
    documents = {
        name: changed.get(name) if isinstance(changed, dict) and isinstance(changed.get(name), dict) else good
        for name, good in whole.items()
    }
    start, stop = documents["start"], documents["stop"]
    reported(stop)
    for rule in (SelectionRule(), SelectionRule(plans=("x*",), detectors=("eiger*",), samples=("Si*",))):
        rule.wants(start)
    run_tags(start)
    pipeline.describe_start({**start, "uid": start.get("uid", "")}, source="fuzz")
    if (where := announced(start)) is not None:
        ours(lambda: where.files([root]))
    ours(lambda: EigerConsolidator(documents["resource"], documents["descriptor"]).get_data_source())
    asset_uri = documents["resource"].get("uri")
    if isinstance(asset_uri, str) and isinstance(documents["resource"].get("parameters"), dict):
        for uri in (asset_uri, f"file://localhost{root}/../outside/secret.h5", f"file://localhost{root}/way_out.h5"):
            asset = Asset(data_uri=uri, is_directory=False, parameter="data_uris", num=0)
            structure = _structure()
            source: Any = DataSource(
                structure_family=StructureFamily.array,
                structure=structure,
                mimetype=_RESOURCE["mimetype"],
                management=Management.external,
                assets=[asset],
                parameters={},
            )
            ours(lambda source=source: EigerAdapter.from_catalog(source, _Node()).read())


class _Node:
    metadata_: dict[str, Any] = {}  # noqa: RUF012
    specs: list[Any] = []  # noqa: RUF012


def _structure() -> Any:
    from tiled.structures.array import ArrayStructure, BuiltinDtype

    return ArrayStructure(
        data_type=BuiltinDtype.from_numpy_dtype(np.dtype(np.uint16)), shape=(4, 5, 7), chunks=((4,), (5,), (7,))
    )
