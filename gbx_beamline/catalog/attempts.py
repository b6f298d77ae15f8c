"""Where the arrays of an attempt go: through the server, or onto a disk that it reads.

Maps of a scan are a hundred megabytes. Through HTTP they take the server seconds; on a disk that both see they are
written once, as one zarr group, and the server is told where. Readers see the same either way: a container of arrays.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx
import numpy as np
from tiled.mimetypes import ZARR_MIMETYPE
from tiled.structures.core import StructureFamily
from tiled.structures.data_source import Asset, DataSource, Management
from tiled.utils import ensure_uri

from gbx_beamline.errors import CatalogError

Arrays = Mapping[str, np.ndarray[Any, Any]]

_WRITERS = 4
"""Arrays of a record that are on their way at the same time: most are small, and their requests wait for the server."""


class Attempts(Protocol):
    """Attempts in a container of the catalog, by key."""

    def write(self, key: str, arrays: Arrays, metadata: Mapping[str, Any], tags: list[str] | None) -> Any:
        """Write an attempt with its arrays; its node, once it is whole."""
        ...

    def remove(self, key: str) -> None:
        """Remove an attempt and what it holds."""
        ...

    def forget(self, older_than: float) -> None:
        """Remove what no attempt in the catalog refers to and what is ``older_than`` s."""
        ...


def attempts_in(parent: Any, store: Path | None) -> Attempts:
    """The way that is open: ``store`` is a folder that the server reads, None where there is none."""
    return ThroughServer(parent) if store is None else OnSharedDisk(parent, store)


class ThroughServer:
    """Arrays are sent to the server, which keeps them where it likes."""

    def __init__(self, parent: Any) -> None:
        self._parent = parent

    def write(self, key: str, arrays: Arrays, metadata: Mapping[str, Any], tags: list[str] | None) -> Any:
        """See ``Attempts``. The node is there before its arrays."""
        folder = self._parent.create_container(key, metadata=dict(metadata), access_tags=tags)
        with _writers() as pool:
            writing = [pool.submit(_send, folder, name, array, tags) for name, array in arrays.items()]
            for one in writing:
                one.result()
        return folder

    def remove(self, key: str) -> None:
        """See ``Attempts``."""
        self._parent.delete_contents(key, recursive=True, external_only=False)

    def forget(self, older_than: float) -> None:
        """See ``Attempts``: the server keeps nothing by itself."""


class OnSharedDisk:
    """Arrays are written onto a disk that the server reads, and registered there.

    Args:
        parent: Container of the attempts.
        store: Folder, one of the server's ``readable_storage``.
    """

    def __init__(self, parent: Any, store: Path) -> None:
        self._parent, self._store = parent, store.resolve()

    def write(self, key: str, arrays: Arrays, metadata: Mapping[str, Any], tags: list[str] | None) -> Any:
        """See ``Attempts``. The node is there after its arrays, and these are on the disk for good.

        Raises:
            CatalogError: no room, no permission, or a server that cannot read what was written.
        """
        place = self._store / key
        try:
            _write_group(place, arrays)
        except OSError as error:
            shutil.rmtree(place, ignore_errors=True)
            raise CatalogError(
                f"nothing can be written to {self._store} ({error.strerror or error})",
                needed=f"{sum(array.nbytes for array in arrays.values()) / 1e6:,.0f} MB of room, which may be written",
                action="make room or make it writable",
            ) from error
        node = register_group(self._parent, key, place, metadata, tags)
        try:
            check_served(self._parent, key, next(iter(arrays)), self._store)
        except CatalogError:
            self.remove(key)
            raise
        return node

    def remove(self, key: str) -> None:
        """See ``Attempts``."""
        self._parent.delete_contents(key, recursive=True, external_only=False)
        shutil.rmtree(self._store / key, ignore_errors=True)

    def forget(self, older_than: float) -> None:
        """See ``Attempts``: files of a worker that ended before it could register them."""
        if not self._store.is_dir():
            return
        for place in self._store.iterdir():
            old = _is_uuid(place.name) and time.time() - place.stat().st_mtime > older_than
            if old and place.name not in self._parent:
                shutil.rmtree(place, ignore_errors=True)


def register_group(parent: Any, key: str, place: Path, metadata: Mapping[str, Any], tags: list[str] | None) -> Any:
    """Tell the server of a zarr group on a disk that it reads; its node, a container of what is in the group.

    What is added to the group later is there for readers without another word to the server.
    """
    asset = Asset(data_uri=ensure_uri(place), is_directory=True, parameter="data_uri")
    source = DataSource(
        structure_family=StructureFamily.container,
        structure=None,
        mimetype=ZARR_MIMETYPE,
        management=Management.external,
        assets=[asset],
    )
    return parent.new(StructureFamily.container, [source], key=key, metadata=dict(metadata), access_tags=tags)


def check_served(parent: Any, key: str, name: str, store: Path) -> None:
    """A server that may not read a file registers it without complaint.

    Raises:
        CatalogError: it does not find the array ``name`` in the group ``key``.
    """
    try:
        parent[key][name]
    except (httpx.HTTPStatusError, KeyError) as error:
        raise CatalogError(
            f"the server cannot read {store} ({str(error).splitlines()[0]})",
            needed="a folder that is one of the server's readable_storage and on a disk that it sees",
            action="correct catalog.store in the configuration, or leave it out: results go through HTTP then",
        ) from error


def _write_group(place: Path, arrays: Arrays) -> None:
    """A zarr group on the disk, not only on its way there: a pointer to it may outlive the next power failure."""
    import zarr

    place.parent.mkdir(parents=True, exist_ok=True)
    group = zarr.open_group(place, mode="w-")
    with _writers() as pool:
        writing = [
            # Noise does not shrink.
            pool.submit(group.create_array, name, data=array, chunks=_chunks(array), compressors=None)
            for name, array in arrays.items()
        ]
        for one in writing:
            one.result()
        files = [path for path in place.rglob("*") if path.is_file()]
        for _ in pool.map(_settle, files):
            pass


def _settle(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _chunks(array: np.ndarray[Any, Any]) -> tuple[int, ...]:
    """One chunk a ROI: a reader of one map does not decode them all."""
    return (1, *array.shape[1:]) if array.ndim >= 3 else array.shape


def _is_uuid(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


@contextmanager
def _writers() -> Iterator[ThreadPoolExecutor]:
    """Threads for the length of the block. What has not begun when one fails is left undone: a full disk refuses each
    array after several tries."""
    pool = ThreadPoolExecutor(_WRITERS, thread_name_prefix="gbx-publish")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _send(folder: Any, name: str, array: np.ndarray[Any, Any], tags: list[str] | None) -> None:
    import dask.array as da

    # Without a name dask would hash it, 25 MB a map.
    blocks = da.from_array(array, chunks=_chunks(array), name=False)  # pyright: ignore[reportPrivateImportUsage, reportArgumentType]
    folder.write_array(blocks, key=name, access_tags=tags)
