"""Where q-ROIs and pixels lie in q. Here, for people, in 1/Angstrom."""

from __future__ import annotations

import math

from gbx_beamline.figures.words import number
from gbx_beamline.records import Geometry
from gbx_viewer.model.facts import RoiFacts

ANGSTROM = 1e-10
"""m."""


def momentum(roi: RoiFacts, geometry: Geometry | None) -> str:
    """q of a q-ROI. Where the geometry is not known yet, q_z says whether it is grazing incidence."""
    if not math.isfinite(roi.q_par):
        return "q not known"
    flat = geometry.mode == "transmission" if geometry is not None else not roi.q_z
    return in_words(roi.q_par, roi.q_z, transmission=flat)


def in_words(q_par: float, q_z: float, *, transmission: bool) -> str:
    """A momentum transfer given in 1/m."""
    if transmission:
        return f"q = {number(q_par * ANGSTROM)} 1/Å"
    along = f"{number(q_z * ANGSTROM)} 1/Å" if math.isfinite(q_z) else "not known"
    return f"q∥ = {number(q_par * ANGSTROM)} 1/Å, q_z = {along}"
