"""Frames of a detector that sees grain boundaries move: every pixel at its own q, one frame after another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import shift as moved_image

from gbx_beamline.errors import InputError, UnitError
from gbx_beamline.simulation._image_fields import add_intensity, add_terms, advance, interpolate
from gbx_beamline.simulation._modes import K_B
from gbx_beamline.simulation._optics import Complex, Optics, optics_of
from gbx_beamline.simulation._streamed import StreamedMovie, checked_image, counts_dtype
from gbx_beamline.simulation.grain_boundary import Draw, GrainBoundary
from gbx_beamline.simulation.measurement._expected import interference, motion_kernel, sample_correlation
from gbx_beamline.simulation.measurement._field_parts import Part, field_parts
from gbx_beamline.simulation.measurement._modes import mode_weights
from gbx_beamline.simulation.measurement._seeds import Purpose, stream
from gbx_beamline.simulation.measurement._settings import Measurement
from gbx_beamline.simulation.measurement._traces import traces_of

SMALLEST_Q = 1e6
"""1/m; below it boundaries of nanometres have no phase left, or the unit is not 1/m."""

OUTLIER = 5.0
"""Times too bright that a lost frame is, where it is not dark."""

_PHASE_STEP = 0.05
"""Largest phase between points of the q grid, rad: linear interpolation is then off by 3e-4 of the field."""

_GRID = (5, 257)
"""Fewest and most points of it."""

_TRUE_Q = 32
"""Most q's at which the true map is computed; more are taken together."""


