"""Writing results so that readers see them complete or not at all, once.

Tiled has no transactions: a node exists with readable zeros before its data arrive. So an attempt is written
where no reader looks, and published by creating one pointer; the server's 409 decides who was first.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

import numpy as np
from tiled.client.utils import ClientError
from tiled.queries import Key
from tiled.structures.core import Spec

from gbx_beamline.catalog import schema
from gbx_beamline.catalog.connect import Catalog, said_in_words
from gbx_beamline.records import ScanFailure, ScanResult

_CONFLICT = 409


class TiledSink:
    """A ``ResultSink`` that writes into the catalog's processed part.

    Records inherit the access tags of their raw run.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._uri = catalog.uri
        with said_in_words(self._uri):
            self._attempts = container(catalog.processed, schema.ATTEMPTS)
            self._records = container(catalog.processed, schema.RECORDS)

    def publish(self, outcome: ScanResult | ScanFailure) -> str:
        """Store ``outcome``; see ``ResultSink.publish``.

        Returns:
            Key of the record. If another worker published the same identity first, theirs stands and this
            attempt is removed.
        """
        with said_in_words(self._uri):
            if isinstance(outcome, ScanFailure):
                metadata = schema.failure_metadata(outcome, created=time.time())
                key = schema.pointer_key(outcome)
                if not self._create_once(key, metadata, schema.FAILURE_SPEC):
                    self._renew_reason(key, metadata)
                return key
            return self._publish_result(outcome)

    def _publish_result(self, result: ScanResult) -> str:
        key = schema.pointer_key(result)
        if key in self._records:
            return key
        attempt = str(uuid.uuid4())
        tags = list(result.scan.access_tags) or None
        folder = self._attempts.create_container(
            attempt,
            metadata={"identity": key, "created": time.time(), "published": False},
            access_tags=tags,
        )
        for name, array in schema.result_arrays(result).items():
            _write(folder, name, array, tags)
        metadata = schema.result_metadata(result, attempt=attempt, created=time.time())
        if self._create_once(key, metadata, schema.RESULT_SPEC):
            folder.update_metadata({"published": True}, drop_revision=True)
        else:
            self._remove(attempt)
        return key

    def _create_once(self, key: str, metadata: dict[str, Any], spec: str) -> bool:
        try:
            self._records.create_container(
                key,
                metadata=metadata,
                specs=[Spec(spec, schema.SPEC_VERSION)],
                access_tags=metadata["access_tags"] or None,
            )
        except ClientError as error:
            if error.response.status_code != _CONFLICT:
                raise
            # A request whose answer was lost is retried by the client and may meet its own pointer.
            return "attempt" in metadata and self._records[key].metadata.get("attempt") == metadata["attempt"]
        return True

    def _renew_reason(self, key: str, metadata: dict[str, Any]) -> None:
        """A failure that was tried again may have another reason now; the server keeps the old one as a revision."""
        pointer = self._records[key]
        if pointer.metadata["reason"] != metadata["reason"]:
            pointer.update_metadata({name: metadata[name] for name in ("reason", "kind", "provenance")})

    def _remove(self, attempt: str) -> None:
        self._attempts.delete_contents(attempt, recursive=True, external_only=False)

    def sweep(self, *, older_than: float = 86400.0) -> int:
        """Remove attempts that no pointer names and that nobody can still be writing.

        Args:
            older_than: s since the attempt began; far longer than any analysis lasts.

        Returns:
            Number of attempts removed.
        """
        with said_in_words(self._uri):
            stale = self._attempts.search(Key("published") == False).search(  # noqa: E712 - a Tiled query
                Key("created") < time.time() - older_than
            )
            abandoned = [key for key in stale if not len(self._records.search(Key("attempt") == key))]
            for key in abandoned:
                self._remove(key)
        return len(abandoned)


def container(parent: Any, key: str) -> Any:
    """The container of this key, made where it is absent, whoever else makes it at the same time."""
    if key not in parent:
        try:
            return parent.create_container(key)
        except ClientError as error:
            if error.response.status_code != _CONFLICT:
                raise
    return parent[key]


def _write(folder: Any, name: str, array: np.ndarray[Any, Any], tags: list[str] | None) -> None:
    import dask.array as da

    # One chunk a ROI: a reader of one map does not decode them all.
    chunks: Any = (1, *array.shape[1:]) if array.ndim >= 3 else array.shape
    array = da.from_array(array, chunks=chunks)  # pyright: ignore[reportPrivateImportUsage]
    folder.write_array(array, key=name, access_tags=tags)
