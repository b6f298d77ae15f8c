"""Eiger masters for TiledWriter: what Bluesky's documents say of them becomes one array node per data key.

Importing this module makes TiledWriter know them, in the process where the documents are written. The server reads
what is registered here with ``gbx_tiled.adapter.EigerAdapter``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from bluesky_tiled_plugins.writing.consolidators import CONSOLIDATOR_REGISTRY, Patch
from event_model.documents import EventDescriptor, StreamDatum, StreamResource
from tiled.structures.array import ArrayStructure, BuiltinDtype
from tiled.structures.core import StructureFamily
from tiled.structures.data_source import Asset, DataSource, Management
from tiled.utils import path_from_uri

from gbx_beamline.errors import InputError, SeriesError
from gbx_beamline.frames.eiger import EigerFile, read_header
from gbx_beamline.frames.mimetype import EIGER_MIMETYPE
from gbx_beamline.frames.node_facts import header_facts

IMAGES = "images"
PIXEL_MASK = "pixel_mask"
LEGACY_SPECS = frozenset({"AD_EIGER", "AD_EIGER2"})
"""Resource specs of CHX's older documents, which name a file prefix and a sequence id instead of a master."""

_MALFORMED = (TypeError, KeyError, AttributeError, ValueError, ArithmeticError, RecursionError)

_LARGEST = 2**31
"""Frames, rows or columns."""

CHUNK_BYTES = 16 * 1024**2
"""Chunks are what clients split large reads by: several frames, so that requests stay few, and bounded in memory."""


@dataclass(frozen=True)
class _Declared:
    """What one datum adds to an array."""

    frames: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]


