"""Live records: replaced as a whole, twice a second, and never seen torn.

::

    processed/
      live/<run uid>[.<rule>]                    pointer; its metadata hold all numbers of the state
        r000009/                                 folder of a few revisions, named by its first
          000012                                 all arrays of the revision that the pointer names, as bytes
        r000001/                                 the folder before, for whoever is reading in it

A revision's arrays are a new node, which no reader knows before the one update that makes the pointer name it. It is
one node, because a server needs some 20 ms for each request, whatever its size. Folders older than the one before are
removed as a whole: removing costs a server as much as writing. Because it may answer zeros for what is being removed,
the bytes begin with their revision: what does not is read again from the pointer on.
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from tiled.client.utils import handle_error
from tiled.queries import Key
from tiled.structures.core import Spec

from gbx_beamline.catalog.access import told
from gbx_beamline.catalog.codec import plain, record
from gbx_beamline.catalog.connect import Catalog, said_in_words
from gbx_beamline.catalog.publish import container
from gbx_beamline.catalog.revisions import Folder, forget_lost, new_folder, remove_folder, remove_record
from gbx_beamline.config import DEFAULT_RULE
from gbx_beamline.errors import CatalogError, RunNotFoundError, SchemaError
from gbx_beamline.records import LIVE_VERSION, Liveness, LiveState

LIVE = "live"
SPEC = Spec("XPCSLive", f"{LIVE_VERSION}.0")

_ARRAYS = ("two_time", "frame_means", "image")
_NEEDED = ("two_time", "frame_means")
"""Without which a revision has no arrays at all."""
_BEGINNING = struct.Struct("<8sq")
"""Of a revision's bytes: a word, and its number."""
_WORD = b"GBX live"
_IN_FOLDER = 8
"""Revisions in a folder."""
_TRIES = 20
"""Of a reader that is overtaken again and again."""


def live_key(run_uid: str, rule: str = DEFAULT_RULE) -> str:
    """Key of the live record of a run under a rule."""
    return run_uid if rule == DEFAULT_RULE else f"{run_uid}.{rule}"


class LiveSink:
    """Writes the live record of one run under one rule. It must be its only writer.

    The catalog is given with each revision: the server may have another address by then.

    Args:
        run_uid: uid of the run.
        rule: Name of the selection rule.
    """

    def __init__(self, run_uid: str, rule: str = DEFAULT_RULE) -> None:
        self.key = live_key(run_uid, rule)
        self._tried = 0
        """Number of the last revision that was begun."""
        self._named = ""
        """Folder that the pointer names; empty = none."""
        self._before = ""
        """The folder before."""
        self._folders: set[str] = set()
        """Those in the catalog."""
        self._filling: tuple[str, Folder] | None = None
        """Folder for the next revisions, by its name."""
        self._opened: tuple[Catalog, Any] | None = None

    def publish(self, catalog: Catalog, state: LiveState) -> int:
        """Make ``state`` what readers see.

        Returns:
            Its number, larger than all before.

        Raises:
            CatalogError: the catalog is unreachable or refuses. The revision before stands, and the next one may be
                tried at any time.
        """
        try:
            with said_in_words(catalog.uri):
                return self._publish(catalog, self._pointer(catalog, state), state)
        except BaseException:
            # Removed by somebody, or half-done: look at what is there the next time.
            self._opened = self._filling = None
            raise

    def _publish(self, catalog: Catalog, pointer: Any, state: LiveState) -> int:
        self._tried += 1
        folder = self._write(catalog, pointer, state) if all(getattr(state, name).size for name in _NEEDED) else ""
        before = self._named if folder != self._named else self._before
        numbered = replace(state, revision=self._tried)
        pointer.replace_metadata(_metadata(numbered, folder=folder, before=before), drop_revision=True)
        self._named, self._before = folder, before
        for old in sorted(self._folders - {folder, before}):
            remove_folder(pointer, self.key, old, catalog.store)
            self._folders.discard(old)
        return self._tried

    def _write(self, catalog: Catalog, pointer: Any, state: LiveState) -> str:
        """Name of the folder that the arrays went to."""
        if self._filling is None or self._tried >= int(self._filling[0][1:]) + _IN_FOLDER:
            name = f"r{self._tried:06d}"
            self._folders.add(name)
            self._filling = name, new_folder(pointer, self.key, name, store=catalog.store, tags=_tags(state))
        name, folder = self._filling
        folder.add(_array_key(self._tried), _packed(state, self._tried))
        return name

    def _pointer(self, catalog: Catalog, state: LiveState) -> Any:
        if self._opened is not None and self._opened[0] is catalog:
            return self._opened[1]
        live = container(catalog, LIVE)
        if self.key not in live:
            nothing = LiveState(
                scan=state.scan,
                rule=state.rule,
                revision=0,
                state="running",
                changed=state.changed,
                frame_time=state.frame_time,
            )
            metadata = _metadata(nothing, folder="", before="")
            live.create_container(self.key, metadata=metadata, specs=[SPEC], access_tags=_tags(state))
        pointer = live[self.key]
        self._named, self._before = pointer.metadata["folder"], pointer.metadata["folder_before"]
        self._folders = set(pointer)
        self._tried = max(self._tried, int(pointer.metadata["revision"]), 0, *(int(name[1:]) for name in self._folders))
        self._filling = None
        self._opened = catalog, pointer
        return pointer


