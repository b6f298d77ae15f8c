"""The detector image of a scan: mean or single frame, q-ROIs outlined, and what lies under the cursor."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray

from gbx_beamline.catalog import Catalog
from gbx_beamline.errors import CatalogError, GbxError
from gbx_beamline.figures.reduction import cells
from gbx_beamline.figures.words import number
from gbx_beamline.frames import Series, open_series
from gbx_beamline.geometry import q_maps
from gbx_beamline.records import Bools, Floats, Geometry, Labels
from gbx_viewer.model.maps import NO_VALUE, Limits
from gbx_viewer.model.reading import opened
from gbx_viewer.model.regions import in_words
from gbx_viewer.model.scan import ScanView

MOST_PIXELS = 700
"""Along a side of what is drawn."""
_MOST_CORNERS = 3000
"""Of an outline that is drawn."""
_PERCENTILES = (2.0, 99.8)
"""Of the lit pixels, between which colours run: a few hot pixels and the gaps do not count."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Detector:
    """What a record knows of the detector."""

    mean: NDArray[np.float32]
    """(y, x) counts per frame; NaN where masked."""
    mask: Bools
    """(y, x) True = used."""
    labels: Labels
    """(y, x) 0 = outside, 1..Q."""
    outlines: tuple[tuple[Floats, ...], ...]
    """(Q,) of each q-ROI its closed lines, each (k, 2) x and y in pixels, pixel centres at integers."""
    names: tuple[str, ...]
    geometry: Geometry | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """An image as it is drawn: logarithmic, as indices of colours."""

    image: NDArray[np.uint8]
    """(rows, columns)."""
    masked: NDArray[np.uint8]
    """(rows, columns) 0..255: how much of a cell is masked."""
    counts: NDArray[np.float32]
    """(y, x) what the image is of, for the cursor."""
    pixels_per_cell: int
    limits: Limits
    """Counts of the first and the last colour."""
    said: str
    """What it is, in words."""


def read_detector(catalog: Catalog, view: ScanView) -> Detector:
    """The mean image of a final record, with mask and q-ROIs.

    Raises:
        GbxError: arrays are absent, the scan was a map without frames, or the catalog cannot be read.
    """
    parts = opened(catalog, view)
    mean, labels, mask = parts.array("mean_image"), parts.array("labels"), parts.array("mask").astype(bool)
    if mean.shape != labels.shape or mean.shape != mask.shape or min(mean.shape) < 2:
        raise CatalogError(
            "this record holds no detector image: it was imported as a map",
            needed="a record made from frames",
            action="look at the two-time map",
        )
    return Detector(
        mean=mean,
        mask=mask,
        labels=labels,
        outlines=tuple(_outline(labels == number + 1) for number in range(len(view.names))),
        names=view.names,
        geometry=view.geometry,
    )


def live_detector(view: ScanView, before: Detector | None = None) -> Detector:
    """The newest frame of a running scan, at the detector's size: its live record has area means.

    Args:
        view: The scan.
        before: What an earlier revision of the same scan gave: outlines stay.

    Raises:
        GbxError: no frame was read so far.
    """
    live = view.live
    if live is None or not live.image.size:
        raise CatalogError(
            "no frame of this scan has come so far", needed="a data file that has closed", action="wait for the first"
        )
    image, labels = (
        np.repeat(np.repeat(one, live.image_pixels, axis=0), live.image_pixels, axis=1) for one in live.image
    )
    if before is not None and np.array_equal(before.labels, labels):
        return replace(before, mean=image, mask=np.isfinite(image))
    return Detector(
        mean=image,
        mask=np.isfinite(image),
        labels=labels.astype(np.int32),
        outlines=tuple(_outline(labels == number + 1) for number in range(len(view.names))),
        names=view.names,
        geometry=view.geometry,
    )


def live_said(view: ScanView) -> str:
    """Which frame that is, in words."""
    if view.live is None:
        return ""
    frame = view.live.image_frame
    return f"newest frame, {frame + 1} of {view.expected}, {number(frame * view.frame_time)} s"


