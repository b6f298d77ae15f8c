"""The version of the numbers that a seed stands for."""

from __future__ import annotations

SIMULATION_VERSION = "1"
"""Changes whenever the same settings and seed give other maps; the changelog names it. An ensemble is never continued
by another version."""