class EigerConsolidator:
    """Collects the masters and triggers of one data key: frames of all triggers in acquisition order, or the mask.

    The node's shape is (N, y, x) for images and (y, x) for the pixel mask, its dtype that of the file.

    Args:
        stream_resource: Document with the URI of a master; ``parameters`` may hold ``dataset`` ("images" or
            "pixel_mask") and ``header`` (facts of the file, in SI, and its lasting notes, for readers that cannot
            open it).
        descriptor: Descriptor of the stream.

    Raises:
        SeriesError: the documents tell no shape and the master cannot be read from here, or are none of Bluesky's.
    """

    supported_mimetypes: frozenset[str] = frozenset({EIGER_MIMETYPE})

    def __init__(self, stream_resource: StreamResource, descriptor: EventDescriptor) -> None:
        self.mimetype = EIGER_MIMETYPE
        self.metadata: dict[str, Any] = {}
        self.assets: list[Asset] = []
        self._frames = 0
        try:
            self._take(stream_resource, descriptor)
        except _MALFORMED as error:
            raise SeriesError(
                f"documents that are none of Bluesky's ({type(error).__name__} {error})",
                needed="a stream resource and a descriptor by Bluesky's schema",
                action="correct what writes them",
            ) from error

    def _take(self, stream_resource: StreamResource, descriptor: EventDescriptor) -> None:
        self.data_key = stream_resource["data_key"]
        self._data_key_document = dict(descriptor["data_keys"].get(self.data_key, {}))
        self._parameters = dict(stream_resource["parameters"])
        self._dataset = self._parameters.get("dataset", IMAGES)
        self._header: dict[str, Any] | None = self._parameters.get("header")
        self._notes: list[list[str]] = []
        self._unread: list[int] = []
        self._masked = True
        self._declared = self._add_master(stream_resource)

    def update_from_stream_resource(self, stream_resource: StreamResource) -> None:
        """Another master for the same data key: its frames follow."""
        self._parameters = dict(stream_resource["parameters"])
        self._declared = self._add_master(stream_resource)

    def consume_stream_datum(self, doc: StreamDatum) -> Patch:
        """Account for one or more triggers.

        Returns:
            Offset and shape of the part that is new.
        """
        rows, columns = self._declared.shape
        if self._dataset == PIXEL_MASK:
            return Patch(offset=(0, 0), shape=(rows, columns))
        first = self._frames
        self._frames += (doc["indices"]["stop"] - doc["indices"]["start"]) * self._declared.frames
        return Patch(offset=(first, 0, 0), shape=(self._frames - first, rows, columns))

    def structure(self) -> ArrayStructure:
        """Shape, chunks and dtype of what is registered so far."""
        rows, columns = self._declared.shape
        data_type = BuiltinDtype.from_numpy_dtype(self._declared.dtype)
        if self._dataset == PIXEL_MASK:
            shape: tuple[int, ...] = (rows, columns)
            return ArrayStructure(data_type=data_type, shape=shape, chunks=((rows,), (columns,)), dims=("y", "x"))
        step = max(1, CHUNK_BYTES // (rows * columns * self._declared.dtype.itemsize))
        whole, rest = divmod(self._frames, step)
        chunks = (step,) * whole + ((rest,) if rest or not whole else ())
        return ArrayStructure(
            data_type=data_type,
            shape=(self._frames, rows, columns),
            chunks=(chunks, (rows,), (columns,)),
            dims=("frame", "y", "x"),
        )

    def get_data_source(self) -> DataSource[ArrayStructure]:
        """What Tiled stores: masters in order, structure and the adapter's parameters."""
        self._read_headers()
        notes = list(dict.fromkeys(note for said in self._notes for note in said))
        parameters = {
            "dataset": self._dataset,
            "masked": None if self._masked else False,
            "header": None if self._header is None else {**self._header, "notes": notes},
            "images_per_file": self._parameters.get("images_per_file"),
        }
        parameters = {key: value for key, value in parameters.items() if value is not None}
        return DataSource(
            mimetype=self.mimetype,
            assets=self.assets,
            structure_family=StructureFamily.array,
            structure=self.structure(),
            parameters=parameters,
            properties={},
            management=Management.external,
        )

    def _read_headers(self) -> None:
        """Take the facts of the first file, and the notes of all, from the files themselves once they exist.

        Units converted twice may differ in the last digit. What documents of a finished file note beside the header
        (its layout) is kept; the layout of a series that is being taken is nothing to look at yet.
        """
        for number in list(self._unread):
            path = _path(self.assets[number].data_uri)
            if not os.access(path, os.R_OK):
                continue
            try:
                header = read_header(path)
            except InputError:
                # Still being written; what the documents said stands until the next datum.
                continue
            self._unread.remove(number)
            self._notes[number] = [*header.notes, *self._notes[number]]
            if number == 0:
                self._header = header_facts(header)

    def _add_master(self, stream_resource: StreamResource) -> _Declared:
        uri = _master_uri(stream_resource["uri"], self._parameters)
        self._unread.append(len(self.assets))
        self._notes.append([str(note) for note in (self._parameters.get("header") or {}).get("notes", ())])
        self.assets.append(Asset(data_uri=uri, is_directory=False, parameter="data_uris", num=len(self.assets)))
        if self._parameters.get("spec") not in LEGACY_SPECS:
            return _from_document(self.data_key, self._data_key_document)
        # Old descriptors order shapes (x, y, n) or (n, y, x) and tell no dtype: the file is the truth.
        path = _path(uri)
        try:
            file = EigerFile(path)
        except (InputError, OSError) as error:
            raise SeriesError(
                f"documents of spec {self._parameters['spec']} name {path}, which cannot be read here: {error}",
                needed="the detector files where the documents are written to Tiled",
                action="mount the files there, or restore them, and write the documents again",
            ) from error
        self._notes[-1] = list(file.lasting_notes)
        frames, rows, columns = file.shape
        if self._dataset == PIXEL_MASK:
            # Legacy documents do not tell whether there is a mask: the node exists in any case.
            self._masked = self._masked and (len(self.assets) > 1 or file.pixel_mask() is not None)
            return _Declared(0, (rows, columns), np.dtype(np.uint32))
        return _Declared(frames, (rows, columns), file.dtype)


def _path(uri: str) -> Path:
    try:
        return path_from_uri(uri)
    except ValueError as error:
        raise SeriesError(
            f"{uri!r} is no address of a file ({error})",
            needed="file://localhost/... with an absolute path",
            action="correct what writes the stream resource",
        ) from error


def _from_document(data_key: str, document: dict[str, Any]) -> _Declared:
    shape = tuple(document.get("shape") or ())
    dtype = document.get("dtype_numpy")
    sized = all(isinstance(size, int) and 0 < size <= _LARGEST for size in shape)
    if not isinstance(dtype, str) or len(shape) not in (2, 3) or not sized:
        raise SeriesError(
            f"the descriptor gives {data_key} the shape {list(shape)} and the dtype {dtype}",
            needed="(frames, y, x) or (y, x) and a numpy dtype",
            action="correct the describe() of the detector that wrote it",
        )
    sizes = tuple(int(size) for size in shape)
    return _Declared(sizes[0] if len(sizes) == 3 else 0, (sizes[-2], sizes[-1]), np.dtype(dtype))


def _master_uri(uri: str, parameters: dict[str, Any]) -> str:
    """URI of a master; CHX's older resources name the part before ``_<sequence id>_master.h5``."""
    if uri.endswith(".h5") or "seq_id" not in parameters:
        return uri
    return f"{uri}_{int(parameters['seq_id'])}_master.h5"


CONSOLIDATOR_REGISTRY[EIGER_MIMETYPE] = cast(Any, EigerConsolidator)
