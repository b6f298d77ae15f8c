"""Virtual experiments: photons of every pixel, and the two-time maps that the real analysis makes of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.correlation import two_time
from gbx_beamline.records import TwoTime
from gbx_beamline.simulation._image_fields import add_intensity, advance
from gbx_beamline.simulation._optics import Complex, IndependentPixels, Optics, Pupil
from gbx_beamline.simulation._streamed import counts_dtype
from gbx_beamline.simulation.grain_boundary import Draw
from gbx_beamline.simulation.measurement._expected import expected_two_time
from gbx_beamline.simulation.measurement._field_parts import Part, field_parts
from gbx_beamline.simulation.measurement._modes import mode_weights, uneven_profile
from gbx_beamline.simulation.measurement._q_nodes import node_weights, roi_nodes
from gbx_beamline.simulation.measurement._seeds import Purpose, stream
from gbx_beamline.simulation.measurement._settings import Measurement
from gbx_beamline.simulation.measurement._traces import Traces, traces_of


@dataclass(frozen=True, kw_only=True)
class MeasuredScan:
    """What a virtual experiment measured, and the truth about it."""

    two_time: TwoTime
    """From the photons, as an experiment's."""
    expected: NDArray[np.float64]
    """(Q, N, N) the same maps without noise; NaN where frames are invalid."""
    traces: Traces


