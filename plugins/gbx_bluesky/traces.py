"""Per-frame side traces: sample temperature, ring current and beam position on the detector's time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from ophyd.status import Status
from scipy.signal import lfilter

from gbx_beamline.errors import InputError, SeriesError

STREAM = "traces"
"""Name of the event stream."""

UNITS = {"sample_temperature": "K", "ring_current": "mA", "beam_x": "um", "beam_y": "um"}
"""Columns measured once per frame, with the units beamline archivers keep them in."""


class TraceModel(Protocol):
    """Where the values of the traces come from."""

    def values(
        self, elapsed: NDArray[np.float64], temperature: float | None, series: int
    ) -> Mapping[str, NDArray[np.float64]]:
        """One (N,) array for each key of ``UNITS``.

        Args:
            elapsed: (N,) detector time since the first series of the run began, s, evenly spaced.
            temperature: What the sample stage reads as the series begins, K; None without a stage.
            series: How many series were asked for before, since the flyer was made.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class SmoothTraces:
    """A quiet beamline: slow drifts as stationary Gaussian processes, and a ring that is topped up.

    Each drift is an Ornstein-Uhlenbeck process sampled exactly, with covariance
    ``rms^2 exp(-|t - t'| / correlation_time)``; the current decays exponentially between top-ups.
    """

    seed: int
    temperature: float = 299.0
    """K, where no sample stage is given."""
    temperature_rms: float = 0.02
    """K."""
    beam_rms: float = 0.5
    """um, of each coordinate."""
    correlation_time: float = 60.0
    """s."""
    ring_current: float = 400.0
    """mA right after a top-up."""
    lifetime: float = 36_000.0
    """s, of the stored current."""
    top_up_interval: float = 120.0
    """s."""

    def values(
        self, elapsed: NDArray[np.float64], temperature: float | None, series: int
    ) -> Mapping[str, NDArray[np.float64]]:
        """As in ``TraceModel``; the drifts depend on the seed and on ``series`` alone."""
        step = float(elapsed[1] - elapsed[0]) if len(elapsed) > 1 else 0.0
        generator = np.random.default_rng([self.seed, series])
        drift = self._drifts(generator, len(elapsed), step)
        stage = self.temperature if temperature is None else temperature
        return {
            "sample_temperature": stage + self.temperature_rms * drift[0],
            "ring_current": self.ring_current * np.exp(-np.mod(elapsed, self.top_up_interval) / self.lifetime),
            "beam_x": self.beam_rms * drift[1],
            "beam_y": self.beam_rms * drift[2],
        }

    def _drifts(self, generator: np.random.Generator, count: int, step: float) -> NDArray[np.float64]:
        memory = float(np.exp(-step / self.correlation_time))
        noise = generator.standard_normal((3, count))
        noise[:, 1:] *= np.sqrt(1.0 - memory**2)
        return np.asarray(lfilter([1.0], [1.0, -memory], noise, axis=1), dtype=np.float64)


class RecordedTraces:
    """Values measured before, one row per frame.

    Args:
        columns: (N,) array for each key of ``UNITS``. Consecutive series take consecutive rows.
    """

    def __init__(self, columns: Mapping[str, ArrayLike]) -> None:
        self._columns = {key: np.asarray(values, dtype=np.float64) for key, values in columns.items()}
        if set(self._columns) != set(UNITS) or len({v.shape for v in self._columns.values()}) != 1:
            shapes = {key: values.shape for key, values in self._columns.items()}
            raise InputError(
                f"traces {shapes}",
                needed=f"one array per frame for each of {', '.join(UNITS)}, all of one length",
                action="give the missing columns or cut the longer ones",
            )
        for key, values in self._columns.items():
            if values.ndim != 1 or not np.isfinite(values).all():
                raise InputError(
                    f"trace {key!r} of shape {values.shape} holds {np.count_nonzero(~np.isfinite(values))} gaps",
                    needed="one finite number per frame",
                    action="fill or cut the rows that were not measured",
                )
        self._next = 0

    def values(
        self, elapsed: NDArray[np.float64], temperature: float | None, series: int
    ) -> Mapping[str, NDArray[np.float64]]:
        """As in ``TraceModel``; what was measured depends on neither ``temperature`` nor ``series``.

        Raises:
            SeriesError: more frames than rows are left.
        """
        del temperature, series
        rows = len(next(iter(self._columns.values())))
        start, stop = self._next, self._next + len(elapsed)
        if stop > rows:
            raise SeriesError(
                f"recorded traces have {rows} rows",
                needed=f"rows {start} to {stop - 1} for this series",
                action="record longer, or take fewer frames",
            )
        self._next = stop
        return {key: values[start:stop] for key, values in self._columns.items()}


