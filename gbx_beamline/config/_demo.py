"""The simulated experiment of ``gbx demo``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gbx_beamline.config._analysis import GeometryConfig
from gbx_beamline.config._base import Strict


class DemoDynamics(Strict):
    """Grain boundaries and the bulk around them at one temperature."""

    temperature_k: Annotated[float, Field(gt=0)]
    gamma_js_m4: Annotated[float, Field(gt=0)]
    """GB friction gamma = 1/M (the paper's Gamma)."""
    diffusivity_m2_s: Annotated[float, Field(gt=0)]
    """D of the bulk, which decays at q_par^2 D."""
    gb_fraction: Annotated[float, Field(ge=0, le=1)]
    """lambda_GB, share of the scatterers that sit on boundaries."""


class DemoConfig(Strict):
    """The simulated experiment of ``gbx demo``."""

    sample: str = "nanocrystalline-Si"
    frames: Annotated[int, Field(ge=2)] = 625
    shape: tuple[Annotated[int, Field(ge=32)], Annotated[int, Field(ge=32)]] = (512, 512)
    frame_time_s: Annotated[float, Field(gt=0)] = 4.0
    mean_counts: Annotated[float, Field(gt=0)] = 1.0
    coherence_modes: Annotated[int, Field(ge=1)] = 4
    background: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """Share of the counts that is incoherent."""
    frames_per_file: Annotated[int, Field(ge=1)] = 100
    seed: int = 20261123
    geometry: GeometryConfig = GeometryConfig(
        beam_center_x=-1000, beam_center_y=1012, distance_m=10.08, wavelength_angstrom=1.285, pixel_size_um=75
    )
    """What the simulated detector writes into its files: a part of the Eiger at one side of the beam."""
    boundaries: Annotated[int, Field(ge=1)] = 3
    """How many the beam sees; each has 50 sites and is 49 nm long."""
    bow_nm: float = 49.0
    """A of Eq. 9: when a scan begins, the boundaries' middle lies A/4 away from the straight line."""
    dynamics: Annotated[tuple[DemoDynamics, ...], Field(min_length=1)] = (
        DemoDynamics(temperature_k=299, gamma_js_m4=4.0e18, diffusivity_m2_s=1.8e-23, gb_fraction=0.46),
        DemoDynamics(temperature_k=371, gamma_js_m4=8.8e17, diffusivity_m2_s=8.0e-23, gb_fraction=0.46),
        DemoDynamics(temperature_k=421, gamma_js_m4=4.1e17, diffusivity_m2_s=1.7e-22, gb_fraction=0.46),
        DemoDynamics(temperature_k=471, gamma_js_m4=2.3e17, diffusivity_m2_s=3.0e-22, gb_fraction=0.46),
    )
    """One run per entry, in this order: 0.2 eV for D and for 1/gamma make S_noneq rise with temperature."""
