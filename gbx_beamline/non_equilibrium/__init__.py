"""How far a scan breaks time-translation invariance: Eq. 1-3 as printed, and S_noneq freed of noise."""

from __future__ import annotations

from gbx_beamline.correlation.diagonals import cell_means
from gbx_beamline.non_equilibrium._corrected import corrected_s
from gbx_beamline.non_equilibrium._measure import nonequilibrium

__all__ = ["cell_means", "corrected_s", "nonequilibrium"]