def patch_shape(pixels: int) -> tuple[int, int]:
    """(rows, columns) of the patch that holds a q-ROI's pixels, row by row; the last row may be short."""
    columns = math.ceil(math.sqrt(pixels))
    return -(-pixels // columns), columns


def photon_counts(draw: Draw, measurement: Measurement, roi: int, seed: int) -> NDArray[np.uint16] | NDArray[np.uint32]:
    """Photon counts of the pixels of one q-ROI, conditional on one draw of the sample.

    Every coherence mode of every pixel has the field ``sqrt(1 - x) E(t) + sqrt(x) r`` with ``<E E*>`` the correlation F
    of ``expected_two_time``: static and boundary terms are constants times functions of time, the bulk is an
    Ornstein-Uhlenbeck process continued from frame to frame, and beam motion multiplies both by a few functions of the
    displacement. In expectation the counts give ``expected_two_time`` exactly, up to 1e-4 of the intensity with beam
    motion or several boundaries, and up to a polynomial of degree 5 in q within the ROI.

    Args:
        draw: from ``draw_seen``.
        measurement: the settings.
        roi: 0, 1, ...
        seed: same seed, same counts; that of ``traces_of`` too.

    Returns:
        (N, P) counts, row by row of a patch of ``patch_shape(P)``: q grows along its columns, and speckles span rows
        and columns. Invalid frames are 0.

    Raises:
        InputError: a draw of other times or q's than the measurement's.
    """
    part = roi_nodes(draw, measurement, roi)
    traces = traces_of(measurement, seed)
    pixels = measurement.pixels[roi]
    rows, columns = patch_shape(pixels)
    profile = uneven_profile(columns, measurement.of("unevenness", roi))
    brightest = measurement.of("mean_counts", roi) * float(traces.flux.max() * profile.max())
    counts = np.zeros((measurement.frames, rows, columns), dtype=counts_dtype(brightest))
    edges = np.rint(np.concatenate([[0.0], np.cumsum(node_weights(measurement))]) * columns).astype(int)
    for node, (left, right) in enumerate(itertools.pairwise(edges)):
        if left == right:
            continue
        parts = field_parts(
            draw,
            slice(part.start + node, part.start + node + 1),
            static_fraction=measurement.of("static_fraction", roi),
            displacement=traces.displacement,
        )
        strip = _Strip(parts, measurement, roi, (rows, int(right - left)))
        rng = stream(seed, Purpose.PHOTONS, roi, node)
        for frame, speckle in enumerate(strip.speckles(stream(seed, Purpose.FIELDS, roi, node))):
            if traces.valid[frame]:
                level = measurement.of("mean_counts", roi) * traces.flux[frame] * profile[left:right]
                visible = traces.visibility[frame] * (1.0 - measurement.of("background", roi))
                speckle -= np.float32(1.0)
                speckle *= np.float32(visible)
                speckle += np.float32(1.0)
                counts[frame, :, left:right] = rng.poisson(speckle * level)
    return counts.reshape(measurement.frames, -1)[:, :pixels]


def measured_two_time(
    draw: Draw,
    measurement: Measurement,
    seed: int,
    *,
    groups: int = 8,
    max_cells: int = 256,
    q_par: Sequence[float] | None = None,
    threads: int | None = None,
) -> MeasuredScan:
    """A virtual scan through the same analysis as a measured one.

    The q-ROIs lie below each other on one image, each with speckles of its own; frames without beam and lost frames
    are its bad frames.

    Args:
        draw: from ``draw_seen``.
        measurement: the settings.
        seed: same seed, same scan.
        groups: pixel groups, as in ``two_time``.
        max_cells: as in ``two_time``.
        q_par: (Q,) 1/m that the record says, where it is to carry q.
        threads: as in ``two_time``.

    Raises:
        InputError: as ``photon_counts`` and ``two_time``.
    """
    traces = traces_of(measurement, seed)
    shapes = [patch_shape(pixels) for pixels in measurement.pixels]
    labels = np.zeros((sum(rows for rows, _ in shapes), max(columns for _, columns in shapes)), dtype=np.int32)
    frames: NDArray[Any] = np.zeros((measurement.frames, *labels.shape), dtype=np.uint16)
    top = 0
    for roi, (rows, columns) in enumerate(shapes):
        counts = photon_counts(draw, measurement, roi, seed)
        frames = frames.astype(np.promote_types(frames.dtype, counts.dtype), copy=False)
        flat = np.arange(counts.shape[1])
        y, x = top + flat // columns, flat % columns
        frames[:, y, x] = counts
        labels[y, x] = roi + 1
        top += rows
    measured = two_time(
        frames,
        labels,
        frame_time=measurement.frame_time,
        bad_frames=np.flatnonzero(~traces.valid),
        groups=groups,
        max_cells=max_cells,
        threads=threads,
    )
    if q_par is not None:
        measured = replace(measured, q_par=np.asarray(q_par, dtype=np.float64))
    rois = range(len(measurement.pixels))
    return MeasuredScan(
        two_time=striped(measured, traces) if traces.monitor.any() else measured,
        expected=np.stack([expected_two_time(draw, measurement, traces, roi) for roi in rois]),
        traces=traces,
    )


def striped(measured: TwoTime, traces: Traces) -> TwoTime:
    """The maps as if every frame had been normalised by the monitor, with its errors, instead of by its own mean.

    Every row and column t is multiplied by 1 + e(t); those of group maps by the mean over the cell's valid frames.
    """
    stripes = (1.0 + traces.monitor).astype(np.float32)
    group_maps = measured.group_maps
    if group_maps is not None:
        cells = np.ones((len(group_maps), group_maps.shape[-1]), dtype=np.float32)
        for roi, groups in enumerate(measured.groups):
            cells[roi] = _cell_stripes(stripes, traces.valid, groups.frames_per_cell, group_maps.shape[-1])
        group_maps = group_maps * (cells[:, :, None] * cells[:, None, :])[:, None]
    return replace(
        measured,
        g2=measured.g2 * np.outer(stripes, stripes),
        diagonal=measured.diagonal * stripes**2,
        group_maps=group_maps,
    )


def _cell_stripes(
    stripes: NDArray[np.float32], valid: NDArray[np.bool_], width: int, cells: int
) -> NDArray[np.float32]:
    """(cells,) mean factor of each cell of ``width`` frames; 1 where none is valid, or beyond the series."""
    whole = min(cells, len(stripes) // width)
    weight = valid[: whole * width].reshape(whole, width)
    total = np.where(weight, stripes[: whole * width].reshape(whole, width), 0.0).sum(axis=1)
    found = weight.sum(axis=1)
    means = np.ones(cells, dtype=np.float32)
    means[:whole] = np.divide(total, found, out=np.ones(whole), where=found > 0)
    return means


class _Strip:
    """Speckles of pixels that share one q.

    Fields evolve as coefficients of the optics, which are fewer than pixels, and become images once a frame.
    """

    def __init__(self, parts: tuple[Part, ...], measurement: Measurement, roi: int, shape: tuple[int, int]) -> None:
        self._parts = parts
        self._frame_time = measurement.frame_time
        self._weights = mode_weights(measurement.of("contrast", roi)).astype(np.float32)
        self._reference = measurement.of("reference", roi)
        self._shape = shape
        self._optics = _not_periodic(shape, measurement.speckle_size)

    def speckles(self, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
        """(rows, columns) intensity of mean 1 in each frame, a new array each time."""
        fields = [_Evolving(part, self._optics, len(self._weights), self._frame_time, rng) for part in self._parts]
        factors = [(np.sqrt(1.0 - self._reference) * part.factors[0]).astype(np.complex64) for part in self._parts]
        for frame in range(len(factors[0])):
            total = np.zeros(fields[0].values.shape[1], dtype=np.complex64)
            for field, phi in zip(fields, factors, strict=True):
                field.go_to(frame, rng)
                total += phi[frame] @ field.values
            yield self._intensity(total.reshape(len(self._weights), -1))

    def _intensity(self, coefficients: Complex) -> NDArray[np.float32]:
        fields = self._optics.images(coefficients)
        if self._reference > 0.0:
            fields = fields + np.float32(math.sqrt(self._reference)) * self._optics.carrier
        total = np.zeros(self._shape, dtype=np.float32)
        for field, weight in zip(fields[:, : self._shape[0], : self._shape[1]], self._weights, strict=True):
            add_intensity(total.reshape(-1), field.reshape(-1), weight)
        return total


class _Evolving:
    """The fields of one part in all modes, as coefficients."""

    def __init__(self, part: Part, optics: Optics, modes: int, frame_time: float, rng: np.random.Generator) -> None:
        self._optics = optics
        self._growth = part.renewed if part.rates is None else part.renewed + float(part.rates[0]) * frame_time
        self._terms, self._modes = part.factors.shape[-1], modes
        self.values = self._noise(rng)
        """(J, modes x coefficients)."""
        self._last = -1.0
        self._keep = self._fresh = np.empty(0, dtype=np.float32)

    def go_to(self, frame: int, rng: np.random.Generator) -> None:
        """From the frame before to this one."""
        if frame == 0 or self._growth[frame - 1] == 0.0:
            return
        if self._growth[frame - 1] != self._last:
            self._last = float(self._growth[frame - 1])
            size = self.values.shape[1]
            self._keep = np.full(size, math.exp(-self._last), dtype=np.float32)
            self._fresh = np.full(size, math.sqrt(-math.expm1(-2.0 * self._last)), dtype=np.float32)
        advance(self.values, self._noise(rng), self._keep, self._fresh)

    def _noise(self, rng: np.random.Generator) -> Complex:
        return self._optics.noise(rng, self._terms * self._modes).reshape(self._terms, -1)


def _not_periodic(shape: tuple[int, int], speckle_size: float) -> Optics:
    """Optics of an image that is larger by two speckles, so that no speckle lies on both ends of the patch."""
    if speckle_size <= 1.0:
        return IndependentPixels(shape)
    margin = math.ceil(2.0 * speckle_size)
    return Pupil((shape[0] + margin, shape[1] + margin), speckle_size)