@dataclass(frozen=True)
class LiveSummary:
    """A live record as its pointer tells it, without arrays."""

    key: str
    metadata: Mapping[str, Any]

    @property
    def run_uid(self) -> str:
        """uid of the raw run."""
        return self.metadata["run_uid"]

    @property
    def rule(self) -> str:
        """Selection rule."""
        return self.metadata["rule"]

    @property
    def state(self) -> Liveness:
        """As ``LiveState.state``."""
        return self.metadata["state"]

    @property
    def changed(self) -> float:
        """Unix time of the last revision, s."""
        return self.metadata["changed"]


def load_live(catalog: Catalog, run_uid: str, rule: str = DEFAULT_RULE) -> LiveState:
    """The newest state of a scan, of one revision as a whole.

    Args:
        catalog: Where to look.
        run_uid: uid of the run, whole.
        rule: Name of the selection rule.

    Raises:
        RunNotFoundError: no live record of this run and rule.
        SchemaError: written in another version.
        CatalogError: unreachable, or revised faster than it can be read.
    """
    found = load_newer(catalog, run_uid, rule, than=-1)
    assert found is not None
    return found


def load_newer(catalog: Catalog, run_uid: str, rule: str = DEFAULT_RULE, *, than: int) -> LiveState | None:
    """The same, or None where the newest revision is ``than``: one request for who asks again and again."""
    key = live_key(run_uid, rule)
    with said_in_words(catalog.uri):
        for _ in range(_TRIES):
            metadata = _read_pointer(catalog, key)
            if metadata["revision"] == than:
                return None
            if not metadata["folder"]:
                return record(LiveState, metadata)
            arrays = _read_arrays(catalog, key, metadata)
            if arrays is not None:
                return record(LiveState, metadata, **arrays)
    raise CatalogError(
        f"live record {key} was revised {_TRIES} times while it was being read",
        needed="a revision that stays for as long as reading takes",
        action="read it over a faster connection, or raise serve.live.period_s",
    )


def find_live(catalog: Catalog, *, unsettled: bool = False) -> list[LiveSummary]:
    """Summaries of the live records, oldest change first.

    Args:
        catalog: Where to look.
        unsettled: Only those without the key of a final record.
    """
    with said_in_words(catalog.uri):
        if not catalog.has_shelf(LIVE):
            return []
        found: Any = catalog.shelf(LIVE)
        if unsettled:
            found = found.search(Key("record") == "")
        summaries = [LiveSummary(key, dict(node.metadata)) for key, node in found.items()]
    return sorted(summaries, key=lambda summary: summary.changed)


def end_live(catalog: Catalog, key: str, *, state: Liveness, reason: str = "", record: str = "") -> None:
    """Mark a live record that nobody writes any more.

    Args:
        catalog: Where it is.
        key: Its key.
        state: What became of it.
        reason: Why, in words.
        record: Key of the final record. Where it is known the arrays are removed: the final ones are better.
    """
    with said_in_words(catalog.uri), suppress(KeyError):
        pointer: Any = catalog.shelf(LIVE)[key]
        metadata = dict(pointer.metadata)
        metadata |= {"state": state, "reason": reason, "record": record, "changed": time.time()}
        metadata["revision"] += 1
        if record:
            metadata |= {"folder": "", "folder_before": ""}
        pointer.replace_metadata(metadata, drop_revision=True)
        if record:
            for folder in list(pointer):
                remove_folder(pointer, key, folder, catalog.store)


