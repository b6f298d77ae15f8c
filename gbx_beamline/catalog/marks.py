"""What people say of runs: marks, written once and never changed. The newest of a run counts.

::

    processed/
      <kind of mark>/<run uid>-<number>      metadata: run_uid, by, note, created, and what is said
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tiled.client.utils import ClientError
from tiled.queries import Key
from tiled.structures.core import Spec

from gbx_beamline.catalog.connect import Catalog, said_in_words
from gbx_beamline.catalog.publish import container

_CONFLICT = 409

Mark = Mapping[str, Any]


def add_mark(
    catalog: Catalog,
    kind: str,
    run_uid: str,
    said: Mapping[str, Any],
    *,
    by: str,
    note: str,
    spec: Spec,
    access_tags: Sequence[str] = (),
) -> None:
    """Add a mark, after those that the run has.

    Args:
        catalog: Where to.
        kind: Container of such marks.
        run_uid: uid of the run, whole.
        said: What the mark says.
        by: Who says so.
        note: Why.
        spec: Of such marks.
        access_tags: Of the run.

    Raises:
        CatalogError: the catalog is unreachable, or takes no marks.
    """
    with said_in_words(catalog.uri):
        marks = container(catalog, kind)
        metadata = {"run_uid": run_uid, **said, "by": by, "note": note, "created": time.time()}
        number = len(marks.search(Key("run_uid") == run_uid))
        while True:
            try:
                marks.create_container(
                    f"{run_uid}-{number:04d}", metadata=metadata, specs=[spec], access_tags=list(access_tags) or None
                )
            except ClientError as error:
                if error.response.status_code != _CONFLICT:
                    raise
                number += 1
            else:
                return


def newest_marks(catalog: Catalog, kind: str) -> dict[str, Mark]:
    """The newest mark of each run, by its uid, oldest first."""
    with said_in_words(catalog.uri):
        if not catalog.has_shelf(kind):
            return {}
        nodes: Any = catalog.shelf(kind)
        listed = sorted((dict(node.metadata) for _, node in nodes.items()), key=lambda mark: mark["created"])
    return {mark["run_uid"]: mark for mark in listed}


def in_words(mark: Mark, verb: str = "marked") -> str:
    """Who said so when, and why."""
    when = f"{datetime.fromtimestamp(mark['created'], UTC):%Y-%m-%d %H:%M} UTC"
    who = f" by {mark['by']}" if mark["by"] else ""
    return f"{verb} {when}{who}" + (f": {mark['note']}" if mark["note"] else "")
