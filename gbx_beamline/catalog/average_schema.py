"""Layout of averages over repeats in the catalog, and the way from and to our dataclass.

::

    processed/
      attempts/<uuid>            arrays, as for results
      averages/<hash>            pointer to the attempt

The hash is that of the members' record keys and of how they were averaged: the same members, the same average. Pointers
are created once and never changed; a member that is analysed anew makes another average.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from tiled.structures.core import Spec

from gbx_beamline.catalog.codec import plain, record
from gbx_beamline.errors import InputError, SchemaError
from gbx_beamline.records import AVERAGE_VERSION, RepeatsAverage

AVERAGES = "averages"

AVERAGE_SPEC = Spec("XPCSAverage", f"{AVERAGE_VERSION}.0")

_ARRAYS = ("tau", "g2", "error", "noise", "curves", "two_time", "two_time_error")


def average_key(members: Iterable[str], *, common_window: bool) -> str:
    """Key of the average of these correlation records, in whatever order.

    Args:
        members: Keys of their records.
        common_window: Whether longer scans were cut.

    Raises:
        InputError: a member that is in no catalog.
    """
    keys = sorted(members)
    if not all(keys):
        raise InputError(
            "an average over results that are in no catalog",
            needed="the keys of the records that entered it",
            action="publish the results first, or keep the average as it is",
        )
    text = "\n".join([f"{AVERAGE_VERSION} {common_window}", *keys])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def average_arrays(average: RepeatsAverage) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of an average, by key in the catalog."""
    return {name: getattr(average, name) for name in _ARRAYS}


def average_metadata(average: RepeatsAverage, *, attempt: str, created: float) -> dict[str, Any]:
    """Everything of an average but its arrays."""
    return {
        "average_version": AVERAGE_VERSION,
        "kind": "average",
        "attempt": attempt,
        "members": [one.record for one in average.repeats],
        "run_uids": [one.run_uid for one in average.repeats],
        "sample": average.sample,
        "temperature": plain(average.temperature),
        "different": average.different,
        "average": plain(average, without=_ARRAYS),
        "units": {"tau": "s", "cell": "s", "map_cell": "s", "q_par": "1/m", "q_z": "1/m", "temperature": "K"},
        "access_tags": list(average.access_tags),
        "created": created,
    }


def average_from(metadata: Mapping[str, Any], arrays: Mapping[str, Any], key: str) -> RepeatsAverage:
    """The average again, from what the catalog holds of it.

    Raises:
        SchemaError: written in another version.
    """
    version = metadata.get("average_version")
    if version != AVERAGE_VERSION:
        raise SchemaError(
            f"average {key} has version {version}",
            needed=f"version {AVERAGE_VERSION}",
            action="read it with the release that wrote it, or average again with this one",
        )
    return record(RepeatsAverage, metadata["average"], **{name: arrays[name] for name in _ARRAYS})