class FrameReader:
    """Single frames of raw runs, by slices. Keeps the last series open; for one thread at a time."""

    def __init__(self) -> None:
        self._opened: tuple[Catalog, str, Series] | None = None

    def read(self, catalog: Catalog, uid: str, frame: int) -> NDArray[np.float32]:
        """One frame.

        Args:
            catalog: Where the run is.
            uid: Of the run.
            frame: Its number, from 0.

        Returns:
            (y, x) counts; NaN where the detector masks.

        Raises:
            GbxError: no raw run, a frame that is absent, or the catalog cannot be read.
        """
        series = self._series(catalog, uid)
        if not 0 <= frame < len(series) or not series.present[frame]:
            raise CatalogError(
                f"frame {frame + 1} of {len(series)} is absent",
                needed="a frame that was written",
                action="take another",
            )
        return np.where(series.mask, series.read(frame, frame + 1)[0].astype(np.float32), np.float32(np.nan))

    def _series(self, catalog: Catalog, uid: str) -> Series:
        if self._opened is None or self._opened[0] is not catalog or self._opened[1] != uid:
            self._opened = None
            self._opened = catalog, uid, open_series(catalog.run(uid), allow_incomplete=True, frame_time=1.0)
        return self._opened[2]


def picture(counts: NDArray[np.float32], mask: Bools, said: str) -> Picture:
    """An image ready for the screen.

    Args:
        counts: (y, x); NaN where masked.
        mask: (y, x) True = used.
        said: What it is.

    Raises:
        GbxError: nothing in it is lit.
    """
    masked, _ = cells((~mask).astype(np.float32), MOST_PIXELS)
    binned, width = cells(counts, MOST_PIXELS)
    known = np.isfinite(binned)
    lit = binned[known & (binned > 0)]
    if not lit.size:
        raise CatalogError("no pixel is lit", needed="counts", action="check shutter and mask, or take another frame")
    low, high = (float(value) for value in np.percentile(lit, _PERCENTILES))
    high = max(high, 1.3 * low)
    logarithm = np.log10(np.maximum(binned, low), out=np.zeros_like(binned), where=known)
    scaled = (logarithm - math.log10(low)) * (254.0 / (math.log10(high) - math.log10(low)))
    image = np.clip(scaled, 0.0, 254.0).astype(np.uint8)
    image[~known] = NO_VALUE
    return Picture(
        image=image,
        masked=np.round(255 * masked).astype(np.uint8),
        counts=counts,
        pixels_per_cell=width,
        limits=(low, high),
        said=said,
    )


def under(detector: Detector, counts: NDArray[np.float32], x: int, y: int) -> str:
    """What lies under the cursor, in words; nothing beside the detector."""
    rows, columns = detector.labels.shape
    if not (0 <= x < columns and 0 <= y < rows):
        return ""
    value = float(counts[y, x]) if counts.shape == detector.labels.shape else math.nan
    parts = [f"column {x}, row {y}", "masked" if not detector.mask[y, x] else f"{number(value)} counts"]
    if (where := q_at(detector.geometry, x, y)) is not None:
        assert detector.geometry is not None
        parts.append(in_words(*where, transmission=detector.geometry.mode == "transmission"))
    else:
        parts.append("q not known: the geometry is incomplete")
    label = int(detector.labels[y, x])
    if 0 < label <= len(detector.names):
        parts.append(f"q-ROI {detector.names[label - 1]}")
    return "  ·  ".join(parts)


def q_at(geometry: Geometry | None, x: float, y: float) -> tuple[float, float] | None:
    """q_par and q_z at a place on the detector, 1/m; None where the geometry does not say."""
    if geometry is None or geometry.beam_center_x is None or geometry.beam_center_y is None:
        return None
    # A detector of one pixel, with the beam as far from it as it is from this one.
    pixel = geometry.with_changes(
        shape=(1, 1), beam_center_x=geometry.beam_center_x - x, beam_center_y=geometry.beam_center_y - y
    )
    try:
        found = q_maps(pixel)
    except GbxError:
        return None
    return float(found.q_par[0, 0]), float(found.q_z[0, 0])


def _outline(inside: Bools) -> tuple[Floats, ...]:
    """Lines round a region, at its true size however coarsely the image is drawn."""
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return ()
    top, left = int(rows[0]), int(columns[0])
    part = np.pad(inside[top : rows[-1] + 1, left : columns[-1] + 1], 1).astype(np.float32)
    lines: list[Floats] = []
    for corners in contour_generator(z=part).lines(0.5):
        points = np.asarray(corners, dtype=np.float64) + (left - 1, top - 1)
        step = max(1, math.ceil(len(points) / _MOST_CORNERS))
        lines.append(np.concatenate([points[::step], points[-1:]]))
    return tuple(lines)
