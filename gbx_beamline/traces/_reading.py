"""Configured data keys of a run, as its event streams hold them. Tiled itself is not imported: any client will do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.config import START, ChannelConfig, TracesConfig

ELAPSED = "elapsed"
"""Data key by which a stream tells detector time itself, s since the first frame."""

_IMAGES = "primary"
"""Stream whose events end when a series does."""

_PASSING = (401, 403, 429, 502, 503, 504)
"""HTTP answers that say nothing of a stream: a key that is refused, a server that is overloaded or starting."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What one data key holds."""

    source: str
    """Stream and data key."""
    values: NDArray[Any]
    """(n,) of whatever type, (n, k) where each reading is an array."""
    stamps: NDArray[np.float64]
    """(n,) time stamps, Unix s; NaN where the value has none, as in a start document."""
    elapsed: NDArray[np.float64] | None = None
    """(n,) s since the first frame, where the stream tells it."""
    unit: str | None = None
    """As the stream says it."""


@dataclass(frozen=True, kw_only=True)
class ClockFacts:
    """What a run tells of when its frames were taken; Unix s."""

    run_start: float | None = None
    run_stop: float | None = None
    series_end: float | None = None
    """Last event of the stream of images."""
    frames: Reading | None = None
    """Time stamps of the frames, where they are configured."""
    first_frame: Reading | None = None
    """That of the first, where it is configured."""


@dataclass(frozen=True, kw_only=True)
class Readings:
    """What a run tells of what stood around its frames."""

    channels: Mapping[str, Reading] = field(default_factory=dict)
    clock: ClockFacts = ClockFacts()
    notes: tuple[str, ...] = ()
    """What was configured and is not there, in words."""


def read_channels(run: Any, settings: TracesConfig) -> Readings:
    """Read the configured channels of a run.

    Args:
        run: Container of the run, as Tiled's client gives it; of either layout, or from a databroker.
        settings: Which stream and key each channel is.

    Returns:
        What is there; ``notes`` say what is not. Never raises for what a stream does or does not hold.

    Raises:
        httpx.HTTPError: the server itself cannot be asked.
    """
    source = _Run(run, settings)
    channels: dict[str, Reading] = {}
    notes: list[str] = []
    for name, channel in settings.channels.items():
        found = source.reading(channel)
        if isinstance(found, Reading):
            channels[name] = found
        elif channel.required:
            notes.append(f"trace {name}: {found}")
    ends = source.event_times(_IMAGES)
    told: dict[str, Reading] = {}
    for name in ("frames", "first_frame"):
        channel = getattr(settings.clock, name)
        if channel is None:
            continue
        found = source.reading(channel)
        if isinstance(found, Reading):
            told[name] = found
        else:
            notes.append(f"clock: {found}")
    facts = ClockFacts(
        run_start=_time(source.start.get("time")),
        run_stop=_time(source.stop.get("time")),
        series_end=float(ends[-1]) if ends.size else None,
        **told,
    )
    return Readings(channels=channels, clock=facts, notes=tuple(notes))


class _Run:
    """One run, whose streams are opened once each."""

    def __init__(self, run: Any, settings: TracesConfig) -> None:
        metadata = run.metadata
        self.start: Mapping[str, Any] = metadata.get("start") or {}
        self.stop: Mapping[str, Any] = metadata.get("stop") or {}
        # A run's client may present columns as keys of its own; the plain container shows nodes only.
        plain = getattr(run, "base", run)
        names = _keys(plain)
        self._nodes: Any = plain["streams"] if "streams" in names else plain
        self._names = _keys(self._nodes) if "streams" in names else names
        self._streams: dict[str, _Stream] = {}
        clock = (settings.clock.frames, settings.clock.first_frame)
        self._wanted = [one for one in (*settings.channels.values(), *clock) if one is not None]

    def reading(self, channel: ChannelConfig) -> Reading | str:
        """What a channel holds, or why there is nothing."""
        where = f"{channel.stream}/{channel.key}"
        if channel.stream == START:
            value = self.start.get(channel.key)
            if value is None:
                return f"no {channel.key!r} in the start document"
            return Reading(source=where, values=np.array([value], dtype=object), stamps=np.array([np.nan]))
        if channel.stream not in self._names:
            return f"no stream {channel.stream!r} in the run"
        try:
            return self._stream(channel.stream).reading(channel.key, where)
        except KeyError:
            return f"no data key {channel.key!r} in the stream {channel.stream!r}"
        except (TypeError, ValueError) as error:
            return f"{where} has time stamps that are no numbers ({error})"
        except Exception as error:
            if (status := _status(error)) is None or status in _PASSING:
                raise
            return f"{where} could not be read: the server answers {status}"

    def event_times(self, name: str) -> NDArray[np.float64]:
        """(n,) times of a stream's events, Unix s; empty where there are none."""
        if name not in self._names:
            return np.empty(0)
        try:
            return _floats(self._stream(name).column("time"))
        except (KeyError, TypeError, ValueError):
            return np.empty(0)

    def _stream(self, name: str) -> _Stream:
        if name not in self._streams:
            keys = [channel.key for channel in self._wanted if channel.stream == name]
            self._streams[name] = _Stream(self._nodes[name], {"time", ELAPSED, *keys, *map(_stamp_key, keys)})
        return self._streams[name]


