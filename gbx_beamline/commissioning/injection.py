"""What is done to the frames of a recorded scan to see whether the analysis notices, exactly and on real counts.

Every step keeps photon statistics: counts are moved, thinned binomially (a thinned Poisson process is one), added or
left out, never scaled. Frames are asked for by number, so that a series of any length passes through frame by frame.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.records import Bools

Image = NDArray[np.unsignedinteger[Any]]
Reader = Callable[[int], Image]
"""Frame (y, x) of a number, masked pixels 0."""

TILE = 8
"""Pixels on a side of what a jump moves about: a few speckles."""


@dataclass(frozen=True)
class Recorded:
    """A scan as an injection sees it."""

    read: Reader
    frames: int
    frame_time: float
    """s."""
    good: Bools
    """(y, x) False where the detector is blind."""

    def mean_image(self) -> NDArray[np.float64]:
        """(y, x) counts per frame."""
        total = np.zeros(self.good.shape)
        for index in range(self.frames):
            total += self.read(index)
        return total / self.frames


class Injection(ABC):
    """One thing done to a recorded scan."""

    needs_all: ClassVar[bool] = False
    """Whether frames are needed at random, all of them for each that comes out."""

    def dtype(self, own: np.dtype[Any]) -> np.dtype[Any]:
        """Type of the counts that come out, for a scan of type ``own``."""
        return own

    def length(self, scan: Recorded) -> int:
        """Frames that come out."""
        return scan.frames

    def frame_time(self, scan: Recorded) -> float:
        """s between them."""
        return scan.frame_time

    def check(self, scan: Recorded) -> None:
        """Refuse a scan that this cannot be done to.

        Raises:
            InputError: with what is needed.
        """
        if scan.frames < 2:
            raise InputError(f"a scan of {scan.frames} frame(s)", needed="2 and more", action="choose a longer scan")

    @abstractmethod
    def frame(self, scan: Recorded, index: int) -> Image:
        """(y, x) frame ``index`` of what comes out."""


@dataclass(frozen=True, kw_only=True)
class Shift(Injection):
    """From one frame on the pattern lies aside on the detector, by whole pixels.

    A pixel whose pattern came from under a gap or from outside keeps its own counts.
    """

    start: int
    """First frame."""
    rows: int = 0
    columns: int = 0

    def frame(self, scan: Recorded, index: int) -> Image:
        """As ``Injection.frame``."""
        own = scan.read(index)
        if index < self.start:
            return own
        by = (self.rows, self.columns)
        seen = np.roll(scan.good, by, axis=(0, 1))
        return np.where(seen, np.roll(own, by, axis=(0, 1)), own)


@dataclass(frozen=True, kw_only=True)
class Dump(Injection):
    """No beam for a while. Frames that it begins and ends in keep their share of photons."""

    start: float
    """s since the first frame."""
    seconds: float
    seed: int = 0

    def frame(self, scan: Recorded, index: int) -> Image:
        """As ``Injection.frame``."""
        begins, ends = index * scan.frame_time, (index + 1) * scan.frame_time
        dark = max(0.0, min(ends, self.start + self.seconds) - max(begins, self.start)) / scan.frame_time
        return thinned(scan.read(index), 1.0 - dark, (self.seed, index))


@dataclass(frozen=True, kw_only=True)
class FluxRamp(Injection):
    """Flux that falls evenly by a share of what it was."""

    lost: float
    """Share lost by the last frame, 0..1."""
    seed: int = 0

    def frame(self, scan: Recorded, index: int) -> Image:
        """As ``Injection.frame``."""
        left = 1.0 - self.lost * index / (scan.frames - 1)
        return thinned(scan.read(index), left, (self.seed, index))


@dataclass(frozen=True, kw_only=True)
class Jump(Injection):
    """From one frame on a share of each region's speckles is another: tiles of it have changed places.

    Pairs of frames across the jump lose that share of their correlation, pairs on one side of it lose nothing.
    """

    start: int
    """First frame after it."""
    places: NDArray[np.int64]
    """(y, x) flat index of the pixel whose counts each pixel shows afterwards."""
    losses: tuple[float, ...]
    """Share of the correlation that each region loses, for speckles that do not move by themselves."""

    @classmethod
    def in_regions(
        cls, scan: Recorded, labels: NDArray[np.integer[Any]], *, start: int, share: float, seed: int = 0
    ) -> Jump:
        """Choose tiles so that each region loses as nearly as can be the same share.

        Args:
            scan: of a sample that does not move; its mean image tells how much a tile's speckles weigh.
            labels: (y, x) regions, 0 = outside.
            start: first frame after the jump.
            share: of the correlation to be lost, above 0 and below 1/2.
            seed: same seed, same tiles.

        Raises:
            InputError: a region with too few whole tiles, or no region.
        """
        image = scan.mean_image()
        rng = np.random.default_rng(seed)
        places = np.arange(labels.size).reshape(labels.shape)
        losses = []
        for label in range(1, int(labels.max(initial=0)) + 1):
            inside = (labels == label) & scan.good
            corners = _whole_tiles(inside)
            corners = corners[rng.permutation(len(corners))]
            count, lost = _nearest(image, corners, share * _structure(image[inside], scan.frames))
            if not count:
                raise InputError(
                    f"region {label} has {len(corners)} whole tiles of {TILE} x {TILE} pixels",
                    needed=f"enough to exchange {share:.0%} of its speckles",
                    action="choose larger q-ROIs for the reference",
                )
            for corner, other in _exchanged(corners, count):
                places[_tile(corner)] = np.arange(labels.size).reshape(labels.shape)[_tile(other)]
            losses.append(share * lost)
        if not losses:
            raise InputError("no region", needed="at least one q-ROI", action="configure analysis.rois")
        return cls(start=start, places=places, losses=tuple(losses))

    def frame(self, scan: Recorded, index: int) -> Image:
        """As ``Injection.frame``."""
        own = scan.read(index)
        return own if index < self.start else own.ravel()[self.places]


@dataclass(frozen=True, kw_only=True)
class Permuted(Injection):
    """The same frames in an order of chance: whatever followed from time is gone."""

    seed: int = 0

    def frame(self, scan: Recorded, index: int) -> Image:
        """As ``Injection.frame``."""
        order = np.random.default_rng(self.seed).permutation(scan.frames)
        return scan.read(int(order[index]))


@dataclass(frozen=True, kw_only=True)
class Scrambled(Injection):
    """Each tile of pixels shows the frames in an order of its own: no two tiles share any structure in time.

    What is left of S_noneq then is noise, which its correction must take away. Every frame is needed at any time, so
    that the whole scan should be in memory.
    """

    needs_all: ClassVar[bool] = True

    seed: int = 0

    def frame(self, scan: Recorded, index: int) -> Image:
        """As ``Injection.frame``."""
        rows, columns = scan.good.shape
        out = scan.read(index).copy()
        tiles = [(y, x) for y in range(0, rows, TILE) for x in range(0, columns, TILE)]
        every = np.tile(np.arange(scan.frames), (len(tiles), 1))
        orders = np.random.default_rng(self.seed).permuted(every, axis=1)
        for (y, x), order in zip(tiles, orders[:, index].tolist(), strict=True):
            part = (slice(y, y + TILE), slice(x, x + TILE))
            out[part] = scan.read(order)[part]
        return out


@dataclass(frozen=True, kw_only=True)
class Binned(Injection):
    """Frames added in groups, as a longer exposure would have counted them; a rest at the end is left out."""

    factor: int = 2

    def dtype(self, own: np.dtype[Any]) -> np.dtype[Any]:
        """As ``Injection.dtype``: a sum needs more room."""
        del own
        return np.dtype(np.uint32)

    def length(self, scan: Recorded) -> int:
        """As ``Injection.length``."""
        return scan.frames // self.factor

    def frame_time(self, scan: Recorded) -> float:
        """As ``Injection.frame_time``."""
        return scan.frame_time * self.factor

    def check(self, scan: Recorded) -> None:
        """As ``Injection.check``."""
        if self.length(scan) < 2:
            raise InputError(
                f"a scan of {scan.frames} frame(s)", needed=f"{2 * self.factor}", action="choose a longer scan"
            )

    def frame(self, scan: Recorded, index: int) -> Image:
        """As ``Injection.frame``."""
        first = index * self.factor
        total = scan.read(first).astype(np.uint64)
        for further in range(first + 1, first + self.factor):
            total += scan.read(further)
        return total.astype(np.uint32)


def thinned(counts: Image, kept: float, seed: tuple[int, int]) -> Image:
    """Counts of which each photon is kept with this probability."""
    if kept >= 1.0:
        return counts
    if kept <= 0.0:
        return np.zeros_like(counts)
    return np.random.default_rng(seed).binomial(counts, kept).astype(counts.dtype)


def upper_half(labels: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """(y, x) label image in which each region keeps the half of its pixels with the smaller row numbers.

    A half of one piece: its speckles have the size that those of the whole have.
    """
    halved = np.zeros(labels.shape, dtype=np.int32)
    for label in range(1, int(labels.max(initial=0)) + 1):
        where = np.flatnonzero(labels == label)
        halved.flat[where[: math.ceil(where.size / 2)]] = label
    return halved


def _structure(values: NDArray[np.float64], frames: int) -> float:
    """Sum over pixels of the squared deviation from their mean, photon noise of a mean over frames taken off."""
    return float(np.sum((values - values.mean()) ** 2) - np.sum(values) / frames)


def _nearest(image: NDArray[np.float64], corners: NDArray[np.int64], wanted: float) -> tuple[int, float]:
    """How many tiles change places for what is wanted, and what share of it they reach; 0 where it cannot be."""
    before = 0.0
    for count in range(2, len(corners) + 1):
        reached = _moved(image, corners, count) / wanted
        if reached >= 1.0:
            return (count, reached) if count == 2 or reached - 1.0 < 1.0 - before else (count - 1, before)
        before = reached
    return 0, 0.0


def _moved(image: NDArray[np.float64], corners: NDArray[np.int64], count: int) -> float:
    """By how much the sum of products of the image with itself falls when the first tiles change places."""
    return float(
        sum(
            np.sum(image[_tile(one)] * (image[_tile(one)] - image[_tile(other)]))
            for one, other in _exchanged(corners, count)
        )
    )


def _exchanged(corners: NDArray[np.int64], count: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Each of the first tiles, and the one whose place it takes."""
    chosen = corners[:count]
    return list(zip(chosen, np.roll(chosen, 1, axis=0), strict=True))


def _tile(corner: NDArray[np.int64]) -> tuple[slice, slice]:
    y, x = int(corner[0]), int(corner[1])
    return slice(y, y + TILE), slice(x, x + TILE)


def _whole_tiles(inside: Bools) -> NDArray[np.int64]:
    """(n, 2) upper left corners of tiles of a fixed grid that lie inside."""
    rows, columns = inside.shape[0] // TILE, inside.shape[1] // TILE
    blocks = inside[: rows * TILE, : columns * TILE].reshape(rows, TILE, columns, TILE)
    return np.argwhere(blocks.all(axis=(1, 3))) * TILE
