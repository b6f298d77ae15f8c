"""Where the bytes of live revisions go: through the server, or onto a disk that it reads.

A folder holds a few revisions. On a disk it is one zarr group, of which the server is told once: what is added to it
costs the server nothing, where an array that goes through it costs two requests.
"""

from __future__ import annotations

import shutil
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tiled.client.utils import ClientError

from gbx_beamline.catalog.attempts import check_served, register_group
from gbx_beamline.errors import CatalogError

PLACE = "live"
"""Folder of the store; attempts beside it have uuids for names."""

Bytes = NDArray[np.uint8]


class Folder(Protocol):
    """A folder that is being filled."""

    def add(self, name: str, content: Bytes) -> None:
        """Write a revision; once this returns readers can have it."""
        ...


def new_folder(pointer: Any, key: str, name: str, *, store: Path | None, tags: list[str] | None) -> Folder:
    """A folder for the next revisions.

    Args:
        pointer: Node of the live record.
        key: Its key.
        name: Of the folder; free.
        store: Folder that this process writes and the server reads; None = all goes through the server.
        tags: Access tags.

    Raises:
        CatalogError: nothing can be written there.
    """
    if store is None:
        return _ThroughServer(pointer.create_container(name, access_tags=tags), tags)
    return _OnSharedDisk(pointer, name, store.resolve() / PLACE / key / name, tags)


def remove_folder(pointer: Any, key: str, name: str, store: Path | None) -> None:
    """Remove a folder with its revisions."""
    remove_node(pointer, name)
    if store is not None:
        # After its node: who reads meanwhile finds nothing, never a part.
        shutil.rmtree(store / PLACE / key / name, ignore_errors=True)


def remove_record(live: Any, key: str, store: Path | None) -> None:
    """Remove a live record as a whole."""
    remove_node(live, key)
    if store is not None:
        shutil.rmtree(store / PLACE / key, ignore_errors=True)


def forget_lost(live: Any, store: Path | None, older_than: float) -> None:
    """Remove files that no live record in the catalog refers to and that are ``older_than`` s."""
    if store is None or not (store / PLACE).is_dir():
        return
    for place in (store / PLACE).iterdir():
        if time.time() - place.stat().st_mtime > older_than and place.name not in live:
            shutil.rmtree(place, ignore_errors=True)


def remove_node(parent: Any, key: str) -> None:
    """Remove a node with all below it."""
    try:
        parent.delete_contents(key, recursive=True, external_only=False)
    except ClientError as error:
        # Whoever removed it before us did our work.
        if error.response.status_code != HTTPStatus.NOT_FOUND:
            raise


class _ThroughServer:
    def __init__(self, node: Any, tags: list[str] | None) -> None:
        self._node, self._tags = node, tags

    def add(self, name: str, content: Bytes) -> None:
        self._node.write_array(content, key=name, access_tags=self._tags)


class _OnSharedDisk:
    def __init__(self, pointer: Any, name: str, place: Path, tags: list[str] | None) -> None:
        import zarr

        self._pointer, self._name, self._place = pointer, name, place
        self._served = False
        try:
            # Left by a writer that ended before the server was told.
            shutil.rmtree(place, ignore_errors=True)
            place.parent.mkdir(parents=True, exist_ok=True)
            self._group = zarr.open_group(place, mode="w-")
        except OSError as error:
            raise _no_room(place, error) from error
        register_group(pointer, name, place, {}, tags)

    def add(self, name: str, content: Bytes) -> None:
        try:
            # One chunk, and no compression, which noise does not shrink by.
            self._group.create_array(name, data=content, chunks=content.shape, compressors=None)
        except OSError as error:
            raise _no_room(self._place, error) from error
        if not self._served:
            check_served(self._pointer, self._name, name, self._place)
            self._served = True


def _no_room(place: Path, error: OSError) -> CatalogError:
    return CatalogError(
        f"a live record cannot be written to {place} ({error.strerror or error})",
        needed="room, and a folder that may be written",
        action="make room or make it writable; results are not touched by this",
    )
