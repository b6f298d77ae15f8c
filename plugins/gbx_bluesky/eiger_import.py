"""A finished Eiger master as the documents of a run, so that it enters the catalog like any scan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import event_model

from gbx_beamline.frames.eiger import EigerFile
from gbx_beamline.frames.layout import read_layout
from gbx_bluesky.eiger_documents import data_keys, stream_resources

DETECTOR = "eiger4m_single"


def master_documents(master: Path, *, uid: str, md: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Documents of a run of one event that holds the master's whole series.

    Args:
        master: Path of the master, where the Tiled server reads it.
        uid: uid of the run.
        md: Further entries of the start document.

    Yields:
        Names and documents, from start to stop.
    """
    file = EigerFile(master)
    frames, rows, columns = file.shape
    with_mask = file.pixel_mask() is not None
    taken = master.stat().st_mtime
    run = event_model.compose_run(uid=uid, time=taken, metadata={"plan_name": "import", "num_points": 1, **md})
    yield "start", _plain(run.start_doc)
    keys: Any = data_keys(DETECTOR, frames, (rows, columns), file.dtype, with_mask=with_mask, source="FILE")
    stream = run.compose_descriptor(name="primary", data_keys=keys, object_keys={DETECTOR: list(keys)})
    yield "descriptor", _plain(stream.descriptor_doc)
    header = replace(file.header, notes=file.lasting_notes)
    resources = stream_resources(DETECTOR, master, header, file.dtype, with_mask=with_mask, frames_per_file=_step(file))
    for resource in resources:
        yield "stream_resource", {**resource, "run_start": uid}
    for resource in resources:
        yield (
            "stream_datum",
            {
                "uid": f"{resource['uid']}/0",
                "stream_resource": resource["uid"],
                "descriptor": stream.descriptor_doc["uid"],
                "indices": {"start": 0, "stop": 1},
                "seq_nums": {"start": 1, "stop": 2},
            },
        )
    yield "stop", _plain(run.compose_stop(time=taken))


def _step(file: EigerFile) -> int:
    """The largest step from frame 0 on that meets every data file.

    Readers who cannot open the files look for absent ones by such steps, and files need not hold equally many frames.
    """
    frames = file.shape[0]
    layout = read_layout(
        file.path, expected=file.header.expected_frames, frame_shape=file.header.shape, dtype=file.header.dtype
    )
    edges = {0, frames, *(end for piece in layout.pieces for end in (piece.first, piece.first + piece.count))}
    parts = list(pairwise(sorted(edges)))
    # Neighbouring absent files, and tiles of a frame, are one part here: then their mean is the most to go by.
    longest = max(last - first for first, last in parts)
    step = longest if len(parts) >= len(file.data_files) else -(-frames // len(file.data_files))
    while any(-(-first // step) * step >= last for first, last in parts):
        step -= 1
    return step


def _plain(document: Any) -> dict[str, Any]:
    return dict(document)
