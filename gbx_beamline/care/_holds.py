"""Holds and ramps of the sample's temperature."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from gbx_beamline.config import HoldConfig
from gbx_beamline.errors import InputError

SPIKES = 5
"""Frames of the running median: a thermocouple's single wrong readings are no ramps."""

DRIFT = 1.5
"""Times ``within_k`` that a hold may drift from end to end. A piece of a slow ramp that fits into the band drifts by
twice that; in a hold only its beginning does."""


class Stretch(NamedTuple):
    """Consecutive frames of one kind."""

    start: int
    stop: int
    hold: bool


def find_holds(temperature: NDArray[np.float64], frame_time: float, settings: HoldConfig) -> tuple[Stretch, ...]:
    """Cut a series into holds and ramps.

    A hold is the longest stretch within ``within_k`` of its middle, if it is longer than ``settle_s`` and does not
    drift through that band from end to end; then the longest beside it, and so on. What is left are ramps. A series
    that stays within the band altogether is one hold. Frames without a temperature take that of the neighbours.

    Args:
        temperature: (N,) K; NaN where it is not known.
        frame_time: s.
        settings: the band and the time.

    Returns:
        Stretches that cover the series, no two ramps beside each other.

    Raises:
        InputError: no temperature at all.
    """
    known = np.flatnonzero(np.isfinite(temperature))
    if not known.size:
        raise InputError("no temperature in any frame", needed="a trace", action="leave the gate out")
    values = np.interp(np.arange(len(temperature)), known, temperature[known])
    values = median_filter(values, SPIKES, mode="nearest")
    if np.ptp(values) <= 2.0 * settings.within_k:
        return (Stretch(0, len(values), hold=True),)
    least = max(2, round(settings.settle_s / frame_time))
    found = sorted(_holds(values, 0, len(values), least, settings.within_k))
    stretches: list[Stretch] = []
    reached = 0
    for start, stop in found:
        if start > reached:
            stretches.append(Stretch(reached, start, hold=False))
        stretches.append(Stretch(start, stop, hold=True))
        reached = stop
    if reached < len(values):
        stretches.append(Stretch(reached, len(values), hold=False))
    return tuple(stretches)


def _holds(values: NDArray[np.float64], start: int, stop: int, least: int, within: float) -> Iterator[tuple[int, int]]:
    """Holds between two frames, the longest first."""
    waiting = [(start, stop)]
    while waiting:
        low, high = waiting.pop()
        if high - low < least:
            continue
        first, last = _longest(values[low:high], 2.0 * within)
        first, last = low + first, low + last
        if last - first < least:
            continue
        # The end of a ramp that was cut before looks calm by itself: what counts is all that it belongs to.
        whole = _trimmed(values, *_widest_around(values, first, last, 2.0 * within), within)
        if _drift(values[slice(*whole)]) <= DRIFT * within:
            first, last = max(low, whole[0]), min(high, whole[1])
            if last - first < least:
                continue
            yield first, last
        waiting += [(low, first), (last, high)]


def _widest_around(values: NDArray[np.float64], first: int, last: int, band: float) -> tuple[int, int]:
    """The longest stretch that holds ``first:last`` and stays within ``band``."""
    left, right = values[:last][::-1], values[first:]
    # Largest and smallest value from frame ``last - 1`` down to each, and from ``first`` up to each.
    left_high, left_low = (
        np.maximum.accumulate(left)[last - first - 1 :],
        np.minimum.accumulate(left)[last - first - 1 :],
    )
    right_high = np.maximum.accumulate(right)[last - first - 1 :]
    right_low = np.minimum.accumulate(right)[last - first - 1 :]
    best, more_right = (0, 0), len(right_high) - 1
    for more_left in range(len(left_high)):
        high, low = left_high[more_left], left_low[more_left]
        while more_right >= 0 and max(high, right_high[more_right]) - min(low, right_low[more_right]) > band:
            more_right -= 1
        if more_right < 0:
            break
        if more_left + more_right > sum(best):
            best = (more_left, more_right)
    return first - best[0], last + best[1]


def _trimmed(values: NDArray[np.float64], first: int, last: int, within: float) -> tuple[int, int]:
    """Without the ends that lie further than ``within`` from the middle value: there a ramp begins or ends."""
    part = values[first:last]
    near = np.flatnonzero(np.abs(part - np.median(part)) <= within)
    return first + int(near[0]), first + int(near[-1]) + 1


def _longest(values: NDArray[np.float64], band: float) -> tuple[int, int]:
    """The longest stretch whose largest less smallest value is at most ``band``; the earliest of equals."""
    highest: deque[int] = deque()
    lowest: deque[int] = deque()
    best, first = (0, 0), 0
    for last, value in enumerate(values.tolist()):
        while highest and values[highest[-1]] <= value:
            highest.pop()
        while lowest and values[lowest[-1]] >= value:
            lowest.pop()
        highest.append(last)
        lowest.append(last)
        while values[highest[0]] - values[lowest[0]] > band:
            first += 1
            if highest[0] < first:
                highest.popleft()
            if lowest[0] < first:
                lowest.popleft()
        if last + 1 - first > best[1] - best[0]:
            best = (first, last + 1)
    return best


def _drift(values: NDArray[np.float64]) -> float:
    """Change from end to end of the line through the values, K."""
    time = np.arange(len(values)) - 0.5 * (len(values) - 1)
    return abs(float(time @ values / (time @ time))) * (len(values) - 1)
