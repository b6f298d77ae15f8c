"""Which scans may be compared with each other, and with a static reference."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gbx_beamline.config._base import Strict

_Share = Annotated[float, Field(gt=0, lt=1)]


class CompareConfig(Strict):
    """Scans of one sample at different attenuation: does the beam drive the dynamics?"""

    temperature_within_k: Annotated[float, Field(gt=0)] = 2.0
    """K that two scans may lie apart."""
    least_dose_ratio: Annotated[float, Field(gt=1)] = 1.5
    """Of dose rates; scans that are nearer have one level."""
    beam_share: _Share = 0.25
    """Of the relaxation rate at the highest dose rate: what the beam may add and the dynamics are still called those of
    the sample. The interval must lie below it for "sample"."""
    same_spot: bool = True
    """Whether pairs are looked for on one spot only (``groups.spot_tolerance_um``); two scans that are named are
    compared wherever they lie, and the comparison says so."""
    most_hours_apart: Annotated[float, Field(gt=0)] = 24.0
    """Between the first and the last scan of a pair that is looked for."""


class FloorConfig(Strict):
    """A static reference as the instrument's floor of later scans: what must agree, as shares of the larger value."""

    within: _Share = 0.02
    """Distance, wavelength, incidence, and the q of a q-ROI."""
    frame_time_factor: Annotated[float, Field(ge=1)] = 2.0
    """By which frame times may differ: drift is a matter of s, not of frames."""
    window_factor: Annotated[float, Field(ge=1)] = 2.0
    """By which the reference may be shorter than the scan; a longer one is always good: it drifts more."""
    most_days: Annotated[float, Field(gt=0)] = 30.0
    """Between reference and scan."""