class SideTraces:
    """Flyer that yields one row per frame in the stream ``traces``.

    ``prepare`` says how long a series is, ``kickoff`` marks its beginning, and after ``complete`` one event page
    per series holds N rows. Each row is stamped with detector time, ``trigger + i * frame_time``: a simulated
    series takes less time than it stands for, so the next one begins where its physical time ended. The column
    ``elapsed`` holds that time since the first series of the run, s.
    """

    parent = None

    def __init__(self, model: TraceModel, *, temperature: Any = None, name: str = STREAM) -> None:
        """Args are those of the class: ``temperature`` is a device whose ``readback`` is in K."""
        self.name = name
        self._model = model
        self._temperature = temperature
        self._frames = 0
        self._frame_time = 0.0
        self._run_began: float | None = None
        self._end = 0.0
        self._series = 0
        self._page: dict[str, Any] | None = None

    def prepare(self, settings: tuple[int, float]) -> Status:
        """Begin a run whose series have ``settings = (frames, frame_time in s)``."""
        frames, frame_time = settings
        if frames < 1 or not frame_time > 0:
            raise InputError(
                f"{frames} frames every {frame_time!r} s",
                needed="at least one frame and a positive time",
                action="correct them",
            )
        self._frames, self._frame_time = int(frames), float(frame_time)
        self._run_began, self._page = None, None
        return _done()

    def kickoff(self) -> Status:
        """The detector is about to be triggered.

        Raises:
            InputError: ``prepare`` was not called.
        """
        if self._frames == 0:
            raise InputError(
                f"{self.name} does not know the series", needed="frames and frame time", action="call prepare first"
            )
        began = time.time()
        if self._run_began is None:
            self._run_began = began
        else:
            began = max(began, self._end)
        elapsed = began - self._run_began + np.arange(self._frames, dtype=np.float64) * self._frame_time
        self._end = began + self._frames * self._frame_time
        stage = None if self._temperature is None else float(self._temperature.readback.get())
        columns: dict[str, NDArray[Any]] = {
            "elapsed": elapsed,
            **self._model.values(elapsed, stage, self._series),
        }
        self._series += 1
        stamps = (self._run_began + elapsed).tolist()
        self._page = {
            "data": {key: values.tolist() for key, values in columns.items()},
            "timestamps": dict.fromkeys(columns, stamps),
            "time": stamps,
        }
        return _done()

    def complete(self) -> Status:
        """The detector has finished the series."""
        return _done()

    def describe_collect(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Columns of the stream."""
        units = {"elapsed": "s", **UNITS}
        return {
            STREAM: {
                key: {"source": f"SIM:{self.name}", "dtype": "number", "dtype_numpy": "<f8", "shape": [], "units": unit}
                for key, unit in units.items()
            }
        }

    def collect_pages(self) -> Iterator[dict[str, Any]]:
        """The rows of the last series, once."""
        page, self._page = self._page, None
        if page is not None:
            yield page


def _done() -> Status:
    status = Status()
    status.set_finished()
    return status
