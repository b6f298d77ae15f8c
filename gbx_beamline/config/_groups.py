"""Which scans belong together: one sample, one spot, one range of dose."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator

from gbx_beamline.config._base import Strict


class GroupsConfig(Strict):
    """Material-dose groups: what group inference and fine-tuning take as one material in one state."""

    spot_tolerance_um: Annotated[float, Field(gt=0)] = 10.0
    """Scans whose positions (analysis.dose.position) lie no further apart are on one spot."""
    dose_edges: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """Where one range of cumulative dose ends and the next begins, rising; none = the dose divides no group. A scan
    belongs where its middle lies."""
    dose_unit: Literal["photons", "full_beam_s"] = "photons"
    """Of the edges: photons on the spot, or s of the unattenuated beam, which are known without the flux."""

    @field_validator("dose_edges")
    @classmethod
    def _rise(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if any(first >= second for first, second in pairwise(edges)):
            raise ValueError("the edges must rise")
        return edges
