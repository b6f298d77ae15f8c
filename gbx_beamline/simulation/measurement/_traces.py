"""What changes from frame to frame during a scan, drawn once and shared by photons and maps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gbx_beamline.records import Bools
from gbx_beamline.simulation.measurement._seeds import Purpose, stream
from gbx_beamline.simulation.measurement._settings import Measurement


@dataclass(frozen=True, kw_only=True)
class Traces:
    """A scan's beam and detector in each of its N frames."""

    t: NDArray[np.float64]
    """(N,) s."""
    flux: NDArray[np.float64]
    """(N,) photons relative to ``mean_counts``, positive; also where there is no beam."""
    visibility: NDArray[np.float64]
    """(N,) share of the light that is coherent, 0..1, without the background."""
    displacement: NDArray[np.float64]
    """(N,) of the beam on the sample from its mean, in standard deviations of its profile."""
    monitor: NDArray[np.float64]
    """(N,) relative error e of the intensity a frame is normalised by; the map is multiplied by (1 + e)(1 + e')."""
    beam: Bools
    """(N,) False during the beam dump."""
    valid: Bools
    """(N,) False for frames without beam and for lost frames."""


def traces_of(measurement: Measurement, seed: int) -> Traces:
    """Draw the traces of one scan.

    - flux: ``[1 + flux_drift (x - 1/2)] n(t)``, x from 0 to 1, n white and lognormal of mean 1;
    - visibility: its square, which the contrast follows, is ``[1 + contrast_drift (x - 1/2)]`` over its maximum,
      so ``contrast`` is the largest that is seen;
    - displacement: a random walk of mean 0, scaled so that its rms in this scan is ``beam_motion``;
    - monitor: white, 1 + e lognormal of mean 1;
    - the dump begins anywhere; lost frames are scattered over the rest. Their numbers are the rounded shares of N.

    Args:
        measurement: the settings.
        seed: same seed, same traces, at the photon level and at that of maps.
    """
    frames = measurement.frames
    ramp = np.linspace(-0.5, 0.5, frames)
    contrast = 1.0 + measurement.contrast_drift * ramp
    beam = np.ones(frames, dtype=np.bool_)
    dark = round(measurement.beam_dump * frames)
    start = int(stream(seed, Purpose.BEAM_DUMP).integers(0, frames - dark + 1))
    beam[start : start + dark] = False
    lost = stream(seed, Purpose.BAD_FRAMES).permutation(frames)
    valid = beam.copy()
    valid[lost[beam[lost]][: round(measurement.bad_frames * frames)]] = False
    return Traces(
        t=np.arange(frames, dtype=np.float64) * measurement.frame_time,
        flux=(1.0 + measurement.flux_drift * ramp)
        * _positive_noise(measurement.flux_noise, frames, stream(seed, Purpose.FLUX)),
        visibility=np.sqrt(contrast / contrast.max()),
        displacement=_walk(measurement.beam_motion, frames, stream(seed, Purpose.MOTION)),
        monitor=_positive_noise(measurement.monitor_error, frames, stream(seed, Purpose.MONITOR)) - 1.0,
        beam=beam,
        valid=valid,
    )


def _positive_noise(spread: float, frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(N,) lognormal factors of mean 1 and relative standard deviation ``spread``."""
    log_variance = math.log1p(spread**2)
    return np.exp(math.sqrt(log_variance) * rng.standard_normal(frames) - 0.5 * log_variance)


def _walk(rms: float, frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(N,) random walk of mean 0 and this rms."""
    steps = rng.standard_normal(frames)
    walk = np.cumsum(steps)
    walk -= walk.mean()
    return walk * (rms / math.sqrt(float(np.mean(walk**2))))
