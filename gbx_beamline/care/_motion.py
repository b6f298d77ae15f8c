"""Whether the speckles of a ROI, or its centre of intensity, moved during a series."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from gbx_beamline.care._blocks import BlockSums
from gbx_beamline.config import CareConfig
from gbx_beamline.correlation._static import smoothed
from gbx_beamline.errors import InputError
from gbx_beamline.records import MotionCheck

LARGEST_BOX = 512
"""Rows and columns of the image that is transformed; a larger bounding box is binned by whole pixels."""

FARTHEST = 16
"""Pixels of the (binned) image within which a shift is looked for."""

FEWEST = 64
"""Pixels below which neither centroid nor shift means anything."""

PEAK_SIGMAS = 8.0
"""Noise of the cross-correlation that its peak must exceed: among the 33 x 33 shifts chance reaches 5."""

CONFIRMED = 2
"""Blocks that must show a shift."""

BLUR = 1.0
"""Standard deviation of the smoothing of the cross-correlation, pixels."""

PEAK_RATIO = 2.0
"""Times the next highest value that a peak must have: few speckles have tails that no standard deviation tells."""

TILE = 8
"""Rows and columns of the tiles whose scatter gives the centroid's error: larger than a speckle."""

CHANGE = 0.05
"""Relative change of intensity worth a word: a tenth of the flux, lost over a series, must not stay unsaid."""

STEADY = 0.8
"""Of the whole change: what a straight line over time takes up where the intensity falls or grows steadily."""


def check_motion(
    blocks: BlockSums,
    y: NDArray[np.integer],
    x: NDArray[np.integer],
    *,
    frame_time: float = 1.0,
    settings: CareConfig | None = None,
) -> MotionCheck:
    """Intensity, centre of intensity and speckle shift of one ROI, block by block.

    The shift is the peak of the cross-correlation of two block images, each divided by its smoothed level and 0 where
    the ROI has no pixel, normalised by the overlap at that shift; a parabola through three points gives the fraction
    of a pixel (Pan et al., Meas. Sci. Technol. 20, 062001 (2009)). Its noise is the robust scatter of the
    cross-correlation away from the peak. Speckles that have decorrelated have no peak: the shift from the first block
    is then unknown, and that from the previous block may still be known. Patterns that belong to the detector or the
    optics pin a shift to 0.

    Args:
        blocks: of the valid frames.
        y: (P,) row of each pixel on the detector.
        x: (P,) column.
        frame_time: s.
        settings: ``smallest_shift``, ``motion_sigmas``.

    Returns:
        MotionCheck.

    Raises:
        InputError: positions that do not fit the blocks.
    """
    settings = settings or CareConfig()
    y, x = np.asarray(y, dtype=np.int64), np.asarray(x, dtype=np.int64)
    count, pixels = blocks.sums.shape
    if y.shape != (pixels,) or x.shape != (pixels,):
        raise InputError(
            f"positions of shapes {y.shape} and {x.shape} for {pixels} pixels",
            needed="one row and one column per pixel",
            action="give the positions of this ROI",
        )
    found = _Measured(count)
    totals = blocks.sums.sum(axis=1)
    noise = np.sqrt(totals)
    reason = _why_not(blocks, totals, settings)
    if not reason:
        level = np.maximum(smoothed(y, x, blocks.sums.sum(axis=0)), 1e-9)
        level /= level.mean()
        tile = _tiles(y, x)
        _centroids(found, blocks.sums, totals, level, y, x, tile)
        noise = _intensity_noise(blocks, totals, tile)
        _shifts(found, blocks.sums / level, y, x)
        reason = (
            "" if np.isfinite(found.previous).any() else "the speckles of neighbouring blocks have nothing in common"
        )
    scale = np.maximum(blocks.frames * max(1, pixels), 1)
    moved = _moved(found, settings)
    status = f"motion: {'; '.join(moved)}" if moved else f"not measurable: {reason}" if reason else "none seen"
    return MotionCheck(
        times=blocks.centres * frame_time,
        intensity=totals / scale,
        intensity_error=noise / scale,
        centroid=found.centroid,
        centroid_error=found.centroid_error,
        shift_from_first=found.first,
        shift_from_previous=found.previous,
        shift_error=found.error,
        moved=bool(moved),
        status=status,
        notes=_intensity_notes(totals / scale, noise / scale),
    )


class _Measured:
    """Centroids and shifts, NaN until known."""

    def __init__(self, blocks: int) -> None:
        self.centroid = np.full((blocks, 2), np.nan)
        self.centroid_error = (np.nan, np.nan)
        self.first = np.full((blocks, 2), np.nan)
        self.previous = np.full((blocks, 2), np.nan)
        self.error = np.full((blocks, 2), np.nan)


