"""The folder of an ensemble: begun, gone on with, and never mixed.

::

    DIR/
      ensemble.json         what the ensemble is: written first, never changed
      maps.zarr/            zarr v3 group; its array ``maps`` (n, [Q,] size, size) float32, one file per batch
      batches/000000.parquet ...   rows of each whole batch; that the file is there makes the batch whole
      parameters.parquet    all rows; written last: where it is, the ensemble is whole

A file that decides something is written under another name, forced to disk and renamed, so that no end of power,
process or disk space makes a part look whole. Maps that are not there yet read as NaN.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from gbx_beamline.errors import DependencyError, InputError
from gbx_beamline.simulation._ensemble_table import as_table
from gbx_beamline.untrusted import read_json

if TYPE_CHECKING:
    from gbx_beamline.simulation._ensemble_members import Layout, Members

MANIFEST = "ensemble.json"
MAPS = "maps.zarr"
_VERSION = "simulation_version"
MAPS_ARRAY = "maps"
PARAMETERS = "parameters.parquet"
FORMAT = "gbx-ensemble"
FORMAT_VERSION = 1

_BATCHES = "batches"
_PARTIAL = ".partial"
_CHUNK_BYTES = b"gbx.chunk_bytes"
_SMALLEST_RATIO = 0.1
"""Of maps to their compressed size; noisy ones shrink to 0.7, smooth ones to a few hundredths."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class EnsembleFolder:
    """One folder while this process writes it; made by :func:`opened_folder`.

    Args:
        path: The folder.
        layout: What is stored of each member.
        members: n.
        batch: members per batch.
    """

    def __init__(self, path: Path, layout: Layout, members: int, batch: int) -> None:
        self.path = path
        self._layout = layout
        self._members = members
        self._batch = batch
        self._maps = _open_maps(path / MAPS, layout, members, batch)

    @property
    def batches(self) -> int:
        """Number of batches."""
        return -(-self._members // self._batch)

    def members_of(self, batch: int) -> range:
        """Numbers of the members in a batch."""
        return range(batch * self._batch, min((batch + 1) * self._batch, self._members))

    def is_whole(self, batch: int) -> bool:
        """True when maps and rows of a batch are there, of the size that was written."""
        import pyarrow.parquet as pq

        marker, chunk = self._marker(batch), self._chunk(batch)
        if not (marker.is_file() and chunk.is_file()):
            return False
        told = (pq.read_schema(marker).metadata or {}).get(_CHUNK_BYTES, b"-1")
        return chunk.stat().st_size == int(told)

    def store(self, batch: int, members: Members) -> None:
        """Write the maps of a batch, and then the rows that make it count.

        Raises:
            InputError: no room, or the folder went away.
        """
        import pyarrow.parquet as pq

        numbers = self.members_of(batch)
        chunk = self._chunk(batch)
        with said_in_words(self.path):
            # zarr would look into a file that is there, and stumble over one that is damaged.
            chunk.unlink(missing_ok=True)
            self._maps[numbers.start : numbers.stop] = members.maps
            _force_to_disk(chunk)
            table = as_table(members.rows, self._layout.columns)
            table = table.replace_schema_metadata({_CHUNK_BYTES: str(chunk.stat().st_size)})
            write_whole(self._marker(batch), lambda file: pq.write_table(table, file))

    def missing(self) -> list[int]:
        """Batches that are not whole. While there are any, the folder does not look whole."""
        batches = [batch for batch in range(self.batches) if not self.is_whole(batch)]
        if batches:
            with said_in_words(self.path):
                (self.path / PARAMETERS).unlink(missing_ok=True)
        return batches

    def finish(self) -> None:
        """Write the table of all members, once every batch is whole."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with said_in_words(self.path):
            parts = [pq.read_table(self._marker(batch)) for batch in range(self.batches)]
            table = pa.concat_tables([part.replace_schema_metadata() for part in parts])
            write_whole(self.path / PARAMETERS, lambda file: pq.write_table(table, file))

    def check_room(self, batches: int) -> None:
        """Refuse work whose results can in no way fit on the disk.

        Raises:
            InputError: too little room for this many batches.
        """
        raw = batches * self._batch * int(np.prod(self._layout.map_shape)) * 4
        free = shutil.disk_usage(self.path).free
        if free < _SMALLEST_RATIO * raw:
            raise InputError(
                f"{free / 1e9:.2f} GB free in {self.path} for maps of {raw / 1e9:.2f} GB before compression",
                needed=f"at least {_SMALLEST_RATIO * raw / 1e9:.2f} GB",
                action="make room, choose another folder, or ask for fewer or smaller maps",
            )

    def _marker(self, batch: int) -> Path:
        return self.path / _BATCHES / f"{batch:06d}.parquet"

    def _chunk(self, batch: int) -> Path:
        place = (batch, *(0 for _ in self._layout.map_shape))
        return self.path / MAPS / MAPS_ARRAY / self._maps.metadata.encode_chunk_key(place)


@contextmanager
def opened_folder(
    path: Path, manifest: Mapping[str, Any], layout: Layout, *, members: int, batch: int
) -> Iterator[EnsembleFolder]:
    """The folder at ``path``, begun or gone on with; nobody else writes it meanwhile.

    Args:
        path: Made when absent; empty, or an ensemble of the same settings.
        manifest: What goes into ensemble.json, in JSON's types. ``settings``, ``made_with`` and ``simulation_version``
            must agree with what is there already.
        layout: What is stored of each member.
        members: n.
        batch: members per batch.

    Raises:
        InputError: the folder cannot be written, holds something else, or is being written by another process.
        DependencyError: zarr or pyarrow is absent.
    """
    check_packages()
    with ExitStack() as stack:
        with said_in_words(path):
            path.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_alone(path))
            found = read_manifest(path)
            if found is None:
                _refuse_strangers(path)
                text = json.dumps(dict(manifest), indent=2, allow_nan=False)
                write_whole(path / MANIFEST, lambda file: file.write(text.encode()))
            else:
                _refuse_mixture(path, found, manifest)
            (path / _BATCHES).mkdir(exist_ok=True)
            for left in path.rglob(f"*{_PARTIAL}"):
                left.unlink()
            folder = EnsembleFolder(path, layout, members, batch)
        yield folder


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Content of ensemble.json; None where there is none.

    Raises:
        InputError: a file of that name that is no ensemble's, or of another format version.
    """
    file = path / MANIFEST
    if not file.is_file():
        return None
    try:
        content = read_json(file)
        kind, version = content["format"], content["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file} does not describe an ensemble", needed="what `gbx simulate` writes", action="choose another folder"
        ) from error
    if (kind, version) != (FORMAT, FORMAT_VERSION):
        raise InputError(
            f"{file} is of format {kind} {version}",
            needed=f"{FORMAT} {FORMAT_VERSION}",
            action="use the release that wrote it, or choose another folder",
        )
    return content


def is_complete(path: Path) -> bool:
    """True when the ensemble in a folder is whole."""
    return (path / MANIFEST).is_file() and (path / PARAMETERS).is_file()


def check_packages() -> None:
    """Refuse to begin without the packages that write the files.

    Raises:
        DependencyError: zarr, pyarrow or threadpoolctl is absent.
    """
    for package in ("zarr", "pyarrow", "threadpoolctl"):
        try:
            __import__(package)
        except ModuleNotFoundError as error:
            raise DependencyError(
                f"the package {package!r} is not installed",
                needed="the package's extra `ensembles`",
                action="install gbx-beamline[ensembles]",
            ) from error


def write_whole(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Let ``write`` fill a file that appears under its name whole, and stays after a loss of power."""
    unfinished = path.with_name(f".{uuid.uuid4().hex}{_PARTIAL}")
    try:
        with unfinished.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _force_to_disk(path.parent)


@contextmanager
def said_in_words(path: Path) -> Iterator[None]:
    """Turn what the operating system says about the folder into our words."""
    try:
        yield
    except OSError as error:
        place = error.filename or path
        if error.errno in _FULL:
            raise InputError(
                f"{place}: {error.strerror}",
                needed="room for the maps",
                action="make room and run the same command again: batches that are whole are kept",
            ) from error
        raise InputError(
            f"{place}: {error.strerror or error}",
            needed="a folder that this user may write",
            action="check the path and its permissions, or choose another folder",
        ) from error


def _open_maps(path: Path, layout: Layout, members: int, batch: int) -> Any:
    import zarr
    from zarr.codecs import BloscCodec

    # Empty chunks are written too: that a file is there says something.
    config: Any = {"write_empty_chunks": True}
    group = zarr.open_group(path, mode="a", zarr_format=3)
    if MAPS_ARRAY not in group:
        group.attrs.update(layout.attributes)
        group.create_array(
            MAPS_ARRAY,
            shape=(members, *layout.map_shape),
            dtype="float32",
            # One file per batch, in which each member can be read without its neighbours.
            shards=(batch, *layout.map_shape),
            chunks=(1, *layout.map_shape),
            compressors=[BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", typesize=4)],
            fill_value=np.nan,
            dimension_names=("member", *layout.axes),
            config=config,
        )
    return zarr.open_array(path / MAPS_ARRAY, mode="r+", config=config)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the folder against other writers, for as long as this process lives."""
    folder = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(folder)
        raise InputError(
            f"another process is writing the ensemble in {path}",
            needed="one writer at a time",
            action="wait for it to end, or choose another folder",
        ) from error
    try:
        yield
    finally:
        os.close(folder)


def _refuse_strangers(path: Path) -> None:
    strangers = sorted(entry.name for entry in path.iterdir() if not entry.name.endswith(_PARTIAL))
    if strangers:
        raise InputError(
            f"{path} holds {', '.join(strangers[:3])}{' ...' if len(strangers) > 3 else ''} and no {MANIFEST}",
            needed="an empty or new folder, or an ensemble to go on with",
            action="choose another folder",
        )


def _refuse_mixture(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    parts = ["settings"] if is_complete(path) else ["settings", "made_with"]
    differing = [line for part in parts for line in _differences(found[part], wanted[part])]
    differing += _differences(found.get(_VERSION), wanted[_VERSION], _VERSION)
    if differing:
        raise InputError(
            f"{path} holds an ensemble that differs: {'; '.join(differing)}",
            needed="the settings and versions that it was begun with",
            action="repeat them, or choose another folder",
        )


def _differences(there: Any, here: Any, place: str = "") -> Iterator[str]:
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in sorted({*there, *here}):
            yield from _differences(there.get(key), here.get(key), f"{place}.{key}" if place else key)
    elif there != here:
        yield f"{place} is {json.dumps(there)} there and {json.dumps(here)} here"


def _force_to_disk(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
