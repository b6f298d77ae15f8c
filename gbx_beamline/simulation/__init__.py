"""Simulated experiments with known truth."""

from __future__ import annotations

from gbx_beamline.simulation.pixels import pixel_counts
from gbx_beamline.simulation.speckle import SpeckleMovie, field_correlation

__all__ = ["SpeckleMovie", "field_correlation", "pixel_counts"]
