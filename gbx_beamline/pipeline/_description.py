"""What a series says of its run: uid, sample, temperature, simulated truth."""

from __future__ import annotations

import hashlib
import math
import reprlib
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gbx_beamline.frames import Series
from gbx_beamline.quantities import ICE_POINT
from gbx_beamline.records import ScanInfo

_NAMESPACE = uuid.UUID("9ad6cf33-6d0c-4f5c-9b0b-6a4a0f0b7c11")
"""Namespace of the uids of data that never were a Bluesky run."""


def describe(series: Series) -> ScanInfo:
    """What a series says of its run: uid, sample, temperature, simulated truth, access tags."""
    start: Mapping[str, Any] = series.metadata.get("start", {})
    return describe_start(start, source=series.name) if start else _describe_file(series)


def describe_start(start: Mapping[str, Any], *, source: str) -> ScanInfo:
    """What a Bluesky start document says of its run."""
    sample = start.get("sample")
    if isinstance(sample, Mapping):
        sample = sample.get("name")
    return ScanInfo(
        run_uid=str(start["uid"]),
        sample=str(sample) if isinstance(sample, str | int | float) else None,
        temperature=(stated := stated_temperature(start)[0]),
        temperature_set=stated,
        started=_moment(start.get("time")),
        truth=start.get("truth"),
        reference=reference if isinstance(reference := start.get("reference"), str) else None,
        source=source,
    )


def _moment(value: object) -> float | None:
    """Unix time, s; None where the document says something else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        moment = float(value)
    except OverflowError:
        return None
    return moment if math.isfinite(moment) else None


def _describe_file(series: Series) -> ScanInfo:
    uid = series.run_uid or _uid_of_frames(series)
    temperature = series.metadata.get("temperature")
    return ScanInfo(
        run_uid=uid,
        sample=series.metadata.get("sample"),
        temperature=temperature,
        temperature_set=temperature,
        source=series.name,
    )


def _uid_of_frames(series: Series) -> str:
    """A uid of what the series holds: its first, middle and last frame stand for the others."""
    digest = hashlib.sha256(f"{series.name} {series.shape} {series.dtype} {series.frame_time}".encode())
    present = np.flatnonzero(series.present)
    for frame in dict.fromkeys(present[[0, present.size // 2, -1]].tolist()) if present.size else ():
        digest.update(series.read(frame, frame + 1).tobytes())
    return str(uuid.uuid5(_NAMESPACE, digest.hexdigest()))


def stated_temperature(start: Mapping[str, Any]) -> tuple[float | None, str | None]:
    """K, and what to say where the entry is no temperature: that is no reason to leave a scan unanalysed.

    CHX's own key ``T_sample`` is a string in Celsius; ours, ``temperature``, is a number in K.
    """
    key, zero = ("temperature", 0.0) if start.get("temperature") is not None else ("T_sample", ICE_POINT)
    value = start.get(key)
    if value is None:
        return None, None
    try:
        kelvin = float(value) + zero
    except (TypeError, ValueError, OverflowError):
        kelvin = math.nan
    if not (math.isfinite(kelvin) and kelvin > 0):
        unit = "kelvin" if key == "temperature" else "degrees Celsius"
        return None, f"temperature unknown: {key} is {reprlib.repr(value)}, not a number of {unit}"
    return kelvin, None


def uid_of_file(path: Path, told: str = "") -> str:
    """A uid for data that never were a Bluesky run: the same content, the same uid.

    Args:
        path: The file; it need not fit into memory.
        told: What was told of it beside, where that makes it other data.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(told.encode())
    return str(uuid.uuid5(_NAMESPACE, digest.hexdigest()))
