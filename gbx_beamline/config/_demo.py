"""The simulated experiment of ``gbx demo``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gbx_beamline.config._analysis import GeometryConfig
from gbx_beamline.config._base import LARGEST_Q, Strict


class DemoDynamics(Strict):
    """Relaxation at one temperature: field rate ``rate (q / q_reference)^2 (1 + t / age)^-ageing``."""

    temperature_k: Annotated[float, Field(gt=0)]
    rate_per_s: Annotated[float, Field(gt=0)]
    """At ``q_reference`` and t = 0."""
    ageing: float = 0.0
    """0 is stationary."""


class DemoConfig(Strict):
    """The simulated experiment of ``gbx demo``."""

    sample: str = "nanocrystalline-Si"
    frames: Annotated[int, Field(ge=2)] = 625
    shape: tuple[Annotated[int, Field(ge=32)], Annotated[int, Field(ge=32)]] = (512, 512)
    frame_time_s: Annotated[float, Field(gt=0)] = 4.0
    mean_counts: Annotated[float, Field(gt=0)] = 1.0
    coherence_modes: Annotated[int, Field(ge=1)] = 4
    frames_per_file: Annotated[int, Field(ge=1)] = 100
    seed: int = 20261123
    geometry: GeometryConfig = GeometryConfig(
        beam_center_x=-1000, beam_center_y=1012, distance_m=10.08, wavelength_angstrom=1.285, pixel_size_um=75
    )
    """What the simulated detector writes into its files: a part of the Eiger at one side of the beam."""
    q_reference: Annotated[float, Field(gt=0, lt=LARGEST_Q)] = 0.045
    """1/Angstrom."""
    age_s: Annotated[float, Field(gt=0)] = 300.0
    dynamics: Annotated[tuple[DemoDynamics, ...], Field(min_length=1)] = (
        DemoDynamics(temperature_k=299, rate_per_s=3.0e-4),
        DemoDynamics(temperature_k=371, rate_per_s=6.0e-4, ageing=0.5),
        DemoDynamics(temperature_k=421, rate_per_s=2.0e-3, ageing=1.0),
        DemoDynamics(temperature_k=471, rate_per_s=1.0e-2, ageing=1.8),
    )
    """One run per entry, in this order: from stationary to strongly ageing."""
