"""IPython profile of the simulated beamline: ``ipython --profile-dir=deploy/queueserver/profile_gbx``."""

from gbx_bluesky.startup import *  # noqa: F403
