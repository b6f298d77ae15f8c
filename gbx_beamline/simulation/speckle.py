"""Speckle movies with known dynamics and Poisson counts, one frame after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gbx_beamline.errors import InputError
from gbx_beamline.simulation._optics import Complex, Pupil
from gbx_beamline.simulation._streamed import StreamedMovie, checked_image, counts_dtype


class SpeckleMovie(StreamedMovie):
    """A frame source of simulated speckles that move at a known rate in every pixel.

    Each of ``modes`` independent fields is an Ornstein-Uhlenbeck process in every pixel,
    ``E <- a E + sqrt(1 - a^2) xi`` with ``a = exp(-integral of the rate from one frame to the next)``, where xi is
    white noise through a circular pupil (a speckle field). The field correlation of a pixel is therefore exactly
    ``f(t1, t2) = s + (1 - s) exp(-integral of the rate from t1 to t2)``, s the static fraction, and
    ``g2 = 1 + |f|^2 / modes``. Frames are instants: the blur within an exposure is not simulated.

    Frames come in order: going back starts again from frame 0. See ``StreamedMovie``.

    Args:
        shape: (y, x) of a frame.
        frames: N.
        rate: decay rate of the field (half that of g2 - 1), 1/s; one number or one per pixel (y, x).
        profile: (N,) factor on the rate in each frame, e.g. ``(1 + t / age) ** -mu`` for ageing; None = 1.
        frame_time: s between frames.
        modes: coherence modes M; the contrast is 1 / M.
        speckle_size: full width at half maximum of a speckle (of the intensity's autocorrelation), pixels, >= 1.
        mean_counts: photons per pixel and frame; one number or one per pixel (y, x).
        static_fraction: share of the field that never moves, 0..1.
        seed: same seed, same movie.

    Raises:
        InputError: a setting out of range or of the wrong shape.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        frames: int,
        *,
        rate: ArrayLike,
        profile: ArrayLike | None = None,
        frame_time: float = 1.0,
        modes: int = 1,
        speckle_size: float = 2.0,
        mean_counts: ArrayLike = 1.0,
        static_fraction: float = 0.0,
        seed: int,
    ) -> None:
        if min(*shape, frames, modes) < 1 or not speckle_size >= 1.0 or seed < 0:
            raise InputError(
                f"shape {shape}, frames {frames}, modes {modes}, speckle_size {speckle_size}, seed {seed}",
                needed="at least one pixel, frame and mode, speckles of at least one pixel and a seed of 0 or more",
                action="correct the setting",
            )
        if not 0.0 <= static_fraction <= 1.0:
            raise InputError(f"static_fraction {static_fraction}", needed="0..1", action="correct it")
        if not (np.isfinite(frame_time) and frame_time > 0):
            raise InputError(f"frame_time {frame_time}", needed="a positive number of s", action="correct it")
        super().__init__((frames, *shape))
        self.frame_time = frame_time
        self.modes = modes
        self.speckle_size = speckle_size
        self.static_fraction = static_fraction
        self.seed = seed
        self._rate = checked_image(rate, shape, "rate")
        self._mean = checked_image(mean_counts, shape, "mean_counts")
        self._profile = _time_profile(profile, frames)
        self._pupil = Pupil(shape, speckle_size)

    @property
    def rate(self) -> NDArray[np.float32]:
        """(y, x) 1/s, or one number for all pixels: what the profile multiplies."""
        return self._rate

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16, or uint32 where the counts could exceed it."""
        return counts_dtype(float(self._mean.max()))

    def field_correlation(self, rate: float) -> NDArray[np.float64]:
        """(N, N) exact f(t1, t2) of a pixel with this rate (1/s), under the movie's profile and static fraction."""
        moving = field_correlation(rate * self._profile, self.frame_time)
        return self.static_fraction + (1.0 - self.static_fraction) * moving

    def true_two_time(self, rate: ArrayLike) -> NDArray[np.float64]:
        """The g2 map without any noise.

        Args:
            rate: 1/s; one number, or those of several pixels of equal mean counts, whose maps are averaged.

        Returns:
            (N, N) ``1 + <|f|^2> / modes``; ``1 + 1 / modes`` on the diagonal.
        """
        rates, shares = np.unique(np.asarray(rate, dtype=np.float64), return_counts=True)
        total = np.zeros((len(self), len(self)))
        for value, share in zip(rates, shares, strict=True):
            total += share * self.field_correlation(float(value)) ** 2
        return 1.0 + total / (shares.sum() * self.modes)

    def _intensities(self) -> Iterator[NDArray[np.float32]]:
        """(y, x) expected photons of each frame."""
        rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence((self.seed, 0))))
        fields = [self._speckle(rng) for _ in range(self.modes)]
        static = [self._speckle(rng) for _ in range(self.modes)] if self.static_fraction > 0 else []
        moved = 0.5 * self.frame_time * (self._profile[1:] + self._profile[:-1])
        keep = fresh = np.empty(0, dtype=np.float32)
        for frame in range(len(self)):
            if frame > 0:
                if frame == 1 or moved[frame - 1] != moved[frame - 2]:
                    decay = self._rate * moved[frame - 1]
                    keep = np.exp(-decay).astype(np.float32)
                    fresh = np.sqrt(-np.expm1(-2.0 * decay)).astype(np.float32)
                for field in fields:
                    noise = self._speckle(rng)
                    field *= keep
                    noise *= fresh
                    field += noise
            yield self._intensity(fields, static)

    def _speckle(self, rng: np.random.Generator) -> Complex:
        """(y, x) complex Gaussian field of unit mean intensity."""
        return self._pupil.images(self._pupil.noise(rng, 1))[0]

    def _intensity(self, fields: list[Complex], static: list[Complex]) -> NDArray[np.float32]:
        total = np.zeros(self._shape[1:], dtype=np.float32)
        moving, still = np.sqrt(np.float32(1.0 - self.static_fraction)), np.sqrt(np.float32(self.static_fraction))
        for mode, field in enumerate(fields):
            seen = moving * field + still * static[mode] if static else field
            total += seen.real**2
            total += seen.imag**2
        total *= self._mean / np.float32(self.modes)
        return total

    def _counted(self, frame: int, intensity: NDArray[np.float32]) -> NDArray[Any]:
        # Its own generator for each frame: skipping frames changes nothing in the others.
        rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence((self.seed, 1, frame))))
        return rng.poisson(intensity).astype(self.dtype)


