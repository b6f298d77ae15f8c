"""What the commissioning suite expects, and what it simulates where there is no beam."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gbx_beamline.config._analysis import GeometryConfig
from gbx_beamline.config._base import Strict
from gbx_beamline.config._demo import DemoDynamics

_Share = Annotated[float, Field(gt=0, lt=1)]
_Positive = Annotated[float, Field(gt=0)]
_Side = Annotated[int, Field(ge=32)]


class ExpectedConfig(Strict):
    """By how much an answer may be off before it is called wrong."""

    diffusivity_within: _Share = 0.05
    """Of D of a liquid, beside the uncertainty of its viscosity and particle size."""
    still_drift: _Share = 0.02
    """rms of the drift, and loss of g2, over the contrast, that a sample at rest may show: the instrument's floor."""
    contrast_within: _Share = 0.05
    """By which contrast may differ between two transmissions."""
    level: Annotated[float, Field(ge=0.9, lt=1)] = 0.99
    """Of the intervals that are compared with what is expected, all q-ROIs of a scan together. The suite asks some
    fifty questions: at 95 % two or three honest answers would be called wrong."""


class InjectedConfig(Strict):
    """What is done to recorded frames."""

    shift_pixels: Annotated[int, Field(ge=1, le=8)] = 1
    dump_s: _Positive = 60.0
    flux_lost: _Share = 0.1
    jump: Annotated[float, Field(gt=0, le=0.5)] = 0.03
    """Share of the correlation that is lost at once."""
    seed: int = 7


class ColloidConfig(Strict):
    """Spheres in a viscous liquid, seen in transmission."""

    radius_nm: _Positive = 110.0
    viscosity_pa_s: _Positive = 0.95
    """Of glycerol at 25 degrees Celsius."""
    temperature_k: _Positive = 298.15
    frames: Annotated[int, Field(ge=2)] = 512
    frame_time_s: _Positive = 0.02
    transmissions: Annotated[tuple[_Positive, ...], Field(min_length=1)] = (1.0, 0.3)
    geometry: GeometryConfig = GeometryConfig(
        beam_center_x=-20, beam_center_y=128, distance_m=10.08, wavelength_angstrom=1.285, pixel_size_um=75
    )


class SimulatedCommissioning(Strict):
    """Samples and optics of `gbx demo --commission`."""

    shape: tuple[_Side, _Side] = (256, 256)
    frames: Annotated[int, Field(ge=2)] = 256
    frame_time_s: _Positive = 9.6
    mean_counts: _Positive = 2.0
    """Photons per pixel and frame at transmission 1."""
    coherence_modes: Annotated[int, Field(ge=1)] = 4
    seed: int = 20261126
    geometry: GeometryConfig = GeometryConfig(
        beam_center_x=-1040, beam_center_y=884, distance_m=10.08, wavelength_angstrom=1.285, pixel_size_um=75
    )
    """Of the scans at grazing incidence."""
    static_transmissions: Annotated[tuple[_Positive, ...], Field(min_length=1)] = (1.0, 0.1)
    colloid: ColloidConfig = ColloidConfig()
    boundaries: DemoDynamics = DemoDynamics(
        temperature_k=421, gamma_js_m4=4.1e17, diffusivity_m2_s=1.7e-22, gb_fraction=0.3
    )
    static_background: _Share = 0.3
    """Share of the field that comes from what never moves, where a background is added."""


class CommissioningConfig(Strict):
    """The commissioning suite."""

    expected: ExpectedConfig = ExpectedConfig()
    injected: InjectedConfig = InjectedConfig()
    simulated: SimulatedCommissioning = SimulatedCommissioning()
