"""A frame series from an opened Tiled node: slices over HTTP, or the detector's files where they are on local disk.

Both ways give the same frames, mask, frame time and geometry. Tiled itself is not imported: any client that
behaves like one will do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlparse

import numpy as np

from gbx_beamline.errors import SeriesError
from gbx_beamline.frames.eiger import EigerFile, choose_frame_time
from gbx_beamline.frames.mimetype import EIGER_MIMETYPE
from gbx_beamline.frames.node_facts import filled_from_configuration, header_from_facts
from gbx_beamline.frames.node_frames import JoinedFiles, NodeFrames, PresentFrames, absent_on_server
from gbx_beamline.frames.quarantine import examine
from gbx_beamline.frames.series import Series, build_series
from gbx_beamline.untrusted import lies_below

IMAGE_SUFFIX = "_image"
MASK_SUFFIX = "_pixel_mask"


def series_from_node(
    node: Any,
    *,
    allow_incomplete: bool = False,
    mask: np.ndarray[Any, Any] | None = None,
    frame_time: float | None = None,
    prefer: Literal["direct", "http"] = "direct",
    roots: Sequence[Path] | None = None,
) -> Series:
    """Open the frames behind a Tiled node.

    Args:
        node: An array client of frames, or the container of a run or of its stream, where the image is the array
            named ``*_image``.
        allow_incomplete: As in :func:`gbx_beamline.frames.open_series`.
        mask: (y, x) bool, True = good, beside the detector's.
        frame_time: s; wins over what is stored.
        prefer: "direct" reads the registered files where they are readable on this machine; "http" never does.
        roots: Folders below which registered files are read directly, after a process of its own has looked at them;
            frames of others come over HTTP. None trusts the catalog with any path and any file.

    Returns:
        The series; its metadata holds the run's start document as ``start``.

    Raises:
        SeriesError: no frames in this node, or files that do not hold what was registered.
        MissingFramesError: on reading, where data files are absent and ``allow_incomplete`` is False.
    """
    image, stream, start = _find(node)
    key = image.item["id"]
    uid = start.get("uid")
    name = f"{key} of run {uid[:8]}" if uid else f"{key} in Tiled"
    mimetype, parameters, uris = _source_of(image)
    _check_rank(image, name)
    files = _local_files(uris, roots) if prefer == "direct" and mimetype == EIGER_MIMETYPE else None
    if files is not None:
        if roots is not None:
            examine(files, roots)
        joined = JoinedFiles([EigerFile(path, roots=roots) for path in files])
        header, pixel_mask = joined.files[0].header, joined.files[0].pixel_mask()
        reader: JoinedFiles | NodeFrames = joined
        frames = NodeFrames.frames_of(image)
        _check_registered(joined, image, name)
        present, missing = joined.present[:frames], joined.missing
        notes = joined.lasting_notes if present.all() else joined.notes
    else:
        reader = NodeFrames(image, name)
        facts = parameters.get("header")
        header = header_from_facts(facts if isinstance(facts, Mapping) else {})
        pixel_mask = _mask_of(stream, key)
        found = absent_on_server(reader, parameters.get("images_per_file"), name)
        present, missing = found.present, found.missing
        notes = header.notes if found.notes is None else found.notes
    if present.all():
        missing = ()
    configuration = _configuration(stream)
    header = filled_from_configuration(header, configuration, key.removesuffix(IMAGE_SUFFIX))
    seconds, said = choose_frame_time(header, frame_time)
    if allow_incomplete and present.any():
        present = present[: int(np.flatnonzero(present)[-1]) + 1]
    source = PresentFrames(reader, present, missing, name, allow_incomplete=allow_incomplete)
    return build_series(
        source,
        name=name,
        geometry=header.geometry(source.shape[1:]),
        frame_time=seconds,
        present=present,
        missing=missing,
        notes=notes + said,
        pixel_mask=pixel_mask,
        bit_depth=header.bit_depth,
        mask=mask,
        metadata={**header.metadata, "start": dict(start)},
        run_uid=uid,
        allow_incomplete=allow_incomplete,
    )


def _find(node: Any) -> tuple[Any, Any, Mapping[str, Any]]:
    """The image, the container it lies in, and the start document, {} where there is none."""
    if node.structure_family == "array":
        stream = node.parent
        return node, stream, _start_of(stream)
    seen: list[str] = []
    for container in _containers(node):
        # Streams present the columns of their tables as keys of their own; the plain container shows nodes only.
        plain = getattr(container, "base", container)
        keys = [key for key in plain if key.endswith(IMAGE_SUFFIX)]
        images = [image for key in keys if (image := plain[key]).structure_family == "array" and len(image.shape) >= 3]
        if len(images) == 1:
            # A run's own node has it at hand; a stream's parent is another request.
            return images[0], plain, _start_of(node) or _start_of(container)
        seen += keys
    found = f"images {', '.join(seen)}" if seen else "no image series"
    raise SeriesError(
        f"the Tiled node {node.item['id'] or '/'} holds {found}",
        needed=f"one array named *{IMAGE_SUFFIX} with at least three dimensions",
        action="open the array's own node",
    )


def _containers(node: Any) -> Iterator[Any]:
    """Where images may be, the most likely first: a run's primary stream, its other streams, the node itself.

    Each is asked for when it is its turn: the server needs some 20 ms for one.
    """
    plain = getattr(node, "base", node)
    # Not of the container itself: a list asks how long it will be, another request.
    names = list(iter(plain))
    if "streams" in names:
        yield from _containers(plain["streams"])
        return
    names.sort(key=lambda name: name != "primary")
    for name in names[:16]:
        # Runs that come from a databroker show the data of a stream one level down.
        child = child if hasattr(child := plain[name], "structure_family") else child["data"]
        if child.structure_family == "container":
            yield child
    yield node


def _start_of(container: Any) -> Mapping[str, Any]:
    """Start document of the run that a node belongs to."""
    for _ in range(3):
        if container is None:
            break
        start = container.metadata.get("start")
        if isinstance(start, Mapping):
            return start
        container = container.parent if container.item["id"] else None
    return {}


def _source_of(image: Any) -> tuple[str, Mapping[str, Any], list[str]]:
    """Mimetype, parameters and file URIs of an array, in order; empty where the server does not tell."""
    sources = image.include_data_sources().data_sources() or []
    if len(sources) != 1:
        return "", {}, []
    assets = [asset for asset in sources[0].assets if asset.parameter == "data_uris"]
    assets.sort(key=lambda asset: asset.num or 0)
    return sources[0].mimetype, sources[0].parameters or {}, [asset.data_uri for asset in assets]


def _local_files(uris: list[str], roots: Sequence[Path] | None) -> list[Path] | None:
    """Paths of the files, or None where one of them is not readable on this machine, or not to be read here."""
    paths: list[Path] = []
    for uri in uris:
        parsed = urlparse(uri)
        if parsed.scheme != "file" or parsed.hostname not in (None, "localhost"):
            return None
        # Tiled writes paths into URIs as they are, other writers quote them.
        found = [path for text in (parsed.path, unquote(parsed.path)) if _readable(path := Path(text))]
        if not found or (roots is not None and lies_below(found[0], roots) is None):
            return None
        paths.append(found[0])
    return paths or None


def _readable(path: Path) -> bool:
    try:
        return os.access(path, os.R_OK)
    except ValueError:  # a zero byte in the name
        return False


def _check_rank(image: Any, name: str) -> None:
    if len(image.shape) < 3:
        raise SeriesError(
            f"{name} has shape {tuple(image.shape)}",
            needed="a series of images, (frames, rows, columns)",
            action="open the node of the image series",
        )


def _check_registered(joined: JoinedFiles, image: Any, name: str) -> None:
    """Files may hold more frames than are registered yet, never fewer or others."""
    frames, *pixels = joined.shape
    registered = (NodeFrames.frames_of(image), *image.shape[-2:])
    if frames < registered[0] or tuple(pixels) != registered[1:] or joined.dtype != image.dtype:
        raise SeriesError(
            f"the files of {name} hold {joined.dtype} of shape {joined.shape}, "
            f"registered was {image.dtype} of shape {registered}",
            needed="the files that were registered",
            action="restore them, or register the series anew",
        )


def _mask_of(stream: Any, key: str) -> np.ndarray[Any, Any] | None:
    name = key.removesuffix(IMAGE_SUFFIX) + MASK_SUFFIX
    plain = getattr(stream, "base", stream)
    return np.asarray(plain[name][:]) if name in plain else None


def _configuration(stream: Any) -> Mapping[str, Any]:
    """Configuration values of all devices of a stream by their full names."""
    values: dict[str, Any] = {}
    for device in (stream.metadata.get("configuration") or {}).values():
        values.update(device.get("data") or {})
    return values
