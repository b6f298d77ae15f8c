"""What training draws scans from: the sample's physics and the measurement's effects, over all that may be met."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gbx_beamline.errors import InputError
from gbx_beamline.simulation.grain_boundary import GrainBoundary
from gbx_beamline.simulation.measurement._settings import EFFECTS, Measurement

BOLTZMANN_EV = 8.617333262e-5
"""eV/K (CODATA 2018, exact)."""

_PER_SHOT = (
    "mean_counts",
    "flux_drift",
    "flux_noise",
    "contrast_drift",
    "beam_motion",
    "monitor_error",
    "bad_frames",
    "beam_dump",
)
"""Effects that differ between scans of one sample; the others belong to the sample or to the set-up."""


@dataclass(frozen=True, kw_only=True)
class SamplePrior:
    """Ranges of what a sample is, SI units but for energies. Wider than the paper's: its simulations hold one
    straight boundary, a beam's footprint holds thousands of any shape."""

    diffusivity: tuple[float, float] = (3e-24, 3e-21)
    """m^2/s, log-uniform, in the middle of the temperatures."""
    gamma: tuple[float, float] = (1e17, 1e20)
    """J s m^-4, log-uniform, in the middle of the temperatures."""
    gb_fraction: tuple[float, float] = (0.0, 0.5)
    activation_energy: tuple[float, float] = (0.2, 0.6)
    """eV; diffusion and boundary motion each have their own."""
    boundaries: tuple[int, int] = (1, 64)
    """Log-uniform. With more, what they scatter together is near its mean."""
    bowed: float = 0.5
    """Share of samples whose boundaries begin bowed (A != 0 in Eq. 9), by up to ``bow``."""
    bow: float = 49e-9
    """m."""
    size_spread: tuple[float, float] = (0.0, 0.4)
    isotropic: float = 0.5
    """Share of samples whose boundaries have any orientation."""
    avalanching: float = 0.25
    """Share of samples with avalanches."""
    avalanches: tuple[float, float] = (0.5, 20.0)
    """Events expected in a scan, log-uniform."""
    avalanche_share: tuple[float, float] = (0.01, 0.3)
    """Log-uniform."""


@dataclass(frozen=True, kw_only=True)
class VirtualScan:
    """A scan that could be measured: the truth and how it is seen."""

    boundary: GrainBoundary
    measurement: Measurement


def draw_measurement(
    rng: np.random.Generator,
    rois: int = 1,
    *,
    frames: int = 256,
    frame_time: float = 2500.0 / 256,
    pixels: tuple[int, int] = (2_000, 20_000),
) -> Measurement:
    """How a scan is measured, every effect from its own prior.

    Args:
        rng: source of randomness.
        rois: Q.
        frames: N.
        frame_time: s.
        pixels: fewest and most per q-ROI, log-uniform.

    Raises:
        InputError: impossible numbers of q-ROIs or pixels.
    """
    if rois < 1 or not 1 <= pixels[0] <= pixels[1]:
        raise InputError(
            f"{rois} q-ROIs of {pixels[0]} to {pixels[1]} pixels",
            needed="at least one q-ROI and pixel, the smaller number first",
            action="correct the numbers",
        )
    return Measurement(
        frames=frames,
        frame_time=frame_time,
        pixels=tuple(round(_log_uniform(rng, *pixels)) for _ in range(rois)),
        **_effects(rng, rois, tuple(EFFECTS)),
    )


def draw_sample_group(
    rng: np.random.Generator,
    temperatures: Sequence[float],
    *,
    q: Sequence[float] = (4.5e8,),
    prior: SamplePrior | None = None,
    frames: int = 256,
    frame_time: float = 2500.0 / 256,
    pixels: tuple[int, int] = (2_000, 20_000),
) -> tuple[VirtualScan, ...]:
    """Scans of one sample at several temperatures.

    D grows and gamma falls with temperature, each by Arrhenius' law with an energy of its own; lambda, the boundaries'
    shapes and the static fractions belong to the sample, optics and q-ROIs to the set-up: all scans share them.
    Beam, counts and losses are new in every scan.

    Args:
        rng: source of randomness.
        temperatures: K, one scan each; one temperature is a group of one.
        q: (Q,) 1/m, one for each q-ROI.
        prior: of the sample; None is the default one.
        frames: N.
        frame_time: s.
        pixels: fewest and most per q-ROI.

    Returns:
        One scan for each temperature, in their order.

    Raises:
        InputError: no temperature, or one that is not positive.
    """
    if not len(temperatures) or not all(math.isfinite(value) and value > 0 for value in temperatures):
        raise InputError(f"temperatures {list(temperatures)}", needed="positive numbers of K", action="correct them")
    prior = prior or SamplePrior()
    inverse = 1.0 / np.asarray(temperatures, dtype=np.float64)
    cold = (inverse - 0.5 * (inverse.min() + inverse.max())) / BOLTZMANN_EV
    diffusivity = _log_uniform(rng, *prior.diffusivity) * np.exp(-rng.uniform(*prior.activation_energy) * cold)
    gamma = _log_uniform(rng, *prior.gamma) * np.exp(rng.uniform(*prior.activation_energy) * cold)
    sample = _sample(rng, prior, window=frames * frame_time)
    setup = draw_measurement(rng, len(q), frames=frames, frame_time=frame_time, pixels=pixels)
    return tuple(
        VirtualScan(
            boundary=GrainBoundary(
                gamma=float(gamma[index]),
                diffusivity=float(diffusivity[index]),
                temperature=float(temperature),
                q=tuple(float(value) for value in q),
                **sample,
            ),
            measurement=replace(setup, **_effects(rng, len(q), _PER_SHOT)),
        )
        for index, temperature in enumerate(temperatures)
    )


def _sample(rng: np.random.Generator, prior: SamplePrior, window: float) -> dict[str, Any]:
    """What all scans of a sample share."""
    # Every number is drawn whether it is used or not: a prior's switch changes nothing but its own effect.
    boundaries = round(_log_uniform(rng, *prior.boundaries))
    bowed, isotropic, avalanching = rng.random(3) < (prior.bowed, prior.isotropic, prior.avalanching)
    bow, size_spread = rng.uniform(0.0, prior.bow), rng.uniform(*prior.size_spread)
    events, share = _log_uniform(rng, *prior.avalanches), _log_uniform(rng, *prior.avalanche_share)
    return {
        "gb_fraction": float(rng.uniform(*prior.gb_fraction)),
        "boundaries": boundaries,
        "bow": float(bow) if bowed else 0.0,
        "size_spread": float(size_spread) if boundaries > 1 else 0.0,
        "orientations": "isotropic" if isotropic else "aligned",
        "avalanche_rate": events / window if avalanching else 0.0,
        "avalanche_share": share if avalanching else 0.0,
    }


def _effects(rng: np.random.Generator, rois: int, names: tuple[str, ...]) -> dict[str, Any]:
    """Values of these effects."""
    drawn: dict[str, Any] = {}
    for name in names:
        effect = EFFECTS[name]
        drawn[name] = tuple(effect.draw(rng) for _ in range(rois)) if effect.per_roi else effect.draw(rng)
    return drawn


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
