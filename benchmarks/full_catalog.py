"""A catalog with as many results as years give, made in minutes: real records, copied row by row in the database.

Through HTTP 100,000 results take hours. One run, one result and one inference are published as always; then the server
is stopped, and their rows are copied with other uids, samples and times. Lists and queries meet what they would meet;
the arrays of all copies are those of the first.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from gbx_beamline import analyze, assemble, open_series
from gbx_beamline.catalog import TiledSink
from gbx_beamline.config import Config, parse_config
from gbx_beamline.errors import InputError
from gbx_beamline.pipeline import failure, provenance
from gbx_beamline.simulation import SpeckleMovie

SAMPLES = 1000
YEAR = 365.25 * 86400.0
_AT_ONCE = 2000

SIDE, FRAMES = 48, 64
ROIS = 4


def settings(folder: Path) -> Config:
    """Four q-ROIs, as a beamline has."""
    rings = [{"q": [low, round(low + 2e-4, 6)]} for low in (16e-4, 19e-4, 22e-4, 25e-4)]
    geometry = {
        "mode": "transmission",
        "beam_center_x": -40,
        "beam_center_y": 24,
        "distance_m": 10.08,
        "wavelength_angstrom": 1.285,
        "pixel_size_um": 75,
    }
    analysis = {"rois": {"rings": rings[:ROIS]}, "geometry": geometry}
    places = {"catalog": {"directory": str(folder / "catalog")}, "models": {"infer": False}}
    return parse_config({"analysis": analysis, **places})


def fill(config: Config, count: int) -> list[str]:
    """Make a catalog with ``count`` runs, each with a result.

    Args:
        config: As ``settings`` gives.
        count: How many.

    Returns:
        uids of the runs, oldest first.
    """
    movie = SpeckleMovie((SIDE, SIDE), FRAMES, rate=0.01, modes=4, mean_counts=1.0, seed=1)
    result = analyze(open_series(movie.read(0, FRAMES), frame_time=0.5), config)
    first = replace(result, scan=replace(result.scan, run_uid=str(uuid.uuid4()), sample="first", started=time.time()))
    dark = replace(first.scan, run_uid=str(uuid.uuid4()))
    with assemble.open_catalog(config) as catalog:
        sink = TiledSink(catalog)
        key = sink.publish(first)
        sink.publish(failure(dark, InputError("dark", needed="light", action="open"), provenance(config.analysis)))
        catalog.raw.create_container(first.scan.run_uid, metadata=_run(first.scan.run_uid, "first", time.time()))
    uids = [str(uuid.uuid4()) for _ in range(count)]
    with closing(sqlite3.connect(config.catalog.directory / "catalog.db")) as database:
        database.execute("PRAGMA synchronous=OFF")
        for path in (("processed", "records"), ("processed", "attempts"), ("raw",)):
            _copy(database, path, uids, first.scan.run_uid, key)
        database.execute("ANALYZE")
        database.commit()
    return uids


def _copy(database: sqlite3.Connection, path: Sequence[str], uids: list[str], run: str, key: str) -> None:
    parent = _node(database, path)
    template = {"records": key, "raw": run}.get(path[-1])
    where, given = ("AND key = ?", (parent, template)) if template else ("", (parent,))
    family, metadata, specs = database.execute(
        f"SELECT structure_family, metadata, specs FROM nodes WHERE parent = ? {where} LIMIT 1", given
    ).fetchone()
    make = {"records": _record, "raw": _raw, "attempts": _attempt}[path[-1]]
    now = time.time()
    rows = (
        (parent, *make(json.loads(metadata), uid, key, number, now - YEAR * (1.0 - number / len(uids))), family, specs)
        for number, uid in enumerate(uids)
    )
    statement = "INSERT INTO nodes (parent, key, metadata, structure_family, specs) VALUES (?, ?, ?, ?, ?)"
    for some in _pieces(rows):
        database.executemany(statement, some)
        database.commit()


def _node(database: sqlite3.Connection, path: Sequence[str]) -> int:
    node = 0
    for key in path:
        (node,) = database.execute("SELECT id FROM nodes WHERE parent = ? AND key = ?", (node, key)).fetchone()
    return node


def _record(metadata: dict[str, Any], uid: str, key: str, number: int, moment: float) -> tuple[str, str]:
    name = uid + key[36:]
    sample = f"sample {number % SAMPLES:04d}"
    metadata |= {"run_uid": uid, "identity": name, "sample": sample, "started": moment, "created": moment + 10.0}
    metadata["scan"] |= {"run_uid": uid, "sample": sample, "started": moment}
    return name, json.dumps(metadata)


def _raw(metadata: dict[str, Any], uid: str, key: str, number: int, moment: float) -> tuple[str, str]:
    del metadata, key
    return uid, json.dumps(_run(uid, f"sample {number % SAMPLES:04d}", moment))


def _attempt(metadata: dict[str, Any], uid: str, key: str, number: int, moment: float) -> tuple[str, str]:
    del number
    return str(uuid.uuid4()), json.dumps(metadata | {"identity": uid + key[36:], "created": moment, "published": True})


def _run(uid: str, sample: str, moment: float) -> dict[str, Any]:
    start = {"uid": uid, "time": moment, "sample": sample, "plan_name": "count", "scan_id": 1, "data_session": "pass-1"}
    return {"start": start, "stop": {"uid": str(uuid.uuid4()), "time": moment + 5.0, "exit_status": "success"}}


def _pieces(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while some := list(islice(rows, _AT_ONCE)):
        yield some
