"""What all parts of the configuration share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

LARGEST_Q = 20.0
"""1/Angstrom. No X-ray scattering experiment of this kind reaches it; beyond lies another unit."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
