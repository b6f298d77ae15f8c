"""What a simulated detector sees in the commissioning suite: samples behind attenuators, and recorded frames with
something done to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ophyd import Signal
from ophyd.status import Status

from gbx_beamline.commissioning.injection import Injection, Recorded
from gbx_beamline.errors import InputError, SeriesError
from gbx_beamline.frames import Series
from gbx_bluesky.feeds import Conditions, ConfigurableFeed

LARGEST = 2**31
"""Bytes of a recorded scan up to which it is kept in memory."""

_GAP = np.uint32(1)


class BehindAttenuators:
    """A simulated sample whose photons, and whose motion where the beam drives it, follow the attenuators.

    Args:
        sample: Makes the sample's feed at a transmission; the number counts the runs, for samples that show another
            spot each time.
        attenuators: Positioner whose value is the transmission.
        watcher: Told how many frames of the present series were taken.
    """

    name = "behind_attenuators"
    parent = None

    def __init__(
        self,
        sample: Callable[[float, int], ConfigurableFeed],
        attenuators: Signal,
        *,
        watcher: Callable[[int], None] | None = None,
    ) -> None:
        self._sample = sample
        self._attenuators = attenuators
        self._watcher = watcher
        self._runs = 0
        self._now = self._made()

    def _made(self) -> ConfigurableFeed:
        return self._sample(float(self._attenuators.get()), self._runs)  # type: ignore[arg-type]

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x)."""
        return self._now.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the sample's frames."""
        return self._now.dtype

    @property
    def pixel_mask(self) -> NDArray[np.uint32] | None:
        """As in ``FrameFeed``."""
        return self._now.pixel_mask

    @property
    def truth(self) -> Mapping[str, Any] | None:
        """Of the sample behind the attenuators as they are."""
        return self._now.truth

    def set(self, value: Conditions) -> Status:
        """Take over the conditions of a run, and the transmission."""
        self._now = self._made()
        self._runs += 1
        return self._now.set(value)

    def frames(self, count: int) -> Iterator[NDArray[Any]]:
        """As in ``FrameFeed``."""
        for done, frame in enumerate(self._now.frames(count), start=1):
            if self._watcher is not None:
                self._watcher(done)
            yield frame


class InjectedFeed:
    """A recorded scan with something done to its frames; nothing else of it changes.

    Args:
        series: The scan; it must stay readable.
        injection: What is done.
        watcher: Told how many frames were taken.

    Raises:
        InputError: it cannot be done to this scan.
        SeriesError: frames of the scan are absent.
    """

    truth = None

    def __init__(self, series: Series, injection: Injection, *, watcher: Callable[[int], None] | None = None) -> None:
        if series.missing:
            raise SeriesError(
                f"{series.name}: {', '.join(series.missing)} absent",
                needed="a complete scan",
                action="restore the files, or measure the scan again",
            )
        if series.dtype.kind != "u":
            raise SeriesError(
                f"{series.name} of dtype {series.dtype}", needed="unsigned counts", action="choose an Eiger scan"
            )
        self.scan = recorded(series, whole=injection.needs_all)
        self._injection = injection
        self._series = series
        self._watcher = watcher
        injection.check(self.scan)

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x)."""
        return self._series.shape[1], self._series.shape[2]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the frames that come out: sums of frames need more room."""
        return self._injection.dtype(self._series.dtype)

    @property
    def pixel_mask(self) -> NDArray[np.uint32]:
        """(y, x) as in ``FrameFeed``: what the scan's own mask leaves out is a gap here."""
        return np.where(self._series.mask, np.uint32(0), _GAP)

    @property
    def length(self) -> int:
        """Frames there are."""
        return self._injection.length(self.scan)

    @property
    def frame_time(self) -> float:
        """s between them."""
        return self._injection.frame_time(self.scan)

    def frames(self, count: int) -> Iterator[NDArray[Any]]:
        """As in ``FrameFeed``, from the first frame on."""
        if count > self.length:
            raise SeriesError(
                f"{count} frames asked for", needed=f"at most {self.length}, which there are", action="take fewer"
            )
        return self._each(count)

    def _each(self, count: int) -> Iterator[NDArray[Any]]:
        for index in range(count):
            yield self._injection.frame(self.scan, index).astype(self.dtype)
            if self._watcher is not None:
                self._watcher(index + 1)


def recorded(series: Series, *, whole: bool = False) -> Recorded:
    """A series as injections read it: in memory where it fits there, else frame by frame.

    Args:
        series: The scan.
        whole: True refuses a scan that does not fit, because its frames are needed at random.

    Raises:
        InputError: it does not fit.
    """
    size = len(series) * series.shape[1] * series.shape[2] * series.dtype.itemsize
    blind = ~series.mask
    if size <= LARGEST:
        counts = series.read(0, len(series))
        counts[:, blind] = 0
        return Recorded(lambda index: counts[index], len(series), series.frame_time, series.mask)
    if whole:
        raise InputError(
            f"{series.name} of {size / 2**30:.1f} GiB",
            needed=f"at most {LARGEST / 2**30:.0f} GiB, because every frame is needed at any time",
            action="take a shorter scan for this trial",
        )

    def read(index: int) -> NDArray[Any]:
        frame = series.read(index, index + 1)[0]
        frame[blind] = 0
        return frame

    return Recorded(read, len(series), series.frame_time, series.mask)