class GrainBoundaryMovie(StreamedMovie):
    """A frame source of speckles whose field follows one draw of the grain-boundary model, each pixel at its own q.

    ``E_p(t) = sqrt(lambda) sum_b sqrt(w_b) a_b(t; q_p) u_pb + sqrt(1 - lambda) v_p(t)`` in every coherence mode, u
    static and v an Ornstein-Uhlenbeck process of rate ``q_p^2 D`` (avalanches renew both), normalised to the same mean
    intensity at all times; then the measurement's effects as in ``expected_two_time``. Boundary amplitudes are
    interpolated between q's, off by 3e-4 at most for phases up to 12 rad. Memory does not grow with the frames, but for
    a few numbers per frame.

    Of the measurement, everything counts that a whole image has one value of: frames, times, contrast, counts,
    speckle size, background, static fraction, reference, flux, contrast drift, beam motion, lost frames, dump and q
    offset. Pixel numbers, q spread and unevenness are those of the maps given here, and no monitor is used. A frame
    without beam is dark; a lost one is dark or ``OUTLIER`` times too bright, either in half of the cases.

    Args:
        q: (y, x) in-plane q of each pixel as the geometry says it, 1/m.
        boundary: the sample; its own ``q`` is not used.
        measurement: how it is seen; one value of each setting.
        mean_counts: photons per pixel and frame, one number or (y, x); None takes the measurement's.
        q_z: (y, x) out-of-plane q, 1/m, for the bulk under the convention "total"; None takes the boundary's.
        mask: (y, x) True = good. Bad pixels and gaps stay where they are on the detector and count nothing.
        shift: (N, 2) by how many pixels (y, x) the pattern is displaced on the detector; what leaves on one side
            comes in on the other.
        seed: same seed, same movie; also of the draw and the traces.

    Raises:
        InputError: maps that do not fit each other, values out of range, or a setting with several values.
        UnitError: q that looks like 1/Angstrom.
    """

    def __init__(
        self,
        q: ArrayLike,
        boundary: GrainBoundary,
        measurement: Measurement,
        *,
        mean_counts: ArrayLike | None = None,
        q_z: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        shift: ArrayLike | None = None,
        seed: int,
    ) -> None:
        said = _checked_q(q)
        shape = (said.shape[0], said.shape[1])
        _check_single(measurement, boundary, q_z, seed)
        super().__init__((measurement.frames, *shape))
        self.boundary = boundary
        self.measurement = measurement
        self.seed = seed
        self.frame_time = measurement.frame_time
        self.traces = traces_of(measurement, seed)
        self._offset = 1.0 + measurement.q_offset
        self._q = said * self._offset
        out_of_plane = boundary.q_z if q_z is None else q_z
        self._q_z = checked_image(out_of_plane, shape, "q_z").astype(np.float64) * self._offset
        counts = measurement.of("mean_counts", 0) if mean_counts is None else mean_counts
        self._mean = checked_image(counts, shape, "mean_counts")
        self._good = _checked_mask(mask, shape)
        self._shift = _checked_shift(shift, measurement.frames)
        self._brightness = self._frame_brightness()
        self._grid = _q_grid(self._q, boundary)
        self.draw: Draw = self._seen_at(self._grid).draw(self.traces.t, seed)
        """The realisation at the q's between which pixels are interpolated."""
        self._parts = field_parts(
            self.draw,
            slice(None),
            static_fraction=measurement.of("static_fraction", 0),
            displacement=self.traces.displacement,
        )
        self._optics = optics_of(shape, measurement.speckle_size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16, or uint32 where the counts could exceed it."""
        return counts_dtype(float(self._mean.max()) * float(self._brightness.max()))

    def true_two_time(self, q: ArrayLike) -> NDArray[np.float64]:
        """The g2 map of this movie's draw without photon and speckle noise.

        Args:
            q: 1/m as the geometry says; one number, or those of several pixels of equal mean counts, whose maps are
                averaged: more than 32 of them in 32 equal shares, each at its mean q. With a map of ``q_z`` the bulk
                is taken at its mean.

        Returns:
            (N, N) float64; the diagonal is free of shot noise. Frames that are lost or without beam have the value
            they would have had.
        """
        values, shares = _shares(np.asarray(q, dtype=np.float64).ravel() * self._offset)
        draw = self._seen_at(values).draw(self.traces.t, self.seed)
        static, reference = (self.measurement.of(name, 0) for name in ("static_fraction", "reference"))
        kernel = motion_kernel(self.traces.displacement)
        shape = np.zeros((len(self), len(self)))
        for node, share in enumerate(shares):
            field = kernel * (static + (1.0 - static) * sample_correlation(draw, node))
            shape += share * interference(field, reference)
        visible = self._visibility()
        return 1.0 + self.measurement.of("contrast", 0) * np.outer(visible, visible) * shape

    def _seen_at(self, q: NDArray[np.float64]) -> GrainBoundary:
        """The boundary at these true q's."""
        return replace(self.boundary, q=tuple(float(value) for value in q), q_z=float(self._q_z.mean()))

    def _visibility(self) -> NDArray[np.float64]:
        """(N,) coherent share of the light."""
        return self.traces.visibility * (1.0 - self.measurement.of("background", 0))

    def _frame_brightness(self) -> NDArray[np.float64]:
        """(N,) photons of each frame relative to the mean."""
        outlier = stream(self.seed, Purpose.OUTLIERS).random(len(self)) < 0.5
        lost = np.where(outlier, OUTLIER, 0.0) * self.traces.beam
        return self.traces.flux * np.where(self.traces.valid, 1.0, lost)

    def _rates(self) -> NDArray[np.float64]:
        """(n,) decay rate of the bulk's field in each pixel, 1/s."""
        square = self._q**2
        if self.boundary.q_convention == "total":
            square = square + self._q_z**2
        return (self.boundary.diffusivity * square).ravel()

    def _intensities(self) -> Iterator[NDArray[np.float32]]:
        rng = stream(self.seed, Purpose.FIELDS)
        weights = mode_weights(self.measurement.of("contrast", 0)).astype(np.float32)
        pixels = _Interpolation(self._q, self._grid)
        rates = self._rates() * self.frame_time
        fields = [_PartFields(part, pixels, rates, self._optics, len(weights), rng) for part in self._parts]
        visible = self._visibility().astype(np.float32)
        for frame in range(len(self)):
            for field in fields:
                field.go_to(frame, rng)
            total = np.zeros(self._shape[1:], dtype=np.float32)
            for mode, weight in enumerate(weights):
                seen = np.zeros(total.shape, dtype=np.complex64)
                for field in fields:
                    field.add_to(seen.reshape(-1), mode)
                add_intensity(total.reshape(-1), self._on_detector(seen, frame).reshape(-1), weight)
            total -= np.float32(1.0)
            total *= visible[frame]
            total += np.float32(1.0)
            total *= self._mean_image(frame)
            yield total

    def _on_detector(self, field: Complex, frame: int) -> Complex:
        """(y, x) the field where it falls, with the reference."""
        reference = self.measurement.of("reference", 0)
        moved = self._shift is not None and bool(self._shift[frame].any())
        if not (moved or reference):
            return field
        field = field * self._optics.carrier.conj()
        if self._shift is not None and moved:
            field = _displaced(field, self._shift[frame])
        field *= np.float32(math.sqrt(1.0 - reference))
        field += np.float32(math.sqrt(reference))
        return field

    def _mean_image(self, frame: int) -> NDArray[np.float32]:
        """(y, x), or one number for all: photons expected on average, 0 where the detector is blind."""
        mean = self._mean
        if mean.ndim and self._shift is not None and self._shift[frame].any():
            mean = moved_image(mean, self._shift[frame], order=1, mode="nearest")
        if self._good is not None:
            mean = mean * self._good
        return mean * np.float32(self._brightness[frame])

    def _counted(self, frame: int, intensity: NDArray[np.float32]) -> NDArray[Any]:
        return stream(self.seed, Purpose.PHOTONS, frame).poisson(intensity).astype(self.dtype)


class _Interpolation:
    """Between which points of a uniform grid each pixel's q lies."""

    def __init__(self, q: NDArray[np.float64], grid: NDArray[np.float64]) -> None:
        step = (grid[-1] - grid[0]) / (len(grid) - 1)
        place = np.clip((q.ravel() - grid[0]) / step, 0.0, len(grid) - 1)
        self.below = np.minimum(place.astype(np.int32), len(grid) - 2)
        self.share = (place - self.below).astype(np.float32)


class _PartFields:
    """The fields of one part in every mode and pixel."""

    def __init__(
        self,
        part: Part,
        pixels: _Interpolation,
        decay: NDArray[np.float64],
        optics: Optics,
        modes: int,
        rng: np.random.Generator,
    ) -> None:
        self._pixels = pixels
        self._optics = optics
        self._factors = part.factors.astype(np.complex64)
        terms = part.factors.shape[-1]
        self._fields = [self._noise(rng, terms) for _ in range(modes)]
        self._seen = np.empty((terms, pixels.below.size), dtype=np.complex64)
        self._renewed = part.renewed
        self._decay = None if part.rates is None else decay
        self._last = -1.0
        self._keep = self._fresh = np.empty(0, dtype=np.float32)

    def go_to(self, frame: int, rng: np.random.Generator) -> None:
        """From the frame before to this one."""
        interpolate(self._factors[:, frame], self._pixels.below, self._pixels.share, self._seen)
        if frame == 0 or (self._decay is None and self._renewed[frame - 1] == 0.0):
            return
        if self._renewed[frame - 1] != self._last:
            self._last = float(self._renewed[frame - 1])
            grown = self._last + (np.zeros(self._pixels.below.size) if self._decay is None else self._decay)
            self._keep = np.exp(-grown).astype(np.float32)
            self._fresh = np.sqrt(-np.expm1(-2.0 * grown)).astype(np.float32)
        for field in self._fields:
            advance(field, self._noise(rng, len(field)), self._keep, self._fresh)

    def add_to(self, total: Complex, mode: int) -> None:
        """Add the part's field in one mode to (n,) ``total``."""
        add_terms(total, self._seen, self._fields[mode])

    def _noise(self, rng: np.random.Generator, terms: int) -> Complex:
        """(J, n) independent speckle fields."""
        return self._optics.images(self._optics.noise(rng, terms)).reshape(terms, -1)


def _displaced(field: Complex, shift: NDArray[np.float64]) -> Complex:
    """(y, x) the field moved by (y, x) pixels, exactly for what the pupil lets through."""
    y, x = (np.exp(-2j * np.pi * by * scipy.fft.fftfreq(length)) for by, length in zip(shift, field.shape, strict=True))
    ramp = np.outer(y, x).astype(np.complex64)
    return np.asarray(scipy.fft.ifft2(scipy.fft.fft2(field) * ramp), dtype=np.complex64)


def _q_grid(q: NDArray[np.float64], boundary: GrainBoundary) -> NDArray[np.float64]:
    """(G,) uniform from the smallest to the largest q of the map, fine enough for the boundary's heights."""
    low = max(float(q.min()), SMALLEST_Q)
    high = max(float(q.max()), low * (1.0 + 1e-6))
    # A free boundary's middle has the variance k_B T L / (4 k L_y); its highest point in a scan lies within five
    # standard deviations. The largest boundaries are three sigma of their sizes longer.
    length = (boundary.sites - 1) * math.exp(3.0 * boundary.size_spread)
    thermal = math.sqrt(K_B * boundary.temperature * length / (4.0 * boundary.stiffness))
    phase = (high - low) * (abs(boundary.bow) / 4.0 + 5.0 * thermal)
    fewest, most = _GRID
    return np.linspace(low, high, min(max(fewest, math.ceil(phase / _PHASE_STEP) + 1), most))


def _shares(q: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At most ``_TRUE_Q`` q's and their shares of the pixels."""
    values, pixels = np.unique(q, return_counts=True)
    if values.size <= _TRUE_Q:
        return values, pixels / pixels.sum()
    together = np.array_split(np.sort(q), _TRUE_Q)
    return np.array([part.mean() for part in together]), np.array([part.size / q.size for part in together])


def _checked_q(values: ArrayLike) -> NDArray[np.float64]:
    q = np.asarray(values, dtype=np.float64)
    if q.ndim != 2 or q.size == 0 or not np.isfinite(q).all() or (q < 0).any():
        raise InputError(
            f"a map of q of shape {q.shape}",
            needed="(y, x) finite numbers of 0 or more",
            action="give |q| of every pixel, of masked ones too",
        )
    if q.max() < SMALLEST_Q:
        raise UnitError(
            f"q up to {q.max():g}", needed=f"1/m, so above {SMALLEST_Q:g}", action="multiply 1/Angstrom by 1e10"
        )
    return q


def _check_single(measurement: Measurement, boundary: GrainBoundary, q_z: ArrayLike | None, seed: int) -> None:
    if len(measurement.pixels) > 1 or (q_z is None and isinstance(boundary.q_z, tuple)):
        raise InputError(
            f"a measurement of {len(measurement.pixels)} q-ROIs and q_z = {boundary.q_z}",
            needed="one value of each setting: an image has pixels, not q-ROIs",
            action="give the measurement of one q-ROI, and q_z as one number or as a map",
        )
    if seed < 0:
        raise InputError(f"seed {seed}", needed="0 or more", action="correct seed")


def _checked_mask(mask: ArrayLike | None, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    if mask is None:
        return None
    good = np.asarray(mask)
    if good.shape != shape or good.dtype.kind not in "bui" or not np.isin(good, (0, 1)).all():
        raise InputError(
            f"a mask of shape {good.shape} and dtype {good.dtype}",
            needed=f"booleans of shape {shape}, True = good",
            action="correct mask",
        )
    return good.astype(np.float32)


def _checked_shift(shift: ArrayLike | None, frames: int) -> NDArray[np.float64] | None:
    if shift is None:
        return None
    moved = np.asarray(shift, dtype=np.float64)
    if moved.shape != (frames, 2) or not np.isfinite(moved).all():
        raise InputError(
            f"shifts of shape {moved.shape}", needed=f"({frames}, 2) finite pixels (y, x)", action="correct shift"
        )
    return moved
