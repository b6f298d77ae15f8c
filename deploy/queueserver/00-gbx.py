# ruff: noqa: INP001 - copied into an IPython profile, never imported
"""IPython startup file of the simulated beamline: all of it is in ``gbx_bluesky.startup``."""

from gbx_bluesky.startup import *  # noqa: F403
