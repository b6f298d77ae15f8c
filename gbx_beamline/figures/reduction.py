"""From what was measured to what can be drawn: cells, colour limits, log-spaced lags and slices at an age."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.figures.words import roi_name
from gbx_beamline.records import ScanResult

MOST_CELLS = 500
"""A drawn panel has about as many pixels on the screen."""
LAGS_PER_DECADE = 12
SAME_TEMPERATURE = 2.0
"""K, as for inference."""


@dataclass(frozen=True, kw_only=True)
class AgeSlice:
    """Correlation with the frames after one age of the sample."""

    age: float
    """s, middle of the frames averaged."""
    tau: NDArray[np.float64]
    """(k,) lag, s: mean over what was averaged."""
    excess: NDArray[np.float64]
    """(k,) mean of g2(t1, t1 + tau) - 1."""


def clean_map(result: ScanResult, index: int, *, whole: bool = False) -> NDArray[np.float32]:
    """(N, N) float32 two-time map of one q-ROI with the shot-noise-free diagonal; NaN where frames are bad.

    Args:
        result: The scan.
        index: Of the q-ROI.
        whole: The map of the whole series instead of the segment that was analysed.
    """
    two_time = result.two_time if whole else result.analysed_two_time
    copy = two_time.g2[index].astype(np.float32)
    np.fill_diagonal(copy, two_time.diagonal[index])
    return copy


def cells(image: NDArray[Any], most: int = MOST_CELLS) -> tuple[NDArray[np.float64], int]:
    """Area means over square cells of an integer number of frames (or pixels), NaN left out.

    Args:
        image: (y, x), may hold NaN.
        most: Largest number of cells along the longer side.

    Returns:
        (y // width, x // width) float64, NaN where a whole cell is NaN, and ``width``. What does not fill a
        cell at the upper ends is dropped.
    """
    width = max(1, -(-max(image.shape) // most))
    rows, columns = (max(1, side // width) for side in image.shape)
    high, wide = (min(width, side) for side in image.shape)
    blocks = image[: rows * high, : columns * wide].astype(np.float64).reshape(rows, high, columns, wide)
    known = np.isfinite(blocks)
    count = known.sum(axis=(1, 3))
    total = np.where(known, blocks, 0.0).sum(axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), width


def correlation_limits(maps: list[NDArray[np.float64]], contrast: float) -> tuple[float, float] | None:
    """Colour limits of g2 maps: 1st and 99.5th percentile off the diagonal.

    A span below half the contrast is widened downwards, so that the noise of a static sample does not fill
    the colour scale and look like dynamics. None when there is nothing finite.
    """
    values = np.concatenate([_off_diagonal(one) for one in maps])
    if values.size == 0:
        return None
    low, high = (float(value) for value in np.percentile(values, (1.0, 99.5)))
    least = 0.5 * contrast if np.isfinite(contrast) and contrast > 0 else 1e-3 * max(abs(high), 1.0)
    return min(low, high - least), high


def drift_limit(drift: NDArray[Any], contrast: float) -> float:
    """Colour limit of a drift map, symmetric about 0: the 99.5th percentile of its size.

    At least a quarter of the contrast, so that a stationary scan looks calm instead of showing magnified noise.
    """
    sizes = np.abs(drift[np.isfinite(drift)])
    limit = float(np.percentile(sizes, 99.5)) if sizes.size else 0.0
    floor = 0.25 * contrast if np.isfinite(contrast) and contrast > 0 else 0.0
    return max(limit, floor) or 1.0


def log_spaced(tau: NDArray[np.float64], finite: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Indices of measured lags, about ``LAGS_PER_DECADE`` per decade, lag 0 left out."""
    candidates = np.flatnonzero(finite & (tau > 0))
    if candidates.size == 0:
        return candidates
    targets = np.unique(np.round(_steps(candidates.size)).astype(np.intp)) - 1
    return candidates[targets]


def age_slices(g2: NDArray[Any], frame_time: float, *, ages: int = 5) -> list[AgeSlice]:
    """g2(t1, t1 + tau) - 1 at some ages t1, averaged over a twentieth of the frames and over log-spaced lags.

    Args:
        g2: (N, N) indexed [t1, t2], baseline 1; NaN rows and columns are left out.
        frame_time: s.
        ages: How many, evenly spread from the start to four fifths of the window.
    """
    frames = g2.shape[0]
    band = max(1, frames // 20)
    edges = np.unique(np.round(_steps(frames))) - 0.5
    slices: list[AgeSlice] = []
    for start in np.unique(np.linspace(0, 0.8 * frames, ages).astype(int)):
        stop = min(start + band, frames)
        rows = g2[start:stop].astype(np.float64)
        lag = np.arange(frames)[None, :] - np.arange(start, stop)[:, None]
        # Lags that only the first frames of the band reach would mix ages at the end of a slice.
        used = np.isfinite(rows) & (lag >= 1) & (lag <= frames - stop)
        bins = np.digitize(lag[used], edges)
        count = np.bincount(bins, minlength=edges.size + 1)
        filled = count > 0
        if not filled.any():
            continue
        tau = np.bincount(bins, weights=lag[used], minlength=edges.size + 1)[filled] / count[filled]
        mean = np.bincount(bins, weights=rows[used], minlength=edges.size + 1)[filled] / count[filled]
        slices.append(AgeSlice(age=(start + stop) / 2 * frame_time, tau=tau * frame_time, excess=mean - 1.0))
    return slices


def information(result: ScanResult) -> NDArray[np.float64]:
    """(Q,) how much signal a q-ROI holds over its noise: contrast x counts x sqrt(pixels).

    The photon-limited scaling of XPCS, Falus et al., J. Synchrotron Rad. 13, 253 (2006). Regions without
    S_noneq, and what an imported map does not know, count as 0.
    """
    two_time = result.analysed_two_time
    known = [one.contrast if one.status == "ok" else 0.0 for one in result.nonequilibrium]
    signal = np.asarray(known) * two_time.mean_counts * np.sqrt(two_time.pixels)
    return np.where(np.isfinite(signal), np.maximum(signal, 0.0), 0.0)


def best_roi(scans: Sequence[ScanResult]) -> str:
    """Name of the q-ROI that holds the most information over some scans, the first of equals."""
    total: dict[str, float] = {}
    for scan in scans:
        for index, amount in enumerate(information(scan)):
            roi = roi_name(scan.rois, index)
            total[roi] = total.get(roi, 0.0) + float(amount)
    return max(total, key=lambda roi: total[roi])


def at_one_temperature(temperatures: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Indices of scans at one temperature, the coldest first: measured ones of one setting differ a little."""
    groups: list[list[int]] = []
    for index in np.argsort(temperatures, kind="stable").tolist():
        if groups and temperatures[index] - temperatures[groups[-1][0]] <= SAME_TEMPERATURE:
            groups[-1].append(index)
        else:
            groups.append([index])
    return [np.array(group, dtype=np.intp) for group in groups]


def true_s_noneq(result: ScanResult) -> list[float] | None:
    """(Q,) true S_noneq of a simulated run; None where the run states none, or not one per q-ROI."""
    stated = (result.scan.truth or {}).get("s_noneq")
    if stated is None or np.shape(stated) != (len(result.rois),):
        return None
    return [float(value) for value in stated]


def _off_diagonal(cells_: NDArray[np.float64]) -> NDArray[np.float64]:
    keep = np.isfinite(cells_) & ~np.eye(*cells_.shape, dtype=bool)
    return cells_[keep]


def _steps(last: int) -> NDArray[np.float64]:
    count = max(2, int(np.ceil(LAGS_PER_DECADE * np.log10(max(last, 2)))) + 1)
    return np.geomspace(1, max(last, 1), count)