def _why_not(blocks: BlockSums, totals: NDArray[np.float64], settings: CareConfig) -> str:
    count, pixels = blocks.sums.shape
    if not settings.applies("motion"):
        return "switched off"
    if count < 2:
        return f"{count} block(s) of frames"
    if pixels < FEWEST:
        return f"{pixels} pixels"
    if totals.min() < pixels / 100:
        return "fewer than one photon per 100 pixels in a block of frames"
    return ""


def _tiles(y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.int64]:
    """(P,) tile of each pixel. They hold whole speckles: what they deviate by is speckle and photon noise at once."""
    _, tile = np.unique((y // TILE) * (x.max() + TILE) + x // TILE, return_inverse=True)
    return tile


def _intensity_noise(blocks: BlockSums, totals: NDArray[np.float64], tile: NDArray[np.int64]) -> NDArray[np.float64]:
    """(B,) counts by which photons and speckles that come and go scatter a block's total; those that stay do not."""
    whole = blocks.sums.sum(axis=0)
    share = whole / whole.sum()
    return np.array(
        [
            np.sqrt(np.sum(np.bincount(tile, weights=image - total * share) ** 2))
            for image, total in zip(blocks.sums, totals, strict=True)
        ]
    )


def _centroids(
    found: _Measured,
    sums: NDArray[np.float64],
    totals: NDArray[np.float64],
    level: NDArray[np.float64],
    y: NDArray[np.int64],
    x: NDArray[np.int64],
    tile: NDArray[np.int64],
) -> None:
    place = np.column_stack([y, x]).astype(np.float64)
    found.centroid = sums @ place / totals[:, None]
    variance = np.zeros(2)
    for image, total, centre in zip(sums, totals, found.centroid, strict=True):
        off = image / total - level / level.sum()
        for axis in range(2):
            variance[axis] += np.sum(np.bincount(tile, weights=off * (place[:, axis] - centre[axis])) ** 2)
    rows, columns = np.sqrt(variance / len(sums))
    found.centroid_error = (float(rows), float(columns))


def _shifts(found: _Measured, flat: NDArray[np.float64], y: NDArray[np.int64], x: NDArray[np.int64]) -> None:
    """Cross-correlate every block with the first and with the one before."""
    row, column = y - y.min(), x - x.min()
    factor = -(-max(int(row.max()), int(column.max()), 1) // LARGEST_BOX)
    row, column = row // factor, column // factor
    shape = (int(row.max()) + 1, int(column.max()) + 1)
    # Padded by the farthest shift, so that nothing comes back from the other side.
    size = tuple(scipy.fft.next_fast_len(side + min(FARTHEST, side), real=True) for side in shape)
    where = row * shape[1] + column
    entries = np.bincount(where, minlength=shape[0] * shape[1])
    inside = entries > 0
    mask = _transform(inside.astype(np.float64), shape, size)
    overlap = _near(mask, mask, size, shape)

    def image(values: NDArray[np.float64]) -> NDArray[np.complex64]:
        total = np.bincount(where, weights=values / values.mean(), minlength=inside.size)
        off = np.divide(total, entries, out=np.zeros(inside.size), where=inside)
        off[inside] -= off[inside].mean()
        return _transform(off, shape, size)

    first = before = image(flat[0])
    for block in range(1, len(flat)):
        now = image(flat[block])
        found.first[block], found.error[block, 0] = _peak(_near(first, now, size, shape), overlap, factor)
        if block == 1:
            found.previous[1], found.error[1, 1] = found.first[1], found.error[1, 0]
        else:
            found.previous[block], found.error[block, 1] = _peak(_near(before, now, size, shape), overlap, factor)
        before = now
    found.first[0], found.error[0, 0] = 0.0, 0.0


def _transform(values: NDArray[np.float64], shape: tuple[int, int], size: tuple[int, ...]) -> NDArray[np.complex64]:
    return np.asarray(scipy.fft.rfft2(values.reshape(shape).astype(np.float32), s=size), dtype=np.complex64)


def _near(
    first: NDArray[np.complex64], second: NDArray[np.complex64], size: tuple[int, ...], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """(2 r + 1, 2 c + 1) correlation at shifts of second against first up to r rows and c columns."""
    whole = scipy.fft.irfft2(first.conj() * second, s=size)
    reach = [min(FARTHEST, side // 4) for side in shape]
    rows, columns = (np.arange(-far, far + 1) for far in reach)
    return np.asarray(whole[np.ix_(rows, columns)], dtype=np.float64)


def _peak(product: NDArray[np.float64], overlap: NDArray[np.float64], factor: int) -> tuple[NDArray[np.float64], float]:
    """Shift (rows, columns) in detector pixels and its error; NaN without a clear peak inside the range."""
    unknown = np.full(2, np.nan), np.nan
    if min(product.shape) < 3:
        return unknown
    enough = overlap > max(FEWEST, 0.25 * overlap.max())
    # A sum over fewer pixels scatters less, its mean more: in units of the root all shifts scatter alike.
    # Smoothing over a speckle keeps photon noise, which is white, from choosing the peak's pixel.
    sure = np.where(enough, gaussian_filter(product / np.sqrt(np.maximum(overlap, 1.0)), BLUR), 0.0)
    top = np.unravel_index(int(np.argmax(sure)), sure.shape)
    rows, columns = np.indices(sure.shape)
    # A speckle and its first ring around the peak are signal.
    away = enough & (np.hypot(rows - top[0], columns - top[1]) > 4.0)
    if away.sum() < 16 or any(not 0 < at < side - 1 for at, side in zip(top, sure.shape, strict=True)):
        return unknown
    noise = 1.4826 * float(np.median(np.abs(sure[away] - np.median(sure[away]))))
    highest = float(np.max(sure[away], initial=0.0))
    if sure[top] < max(PEAK_SIGMAS * noise, PEAK_RATIO * highest):
        return unknown
    height = sure / np.sqrt(np.maximum(overlap, 1.0))
    noise /= float(np.sqrt(overlap[top]))
    shift, variance = np.empty(2), 0.0
    for axis in range(2):
        line = height[:, top[1]] if axis == 0 else height[top[0]]
        low, middle, high = line[top[axis] - 1 : top[axis] + 2]
        bend = low - 2.0 * middle + high
        if bend >= 0:
            return unknown
        shift[axis] = top[axis] - (height.shape[axis] // 2) + 0.5 * (low - high) / bend
        variance = max(variance, 0.5 * (noise / bend) ** 2)
    return factor * shift, factor * float(np.sqrt(variance))


def _moved(found: _Measured, settings: CareConfig) -> list[str]:
    """What moved, in words."""
    words: list[str] = []
    last = "from the first frames"
    for shift, error, since in (
        (found.first, found.error[:, 0], last),
        (found.previous, found.error[:, 1], "from one block of frames to the next"),
    ):
        size = np.hypot(*shift.T)
        sure = np.isfinite(size) & (size > np.maximum(settings.smallest_shift, settings.motion_sigmas * error))
        # One block alone may be chance, where speckles are few; what moved stays moved or moves again.
        if sure.sum() >= min(CONFIRMED, len(size) - 1) and sure.any() and not words:
            at = int(np.argmax(np.where(sure, size, -1.0)))
            words.append(
                f"speckles shift by {size[at]:.2g} +- {error[at]:.1g} pixels {since} "
                f"(rows {shift[at, 0]:+.2g}, columns {shift[at, 1]:+.2g})"
            )
    if found.centroid.size and np.isfinite(found.centroid).all():
        offset = found.centroid - np.median(found.centroid, axis=0)
        spread = offset[np.argmax(np.abs(offset), axis=0), [0, 1]]
        limit = np.maximum(settings.smallest_shift, settings.motion_sigmas * np.array(found.centroid_error))
        if (np.abs(spread) > limit).any():
            words.append(
                f"the centre of intensity moves by {np.hypot(*np.ptp(found.centroid, axis=0)):.2g} pixels "
                "(motion, or a changing profile)"
            )
    return words


def _intensity_notes(intensity: NDArray[np.float64], error: NDArray[np.float64]) -> tuple[str, ...]:
    mean = float(intensity.mean()) if intensity.size else 0.0
    if mean <= 0:
        return ("no photon",)
    change = float(np.ptp(intensity)) / mean
    noise = 6.0 * float(np.sqrt(np.mean(error**2))) / mean
    if change <= max(CHANGE, noise):
        return ()
    place = (np.arange(len(intensity)) + 0.5) / len(intensity) - 0.5
    slope = float(place @ intensity / (place @ place)) / mean
    if abs(slope) > STEADY * change:
        share = abs(slope) / (1.0 - 0.5 * slope)
        return (f"intensity {'grows' if slope > 0 else 'falls'} steadily by {share:.0%} over the series",)
    return (f"intensity changes by {change:.0%} over the series",)