def sweep_live(catalog: Catalog, *, older_than: float = 86400.0) -> int:
    """Remove live records that have not changed for long, whatever became of them.

    Args:
        catalog: Where they are.
        older_than: s since the last change.

    Returns:
        Number of records removed.
    """
    limit = time.time() - older_than
    old = [summary.key for summary in find_live(catalog) if summary.changed < limit]
    with said_in_words(catalog.uri):
        for key in old:
            remove_record(catalog.shelf(LIVE), key, catalog.store)
        if catalog.has_shelf(LIVE):
            forget_lost(catalog.shelf(LIVE), catalog.store, older_than)
    return len(old)


def _metadata(state: LiveState, *, folder: str, before: str) -> dict[str, Any]:
    return plain(state, without=_ARRAYS) | {
        "live_version": LIVE_VERSION,
        "run_uid": state.scan.run_uid,
        "sample": state.scan.sample,
        "arrays": state.revision,
        "folder": folder,
        "folder_before": before,
        "held": _held(state),
        "units": {"frame_time": "s", "q_par": "1/m", "q_z": "1/m", "changed": "s", "cell": "s", "window": "s"},
    }


def _held(state: LiveState) -> dict[str, dict[str, Any]]:
    """The arrays that there are, in the order of their bytes: type and shape by name."""
    arrays = {name: getattr(state, name) for name in _ARRAYS}
    return {name: {"dtype": one.dtype.str, "shape": list(one.shape)} for name, one in arrays.items() if one.size}


def _packed(state: LiveState, revision: int) -> NDArray[np.uint8]:
    """(n,) bytes of a revision."""
    arrays = b"".join(np.ascontiguousarray(getattr(state, name)).tobytes() for name in _held(state))
    return np.frombuffer(_BEGINNING.pack(_WORD, revision) + arrays, dtype=np.uint8)


def _unpacked(content: bytes, metadata: Mapping[str, Any]) -> dict[str, NDArray[Any]] | None:
    """The arrays by name; None where these bytes are not of the revision that ``metadata`` tell of."""
    if content[: _BEGINNING.size] != _BEGINNING.pack(_WORD, metadata["arrays"]):
        return None
    arrays: dict[str, NDArray[Any]] = {}
    begin = _BEGINNING.size
    for name, held in metadata["held"].items():
        count = math.prod(held["shape"])
        found = np.frombuffer(content, dtype=held["dtype"], count=count, offset=begin)
        # A copy of its own: what comes out of bytes cannot be written to, and numpy wants it aligned.
        arrays[name] = found.reshape(held["shape"]).copy()
        begin += found.nbytes
    return arrays


def _tags(state: LiveState) -> list[str] | None:
    return told(state.scan.access_tags)


def _array_key(revision: int) -> str:
    return f"{revision:06d}"


def _read_pointer(catalog: Catalog, key: str) -> dict[str, Any]:
    try:
        metadata = dict(catalog.shelf(LIVE)[key].metadata)
    except KeyError as error:
        raise RunNotFoundError(
            f"no live record {key!r} in {catalog.uri}",
            needed="a run that is, or was until a day ago, followed by `gbx serve`",
            action="set serve.live.enabled, or look for the final record with `gbx results`",
        ) from error
    if metadata.get("live_version") != LIVE_VERSION:
        raise SchemaError(
            f"live record {key} has version {metadata.get('live_version')}",
            needed=f"version {LIVE_VERSION}",
            action="read it with the release that writes it",
        )
    return metadata


def _read_arrays(catalog: Catalog, key: str, metadata: Mapping[str, Any]) -> dict[str, Any] | None:
    """Arrays of one revision; None where they were removed meanwhile."""
    try:
        # Not by way of the node: who has the pointer knows all that the server would tell of it.
        answer: Any = handle_error(
            catalog.root.context.http_client.get(
                _link(catalog, key, metadata["folder"], _array_key(metadata["arrays"])),
                headers={"Accept": "application/octet-stream"},
            )
        )
        return _unpacked(answer.content, metadata)
    except httpx.HTTPStatusError as error:
        if error.response.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise
        return None


def _link(catalog: Catalog, *path: str) -> str:
    """Of an array's values."""
    base: str = catalog.processed.item["links"]["self"]
    return "/".join([base.replace("/metadata/", "/array/full/", 1).rstrip("/"), LIVE, *path])