def field_correlation(rate: ArrayLike, frame_time: float = 1.0) -> NDArray[np.float64]:
    """Field correlation of dynamics whose rate changes in time.

    Args:
        rate: (N,) 1/s in each frame; between frames it is taken as linear.
        frame_time: s between frames.

    Returns:
        (N, N) ``f(t1, t2) = exp(-|integral of the rate from t1 to t2|)``, so that ``g2 - 1 = |f|^2 / modes``.

    >>> field_correlation([1.0, 1.0, 3.0])[0].round(3)
    array([1.   , 0.368, 0.05 ])
    """
    values = np.asarray(rate, dtype=np.float64)
    travelled = np.concatenate([[0.0], np.cumsum(0.5 * frame_time * (values[1:] + values[:-1]))])
    return np.exp(-np.abs(travelled[:, None] - travelled[None, :]))


def _time_profile(values: ArrayLike | None, frames: int) -> NDArray[np.float64]:
    profile = np.ones(frames) if values is None else np.asarray(values, dtype=np.float64)
    if profile.shape != (frames,) or not np.isfinite(profile).all() or (profile < 0).any():
        raise InputError(
            f"a time profile of shape {profile.shape}",
            needed=f"{frames} finite numbers of 0 or more, one per frame",
            action="correct profile",
        )
    return profile
