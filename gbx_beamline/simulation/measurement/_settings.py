"""What a measurement adds to the physics: every effect by its name, its neutral value and its prior range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from gbx_beamline.errors import InputError

PerRoi = tuple[float, ...]
"""One number for each q-ROI, or one for all of them."""


@dataclass(frozen=True)
class Effect:
    """One thing that a measurement does to the truth."""

    what: str
    """In words, with its unit."""
    neutral: float
    """The value that switches it off."""
    prior: tuple[float, float]
    """Range that training draws from."""
    scale: Literal["linear", "log"] = "linear"
    allowed: tuple[float, float] = (0.0, math.inf)
    """Physical domain."""
    per_roi: bool = False
    """Whether each q-ROI has its own value."""
    present: float = 1.0
    """Share of scans that have the effect at all: a model must also know measurements without it."""

    def draw(self, rng: np.random.Generator) -> float:
        """A value from the prior, or the neutral one."""
        low, high = self.prior
        there = rng.random() < self.present
        value = np.exp(rng.uniform(np.log(low), np.log(high))) if self.scale == "log" else rng.uniform(low, high)
        return float(value) if there else self.neutral


EFFECTS: Mapping[str, Effect] = MappingProxyType(
    {
        "contrast": Effect(
            "largest contrast beta of the coherent speckles in the scan", 0.14, (0.05, 0.3), allowed=(1e-3, 1.0),
            per_roi=True,
        ),
        # Beyond 5e7 the brightest pixel of fully coherent light does not fit uint32.
        "mean_counts": Effect(
            "photons per pixel and frame", 1e6, (0.3, 8.0), scale="log", allowed=(1e-6, 5e7), per_roi=True
        ),
        "speckle_size": Effect(
            "full width at half maximum of a speckle, pixels; 1: independent pixels", 1.0, (1.0, 3.0),
            allowed=(1.0, 50.0),
        ),
        "background": Effect(
            "share of the counts that is incoherent and static", 0.0, (0.0, 0.3), allowed=(0.0, 0.999), per_roi=True,
            present=0.7,
        ),
        "unevenness": Effect(
            "relative standard deviation of the pixels' mean intensity in a q-ROI", 0.0, (0.0, 0.1), allowed=(0.0, 1.0),
            per_roi=True, present=0.7,
        ),
        "static_fraction": Effect(
            "share of the field from scatterers that never move", 0.0, (0.0, 0.4), allowed=(0.0, 1.0), per_roi=True,
            present=0.5,
        ),
        "reference": Effect(
            "share of the intensity of a uniform coherent wave that the speckle field interferes with", 0.0, (0.0, 0.2),
            allowed=(0.0, 0.999), per_roi=True, present=0.3,
        ),
        "flux_drift": Effect(
            "change of the flux from the first frame to the last, relative to its mean", 0.0, (-0.2, 0.2),
            allowed=(-1.9, 1.9), present=0.7,
        ),
        "flux_noise": Effect(
            "relative standard deviation of the flux from frame to frame", 0.0, (0.0, 0.03), allowed=(0.0, 0.3),
            present=0.7,
        ),
        "contrast_drift": Effect(
            "change of the contrast from the first frame to the last, relative to its mean", 0.0, (-0.1, 0.1),
            allowed=(-1.9, 1.9), present=0.5,
        ),
        "beam_motion": Effect(
            "rms wander of the beam on the sample, in standard deviations of its profile", 0.0, (0.0, 0.3),
            allowed=(0.0, 10.0), present=0.5,
        ),
        "monitor_error": Effect(
            "relative error of the intensity each frame is normalised by; it draws stripes", 0.0, (0.0, 0.005),
            allowed=(0.0, 0.3), present=0.5,
        ),
        "bad_frames": Effect("share of frames that are lost", 0.0, (0.0, 0.02), allowed=(0.0, 0.5), present=0.5),
        "beam_dump": Effect(
            "share of the scan without beam, in one piece", 0.0, (0.0, 0.1), allowed=(0.0, 0.5), present=0.2
        ),
        "q_offset": Effect(
            "by how much the true q is larger than what the geometry says, relative", 0.0, (-0.03, 0.03),
            allowed=(-0.5, 0.5),
        ),
        "q_spread": Effect("relative half width of a q-ROI in q", 0.0, (0.0, 0.06), allowed=(0.0, 0.5)),
    }
)  # fmt: skip
"""All effects. A setting of :class:`Measurement` has the effect's name."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """How a scan is measured. The defaults switch every nuisance off: ``EFFECTS`` says what each one means.

    Numbers per q-ROI are tuples of one value, which holds for all, or of one for each.

    Raises:
        InputError: a value outside its physical domain, named.
    """

    frames: int = 256
    """N."""
    frame_time: float = 2500.0 / 256
    """s."""
    pixels: tuple[int, ...] = (10_000,)
    """P, pixels per q-ROI."""
    contrast: PerRoi = (0.14,)
    mean_counts: PerRoi = (1e6,)
    speckle_size: float = 1.0
    background: PerRoi = (0.0,)
    unevenness: PerRoi = (0.0,)
    static_fraction: PerRoi = (0.0,)
    reference: PerRoi = (0.0,)
    flux_drift: float = 0.0
    flux_noise: float = 0.0
    contrast_drift: float = 0.0
    beam_motion: float = 0.0
    monitor_error: float = 0.0
    bad_frames: float = 0.0
    beam_dump: float = 0.0
    q_offset: float = 0.0
    q_spread: float = 0.0

    def __post_init__(self) -> None:
        if self.frames < 2 or not (math.isfinite(self.frame_time) and self.frame_time > 0):
            raise InputError(
                f"frames {self.frames}, frame_time {self.frame_time} s",
                needed="at least 2 frames and a positive, finite time between them",
                action="correct the measurement",
            )
        if not self.pixels or min(self.pixels) < 1:
            raise InputError(f"pixels {self.pixels}", needed="at least one pixel per q-ROI", action="correct pixels")
        for name, effect in EFFECTS.items():
            self._check(name, effect)
        if self.bad_frames + self.beam_dump > 0.9:
            raise InputError(
                f"bad_frames {self.bad_frames:g} and beam_dump {self.beam_dump:g}",
                needed="at least a tenth of the scan left",
                action="lower one of them",
            )

    def _check(self, name: str, effect: Effect) -> None:
        found = getattr(self, name)
        values = found if isinstance(found, tuple) else (found,)
        if effect.per_roi and (not isinstance(found, tuple) or len(values) not in (1, len(self.pixels))):
            raise InputError(
                f"{name} = {found} for {len(self.pixels)} q-ROI(s)",
                needed="a tuple of one value, or of one for each q-ROI",
                action=f"correct {name}",
            )
        low, high = effect.allowed
        for value in values:
            if not (math.isfinite(value) and low <= value <= high):
                raise InputError(
                    f"{name} = {value:g} ({effect.what})",
                    needed=f"{low:g} to {high:g}",
                    action=f"correct {name}; {effect.neutral:g} switches it off",
                )

    def of(self, name: str, roi: int) -> float:
        """Value of a setting for q-ROI ``roi`` (0, 1, ...)."""
        found: float | PerRoi = getattr(self, name)
        if not isinstance(found, tuple):
            return found
        return found[roi if len(found) > 1 else 0]

    def without(self, *names: str) -> Measurement:
        """The same with these effects at their neutral values.

        Raises:
            InputError: no such effect.
        """
        for name in names:
            if name not in EFFECTS:
                raise InputError(f"effect {name!r}", needed=f"one of {', '.join(EFFECTS)}", action="correct the name")
        neutral = {name: (EFFECTS[name].neutral,) if EFFECTS[name].per_roi else EFFECTS[name].neutral for name in names}
        return replace(self, **neutral)


SCAN_SETTINGS = tuple(f.name for f in fields(Measurement) if f.name not in EFFECTS)
"""Settings that are choices of the experiment, not effects."""
