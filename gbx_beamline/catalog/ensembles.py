"""Ensembles in the catalog: registered by reference, their files stay what and where they are.

::

    processed/
      ensembles/<mode>-<members>-<hash>    container; its metadata are the ensemble's own ``ensemble.json``
        maps                               array, the zarr files
        parameters                         table, the parquet file

The hash is that of settings and versions, so the same ensemble has the same key wherever it lies.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from tiled.mimetypes import PARQUET_MIMETYPE, ZARR_MIMETYPE
from tiled.structures.array import ArrayStructure, BuiltinDtype
from tiled.structures.core import Spec, StructureFamily
from tiled.structures.data_source import Asset, DataSource, Management
from tiled.structures.table import TableStructure
from tiled.utils import ensure_uri

from gbx_beamline.catalog.access import SHARED_TAG
from gbx_beamline.catalog.codec import plain
from gbx_beamline.catalog.connect import Catalog, said_in_words
from gbx_beamline.catalog.publish import container
from gbx_beamline.errors import CatalogError, InputError
from gbx_beamline.simulation.ensemble import MANIFEST, MAPS, MAPS_ARRAY, PARAMETERS, is_complete, read_manifest

ENSEMBLES = "ensembles"
SPEC = Spec("GBXEnsemble", "1.0")


def register_ensemble(catalog: Catalog, folder: Path, *, store: Path | None = None) -> str:
    """Make a whole ensemble readable through the catalog.

    Args:
        catalog: where to.
        folder: of the ensemble.
        store: folder that the server may read, where it is the embedded one: files from elsewhere are hard-linked
            into it, which takes no room. None: the server reads ``folder`` itself.

    Returns:
        Path of the ensemble's container in the catalog's processed part.

    Raises:
        InputError: no whole ensemble, or files that cannot be linked.
        CatalogError: the server cannot read the files, or is unreachable.
    """
    manifest = read_manifest(folder)
    if manifest is None or not is_complete(folder):
        raise InputError(
            f"{folder} holds no whole ensemble",
            needed="one that `gbx simulate` has finished",
            action="run it to its end first",
        )
    key = _key(manifest)
    place = folder.resolve()
    if store is not None and not place.is_relative_to(store.resolve()):
        place = _linked(place, store.resolve() / ENSEMBLES / key)
    with said_in_words(catalog.uri):
        parent = container(catalog, ENSEMBLES)
        if key in parent and not _refers_to(parent[key], place):
            parent.delete_contents(key, recursive=True, external_only=False)
        if key not in parent:
            _create(parent, key, manifest, place)
            _check_served(catalog, parent, key, place)
    return f"{ENSEMBLES}/{key}"


def _key(manifest: dict[str, Any]) -> str:
    settings = manifest["settings"]
    text = json.dumps([settings, manifest["made_with"]], sort_keys=True)
    return f"{settings['mode']}-{settings['members']}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _create(parent: Any, key: str, manifest: dict[str, Any], place: Path) -> None:
    import pyarrow.parquet as pq
    import zarr

    node = parent.create_container(key, metadata=plain(manifest), specs=[SPEC], access_tags=[SHARED_TAG])
    maps: Any = zarr.open_array(place / MAPS / MAPS_ARRAY, mode="r")
    structure = ArrayStructure(
        data_type=BuiltinDtype.from_numpy_dtype(maps.dtype),
        shape=maps.shape,
        # One block a file, as it was written.
        chunks=tuple(tuple(_blocks(size, block)) for size, block in zip(maps.shape, maps.shards, strict=True)),
        dims=maps.metadata.dimension_names,
    )
    # The array last: whoever finds it finds the rest.
    schema = pq.read_schema(place / PARAMETERS)
    columns = manifest["parameters"]["columns"]
    table = TableStructure.from_schema(schema)
    _refer(node, "parameters", StructureFamily.table, table, PARQUET_MIMETYPE, place / PARAMETERS, {"columns": columns})
    _refer(node, "maps", StructureFamily.array, structure, ZARR_MIMETYPE, place / MAPS / MAPS_ARRAY, manifest["maps"])


def _blocks(size: int, block: int) -> Iterator[int]:
    for start in range(0, size, block):
        yield min(block, size - start)


def _refer(
    node: Any,
    key: str,
    family: StructureFamily,
    structure: ArrayStructure | TableStructure,
    mimetype: str,
    path: Path,
    metadata: dict[str, Any],
) -> None:
    parameter, number = ("data_uris", 0) if family == StructureFamily.table else ("data_uri", None)
    asset = Asset(data_uri=ensure_uri(path), is_directory=path.is_dir(), parameter=parameter, num=number)
    source = DataSource(
        structure_family=family,
        structure=structure,
        mimetype=mimetype,
        management=Management.external,
        assets=[asset],
    )
    node.new(family, [source], key=key, metadata=metadata, access_tags=[SHARED_TAG])


def _refers_to(node: Any, place: Path) -> bool:
    """True for a whole registration of these files."""
    if "maps" not in node:
        return False
    (source,) = node["maps"].include_data_sources().data_sources()
    return [asset.data_uri for asset in source.assets] == [ensure_uri(place / MAPS / MAPS_ARRAY)]


def _check_served(catalog: Catalog, parent: Any, key: str, place: Path) -> None:
    """A server that may not read a file registers it without complaint: so it is asked for a little of each."""
    node = parent[key]
    try:
        node["parameters"].read(["member"])
        node["maps"][0]
    except (httpx.HTTPStatusError, KeyError) as error:
        parent.delete_contents(key, recursive=True, external_only=False)
        raise CatalogError(
            f"the server at {catalog.uri} cannot read {place} ({str(error).splitlines()[0]})",
            needed="a place among the server's readable_storage",
            action="move the ensemble there and register it again; it is whole, and nothing was kept of this attempt",
        ) from error


def _linked(source: Path, target: Path) -> Path:
    """``target``, with hard links to the files of the ensemble in ``source``."""
    if is_complete(target):
        return target
    unfinished = target.with_name(f".{uuid.uuid4().hex}")
    try:
        unfinished.mkdir(parents=True)
        for name in (MANIFEST, MAPS, PARAMETERS):
            for path in (source / name, *(source / name).rglob("*")):
                if path.is_file():
                    link = unfinished / path.relative_to(source)
                    link.parent.mkdir(parents=True, exist_ok=True)
                    os.link(path, link)
        unfinished.rename(target)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise InputError(
            f"{source} cannot be linked into {target.parent} ({error.strerror})",
            needed="the ensemble on the file system of the embedded catalog",
            action=f"put it below {target.parent.parent} and register it there",
        ) from error
    return target
