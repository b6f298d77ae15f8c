"""Runs with the event streams of a beamline: baseline, monitors and flyers with keys, units and clocks of their own.

The frames are taken with a real RunEngine and the simulated Eiger; its documents then get the times that a series in
real time would have, and the streams beside them, before they are written to a real catalog.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import bluesky.plans as bp
import numpy as np
from bluesky import RunEngine
from bluesky_tiled_plugins.writing.tiled_writer import TiledWriter
from numpy.typing import NDArray
from tiled.client.container import Container

from gbx_beamline.frames import open_series
from gbx_bluesky.eiger import SimulatedEiger
from gbx_bluesky.feeds import ReplayFeed
from gbx_bluesky.legacy_eiger import SPEC_TO_MIMETYPE, EigerNormalizer


class Column(NamedTuple):
    """Readings of one data key."""

    times: Sequence[float]
    """s since the first frame, by the clock of the beamline."""
    values: Sequence[Any]
    units: str | None = None


@dataclass(frozen=True)
class BeamlineRun:
    uid: str
    first_frame: float
    """Unix s."""


def take(
    raw: Container,
    folder: Path,
    counts: NDArray[np.unsignedinteger[Any]],
    *,
    frame_time: float,
    streams: Mapping[str, Mapping[str, Column]],
    start: Mapping[str, Any],
) -> BeamlineRun:
    """One series with the streams beside it; all keys of a stream have the same times."""
    eiger = SimulatedEiger(directory=folder, feed=ReplayFeed(counts), frames_per_file=len(counts))
    settings: Any = eiger.cam
    settings.num_images.put(len(counts))
    settings.acquire_period.put(frame_time)
    documents: list[tuple[str, Any]] = []
    engine = RunEngine()
    outcome: Any = engine(bp.count([eiger]), lambda name, doc: documents.append((name, dict(doc))), **start)
    uid = outcome[0]
    resource = next(doc for name, doc in documents if name == "stream_resource")
    master = Path(resource["uri"].removeprefix("file://localhost"))
    # A real detector writes when its series began; the simulated one takes all frames at that moment.
    first = datetime.fromisoformat(open_series(master).metadata["data_collection_date"]).timestamp()
    ended = first + len(counts) * frame_time + 0.5
    sink = TiledWriter(raw, batch_size=10_000, normalizer=EigerNormalizer, spec_to_mimetype=SPEC_TO_MIMETYPE)
    for name, doc in documents:
        if name == "stop":
            _write_streams(sink, uid, first, streams)
            doc["time"] = ended + 1.0
            doc["num_events"] = {**doc["num_events"], **{name: _rows(keys) for name, keys in streams.items()}}
        elif name == "event":
            doc["time"] = ended
        sink(name, doc)
    return BeamlineRun(uid, first)


def _rows(keys: Mapping[str, Column]) -> int:
    return len(next(iter(keys.values())).times)


def _write_streams(sink: Any, uid: str, first: float, streams: Mapping[str, Mapping[str, Column]]) -> None:
    for name, keys in streams.items():
        descriptor = str(uuid.uuid4())
        sink("descriptor", _descriptor(descriptor, uid, name, first, keys))
        for row in range(_rows(keys)):
            when = first + next(iter(keys.values())).times[row]
            event = {
                "uid": str(uuid.uuid4()),
                "descriptor": descriptor,
                "seq_num": row + 1,
                "time": when,
                "data": {key: column.values[row] for key, column in keys.items()},
                "timestamps": {key: first + column.times[row] for key, column in keys.items()},
                "filled": {},
            }
            sink("event", event)


def _descriptor(descriptor: str, uid: str, name: str, first: float, keys: Mapping[str, Column]) -> dict[str, Any]:
    def described(key: str, column: Column) -> dict[str, Any]:
        kind = "string" if isinstance(column.values[0], str) else "number"
        units = {} if column.units is None else {"units": column.units}
        return {"source": f"PV:{key}", "dtype": kind, "shape": [], "object_name": key, **units}

    return {
        "uid": descriptor,
        "run_start": uid,
        "time": first,
        "name": name,
        "data_keys": {key: described(key, column) for key, column in keys.items()},
        "object_keys": {key: [key] for key in keys},
        "configuration": {},
        "hints": {},
    }