class _Stream:
    """One stream; its keys are asked for once, and the columns of its table that are wanted are read together."""

    def __init__(self, stream: Any, wanted: Collection[str]) -> None:
        self._node = getattr(stream, "base", stream)
        self._names = _keys(self._node)
        self._wanted = wanted
        self._data_keys = _data_keys(self._node)
        self._parts: dict[str, Any] = {}
        self._columns: dict[str, NDArray[Any]] | None = None

    def reading(self, key: str, where: str) -> Reading:
        values = self.column(key)
        tells = ELAPSED in self._data_keys and key != ELAPSED
        return Reading(
            source=where,
            values=values,
            stamps=self._stamps(key, len(values)),
            elapsed=_floats(self.column(ELAPSED)) if tells else None,
            unit=(self._data_keys.get(key) or {}).get("units"),
        )

    def column(self, key: str) -> NDArray[Any]:
        """Values of a column; KeyError where there is none."""
        if "data" in self._names and "internal" not in self._names:
            return np.asarray(self._part("data")[key].read())
        if key in self._names:
            return np.asarray(self._node[key].read())
        if "internal" in self._names:
            return self._of_table(self._part("internal"), key)
        raise KeyError(key)

    def _of_table(self, table: Any, key: str) -> NDArray[Any]:
        if key not in table.columns:
            raise KeyError(key)
        if self._columns is None:
            self._columns = self._read_together(table)
        if key not in self._columns:
            self._columns[key] = np.asarray(table.read([key])[key])
        return self._columns[key]

    def _read_together(self, table: Any) -> dict[str, NDArray[Any]]:
        chosen = [column for column in table.columns if column in self._wanted]
        try:
            found = table.read(chosen)
        except Exception as error:
            if (status := _status(error)) is None or status in _PASSING:
                raise
            # A column that cannot be served must not take the others with it: they are read one by one.
            return {}
        return {column: np.asarray(found[column]) for column in chosen}

    def _stamps(self, key: str, count: int) -> NDArray[np.float64]:
        """Time stamps of a column: its own, else those of the events."""
        if "timestamps" in self._names:
            return _floats(self._part("timestamps")[key].read())
        for column in (_stamp_key(key), "time"):
            try:
                found = _floats(self.column(column))
            except KeyError:
                continue
            if len(found) == count:
                return found
        return np.full(count, np.nan)

    def _part(self, name: str) -> Any:
        if name not in self._parts:
            self._parts[name] = self._node[name]
        return self._parts[name]


def _keys(container: Any) -> list[str]:
    """Not a list of the container itself: that asks how long it will be, another request."""
    return list(iter(container))


def _stamp_key(key: str) -> str:
    """Column of a table with the time stamps of another."""
    return f"ts_{key}"


def _data_keys(stream: Any) -> Mapping[str, Any]:
    metadata = stream.metadata
    if keys := metadata.get("data_keys"):
        return keys
    descriptors = metadata.get("descriptors") or [{}]
    return descriptors[0].get("data_keys") or {}


def _floats(values: Any) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64).ravel()


def _time(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


def _status(error: Exception) -> int | None:
    """Of an HTTP answer, whatever library the client is built on."""
    return getattr(getattr(error, "response", None), "status_code", None)
